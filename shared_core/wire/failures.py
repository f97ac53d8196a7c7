"""Turn what HTTP libraries raise into our errors: what happened, where, and what to do."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import httpcore
import httpx

from shared_core.config.secrets import HiddenHeaders
from shared_core.error_base import host_of, safe_url
from shared_core.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ConnectFailedError,
    ConnectionLostError,
    ErrorContext,
    NameResolutionError,
    ProxyError,
    ProxyUnavailableError,
    RedirectRefusedError,
    ResponseTooLargeError,
    TLSError,
)
from shared_core.wire.deadline import Deadline, monotonic
from shared_core.wire.transport.faults import Fault, Phase, passing_status, reason_of

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.wire.messages import WireRequest

FAILURES = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,
)
"""What an HTTP client may raise when an exchange fails; anything else is a defect or a signal."""

_PHASES = {"pool": "pool", "connect": "connect", "send": "write", "head": "read", "body": "read"}
_DEEPEST_CAUSE = 8


@dataclass(slots=True)
class Call:
    """One exchange as the wire sees it; where errors take their context from.

    Attributes:
        request: What was asked for.
        settings: Settings of the client.
        deadline: When waiting ends.
        url: Current address; changes with redirects.
        started: Monotonic time of the start.
        streaming: Whether events are being read.
        answered: Whether the head of an answer is here.
        hops: Redirects followed so far.
    """

    request: WireRequest
    settings: Settings
    deadline: Deadline
    url: str
    started: float
    streaming: bool = False
    answered: bool = False
    hops: int = 0

    @classmethod
    def begin(cls, request: WireRequest, settings: Settings) -> Call:
        """Return the call for *request*; its time runs from now."""
        settings = request.settings or settings
        deadline = Deadline(request.timeout, connect_timeout=settings.connect_timeout)
        deadline.end_by(request.expires)
        return cls(request, settings, deadline, request.url, monotonic())

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return monotonic() - self.started

    @property
    def host(self) -> str:
        """Host and port that are addressed."""
        return host_of(self.url) or "the server"

    def redact(self, text: str) -> str:
        """Return *text* without the secrets of the client and of this request's own headers."""
        text = self.settings.redact(text)
        own = self.request.headers
        return HiddenHeaders(own).redact(text) if own else text

    def context(self, **more: str | None) -> ErrorContext:
        """Return the keyword arguments that every error of this call gets."""
        request = self.request
        context: ErrorContext = {
            "operation": request.operation,
            "model": request.model,
            "provider": request.provider,
            "url": safe_url(self.url),
            "elapsed": self.elapsed,
        }
        if more.get("guidance"):
            context["guidance"] = more["guidance"]
        return context


def translate(exc: BaseException, call: Call) -> APIError:
    """Return the error that says what *exc* means for *call*; no reference to it remains."""
    if _bad_location(exc):
        return RedirectRefusedError(
            f"{call.host} redirects to what is not an http address: not followed", **call.context()
        )
    fault = _fault_of(exc) or _guess(exc, "body" if call.answered else "head")
    fault = replace(fault, reason=call.redact(fault.reason))
    if fault.kind == "timeout":
        return _timeout(fault, call)
    if fault.kind == "lost":
        return _lost(fault, call)
    if fault.kind == "header":
        limit = call.settings.limits.max_header_bytes
        error = ResponseTooLargeError(
            f"{call.host} sent response headers of more than {limit:,} bytes",
            status_code=0,
            **call.context(),
        )
        error.guidance = "If you trust the server, raise limits=Limits(max_header_bytes=...)."
        return error
    if fault.kind == "protocol":
        return _protocol(fault, call)
    return _unreachable(fault, call)


def _bad_location(exc: BaseException) -> bool:
    """Tell whether httpx itself refused the Location of a redirect, which it always parses."""
    if isinstance(exc, httpx.RemoteProtocolError):
        return "location header" in str(exc)
    return isinstance(exc, httpx.InvalidURL)  # our own address was parsed before


def _unreachable(fault: Fault, call: Call) -> APIError:
    host, reason = call.host, fault.reason
    if fault.kind == "dns":
        return NameResolutionError(
            f"the name of {host} does not resolve: {reason}", **call.context()
        )
    if fault.kind == "proxy":
        named = f"the proxy {fault.proxy}" if fault.proxy else "the proxy"
        advice = None
        if fault.status in (401, 407):
            advice = "Put the user and password for the proxy into proxy=."
        kind = ProxyUnavailableError if fault.passing else ProxyError
        return kind(
            f"{named} did not open the way to {host}: {reason}",
            proxy_status=fault.status or None,
            proxy_reached=bool(fault.status) or fault.phase == "head",
            retry_after=_asked_wait(fault),
            **call.context(guidance=advice),
        )
    if fault.kind == "tls":
        return TLSError(
            f"no secure connection to {host}: {reason}",
            **call.context(guidance=_tls_advice(reason)),
        )
    advice = None
    if fault.kind == "private":
        advice = "Only public addresses are fetched; allow_private_urls=True allows the others."
    return ConnectFailedError(
        f"cannot connect to {host}: {reason}", **call.context(guidance=advice)
    )


