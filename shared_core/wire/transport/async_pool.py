"""Connections of one event loop, used in its thread only.

A response that is dropped in another thread, or by the garbage collector, is released by a
callback in the loop; everything else here runs without interruption between two awaits.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Any, Self

import httpcore
import httpx

from shared_core.wire.deadline import Deadline
from shared_core.wire.transport.async_connection import AsyncConnection, dial
from shared_core.wire.transport.faults import (
    ProtocolFault,
    connect_fault,
    silent_proxy,
    timeout_fault,
)
from shared_core.wire.transport.http1 import Exchange
from shared_core.wire.transport.options import BODY, PoolOptions, deadline_of
from shared_core.wire.transport.route import (
    Address,
    Origin,
    admitted,
    connect_head,
    literal_addresses,
    looked_up,
    not_a_proxy,
    origin_of,
    refuse_private,
    refused_tunnel,
    written,
)


class AsyncResponseBody:
    """The body of a response; owns its connection and its slot until the end."""

    __slots__ = ("_connection", "_deadline", "_pool", "closed", "started")

    def __init__(
        self, connection: AsyncConnection, deadline: Deadline, pool: AsyncConnectionPool
    ) -> None:
        self._connection: AsyncConnection | None = connection
        self._deadline = deadline
        self._pool = pool
        self.started = False
        self.closed = False
        exchange = connection.exchange
        if exchange is not None and exchange.finished:
            self._let_go(reusable=exchange.reusable)

    async def read(self) -> bytes:
        """Return the next bytes as they came; empty at the end of the body.

        Raises:
            httpcore.ReadTimeout: The deadline passed.
            httpcore.ReadError: The connection broke.
            httpcore.RemoteProtocolError: The framing is broken.
        """
        self.started = True
        connection = self._connection
        if connection is None:
            return b""
        try:
            data = await connection.read_body(self._deadline)
        except BaseException:
            self.close()
            raise
        if not data:
            exchange = connection.exchange
            self._let_go(reusable=exchange is not None and exchange.reusable)
        return data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    def close(self) -> None:
        """Release the connection in the loop's thread; one in mid-answer is closed."""
        self.closed = True
        self._let_go(reusable=False)

    async def aclose(self) -> None:
        """Release the connection; never waits."""
        self.close()

    def _let_go(self, *, reusable: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection, reusable)

    def __del__(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None or connection.pid != os.getpid():
            return
        try:
            connection.loop.call_soon_threadsafe(self._pool.release, connection, False)
        except RuntimeError:  # the loop is closed, and with it the connection
            return


class AsyncConnectionPool:
    """What ``httpx.AsyncHTTPTransport`` drives, for one event loop.

    Args:
        options: Limits, trust and proxies.
        loop: The running loop.
    """

    def __init__(self, options: PoolOptions, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self._options = options
        self._free = options.max_connections
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: dict[Origin, deque[AsyncConnection]] = {}
        self._open: set[AsyncConnection] = set()
        self._lookups: dict[tuple[str, int], asyncio.Task[Any]] = {}
        self._ends: list[bool] = []
        self._guard = _guard(self._open, self._ends)
        start_now(self._guard)

    @property
    def ended(self) -> bool:
        """Whether the loop has ended its asynchronous generators."""
        return bool(self._ends)

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send *request* and return once the response head is here."""
        deadline = deadline_of(request)
        if self._free and not self._waiting:
            self._free -= 1
        else:
            await self._queue(deadline)
        connection = None
        try:
            connection = await self._connected(origin_of(request), deadline)
            exchange = await self._converse(connection, request, deadline)
        except BaseException:
            if connection is not None:
                self._forget(connection)
            self._free_slot()
            raise
        body = AsyncResponseBody(connection, deadline, self)
        return httpcore.Response(
            exchange.status,
            headers=exchange.headers,
            content=body,
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": exchange.reason,
                BODY: body,
            },
        )

    async def _converse(
        self, connection: AsyncConnection, request: httpcore.Request, deadline: Deadline
    ) -> Exchange:
        options, origin = self._options, connection.origin
        assert origin is not None
        exchange = Exchange(options.max_header_bytes, reused=connection.served > 0)
        connection.exchange = exchange
        connection.served += 1
        proxy = connection.proxy
        connection.send(written(exchange, request, origin, proxy, await _joined(request.stream)))
        await connection.read_head(deadline)
        if proxy is not None and not origin.secure and exchange.status == 407:
            raise refused_tunnel(exchange, proxy)
        return exchange

    # --- slots --------------------------------------------------------------------------

    async def _queue(self, deadline: Deadline) -> None:
        """Wait for a slot, in order of arrival, within the deadline."""
        turn = self.loop.create_future()
        self._waiting.append(turn)
        timer = None
        if deadline.expires is not None:
            timer = self.loop.call_later(deadline.remaining() or 0.0, _give_up, turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._free_slot()  # it was given in the moment of the cancellation
            else:
                turn.cancel()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _free_slot(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    # --- connections --------------------------------------------------------------------

    async def _connected(self, origin: Origin, deadline: Deadline) -> AsyncConnection:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
            self._forget(connection)
        self._make_room()
        return await self._connect(origin, deadline)

    def _make_room(self) -> None:
        """Close idle connections of other origins while the limit is reached."""
        while len(self._open) >= self._options.max_connections:
            idle = next((queue for queue in self._idle.values() if queue), None)
            if idle is None:
                return
            self._forget(idle.popleft())

    async def _connect(self, origin: Origin, deadline: Deadline) -> AsyncConnection:
        proxy = self._options.proxy(origin)
        limit = Deadline(deadline.at_most(deadline.connect_timeout))
        label = proxy.label if proxy else ""
        host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
        context = self._options.ssl_context() if origin.secure else None
        addresses = literal_addresses(host, port)
        if addresses is None:
            addresses = await self._look_up(host, port, limit, label)
        if proxy is None:
            addresses = admitted(addresses, origin)
        else:
            refuse_private(origin)
        connection = await dial(self.loop, addresses, limit, label)
        connection.origin, connection.proxy = origin, proxy
        self._open.add(connection)
        try:
            if proxy is not None and origin.secure:
                await self._tunnel(connection, limit)
            if context is not None:
                await connection.secure(context, origin.host, limit)
        except BaseException:
            self._forget(connection)
            raise
        return connection

    async def _look_up(self, host: str, port: int, limit: Deadline, proxy: str) -> list[Address]:
        """Resolve a name; callers that want the same one at the same time share the work."""
        task = self._lookups.get((host, port))
        if task is None:
            task = self._lookups[host, port] = self.loop.create_task(
                self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
            task.add_done_callback(lambda done: self._looked_up(host, port, done))
        problem: OSError
        try:
            async with asyncio.timeout(limit.remaining()):
                return looked_up(await asyncio.shield(task))
        except OSError as exc:
            problem = exc
        except UnicodeError as exc:
            problem = socket.gaierror(0, str(exc))
        raise connect_fault(problem, proxy)

    def _looked_up(self, host: str, port: int, done: asyncio.Task[Any]) -> None:
        self._lookups.pop((host, port), None)
        if not done.cancelled():
            done.exception()  # seen, even if every caller has gone

    async def _tunnel(self, connection: AsyncConnection, limit: Deadline) -> None:
        proxy, origin = connection.proxy, connection.origin
        assert proxy is not None and origin is not None
        connection.exchange = exchange = Exchange(self._options.max_header_bytes)
        target, headers = connect_head(origin, proxy)
        problem: Exception | None = None
        try:
            connection.send(exchange.request(b"CONNECT", target, headers, b""))
            await connection.read_head(limit)
        except httpcore.TimeoutException:
            problem = silent_proxy("timed out", proxy.label, reached=True)
        except httpcore.NetworkError as exc:
            problem = silent_proxy(str(exc), proxy.label, reached=True)
        except ProtocolFault as exc:
            problem = not_a_proxy(exc, proxy)
        if problem is not None:
            raise problem
        if not 200 <= exchange.status < 300:
            raise refused_tunnel(exchange, proxy)

    # --- release ------------------------------------------------------------------------

    def release(self, connection: AsyncConnection, reusable: bool) -> None:
        """Take a connection back and free its slot."""
        if reusable and not connection.dead and connection in self._open:
            now = time.monotonic()
            keep_for = connection.exchange.keep_for if connection.exchange else None
            connection.exchange = None
            connection.idle_until = now + self._options.idle_limit(keep_for)
            assert connection.origin is not None
            idle = self._idle.setdefault(connection.origin, deque())
            idle.append(connection)
            while idle and (idle[0].dead or idle[0].idle_until < now):
                self._forget(idle.popleft())
        else:
            self._forget(connection)
        self._free_slot()

    def _forget(self, connection: AsyncConnection) -> None:
        self._open.discard(connection)
        connection.abort()

    def connections(self) -> list[AsyncConnection]:
        """Return the open connections."""
        return list(self._open)

    def close(self) -> None:
        """Close every connection, also those in use; the pool can be used again."""
        self._idle.clear()
        while self._open:
            self._open.pop().abort()

    async def aclose(self) -> None:
        """Close every connection and let the loop finish with them."""
        self.close()
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()


async def _guard(connections: set[AsyncConnection], ends: list[bool]) -> AsyncGenerator[None, None]:
    """Close the connections when the loop ends its asynchronous generators.

    ``asyncio.run`` does that before it closes the loop, and the loop does it when the pool,
    the only holder of this generator, is collected.
    """
    try:
        yield None
    finally:
        ends.append(True)
        while connections:
            connections.pop().abort()


def start_now(guard: AsyncGenerator[None, None]) -> None:
    """Run *guard* to its first yield, so that the running loop knows it."""
    try:
        guard.__anext__().send(None)
    except StopIteration:
        pass


def _give_up(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(timeout_fault("pool"))


async def _joined(stream: Any) -> bytes:
    if hasattr(stream, "__iter__"):
        return b"".join(stream)
    return b"".join([part async for part in stream])


class AsyncHTTPTransport(httpx.AsyncHTTPTransport):
    """httpx's transport with our pool: everything that patches or records httpx still works.

    Args:
        options: Limits, trust and proxies.
        loop: The running loop.
    """

    def __init__(self, options: PoolOptions, loop: asyncio.AbstractEventLoop) -> None:
        self._own = self._pool = AsyncConnectionPool(options, loop)  # type: ignore[assignment]

    def belongs_to(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Tell whether this is the pool of *loop* in this process, and has not ended."""
        pool = self._own
        return pool.loop is loop and pool.pid == os.getpid() and not pool.ended

    def abandon(self) -> None:
        """Close the sockets of a loop that was closed without ending its generators."""
        for connection in self._own.connections():
            connection.sock.close()

    @property
    def inherited(self) -> bool:
        """Whether a parent process made it."""
        return self._own.pid != os.getpid()

    @property
    def ended(self) -> bool:
        """Whether its loop is closed or closing."""
        return self._own.ended or self._own.loop.is_closed()
