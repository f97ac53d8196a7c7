"""One socket of a thread: deadlines before every operation, no locks."""

from __future__ import annotations

import atexit
import os
import select
import socket
import ssl
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any

from shared_core.wire.deadline import Deadline
from shared_core.wire.transport.faults import (
    connect_fault,
    reason_of,
    timeout_fault,
    tls_fault,
)
from shared_core.wire.transport.http1 import Exchange
from shared_core.wire.transport.route import (
    Address,
    Origin,
    Proxy,
    admitted,
    literal_addresses,
    looked_up,
    open_socket,
)

READ_SIZE = 64 * 1024
"""Most bytes taken from a socket at once."""

_live: set[Connection] = set()
"""Every open connection: held here so that none is finalised before its owner let go."""


class Connection:
    """One socket, the proxy in between, and the exchange on it."""

    __slots__ = ("exchange", "idle_until", "origin", "pid", "proxy", "served", "sock")

    def __init__(self, sock: socket.socket, origin: Origin, proxy: Proxy | None) -> None:
        self.sock = sock
        self.origin = origin
        self.proxy = proxy
        self.pid = os.getpid()
        self.served = 0
        self.idle_until = 0.0
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

    def stale(self) -> bool:
        """Tell whether the idle connection is too old, was closed or has unasked-for data."""
        sock = self.sock
        if sock.fileno() < 0 or time.monotonic() > self.idle_until:
            return True
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return True
        return _readable(sock)

    def send(self, view: memoryview, deadline: Deadline) -> None:
        """Send all of *view*; a server that stops reading may have answered already."""
        sock, size = self.sock, len(view)
        problem = ""
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


def dial(
    host: str, port: int, limit: Deadline, proxy: str, origin: Origin | None = None
) -> socket.socket:
    """Connect to the first address that answers; each gets a share of the time.

    Args:
        host: Name or address.
        port: Port.
        limit: When trying ends.
        proxy: ``host:port`` if this is a proxy, for errors.
        origin: Says which addresses are allowed; None allows all.
    """
    addresses = literal_addresses(host, port)
    problem: OSError | None = None
    if addresses is None:
        found = _look_up(host, port, limit)
        problem = found if isinstance(found, OSError) else None
        addresses = [] if isinstance(found, OSError) else looked_up(found)
    if origin is not None:
        addresses = admitted(addresses, origin)
    for index, address in enumerate(addresses):
        left = limit.remaining()
        share = None if left is None else left / (len(addresses) - index)
        try:
            return _open(address, share)
        except OSError as exc:
            problem = problem or exc
    raise connect_fault(problem or OSError("the name has no address"), proxy)


def _look_up(host: str, port: int, limit: Deadline) -> list[Any] | OSError:
    """Resolve a name, or return what is wrong with it.

    The system's resolver knows no deadline, and may take half a minute when a name server is
    silent. So it works in a thread, which is left to itself when the time is over.
    """
    answers: SimpleQueue[list[Any] | Exception] = SimpleQueue()

    def work() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as exc:  # noqa: BLE001 - raised in the thread that waits
            answers.put(exc)

    try:
        threading.Thread(target=work, name="hfrouter-lookup", daemon=True).start()
    except RuntimeError:  # no thread can be started, e.g. while the interpreter ends
        work()
    try:
        found = answers.get(timeout=limit.remaining())
    except Empty:
        return TimeoutError()
    if isinstance(found, UnicodeError):
        return socket.gaierror(0, str(found))
    if isinstance(found, Exception) and not isinstance(found, OSError):
        raise found
    return found


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


def secure(connection: Connection, context: ssl.SSLContext, limit: Deadline) -> None:
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


@atexit.register
def _close_all() -> None:
    for connection in list(_live):
        connection.abort()