def _asked_wait(fault: Fault) -> float | None:
    """Return the seconds that a proxy asks to wait, or None."""
    if not fault.headers:
        return None
    from shared_core.error_waits import retry_after

    return retry_after(
        fault.status,
        {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in fault.headers},
    )


def _tls_advice(reason: str) -> str | None:
    text = reason.lower()
    if "wrong version number" in text or "http request" in text or "record layer" in text:
        return "The server seems to speak plain HTTP on this port: check base_url (scheme, port)."
    if "protocol" in text or "version" in text:
        return "TLS 1.2 or higher is required; this server offers only older versions. Update it."
    return None


def _timeout(fault: Fault, call: Call) -> APITimeoutError:
    timeout = call.request.timeout
    phase = "stream" if call.streaming and fault.phase == "body" else _PHASES[fault.phase]
    advice = None
    if phase == "connect":
        limit = call.deadline.connect_timeout
        timeout = limit if timeout is None or (limit is not None and limit < timeout) else timeout
        message = f"no connection to {call.host} within {_seconds(timeout)}"
        advice = "Check host, port and network, or raise connect_timeout= (seconds)."
    elif phase == "pool":
        message = f"no connection became free within {_seconds(timeout)}"
        advice = "Make fewer calls at once, or raise limits=Limits(max_connections=...)."
    elif phase == "stream":
        message = f"{call.host} sent no event within {_seconds(timeout)}"
        advice = "Raise timeout= (seconds between two events), or ask another provider."
    else:
        message = f"no complete answer from {call.host} within {_seconds(timeout)}"
    return APITimeoutError(message, phase=phase, timeout=timeout, **call.context(guidance=advice))


def _seconds(timeout: float | None) -> str:
    return "the time allowed" if timeout is None else f"{timeout:g} s"


def _lost(fault: Fault, call: Call) -> ConnectionLostError:
    safe = fault.unsent and not fault.answered
    if fault.phase == "body":
        where = "in the middle of the answer"
    elif fault.answered:
        where = "inside the response headers"
    else:
        where = "before any answer"
    kept = " (a connection kept open from an earlier call)" if fault.reused else ""
    if safe:
        advice = "The request was not sent completely, so it is safe to repeat it."
    elif call.request.idempotent:
        advice = "Try again, or set max_retries; repeating this request costs nothing."
    else:
        advice = None
    return ConnectionLostError(
        f"{call.host} dropped the connection {where}{kept}: {fault.reason}",
        maybe_processed=not safe,
        **call.context(guidance=advice),
    )


def _protocol(fault: Fault, call: Call) -> APIError:
    if fault.phase == "send":
        return APIConnectionError(
            f"the request cannot be written as HTTP: {fault.reason}",
            **call.context(guidance="Correct the URL or the header that is named above."),
        )
    if fault.phase == "body":
        return ConnectionLostError(
            f"{call.host} broke the framing of its answer: {fault.reason}", **call.context()
        )
    return APIConnectionError(
        f"{call.host} does not answer in HTTP/1.1: {fault.reason}",
        **call.context(guidance="Check the scheme and port of base_url, and what listens there."),
    )


# --- where the facts come from ----------------------------------------------------------


def _fault_of(exc: BaseException) -> Fault | None:
    for cause in _causes(exc):
        fault = getattr(cause, "fault", None)
        if isinstance(fault, Fault):
            return fault
    return None


def _causes(exc: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = exc
    while current is not None and len(found) < _DEEPEST_CAUSE:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


_NO_MORE = ("disconnected", "closed")
"""Words of h11 and httpcore for a connection that ended, among those for broken HTTP."""


_PROXY_STATUS = re.compile(r"([1-5]\d\d) ")
"""How httpcore begins its words for a proxy that answered CONNECT with a status."""


def _guess(exc: BaseException, phase: Phase) -> Fault:
    """Return the facts as far as an exception of a foreign transport tells them."""
    causes = _causes(exc)
    answered = phase == "body"
    if isinstance(exc, httpx.PoolTimeout | httpcore.PoolTimeout):
        return Fault("timeout", "pool", unsent=True)
    if isinstance(exc, httpx.ConnectTimeout | httpcore.ConnectTimeout):
        return Fault("timeout", "connect", unsent=True)
    if isinstance(exc, httpx.TimeoutException | httpcore.TimeoutException | TimeoutError):
        return Fault("timeout", phase, answered=answered)
    reason = reason_of(causes[-1] if isinstance(causes[-1], OSError) else exc)
    if isinstance(exc, httpx.ProxyError | httpcore.ProxyError):
        said = _PROXY_STATUS.match(reason)
        status = int(said[1]) if said else 0
        passing = passing_status(status)
        return Fault("proxy", "connect", reason, unsent=True, status=status, passing=passing)
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Fault("tls", "connect", reason, unsent=True)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Fault("dns", "connect", reason, unsent=True)
    if isinstance(exc, httpx.ConnectError | httpcore.ConnectError):
        return Fault("connect", "connect", reason, unsent=True)
    if isinstance(exc, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.LocalProtocolError):
        return Fault("protocol", "send", reason, unsent=True)
    broken = isinstance(exc, httpx.RemoteProtocolError | httpcore.RemoteProtocolError)
    if broken and not any(word in reason for word in _NO_MORE):
        return Fault("protocol", phase, reason, answered=True)
    return Fault("lost", phase, reason, answered=answered)
