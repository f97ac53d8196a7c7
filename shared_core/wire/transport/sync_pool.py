"""Connections for threads: plain sockets, one deque of idle ones per origin, no locks.

Abandoned responses are released by their finaliser, so no step may need a lock that a frame
of the same thread could hold: sets and deques are changed by single atomic operations.
"""

from __future__ import annotations

import atexit
import os
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import httpcore
import httpx

from shared_core.wire.deadline import Deadline
from shared_core.wire.transport.faults import (
    Fault,
    ProtocolFault,
    ProxyFault,
    connect_fault,
    reason_of,
    timeout_fault,
    tls_fault,
)
from shared_core.wire.transport.http1 import Exchange
from shared_core.wire.transport.options import BODY, PoolOptions, deadline_of
from shared_core.wire.transport.route import (
    Address,
    Origin,
    connect_head,
    literal_addresses,
    looked_up,
    open_socket,
    origin_of,
    refused_tunnel,
    written,
)
from shared_core.wire.transport.slots import Slots

READ_SIZE = 64 * 1024
"""Most bytes taken from a socket at once."""

_live: set[Connection] = set()
"""Every open connection: held here so that none is finalised before its owner let go."""


class Connection:
    """One socket and the exchange on it."""

    __slots__ = ("exchange", "idle_since", "origin", "pid", "served", "sock")

    def __init__(self, sock: socket.socket, origin: Origin) -> None:
        self.sock = sock
        self.origin = origin
        self.pid = os.getpid()
        self.served = 0
        self.idle_since = 0.0
        self.exchange: Exchange | None = None
        _live.add(self)

    def abort(self) -> None:
        """Close at once; wakes a thread that reads. A forked child only forgets its copy."""
        if self not in _live:
            return
        _live.discard(self)
        if self.pid == os.getpid():
            try:
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
            except OSError:
                pass  # not connected any more
        self.sock.close()

    def stale(self, keepalive: float) -> bool:
        """Tell whether the idle connection is too old, was closed or has unasked-for data."""
        return time.monotonic() - self.idle_since > keepalive or _readable(self.sock)

    def send(self, view: memoryview, deadline: Deadline) -> None:
        """Send all of *view*; a server that stops reading may have answered already."""
        sock, size = self.sock, len(view)
        exchange = self._current()
        try:
            while view:
                _arm(sock, deadline, "send")
                view = view[sock.send(view) :]
            return
        except TimeoutError:
            late = True
        except (OSError, ValueError) as exc:
            late = False
            problem = reason_of(exc)
        if late:
            raise timeout_fault("send", unsent=len(view) == size)
        exchange.keep_alive = False
        if not self._answer_waits(deadline):
            exchange.lose(problem, unsent=True)

    def _answer_waits(self, deadline: Deadline) -> bool:
        """Read what came although sending failed: often a 413 with the reason."""
        exchange = self._current()
        try:
            _arm(self.sock, deadline, "head")
            data = self.sock.recv(READ_SIZE)
        except (OSError, ValueError):
            return False
        if data:
            exchange.receive(data)
        return bool(data)

    def read_head(self, deadline: Deadline) -> Exchange:
        """Read until the response head is complete."""
        exchange = self._current()
        while not exchange.status:
            self._receive(exchange, deadline, "head")
        return exchange

    def read_body(self, deadline: Deadline) -> bytes:
        """Return the next body bytes; empty at the end."""
        exchange = self._current()
        data = exchange.take()
        if data and deadline.expired():
            raise timeout_fault("body")
        while not data and not exchange.complete:
            if exchange.failure is not None:
                raise exchange.failure
            self._receive(exchange, deadline, "body")
            data = exchange.take()
        return data

    def _receive(self, exchange: Exchange, deadline: Deadline, phase: Any) -> None:
        sock = self.sock
        try:
            _arm(sock, deadline, phase)
            data = sock.recv(READ_SIZE)
            problem = None
        except TimeoutError:
            data, problem = b"", ""
        except (OSError, ValueError) as exc:
            data, problem = b"", reason_of(exc)
            if isinstance(exc, ssl.SSLError) and not exchange.answered:
                problem = f"TLS: {problem}"
        if problem is None:
            exchange.receive(data)
        elif not problem:
            raise timeout_fault(phase)
        else:
            exchange.lose(problem)

    def _current(self) -> Exchange:
        exchange = self.exchange
        assert exchange is not None
        return exchange


def _arm(sock: socket.socket, deadline: Deadline, phase: Any) -> None:
    left = deadline.remaining()
    if left is not None and left <= 0:
        raise timeout_fault(phase)
    sock.settimeout(left)


