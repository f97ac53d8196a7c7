"""The settings of a client: frozen, typed, and aware of where each value came from."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from shared_core.config.proxies import Proxies, proxies_of
from shared_core.config.secrets import HiddenHeaders, HiddenURL, Secret, TokenSource, unwrap
from shared_core.config.validate import (
    check_base_url,
    check_header,
    check_header_value,
    check_timeout,
    is_hf_host,
    origin_of,
)
from shared_core.constants import (
    BASE_URL_VARIABLE,
    BILL_TO_VARIABLE,
    ENDPOINTS_URL,
    HUB_URL,
    HUB_URL_VARIABLE,
    ROUTER_URL,
)
from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    import ssl

    from shared_core.config.secrets import TokenLike

DEFAULT_TIMEOUT: Final = 300.0
"""Seconds to wait for an answer; a routed answer may take minutes (protocol.md 9.4)."""

DEFAULT_CONNECT_TIMEOUT: Final = 10.0
"""Seconds to wait for a connection (protocol.md 9.4)."""

_UNSET: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes at which reading stops, and the size of the connection pool.

    Attributes:
        max_body_bytes: Bytes of a decoded body, default 32 MiB.
        max_error_bytes: Bytes of an error body that are read, default 64 KiB; the rest is cut.
        max_event_bytes: Bytes of one event of a stream, default 4 MiB.
        max_header_bytes: Bytes of all response headers, default 64 KiB.
        max_connections: Connections open at once (per event loop), default 1,000.
        keepalive_seconds: How long an idle connection is kept, default 60.
    """

    max_body_bytes: int = 32 * 1024 * 1024
    max_error_bytes: int = 64 * 1024
    max_event_bytes: int = 4 * 1024 * 1024
    max_header_bytes: int = 64 * 1024
    max_connections: int = 1000
    keepalive_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            number = int | float if name == "keepalive_seconds" else int
            if isinstance(value, bool) or not isinstance(value, number) or not value > 0:
                raise InvalidSettingError(
                    f"limits.{name} must be a positive number: {value!r}", setting=f"limits.{name}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSSettings:
    """How servers are verified. Verification is on, with TLS 1.2 or higher.

    Attributes:
        ca_file: PEM file with the certificate authorities to trust instead of the usual ones.
        client_cert: PEM file with a certificate of ours (mutual TLS).
        client_key: PEM file with its key, if it is not in ``client_cert``.
        min_version: ``"TLSv1.2"`` (default) or ``"TLSv1.3"``.
        ssl_context: A context of your own; exclusive with the other settings.
        insecure_tls: True turns verification off: everybody on the way can then read the
            token. For tests against a server of one's own; anything but ``True`` is refused.
    """

    ca_file: str | os.PathLike[str] | None = None
    client_cert: str | os.PathLike[str] | None = None
    client_key: str | os.PathLike[str] | None = None
    min_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    ssl_context: ssl.SSLContext | None = None
    insecure_tls: bool = False

    def __post_init__(self) -> None:
        if self.insecure_tls is not True and self.insecure_tls is not False:
            raise _invalid("tls.insecure_tls", "must be the literal True or False")
        if self.min_version not in ("TLSv1.2", "TLSv1.3"):
            raise _invalid("tls.min_version", "must be 'TLSv1.2' or 'TLSv1.3'")
        for name in ("ca_file", "client_cert", "client_key"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str | os.PathLike):
                raise _invalid(f"tls.{name}", f"must be a path, not {type(value).__name__}")
        if self.client_key is not None and self.client_cert is None:
            raise _invalid("tls.client_key", "needs tls.client_cert too")
        others = (self.ca_file, self.client_cert, self.insecure_tls or None)
        if self.ssl_context is not None and any(other is not None for other in others):
            raise _invalid("tls.ssl_context", "excludes the other TLS settings")

    def __deepcopy__(self, memo: dict[int, Any]) -> TLSSettings:
        return self  # frozen; an SSLContext cannot be copied

    def __reduce__(self) -> tuple[Any, ...]:
        if self.ssl_context is not None:
            raise TypeError("an ssl_context cannot be pickled: use ca_file and client_cert")
        values = {name: getattr(self, name) for name in self.__slots__ if name != "ssl_context"}
        return _rebuild_tls, (values,)


def _rebuild_tls(values: dict[str, Any]) -> TLSSettings:
    return TLSSettings(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a client needs to know to send a request.

    Build it with :meth:`resolve`, which validates. Safe to show, pickle and share.

    Attributes:
        token: Where the token comes from.
        base_url: Where chat and embeddings are served, without a slash at the end.
        hub_url: The Hub.
        endpoints_url: The control plane of Inference Endpoints.
        timeout: Seconds to wait for an answer, or between two meaningful events of a stream;
            None waits for ever.
        connect_timeout: Seconds to wait for a connection.
        default_headers: Sent with every call, where :meth:`at_home` says so.
        user_agent: The whole ``User-Agent``.
        bill_to: Organisation that pays (``X-HF-Bill-To``).
        proxies: Which proxy leads to which address.
        tls: Certificates and versions.
        limits: Size and connection limits.
        sources: Setting name -> where the value came from.
    """

    token: TokenSource = field(default_factory=TokenSource)
    base_url: str = ROUTER_URL
    hub_url: str = HUB_URL
    endpoints_url: str = ENDPOINTS_URL
    timeout: float | None = DEFAULT_TIMEOUT
    connect_timeout: float | None = DEFAULT_CONNECT_TIMEOUT
    default_headers: HiddenHeaders = field(default_factory=HiddenHeaders)
    user_agent: str = "hfrouter"
    bill_to: str | None = None
    proxies: Proxies = field(default_factory=Proxies)
    tls: TLSSettings = field(default_factory=TLSSettings)
    limits: Limits = field(default_factory=Limits)
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def resolve(
        cls,
        *,
        api_key: TokenLike | None = None,
        base_url: str | None = None,
        hub_url: str | None = None,
        endpoints_url: str | None = None,
        timeout: Any = _UNSET,
        connect_timeout: float | None = _UNSET,
        default_headers: Mapping[str, str] | None = None,
        user_agent: str | None = None,
        bill_to: str | None = None,
        proxy: str | HiddenURL | None = None,
        tls: TLSSettings | None = None,
        limits: Limits | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Settings:
        """Return validated settings: arguments first, then the environment, then defaults.

        Args:
            api_key: Token: a string, a ``SecretStr``, a callable, or None to look around.
            base_url: Else ``HUGGINGFACE_BASE_URL``, else the router.
            hub_url: Else ``HF_ENDPOINT``, else ``https://huggingface.co``.
            endpoints_url: Else ``https://api.endpoints.huggingface.cloud``.
            timeout: Seconds, default 300; None waits for ever. An ``httpx.Timeout`` is
                tolerated: ``read`` and ``connect`` are taken.
            connect_timeout: Seconds, default 10.
            default_headers: Sent with every call.
            user_agent: Put before our own.
            bill_to: Else ``HF_BILL_TO``.
            proxy: URL, maybe with credentials, for every address; else ``HTTPS_PROXY``
                (``HTTP_PROXY`` for http) or ``ALL_PROXY``, for each address that is not this
                machine and that ``NO_PROXY`` does not name.
            tls: Certificates and versions.
            limits: Size and connection limits.
            env: Environment; ``os.environ`` when None, read now.

        Raises:
            InvalidSettingError: A value is refused; names the setting and its source.
        """
        around = os.environ if env is None else env
        found = _Found(around)
        url = check_base_url(
            found.pick("base_url", base_url, BASE_URL_VARIABLE, ROUTER_URL),
            setting="base_url",
            source=found.source("base_url"),
        )
        hub = check_base_url(
            found.pick("hub_url", hub_url, HUB_URL_VARIABLE, HUB_URL),
            setting="hub_url",
            source=found.source("hub_url"),
        )
        control = check_base_url(
            found.pick("endpoints_url", endpoints_url, "", ENDPOINTS_URL),
            setting="endpoints_url",
            source=found.source("endpoints_url"),
        )
        payer = found.pick("bill_to", bill_to, BILL_TO_VARIABLE, None)
        if payer is not None:
            check_header_value(payer, setting="bill_to", source=found.source("bill_to"))
        connect = DEFAULT_CONNECT_TIMEOUT if connect_timeout is _UNSET else connect_timeout
        if connect_timeout is _UNSET and not isinstance(timeout, int | float):
            connect = getattr(timeout, "connect", connect)
        proxies = proxies_of(proxy, around)
        found.sources["proxy"] = proxies.source
        proxies.toward(*origin_of(url))  # a bad one is refused before the first call
        return cls(
            token=api_key if isinstance(api_key, TokenSource) else TokenSource(api_key, env=env),
            base_url=url,
            hub_url=hub,
            endpoints_url=control,
            timeout=check_timeout(DEFAULT_TIMEOUT if timeout is _UNSET else timeout),
            connect_timeout=check_timeout(connect, setting="connect_timeout"),
            default_headers=_headers(default_headers),
            user_agent=_user_agent(user_agent),
            bill_to=payer,
            proxies=proxies,
            tls=_typed("tls", tls, TLSSettings),
            limits=_typed("limits", limits, Limits),
            sources=MappingProxyType(found.sources),
        )

    @property
    def proxy(self) -> HiddenURL | None:
        """The proxy on the way to ``base_url``, with its credentials, or None."""
        found = self.proxies.toward(*origin_of(self.base_url))
        return None if found is None else found.url

    def token_for(self, url: str, *, required: bool = False) -> Secret | None:
        """Return the token for a request to *url*, or None where none may or need be sent.

        It goes to the origins of ``base_url``, ``hub_url`` and ``endpoints_url`` and, over
        https, to ``huggingface.co`` and its subdomains and to the control plane of Inference
        Endpoints; never anywhere else, e.g. to media servers. An endpoint itself, which runs
        whatever its owner put there, gets it only as ``base_url``.

        Args:
            url: Address of the request.
            required: Whether the operation needs a token on huggingface.co (chat does, a
                public model list does not).

        Raises:
            MissingTokenError: It is required, *url* is on huggingface.co, and there is none.
            InvalidSettingError: The token cannot be sent.
        """
        if not self.trusts(url):
            return None
        return self.token.require() if required and _on_hf(origin_of(url)) else self.token.get()

    def trusts(self, url: str) -> bool:
        """Return whether *url* is at a configured origin or, over https, at Hugging Face.

        Args:
            url: Address of a request.
        """
        origin = origin_of(url)
        configured = (self.base_url, self.hub_url, self.endpoints_url)
        return _on_hf(origin) or origin in map(origin_of, configured)

    def at_home(self, url: str) -> bool:
        """Return whether headers that the user set may go to *url*.

        They may hold the key of a gateway, so they go to the origin of ``base_url``, to those
        of ``hub_url`` and ``endpoints_url`` where these were named too, and to huggingface.co
        only if ``base_url`` is there.

        Args:
            url: Address of a request.
        """
        origin, home = origin_of(url), origin_of(self.base_url)
        if origin == home or (_on_hf(origin) and _on_hf(home)):
            return True
        named = [
            name for name in ("hub_url", "endpoints_url") if self.sources.get(name) != "default"
        ]
        return any(origin == origin_of(getattr(self, name)) for name in named)

    def redact(self, text: str) -> str:
        """Return *text* without the token, the proxy's password and default headers."""
        return self.proxies.redact(self.default_headers.redact(self.token.redact(text)))

    def describe_sources(self) -> dict[str, str]:
        """Return setting name -> where its value came from, the token included once known."""
        known = dict(self.sources)
        if self.token.origin is not None:
            known["token"] = self.token.origin
        if self.default_headers.lost:
            lost = ", ".join(self.default_headers.lost)
            known["default_headers"] = f"a pickle, without the values of {lost}"
        return known

    def __deepcopy__(self, memo: dict[int, Any]) -> Settings:
        return self  # frozen all the way down

    def __reduce__(self) -> tuple[Any, ...]:
        values = {name: getattr(self, name) for name in self.__slots__}
        values["sources"] = dict(self.sources)
        return _rebuild_settings, (values,)


def _rebuild_settings(values: dict[str, Any]) -> Settings:
    return Settings(**{**values, "sources": MappingProxyType(values["sources"])})


def _on_hf(origin: tuple[str, str, int]) -> bool:
    return origin[0] == "https" and is_hf_host(origin[1])


class _Found:
    """Chooses between argument, environment and default, and notes which it was."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.sources: dict[str, str] = {}

    def pick(self, name: str, argument: Any, variable: str, default: Any) -> Any:
        if argument is not None and argument != "":
            self.sources[name] = "argument"
            return argument
        value = self.env.get(variable, "").strip()
        if value:
            self.sources[name] = f"environment variable {variable}"
            return value
        self.sources[name] = "default"
        return default

    def source(self, name: str) -> str | None:
        source = self.sources[name]
        return None if source == "default" else source


def _headers(given: Mapping[str, str] | None) -> HiddenHeaders:
    if given is None:
        return HiddenHeaders()
    if not isinstance(given, Mapping):
        raise _invalid("default_headers", f"must be a mapping, not {type(given).__name__}")
    headers: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in given.items():
        text = check_header(name, unwrap(value), setting="default_headers")
        if name.lower() in seen:
            raise _invalid("default_headers", f"has the header {name} twice")
        seen.add(name.lower())
        headers[name] = text
    return HiddenHeaders(headers, given.lost if isinstance(given, HiddenHeaders) else ())


def _user_agent(prefix: str | None) -> str:
    from shared_core import __version__

    own = f"hfrouter/{__version__} python/{sys.version_info[0]}.{sys.version_info[1]}"
    if not prefix:
        return own
    return f"{check_header_value(prefix, setting='user_agent')} {own}"


def _typed(name: str, value: Any, kind: type[Any]) -> Any:
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise _invalid(name, f"must be a {kind.__name__}, not {type(value).__name__}")
    return value


def _invalid(setting: str, reason: str) -> InvalidSettingError:
    return InvalidSettingError(f"{setting} {reason}", setting=setting)
