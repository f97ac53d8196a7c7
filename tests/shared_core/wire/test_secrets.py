"""The token and the prompt are in nothing but the request."""

from __future__ import annotations

import gc
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from shared_core.errors import APIError, InvalidSettingError
from tests.helpers.fault_server import (
    FaultServer,
    Fin,
    Received,
    Reply,
    chunk,
    drop,
    gzip_bomb,
    hang,
    head,
    huge_header,
    json_reply,
    redirect,
    reset,
    sse,
)
from tests.shared_core.wire.conftest import PROMPT, TOKEN, Caller

FAULTS: dict[str, Reply] = {
    "drop": drop(),
    "reset": reset(),
    "hang": hang(),
    "huge header": huge_header(100_000),
    "redirect": redirect("http://127.0.0.2:9/x"),
    "bomb": gzip_bomb(),
    "not http": Reply((b"SSH-2.0 hello\r\n", Fin())),
    "broken chunk": Reply((head(200, {"transfer-encoding": "chunked"}) + b"zz\r\n", Fin())),
}


def failure(caller: Caller, url: str) -> APIError:
    with pytest.raises(APIError) as caught:
        caller.send(url, timeout=0.3)
    return caught.value


def reachable(start: BaseException) -> list[Any]:
    """Return what hangs on an exception, without the frames of its traceback."""
    seen: dict[int, Any] = {}
    todo: list[Any] = [start.__dict__, start.args, start.__cause__, start.__context__]
    while todo:
        value = todo.pop()
        if value is None or id(value) in seen or isinstance(value, type):
            continue
        seen[id(value)] = value
        if isinstance(value, dict | list | tuple | set):
            todo.extend(value.values() if isinstance(value, dict) else value)
        elif not isinstance(value, str | bytes | int | float):
            todo.extend(vars(value).values() if hasattr(value, "__dict__") else ())
    return list(seen.values())


@pytest.mark.parametrize("name", FAULTS)
def test_errors(caller: Caller, server: FaultServer, name: str) -> None:
    server.on("/x", FAULTS[name])
    error = failure(caller, server.url + "/x")
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    text = "".join(shown.format(chain=True))
    assert TOKEN not in text
    assert TOKEN not in str(error) + repr(error)
    for value in reachable(error):
        assert TOKEN not in str(value)
        assert "httpx" not in type(value).__module__
        assert "httpcore" not in type(value).__module__
    assert len(str(error)) <= 700


def test_locals_of_every_frame_of_ours(caller: Caller, server: FaultServer) -> None:
    """Also when the trouble comes from deep inside, such as Ctrl-C or a defect."""
    server.on("/x", json_reply("ok"))

    class Boom(Exception):
        pass

    def explode(*_: Any) -> None:
        raise Boom

    from shared_core.wire.transport import http1

    original: Callable[..., Any] = http1.Exchange._begin
    http1.Exchange._begin = explode  # type: ignore[method-assign]
    try:
        with pytest.raises(Boom) as caught:
            caller.send(server.url + "/x")
    finally:
        http1.Exchange._begin = original  # type: ignore[method-assign]
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(shown.format(chain=True))
    assert "_head" in text
    assert TOKEN not in text
    gc.collect()


def test_logs(caller: Caller, server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.NOTSET)
    server.on("/x", json_reply("ok"))
    server.on("/s", sse({"a": 1}))
    caller.send(server.url + "/x")
    caller.stream(server.url + "/s")
    server.on("/x", drop())
    failure(caller, server.url + "/x")
    assert TOKEN not in caplog.text
    assert PROMPT not in caplog.text
    assert "hf_" not in "".join(str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "b\r\nX-Evil: 1"},
        {"X-A\r\nX-Evil": "1"},
        {"X-A": "line\nbreak"},
        {"X-A": "nul\x00"},
        {"X-A": "żółw"},
        {"": "1"},
        {"X A": "1"},
    ],
)
def test_headers_that_cannot_be_sent(
    caller: Caller, server: FaultServer, headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        caller.send(server.url + "/x", headers=headers)
    assert "Evil: 1" not in str(caught.value)
    assert server.accepted == 0


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/x", "http:///x", "no url", "http://u:pass-word@127.0.0.1/x", ""]
)
def test_addresses_that_cannot_be_used(caller: Caller, url: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        caller.send(url)
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("value", ["\ud800", object()])
def test_bodies_that_cannot_be_sent(caller: Caller, server: FaultServer, value: Any) -> None:
    with pytest.raises(InvalidSettingError, match="cannot be written as JSON"):
        caller.send(server.url + "/x", json={"text": value})


def test_token_goes_to_configured_hosts_only(caller: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply("ok"))
    with FaultServer() as other:
        other.on("/x", json_reply("ok"))
        caller.send(other.url + "/x")
        caller.send(server.url + "/x")
        assert "authorization" not in other.requests[0].headers
    assert "authorization" in server.requests[0].headers


def test_cookies_are_not_kept(caller: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply("ok", headers={"set-cookie": "track=1; Path=/"}))
    caller.send(server.url + "/x")
    assert caller.send(server.url + "/x").headers["set-cookie"].startswith("track")
    assert "cookie" not in server.requests[1].headers
    ((_, client),) = caller.wire._own.values()
    assert len(client.cookies.jar) == 0


def test_token_is_asked_for_each_request(caller: Caller, server: FaultServer) -> None:
    tokens = iter(["hf_first0000000000", "hf_second000000000"])
    caller.configure(api_key=lambda: next(tokens))
    server.on("/x", json_reply("ok"))
    caller.send(server.url + "/x")
    caller.send(server.url + "/x")
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer hf_first0000000000", "Bearer hf_second000000000"]


def test_chunk_helper_is_exact() -> None:
    assert chunk(b"abc") == b"3\r\nabc\r\n"


def test_what_the_server_gives_back_is_hidden(caller: Caller, server: FaultServer) -> None:
    """Answers are kept: on disk by a cache, in events, by the caller."""
    caller.configure(default_headers={"X-S": "of-the-client"})

    def echo(got: Received) -> Reply:
        status = 200 if got.method == "GET" else 400
        sent = {f"x-{name}": value for name, value in got.headers.items()}
        return json_reply([*got.headers.values(), "caf\u00e9"], status, sent)

    server.on("/x", echo)
    own = {"X-E": "of-this-call"}
    for method in ("GET", "POST"):
        answer = caller.send(server.url + "/x", method=method, headers=own)
        shown = str(dict(answer.headers))
        assert shown.count("***") >= 3
        for secret in (TOKEN, "of-the-client", "of-this-call"):
            assert secret not in shown
    assert answer.content.count(b"***") == 3
    assert b"caf\\u00e9" in answer.content
    assert TOKEN.encode() not in answer.content


def test_default_headers_stay_at_home(caller: Caller, server: FaultServer) -> None:
    caller.configure(default_headers={"X-S": "of-the-client"}, bill_to="acme")
    server.on("/x", json_reply("ok"))
    with FaultServer() as other:
        other.on("/x", json_reply("ok"))
        caller.send(other.url + "/x")
        caller.send(server.url + "/x")
        assert "x-s" not in other.requests[0].headers
        assert "x-hf-bill-to" not in other.requests[0].headers
    assert server.requests[0].headers["x-s"] == "of-the-client"
    assert server.requests[0].headers["x-hf-bill-to"] == "acme"
