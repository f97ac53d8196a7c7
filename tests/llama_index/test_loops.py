"""Event loops, threads, and the end of connections."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.async_utils import asyncio_run
from llama_index.core.base.llms.types import ChatMessage

from llama_index_hfrouter import HFRouter, HFRouterEmbedding
from shared_core import (
    APIConnectionError,
    APITimeoutError,
    InternalServerError,
    ModelLoadingError,
    PaymentRequiredError,
    RateLimitError,
    RouterError,
    StreamInterruptedError,
)
from tests.helpers.fault_server import Fin, Hang, Rst, drop, hang, json_reply, reset
from tests.llama_index.conftest import Recorder
from tests.llama_index.stub_server import StubRouter, call, say, stream

HELLO = [ChatMessage(role="user", content="Say hello.")]


def make(stub: StubRouter, **options: Any) -> HFRouter:
    return HFRouter("org/model", base_url=stub.base_url, **options)


async def ask(llm: HFRouter) -> str:
    texts = [r.delta or "" async for r in await llm.astream_chat(HELLO)]
    whole = (await llm.achat(HELLO)).message.content
    assert "".join(texts) == whole
    return whole or ""


@pytest.mark.rule("new-loops", "nested-async")
def test_one_object_serves_one_loop_after_another(stub: StubRouter) -> None:
    stub.chat(say("Hello there."))
    llm = make(stub)
    assert [asyncio.run(ask(llm)) for _ in range(3)] == ["Hello there."] * 3
    assert asyncio_run(ask(llm)) == "Hello there."


@pytest.mark.rule("threads-and-loops", "one-client-per-loop")
def test_one_object_serves_loops_in_many_threads(stub: StubRouter) -> None:
    stub.chat(say("Hello there."))
    llm = make(stub)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: asyncio.run(ask(llm)), range(12)))
    assert found == ["Hello there."] * 12


@pytest.mark.rule("sync-in-a-loop")
def test_sync_methods_work_inside_a_running_loop(stub: StubRouter) -> None:
    stub.chat(say("Hello there."))
    llm, embedding = make(stub), HFRouterEmbedding("m", base_url=stub.base_url)

    async def main() -> None:
        assert llm.complete("x").text == "Hello there."
        assert list(llm.stream_complete("x"))[-1].text == "Hello there."
        assert len(embedding.get_text_embedding_batch(["a"] * 40)) == 40
        assert embedding.get_query_embedding("a") == embedding.get_query_embedding("a")

    asyncio.run(main())


@pytest.mark.rule("async-native")
def test_forty_parallel_calls_use_no_thread(stub: StubRouter) -> None:
    stub.chat(say("Hello there.", delay=0.01))
    llm = make(stub)

    def own() -> set[str]:
        return {t.name for t in threading.enumerate() if "_connection" not in t.name}

    before = own()

    async def main() -> set[str]:
        asked = asyncio.gather(*[llm.achat(HELLO) for _ in range(40)])
        await asyncio.sleep(0.02)
        during = own()
        await asked
        return during

    assert asyncio.run(main()) == before
    assert len(stub.bodies) == 40


ENDLESS = say(["word "] * 50, delay=0.02)


@pytest.mark.rule("early-break")
def test_breaking_out_of_a_stream_closes_its_connection(stub: StubRouter) -> None:
    stub.chat(ENDLESS)
    llm = make(stub)
    streamed = llm.stream_chat(HELLO)
    next(streamed)
    streamed.close()
    assert stub.wait_open(0)
    streamed = llm.stream_chat_with_tools([], user_msg="x")
    next(streamed)
    streamed.close()
    assert stub.wait_open(0)
    for piece in llm.stream_complete("x"):
        if piece.text:
            break
    assert stub.wait_open(0)


@pytest.mark.rule("early-break")
def test_an_abandoned_or_unstarted_stream_closes_its_connection(stub: StubRouter) -> None:
    stub.chat(ENDLESS)
    llm = make(stub)
    unstarted = llm.stream_chat(HELLO)
    del unstarted
    gc.collect()
    assert stub.wait_open(0)


@pytest.mark.rule("early-break")
def test_an_event_handler_that_keeps_everything_keeps_no_connection(
    stub: StubRouter, recorder: Recorder
) -> None:
    stub.chat(ENDLESS)
    llm = make(stub)
    streamed = llm.stream_chat(HELLO)
    next(streamed)
    streamed.close()
    assert stub.wait_open(0)
    completed = llm.stream_complete("x")
    next(completed)
    completed.close()
    assert stub.wait_open(0)

    async def main() -> None:
        astreamed = await llm.astream_chat(HELLO)
        await anext(astreamed)
        await astreamed.aclose()
        acompleted = await llm.astream_complete("x")
        await anext(acompleted)
        await acompleted.aclose()

    asyncio.run(main())
    assert stub.wait_open(0)
    assert recorder.names().count("ExceptionEvent") == 4


@pytest.mark.rule("early-break")
@pytest.mark.parametrize("how", ["aclose", "break", "cancel", "unstarted"])
def test_leaving_an_async_stream_closes_its_connection(how: str, stub: StubRouter) -> None:
    stub.chat(ENDLESS, say("Hello there."))
    llm = make(stub)

    async def read() -> None:
        async for piece in await llm.astream_chat(HELLO):
            if piece.delta:
                await asyncio.sleep(5 if how == "cancel" else 0)
                break

    async def main() -> bool:
        if how == "aclose":
            streamed = await llm.astream_chat(HELLO)
            await anext(streamed)
            await streamed.aclose()
        elif how == "unstarted":
            unread = await llm.astream_chat(HELLO)
            del unread
        elif how == "break":
            await read()
        else:
            task = asyncio.create_task(read())
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        gc.collect()
        for _ in range(100):
            if not stub.open_connections:
                break
            await asyncio.sleep(0.01)
        gone = stub.open_connections == 0
        return gone and (await llm.achat(HELLO)).message.content == "Hello there."

    assert asyncio.run(main())


@pytest.mark.rule("client-stays-open")
def test_connections_are_reused(stub: StubRouter) -> None:
    stub.chat(say("Hello there."))
    llm = make(stub)
    for _ in range(3):
        llm.chat(HELLO)
        list(llm.stream_chat(HELLO))
    assert stub.accepted == 1


# --- faults -----------------------------------------------------------------------------

ERRORS = [
    (json_reply({"error": {"message": "slow down"}}, 429, {"retry-after": "1"}), RateLimitError),
    (json_reply({"error": "pay"}, 402), PaymentRequiredError),
    (json_reply({"error": "Model is loading", "estimated_time": 3}, 503), ModelLoadingError),
    (json_reply({"error": "oops"}, 500), InternalServerError),
    (drop(), APIConnectionError),
    (reset(), APIConnectionError),
]


@pytest.mark.rule("errors-by-status", "connection-errors", "no-runtime-error")
@pytest.mark.parametrize(("answer", "kind"), ERRORS)
def test_failures_are_our_errors_in_every_colour(
    answer: Any, kind: type[RouterError], stub: StubRouter
) -> None:
    stub.chat(answer)
    llm = make(stub)
    with pytest.raises(kind):
        llm.chat(HELLO)
    with pytest.raises(kind):
        list(llm.stream_chat(HELLO))
    # core's asyncio_run turns every RuntimeError into "Detected nested async".
    with pytest.raises(kind) as caught:
        asyncio_run(llm.achat(HELLO))
    assert not isinstance(caught.value, RuntimeError)
    with pytest.raises(kind):
        asyncio_run(ask(llm))
    assert len(stub.bodies) == 4


@pytest.mark.rule("no-runtime-error")
def test_no_error_class_is_a_runtime_error() -> None:
    def below(kind: type[Exception]) -> list[type[Exception]]:
        return [kind, *[found for sub in kind.__subclasses__() for found in below(sub)]]

    assert not [kind for kind in below(RouterError) if issubclass(kind, RuntimeError)]


@pytest.mark.rule("no-retry", "retries-exact", "final-statuses")
def test_retries_only_if_asked_for_and_exactly(stub: StubRouter) -> None:
    stub.chat(json_reply({"error": "oops"}, 500, {"retry-after": "0"}))
    with pytest.raises(InternalServerError):
        make(stub, max_retries=2).chat(HELLO)
    assert len(stub.bodies) == 3
    stub.chat(json_reply({"error": "bad"}, 401))
    with pytest.raises(RouterError):
        make(stub, max_retries=2).chat(HELLO)
    assert len(stub.bodies) == 4


@pytest.mark.rule("timeouts-hold")
def test_timeouts_are_finite(stub: StubRouter) -> None:
    stub.chat(hang())
    with pytest.raises(APITimeoutError):
        make(stub, timeout=0.2).chat(HELLO)
    with pytest.raises(APITimeoutError):
        asyncio.run(make(stub).achat(HELLO, timeout=0.2))


@pytest.mark.rule("cut-streams-raise", "partial-on-errors")
@pytest.mark.parametrize("end", [Fin(), Rst()])
def test_a_cut_stream_raises_with_what_arrived(end: Any, stub: StubRouter) -> None:
    stub.chat(say(["Hel", "lo"], finish=None, end=end))
    llm = make(stub)
    seen: list[str] = []
    with pytest.raises(StreamInterruptedError) as caught:
        for response in llm.stream_chat(HELLO):
            seen.append(response.delta or "")
    assert "".join(seen) == "Hello"
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hello"
    with pytest.raises(StreamInterruptedError):
        asyncio_run(ask(llm))


@pytest.mark.rule("cut-calls-run-nothing")
def test_a_torn_tool_call_is_never_handed_over(stub: StubRouter) -> None:
    piece = {"index": 0, "id": "c", "function": {"name": "rm", "arguments": '{"path": "/ho'}}
    stub.chat(stream({"tool_calls": [piece]}, finish=None))
    with pytest.raises(RouterError):
        list(make(stub).stream_chat(HELLO))


@pytest.mark.rule("silence-times-out")
def test_a_silent_stream_times_out(stub: StubRouter) -> None:
    stub.chat(say(["Hel"], finish=None, end=Hang()))
    with pytest.raises(RouterError):
        list(make(stub, timeout=0.3).stream_chat(HELLO))


@pytest.mark.rule("stream-errors-raise")
def test_an_error_inside_a_stream_is_raised(stub: StubRouter) -> None:
    from tests.helpers.fault_server import sse
    from tests.llama_index.stub_server import chunk

    stub.chat(sse(chunk({"content": "a"}), {"error": {"message": "overloaded", "code": 503}}))
    with pytest.raises(RouterError, match="overloaded"):
        list(make(stub).stream_chat(HELLO))


def test_calls_helper_is_torn_only_when_the_script_says_so(stub: StubRouter) -> None:
    stub.chat(call(("add", {"a": 1})))
    llm = make(stub)
    last = list(llm.stream_chat(HELLO))[-1]
    assert llm.get_tool_calls_from_response(last)[0].tool_kwargs == {"a": 1}
