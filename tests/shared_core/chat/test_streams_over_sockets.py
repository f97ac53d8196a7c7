"""Streams through both clients and real sockets: rules of failure, release and reuse."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared_core import (
    APIResponseValidationError,
    APITimeoutError,
    AsyncRouterClient,
    ChatChunk,
    ChatCompletion,
    InternalServerError,
    ResponseTooLargeError,
    RetryPolicy,
    RouterClient,
    RouterError,
    StreamError,
    StreamEventError,
    StreamInterruptedError,
    StreamTimeoutError,
)
from shared_core.config.settings import Limits
from tests.helpers.fault_server import (
    Drip,
    FaultServer,
    Fin,
    Hang,
    Repeat,
    Reply,
    Rst,
    Step,
    chunk,
    head,
    html_reply,
    json_reply,
    reply,
    sse,
    sse_bytes,
)

PATH = "/v1/chat/completions"
SSE = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}


def event(text: str | None = None, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    if text is not None:
        delta["content"] = text
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "c1", "model": "a/b", "choices": [choice]}


TOKENS = [event("one "), event("two "), event("three")]
STOP = event(reason="stop")
WHOLE = {
    "id": "c1",
    "model": "a/b",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "one two three"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
}


class Outcome:
    """What came of one stream."""

    def __init__(self) -> None:
        self.chunks: list[ChatChunk] = []
        self.result: ChatCompletion | None = None
        self.error: RouterError | None = None
        self.elapsed = 0.0

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)


def run_sync(url: str, options: dict[str, Any], params: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    begun = time.monotonic()
    with RouterClient("a/b", base_url=url, **options) as client:
        try:
            with client.chat.stream("hi", **params) as stream:
                for item in stream:
                    outcome.chunks.append(item)
                outcome.result = stream.result()
        except RouterError as error:
            outcome.error = error
    outcome.elapsed = time.monotonic() - begun
    return outcome


def run_async(url: str, options: dict[str, Any], params: dict[str, Any]) -> Outcome:
    async def main() -> Outcome:
        outcome = Outcome()
        begun = time.monotonic()
        async with AsyncRouterClient("a/b", base_url=url, **options) as client:
            try:
                async with client.chat.stream("hi", **params) as stream:
                    async for item in stream:
                        outcome.chunks.append(item)
                    outcome.result = await stream.result()
            except RouterError as error:
                outcome.error = error
        outcome.elapsed = time.monotonic() - begun
        return outcome

    return asyncio.run(main())


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running
        assert running.wait_open(0), "a connection was left open"


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def play(request: pytest.FixtureRequest, server: FaultServer) -> Callable[..., Outcome]:
    def play(answer: Reply, *, options: Any = None, **params: Any) -> Outcome:
        server.on(PATH, answer)
        outcome: Outcome = request.param(server.url + "/v1", options or {}, params)
        assert len(server.requests) == 1
        assert server.requests[0].json()["stream"] is True
        return outcome

    return play


Play = Callable[..., Outcome]


def test_a_good_stream(play: Play) -> None:
    outcome = play(sse(*TOKENS, STOP, headers={"x-request-id": "r", "x-inference-provider": "p"}))
    assert outcome.error is None and outcome.result is not None
    assert outcome.text == outcome.result.text == "one two three"
    assert (outcome.result.request_id, outcome.result.provider) == ("r", "p")


@pytest.mark.parametrize(
    "answer",
    [
        sse(*TOKENS, STOP, done=False),
        sse(*TOKENS, STOP, done=False, end=Fin()),
        sse(*TOKENS, STOP, done=False, end=Rst()),
        sse(*TOKENS, event("", "length")),
        sse(b": ping\n\n", *TOKENS, STOP, {"choices": [], "usage": WHOLE["usage"]}),
        json_reply(WHOLE),
        json_reply(WHOLE, headers={"content-type": "text/plain"}),
        json_reply(WHOLE, compress=True),
    ],
    ids=["no DONE", "FIN", "RST", "length", "usage", "one document", "odd type", "gzip"],
)
def test_complete_answers(play: Play, answer: Reply) -> None:
    outcome = play(answer)
    assert outcome.error is None and outcome.result is not None
    assert outcome.text == outcome.result.text == "one two three"


def test_silence_after_the_finish_reason_is_the_end(play: Play) -> None:
    outcome = play(sse(*TOKENS, STOP, done=False, end=Hang()), timeout=0.3)
    assert outcome.error is None and outcome.result is not None
    assert outcome.result.text == "one two three"
    assert outcome.elapsed < 5


@pytest.mark.parametrize(
    ("end", "tail"),
    [
        (None, ()),
        (Fin(), ()),
        (Rst(), ()),
        (None, (b'data: {"choices":[{"del',)),
        (Fin(), (b'data: {"choices":[{"del',)),
    ],
    ids=["clean end", "FIN", "RST", "torn event, clean end", "torn event, FIN"],
)
def test_cut_answers_carry_what_came(play: Play, end: Step | None, tail: tuple[bytes, ...]) -> None:
    outcome = play(sse(*TOKENS, *tail, done=False, end=end))
    assert isinstance(outcome.error, StreamInterruptedError)
    assert not isinstance(outcome.error, StreamTimeoutError)
    assert outcome.error.partial is not None
    assert outcome.error.partial.text == outcome.text == "one two three"
    assert outcome.error.model == "a/b"
    assert outcome.error.__cause__ is None


@pytest.mark.parametrize("end", [None, Fin(), Rst()], ids=["clean end", "FIN", "RST"])
def test_cut_tool_call(play: Play, end: Step | None) -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "rm", "arguments": '{"path": "/tm'}}
    outcome = play(sse(event(tool_calls=[call]), done=False, end=end))
    assert isinstance(outcome.error, StreamInterruptedError)
    partial = outcome.error.partial
    assert partial is not None and partial.tool_calls == []
    assert partial.incomplete_tool_calls[0].arguments == '{"path": "/tm'


@pytest.mark.parametrize(
    "report",
    [
        {"error": "Input validation error", "error_type": "validation"},
        {"error": {"message": "grammar is not supported", "http_status_code": 422}},
        {"error": {"message": "upstream failed", "type": "server_error", "code": 500}},
        b'event: error\ndata: {"message": "upstream failed"}\n\n',
    ],
)
def test_reported_errors(play: Play, report: Any) -> None:
    outcome = play(sse(*TOKENS, report, event("never")))
    assert isinstance(outcome.error, StreamEventError)
    assert outcome.text == "one two three"
    assert outcome.error.partial is not None
    assert outcome.error.partial.text == "one two three"


def test_one_broken_event(play: Play) -> None:
    outcome = play(sse(*TOKENS, b"data: {broken}\n\n", STOP))
    assert isinstance(outcome.error, StreamError)
    assert outcome.text == "one two three"


@pytest.mark.parametrize(
    "answer",
    [
        sse(*TOKENS, done=False, end=Hang()),
        sse(*TOKENS, done=False, end=Repeat(chunk(b": ping\n\n"), interval=0.02)),
        sse(*TOKENS, done=False, end=Drip(chunk(b"data: " + b"x" * 5000), 0.02)),
        sse(*TOKENS, done=False, end=Repeat(chunk(b'data: {"choices": []}\n\n'), interval=0.02)),
    ],
    ids=["silence", "pings for ever", "an event that never ends", "empty events for ever"],
)
def test_silence_is_a_timeout_with_what_came(play: Play, answer: Reply) -> None:
    outcome = play(answer, timeout=0.4)
    error = outcome.error
    assert isinstance(error, StreamTimeoutError)
    assert isinstance(error, APITimeoutError) and isinstance(error, StreamInterruptedError)
    assert error.partial is not None and error.partial.text == "one two three"
    assert 0.3 < outcome.elapsed < 5


def test_silence_before_the_first_event(play: Play) -> None:
    outcome = play(sse(done=False, end=Hang()), timeout=0.3)
    assert isinstance(outcome.error, APITimeoutError)
    assert outcome.elapsed < 5


def test_a_slow_but_steady_stream_outlives_the_timeout(play: Play) -> None:
    slow = [event(str(number)) for number in range(8)]
    outcome = play(sse(*slow, STOP, delay=0.1), timeout=0.5)
    assert outcome.error is None
    assert outcome.text == "01234567"


@pytest.mark.parametrize(
    "answer",
    [
        html_reply("<html><body>Please log in</body></html>"),
        json_reply(None),
        json_reply({"hello": "world"}),
        reply(200, b"", {"content-type": "application/json"}),
    ],
    ids=["login page", "null", "other object", "empty"],
)
def test_no_answer_at_all(play: Play, answer: Reply) -> None:
    outcome = play(answer)
    assert isinstance(outcome.error, APIResponseValidationError)


@pytest.mark.parametrize(
    "answer", [sse_bytes(), sse_bytes(b": ping\n\n"), sse()], ids=["nothing", "ping", "DONE only"]
)
def test_a_stream_without_an_event(play: Play, answer: Reply) -> None:
    outcome = play(answer)
    assert isinstance(outcome.error, StreamInterruptedError)
    assert outcome.chunks == []


def test_an_error_object_instead_of_a_stream(play: Play) -> None:
    outcome = play(json_reply({"error": {"message": "boom", "code": 500}}))
    assert isinstance(outcome.error, InternalServerError)


def test_an_event_over_the_limit(play: Play) -> None:
    big = b"data: " + b"x" * 200_000
    outcome = play(
        sse(*TOKENS, big, done=False, end=Hang()),
        options={"limits": Limits(max_event_bytes=100_000)},
    )
    assert isinstance(outcome.error, ResponseTooLargeError)
    assert outcome.text == "one two three"


def test_characters_and_line_ends_split_over_packets(play: Play) -> None:
    body = 'data: {"choices":[{"delta":{"content":"H\u00e9 \U0001f600\u2028"}}]}\r\n\r\n'.encode()
    pieces = [body[at : at + 1] for at in range(len(body))]
    outcome = play(sse(*pieces, STOP))
    assert outcome.text == "H\u00e9 \U0001f600\u2028"


# --- release and reuse ------------------------------------------------------------------


def client_of(server: FaultServer) -> RouterClient:
    return RouterClient("a/b", base_url=server.url + "/v1")


def test_the_connection_is_used_again_after_a_stream(server: FaultServer) -> None:
    server.on(PATH, sse(*TOKENS, STOP))
    with client_of(server) as client:
        for _ in range(5):
            assert client.chat.stream("hi").result().text == "one two three"
    assert server.accepted == 1


def test_the_connection_is_used_again_after_an_async_stream(server: FaultServer) -> None:
    server.on(PATH, sse(*TOKENS, STOP))

    async def main() -> None:
        async with AsyncRouterClient("a/b", base_url=server.url + "/v1") as client:
            for _ in range(5):
                stream = await client.chat.stream("hi")
                assert (await stream.result()).text == "one two three"

    asyncio.run(main())
    assert server.accepted == 1


ENDLESS = sse(*TOKENS, done=False, end=Repeat(chunk(b'data: {"choices":[]}\n\n'), interval=0.01))


def test_close_break_and_drop_release_at_once(server: FaultServer) -> None:
    server.on(PATH, ENDLESS)
    with client_of(server) as client:
        stream = client.chat.stream("hi")
        assert next(stream).text == "one "
        stream.close()
        stream.close()
        assert server.wait_open(0)
        assert list(stream) == []
        with pytest.raises(StreamInterruptedError, match="closed") as caught:
            stream.result()
        assert caught.value.partial is not None and "one" in caught.value.partial.text
        for item in client.chat.stream("hi"):
            assert item.text == "one "
            break
        gc.collect()
        assert server.wait_open(0)
        with client.chat.stream("hi") as stream:
            assert next(stream.text_deltas()) == "one "
        assert server.wait_open(0)
        cycle: list[Any] = [client.chat.stream("hi")]
        cycle.append(cycle)
        next(cycle[0])
        del cycle
        gc.collect()
        assert server.wait_open(0)


def test_an_exception_in_the_callers_loop_releases(server: FaultServer) -> None:
    server.on(PATH, ENDLESS)
    with client_of(server) as client:
        with pytest.raises(KeyError), client.chat.stream("hi") as stream:
            for _ in stream:
                raise KeyError
        assert server.wait_open(0)


def test_async_release_on_break_cancel_and_drop(server: FaultServer) -> None:
    server.on(PATH, ENDLESS)

    async def main() -> None:
        async with AsyncRouterClient("a/b", base_url=server.url + "/v1") as client:
            async with client.chat.stream("hi") as stream:
                async for _ in stream:
                    break
            assert await asyncio.to_thread(server.wait_open, 0)

            async def read() -> None:
                async for _ in await client.chat.stream("hi"):
                    pass

            task = asyncio.create_task(read())
            assert await asyncio.to_thread(server.wait_requests, 2)
            await asyncio.sleep(0.05)
            task.cancel()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.wait_open, 0)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(), 0.1)
            assert await asyncio.to_thread(server.wait_open, 0)
            dropped = await client.chat.stream("hi")
            await anext(dropped)
            del dropped
            gc.collect()
            assert await asyncio.to_thread(server.wait_open, 0)

    asyncio.run(main())


def test_an_opening_that_is_never_awaited_sends_nothing(server: FaultServer) -> None:
    async def main() -> None:
        async with AsyncRouterClient("a/b", base_url=server.url + "/v1") as client:
            client.chat.stream("hi")

    asyncio.run(main())
    assert server.requests == []


# --- retry ------------------------------------------------------------------------------

FAILS_AT_ONCE = sse({"error": {"message": "overloaded", "code": 503}})
POLICY = RetryPolicy(max_retries=2, initial_delay=0.01)


def test_a_broken_start_is_retried_when_asked(server: FaultServer) -> None:
    server.script(PATH, FAILS_AT_ONCE, sse(done=False), sse(*TOKENS, STOP))
    with RouterClient("a/b", base_url=server.url + "/v1", retry=POLICY) as client:
        assert client.chat.stream("hi").result().text == "one two three"
    assert len(server.requests) == 3


def test_a_broken_start_is_retried_when_asked_async(server: FaultServer) -> None:
    server.script(PATH, FAILS_AT_ONCE, sse(done=False, end=Rst()), sse(*TOKENS, STOP))

    async def main() -> None:
        url = server.url + "/v1"
        async with AsyncRouterClient("a/b", base_url=url, retry=POLICY) as client:
            stream = await client.chat.stream("hi")
            assert (await stream.result()).text == "one two three"

    asyncio.run(main())
    assert len(server.requests) == 3


def test_a_stream_that_keeps_failing_releases_its_connections(server: FaultServer) -> None:
    error = {"error": {"message": "overloaded", "code": 503}}
    server.on(PATH, sse(error, done=False, end=Hang()))
    with RouterClient("a/b", base_url=server.url + "/v1", retry=POLICY) as client:
        with pytest.raises(StreamEventError) as caught:
            client.chat.stream("hi")
        assert server.wait_open(0)
        assert caught.value.attempts == 3

    async def main() -> None:
        async with AsyncRouterClient("a/b", base_url=server.url + "/v1", retry=POLICY) as client:
            with pytest.raises(StreamEventError):
                await client.chat.stream("hi")
            assert await asyncio.to_thread(server.wait_open, 0)

    asyncio.run(main())


def test_no_retry_after_the_first_chunk(server: FaultServer) -> None:
    server.on(PATH, sse(*TOKENS, done=False, end=Rst()))
    with RouterClient("a/b", base_url=server.url + "/v1", retry=POLICY) as client:
        stream = client.chat.stream("hi")
        with pytest.raises(StreamInterruptedError):
            stream.result()
    assert len(server.requests) == 1


def test_one_piece_headers(server: FaultServer) -> None:
    """Headers and the whole stream in one packet."""
    body = b"".join(chunk(b"data: " + piece + b"\n\n") for piece in _encoded(*TOKENS, STOP))
    server.on(PATH, Reply((head(200, SSE) + body + b"0\r\n\r\n",)))
    with client_of(server) as client:
        assert client.chat.stream("hi").result().text == "one two three"


def _encoded(*events: Any) -> list[bytes]:
    import json

    return [json.dumps(item).encode() for item in events]


def test_closing_from_another_thread_ends_the_reader(server: FaultServer) -> None:
    server.on(PATH, sse(*TOKENS, done=False, end=Hang()))
    with client_of(server) as client:
        stream = client.chat.stream("hi")
        told: list[StreamError] = []
        ended = threading.Event()

        def read() -> None:
            try:
                stream.result()
            except StreamError as error:
                told.append(error)
            ended.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert not ended.wait(0.2)  # it waits for the fourth event
        stream.close()
        assert ended.wait(5)
        reader.join()
        assert server.wait_open(0)
        (error,) = told
        assert "closed before its end" in error.message
        assert "dropped" not in error.message
        assert error.partial is not None
        assert error.partial.text == "one two three"
        assert list(stream) == []
        with pytest.raises(StreamInterruptedError, match="closed before its end"):
            stream.result()


def test_closing_from_another_task_ends_the_reader(server: FaultServer) -> None:
    server.on(PATH, sse(*TOKENS, done=False, end=Hang()))

    async def main() -> None:
        async with AsyncRouterClient("a/b", api_key="k", base_url=server.url) as client:
            stream = await client.chat.stream("hi")
            for _ in TOKENS:
                await anext(stream)
            reader = asyncio.create_task(stream.result())
            await asyncio.sleep(0.1)  # it waits for the fourth event
            await stream.aclose()
            with pytest.raises(StreamInterruptedError, match="closed before its end") as caught:
                await asyncio.wait_for(reader, 5)
            assert "dropped" not in caught.value.message

    asyncio.run(main())
