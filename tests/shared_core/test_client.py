"""The clients: one request per call, many lives, no secret in sight."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared_core import (
    APIConnectionError,
    AsyncRouterClient,
    BadRequestError,
    Callback,
    ErrorEvent,
    InternalServerError,
    InvalidSettingError,
    RateLimitError,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    RetryPolicy,
    RouterClient,
    RouterError,
)
from tests.helpers.fault_server import FaultServer, drop, json_reply, reply, sse

TOKEN = "hf_" + "Secret0Token1Value2" * 2
PATH = "/v1/chat/completions"


def completion(text: str = "pong", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "c1", "object": "chat.completion", "model": "a/b", "choices": [choice], **more}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(PATH, json_reply(completion()))
        yield running


def client_of(server: FaultServer, **options: Any) -> RouterClient:
    return RouterClient("a/b", base_url=server.url + "/v1", api_key=TOKEN, **options)


def async_client_of(server: FaultServer, **options: Any) -> AsyncRouterClient:
    return AsyncRouterClient("a/b", base_url=server.url + "/v1", api_key=TOKEN, **options)


def test_a_call_is_one_request(server: FaultServer) -> None:
    with client_of(server) as client:
        assert client.chat.create("ping").text == "pong"
    assert len(server.requests) == 1
    assert server.requests[0].json() == {
        "model": "a/b",
        "messages": [{"role": "user", "content": "ping"}],
    }
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "failure", [*(reply(status, b"") for status in (400, 408, 429, 500, 502, 503, 504)), drop()]
)
def test_a_failing_call_is_one_request_too(server: FaultServer, failure: Any) -> None:
    server.on(PATH, failure)
    with client_of(server) as client, pytest.raises(RouterError):
        client.chat.create("ping")
    assert len(server.requests) == 1


@pytest.mark.anyio
async def test_async_failure_is_one_request_too(server: FaultServer) -> None:
    server.on(PATH, reply(503, b""))
    async with async_client_of(server) as client:
        with pytest.raises(InternalServerError):
            await client.chat.create("ping")
    assert len(server.requests) == 1


def test_max_retries_repeats_what_may_be_repeated(server: FaultServer) -> None:
    server.script(PATH, reply(503, b""), drop(), json_reply(completion("at last")))
    policy = RetryPolicy(max_retries=2, initial_delay=0.01)
    with client_of(server, retry=policy) as client:
        assert client.chat.create("ping").text == "at last"
    assert len(server.requests) == 3


@pytest.mark.anyio
async def test_async_retry_repeats_what_may_be_repeated(server: FaultServer) -> None:
    server.script(PATH, reply(503, b""), drop(), json_reply(completion("at last")))
    policy = RetryPolicy(max_retries=2, initial_delay=0.01)
    async with async_client_of(server, retry=policy) as client:
        assert (await client.chat.create("ping")).text == "at last"
    assert len(server.requests) == 3


def test_retries_end_with_the_last_error(server: FaultServer) -> None:
    server.on(PATH, json_reply({"error": "slow down"}, 429))
    policy = RetryPolicy(max_retries=2, initial_delay=0.01)
    with client_of(server, retry=policy) as client, pytest.raises(RateLimitError) as caught:
        client.chat.create("ping")
    assert caught.value.attempts == 3
    assert len(server.requests) == 3


def test_a_bad_request_is_never_repeated(server: FaultServer) -> None:
    server.on(PATH, json_reply({"error": "no"}, 400))
    with client_of(server, max_retries=3) as client, pytest.raises(BadRequestError):
        client.chat.create("ping")
    assert len(server.requests) == 1


def test_half_an_answer_is_repeated_on_request(server: FaultServer) -> None:
    half = reply(200, b'{"choices": [{"mess', {"content-type": "application/json"})
    server.script(PATH, half, json_reply(completion()))
    with client_of(server, retry=RetryPolicy(max_retries=1, initial_delay=0.01)) as client:
        assert client.chat.create("ping").text == "pong"


def test_a_stream_that_starts_with_an_error_is_repeated_on_request(server: FaultServer) -> None:
    broken = sse({"error": {"message": "upstream failed", "code": 500}})
    chunk = {"choices": [{"index": 0, "delta": {"content": "pong"}, "finish_reason": "stop"}]}
    server.script(PATH, broken, sse(chunk, "[DONE]"))
    policy = RetryPolicy(max_retries=1, initial_delay=0.01)
    with client_of(server, retry=policy) as client, client.chat.stream("ping") as stream:
        assert stream.result().text == "pong"
    assert len(server.requests) == 2


class Recorder(Callback):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_request(self, event: RequestEvent) -> None:
        self.seen.append(event)

    def on_response(self, event: ResponseEvent) -> None:
        self.seen.append(event)

    def on_retry(self, event: RetryEvent) -> None:
        self.seen.append(event)

    def on_error(self, event: ErrorEvent) -> None:
        self.seen.append(event)


def test_callbacks_see_each_attempt_under_one_id(server: FaultServer) -> None:
    server.script(PATH, reply(503, b""), json_reply(completion(), headers={"x-request-id": "r1"}))
    recorder = Recorder()
    policy = RetryPolicy(max_retries=1, initial_delay=0.01)
    with client_of(server, callbacks=[recorder], retry=policy) as client:
        client.chat.create("my secret prompt")
    kinds = [type(event).__name__ for event in recorder.seen]
    assert kinds == ["RequestEvent", "RetryEvent", "RequestEvent", "ResponseEvent"]
    assert len({event.call_id for event in recorder.seen}) == 1
    assert recorder.seen[-1].request_id == "r1"
    assert "my secret prompt" not in repr(recorder.seen)


def test_callbacks_see_the_final_error(server: FaultServer) -> None:
    server.on(PATH, reply(500, b""))
    recorder = Recorder()
    with client_of(server, callbacks=[recorder]) as client, pytest.raises(InternalServerError):
        client.chat.create("ping")
    assert [type(event).__name__ for event in recorder.seen] == ["RequestEvent", "ErrorEvent"]
    assert isinstance(recorder.seen[-1].error, InternalServerError)


class Rude(Callback):
    def on_request(self, event: RequestEvent) -> None:
        raise ValueError("boom")


def test_a_callback_that_raises_does_not_break_the_call(server: FaultServer) -> None:
    with client_of(server, callbacks=[Rude()]) as client:
        assert client.chat.create("ping").text == "pong"


def test_one_object_serves_one_event_loop_after_another(server: FaultServer) -> None:
    client = async_client_of(server)

    async def ask() -> str:
        return (await client.chat.create("ping")).text

    assert [asyncio.run(ask()) for _ in range(3)] == ["pong"] * 3
    gc.collect()


def test_forty_parallel_calls_use_no_thread(server: FaultServer) -> None:
    client = async_client_of(server)

    async def ask_all() -> set[str]:
        before = {thread.name for thread in threading.enumerate() if "asyncio" in thread.name}
        answers = await asyncio.gather(*(client.chat.create("ping") for _ in range(40)))
        after = {thread.name for thread in threading.enumerate() if "asyncio" in thread.name}
        assert after == before
        return {answer.text for answer in answers}

    assert asyncio.run(ask_all()) == {"pong"}


def test_copies_work_after_use_and_keep_the_token(server: FaultServer) -> None:
    client = client_of(server)
    client.chat.create("ping")
    twin = copy.deepcopy(client)
    assert twin.chat.create("ping").text == "pong"
    assert server.requests[-1].headers["authorization"] == f"Bearer {TOKEN}"
    assert twin.with_options(model="c/d").chat.create("ping").text == "pong"
    assert server.requests[-1].headers["authorization"] == f"Bearer {TOKEN}"


def test_pickles_carry_no_token(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(server, provider="groq")
    client.chat.create("ping")
    data = pickle.dumps(client)
    assert TOKEN.encode() not in data
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_other_process")
    twin = pickle.loads(data)
    assert twin.chat.create("ping").text == "pong"
    last = server.requests[-1]
    assert last.headers["authorization"] == "Bearer hf_of_the_other_process"
    assert last.json()["model"] == "a/b:groq"
    assert twin.with_options(provider="novita").chat.create("ping").text == "pong"


def test_no_representation_shows_the_token(server: FaultServer) -> None:
    client = client_of(server, default_headers={"X-Api-Key": TOKEN})
    shown = repr(client) + str(client) + repr(vars(client)) + repr(client.settings)
    assert TOKEN not in shown


def test_a_client_with_a_foreign_http_client_is_not_pickled_silently(server: FaultServer) -> None:
    with httpx.Client() as mine, pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(client_of(server, http_client=mine))


def test_an_injected_http_client_is_used_and_left_open(server: FaultServer) -> None:
    seen: list[str] = []
    with httpx.Client(event_hooks={"request": [lambda r: seen.append(r.url.path)]}) as mine:
        with client_of(server, http_client=mine) as client:
            assert client.chat.create("ping").text == "pong"
        assert not mine.is_closed
    assert seen == [PATH]


def test_headers_of_an_injected_client_are_sent(server: FaultServer) -> None:
    with httpx.Client(headers={"X-Gateway": "g1"}) as mine:
        client_of(server, http_client=mine).chat.create("ping")
        client_of(server, http_client=mine, default_headers={"x-gateway": "g2"}).chat.create("x")
    assert [one.headers["x-gateway"] for one in server.requests] == ["g1", "g2"]
    assert server.requests[0].headers["user-agent"].startswith("hfrouter/")
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_an_http_client_of_the_wrong_colour_is_refused() -> None:
    with httpx.Client() as mine, pytest.raises(InvalidSettingError, match=r"httpx\.AsyncClient"):
        AsyncRouterClient("a/b", http_client=mine)


def test_an_http_client_of_another_package_is_refused() -> None:
    """httpx2's have the same methods, but fail inside the first call."""
    httpx2 = pytest.importorskip("httpx2", reason="httpx2: needs a newer h11 than the oldest")
    for kind, foreign in (
        (RouterClient, httpx2.Client),
        (AsyncRouterClient, httpx2.AsyncClient),
    ):
        for given in (foreign, type("Mine", (foreign,), {})):
            with pytest.raises(InvalidSettingError, match=rf"httpx\.{foreign.__name__}, not ") as e:
                kind("a/b", http_client=given())
            assert e.value.setting == "http_client"


