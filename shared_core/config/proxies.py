"""Which proxy leads to which address: the caller's, or those of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared_core.config.no_proxy import bypasses_proxy
from shared_core.config.secrets import HiddenURL, unwrap
from shared_core.config.validate import check_url
from shared_core.errors import InvalidSettingError

PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")


class FoundProxy(NamedTuple):
    """A proxy and where it was found.

    Attributes:
        url: Its address, maybe with credentials.
        source: ``"argument"`` or the environment variable, for errors.
    """

    url: HiddenURL
    source: str


class _BadProxy(NamedTuple):
    """A variable that names no proxy: refused when an address needs it."""

    reason: str
    guidance: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies of a client. One given by the caller holds for every address.

    Attributes:
        given: The caller's.
        http: The one of the environment for ``http`` addresses.
        https: Likewise for ``https``.
        exempt: Hosts that are reached without those of the environment (``NO_PROXY``).
    """

    given: FoundProxy | None = None
    http: FoundProxy | _BadProxy | None = None
    https: FoundProxy | _BadProxy | None = None
    exempt: str = ""

    def __bool__(self) -> bool:
        return any(self._all())

    def toward(self, scheme: str, host: str, port: int) -> FoundProxy | None:
        """Return the proxy on the way to an address, None where there is none.

        Args:
            scheme: ``"http"`` or ``"https"``.
            host: Host in lower case, IPv6 without brackets.
            port: Port.

        Raises:
            InvalidSettingError: The variable for this scheme names no proxy.
        """
        if self.given is not None:
            return self.given
        found = self.https if scheme == "https" else self.http
        if found is None or bypasses_proxy(host.rstrip("."), port, self.exempt):
            return None
        if isinstance(found, _BadProxy):
            raise InvalidSettingError(
                found.reason, guidance=found.guidance, setting="proxy", source=found.source
            )
        return found

    @property
    def source(self) -> str:
        """Where they were found: ``"argument"``, variables, or ``"default"`` for none."""
        names = list(dict.fromkeys(one.source for one in self._all()))
        if len(names) < 2:
            return names[0] if names else "default"
        return "environment variables " + " and ".join(name.split()[-1] for name in names)

    def redact(self, text: str) -> str:
        """Return *text* without users and passwords of the proxies."""
        for one in self._all():
            if isinstance(one, FoundProxy):
                text = one.url.redact(text)
        return text

    def _all(self) -> list[FoundProxy | _BadProxy]:
        return [one for one in (self.given, self.http, self.https) if one is not None]


def proxies_of(given: str | HiddenURL | None, env: Mapping[str, str]) -> Proxies:
    """Return the proxy of the caller, else those of the environment as curl reads it.

    Args:
        given: The argument; None or empty means the environment.
        env: Environment.

    Raises:
        InvalidSettingError: The argument is no proxy's address.
    """
    if isinstance(given, HiddenURL):
        checked = _checked(unwrap(given), "argument")
        return Proxies(FoundProxy(given if checked == given else checked, "argument"))
    if given:
        return Proxies(FoundProxy(_checked(given, "argument"), "argument"))
    exempt = env.get("no_proxy") or env.get("NO_PROXY") or ""
    return Proxies(None, _of_environment("http", env), _of_environment("https", env), exempt)


def _of_environment(scheme: str, env: Mapping[str, str]) -> FoundProxy | _BadProxy | None:
    for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"):
        if name == "HTTP_PROXY" and "REQUEST_METHOD" in env:
            continue  # CGI: it may be a header of the visitor
        value = env.get(name, "").strip()
        if value:
            break
    else:
        return None
    source = f"environment variable {name}"
    try:
        return FoundProxy(_checked(value if "://" in value else f"http://{value}", source), source)
    except InvalidSettingError as error:
        return _BadProxy(error.message, error.guidance, source)


def _checked(value: object, source: str) -> HiddenURL:
    """Return *value* as the address of a proxy; it is never shown with its credentials."""
    return HiddenURL(
        check_url(value, setting="proxy", source=source, schemes=PROXY_SCHEMES, credentials=True)
    )
