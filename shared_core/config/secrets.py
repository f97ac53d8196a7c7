"""The token and other values that must never be shown.

:class:`Secret` hides a value, :class:`TokenSource` finds the token when it is first needed.
Only the HTTP wire calls :meth:`Secret.get_secret_value`.
"""

from __future__ import annotations

import hmac
import os
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from shared_core.config.hiding import SHORTEST_TOKEN, forms_of, hide
from shared_core.constants import NO_IMPLICIT_TOKEN_VARIABLE, TOKEN_VARIABLES
from shared_core.errors import InvalidSettingError, MissingTokenError

MASK = "**********"
_SENSITIVE = ("auth", "cookie", "key", "password", "secret", "token")
_PLAIN_CALLABLE = "Pass a plain (not async) function that returns a string or a SecretStr."
_SHORTEST_VALUE = 8
_SHORTEST_CREDENTIAL = 6


@runtime_checkable
class SecretLike(Protocol):
    """Whatever hides a value as pydantic's ``SecretStr`` does."""

    def get_secret_value(self) -> str:
        """Return the value."""
        ...


TokenLike: TypeAlias = "str | SecretLike | Callable[[], str | SecretLike | None] | TokenSource"
"""What ``api_key`` accepts."""


class Secret:
    """A text that shows itself to nobody: not in ``repr``, ``str``, logs or pickles."""

    __slots__ = ("_forms", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._forms: tuple[str, ...] | None = None

    def get_secret_value(self) -> str:
        """Return the value; for the HTTP wire only."""
        return self._value

    @property
    def is_hub_token(self) -> bool:
        """Whether it is a token of the Hub, to be shown to nobody else.

        Those, OAuth tokens included, begin with ``hf_``. A JSON Web Token (``eyJ``, the
        base64 of ``{"``) is an identity, as CI gets one: no provider's key looks like that.
        """
        return self._value.startswith(("hf_", "eyJ"))

    def fingerprint(self) -> str:
        """Return a digest that tells two values apart and does not show them."""
        import hashlib

        return hashlib.sha256(b"hfrouter token " + self._value.encode()).hexdigest()

    def redact(self, text: str) -> str:
        """Return *text* with the value hidden, also where it is encoded or cut."""
        if self._forms is None:
            self._forms = forms_of(self._value) if len(self._value) >= SHORTEST_TOKEN else ()
        return hide(text, self._value, self._forms)

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a Secret cannot be pickled")


class HiddenURL(Secret):
    """A URL that may hold a user and a password, e.g. of a proxy; shows itself without them."""

    __slots__ = ()

    @property
    def public(self) -> str:
        """The URL without user and password."""
        from urllib.parse import urlsplit

        parts = urlsplit(self._value)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

    def redact(self, text: str) -> str:
        """Return *text* with the user part of the URL and the password hidden."""
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(self._value)
        user, _, _ = parts.netloc.rpartition("@")
        for secret in (user, parts.password, unquote(parts.password or "")):
            text = text.replace(secret, "***") if secret else text
        return text

    def __repr__(self) -> str:
        return f"HiddenURL({self.public!r})"

    def __str__(self) -> str:
        return self.public

    def __reduce__(self) -> tuple[Any, ...]:
        return HiddenURL, (self.public,)


HARMLESS_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "content-language",
        "content-type",
        "prefer",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-amzn-trace-id",
        "x-hf-bill-to",
        "x-scale-up-timeout",
        "x-use-cache",
    }
)
"""Headers that hold no credential: only their values travel in pickles and show in errors."""


