"""Connections for threads: plain sockets, one deque of idle ones per origin, no locks.

Abandoned responses are released by their finaliser, so no step may need a lock that a frame
of the same thread could hold: sets and deques are changed by single atomic operations.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import httpcore
import httpx

from shared_core.wire.deadline import Deadline
from shared_core.wire.transport.faults import (
    ProtocolFault,
    silent_proxy,
    timeout_fault,
)
from shared_core.wire.transport.http1 import Exchange
from shared_core.wire.transport.options import BODY, PoolOptions, deadline_of
from shared_core.wire.transport.route import (
    Origin,
    connect_head,
    not_a_proxy,
    origin_of,
    refuse_private,
    refused_tunnel,
    written,
)
from shared_core.wire.transport.slots import Slots
from shared_core.wire.transport.sync_connection import Connection, dial, secure


class ResponseBody:
    """The body of a response; owns its connection and its slot until the end."""

    __slots__ = ("_connection", "_deadline", "_held", "_release", "closed", "started")

    def __init__(
        self,
        connection: Connection,
        deadline: Deadline,
        release: Callable[[Connection, bool], None],
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._release = release
        self._held = deque([connection])
        self.started = False
        self.closed = False
        exchange = connection.exchange
        if exchange is not None and exchange.finished:
            self._let_go(reusable=exchange.reusable)

    def read(self) -> bytes:
        """Return the next bytes as they came; empty at the end of the body.

        Raises:
            httpcore.ReadTimeout: The deadline passed.
            httpcore.ReadError: The connection broke.
            httpcore.RemoteProtocolError: The framing is broken.
        """
        self.started = True
        if not self._held:
            return b""
        try:
            data = self._connection.read_body(self._deadline)
        except BaseException:
            self.close()
            raise
        if not data:
            exchange = self._connection.exchange
            self._let_go(reusable=exchange is not None and exchange.reusable)
        return data

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read():
            yield data

    def close(self) -> None:
        """Release the connection; one that is in mid-answer is closed."""
        self.closed = True
        self._let_go(reusable=False)

    def _let_go(self, *, reusable: bool) -> None:
        try:
            connection = self._held.pop()
        except IndexError:
            return
        self._release(connection, reusable)

    def __del__(self) -> None:
        if self._held:
            self.close()


class ConnectionPool:
    """What ``httpx.HTTPTransport`` drives: takes httpcore requests, gives httpcore responses.

    Args:
        options: Limits, trust and proxies.
    """

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._slots = Slots(options.max_connections)
        self._idle: dict[Origin, deque[Connection]] = {}
        self._open: set[Connection] = set()

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send *request* and return once the response head is here."""
        deadline = deadline_of(request)
        if not self._slots.acquire(deadline.remaining()):
            raise timeout_fault("pool")
        try:
            connection = self._connected(origin_of(request), deadline)
        except BaseException:
            self._slots.release()
            raise
        try:
            exchange = self._converse(connection, request, deadline)
        except BaseException:
            self._release(connection, reusable=False)
            raise
        return httpcore.Response(
            exchange.status,
            headers=exchange.headers,
            content=(body := ResponseBody(connection, deadline, self._release)),
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": exchange.reason,
                BODY: body,
            },
        )

    def _converse(
        self, connection: Connection, request: httpcore.Request, deadline: Deadline
    ) -> Exchange:
        options, origin = self._options, connection.origin
        exchange = Exchange(options.max_header_bytes, reused=connection.served > 0)
        connection.exchange = exchange
        connection.served += 1
        proxy = connection.proxy
        connection.send(
            written(exchange, request, origin, proxy, b"".join(request.stream)),  # type: ignore[arg-type]
            deadline,
        )
        connection.read_head(deadline)
        if proxy is not None and not origin.secure and exchange.status == 407:
            raise refused_tunnel(exchange, proxy)
        return exchange

    def _connected(self, origin: Origin, deadline: Deadline) -> Connection:
        idle = self._idle.get(origin)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:
                break
            if not connection.stale():
                return connection
            self._forget(connection)
        self._make_room()
        return self._connect(origin, deadline)

    def _make_room(self) -> None:
        """Close idle connections of other origins while the limit is reached."""
        while len(self._open) >= self._options.max_connections:
            for idle in list(self._idle.values()):
                try:
                    self._forget(idle.popleft())
                except IndexError:
                    continue
                break
            else:
                return

    def _connect(self, origin: Origin, deadline: Deadline) -> Connection:
        proxy = self._options.proxy(origin)
        limit = Deadline(deadline.at_most(deadline.connect_timeout))
        label = proxy.label if proxy else ""
        host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
        context = self._options.ssl_context() if origin.secure else None
        if proxy is not None:
            refuse_private(origin)
        sock = dial(host, port, limit, label, origin if proxy is None else None)
        connection = Connection(sock, origin, proxy)
        self._open.add(connection)
        try:
            if proxy is not None and origin.secure:
                self._tunnel(connection, limit)
            if context is not None:
                secure(connection, context, limit)
        except BaseException:
            self._forget(connection)
            raise
        return connection

    def _tunnel(self, connection: Connection, limit: Deadline) -> None:
        proxy = connection.proxy
        assert proxy is not None
        connection.exchange = exchange = Exchange(self._options.max_header_bytes)
        target, headers = connect_head(connection.origin, proxy)
        problem: Exception | None = None
        try:
            connection.send(exchange.request(b"CONNECT", target, headers, b""), limit)
            connection.read_head(limit)
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

    def _release(self, connection: Connection, reusable: bool) -> None:
        """Take a connection back and free its slot. May run in a finaliser."""
        try:
            if not reusable or connection.pid != os.getpid():
                self._forget(connection)
                return
            if connection not in self._open:  # the pool was closed meanwhile
                connection.abort()
                return
            keep_for = connection.exchange.keep_for if connection.exchange else None
            connection.exchange = None
            connection.idle_until = time.monotonic() + self._options.idle_limit(keep_for)
            idle = self._idle.setdefault(connection.origin, deque())
            idle.append(connection)
            self._drop_old(idle)
        finally:
            self._slots.release()

    def _drop_old(self, idle: deque[Connection]) -> None:
        now = time.monotonic()
        while len(idle) > 1 and idle[0].idle_until < now:
            try:
                old = idle.popleft()
            except IndexError:
                return
            if old.idle_until < now:
                self._forget(old)
            else:
                idle.append(old)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.abort()

    def close(self) -> None:
        """Close every connection, also those in use; the pool can be used again."""
        self._idle.clear()
        while self._open:
            try:
                connection = self._open.pop()
            except KeyError:
                return
            connection.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        for connection in list(self.__dict__.get("_open", ())):
            connection.abort()


class HTTPTransport(httpx.HTTPTransport):
    """httpx's transport with our pool: everything that patches or records httpx still works.

    Args:
        options: Limits, trust and proxies.
    """

    def __init__(self, options: PoolOptions) -> None:
        self._pool = ConnectionPool(options)  # type: ignore[assignment]