def test_derived_clients_share_connections_where_they_can(server: FaultServer) -> None:
    client = client_of(server)
    client.chat.create("ping")
    other = client.with_options(model="c/d", provider="groq")
    other.chat.create("ping")
    assert server.requests[-1].json()["model"] == "c/d:groq"
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"max_retries": 1, "retry": RetryPolicy(max_retries=1)}, "retry"),
        ({"timeout": 0}, "timeout"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "https://user:password@x"}, "base_url"),
        ({"bill_to": "a\r\nb"}, "bill_to"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSettingError, match=named):
        RouterClient("a/b", **options)


def test_an_unknown_option_of_a_derived_client_names_the_nearest() -> None:
    with pytest.raises(InvalidSettingError, match="max_retries"):
        RouterClient("a/b").with_options(max_retry=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_gets_its_own_connections(server: FaultServer) -> None:
    client = client_of(server)
    client.chat.create("ping")
    accepted = server.accepted
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"?"
        try:
            answer = client.chat.create("ping").text.encode()
        finally:
            os.write(write, answer)
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"pong"
    os.close(read)
    os.close(write)
    assert client.chat.create("ping").text == "pong"
    assert server.accepted == accepted + 1


def test_sixteen_threads_do_not_mix_answers(server: FaultServer) -> None:
    def echo(received: Any) -> Any:
        return json_reply(completion(received.json()["messages"][0]["content"]))

    server.on(PATH, echo)
    client = client_of(server)
    wrong: list[tuple[str, str]] = []

    def ask(number: int) -> None:
        for turn in range(10):
            text = f"{number}-{turn}"
            got = client.chat.create(text).text
            if got != text:
                wrong.append((text, got))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_nobody_listens() -> None:
    client = RouterClient("a/b", base_url="http://127.0.0.1:9/v1", api_key=TOKEN)
    with pytest.raises(APIConnectionError, match=r"127\.0\.0\.1"):
        client.chat.create("ping")
