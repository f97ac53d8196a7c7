"""``client.chat``: one request per call, callbacks, parameters on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from shared_core import (
    APIResponseValidationError,
    AsyncRouterClient,
    Callback,
    ChatMessage,
    ChunkEvent,
    ErrorEvent,
    InvalidSettingError,
    RequestEvent,
    ResponseEvent,
    RouterClient,
    StreamCompleteEvent,
    StreamInterruptedError,
)
from tests.helpers.fault_server import FaultServer, json_reply, reply, sse

PATH = "/v1/chat/completions"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
HEADERS = {"x-request-id": "r-1", "x-inference-provider": "novita"}


def answer(content: str = "pong") -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "c1", "model": "a/b", "choices": [choice], "usage": USAGE}


def event(text: str = "", reason: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {"content": text} if text else {}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}


class Recorder(Callback):
    """Notes every event."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def _note(self, event: Any) -> None:
        self.events.append(event)

    on_request = on_response = on_chunk = on_stream_complete = on_error = on_retry = _note

    @property
    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(PATH, json_reply(answer(), headers=HEADERS))
        yield running


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, server: FaultServer) -> Any:
    """Create, or stream to the end, with either client."""
    url = server.url + "/v1"

    def sync_call(what: str, client_options: dict[str, Any], *args: Any, **params: Any) -> Any:
        with RouterClient("a/b", base_url=url, **client_options) as client:
            if what == "create":
                return client.chat.create(*args, **params)
            return client.chat.stream(*args, **params).result()

    async def async_call(
        what: str, client_options: dict[str, Any], *args: Any, **params: Any
    ) -> Any:
        async with AsyncRouterClient("a/b", base_url=url, **client_options) as client:
            if what == "create":
                return await client.chat.create(*args, **params)
            return await (await client.chat.stream(*args, **params)).result()

    def call(what: str, *args: Any, client: dict[str, Any] | None = None, **params: Any) -> Any:
        if request.param == "sync":
            return sync_call(what, client or {}, *args, **params)
        return asyncio.run(async_call(what, client or {}, *args, **params))

    return call


def test_create(call: Any, server: FaultServer) -> None:
    completion = call("create", [ChatMessage("user", "ping")], temperature=0, bill_to="acme")
    assert completion.text == "pong"
    assert (completion.request_id, completion.provider) == ("r-1", "novita")
    (sent,) = server.requests
    assert sent.body.startswith(b'{"model":"a/b",')
    assert sent.json()["temperature"] == 0
    assert sent.headers["x-hf-bill-to"] == "acme"


def test_the_payer_of_a_call_wins(call: Any, server: FaultServer) -> None:
    call("create", "ping", client={"bill_to": "theirs"}, bill_to="mine")
    call("create", "ping", client={"bill_to": "theirs"})
    assert [sent.headers["x-hf-bill-to"] for sent in server.requests] == ["mine", "theirs"]


@pytest.mark.parametrize("what", ["create", "stream"])
def test_refused_arguments_send_nothing(call: Any, server: FaultServer, what: str) -> None:
    with pytest.raises(InvalidSettingError, match="temperature"):
        call(what, "ping", temperature=3)
    with pytest.raises(InvalidSettingError, match="temperature"):
        call(what, "ping", temprature=1)
    assert server.requests == []


def test_thinking(call: Any, server: FaultServer) -> None:
    server.on(PATH, json_reply(answer("<think>why</think>because")))
    for what in ("create", "stream"):
        completion = call(what, "ping", split_think=True)
        assert (completion.text, completion.reasoning) == ("because", "why")
        assert call(what, "ping").reasoning is None


def test_events_of_create(call: Any) -> None:
    client, own = Recorder(), Recorder()
    call("create", "ping", client={"callbacks": [client]}, callbacks=[own])
    assert client.events == own.events
    assert own.kinds == [RequestEvent, ResponseEvent]
    assert own.events[1].usage.total_tokens == 5
    assert len({event.call_id for event in own.events}) == 1


def test_events_of_a_stream(call: Any, server: FaultServer) -> None:
    server.on(PATH, sse(event("a"), event("b"), event("", "stop", usage=USAGE), headers=HEADERS))
    client, own = Recorder(), Recorder()
    completion = call("stream", "ping", client={"callbacks": [client]}, callbacks=[own])
    assert client.events == own.events
    assert own.kinds == [RequestEvent, ResponseEvent, *[ChunkEvent] * 3, StreamCompleteEvent]
    assert [item.chunk.text for item in own.events[2:5]] == ["a", "b", ""]
    end = own.events[-1]
    assert (end.chunks, end.finish_reason, end.request_id) == (3, "stop", "r-1")
    assert end.usage == completion.usage and end.elapsed > 0
    assert {item.provider for item in own.events[2:]} == {"novita"}
    assert len({item.call_id for item in own.events}) == 1


