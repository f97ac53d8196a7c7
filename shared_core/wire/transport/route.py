"""Where a request goes: the origin, the address to dial, and a proxy in between."""

from __future__ import annotations

import base64
import ipaddress
import socket
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import httpcore

from shared_core.errors import InvalidSettingError
from shared_core.wire.transport.faults import (
    Fault,
    ProtocolFault,
    ProxyFault,
    passing_status,
    private_fault,
)
from shared_core.wire.transport.http1 import Exchange, RawHeaders

DEFAULT_PORTS = {b"http": 80, b"https": 443}

PUBLIC_ONLY = "hfrouter.public_only"
"""Name of the request extension that refuses private addresses."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses seen through a gateway (RFC 6052)."""


class Address(NamedTuple):
    """A socket address and its family."""

    family: socket.AddressFamily
    sockaddr: Any


class Origin(NamedTuple):
    """Scheme, host and port: connections are shared within one, as is the proxy on the way.

    Connections that must not lead to private addresses are kept apart (``public_only``).
    """

    scheme: bytes
    host: str
    port: int
    public_only: bool = False

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken with the host."""
        return self.scheme == b"https"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        host: Host to dial.
        port: Port to dial.
        authorization: Value of Proxy-Authorization, or None. Never shown.
    """

    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """Return ``host:port`` for messages."""
        return f"{self.host}:{self.port}"

    def absolute_form(self, url: httpcore.URL, headers: RawHeaders) -> tuple[bytes, RawHeaders]:
        """Return target and headers of a plain http request through this proxy."""
        if self.authorization:
            headers = [*headers, (b"proxy-authorization", self.authorization)]
        return bytes(url), headers


def parse_proxy(url: str | None, source: str | None = None) -> Proxy | None:
    """Return the proxy that *url* names.

    Args:
        url: Address, maybe with user and password.
        source: Where it came from, for the error.

    Raises:
        InvalidSettingError: It is not an ``http://`` URL with a host.
    """
    if not url:
        return None
    host = user = password = None
    port = None
    scheme = ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        user, password = parts.username, parts.password
        scheme = parts.scheme.lower()
    except ValueError:
        host = None
    if scheme != "http" or not host:
        kind = scheme or "unknown"
        raise InvalidSettingError(
            f"proxy{f' (from {source})' if source else ''}: only http://host:port proxies can be "
            f"used, not the scheme {kind!r}",
            guidance="Use an http:// proxy URL (it carries https calls through CONNECT), or pass "
            "http_client= / http_async_client= with a transport of your own.",
            setting="proxy",
            source=source,
        )
    authorization = None
    if user is not None:
        pair = f"{unquote(user)}:{unquote(password or '')}"
        authorization = b"Basic " + base64.b64encode(pair.encode())
    return Proxy(host, port or 80, authorization)


def written(
    exchange: Exchange, request: httpcore.Request, origin: Origin, proxy: Proxy | None, body: bytes
) -> memoryview:
    """Return *request* as bytes to send; its headers stay inside this frame.

    Raises:
        LocalFault: A header or the target is not allowed in HTTP/1.1.
    """
    target, headers = request.url.target, request.headers
    if proxy is not None and not origin.secure:
        target, headers = proxy.absolute_form(request.url, headers)
    return exchange.request(request.method, target, headers, body)


def origin_of(request: httpcore.Request) -> Origin:
    """Return the origin that *request* goes to."""
    url = request.url
    port = url.port or DEFAULT_PORTS.get(url.scheme, 0)
    public_only = bool(request.extensions.get(PUBLIC_ONLY))
    return Origin(url.scheme, url.host.decode("ascii"), port, public_only)


def admitted(addresses: list[Address], origin: Origin) -> list[Address]:
    """Return those of *addresses* that a connection for *origin* may go to.

    Raises:
        httpcore.ConnectError: None may: all are private.
    """
    if not origin.public_only:
        return addresses
    public = [address for address in addresses if is_public(address.sockaddr[0])]
    if addresses and not public:
        raise private_fault(addresses[0].sockaddr[0])
    return public


def refuse_private(origin: Origin) -> None:
    """Refuse a literal private address, where a proxy would look up the name.

    Raises:
        httpcore.ConnectError: The host of *origin* is one, and it may not be.
    """
    admitted(literal_addresses(origin.host, origin.port) or [], origin)


def is_public(address: str) -> bool:
    """Return whether *address* can be reached from everywhere: not of a network of one's own."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def literal_addresses(host: str, port: int) -> list[Address] | None:
    """Return the addresses of *host* if no look-up is needed: literals and localhost."""
    if host == "localhost":
        return [
            Address(socket.AF_INET, ("127.0.0.1", port)),
            Address(socket.AF_INET6, ("::1", port, 0, 0)),
        ]
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if ip.version == 4:
        return [Address(socket.AF_INET, (str(ip), port))]
    return [Address(socket.AF_INET6, (str(ip), port, 0, 0))]


def looked_up(found: list[Any]) -> list[Address]:
    """Return the addresses in a result of getaddrinfo."""
    return [Address(socket.AddressFamily(item[0]), item[4]) for item in found]


def open_socket(family: socket.AddressFamily) -> socket.socket:
    """Return a TCP socket with the options that a request-reply client wants."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def connect_head(origin: Origin, proxy: Proxy) -> tuple[bytes, RawHeaders]:
    """Return target and headers of the CONNECT request for a tunnel to *origin*."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{host}:{origin.port}".encode("ascii")
    headers = [(b"host", target), (b"accept", b"*/*")]
    if proxy.authorization:
        headers.append((b"proxy-authorization", proxy.authorization))
    return target, headers


def refused_tunnel(exchange: Exchange, proxy: Proxy) -> ProxyFault:
    """Return the exception for a proxy that did not open a tunnel, but answered *exchange*."""
    status = exchange.status
    refused = status in (401, 407)  # tinyproxy answers 401 to a wrong password
    reason = f"it wants other credentials ({status})" if refused else f"it answered {status}"
    return ProxyFault(
        Fault(
            "proxy",
            "connect",
            reason,
            unsent=True,
            proxy=proxy.label,
            status=status,
            headers=exchange.headers,
            passing=passing_status(status),
        )
    )


def not_a_proxy(fault: ProtocolFault, proxy: Proxy) -> ProxyFault:
    """Return the exception for what answered CONNECT in no HTTP: something else listens there."""
    reason = fault.fault.reason
    return ProxyFault(Fault("proxy", "connect", reason, unsent=True, proxy=proxy.label))
