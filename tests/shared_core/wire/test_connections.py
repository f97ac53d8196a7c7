"""Trouble on the way: names, connections, deadlines, framing. One class for each kind."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared_core.config.settings import Limits
from shared_core.errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectFailedError,
    ConnectionLostError,
    NameResolutionError,
    ResponseTooLargeError,
)
from tests.helpers.fault_server import (
    Drip,
    FaultServer,
    Fin,
    Hang,
    Idle,
    Pause,
    Repeat,
    Reply,
    Rst,
    chunk,
    drop,
    hang,
    head,
    huge_header,
    json_reply,
    reply,
    reset,
    slow_body,
    slow_headers,
)
from tests.shared_core.wire.conftest import Caller, request

CHUNKED = {"content-type": "application/json", "transfer-encoding": "chunked"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port where further SYNs are dropped: its queue is full and nobody accepts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)
        time.sleep(0.05)
        try:
            yield address[1]
        finally:
            for sock in waiting:
                sock.close()


def test_nobody_listens(caller: Caller) -> None:
    port = free_port()
    with pytest.raises(ConnectFailedError) as caught:
        caller.send(f"http://127.0.0.1:{port}/x")
    assert f"cannot connect to 127.0.0.1:{port}: Connection refused" in str(caught.value)
    assert "base_url" in str(caught.value)
    assert caught.value.operation == "chat"
    assert caught.value.model == "a/b"


def test_name_does_not_resolve(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NameResolutionError, match=r"no-such-host\.invalid does not"):
        caller.send("http://no-such-host.invalid/x")


def test_name_that_cannot_exist(caller: Caller) -> None:
    with pytest.raises((NameResolutionError, ConnectFailedError)):
        caller.send(f"http://{'a' * 70}.example/x")


def test_names_resolve(caller: Caller, server: FaultServer, monkeypatch: Any) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]
    asked = []

    def look_up(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        return found

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    server.on("/x", json_reply("ok"))
    assert caller.send(f"http://router.test:{server.port}/x").content == b'"ok"'
    assert asked == ["router.test"]
    assert caller.send(f"http://localhost:{server.port}/x").content == b'"ok"'
    assert asked == ["router.test"]


def test_silent_name_server(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def look_up(*_: Any, **__: Any) -> Any:
        answered.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        with pytest.raises(APITimeoutError, match=r"no connection to router\.test") as caught:
            caller.send("http://router.test/x", timeout=0.3)
    finally:
        answered.set()
    assert caught.value.phase == "connect"
    assert caller.seconds < 2


def test_defect_while_looking_up(
    caller: Caller, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        raise LookupError("a defect")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(LookupError, match="a defect"):
        caller.send(f"http://router.test:{server.port}/x")


def test_second_address_is_tried(caller: Caller, server: FaultServer, monkeypatch: Any) -> None:
    dead = free_port()
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        for port in (dead, server.port)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    server.on("/x", json_reply("ok"))
    assert caller.send(f"http://router.test:{server.port}/x").content == b'"ok"'


def test_syn_dropped(caller: Caller) -> None:
    caller.configure(connect_timeout=0.3)
    with full_backlog() as port, pytest.raises(APITimeoutError, match=r"within 0\.3 s") as caught:
        caller.send(f"http://127.0.0.1:{port}/x", timeout=20)
    assert caught.value.phase == "connect"
    assert caller.seconds < 2
    with full_backlog() as port, pytest.raises(APITimeoutError, match=r"within 0\.2 s"):
        caller.send(f"http://127.0.0.1:{port}/x", timeout=0.2)


@pytest.mark.parametrize("reply", [drop(), reset()])
def test_ends_before_any_answer(caller: Caller, server: FaultServer, reply: Reply) -> None:
    server.on("/x", reply)
    with pytest.raises(ConnectionLostError, match="dropped the connection before any") as caught:
        caller.send(server.url + "/x")
    assert caught.value.maybe_processed
    assert "billed" in str(caught.value)
    assert len(server.requests) == 1


def test_cut_inside_the_headers(caller: Caller, server: FaultServer) -> None:
    server.on("/x", Reply((b"HTTP/1.1 200 OK\r\ncontent-le", Fin())))
    with pytest.raises(ConnectionLostError, match="inside the response headers"):
        caller.send(server.url + "/x")


@pytest.mark.parametrize("end", [Fin(), Rst()])
@pytest.mark.parametrize("fields", [{"content-length": "100"}, {"transfer-encoding": "chunked"}])
def test_cut_inside_the_body(caller: Caller, server: FaultServer, end: Any, fields: Any) -> None:
    body = b"x" * 20 if "content-length" in fields else chunk(b"x" * 20)
    server.on("/x", Reply((head(200, fields), body, Pause(0.05), end)))
    with pytest.raises(ConnectionLostError, match="in the middle of the answer"):
        caller.send(server.url + "/x")


def test_reset_says_so(caller: Caller, server: FaultServer) -> None:
    server.on("/x", reset())
    with pytest.raises(ConnectionLostError, match="Connection reset by peer"):
        caller.send(server.url + "/x")


def test_idle_connection_closed_by_the_server_is_not_seen(
    caller: Caller, server: FaultServer
) -> None:
    server.on("/x", json_reply("ok"))
    for _ in range(5):
        assert caller.send(server.url + "/x").content == b'"ok"'
        assert server.close_idle() == 1
        assert server.wait_open(0)
    assert len(server.requests) == 5
    assert server.accepted == 5


def test_idle_connection_ends_after_keepalive(caller: Caller, server: FaultServer) -> None:
    caller.configure(limits=Limits(keepalive_seconds=0.05))
    server.on("/x", json_reply("ok"))
    caller.send(server.url + "/x")
    time.sleep(0.1)
    caller.send(server.url + "/x")
    assert server.accepted == 2


@pytest.mark.parametrize("end", [drop(), reset()])
def test_reused_connection_dropped_before_an_answer(
    caller: Caller, server: FaultServer, end: Reply
) -> None:
    server.script("/x", json_reply(1), end, json_reply(3))
    assert caller.send(server.url + "/x").content == b"1"
    with pytest.raises(ConnectionLostError, match="kept open from an earlier call") as caught:
        caller.send(server.url + "/x")
    assert caught.value.maybe_processed
    assert caught.value.retryable
    assert len(server.requests) == 2, "one call is one request"
    assert caller.send(server.url + "/x").content == b"3"


def test_keep_alive_of_the_server_is_obeyed(caller: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply("ok", headers={"keep-alive": "timeout=1, max=100"}))
    caller.send(server.url + "/x")
    time.sleep(0.01)
    caller.send(server.url + "/x")
    assert server.accepted == 2, "one second less than the server says is none at all"
    server.on("/x", json_reply("ok", headers={"keep-alive": "timeout=30"}))
    caller.send(server.url + "/x")
    caller.send(server.url + "/x")
    assert server.accepted == 3


def test_ipv6(caller: Caller) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    try:
        other = FaultServer(host="::1")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with other:
        other.on("/x", json_reply("six"))
        assert caller.send(f"http://[::1]:{other.port}/x").content == b'"six"'
        assert other.requests[0].headers["host"] == f"[::1]:{other.port}"
        assert caller.send(f"http://localhost:{other.port}/x").content == b'"six"'


def test_connection_close_is_obeyed(caller: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply("ok", headers={"connection": "close"}))
    caller.send(server.url + "/x")
    caller.send(server.url + "/x")
    assert server.accepted == 2


def test_no_connection_is_kept_after_an_exception_in_the_server(
    caller: Caller, server: FaultServer
) -> None:
    # Starlette answers so, and uvicorn closes just afterwards without "connection: close"
    plain = {"content-type": "text/plain; charset=utf-8"}
    crashed = dataclasses.replace(reply(500, b"Internal Server Error", plain), close=True)
    server.script("/x", json_reply(1), crashed, json_reply(2), json_reply("e", 500), json_reply(3))
    statuses = [caller.send(server.url + "/x").status for _ in range(5)]
    assert statuses == [200, 500, 200, 500, 200]
    assert server.accepted == 2, "a new one after the crash alone"


def test_calls_share_one_connection(caller: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply("ok"))
    server.on("/e", json_reply("no", 500))
    for _ in range(10):
        caller.send(server.url + "/x")
        caller.send(server.url + "/e")
    assert server.accepted == 1


# --- time -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        hang(),
        Reply((head(200, {"content-length": "10"}), Hang())),
        slow_headers(),
        slow_body(),
        Reply((head(200, CHUNKED), Repeat(chunk(b" "), interval=0.02))),
        Reply((head(200, CHUNKED), Repeat(chunk(b" " * 1000), interval=0.0001))),
        Reply((head(200, CHUNKED), Drip(b"1;" + b"e" * 4000, 0.02))),
        Reply((head(200, CHUNKED) + b"0\r\n", Drip(b"x-trailer: 1\r\n" * 1000, 0.02))),
        Reply((Repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n", interval=0.02),)),
    ],
    ids=[
        "no answer",
        "no body",
        "slow headers",
        "slow body",
        "dripping chunks",
        "endless chunks",
        "endless chunk size",
        "endless trailers",
        "endless hints",
    ],
)
def test_total_time_is_the_timeout(caller: Caller, server: FaultServer, reply: Reply) -> None:
    server.on("/x", reply)
    with pytest.raises(APITimeoutError, match=r"within 0\.3 s") as caught:
        caller.send(server.url + "/x", timeout=0.3)
    assert 0.25 < caller.seconds < 1.5
    assert caught.value.phase == "read"
    assert caught.value.timeout == 0.3
    assert isinstance(caught.value, TimeoutError)
    assert server.wait_open(0)


def test_server_that_never_reads(caller: Caller) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=5) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(APITimeoutError) as caught:
            caller.send(
                f"http://127.0.0.1:{port}/x", content=b"x" * 20_000_000, json=None, timeout=0.3
            )
        assert caught.value.phase in ("write", "read")
        assert caller.seconds < 1.5


def test_no_timeout_waits(caller: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply("ok", delay=0.3))
    assert caller.send(server.url + "/x", timeout=None).content == b'"ok"'


def test_spent_timeout(caller: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply("ok"))
    with pytest.raises(APITimeoutError):
        caller.send(server.url + "/x", timeout=0.0)


def test_answer_before_the_whole_request_was_read(caller: Caller) -> None:
    """A 413 that comes early is an answer, not a broken connection."""
    answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig"

    def serve(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(1000)
            sock.sendall(answer)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 20):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        got = caller.send(url, content=b"x" * 10_000_000, json=None)
        thread.join(5)
    assert (got.status, got.content) == (413, b"big")


# --- framing ----------------------------------------------------------------------------


def test_not_http(caller: Caller) -> None:
    with FaultServer(greeting=b"220 mail.test ESMTP ready\r\n" * 20) as other:
        with pytest.raises(APIConnectionError, match=r"does not answer in HTTP/1\.1"):
            caller.send(other.url + "/x")


def test_answer_that_echoes_the_token(caller: Caller) -> None:
    caller.configure(api_key="not-a-usual-token")
    with FaultServer(greeting=b"no to not-a-usual-token\r\n\r\n") as other:
        with pytest.raises(APIConnectionError, match="it begins with") as caught:
            caller.configure(base_url=other.url).send(other.url + "/x")
        assert "not-a-usual-token" not in str(caught.value)


@pytest.mark.parametrize("size", [70_000, 4 * 2**20])
def test_huge_header(caller: Caller, server: FaultServer, size: int) -> None:
    server.on("/x", huge_header(size))
    with pytest.raises(ResponseTooLargeError, match="headers of more than 65,536 bytes") as caught:
        caller.send(server.url + "/x")
    assert "max_header_bytes" in str(caught.value)
    assert "max_body_bytes" not in str(caught.value)
    assert server.wait_open(0)


def test_header_limit_can_be_raised(caller: Caller, server: FaultServer) -> None:
    caller.configure(limits=Limits(max_header_bytes=200_000))
    server.on("/x", huge_header(150_000))
    assert caller.send(server.url + "/x").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nabc\r\n",
        b"-1\r\nabc\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"1_0\r\nabc",
        b"3\r\nabcd\r\n",
        b"3 3\r\nabc\r\n",
        b"f" * 40 + b"\r\n",
        b"3\nabc\n0\n\n",
        b"\r\n3\r\nabc\r\n",
    ],
)
def test_broken_chunks(caller: Caller, server: FaultServer, body: bytes) -> None:
    server.on("/x", Reply((head(200, CHUNKED) + body, Fin())))
    with pytest.raises(ConnectionLostError, match="broke the framing"):
        caller.send(server.url + "/x")


@pytest.mark.parametrize(
    "fields",
    [
        [("content-length", "3"), ("content-length", "4")],
        [("content-length", "-3")],
        [("content-length", "3x")],
        [("transfer-encoding", "gzip")],
        [("bad header", "1")],
    ],
)
def test_ambiguous_heads_are_refused(caller: Caller, server: FaultServer, fields: Any) -> None:
    server.on("/x", Reply((head(200, fields), b"abc", Fin())))
    with pytest.raises(APIConnectionError, match=r"HTTP/1\.1"):
        caller.send(server.url + "/x")


# --- queueing ---------------------------------------------------------------------------


def test_waiting_for_a_connection_counts(caller: Caller, server: FaultServer) -> None:
    caller.configure(limits=Limits(max_connections=1))
    server.on("/x", json_reply("ok", delay=0.6))
    wire = caller.wire
    url = server.url + "/x"
    if caller.kind == "sync":
        first = threading.Thread(target=wire.send, args=(request(url),))
        first.start()
        assert server.wait_requests(1)
        with pytest.raises(APITimeoutError, match="no connection became free") as caught:
            wire.send(request(url, timeout=0.1))
        first.join()
    else:

        async def main() -> None:
            task = asyncio.ensure_future(wire.send(request(url)))
            await asyncio.to_thread(server.wait_requests, 1)
            with pytest.raises(APITimeoutError, match="no connection became free") as info:
                await wire.send(request(url, timeout=0.1))
            assert info.value.phase == "pool"
            await task

        caller.run(main())
        caught = None  # type: ignore[assignment]
    if caught is not None:
        assert caught.value.phase == "pool"
    assert caller.send(url).status == 200, "no slot is lost"
    assert server.accepted == 1


def test_idle_close_by_timer_of_the_server(caller: Caller, server: FaultServer) -> None:
    server.on("/x", Reply((json_reply("ok").steps[0], Idle(0.05))))
    for _ in range(3):
        assert caller.send(server.url + "/x").content == b'"ok"'
        assert server.wait_open(0)


def test_switched_protocols(caller: Caller, server: FaultServer) -> None:
    server.on("/x", Reply((head(101, {"upgrade": "h2c"}), Hang())))
    with pytest.raises(APIConnectionError, match=r"it switched protocols \(101\)"):
        caller.send(server.url + "/x", timeout=2.0)
