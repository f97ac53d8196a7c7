"""Streamed responses: typed events, failures, cuts; both clients, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared_core import AsyncRouterClient, Callback, ResponseUpdate, RouterClient, errors
from shared_core.responses.decoder import ResponseDecoder
from tests.helpers.fault_server import FaultServer, Fin, Hang, Rst, Step, json_reply, sse, sse_bytes

PATH = "/v1/responses"
RUNNING = {"id": "resp_1", "object": "response", "status": "in_progress", "model": "m"}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress"}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": ""}
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [], "content": []}
DONE_MESSAGE = {
    **MESSAGE,
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello you", "annotations": []}],
}
DONE_CALL = {**CALL, "arguments": '{"a":1}', "status": "completed"}
DONE_THOUGHT = {**THOUGHT, "content": [{"type": "reasoning_text", "text": "Hm."}]}
FINAL = {
    **RUNNING,
    "status": "completed",
    "output": [DONE_THOUGHT, DONE_MESSAGE, DONE_CALL],
    "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": 0, **fields}


EVENTS = [
    {"type": "response.created", "sequence_number": 0, "response": RUNNING},
    event("output_item.added", item=THOUGHT),
    event("reasoning_text.delta", item_id="rs_1", content_index=0, delta="Hm."),
    event("output_item.done", item=DONE_THOUGHT),
    event("output_item.added", item=MESSAGE),
    event("output_text.delta", item_id="msg_1", content_index=0, delta="Hello"),
    event("output_text.delta", item_id="msg_1", content_index=0, delta=" you"),
    event("output_item.done", item=DONE_MESSAGE),
    event("output_item.added", item=CALL),
    event("function_call_arguments.delta", item_id="fc_1", delta='{"a"'),
    event("function_call_arguments.delta", item_id="fc_1", delta=":1}"),
    event("output_item.done", item=DONE_CALL),
    {"type": "response.completed", "sequence_number": 12, "response": FINAL},
]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


Read = Callable[..., tuple[list[ResponseUpdate], Any]]


@pytest.fixture(params=["sync", "async"])
def read(request: pytest.FixtureRequest, server: FaultServer) -> Read:
    """``read(**options)``: all events of a stream, and its result or error."""

    def blocking(**options: Any) -> tuple[list[ResponseUpdate], Any]:
        updates = []
        with (
            RouterClient("a/b", api_key="x", base_url=f"{server.url}/v1", **options) as client,
            client.responses.stream("Hello") as stream,
        ):
            try:
                for update in stream:
                    updates.append(update)
                return updates, stream.result()
            except errors.RouterError as error:
                return updates, error

    async def awaiting(**options: Any) -> tuple[list[ResponseUpdate], Any]:
        updates = []
        async with (
            AsyncRouterClient("a/b", api_key="x", base_url=f"{server.url}/v1", **options) as client,
            client.responses.stream("Hello") as stream,
        ):
            try:
                async for update in stream:
                    updates.append(update)
                return updates, await stream.result()
            except errors.RouterError as error:
                return updates, error

    if request.param == "sync":
        return blocking
    return lambda **options: asyncio.run(awaiting(**options))


@pytest.mark.parametrize("done", [True, False], ids=["with [DONE]", "without"])
def test_events_and_whole_response(server: FaultServer, read: Read, done: bool) -> None:
    server.on(PATH, sse(*EVENTS, done=done))
    updates, response = read()
    assert [update.type for update in updates] == [value["type"] for value in EVENTS]
    assert "".join(update.text for update in updates) == "Hello you"
    assert "".join(update.reasoning for update in updates) == "Hm."
    assert "".join(update.arguments for update in updates) == '{"a":1}'
    assert updates[0].response is not None
    assert updates[0].sequence_number == 0
    assert updates[3].item is not None
    assert (response.output_text, response.reasoning) == ("Hello you", "Hm.")
    assert response.function_calls[0].parse() == {"a": 1}
    assert response.usage.total_tokens == 12
    assert server.requests[0].json()["stream"] is True
    assert server.requests[0].headers["accept"].startswith("text/event-stream")


def test_named_events_work_too(server: FaultServer, read: Read) -> None:
    pieces = [
        b'event: response.created\ndata: {"response": {"id": "r", "object": "response"}}\n\n',
        b": ping\n\n",
        b'event: response.completed\ndata: {"response": {"id": "r", "object": "response",'
        b'"output": []}}\n\n',
    ]
    server.on(PATH, sse_bytes(*pieces))
    updates, response = read()
    assert [update.type for update in updates] == ["response.created", "response.completed"]
    assert response.id == "r"


def test_final_event_without_output_keeps_what_was_streamed(
    server: FaultServer, read: Read
) -> None:
    last = {"type": "response.completed", "response": {**FINAL, "output": []}}
    server.on(PATH, sse(*EVENTS[:-1], last))
    _, response = read()
    assert response.output_text == "Hello you"
    assert len(response.output) == 3


def test_failed_event_is_an_error_with_what_arrived(server: FaultServer, read: Read) -> None:
    failed = {
        **RUNNING,
        "status": "failed",
        "output": [],
        "error": {"code": "server_error", "message": "out of memory"},
    }
    server.on(PATH, sse(*EVENTS[:6], {"type": "response.failed", "response": failed}))
    updates, error = read()
    assert isinstance(error, errors.ResponseFailedError)
    assert error.partial.output_text == "Hello"
    assert "out of memory" in str(error)
    assert updates[-1].type == "response.failed"


@pytest.mark.parametrize(
    "last",
    [
        {"type": "error", "code": "server_error", "message": "broke", "param": None},
        {"error": {"message": "broke", "code": 500}},
    ],
)
def test_error_event(server: FaultServer, read: Read, last: Any) -> None:
    server.on(PATH, sse(*EVENTS[:6], last))
    _, error = read()
    assert isinstance(error, errors.ResponseFailedError)
    assert error.server_message == "broke"
    assert error.partial.output_text == "Hello"


@pytest.mark.parametrize("count", range(len(EVENTS)))
@pytest.mark.parametrize("ending", ["done", "end", "fin", "reset"])
def test_cut_streams_never_complete(
    server: FaultServer, read: Read, count: int, ending: str
) -> None:
    ends: dict[str, Step] = {"fin": Fin(), "reset": Rst()}
    end = ends.get(ending)
    server.on(PATH, sse(*EVENTS[:count], done=ending == "done", end=end))
    updates, error = read()
    assert isinstance(error, errors.StreamInterruptedError)
    assert len(updates) <= count
    partial: Any = error.partial
    assert partial.status == "in_progress"
    text = "".join(update.text for update in updates)
    assert partial.output_text == text


def test_silence_is_a_timeout(server: FaultServer, read: Read) -> None:
    server.on(PATH, sse(*EVENTS[:6], done=False, end=Hang()))
    updates, error = read(timeout=0.2)
    assert isinstance(error, errors.StreamTimeoutError)
    partial: Any = error.partial
    assert partial.output_text == "Hello"
    assert len(updates) == 6


@pytest.mark.parametrize("junk", [b"data: {nope\n\n", b"data: [1]\n\n"])
def test_junk_is_named(server: FaultServer, read: Read, junk: bytes) -> None:
    server.on(PATH, sse(*EVENTS[:6], junk))
    _, error = read()
    assert isinstance(error, errors.StreamError)
    assert "unusable" in str(error)


def test_server_that_does_not_stream(server: FaultServer, read: Read) -> None:
    server.on(PATH, json_reply(FINAL))
    updates, response = read()
    assert [update.type for update in updates] == ["response.completed"]
    assert response.output_text == "Hello you"


def test_server_that_does_not_stream_and_fails(server: FaultServer) -> None:
    server.on(PATH, json_reply({**FINAL, "status": "failed", "error": {"message": "x"}}))
    with RouterClient("a/b", api_key="x", base_url=server.url) as client:
        with pytest.raises(errors.ResponseFailedError):
            client.responses.stream("Hello")


def test_broken_start_is_retried_on_request(server: FaultServer, read: Read) -> None:
    server.script(PATH, sse(done=False, end=Fin()), sse(*EVENTS))
    _, response = read(max_retries=1)
    assert response.output_text == "Hello you"
    assert len(server.requests) == 2


def test_callbacks_are_told(server: FaultServer, read: Read) -> None:
    told: list[Any] = []

    class Told(Callback):
        def on_chunk(self, event: Any) -> None:
            told.append(event.chunk.type)

        def on_stream_complete(self, event: Any) -> None:
            told.append((event.finish_reason, event.usage.total_tokens))

    server.on(PATH, sse(*EVENTS))
    read(callbacks=[Told()])
    assert told[0] == "response.created"
    assert told[-1] == ("tool_calls", 12)


def test_leaving_early_releases_the_connection(server: FaultServer) -> None:
    server.on(PATH, sse(*EVENTS[:6], done=False, end=Hang()))
    with RouterClient("a/b", api_key="x", base_url=server.url) as client:
        with client.responses.stream("Hello") as stream:
            assert next(stream.text_deltas()) == "Hello"
        assert server.wait_open(0)
        assert list(stream) == []
        with pytest.raises(errors.StreamInterruptedError):
            stream.result()


@pytest.mark.anyio
async def test_cancelled_task_releases_the_connection(server: FaultServer) -> None:
    server.on(PATH, sse(*EVENTS[:6], done=False, end=Hang()))
    async with AsyncRouterClient("a/b", api_key="x", base_url=server.url) as client:

        async def consume() -> None:
            async with client.responses.stream("Hello") as stream:
                async for _ in stream:
                    pass

        task = asyncio.ensure_future(consume())
        assert await asyncio.to_thread(server.wait_requests, 1)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.wait_open, 0)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_packets_cut_anywhere(size: int) -> None:
    import json

    body = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in EVENTS)
    decoder = ResponseDecoder()
    updates = []
    for start in range(0, len(body), size):
        updates += decoder.feed(body[start : start + size])
    updates += decoder.finish()
    assert decoder.error is None
    assert len(updates) == len(EVENTS)


def test_last_event_without_blank_line() -> None:
    decoder = ResponseDecoder()
    decoder.feed(b'data: {"type":"response.completed","response":{"output":[]}}')
    assert [update.type for update in decoder.finish()] == ["response.completed"]
    assert decoder.error is None


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_real_server(llama_chat_url: str, kind: str) -> None:
    options: dict[str, Any] = {"api_key": "x", "base_url": f"{llama_chat_url}/v1"}
    question = "What is the capital of France?"
    if kind == "sync":
        with (
            RouterClient("taught", **options) as client,
            client.responses.stream(question, max_output_tokens=20) as stream,
        ):
            text, response = "".join(stream.text_deltas()), stream.result()
    else:

        async def go() -> Any:
            async with AsyncRouterClient("taught", **options) as client:
                stream = await client.responses.stream(question, max_output_tokens=20)
                text = "".join([piece async for piece in stream.text_deltas()])
                return text, await stream.result()

        text, response = asyncio.run(go())
    assert "Paris" in text
    assert response.output_text == text
    assert response.usage is not None
    assert response.usage.completion_tokens > 2


def test_a_huge_event_names_the_limit_to_raise() -> None:
    from shared_core.errors import ResponseTooLargeError
    from shared_core.responses.decoder import ResponseDecoder

    decoder = ResponseDecoder(max_event_bytes=2000)
    decoder.feed(b"data: " + b"x" * 5000)
    assert isinstance(decoder.error, ResponseTooLargeError)
    assert "max_event_bytes" in str(decoder.error)
    assert "max_body_bytes" not in str(decoder.error)


def test_events_do_not_keep_credentials_of_tools(server: FaultServer, read: Read) -> None:
    tool = {"type": "mcp", "server_label": "docs", "headers": {"Authorization": "Bearer s3cret"}}
    repeated = [
        {**value, "response": {**value["response"], "tools": [tool]}}
        if "response" in value
        else value
        for value in EVENTS
    ]
    server.on(PATH, sse(*repeated))
    updates, response = read()
    assert response.raw["tools"] == [{"type": "mcp", "server_label": "docs"}]
    assert "s3cret" not in repr([update.raw for update in updates])


@pytest.mark.parametrize("sent", [7, 0])
def test_done_without_a_final_event_is_not_waited_on(
    server: FaultServer, read: Read, sent: int
) -> None:
    server.on(PATH, sse(*EVENTS[:sent], end=Hang()))
    updates, error = read(timeout=5)
    assert type(error) is errors.StreamInterruptedError  # not StreamTimeoutError
    assert ("without any event" in str(error)) is (sent == 0)
    assert len(updates) == sent
    if sent:
        assert error.partial.output_text == "Hello you"
    assert server.wait_open(0)
