"""Statuses and bodies: what comes back whole, what is refused, and how much is read."""

from __future__ import annotations

import gzip
import resource
import zlib
from typing import Any

import pytest

from shared_core.config.settings import Limits
from shared_core.errors import APIResponseValidationError, ResponseTooLargeError
from tests.helpers.fault_server import (
    END_CHUNK,
    FaultServer,
    Fin,
    Hang,
    Received,
    Reply,
    Rst,
    chunk,
    empty_reply,
    flood,
    gzip_bomb,
    head,
    html_reply,
    json_reply,
    reply,
    text_reply,
)
from tests.shared_core.wire.conftest import PROMPT, TOKEN, Caller


def test_plain_answer(caller: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply({"ok": True}, headers={"X-Request-Id": "r1"}))
    answer = caller.send(server.url + "/x")
    assert answer.status == 200
    assert answer.content == b'{"ok": true}'
    assert answer.headers["x-request-id"] == "r1"
    assert answer.url == server.url + "/x"
    assert answer.elapsed > 0
    assert not answer.truncated


def test_what_is_sent(caller: Caller, server: FaultServer) -> None:
    caller.configure(bill_to="acme", default_headers={"X-Team": "blue"}, user_agent="app/1")
    server.on("/x", json_reply({}))
    caller.send(server.url + "/x", headers={"X-Extra": "1"})
    sent = server.requests[0]
    assert sent.method == "POST"
    assert sent.json() == {"model": "a/b", "prompt": PROMPT}
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    assert sent.headers["x-hf-bill-to"] == "acme"
    assert sent.headers["x-team"] == "blue"
    assert sent.headers["x-extra"] == "1"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["accept"] == "application/json"
    assert sent.headers["accept-encoding"] == "gzip, deflate"
    assert sent.headers["user-agent"].startswith("app/1 hfrouter/")
    assert sent.headers["host"] == f"127.0.0.1:{server.port}"


def test_headers_of_one_call_win(caller: Caller, server: FaultServer) -> None:
    caller.configure(bill_to="acme", default_headers={"X-Team": "blue"})
    server.on("/x", json_reply({}))
    caller.send(server.url + "/x", headers={"x-hf-bill-to": "other", "x-team": "red"})
    assert server.requests[0].headers["x-hf-bill-to"] == "other"
    assert server.requests[0].headers["x-team"] == "red"


def test_without_auth_nothing_of_the_user_is_sent(caller: Caller, server: FaultServer) -> None:
    caller.configure(bill_to="acme", default_headers={"X-Secret": "blue"})
    server.on("/x", json_reply({}))
    caller.send(server.url + "/x", method="GET", auth=False)
    sent = server.requests[0].headers
    assert not {"authorization", "x-hf-bill-to", "x-secret"} & set(sent)
    assert "content-length" not in sent


def test_get_and_head(caller: Caller, server: FaultServer) -> None:
    server.on("/x", lambda got: json_reply(got.method))
    assert caller.send(server.url + "/x", method="GET").content == b'"GET"'
    server.on("/h", Reply((head(200, {"content-length": "99"}),)))
    assert caller.send(server.url + "/h", method="HEAD").content == b""
    assert caller.send(server.url + "/x", method="GET").status == 200
    assert server.accepted == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 429, 500, 502, 503, 504])
def test_every_status_comes_back_whole(caller: Caller, server: FaultServer, status: int) -> None:
    server.on("/x", json_reply({"error": "because"}, status))
    answer = caller.send(server.url + "/x")
    assert answer.status == status
    assert answer.content == b'{"error": "because"}'
    assert len(server.requests) == 1


def test_empty_answers(caller: Caller, server: FaultServer) -> None:
    server.on("/x", empty_reply(500))
    assert caller.send(server.url + "/x").content == b""
    server.on("/x", Reply((head(204),)))
    assert caller.send(server.url + "/x").status == 204
    assert server.accepted == 1


def test_body_without_length_ends_with_the_connection(caller: Caller, server: FaultServer) -> None:
    server.on("/x", Reply((head(200), b"until the end"), close=True))
    assert caller.send(server.url + "/x").content == b"until the end"


def test_chunked_body_with_trailers(caller: Caller, server: FaultServer) -> None:
    fields = {"transfer-encoding": "chunked"}
    end = b"0\r\nx-trailer: 1\r\n\r\n"
    server.on("/x", Reply((head(200, fields), chunk(b"one") + b"3;ext=1\r\ntwo\r\n", end)))
    assert caller.send(server.url + "/x").content == b"onetwo"
    assert caller.send(server.url + "/x").content == b"onetwo"
    assert server.accepted == 1


def test_early_hints_are_passed_over(caller: Caller, server: FaultServer) -> None:
    server.on("/x", Reply((b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + head(204),)))
    assert caller.send(server.url + "/x").status == 204


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
def test_compressed_answers(caller: Caller, server: FaultServer, encoding: str) -> None:
    text = b'{"text": "' + b"abc" * 100_000 + b'"}'
    packer = zlib.compressobj(wbits={"gzip": 31, "deflate": 15, "raw deflate": -15}[encoding])
    body = packer.compress(text) + packer.flush()
    server.on("/x", reply(200, body, {"content-encoding": encoding.split()[-1]}))
    assert caller.send(server.url + "/x").content == text
    server.on("/x", reply(400, body, {"content-encoding": encoding.split()[-1]}))
    answer = caller.send(server.url + "/x")
    assert (answer.status, answer.content, answer.truncated) == (400, text[: 64 * 1024], True)


