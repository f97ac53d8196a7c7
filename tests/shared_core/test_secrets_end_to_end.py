"""The token is in nothing that a failing call leaves behind: sync and async, real sockets."""

from __future__ import annotations

import logging
import pickle
import socket
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared_core import AsyncRouterClient, RouterClient, errors
from tests.helpers.fault_server import (
    FaultServer,
    Received,
    Reply,
    drop,
    hang,
    html_reply,
    json_reply,
    redirect,
    sse,
)

pytestmark = pytest.mark.anyio

# Neither looks like a Hugging Face token: only knowing it helps.
TOKEN = "sk-quite-another-form-0123456789"
HEADER = "customer-secret-42"
PROMPT = "the prompt nobody may log"


def echo(request: Received) -> Reply:
    sent = dict(request.headers)
    return json_reply(
        {"error": {"message": f"bad request headers: {sent}", "code": sent["authorization"]}},
        401,
        {"X-Error-Message": sent["authorization"], "X-Debug": sent["x-api-key"]},
    )


CASES: dict[str, Any] = {
    "echoed in a 401": echo,
    "dropped": drop(),
    "no answer": hang(),
    "login page": html_reply("<html><title>Log in</title></html>"),
    "redirected": redirect("https://evil.test/x", 307),
    "error object in a 200": lambda request: json_reply(
        {"error": {"message": f"bad {dict(request.headers)}", "code": 400}}
    ),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def server(request: pytest.FixtureRequest) -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server.on("*", request.param)


def options(server: FaultServer) -> dict[str, Any]:
    return {
        "api_key": TOKEN,
        "base_url": f"{server.origin}/v1",
        "hub_url": server.origin,
        "default_headers": {"X-Api-Key": HEADER},
        "timeout": 0.4,
    }


def traces(error: errors.RouterError) -> Iterator[str]:
    """Yield everything that a program may print or store of an error."""
    current: BaseException | None = error
    while current is not None:
        yield repr((str(current), repr(current), current.args, vars(current)))
        frames = traceback.TracebackException.from_exception(current, capture_locals=True).stack
        # From the client inward; the test's own frame knows the token, of course.
        yield "\n".join(
            f"{frame.name} {frame.locals}" for frame in frames if "/tests/" not in frame.filename
        )
        current = current.__cause__ or current.__context__
    yield repr(pickle.dumps(error))


def check(error: errors.RouterError, client: Any, log: str) -> None:
    for text in (*traces(error), repr(client), repr(client.settings), repr(pickle.dumps(client))):
        assert TOKEN not in text
        assert HEADER not in text
    assert PROMPT not in str(error)
    check_log(log)


def check_log(log: str) -> None:
    for secret in (TOKEN, HEADER, PROMPT):
        assert secret not in log


CALLS: dict[str, Callable[[Any], Any]] = {
    "list": lambda client: client.models.list(),
    "whoami": lambda client: client.whoami(),
    "chat": lambda client: client.chat.create(PROMPT, model="a/b"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_sync(
    server: FaultServer, call: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), RouterClient(**options(server)) as client:
        with pytest.raises(errors.APIError) as caught:
            call(client)
        check(caught.value, client, caplog.text)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_async(
    server: FaultServer, call: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with AsyncRouterClient(**options(server)) as client:
            with pytest.raises(errors.APIError) as caught:
                await call(client)
            check(caught.value, client, caplog.text)


def echo_in_a_stream(request: Received) -> Reply:
    piece = {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}
    return sse(piece, {"error": {"message": f"bad {dict(request.headers)}", "code": 400}})


def test_echoed_in_a_stream(caplog: pytest.LogCaptureFixture) -> None:
    with FaultServer() as server, caplog.at_level(logging.DEBUG):
        server.on("*", echo_in_a_stream)
        with RouterClient(**options(server)) as client:
            stream = client.chat.stream(PROMPT, model="a/b")
            with pytest.raises(errors.StreamEventError) as caught:
                list(stream)
            assert caught.value.partial is not None
            assert caught.value.partial.text == "Hel"
            shown = repr((str(caught.value), vars(caught.value), vars(caught.value.error)))
            assert "***" in shown
            assert TOKEN not in shown
            assert HEADER not in shown
            check_log(caplog.text)


def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with RouterClient(api_key=TOKEN, base_url=f"http://127.0.0.1:{port}/v1") as client:
        with caplog.at_level(logging.DEBUG), pytest.raises(errors.ConnectFailedError) as caught:
            client.models.list()
        check(caught.value, client, caplog.text)
        assert f"127.0.0.1:{port}" in str(caught.value)


def test_the_token_is_sent_as_it_is_and_named_by_origin() -> None:
    with FaultServer() as server, RouterClient(**options(server.on("*", echo))) as client:
        with pytest.raises(errors.AuthenticationError, match="token came from argument"):
            client.whoami()
        assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert server.requests[0].headers["x-api-key"] == HEADER


@pytest.mark.parametrize("status", [200, 400])
def test_headers_of_one_call_are_hidden_too(status: int) -> None:
    def echo(request: Received) -> Reply:
        return json_reply({"error": {"message": f"bad {request.headers['x-e']}"}}, status)

    with FaultServer() as server, RouterClient(**options(server.on("*", echo))) as client:
        with pytest.raises(errors.APIStatusError) as caught:
            client.chat.create(PROMPT, model="a/b", extra_headers={"X-E": "of-this-call-only"})
    assert "bad ***" in str(caught.value)
    assert "of-this-call-only" not in repr(vars(caught.value))