class HiddenHeaders(Mapping[str, str]):
    """Headers that show their names only.

    Nobody can tell from its name whether a header holds a secret. Pickles therefore keep the
    values of :data:`HARMLESS_HEADERS` alone; give the others again after unpickling.

    Args:
        items: Names and values.
        lost: Names of headers whose values were left behind by a pickle.
    """

    __slots__ = ("_items", "_secrets", "lost")

    def __init__(self, items: Mapping[str, str] | None = None, lost: tuple[str, ...] = ()) -> None:
        self._items = dict(items or {})
        self._secrets: tuple[Secret, ...] | None = None
        self.lost = lost

    def redact(self, text: str) -> str:
        """Return *text* without the values, but for those of :data:`HARMLESS_HEADERS`."""
        if self._secrets is None:
            self._secrets = tuple(Secret(value) for value in self._worth_hiding())
        for secret in self._secrets:
            text = secret.redact(text)
        return text

    def _worth_hiding(self) -> Iterator[str]:
        for name, value in self._items.items():
            if name.lower() in HARMLESS_HEADERS:
                continue
            shortest = _SHORTEST_CREDENTIAL if is_sensitive(name) else _SHORTEST_VALUE
            credential = value.rpartition(" ")[2]  # without a scheme such as "Bearer"
            yield from (each for each in (value, credential) if len(each) >= shortest)

    def __getitem__(self, name: str) -> str:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        names = [*self._items, *(f"{name} (not pickled)" for name in self.lost)]
        return f"HiddenHeaders({', '.join(names)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> HiddenHeaders:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        kept = {name: v for name, v in self._items.items() if name.lower() in HARMLESS_HEADERS}
        left = (name for name in self._items if name not in kept)
        return HiddenHeaders, (kept, (*self.lost, *left))


def is_sensitive(name: str) -> bool:
    """Whether a header of that name is likely to hold a credential."""
    return any(word in name.lower() for word in _SENSITIVE)


def unwrap(value: object) -> object:
    """Return what the user's ``SecretStr`` (or the like) hides, or *value* itself."""
    return value.get_secret_value() if isinstance(value, SecretLike) else value