@pytest.mark.parametrize(
    "body",
    [b"not gzip at all", gzip.compress(b"x" * 1000)[:-12], b"\x1f\x8b\x08"],
    ids=["other", "cut", "head"],
)
def test_broken_compression(caller: Caller, server: FaultServer, body: bytes) -> None:
    server.on("/x", reply(500, body, {"content-encoding": "gzip"}))
    answer = caller.send(server.url + "/x")
    assert answer.status == 500
    assert answer.truncated
    server.on("/x", reply(200, body, {"content-encoding": "gzip"}))
    with pytest.raises(APIResponseValidationError, match="compressed"):
        caller.send(server.url + "/x")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_encodings_that_were_not_offered(
    caller: Caller, server: FaultServer, encoding: str
) -> None:
    server.on("/x", reply(503, b"????", {"content-encoding": encoding}))
    assert caller.send(server.url + "/x").status == 503
    server.on("/x", reply(200, b"????", {"content-encoding": encoding}))
    with pytest.raises(APIResponseValidationError, match="not asked for"):
        caller.send(server.url + "/x")


@pytest.fixture
def no_growth() -> Any:
    """Fail when the peak memory of this process grows by more than 40 MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 40 + 32 * 2, f"{grown:.0f} MB"


def test_huge_error_body_is_not_read_whole(
    caller: Caller, server: FaultServer, no_growth: None
) -> None:
    server.on("/x", flood(64 * 2**20, 500))
    answer = caller.send(server.url + "/x")
    assert answer.status == 500
    assert answer.truncated
    assert len(answer.content) == 64 * 1024
    assert server.wait_open(0)
    assert server.left == 1


def test_gzip_bomb_is_refused(caller: Caller, server: FaultServer, no_growth: None) -> None:
    server.on("/x", gzip_bomb())
    with pytest.raises(ResponseTooLargeError, match="larger than 33,554,432 bytes"):
        caller.send(server.url + "/x")
    assert server.wait_open(0)
    server.on("/x", gzip_bomb(status=502))
    answer = caller.send(server.url + "/x")
    assert (answer.status, len(answer.content), answer.truncated) == (502, 64 * 1024, True)


def test_flood_of_blanks_is_refused(caller: Caller, server: FaultServer) -> None:
    caller.configure(limits=Limits(max_body_bytes=100_000))
    server.on("/x", flood(2**23))
    with pytest.raises(ResponseTooLargeError, match="larger than 100,000 bytes") as caught:
        caller.send(server.url + "/x")
    assert caught.value.status_code == 200
    assert server.wait_open(0)


def test_body_at_the_limit_is_fine(caller: Caller, server: FaultServer) -> None:
    caller.configure(limits=Limits(max_body_bytes=1000, max_error_bytes=1000))
    for status in (200, 400):
        server.on("/x", reply(status, b"x" * 1000))
        answer = caller.send(server.url + "/x")
        assert (len(answer.content), answer.truncated) == (1000, False)


@pytest.mark.parametrize("end", [Fin(), Rst(), Hang()])
def test_error_body_that_breaks_keeps_its_status(
    caller: Caller, server: FaultServer, end: Any
) -> None:
    server.on("/x", Reply((head(429, {"content-length": "100"}), b'{"error": ', end)))
    answer = caller.send(server.url + "/x", timeout=0.4)
    assert answer.status == 429
    assert answer.truncated


def test_asked_for_a_stream_got_something_else(caller: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply({"choices": []}))
    assert caller.open(server.url + "/x").content == b'{"choices": []}'
    server.on("/x", html_reply("<html>login</html>"))
    assert caller.open(server.url + "/x").headers["content-type"] == "text/html"
    server.on("/x", text_reply("data: no", 503, {"content-type": "text/event-stream"}))
    assert caller.open(server.url + "/x").status == 503


def test_extra_bytes_after_an_answer_are_not_mixed_up(caller: Caller, server: FaultServer) -> None:
    extra = reply(200, b"first").steps[0] + reply(200, b"smuggled").steps[0]  # type: ignore[operator]
    server.script("/x", Reply((extra,)), reply(200, b"second"))
    assert caller.send(server.url + "/x").content == b"first"
    assert caller.send(server.url + "/x").content == b"second"


def test_large_request(caller: Caller, server: FaultServer) -> None:
    seen: list[int] = []

    def answer(got: Received) -> Reply:
        seen.append(len(got.body))
        return json_reply("ok")

    server.on("/x", answer)
    text = "x" * 5_000_000
    assert caller.send(server.url + "/x", json={"text": text}).content == b'"ok"'
    assert seen == [len(text) + 11]


def test_closing_chunk_alone(caller: Caller, server: FaultServer) -> None:
    fields = {"transfer-encoding": "chunked"}
    server.on("/x", Reply((head(200, fields), END_CHUNK)))
    assert caller.send(server.url + "/x").content == b""
