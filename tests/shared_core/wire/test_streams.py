"""Streams below chat: deadlines between events, decoding, reuse, release."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

from shared_core.errors import APIResponseValidationError, APITimeoutError, ConnectionLostError
from tests.helpers.fault_server import (
    FaultServer,
    Fin,
    Hang,
    Pause,
    Repeat,
    Reply,
    Rst,
    chunk,
    head,
    json_reply,
    sse,
    sse_bytes,
)
from tests.shared_core.wire.conftest import Caller

SSE = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}


def read_with_keep_alive(caller: Caller, url: str, timeout: float) -> bytes:
    """Read a stream, telling after each piece with ``data:`` that something meaningful came."""
    stream = caller.open(url, timeout=timeout)
    text = b""
    if caller.kind == "sync":
        for piece in stream:
            text += piece
            if b"data:" in piece:
                stream.keep_alive()
        return text

    async def main() -> bytes:
        text = b""
        async for piece in stream:
            text += piece
            if b"data:" in piece:
                stream.keep_alive()
        return text

    result: bytes = caller.run(main())
    return result


def test_pieces_come_while_they_arrive(caller: Caller, server: FaultServer) -> None:
    server.on("/s", sse({"n": 1}, {"n": 2}, {"n": 3}, delay=0.05))
    assert caller.stream(server.url + "/s") == [
        b'data: {"n": 1}\n\n',
        b'data: {"n": 2}\n\n',
        b'data: {"n": 3}\n\n',
        b"data: [DONE]\n\n",
    ]
    assert server.requests[0].headers["accept"] == "text/event-stream"


def test_what_a_stream_tells(caller: Caller, server: FaultServer) -> None:
    server.on("/s", sse({"n": 1}, headers={"x-request-id": "r7"}))
    stream = caller.open(server.url + "/s")
    assert (stream.status, stream.url) == (200, server.url + "/s")
    assert stream.headers["X-Request-Id"] == "r7"
    assert caller.run(stream.close() if caller.kind == "sync" else stream.aclose()) is None
    assert server.wait_open(0)


def test_small_chunks_in_one_packet_come_joined(caller: Caller, server: FaultServer) -> None:
    events = [b"data: %d\n\n" % n for n in range(500)]
    body = b"".join(map(chunk, events)) + b"0\r\n\r\n"
    server.on("/s", Reply((head(200, SSE) + body,)))
    pieces = caller.stream(server.url + "/s")
    assert b"".join(pieces) == b"".join(events)
    assert len(pieces) < 20


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_stream_is_not_held_back(
    caller: Caller, server: FaultServer, encoding: str
) -> None:
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    pieces = [
        packer.compress(b"data: %d\n\n" % n) + packer.flush(zlib.Z_SYNC_FLUSH) for n in range(3)
    ]
    pieces.append(packer.flush())
    server.on("/s", sse_bytes(*pieces, delay=0.05, headers={"content-encoding": encoding}))
    got = caller.stream(server.url + "/s")
    assert got == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


def test_compressed_bomb_comes_in_bounded_pieces(caller: Caller, server: FaultServer) -> None:
    packed = gzip.compress(b"\n" * 20_000_000)
    server.on("/s", sse_bytes(packed, headers={"content-encoding": "gzip"}))
    pieces = caller.stream(server.url + "/s")
    assert sum(map(len, pieces)) == 20_000_000
    assert max(map(len, pieces)) <= 128 * 1024


def test_broken_compression(caller: Caller, server: FaultServer) -> None:
    server.on("/s", sse_bytes(b"data: 1\n\n", headers={"content-encoding": "gzip"}))
    with pytest.raises(APIResponseValidationError, match="compressed"):
        caller.stream(server.url + "/s")
    server.on("/s", sse_bytes(b"data: 1\n\n", headers={"content-encoding": "br"}))
    with pytest.raises(APIResponseValidationError, match="not asked for"):
        caller.stream(server.url + "/s")
    assert server.wait_open(0)


@pytest.mark.parametrize("end", [Fin(), Rst()])
def test_cut_inside_the_body(caller: Caller, server: FaultServer, end: Any) -> None:
    server.on("/s", Reply((head(200, SSE), chunk(b"data: 1\n\n"), Pause(0.05), end)))
    with pytest.raises(ConnectionLostError, match="in the middle of the answer"):
        caller.stream(server.url + "/s")


def test_clean_end_without_framing_is_only_an_end(caller: Caller, server: FaultServer) -> None:
    fields = {"content-type": "text/event-stream"}
    server.on("/s", Reply((head(200, fields), b"data: 1\n\n"), close=True))
    assert b"".join(caller.stream(server.url + "/s")) == b"data: 1\n\n"


@pytest.mark.parametrize(
    "steps",
    [
        (Hang(),),
        (Repeat(chunk(b": ping\n\n"), interval=0.02),),
        (Repeat(chunk(b": ping " * 500 + b"\n\n"), interval=0.0005),),
        (chunk(b"data: "), Repeat(chunk(b"x"), interval=0.02)),
    ],
    ids=["silence", "pings", "flood of pings", "an event that never ends"],
)
@pytest.mark.parametrize("first", [True, False])
def test_only_meaningful_events_count(
    caller: Caller, server: FaultServer, steps: Any, first: bool
) -> None:
    begin = (chunk(b"data: 1\n\n"),) if first else ()
    server.on("/s", Reply((head(200, SSE), *begin, *steps)))
    with pytest.raises(APITimeoutError, match=r"sent no event within 0\.3 s") as caught:
        caller.stream(server.url + "/s", timeout=0.3)
    assert caught.value.phase == "stream"
    assert 0.25 < caller.seconds < 1.5
    assert server.wait_open(0)


def test_headers_do_not_come(caller: Caller, server: FaultServer) -> None:
    server.on("/s", Reply((Hang(),)))
    with pytest.raises(APITimeoutError) as caught:
        caller.stream(server.url + "/s", timeout=0.3)
    assert caught.value.phase == "read"


def test_keep_alive_restarts_the_timeout(caller: Caller, server: FaultServer) -> None:
    server.on("/s", sse(*range(6), delay=0.15))
    text = read_with_keep_alive(caller, server.url + "/s", 0.4)
    assert text.endswith(b"data: [DONE]\n\n")
    server.on("/s", Reply((*sse(*range(6), delay=0.1, done=False).steps[:-1], Hang())))
    with pytest.raises(APITimeoutError):
        read_with_keep_alive(caller, server.url + "/s", 0.4)


def test_streams_in_a_row_use_one_connection(caller: Caller, server: FaultServer) -> None:
    body = sse({"n": 1}, {"n": 2}, delay=0.01)
    late_end = Reply((*body.steps[:-1], Pause(0.02), body.steps[-1]))
    server.on("/s", late_end)
    for _ in range(5):
        caller.stream(server.url + "/s", drain=True)
    server.on("/x", json_reply("ok"))
    assert caller.send(server.url + "/x").status == 200
    assert server.accepted == 1


@pytest.mark.parametrize(
    "tail",
    [(Hang(),), (Repeat(chunk(b": " + b"x" * 4000 + b"\n\n")),), (Rst(),), (b"zz\r\n", Hang())],
    ids=["silence", "flood", "reset", "garbage"],
)
def test_drain_is_bounded(caller: Caller, server: FaultServer, tail: Any) -> None:
    server.on("/s", Reply((head(200, SSE), chunk(b"data: [DONE]\n\n"), *tail)))
    caller.stream(server.url + "/s", drain=True)
    assert caller.seconds < 1.5
    assert server.wait_open(0)
    server.on("/x", json_reply("ok"))
    assert caller.send(server.url + "/x").status == 200


def test_closing_twice_and_early(caller: Caller, server: FaultServer) -> None:
    server.on("/s", sse({"n": 1}, end=Hang(), done=False))
    stream = caller.open(server.url + "/s")
    for _ in range(2):
        caller.run(stream.close() if caller.kind == "sync" else stream.aclose())
    assert server.wait_open(0)
