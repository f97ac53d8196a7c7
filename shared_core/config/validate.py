"""Checks of values that go into URLs, headers and requests. Pure; errors name the setting."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from shared_core.config.secrets import is_sensitive
from shared_core.constants import POLICIES
from shared_core.errors import InvalidSettingError

_MODEL_ID = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)?(?::[\w.-]+)?", re.ASCII)
_HF_HOSTS = frozenset({"huggingface.co", "api.endpoints.huggingface.cloud"})
_PROVIDER = re.compile(r"\w[\w.-]*", re.ASCII)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
)
MAX_MODEL_NAME = 400
"""Longest model name that is accepted, in characters; Hub ids have at most 96 + 1 + 96."""


def unknown_keyword(name: str, allowed: Iterable[str]) -> InvalidSettingError:
    """Return the error for an argument that does not exist, with the nearest that does.

    Args:
        name: What was passed.
        allowed: The names that exist.
    """
    import difflib  # rarely needed; keeps the import of the package light

    names = sorted(allowed)
    folded = {other.replace("_", "").lower(): other for other in names}
    same = folded.get(name.replace("_", "").lower())  # topP, top_P, TopP: only spelt otherwise
    near = [same] if same else difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return InvalidSettingError(
        f"unknown argument {name!r}{hint}",
        setting=name,
        guidance="Fields that only one provider knows go into extra_body={...}.",
    )


def check_model_id(model: object, *, strict: bool = True, setting: str = "model") -> str:
    """Return *model* if it can be a model id.

    Args:
        model: What was passed.
        strict: Hub ids only (``name``, ``org/name``, with ``:suffix``): needed wherever the id
            becomes part of a path. Otherwise any printable name of a server of one's own.
        setting: Name for the error.

    Raises:
        InvalidSettingError: It cannot.
    """
    if not isinstance(model, str) or not model:
        raise InvalidSettingError(
            f"{setting} must be a model id such as 'org/name', not {_short(model)}",
            setting=setting,
        )
    if strict and not _MODEL_ID.fullmatch(model):
        raise InvalidSettingError(
            f"{setting} is not a Hub id (org/name, maybe with :provider): {_short(model)}",
            setting=setting,
        )
    if len(model) > MAX_MODEL_NAME or not model.isprintable() or model != model.strip():
        raise InvalidSettingError(
            f"{setting} has blanks around it, control characters, or is too long: {_short(model)}",
            setting=setting,
        )
    return model


def split_model(model: str) -> tuple[str, str | None]:
    """Return id and suffix: ``"org/m:groq"`` -> ``("org/m", "groq")``.

    Hub ids have no colon, so the last one separates (protocol.md 2.3).
    """
    name, colon, suffix = model.rpartition(":")
    if not colon or "/" in suffix or not name:
        return model, None
    return name, suffix or None


def join_model(model: str, provider: str | None = None, policy: str | None = None) -> str:
    """Return the model id with the provider or the policy as suffix.

    Args:
        model: Hub id, maybe with a suffix of its own.
        provider: Provider to pin, e.g. ``"groq"``.
        policy: ``"fastest"``, ``"cheapest"`` or ``"preferred"``.

    Raises:
        InvalidSettingError: Both are given, one is not a name, or the id has another suffix.
    """
    wanted = check_route(provider, policy)
    if wanted is None:
        return model
    name, suffix = split_model(model)
    if suffix is not None and suffix != wanted:
        setting = "provider" if provider is not None else "policy"
        raise InvalidSettingError(
            f"model {_short(model)} already has the suffix ':{suffix}', which contradicts "
            f"{setting}={wanted!r}",
            setting=setting,
            guidance=f"Remove the suffix from model=, or {setting}=.",
        )
    return f"{name}:{wanted}"


def check_route(provider: str | None, policy: str | None) -> str | None:
    """Return the suffix that *provider* or *policy* stands for, or None.

    Raises:
        InvalidSettingError: Both are given, or one is not valid.
    """
    if provider is not None and policy is not None:
        raise InvalidSettingError(
            f"provider={_short(provider)} and policy={_short(policy)} exclude each other",
            setting="provider",
            guidance="Set one of them: provider= pins, policy= lets the router choose.",
        )
    if policy is not None:
        if policy not in POLICIES:
            raise InvalidSettingError(
                f"policy must be one of {', '.join(POLICIES)}, not {_short(policy)}",
                setting="policy",
            )
        return policy
    if provider is None or provider == "auto":
        return None
    if not isinstance(provider, str) or not _PROVIDER.fullmatch(provider):
        raise InvalidSettingError(
            f"provider must be a name such as 'groq', not {_short(provider)}", setting="provider"
        )
    return provider


def check_header(name: object, value: object, *, setting: str, source: str | None = None) -> str:
    """Return the value of a header if both can go on the wire; the value is never shown.

    Args:
        name: Header name.
        value: Header value.
        setting: Name of the setting for the error.
        source: Where it came from, for the error.

    Raises:
        InvalidSettingError: Name or value has a character that HTTP does not allow, or the
            header is one that frames the message.
    """
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        raise InvalidSettingError(
            f"{setting}{_from(source)} has a header name with characters that HTTP does not allow",
            setting=setting,
            source=source,
        )
    if name.lower() in _FRAMING:
        raise InvalidSettingError(
            f"{setting}{_from(source)} may not set the header {name}: the connection needs it",
            setting=setting,
            source=source,
        )
    return check_header_value(value, setting=f"{setting}[{name!r}]", source=source)


def check_header_value(value: object, *, setting: str, source: str | None = None) -> str:
    """Return *value* if it can be a header value; it is never shown.

    Raises:
        InvalidSettingError: It is not ASCII text, or has line breaks or control characters.
    """
    if not isinstance(value, str):
        raise InvalidSettingError(
            f"{setting}{_from(source)} must be text, not {type(value).__name__}",
            setting=setting,
            source=source,
        )
    if not value.isascii() or any(ord(char) < 32 and char != "\t" for char in value):
        raise InvalidSettingError(
            f"{setting}{_from(source)} contains a line break, a control or a non-ASCII character",
            setting=setting,
            source=source,
            guidance="Header values are plain ASCII on one line.",
        )
    if "\x7f" in value or value != value.strip():
        raise InvalidSettingError(
            f"{setting}{_from(source)} has blanks around it or a control character",
            setting=setting,
            source=source,
            guidance="Header values are plain ASCII on one line.",
        )
    return value


def check_timeout(value: Any, *, setting: str = "timeout") -> float | None:
    """Return seconds, or None for "wait for ever".

    An ``httpx.Timeout`` is tolerated: its ``read`` is taken.

    Raises:
        InvalidSettingError: It is not a positive, finite number.
    """
    if value is None:
        return None
    if hasattr(value, "read") and hasattr(value, "connect"):
        return check_timeout(value.read, setting=f"{setting}.read")
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    raise InvalidSettingError(
        f"{setting} must be a positive number of seconds, or None to wait for ever: "
        f"{_short(value)}",
        setting=setting,
    )


def check_url(
    value: object,
    *,
    setting: str,
    source: str | None = None,
    schemes: tuple[str, ...] = ("http", "https"),
    credentials: bool = False,
) -> str:
    """Return an absolute URL without a slash at the end; credentials in it are never shown.

    Args:
        value: What was passed.
        setting: Name of the setting for the error.
        source: Where it came from, for the error.
        schemes: Schemes that are accepted.
        credentials: Whether ``user:password@`` is accepted.

    Raises:
        InvalidSettingError: It cannot be used.
    """

    def refuse(reason: str, guidance: str | None = None) -> InvalidSettingError:
        return InvalidSettingError(
            f"{setting}{_from(source)} {reason}", setting=setting, source=source, guidance=guidance
        )

    if not isinstance(value, str) or not value:
        raise refuse("must be a URL" if value == "" else f"must be text, not {_kind(value)}")
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in value):
        raise refuse("contains a blank, a backslash or a control character")
    try:
        parts = urlsplit(value)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise refuse("is not a valid URL") from None
    if parts.scheme.lower() not in schemes:
        raise refuse(
            f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}",
            "Write the whole address, e.g. https://router.huggingface.co/v1.",
        )
    if not host or port == 0:
        raise refuse("has no valid host and port")
    if not credentials and ("@" in parts.netloc):
        raise refuse(
            "contains a user name or password", "Pass the credential with api_key= instead."
        )
    if parts.fragment:
        raise refuse("has a #fragment, which a server never sees")
    if parts.scheme.lower() == "http" and is_hf_host(host):
        raise refuse("would send the token in clear text", "Write https:// instead of http://.")
    return value.rstrip("/") if not parts.query else value


def check_base_url(value: object, *, setting: str, source: str | None = None) -> str:
    """Return *value* as :func:`check_url` does, if its query holds no credential either.

    A base URL is in every request's line, which HTTP clients, proxies and servers log.

    Raises:
        InvalidSettingError: It cannot be used; the value is not shown.
    """
    url = check_url(value, setting=setting, source=source)
    for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if is_sensitive(name):
            raise InvalidSettingError(
                f"{setting}{_from(source)} holds a credential in its query ({name[:40]})",
                guidance="Addresses are logged. Send it as a header, with default_headers=.",
                setting=setting,
                source=source,
            )
    return url


def is_hf_host(host: str | None) -> bool:
    """Whether *host* belongs to ``huggingface.co`` or is the control plane of endpoints.

    Not the endpoints themselves (``*.endpoints.huggingface.cloud``): they run whatever their
    owners put there, and must not get the token of a passer-by, e.g. through a redirect.
    """
    name = (host or "").lower().rstrip(".")
    return name in _HF_HOSTS or name.endswith(".huggingface.co")


@lru_cache(maxsize=256)
def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of *url*; empty ones where it has none."""
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", "", 0
    scheme = parts.scheme.lower()
    default = {"https": 443, "http": 80}.get(scheme, 0)
    return scheme, (parts.hostname or "").rstrip("."), default if port is None else port


def _from(source: str | None) -> str:
    return f" (from {source})" if source and source != "argument" else ""


def _kind(value: object) -> str:
    return type(value).__name__


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
