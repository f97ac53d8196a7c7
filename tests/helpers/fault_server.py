"""A scripted HTTP server on raw sockets that misbehaves on demand.

One thread per connection, real sockets on 127.0.0.1 and a free port::

    with FaultServer() as server:
        server.on("/v1/chat/completions", json_reply({"ok": True}))
        ...                                   # client talks to server.url
        assert server.requests[0].json()["model"] == "a/b"

Routes: ``server.on(path, reply)`` answers every request for the path; ``server.script(path,
first, second, ...)`` answers one after another and repeats the last one; ``"*"`` is every other
path (404 by default). A reply is a ``Reply``, or a callable ``(Received) -> Reply``.

A reply is a sequence of steps, performed on the socket after the whole request was read:

* ``bytes``: sent as they are;
* ``Pause(seconds)``: wait (ends at once when the client leaves);
* ``Drip(data, interval, size=1)``: send ``size`` bytes at a time;
* ``Repeat(data, count=None, interval=0.0)``: send again and again, for ever when None;
* ``Fin()``: close politely and end; ``Rst()``: reset and end;
* ``HalfClose()``: end the sending side only; ``Hang()``: say nothing until the client leaves;
* ``Idle(seconds)``: keep the connection for ``seconds``, then close it.

After the last step the connection waits for the next request (keep-alive) unless
``Reply.close`` is true.

Makers: ``reply(status, body, headers)``, ``json_reply(value, status)``, ``text_reply``,
``html_reply``, ``empty_reply(status)``, ``redirect(location, status)``, ``sse(*events, ...)``,
``sse_bytes(*pieces, ...)``, ``gzip_bomb(size, status)``, ``flood(size, status)``,
``huge_header(size)``, ``slow_headers()``, ``slow_body()``, ``hang()``, ``drop()``, ``reset()``.

Seen from outside: ``requests`` (every :class:`Received`, in order), ``accepted`` (connections so
far), ``open_connections`` (now), ``left`` (how often a client went away in mid-answer),
``wait_open(count, timeout)``, ``close_idle()`` (drop all connections that wait for a request).

TLS: ``Certificates()`` makes an authority; ``FaultServer(tls=certs.server())``,
``certs.server(host="other.test")``, ``certs.server(expired=True)``, ``certs.self_signed()``,
``certs.server(old=True)`` (TLS 1.1 at most); trust it with ``certs.ca_file(tmp_path)``.

Proxy: ``ProxyServer(auth=("user", "password"))`` speaks CONNECT and absolute-form requests;
``.url``, ``.requests`` (as received by the proxy), ``.tunnels``. ``connect_to=(host, port)``
sends every tunnel there, whatever name was asked for.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import gzip
import json
import select
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    data: bytes
    interval: float = 0.05
    size: int = 1


@dataclass(frozen=True, slots=True)
class Repeat:
    data: bytes
    count: int | None = None
    interval: float = 0.0


@dataclass(frozen=True, slots=True)
class Fin:
    pass


@dataclass(frozen=True, slots=True)
class Rst:
    pass


@dataclass(frozen=True, slots=True)
class HalfClose:
    pass


@dataclass(frozen=True, slots=True)
class Hang:
    pass


@dataclass(frozen=True, slots=True)
class Idle:
    seconds: float


Step: TypeAlias = bytes | Pause | Drip | Repeat | Fin | Rst | HalfClose | Hang | Idle


@dataclass(frozen=True, slots=True)
class Reply:
    """What happens on the socket after a request; ``close`` ends the connection afterwards."""

    steps: tuple[Step, ...]
    close: bool = False


@dataclass(slots=True)
class Received:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    raw_head: bytes = b""

    @property
    def path(self) -> str:
        return self.target.split("?", 1)[0]

    def json(self) -> Any:
        return json.loads(self.body)


Answer: TypeAlias = Reply | Callable[[Received], Reply]

_REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized"}


# --- makers -----------------------------------------------------------------------------


def head(status: int, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> bytes:
    """Return a status line and headers, with the blank line."""
    items = headers.items() if isinstance(headers, Mapping) else headers
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in items]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Return *data* as one piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


END_CHUNK = b"0\r\n\r\n"


def reply(
    status: int = 200,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    delay: float = 0.0,
    close: bool = False,
) -> Reply:
    """A whole answer with a content-length."""
    fields = {"content-length": str(len(body)), **(headers or {})}
    steps: list[Step] = [Pause(delay)] if delay else []
    return Reply((*steps, head(status, fields) + body), close)


def json_reply(
    value: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    delay: float = 0.0,
    compress: bool = False,
) -> Reply:
    """A JSON answer, gzipped if asked."""
    body = json.dumps(value).encode()
    fields = {"content-type": "application/json", **(headers or {})}
    if compress:
        body = gzip.compress(body)
        fields["content-encoding"] = "gzip"
    return reply(status, body, fields, delay=delay)


def text_reply(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return reply(status, text.encode(), {"content-type": "text/plain", **(headers or {})})


def html_reply(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return reply(status, text.encode(), {"content-type": "text/html", **(headers or {})})


def empty_reply(status: int) -> Reply:
    return reply(status)


def redirect(location: str, status: int = 307) -> Reply:
    return reply(status, b"", {"location": location})


def sse(
    *events: Any,
    delay: float = 0.0,
    done: bool = True,
    first_delay: float = 0.0,
    headers: Mapping[str, str] | None = None,
    end: Step | None = None,
) -> Reply:
    """A chunked event stream: each event is JSON (or raw bytes/str) in a piece of its own.

    ``end`` replaces the regular end of the body, e.g. ``Fin()``, ``Rst()``, ``Hang()``.
    """
    pieces = [e if isinstance(e, bytes) else _event(e) for e in events]
    if done:
        pieces.append(b"data: [DONE]\n\n")
    return sse_bytes(*pieces, delay=delay, first_delay=first_delay, headers=headers, end=end)


def _event(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"data: {text}\n\n".encode()


def sse_bytes(
    *pieces: bytes,
    delay: float = 0.0,
    first_delay: float = 0.0,
    headers: Mapping[str, str] | None = None,
    end: Step | None = None,
) -> Reply:
    """A chunked ``text/event-stream`` of raw pieces, each sent on its own."""
    fields = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    steps: list[Step] = [head(200, {**fields, **(headers or {})})]
    if first_delay:
        steps.append(Pause(first_delay))
    for index, piece in enumerate(pieces):
        if index and delay:
            steps.append(Pause(delay))
        steps.append(chunk(piece))
    steps.append(END_CHUNK if end is None else end)
    return Reply(tuple(steps))


def gzip_bomb(size: int = 128 * 2**20, status: int = 200, kind: str = "application/json") -> Reply:
    """A small body that inflates to *size* blanks."""
    pieces = []
    packer = zlib.compressobj(9, wbits=31)
    block = b" " * 2**20
    for _ in range(size // len(block)):
        pieces.append(packer.compress(block))
    body = b"".join([*pieces, packer.flush()])
    return reply(status, body, {"content-type": kind, "content-encoding": "gzip"})


def flood(size: int = 128 * 2**20, status: int = 200, kind: str = "application/json") -> Reply:
    """A plain body of *size* blanks, with its true content-length."""
    block = b" " * 2**16
    fields = {"content-type": kind, "content-length": str(size)}
    return Reply((head(status, fields), Repeat(block, size // len(block))))


def huge_header(size: int = 4 * 2**20) -> Reply:
    return reply(200, b"{}", {"x-huge": "a" * size})


def slow_headers(interval: float = 0.05) -> Reply:
    """Headers that never end, one byte after another."""
    return Reply((b"HTTP/1.1 200 OK\r\nx-slow: ", Drip(b"a" * 10_000, interval)))


def slow_body(interval: float = 0.05, kind: str = "application/json") -> Reply:
    """A body that never ends, one byte after another."""
    fields = {"content-type": kind, "content-length": "10000"}
    return Reply((head(200, fields), Drip(b" " * 10_000, interval)))


def hang() -> Reply:
    return Reply((Hang(),))


def drop() -> Reply:
    return Reply((Fin(),))


def reset() -> Reply:
    return Reply((Rst(),))


# --- the server -------------------------------------------------------------------------


class _ClientLeft(Exception):
    pass


class _Stop(Exception):
    pass


class _Base:
    """Accept loop, connection threads and bookkeeping."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.tls = tls
        self.requests: list[Received] = []
        self.accepted = 0
        self.left = 0
        self.tls_errors: list[str] = []
        self._lock = threading.Lock()
        self._open: dict[int, socket.socket] = {}
        self._idle: set[int] = set()
        self._stopping = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=1024)
        self._listener.settimeout(0.2)
        self.host, self.port = self._listener.getsockname()[:2]
        self._threads: list[threading.Thread] = []

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return self.origin

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._open)

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuse new connections, end the open ones, join every thread."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._listener.close()
        with self._lock:
            sockets = list(self._open.values())
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(timeout=5)

    def wait_open(self, count: int = 0, timeout: float = 3.0) -> bool:
        """Wait until exactly *count* connections are open; tell whether that came true."""
        return self._wait(lambda: self.open_connections == count, timeout)

    def wait_requests(self, count: int, timeout: float = 3.0) -> bool:
        """Wait until *count* requests have arrived."""
        return self._wait(lambda: len(self.requests) >= count, timeout)

    @staticmethod
    def _wait(check: Callable[[], bool], timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not check():
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def close_idle(self) -> int:
        """Close the connections that wait for their next request; return how many.

        Waits up to a second for the first, since an answer may just have been sent.
        """
        self._wait(lambda: bool(self._idle), 1.0)
        with self._lock:
            victims = [self._open[key] for key in self._idle if key in self._open]
        for sock in victims:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        return len(victims)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(None)
            with self._lock:
                self.accepted += 1
                key = self.accepted
                self._open[key] = sock
            thread = threading.Thread(target=self._connection, args=(key, sock), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _connection(self, key: int, sock: socket.socket) -> None:
        try:
            if self.tls is not None:
                sock = self._secure(key, sock)
            self.serve(key, sock)
        except _ClientLeft:
            self.left += 1
        except (_Stop, OSError):
            self.left += not self._stopping.is_set()
        finally:
            with self._lock:
                self._open.pop(key, None)
                self._idle.discard(key)
            sock.close()

    def _secure(self, key: int, sock: socket.socket) -> socket.socket:
        assert self.tls is not None
        try:
            sock.settimeout(5)
            secured = self.tls.wrap_socket(sock, server_side=True)
        except (ssl.SSLError, OSError) as exc:
            self.tls_errors.append(str(exc))
            raise _Stop from None
        secured.settimeout(None)
        with self._lock:
            self._open[key] = secured
        return secured

    def serve(self, key: int, sock: socket.socket) -> None:
        raise NotImplementedError

    def read_request(self, key: int, sock: socket.socket, buffer: bytearray) -> Received | None:
        """Read one request; None when the client closed the connection first."""
        with self._lock:
            self._idle.add(key)
        while b"\r\n\r\n" not in buffer:
            data = sock.recv(65536)
            if not data:
                return None
            with self._lock:
                self._idle.discard(key)
            buffer += data
        with self._lock:
            self._idle.discard(key)
        raw, _, rest = bytes(buffer).partition(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            data = sock.recv(1 << 20)
            if not data:
                raise _ClientLeft
            rest += data
        buffer[:] = rest[length:]
        return Received(method, target, headers, rest[:length], key, raw)


class FaultServer(_Base):
    """See the module's docstring."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        greeting: bytes | None = None,
    ) -> None:
        super().__init__(tls=tls, host=host)
        self._routes: dict[str, list[Answer]] = {"*": [text_reply("no such route", 404)]}
        self._greeting = greeting

    def on(self, path: str, answer: Answer) -> Self:
        """Answer every request for *path* (``"*"``: any other path) with *answer*."""
        self._routes[path] = [answer]
        return self

    def script(self, path: str, *answers: Answer) -> Self:
        """Answer the requests for *path* one after another; the last answer stays."""
        self._routes[path] = list(answers)
        return self

    def count(self, path: str) -> int:
        """Return how many requests for *path* arrived."""
        return sum(1 for request in self.requests if request.path == path)

    def serve(self, key: int, sock: socket.socket) -> None:
        if self._greeting is not None:
            sock.sendall(self._greeting)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
            return
        buffer = bytearray()
        while (request := self.read_request(key, sock, buffer)) is not None:
            with self._lock:
                self.requests.append(request)
                answers = self._routes.get(request.path) or self._routes["*"]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
            result = answer(request) if callable(answer) else answer
            for step in result.steps:
                if not self._perform(key, sock, step):
                    return
            if result.close:
                return

    def _perform(self, key: int, sock: socket.socket, step: Step) -> bool:
        """Perform one step; False when the connection is over."""
        if isinstance(step, bytes):
            sock.sendall(step)
        elif isinstance(step, Pause):
            self._sleep(sock, step.seconds)
        elif isinstance(step, Drip):
            for start in range(0, len(step.data), step.size):
                sock.sendall(step.data[start : start + step.size])
                self._sleep(sock, step.interval)
        elif isinstance(step, Repeat):
            for _ in _times(step.count):
                sock.sendall(step.data)
                if step.interval:
                    self._sleep(sock, step.interval)
        elif isinstance(step, Hang):
            self._sleep(sock, None)
        elif isinstance(step, HalfClose):
            sock.shutdown(socket.SHUT_WR)
            self._sleep(sock, None)
        elif isinstance(step, Idle):
            with contextlib.suppress(_ClientLeft):
                self._sleep(sock, step.seconds)
            return False
        elif isinstance(step, Rst):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        else:
            return False
        return True

    def _sleep(self, sock: socket.socket, seconds: float | None) -> None:
        """Wait; raise as soon as the client has gone or the server stops."""
        end = None if seconds is None else time.monotonic() + seconds
        while not self._stopping.is_set():
            left = 0.2 if end is None else min(0.2, end - time.monotonic())
            if left <= 0:
                return
            readable, _, _ = select.select([sock], [], [], left)
            if readable and not _peek(sock):
                raise _ClientLeft
        raise _Stop


def _peek(sock: socket.socket) -> bytes:
    if isinstance(sock, ssl.SSLSocket):  # MSG_PEEK is not available; data here means it is over
        try:
            return sock.recv(1)
        except (ssl.SSLError, OSError):
            return b""
    return sock.recv(1, socket.MSG_PEEK)


def _times(count: int | None) -> Iterator[None]:
    done = 0
    while count is None or done < count:
        yield None
        done += 1


# --- proxy ------------------------------------------------------------------------------


class ProxyServer(_Base):
    """An HTTP proxy: CONNECT tunnels and absolute-form requests, with Basic auth if wanted.

    ``faults`` are raw answers to the first requests; an empty one closes the connection.
    """

    def __init__(
        self,
        *,
        auth: tuple[str, str] | None = None,
        connect_to: tuple[str, int] | None = None,
        refuse: int | None = None,
        faults: Iterable[bytes] = (),
    ) -> None:
        super().__init__()
        self._auth = auth
        self._connect_to = connect_to
        self._refuse = refuse
        self._faults = list(faults)
        self.tunnels: list[str] = []

    def serve(self, key: int, sock: socket.socket) -> None:
        buffer = bytearray()
        request = self.read_request(key, sock, buffer)
        if request is None:
            return
        self.requests.append(request)
        if not self._allowed(request):
            denied = {"proxy-authenticate": 'Basic realm="proxy"', "content-length": "0"}
            sock.sendall(head(407, denied))
            return
        if self._faults:
            sock.sendall(self._faults.pop(0))
            return
        if self._refuse is not None:
            sock.sendall(head(self._refuse, {"content-length": "0"}))
            return
        if request.method == "CONNECT":
            host, _, port = request.target.rpartition(":")
            self.tunnels.append(request.target)
            with self._dial(host, int(port)) as upstream:
                sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._pump(sock, upstream)
        else:
            rest = request.target.partition("://")[2]
            authority, _, path = rest.partition("/")
            host, _, port = authority.partition(":")
            with self._dial(host, int(port or 80)) as upstream:
                first, _, others = request.raw_head.partition(b"\r\n")
                line = first.replace(request.target.encode(), b"/" + path.encode(), 1)
                upstream.sendall(line + b"\r\n" + others + b"\r\n\r\n" + request.body)
                self._pump(sock, upstream)

    def _allowed(self, request: Received) -> bool:
        if self._auth is None:
            return True
        wanted = base64.b64encode(":".join(self._auth).encode()).decode()
        return request.headers.get("proxy-authorization") == f"Basic {wanted}"

    def _dial(self, host: str, port: int) -> socket.socket:
        return socket.create_connection(self._connect_to or (host, port), timeout=5)

    def _pump(self, left: socket.socket, right: socket.socket) -> None:
        right.settimeout(None)
        pair = {left: right, right: left}
        while not self._stopping.is_set():
            readable, _, _ = select.select(list(pair), [], [], 0.2)
            for source in readable:
                data = source.recv(65536)
                if not data:
                    return
                pair[source].sendall(data)


# --- certificates -----------------------------------------------------------------------


@dataclass(slots=True)
class Certificates:
    """A throw-away authority (trustme) and server contexts made from it."""

    _authority: Any = field(default=None)

    def __post_init__(self) -> None:
        import trustme

        self._authority = trustme.CA()

    def ca_file(self, directory: Path) -> str:
        """Write the authority's certificate and return its path."""
        path = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(str(path))
        return str(path)

    def server(
        self, host: str = "127.0.0.1", *, expired: bool = False, old: bool = False
    ) -> ssl.SSLContext:
        """Return a context for a server called *host*."""
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) if expired else None
        names: Sequence[str] = ("127.0.0.1", "localhost") if host == "127.0.0.1" else (host,)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*names, not_after=past).configure_cert(context)
        if old:
            context.set_ciphers("ALL:@SECLEVEL=0")
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
        return context

    @staticmethod
    def self_signed() -> ssl.SSLContext:
        """Return a context whose certificate comes from an authority nobody trusts."""
        return Certificates().server()