class TokenSource:
    """Where the token comes from; looked up at the first call that needs it.

    Order: the argument; the environment variables of
    :data:`~shared_core.constants.TOKEN_VARIABLES`; ``.env`` and ``secret/-secrets.sh`` in the
    working directory or above; the Hub's token file. ``HF_HUB_DISABLE_IMPLICIT_TOKEN=1``
    leaves only the argument. A callable is asked again for every request; a token that was
    found is kept.

    Pickles drop a token that was given as an argument (a module-level function stays): the
    copy then looks in the places of its own process.

    Args:
        value: The argument; None or empty means "look around".
        env: Environment; ``os.environ`` at the time of the lookup when None.
        cwd: Where the search for files begins; the working directory when None.
    """

    def __init__(
        self,
        value: str | SecretLike | Callable[[], str | SecretLike | None] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._env = env
        self._cwd = cwd
        self._call: Callable[[], Any] | None = None
        self._token: Secret | None = None
        self._latest: Secret | None = None
        self._looked_at: tuple[str, ...] | None = None
        self._origin: str | None = None
        if value is None:
            return
        if isinstance(value, str | SecretLike):
            self._token = _secret(value, "argument")
            self._origin = "argument" if self._token is not None else None
        elif callable(value):
            if _is_async(value):
                raise InvalidSettingError(
                    "the callable given as api_key is async: the clients ask it without waiting",
                    setting="api_key",
                    source="argument (callable)",
                    guidance=_PLAIN_CALLABLE,
                )
            self._call = value
            self._origin = "argument (callable)"
        else:
            raise InvalidSettingError(
                "api_key must be a string, a SecretStr or a callable that returns one, not "
                f"{type(value).__name__}",
                setting="api_key",
                source="argument",
            )

    @property
    def origin(self) -> str | None:
        """Where the token came from, or None while it is not known."""
        return self._origin

    @property
    def is_argument(self) -> bool:
        """Whether the token was given as an argument, rather than found in the surroundings."""
        return (self._origin or "").startswith("argument") and not self._lost

    @property
    def _lost(self) -> bool:
        return self._origin == "argument (not pickled)"

    def get(self) -> Secret | None:
        """Return the token, or None if there is none.

        Raises:
            InvalidSettingError: The token cannot be sent, or the callable failed.
        """
        if self._call is not None:
            self._latest = self._ask(self._call)
            return self._latest
        if self._token is None and self._looked_at is None:
            self._look()
        return self._token

    def require(self) -> Secret:
        """Return the token.

        Raises:
            MissingTokenError: There is none; names the places that were looked at.
            InvalidSettingError: The token cannot be sent, or the callable failed.
        """
        token = self.get()
        if token is None and self._call is None:
            self._looked_at = None  # it may have been set since
            token = self.get()
        if token is None:
            raise self.missing()
        return token

    def missing(self) -> MissingTokenError:
        """Return the error for "a token is needed and there is none"."""
        if self._call is not None:
            places: tuple[str, ...] = ("the callable given as api_key",)
        else:
            places = self._looked_at or ()
        text = "; ".join(places).replace("; environment variable HUGG", ", HUGG")
        return MissingTokenError(
            f"no Hugging Face token found; looked at: {text}", looked_at=places
        )

    def redact(self, text: str) -> str:
        """Return *text* with the token hidden, as far as it is known by now."""
        for secret in (self._token, self._latest):
            if secret is not None:
                text = secret.redact(text)
        return text

    def _ask(self, call: Callable[[], Any]) -> Secret | None:
        try:
            value = call()
        except Exception as exc:
            raise InvalidSettingError(
                f"the callable given as api_key raised {type(exc).__name__}",
                setting="api_key",
                source="argument (callable)",
            ) from exc
        if value is None or isinstance(value, str | SecretLike):
            return _secret(value, "argument (callable)")
        if isinstance(value, types.CoroutineType):
            value.close()
        raise InvalidSettingError(
            f"the callable given as api_key returned {type(value).__name__}, not text",
            setting="api_key",
            source="argument (callable)",
            guidance=_PLAIN_CALLABLE,
        )

    def _look(self) -> None:
        env = os.environ if self._env is None else self._env
        looked: list[str] = ["the argument (not pickled)" if self._lost else "api_key"]
        if env.get(NO_IMPLICIT_TOKEN_VARIABLE, "").strip().lower() in ("1", "true", "yes", "on"):
            looked.append(f"nothing else ({NO_IMPLICIT_TOKEN_VARIABLE} is set)")
            self._looked_at = tuple(looked)
            return
        for value, place in _places(env, self._cwd):
            looked.append(place)
            secret = _secret(value, place)
            if secret is not None:
                self._token, self._origin = secret, place
                break
        self._looked_at = tuple(looked)

    def __repr__(self) -> str:
        return f"TokenSource(origin={self._origin!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenSource:
        return self

    def __getstate__(self) -> dict[str, Any]:
        keep = self._call if _is_module_level(self._call) else None
        if keep is None and (self.is_argument or self._lost):
            return {"call": None, "origin": "argument (not pickled)"}
        return {"call": keep, "origin": self._origin if keep is not None else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self._call = state["call"]
        self._origin = state["origin"]


def _places(env: Mapping[str, str], cwd: Path | None) -> Iterator[tuple[str | None, str]]:
    """Yield what each place holds and its name, in order; files are read when it is their turn."""
    from shared_core.config import token_files

    for name in TOKEN_VARIABLES:
        yield env.get(name), f"environment variable {name}"
    try:
        start = (cwd or Path.cwd()).absolute()
    except OSError:  # the working directory is gone
        start = None
    if start is not None:
        for relative in (token_files.ENV_FILE, token_files.SECRETS_FILE):
            yield token_files.find_in_files(start, relative, TOKEN_VARIABLES)
    path = token_files.hub_token_path(env)
    if path is not None:
        yield token_files.read_text(path), str(path)


def _secret(value: str | SecretLike | None, origin: str) -> Secret | None:
    """Return the token in *value* without blanks around it, or None if it is empty.

    Raises:
        InvalidSettingError: It cannot be a header value; it is not shown.
    """
    if value is None:
        return None
    text = unwrap(value)
    if not isinstance(text, str):
        raise InvalidSettingError(
            f"the token (from {origin}) must be text, not {type(text).__name__}",
            setting="api_key",
            source=origin,
        )
    text = text.strip()
    if not text:
        return None
    quoted = text[0] in "\"'"  # docker --env-file and the like keep quotes
    if quoted or not text.isascii() or not text.isprintable() or " " in text:
        found = "is in quotes" if quoted else "contains a blank, a control or a non-ASCII character"
        raise InvalidSettingError(
            f"the token (from {origin}) {found}",
            setting="api_key",
            source=origin,
            guidance="Copy the token again from https://huggingface.co/settings/tokens.",
        )
    return Secret(text)


def _is_async(call: Callable[[], Any]) -> bool:
    from inspect import iscoroutinefunction

    return iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__)


def _is_module_level(call: Callable[[], Any] | None) -> bool:
    return (
        isinstance(call, types.FunctionType)
        and "<" not in call.__qualname__
        and not call.__closure__
    )
