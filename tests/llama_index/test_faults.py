"""What servers do wrong, in all eight calls: statuses, bodies, cuts, and retries if asked for."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from email.utils import format_datetime
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.callbacks.schema import CBEventType

from llama_index_hfrouter import HFRouter, HFRouterEmbedding
from shared_core import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConnectFailedError,
    GatewayTimeoutError,
    InternalServerError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    ServiceUnavailableError,
    StreamInterruptedError,
    UnprocessableEntityError,
)
from tests.helpers.fault_server import (
    Fin,
    Reply,
    drop,
    hang,
    html_reply,
    json_reply,
    reset,
    slow_headers,
    sse,
)
from tests.llama_index.conftest import Recorder
from tests.llama_index.stub_server import StubRouter, chunk, say
from tests.llama_index.test_events import CountingLimiter
from tests.llama_index.test_llm import EIGHT, HELLO, make, result_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:The `__fields(_set)?__` attribute is deprecated"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_(computed_)?fields' attribute"),
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset"),
]

NAMES = [name for name, _ in EIGHT]
STREAMS = [(name, run) for name, run in EIGHT if "stream" in name]
eight = pytest.mark.parametrize(("name", "run"), EIGHT, ids=NAMES)

STATUSES: list[tuple[int, type[APIError]]] = [
    (400, BadRequestError),
    (401, AuthenticationError),
    (402, PaymentRequiredError),
    (403, PermissionDeniedError),
    (404, NotFoundError),
    (413, RequestTooLargeError),
    (422, UnprocessableEntityError),
    (429, RateLimitError),
    (500, InternalServerError),
    (502, InternalServerError),
    (503, ServiceUnavailableError),
    (504, GatewayTimeoutError),
]


@pytest.mark.rule(
    "errors-by-status", "errors-say-what", "errors-name-model", "no-runtime-error", "no-retry"
)
@pytest.mark.parametrize(("status", "kind"), STATUSES)
async def test_each_status_has_its_class_and_is_one_request(
    status: int, kind: type[APIError], stub: StubRouter
) -> None:
    stub.chat(json_reply({"error": {"message": "said so"}}, status))
    llm = make(stub, provider="groq", api_key="hf_secret")
    for name, run in EIGHT:
        with pytest.raises(kind, match="said so") as caught:
            await result_of(name, run, llm)
        assert getattr(caught.value, "status_code", None) == status
        assert "org/model:groq" in str(caught.value)
        assert "hf_secret" not in str(caught.value)
        assert not isinstance(caught.value, RuntimeError)
    assert len(stub.bodies) == 8


ODD_BODIES = [
    json_reply({"error": {"message": "inside"}}),
    json_reply({"choices": []}),
    json_reply({"choices": None}),
    json_reply({"choices": [{"message": None}]}),
    json_reply({}),
    json_reply([]),
    json_reply(None),
    html_reply("<html><title>Log in</title></html>"),
]


@pytest.mark.rule("odd-200s", "nothing-received-is-lost")
@pytest.mark.parametrize("body", ODD_BODIES)
async def test_a_200_without_an_answer_is_an_error_of_ours(body: Reply, stub: StubRouter) -> None:
    stub.chat(body)
    for name, run in EIGHT:
        with pytest.raises(APIError) as caught:
            await result_of(name, run, make(stub))
        assert "127.0.0.1" in str(caught.value)


@pytest.mark.rule("connection-errors")
@eight
async def test_lost_connections_are_typed(name: str, run: Any, stub: StubRouter) -> None:
    for fault in (drop(), reset()):
        stub.chat(fault)
        with pytest.raises(APIConnectionError):
            await result_of(name, run, make(stub))
    with pytest.raises(ConnectFailedError, match=r"127\.0\.0\.1:1"):
        await result_of(name, run, HFRouter("a/b", base_url="http://127.0.0.1:1/v1"))


@pytest.mark.rule("timeouts-hold")
@eight
async def test_neither_silence_nor_slow_headers_outlast_the_timeout(
    name: str, run: Any, stub: StubRouter
) -> None:
    for fault in (hang(), slow_headers(0.02)):
        stub.chat(fault)
        started = time.monotonic()
        with pytest.raises(APITimeoutError):
            await result_of(name, run, make(stub, timeout=0.2))
        assert time.monotonic() - started < 5


# --- retries ----------------------------------------------------------------------------

NOW = {"retry-after": "0"}


@pytest.mark.rule("retries-exact", "retryable-statuses")
@pytest.mark.parametrize(
    ("status", "times"),  # a gateway that gave up on a long answer is asked once more only
    [(408, 2), (429, 2), (500, 2), (502, 2), (503, 2), (504, 1)],
)
async def test_what_may_pass_is_repeated_as_often_as_asked(
    status: int, times: int, stub: StubRouter
) -> None:
    failed = json_reply({"error": {"message": "later"}}, status, NOW)
    for name, run in EIGHT:
        llm = make(stub, max_retries=2)  # a new one: a retry budget spares a dead server
        stub.bodies.clear()
        stub.chat(*[failed] * times, say("Hello."))
        await result_of(name, run, llm)
        assert len(stub.bodies) == times + 1
        stub.chat(failed)
        with pytest.raises(APIError):
            await result_of(name, run, llm)
        assert len(stub.bodies) == 2 * (times + 1)


@pytest.mark.rule("final-statuses")
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 501])
async def test_what_cannot_pass_is_not_repeated(status: int, stub: StubRouter) -> None:
    stub.chat(json_reply({"error": {"message": "no"}}, status, NOW))
    llm = make(stub, max_retries=5)
    for name, run in EIGHT:
        with pytest.raises(APIError):
            await result_of(name, run, llm)
    assert len(stub.bodies) == 8


@pytest.mark.rule("connection-retry")
@eight
async def test_a_lost_connection_is_repeated_if_asked_for(
    name: str, run: Any, stub: StubRouter
) -> None:
    stub.chat(drop(), say("Hello."))
    await result_of(name, run, make(stub, max_retries=1))
    assert len(stub.bodies) == 2


@pytest.mark.rule("retry-after")
async def test_the_server_says_how_long_to_wait(stub: StubRouter) -> None:
    soon = json_reply({"error": {"message": "later"}}, 429, {"retry-after": "0.4"})
    stub.chat(soon, say("Hello."), soon, say("Hello."))
    llm = make(stub, max_retries=1)
    for ask in (lambda: asyncio.to_thread(llm.chat, HELLO), lambda: llm.achat(HELLO)):
        started = time.monotonic()
        await ask()
        assert 0.4 <= time.monotonic() - started < 5
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    for header in ("86400", format_datetime(tomorrow, usegmt=True)):
        stub.bodies.clear()
        stub.chat(json_reply({"error": {"message": "later"}}, 429, {"retry-after": header}))
        with pytest.raises(RateLimitError, match="wait"):
            await llm.achat(HELLO)
        assert len(stub.bodies) == 1


@pytest.mark.rule("retry-before-first-token")
@pytest.mark.parametrize(("name", "run"), STREAMS, ids=[name for name, _ in STREAMS])
async def test_a_stream_is_repeated_only_before_its_first_token(
    name: str, run: Any, stub: StubRouter
) -> None:
    overloaded = {"error": {"message": "overloaded", "code": 503}}
    llm = make(stub, max_retries=1)
    stub.chat(sse(overloaded), say("Hello."))
    found = await result_of(name, run, llm)
    assert (found.text if "complete" in name else found.message.content) == "Hello."
    assert len(stub.bodies) == 2
    for torn in (say("Hel", finish=None, end=Fin()), sse(chunk({"content": "Hel"}), overloaded)):
        stub.bodies.clear()
        stub.chat(torn, say("Hello."))
        with pytest.raises(APIError):
            await result_of(name, run, llm)
        assert len(stub.bodies) == 1


@pytest.mark.rule("one-event-with-retries", "retries-inside")
@eight
async def test_retries_are_one_event_one_callback_one_acquire(
    name: str, run: Any, stub: StubRouter, recorder: Recorder
) -> None:
    stub.chat(json_reply({"error": "x"}, 500, NOW), say("Hello."))
    limiter, debug = CountingLimiter(), LlamaDebugHandler(print_trace_on_end=False)
    llm = make(stub, max_retries=1, rate_limiter=limiter, callback_manager=CallbackManager([debug]))
    await result_of(name, run, llm)
    ends = [event for event in recorder.names() if event.endswith(("ChatEndEvent", "ionEndEvent"))]
    assert len(ends) == len(debug.get_event_pairs(CBEventType.LLM)) == len(limiter.asked) == 1


@pytest.mark.rule("embedding-retries")
async def test_embeddings_are_repeated_only_if_asked_for(stub: StubRouter) -> None:
    stub.on_embed(json_reply({"error": "x"}, 500, NOW))
    for retries in (0, 2):
        model = HFRouterEmbedding("m", base_url=stub.base_url, max_retries=retries)
        for ask in (model.get_text_embedding, model.get_query_embedding):
            before = len(stub.requests)
            with pytest.raises(InternalServerError):
                ask("a")
            assert len(stub.requests) - before == retries + 1
        before = len(stub.requests)
        with pytest.raises(InternalServerError):
            await model.aget_text_embedding_batch(["a"])
        assert len(stub.requests) - before == retries + 1


# --- streams ----------------------------------------------------------------------------


@pytest.mark.rule("cut-streams-raise", "stream-errors-raise", "partial-on-errors")
@pytest.mark.parametrize(("name", "run"), STREAMS, ids=[name for name, _ in STREAMS])
async def test_a_stream_that_breaks_raises_with_what_arrived(
    name: str, run: Any, stub: StubRouter
) -> None:
    broken = [
        say(["Hel", "lo"], finish=None, end=Fin()),
        sse(chunk({"content": "Hel"}), chunk({"content": "lo"}), done=False),
        sse(chunk({"content": "Hello"}), {"error": {"message": "overloaded", "code": 503}}),
        sse(chunk({"content": "Hello"}), {"error": "overloaded"}),
    ]
    for answer in broken:
        stub.chat(answer)
        with pytest.raises(APIError) as caught:
            await result_of(name, run, make(stub))
        partial = getattr(caught.value, "partial", None)
        assert partial is not None
        assert partial.text == "Hello"


@pytest.mark.rule("last-chunks-are-kept", "empty-choices")
@pytest.mark.parametrize(("name", "run"), STREAMS, ids=[name for name, _ in STREAMS])
async def test_nothing_at_the_end_of_a_stream_is_lost(
    name: str, run: Any, stub: StubRouter
) -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    empty = {**chunk({}), "choices": []}
    last = [chunk({"content": "lo."}, "stop"), empty, {**empty, "usage": usage}, empty]
    stub.chat(sse(empty, chunk({"content": "Hel"}), *last))
    found = await result_of(name, run, make(stub))
    assert (found.text if "complete" in name else found.message.content) == "Hello."
    assert found.raw["usage"] == usage


@pytest.mark.rule("cut-calls-run-nothing")
@pytest.mark.parametrize("end", [None, Fin()])
async def test_a_stream_cut_inside_a_call_runs_no_tool(end: Any, stub: StubRouter) -> None:
    ran: list[str] = []

    def delete(path: str = "/") -> str:
        """Delete a file."""
        ran.append(path)
        return "deleted"

    function = {"name": "delete", "arguments": '{"path": "/home/us'}
    piece = chunk({"tool_calls": [{"index": 0, "id": "c", "function": function}]})
    stub.chat(sse(piece, end=end, done=False))
    agent = FunctionAgent(tools=[delete], llm=make(stub))
    with pytest.raises(StreamInterruptedError):
        await agent.run(user_msg="Delete it.")
    assert ran == []


@pytest.mark.rule("logs-are-silent")
async def test_debug_logs_hold_neither_token_nor_prompt(
    stub: StubRouter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stub.chat(say("Confidential answer."))
    llm = make(stub, api_key="hf_verysecret")
    asked = [ChatMessage(role="user", content="Confidential question.")]
    llm.chat(asked)
    await llm.achat(asked)
    list(llm.stream_chat(asked))
    model = HFRouterEmbedding("m", base_url=stub.base_url, api_key="hf_verysecret")
    model.get_text_embedding("Confidential text.")
    for secret in ("hf_verysecret", "Confidential"):
        assert secret not in caplog.text