def test_events_of_a_stream_that_is_cut(call: Any, server: FaultServer) -> None:
    server.on(PATH, sse(event("a"), done=False))
    own = Recorder()
    with pytest.raises(StreamInterruptedError) as caught:
        call("stream", "ping", callbacks=[own])
    assert own.kinds == [RequestEvent, ResponseEvent, ChunkEvent, ErrorEvent]
    assert own.events[-1].error is caught.value


def test_events_of_an_answer_that_is_none(call: Any, server: FaultServer) -> None:
    server.on(PATH, json_reply({"hello": "world"}))
    for what in ("create", "stream"):
        own = Recorder()
        with pytest.raises(APIResponseValidationError):
            call(what, "ping", callbacks=[own])
        assert own.kinds == [RequestEvent, ErrorEvent]


def test_one_document_gives_the_same_chunks_events_and_result(
    call: Any, server: FaultServer
) -> None:
    wire = answer()
    wire["choices"][0]["message"]["reasoning"] = "hm"
    wire["choices"][0]["message"]["tool_calls"] = [
        {"id": "t1", "function": {"name": "f", "arguments": "{}"}}
    ]
    server.on(PATH, json_reply(wire, headers=HEADERS))
    own = Recorder()
    streamed = call("stream", "ping", callbacks=[own])
    assert streamed.choices == call("create", "ping").choices
    assert own.kinds == [RequestEvent, ResponseEvent, ChunkEvent, StreamCompleteEvent]
    chunk = own.events[2].chunk
    assert (chunk.text, chunk.reasoning, chunk.finish_reason) == ("pong", "hm", "stop")
    assert (chunk.tool_calls[0].id, chunk.tool_calls[0].name) == ("t1", "f")
    assert chunk.usage is not None and chunk.usage.total_tokens == 5


def test_a_server_that_streams_unasked(call: Any, server: FaultServer) -> None:
    server.on(PATH, sse(event("a"), event("b", "stop"), headers=HEADERS))
    completion = call("create", "ping")
    assert (completion.text, completion.request_id) == ("ab", "r-1")
    server.on(PATH, sse(event("a"), done=False))
    with pytest.raises(StreamInterruptedError) as caught:
        call("create", "ping")
    assert caught.value.partial is not None and caught.value.partial.text == "a"
    server.on(PATH, json_reply(answer(), headers={"content-type": "text/event-stream"}))
    assert call("create", "ping").text == "pong"
    server.on(PATH, reply(200, b"", {"content-type": "text/event-stream"}))
    with pytest.raises(APIResponseValidationError):
        call("create", "ping")


def test_a_failing_callback_stops_nothing(call: Any, server: FaultServer) -> None:
    class Broken(Callback):
        def on_chunk(self, event: ChunkEvent) -> None:
            raise KeyError("mine")

    server.on(PATH, sse(event("a"), event("", "stop")))
    assert call("stream", "ping", callbacks=[Broken()]).text == "a"


def test_what_a_stream_shows(server: FaultServer) -> None:
    server.on(PATH, sse(event("a", usage=USAGE), event("", "stop"), headers=HEADERS))
    with RouterClient("a/b", base_url=server.url + "/v1") as client:
        stream = client.chat.stream("ping")
        assert (stream.request_id, stream.provider) == ("r-1", "novita")
        assert stream.headers["content-type"] == "text/event-stream"
        assert "open" in repr(stream) and "a/b" in repr(stream)
        assert stream.usage is None and stream.partial.text == ""
        next(stream)
        assert stream.usage is not None and stream.usage.total_tokens == 5
        assert stream.partial.text == "a"
        whole = stream.result()
        assert stream.result() is whole is stream.partial
        assert "ended" in repr(stream)
        assert list(stream) == []


def test_texts_only(server: FaultServer) -> None:
    server.on(PATH, sse(event("a"), {"choices": [], "usage": USAGE}, event("b"), event("", "stop")))
    url = server.url + "/v1"
    with RouterClient("a/b", base_url=url) as client:
        assert list(client.chat.stream("ping").text_deltas()) == ["a", "b"]

    async def main() -> list[str]:
        async with AsyncRouterClient("a/b", base_url=url) as client:
            stream = await client.chat.stream("ping")
            return [text async for text in stream.text_deltas()]

    assert asyncio.run(main()) == ["a", "b"]


def test_a_failed_stream_raises_again(server: FaultServer) -> None:
    server.on(PATH, sse(event("a"), done=False))
    with RouterClient("a/b", base_url=server.url + "/v1") as client:
        stream = client.chat.stream("ping")
        for _ in range(2):
            with pytest.raises(StreamInterruptedError):
                stream.result()
        assert "failed" in repr(stream)
        assert stream.partial.text == "a"
        stream.close()