def _readable(sock: socket.socket) -> bool:
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        return bool(poller.poll(0))
    return bool(select.select([sock], [], [], 0)[0])


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
        if exchange is not None and exchange.complete and not exchange._out:
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
        options: Limits, trust and proxy.
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
            connection = self._connected(origin_of(request.url), deadline)
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
        proxy = options.proxy
        connection.send(
            written(exchange, request, origin, proxy, b"".join(request.stream)),  # type: ignore[arg-type]
            deadline,
        )
        connection.read_head(deadline)
        if proxy is not None and not origin.secure and exchange.status == 407:
            raise refused_tunnel(407, proxy)
        return exchange

    def _connected(self, origin: Origin, deadline: Deadline) -> Connection:
        idle = self._idle.get(origin)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:
                break
            if not connection.stale(self._options.keepalive):
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
        proxy = self._options.proxy
        limit = Deadline(deadline.at_most(deadline.connect_timeout))
        label = proxy.label if proxy else ""
        host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
        context = self._options.ssl_context() if origin.secure else None
        sock = _dial(host, port, limit, label)
        connection = Connection(sock, origin)
        self._open.add(connection)
        try:
            if proxy is not None and origin.secure:
                self._tunnel(connection, limit)
            if context is not None:
                _secure(connection, context, limit)
        except BaseException:
            self._forget(connection)
            raise
        return connection

    def _tunnel(self, connection: Connection, limit: Deadline) -> None:
        proxy = self._options.proxy
        assert proxy is not None
        connection.exchange = exchange = Exchange(self._options.max_header_bytes)
        target, headers = connect_head(connection.origin, proxy)
        reason = None
        try:
            connection.send(exchange.request(b"CONNECT", target, headers, b""), limit)
            connection.read_head(limit)
        except httpcore.TimeoutException:
            reason = "timed out"
        except (httpcore.NetworkError, ProtocolFault) as exc:
            reason = str(exc)
        if reason is not None:
            raise ProxyFault(Fault("proxy", "connect", reason, unsent=True, proxy=proxy.label))
        if not 200 <= exchange.status < 300:
            raise refused_tunnel(exchange.status, proxy)

    # --- release ------------------------------------------------------------------------

    def _release(self, connection: Connection, reusable: bool) -> None:
        """Take a connection back and free its slot. May run in a finaliser."""
        try:
            if not reusable or connection.pid != os.getpid():
                self._forget(connection)
                return
            connection.exchange = None
            connection.idle_since = time.monotonic()
            idle = self._idle.setdefault(connection.origin, deque())
            idle.append(connection)
            if connection not in self._open:  # the pool was closed meanwhile
                self._forget(connection)
            self._drop_old(idle)
        finally:
            self._slots.release()

    def _drop_old(self, idle: deque[Connection]) -> None:
        horizon = time.monotonic() - self._options.keepalive
        while len(idle) > 1 and idle[0].idle_since < horizon:
            try:
                old = idle.popleft()
            except IndexError:
                return
            if old.idle_since < horizon:
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


def _dial(host: str, port: int, limit: Deadline, proxy: str) -> socket.socket:
    """Connect to the first address that answers; each gets a share of the time."""
    addresses = literal_addresses(host, port)
    problem: OSError | None = None
    if addresses is None:
        try:
            addresses = looked_up(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:
            addresses = []
            problem = exc if isinstance(exc, OSError) else socket.gaierror(0, str(exc))
    for index, address in enumerate(addresses):
        left = limit.remaining()
        share = None if left is None else left / (len(addresses) - index)
        try:
            return _open(address, share)
        except OSError as exc:
            problem = problem or exc
    raise connect_fault(problem or OSError("the name has no address"), proxy)


def _open(address: Address, timeout: float | None) -> socket.socket:
    if timeout is not None and timeout <= 0:
        raise TimeoutError
    sock = open_socket(address.family)
    try:
        sock.settimeout(timeout)
        sock.connect(address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _secure(connection: Connection, context: ssl.SSLContext, limit: Deadline) -> None:
    """Perform the TLS handshake."""
    try:
        _arm(connection.sock, limit, "connect")
        connection.sock = context.wrap_socket(
            connection.sock, server_hostname=connection.origin.host
        )
        return
    except TimeoutError:
        problem: Exception = timeout_fault("connect")
    except (OSError, ValueError) as exc:
        problem = tls_fault(exc)
    raise problem


class HTTPTransport(httpx.HTTPTransport):
    """httpx's transport with our pool: everything that patches or records httpx still works.

    Args:
        options: Limits, trust and proxy.
    """

    def __init__(self, options: PoolOptions) -> None:
        self._pool = ConnectionPool(options)  # type: ignore[assignment]


@atexit.register
def _close_all() -> None:
    for connection in list(_live):
        connection.abort()
