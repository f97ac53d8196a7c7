"""One connection of an event loop: an ``asyncio.Protocol``, TLS of our own, one timer.

Nothing is awaited to clean up: a cancelled or broken exchange aborts its connection at once,
so that a second cancellation cannot leave it half released.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
import time
from typing import Any

from shared_core.wire.deadline import Deadline
from shared_core.wire.tls import TLSPipe
from shared_core.wire.transport.faults import (
    connect_fault,
    reason_of,
    timeout_fault,
    tls_fault,
)
from shared_core.wire.transport.http1 import Exchange
from shared_core.wire.transport.route import Address, Origin, Proxy, open_socket

HIGH_WATER = 256 * 1024
"""Unread bytes at which reading from the socket pauses."""


class AsyncConnection(asyncio.Protocol):
    """A transport, what has come from it, and the exchange on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.pid = os.getpid()
        self.origin: Origin | None = None
        self.proxy: Proxy | None = None
        self.served = 0
        self.idle_until = 0.0
        self.exchange: Exchange | None = None
        self.dead = False
        self._transport: asyncio.Transport | None = None
        self._tls: TLSPipe | None = None
        self._pieces: list[bytes] = []
        self._unread = 0
        self._paused = False
        self._eof = False
        self._problem = ""
        self._waiter: asyncio.Future[None] | None = None
        self._deadline: Deadline | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timed_out = False

    # --- called by the event loop -------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Keep what came, wake the reader, pause the socket when it reads too slowly."""
        self._pieces.append(data)
        self._unread += len(data)
        if self._unread > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note the end; the transport closes itself."""
        self._eof = True
        self._wake()
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end and its reason."""
        self._eof = self.dead = True
        if exc is not None:
            self._problem = reason_of(exc)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    # --- waiting ------------------------------------------------------------------------

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def _wait(self, deadline: Deadline) -> None:
        """Wait until something happens on the connection or the deadline passes."""
        self._waiter = waiter = self.loop.create_future()
        self._deadline = deadline
        expires = deadline.expires
        if expires is not None:
            timer = self._timer
            if timer is None or timer.when() > expires + self._clock_offset():
                if timer is not None:
                    timer.cancel()
                self._arm(expires)
        try:
            await waiter
        finally:
            self._waiter = self._deadline = None

    def _clock_offset(self) -> float:
        return self.loop.time() - time.monotonic()

    def _arm(self, expires: float) -> None:
        self._timer = self.loop.call_at(expires + self._clock_offset(), self._tick)

    def _tick(self) -> None:
        """The timer went off: too late, or the deadline has moved on in the meantime."""
        self._timer = None
        deadline = self._deadline
        if deadline is None or deadline.expires is None:
            return
        if deadline.expired():
            self._wake()
        else:
            self._arm(deadline.expires)

    # --- bytes --------------------------------------------------------------------------

    async def _next(self, deadline: Deadline, phase: Any) -> bytes:
        """Return the next bytes from the socket; empty at its end."""
        while not self._pieces:
            if self._eof:
                return b""
            if deadline.expired():
                raise timeout_fault(phase)
            await self._wait(deadline)
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._unread = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def _receive(self, exchange: Exchange, deadline: Deadline, phase: Any) -> None:
        """Feed the exchange with what comes next."""
        if deadline.expired():
            raise timeout_fault(phase)
        if self._tls is not None and self._tls.eof:
            exchange.receive(b"")
            return
        data = await self._next(deadline, phase)
        problem = self._problem
        if data and self._tls is not None:
            data, problem = self._decrypted(self._tls, data)
            if not data and not problem and not self._tls.eof:
                return
        if data or not problem:
            exchange.receive(data)
        else:
            exchange.lose(problem, unsent=self._unsent())

    @staticmethod
    def _decrypted(tls: TLSPipe, data: bytes) -> tuple[bytes, str]:
        try:
            return tls.decrypt(data), ""
        except ssl.SSLError as exc:
            return b"", f"TLS: {reason_of(exc)}"

    def _unsent(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    # --- the exchange -------------------------------------------------------------------

    def send(self, view: memoryview) -> None:
        """Hand the request over; what the socket does not take now goes in the background."""
        transport = self._transport
        assert transport is not None
        transport.write(self._tls.encrypt(view) if self._tls is not None else view)

    async def read_head(self, deadline: Deadline) -> Exchange:
        """Read until the response head is complete."""
        exchange = self._current()
        while not exchange.status:
            await self._receive(exchange, deadline, "head")
        return exchange

    async def read_body(self, deadline: Deadline) -> bytes:
        """Return the next body bytes; empty at the end."""
        exchange = self._current()
        data = exchange.take()
        while not data and not exchange.complete:
            if exchange.failure is not None:
                raise exchange.failure
            await self._receive(exchange, deadline, "body")
            data = exchange.take()
        return data

    def _current(self) -> Exchange:
        exchange = self.exchange
        assert exchange is not None
        return exchange

    async def secure(self, context: ssl.SSLContext, hostname: str, limit: Deadline) -> None:
        """Perform the TLS handshake.

        Raises:
            httpcore.ConnectError: It failed.
            httpcore.ConnectTimeout: It took too long.
        """
        transport = self._transport
        assert transport is not None
        data: bytes | None = None
        problem: BaseException | None = None
        pipe = TLSPipe(context, hostname)
        try:
            while not pipe.handshake(data):
                self._write_pending(pipe)
                data = await self._next(limit, "connect")
                if not data:
                    raise ssl.SSLError(self._problem or "the server closed the connection")
        except (OSError, ValueError) as exc:
            problem = exc
            self._write_pending(pipe)  # the alert
        if problem is not None:
            raise tls_fault(problem)
        self._write_pending(pipe)
        self._tls = pipe

    def _write_pending(self, pipe: TLSPipe) -> None:
        pending = pipe.pending_out()
        if pending and self._transport is not None and not self._transport.is_closing():
            self._transport.write(pending)

    # --- life ---------------------------------------------------------------------------

    def usable(self) -> bool:
        """Tell whether the idle connection can serve another request."""
        if self.dead or self._eof or time.monotonic() > self.idle_until:
            return False
        if self._pieces and not self._only_records():
            return False
        return not _readable(self.sock)

    def _only_records(self) -> bool:
        """Take in TLS records without content, such as session tickets."""
        if self._tls is None:
            return False
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._unread = 0
        plain, problem = self._decrypted(self._tls, data)
        return not plain and not problem and not self._tls.eof

    def abort(self) -> None:
        """Close at once. Only in the loop's thread and process."""
        self.dead = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()


def _readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        return bool(poller.poll(0))
    return bool(select.select([sock], [], [], 0)[0])


async def dial(
    loop: asyncio.AbstractEventLoop, addresses: list[Address], limit: Deadline, proxy: str
) -> AsyncConnection:
    """Connect to the first address that answers; each gets a share of the time.

    Raises:
        httpcore.ConnectError: None did.
        httpcore.ConnectTimeout: None did in time.
    """
    problem: OSError | None = None
    for index, address in enumerate(addresses):
        left = limit.remaining()
        share = None if left is None else left / (len(addresses) - index)
        try:
            return await _open(loop, address, share)
        except OSError as exc:
            problem = problem or exc
    raise connect_fault(problem or OSError("the name has no address"), proxy)


async def _open(
    loop: asyncio.AbstractEventLoop, address: Address, timeout: float | None
) -> AsyncConnection:
    if timeout is not None and timeout <= 0:
        raise TimeoutError
    sock = open_socket(address.family)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(timeout):
            await loop.sock_connect(sock, address.sockaddr)
        connection = AsyncConnection(loop, sock)
        await loop.create_connection(lambda: connection, sock=sock)
    except BaseException:
        sock.close()
        raise
    return connection
