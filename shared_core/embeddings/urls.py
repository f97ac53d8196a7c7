"""Where an embedding request goes, and in which dialect. Pure.

* The router, or a host without a path:
  ``/hf-inference/models/{model}/pipeline/feature-extraction``.
* The same with ``provider="together"`` and the like: ``/together/v1/embeddings``, OpenAI form.
* ``.../v1`` on another host: ``.../v1/embeddings``, OpenAI form.
* ``.../embed``, ``.../embeddings``, ``.../pipeline/feature-extraction``: as given.
* ``https://....endpoints.huggingface.cloud``, or any address of which the caller knows that a
  service of that kind answers there: as given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit, urlunsplit

from shared_core.config.providers import DIRECT, direct_settings, goes_direct
from shared_core.embeddings.types import Dialect
from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.config.settings import Settings

ROUTER_HOST = "router.huggingface.co"
"""Host of the router (protocol reference, section 0)."""

ENDPOINT_SUFFIX = ".endpoints.huggingface.cloud"
"""Host suffix of dedicated Inference Endpoints (protocol reference, section 0)."""

PASS_THROUGH = {
    "deepinfra": "/deepinfra/v1/openai/embeddings",
    "scaleway": "/scaleway/v1/embeddings",
    "together": "/together/v1/embeddings",
}
"""Providers that serve embeddings behind the router (protocol reference, section 5.3)."""

DIALECTS: tuple[Dialect, ...] = ("hf-inference", "tei", "openai")
PROVIDERS = ("hf-inference", *PASS_THROUGH)

_TASK = "/pipeline/feature-extraction"
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Route:
    """Address and language of one embedding service.

    Attributes:
        url: Absolute URL.
        dialect: Shape of request and answer.
        provider: Provider as asked for, None when not routed to one.
        model_required: Whether the body must name the model.
        settings: Settings that let a provider's own key go to its own host, else None.
        root: Whether it is the root of a server of its own, which answers there.
    """

    url: str
    dialect: Dialect
    provider: str | None = None
    model_required: bool = False
    settings: Settings | None = field(default=None, repr=False, compare=False)
    root: bool = False


def resolve(
    base_url: str,
    *,
    model: str | None = None,
    provider: str | None = None,
    dialect: str | None = None,
    root: bool = False,
) -> Route:
    """Return where to send a request and in which dialect.

    Args:
        base_url: Base URL of the settings, or the full URL of the service.
        model: Model id; part of the path on hf-inference.
        provider: ``"hf-inference"``, ``"together"``, ``"scaleway"``, ``"deepinfra"``; None or
            ``"auto"`` follows the base URL.
        dialect: Overrides what the base URL suggests; None or ``"auto"`` does not.
        root: Whether *base_url* is known to be the root of a server that answers there, as the
            default container of Inference Endpoints does.

    Raises:
        InvalidSettingError: The combination cannot work; the message says what can.
    """
    parts = urlsplit(base_url)
    # A client made with the full address of a chat service embeds next to it.
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    wanted = _dialect(dialect)
    provider = _provider(provider)
    own = _full_path_dialect(path)
    root = own is None and (root or _is_endpoint_root(parts, path))
    if own is not None or root:
        if provider not in (None, "hf-inference"):
            raise InvalidSettingError(
                f"provider={provider!r} needs the router, but base_url is the address of one "
                f"service ({path or '/'})",
                guidance="Leave provider out, or leave base_url out to use the router.",
                setting="provider",
            )
        language = wanted or own or "hf-inference"
        return Route(_with_path(parts, path or "/"), language, provider, root=root)
    if provider is not None and provider != "hf-inference":
        return _pass_through(parts, path, provider, wanted)
    wanted = wanted or _implied(parts, path, provider)
    if wanted == "hf-inference":
        return Route(_with_path(parts, _hf_path(path, model)), wanted, provider)
    if parts.hostname == ROUTER_HOST and not _inside_provider(path):
        raise InvalidSettingError(
            f"dialect={wanted!r} is not served by the router itself",
            guidance=f"Use provider={' or '.join(map(repr, PASS_THROUGH))}, leave dialect out for "
            "hf-inference, or set base_url to your own server.",
            setting="dialect",
        )
    if wanted == "tei":
        return Route(_with_path(parts, path.removesuffix("/v1") + "/embed"), wanted)
    tail = "/embeddings" if _is_openai_base(path) else "/v1/embeddings"
    return Route(_with_path(parts, path + tail), wanted)


def says_its_form(base_url: str) -> bool:
    """Return whether an address itself says which form is spoken there; a bare host does not."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return (
        parts.hostname == ROUTER_HOST
        or _is_endpoint_root(parts, path)
        or _full_path_dialect(path) is not None
        or _is_openai_base(path)
        or "/hf-inference" in path
    )


