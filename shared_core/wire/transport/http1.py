"""HTTP/1.1 without I/O: one :class:`Exchange` per request, fed with what arrives.

Heads are written and read by h11. Bodies are unframed here, because a stream may bring
hundreds of small chunks in one read: handing them over joined costs a tenth of h11's one
event for each.
"""

from __future__ import annotations

import re
from typing import NoReturn

import h11

from shared_core.wire.transport.faults import Fault, LocalFault, LostFault, ProtocolFault

RawHeaders = list[tuple[bytes, bytes]]

MAX_LINE = 4096
"""Longest chunk-size line in bytes, extensions included; far above any real one."""

MAX_TRAILERS = 16 * 1024
"""Most bytes of trailers after a chunked body; they are dropped."""

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_KEEP = re.compile(rb"(?i)\btimeout=(\d{1,6})")
_HEX = b"0123456789abcdefABCDEF"


class Exchange:
    """One request and its response.

    Args:
        max_header_bytes: Largest response head.
        reused: Whether the connection has served a request before, for errors.
    """

    __slots__ = (
        "_chunk_left",
        "_close_framed",
        "_h11",
        "_head_bytes",
        "_head_request",
        "_in_chunk",
        "_length",
        "_out",
        "_rest",
        "_trailers",
        "answered",
        "complete",
        "failure",
        "headers",
        "keep_alive",
        "keep_for",
        "max_header_bytes",
        "reason",
        "reused",
        "status",
    )

    def __init__(self, max_header_bytes: int, *, reused: bool = False) -> None:
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=max_header_bytes)
        self.max_header_bytes = max_header_bytes
        self.reused = reused
        self.status = 0
        self.reason = b""
        self.headers: RawHeaders = []
        self.answered = False
        self.complete = False
        self.failure: LostFault | ProtocolFault | None = None
        self.keep_alive = True
        self.keep_for: float | None = None  # seconds that the server keeps it, if it says so
        self._head_request = False
        self._head_bytes = 0
        self._length: int | None = None  # bytes still to come; None: chunked or until close
        self._close_framed = False
        self._in_chunk = False
        self._chunk_left = 0
        self._trailers = 0
        self._rest = b""
        self._out: list[bytes] = []

    def request(self, method: bytes, target: bytes, headers: RawHeaders, body: bytes) -> memoryview:
        """Return the request as bytes to send; hidden in a view so that no trace shows it.

        Raises:
            LocalFault: A header or the target is not allowed in HTTP/1.1.
        """
        self._head_request = method == b"HEAD"
        try:
            event = h11.Request(method=method, target=target, headers=headers)
            head = self._h11.send(event)
        except h11.LocalProtocolError as exc:
            problem = Fault("protocol", "send", str(exc), unsent=True)
        else:
            for name, value in headers:
                if name.lower() == b"connection" and b"close" in value.lower():
                    self.keep_alive = False
            return memoryview((head or b"") + body)
        raise LocalFault(problem)

    def receive(self, data: bytes) -> None:
        """Take in what the connection gave; ``b""`` is its end.

        Trouble behind the head is kept in :attr:`failure`.

        Raises:
            ProtocolFault: It is not HTTP/1.1, or the head is too large.
            LostFault: The connection ended before the head.
        """
        try:
            if not data:
                self._end_of_connection()
            elif self.status:
                self._body(data)
            else:
                self.answered = True
                self._head(data)
        except (LostFault, ProtocolFault) as exc:
            if not self.status:
                raise
            self.failure = exc  # what came before it is handed over first

    def take(self) -> bytes:
        """Return the body bytes that have come since the last call; maybe none."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    @property
    def finished(self) -> bool:
        """Whether the whole body has come and was handed over."""
        return self.complete and not self._out

    @property
    def reusable(self) -> bool:
        """Whether the connection may serve another request now."""
        return self.complete and self.keep_alive and not self._rest

    # --- head ---------------------------------------------------------------------------

    def _head(self, data: bytes) -> None:
        if not self._head_bytes and data[:5] != b"HTTP/"[: len(data)]:
            self._broken(f"it begins with {data[:24]!r}")
        self._head_bytes += len(data)
        event = None
        try:
            self._h11.receive_data(data)
            while True:
                event = self._h11.next_event()
                if not isinstance(event, h11.InformationalResponse):
                    break
            problem = None
        except h11.RemoteProtocolError as exc:
            problem = exc
        if problem is not None:
            reason = str(problem)
            if "SWITCH_UPGRADE" in reason:  # h11's word for an upgrade that nobody asked for
                reason = "it switched protocols (101)"
            self._broken(reason, header=problem.error_status_hint == 431)
        if isinstance(event, h11.Response):
            self._begin(event)

    def _begin(self, event: h11.Response) -> None:
        self.reason = bytes(event.reason)
        self.headers = event.headers.raw_items()
        self.keep_alive = self.keep_alive and event.http_version >= b"1.1"
        chunked = llama_cpp = False
        for name, value in event.headers:
            if name == b"transfer-encoding":
                chunked = True
            elif name == b"server":
                llama_cpp = value == b"llama.cpp"
            elif name == b"content-length":
                self._length = int(value)
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive = False
            elif name == b"keep-alive" and (hint := _KEEP.search(value)):
                self.keep_for = float(hint[1])
            elif (
                name == b"content-type" and event.status_code == 500 and value[:10] == b"text/plain"
            ):
                self.keep_alive = False  # Starlette on uvicorn: closes unsaid after an exception
        if chunked and llama_cpp:
            self.keep_alive = False  # it closes unsaid after a stream, in spite of its Keep-Alive
        rest, _ = self._h11.trailing_data
        if self._head_bytes - len(rest) > self.max_header_bytes:
            self._broken("response head too large", header=True)
        self.status = event.status_code
        if self._head_request or self.status in (204, 304):
            self._length = 0
        elif chunked:
            self._length = None
        elif self._length is None:
            self._close_framed = True
            self.keep_alive = False
        if self._length == 0:
            self.complete = True
            self._rest = rest
        elif rest:
            self._body(rest)

    # --- body ---------------------------------------------------------------------------

    def _body(self, data: bytes) -> None:
        if self.complete:
            self._rest += data[:1]  # more than was announced: not to be reused
        elif self._close_framed:
            self._out.append(data)
        elif self._length is not None:
            if len(data) > self._length:
                self._rest = data[self._length : self._length + 1]
                data = data[: self._length]
            self._out.append(data)
            self._length -= len(data)
            self.complete = self._length == 0
        else:
            self._chunked(data)

    def _chunked(self, data: bytes) -> None:
        """Unframe; the state is the unread rest, whether inside a chunk, and what it lacks."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at, end = 0, len(data)
        while at < end:
            if self._trailers:
                at = self._skip_trailers(data, at)
                if self.complete or at < 0:
                    return
            elif self._in_chunk:
                at = self._chunk_data(data, at, end)
                if at < 0:
                    return
            else:
                match = _CHUNK.match(data, at)
                if match is None:
                    self._incomplete_size(data, at)
                    return
                at = match.end()
                self._chunk_left = int(match[1], 16)
                if self._chunk_left:
                    self._in_chunk = True
                else:
                    self._trailers = 1

    def _chunk_data(self, data: bytes, at: int, end: int) -> int:
        """Hand over chunk bytes and the line end behind them; -1 when more is needed."""
        left = self._chunk_left
        if left:
            part = data[at : at + left]
            self._out.append(part)
            at += len(part)
            self._chunk_left = left = left - len(part)
            if left:
                return -1
        if end - at < 2:
            self._rest = data[at:]
            if self._rest not in (b"", b"\r"):
                self._broken("a chunk is longer than announced")
            return -1
        if data[at : at + 2] != b"\r\n":
            self._broken("a chunk is longer than announced")
        self._in_chunk = False
        return at + 2

    def _incomplete_size(self, data: bytes, at: int) -> None:
        rest = data[at:]
        if len(rest) > MAX_LINE or b"\n" in rest or rest[0] not in _HEX:
            self._broken("illegal chunk size")
        self._rest = rest

    def _skip_trailers(self, data: bytes, at: int) -> int:
        """Drop lines up to the blank one; -1 when more is needed."""
        while (stop := data.find(b"\n", at)) >= 0:
            line = data[at:stop].rstrip(b"\r")
            self._trailers += len(line) + 1
            at = stop + 1
            if not line:
                self.complete = True
                self._rest = data[at : at + 1]
                return at
            if self._trailers > MAX_TRAILERS:
                self._broken("trailers too long")
        self._rest = data[at:]
        if len(self._rest) > MAX_TRAILERS:
            self._broken("trailers too long")
        return -1

    # --- ends ---------------------------------------------------------------------------

    def _end_of_connection(self) -> None:
        self.keep_alive = False
        if self._close_framed and self.status:
            self.complete = True
        elif not self.complete:
            self.lose("the server closed the connection")

    def lose(self, reason: str, *, unsent: bool = False) -> NoReturn:
        """Raise for a connection that broke."""
        self.keep_alive = False
        phase = "body" if self.status else "head"
        raise LostFault(
            Fault(
                "lost",
                phase,  # type: ignore[arg-type]
                reason,
                unsent=unsent and not self.answered,
                reused=self.reused,
                answered=self.answered,
            )
        )

    def _broken(self, reason: str, *, header: bool = False) -> NoReturn:
        self.keep_alive = False
        phase = "body" if self.status else "head"
        kind = "header" if header else "protocol"
        raise ProtocolFault(
            Fault(kind, phase, reason, reused=self.reused, answered=True)  # type: ignore[arg-type]
        )
