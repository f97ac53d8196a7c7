"""What can go wrong on a connection, as httpcore exceptions that carry the facts.

httpx maps httpcore's exceptions to its own by class and keeps the original as the cause, so
a caller above httpx still finds the :class:`Fault`.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import httpcore

Kind = Literal["dns", "connect", "tls", "proxy", "timeout", "lost", "protocol", "header", "private"]
_LASTING = (501, 505, 506, 508, 510, 511)
"""Statuses from 500 on that a repetition does not heal (RFC 9110, 2774, 5842, 6585)."""

Phase = Literal["pool", "connect", "send", "head", "body"]


@dataclass(slots=True)
class Fault:
    """The facts of a failure.

    Attributes:
        kind: Which sort of failure.
        phase: Where the exchange was.
        reason: What the system said, without secrets.
        unsent: Whether a part of the request had provably not left this machine.
        reused: Whether the connection had served an earlier request.
        answered: Whether at least one byte of the answer had come.
        proxy: ``host:port`` of the proxy, when it is to blame.
        status: Status that a proxy answered with.
        headers: Response headers that came with it.
        passing: Whether a proxy may open the way a moment later.
    """

    kind: Kind
    phase: Phase
    reason: str = ""
    unsent: bool = False
    reused: bool = False
    answered: bool = False
    proxy: str = ""
    status: int = 0
    headers: Sequence[tuple[bytes, bytes]] = ()
    passing: bool = False


class _Faulty(Exception):
    """Mixin: an exception with a :class:`Fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


class PoolTimeoutFault(_Faulty, httpcore.PoolTimeout):
    """No connection became free in time."""


class ConnectTimeoutFault(_Faulty, httpcore.ConnectTimeout):
    """No connection was established in time."""


class ReadTimeoutFault(_Faulty, httpcore.ReadTimeout):
    """The deadline passed while sending or receiving."""


class ConnectFault(_Faulty, httpcore.ConnectError):
    """Name, address or TLS trouble before the request."""


class ProxyFault(_Faulty, httpcore.ProxyError):
    """The proxy could not be reached or refused."""


class LostFault(_Faulty, httpcore.ReadError):
    """The connection ended before the answer was complete."""


class ProtocolFault(_Faulty, httpcore.RemoteProtocolError):
    """What came is not HTTP/1.1, or over a limit."""


class LocalFault(_Faulty, httpcore.LocalProtocolError):
    """The request cannot be written as HTTP/1.1."""


def timeout_fault(phase: Phase, *, unsent: bool = False) -> _Faulty:
    """Return the exception for a deadline that passed in *phase*."""
    fault = Fault("timeout", phase, "timed out", unsent=unsent or phase in ("pool", "connect"))
    if phase == "pool":
        return PoolTimeoutFault(fault)
    return ConnectTimeoutFault(fault) if phase == "connect" else ReadTimeoutFault(fault)


def connect_fault(exc: OSError, proxy: str = "") -> _Faulty:
    """Return the exception for an *exc* met while connecting."""
    if isinstance(exc, TimeoutError) and not isinstance(exc, ssl.SSLError):
        return (
            silent_proxy("timed out", proxy, reached=False) if proxy else timeout_fault("connect")
        )
    reason = reason_of(exc)
    if proxy:
        return silent_proxy(reason, proxy, reached=False)
    kind: Kind = "connect"
    if isinstance(exc, socket.gaierror):
        kind = "dns"
    elif isinstance(exc, ssl.SSLError | ssl.CertificateError):
        kind = "tls"
    return ConnectFault(Fault(kind, "connect", reason, unsent=True))


def passing_status(status: int) -> bool:
    """Return whether a proxy that answered *status* may open the way a moment later."""
    return status in (408, 429) or (status >= 500 and status not in _LASTING)


def silent_proxy(reason: str, proxy: str, *, reached: bool) -> ProxyFault:
    """Return the exception for a *proxy* that gave no answer, for *reason*.

    Args:
        reason: What the system said.
        proxy: Its ``host:port``.
        reached: Whether it had taken the connection.
    """
    phase: Phase = "head" if reached else "connect"
    return ProxyFault(Fault("proxy", phase, reason, unsent=True, proxy=proxy, passing=True))


def private_fault(address: str) -> ConnectFault:
    """Return the exception for an *address* that a request for public ones may not go to."""
    reason = f"its address {address} is private"
    return ConnectFault(Fault("private", "connect", reason, unsent=True))


def tls_fault(exc: BaseException) -> ConnectFault:
    """Return the exception for a failed TLS handshake."""
    return ConnectFault(Fault("tls", "connect", reason_of(exc), unsent=True))


def reason_of(exc: BaseException) -> str:
    """Return the system's words for *exc*, never empty."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError) and exc.reason:
        return exc.reason.replace("_", " ").lower()
    if isinstance(exc, OSError) and exc.strerror:
        known = exc.errno if not isinstance(exc, socket.gaierror | ssl.SSLError) else None
        return os.strerror(known) if known and known > 0 else exc.strerror
    return str(exc) or type(exc).__name__