def directed(route: Route, settings: Settings) -> Route:
    """Return *route* to the provider's own host if the client has a key of its own for it.

    Args:
        route: Where the request would go.
        settings: Where the key is.

    Raises:
        InvalidSettingError: The key cannot be sent.
    """
    name = route.provider
    if name not in PASS_THROUGH or not goes_direct(settings, name):
        return route
    url = DIRECT[name] + PASS_THROUGH[name].removeprefix(f"/{name}")
    return replace(route, url=url, settings=direct_settings(settings, DIRECT[name]))


def check_path_model(model: str | None) -> str:
    """Return *model* if it is a Hub id that may stand in a path.

    Raises:
        InvalidSettingError: It is missing, or anything but ``name`` or ``org/name``.
    """
    if not model:
        raise InvalidSettingError(
            "no embedding model given",
            guidance="Pass model=..., e.g. model='sentence-transformers/all-MiniLM-L6-v2', or set "
            "embedding_model= on the client.",
            setting="model",
        )
    if "://" in model:
        raise InvalidSettingError(
            "model is a URL; the address of a service is base_url",
            guidance="Pass base_url='https://...' and leave model out.",
            setting="model",
        )
    segments = model.split("/")
    if len(segments) > 2 or not all(_SEGMENT.fullmatch(part) for part in segments):
        hint = "Use the id as the Hub writes it, 'org/name'."
        if ":" in model:
            hint = (
                f"Name the provider with provider= instead of a suffix: {', '.join(PASS_THROUGH)}."
            )
        raise InvalidSettingError(
            f"model {model[:120]!r} is not a Hub model id", guidance=hint, setting="model"
        )
    return model


def _dialect(dialect: str | None) -> Dialect | None:
    if dialect is None or dialect == "auto":
        return None
    for known in DIALECTS:
        if dialect == known:
            return known
    raise InvalidSettingError(
        f"dialect must be one of {', '.join(DIALECTS)} or 'auto': {dialect!r}", setting="dialect"
    )


def _provider(provider: str | None) -> str | None:
    if provider is None or provider == "auto":
        return None
    if provider in PROVIDERS:
        return provider
    near = get_close_matches(str(provider), PROVIDERS, n=1)
    did_you_mean = f"; did you mean {near[0]!r}?" if near else ""
    raise InvalidSettingError(
        f"provider {provider!r} serves no embeddings{did_you_mean}",
        guidance=f"Pass provider= one of {', '.join(PROVIDERS)} with the embedding call, or "
        "base_url= of a server of your own.",
        setting="provider",
    )


def _full_path_dialect(path: str) -> Dialect | None:
    if path.endswith(("/embed", "/embed_all")):
        return "tei"
    if path.endswith("/embeddings"):
        return "openai"
    if path.endswith("/feature-extraction"):
        return "hf-inference"
    return None


def _is_endpoint_root(parts: SplitResult, path: str) -> bool:
    return not path and (parts.hostname or "").endswith(ENDPOINT_SUFFIX)


def _implied(parts: SplitResult, path: str, provider: str | None) -> Dialect:
    if provider == "hf-inference" or not path or "/hf-inference" in path:
        return "hf-inference"
    if parts.hostname == ROUTER_HOST and not _inside_provider(path):
        return "hf-inference"
    if _is_openai_base(path):
        return "openai"
    raise InvalidSettingError(
        f"the path of base_url ({path[:120]}) does not say what the server speaks",
        guidance="Give the full path (.../embed, .../v1/embeddings), or dialect='tei', 'openai' or "
        "'hf-inference'.",
        setting="base_url",
    )


def _is_openai_base(path: str) -> bool:
    return path.endswith(("/v1", "/v1/openai"))


def _inside_provider(path: str) -> bool:
    return _is_openai_base(path) and path != "/v1"


def _hf_path(path: str, model: str | None) -> str:
    if "/hf-inference/models/" in path:
        return path + _TASK
    base = path.removesuffix("/v1")
    if not base.endswith("/hf-inference"):
        base += "/hf-inference"
    return f"{base}/models/{check_path_model(model)}{_TASK}"


def _pass_through(parts: SplitResult, path: str, provider: str, wanted: Dialect | None) -> Route:
    if wanted not in (None, "openai"):
        raise InvalidSettingError(
            f"provider {provider!r} speaks the OpenAI form only, not dialect={wanted!r}",
            guidance="Leave dialect out, or use provider='hf-inference'.",
            setting="dialect",
        )
    base = path.removesuffix("/v1")
    return Route(_with_path(parts, base + PASS_THROUGH[provider]), "openai", provider, True)


def _with_path(parts: SplitResult, path: str) -> str:
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
