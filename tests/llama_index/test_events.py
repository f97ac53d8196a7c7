"""Events, callbacks, token counts, limiters: exactly once per call, with no secrets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.rate_limiter import BaseRateLimiter

from llama_index_hfrouter import HFRouter
from shared_core import AuthenticationError, BadRequestError, StreamInterruptedError
from tests.helpers.fault_server import Fin, json_reply
from tests.llama_index.conftest import Recorder
from tests.llama_index.stub_server import StubRouter, call, say
from tests.llama_index.test_llm import EIGHT, HELLO, make, result_of

pytestmark = pytest.mark.anyio


class CountingLimiter(BaseRateLimiter):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def acquire(self, num_tokens: int = 0) -> None:
        self.asked.append("sync")

    async def async_acquire(self, num_tokens: int = 0) -> None:
        self.asked.append("async")


@pytest.mark.rule("events-once", "callbacks-once", "limiter-once")
@pytest.mark.parametrize(("name", "run"), EIGHT, ids=[name for name, _ in EIGHT])
async def test_one_event_one_callback_one_acquire_per_call(
    name: str, run: Callable[[HFRouter], Any], stub: StubRouter, recorder: Recorder
) -> None:
    stub.chat(say("Hello there."))
    limiter = CountingLimiter()
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = make(stub, rate_limiter=limiter, callback_manager=CallbackManager([debug]))
    await result_of(name, run, llm)
    names = Counter(recorder.names())
    kind = "Completion" if "complete" in name else "Chat"
    other = "Chat" if kind == "Completion" else "Completion"
    assert names[f"LLM{kind}StartEvent"] == 1
    assert names[f"LLM{kind}EndEvent"] == 1
    assert not [event for event in names if event.startswith(f"LLM{other}")]
    assert (names[f"LLM{kind}InProgressEvent"] > 1) is ("stream" in name)
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 1
    assert limiter.asked == ["async" if name.startswith("a") else "sync"]


@pytest.mark.rule("token-counts")
@pytest.mark.parametrize(("name", "run"), EIGHT, ids=[name for name, _ in EIGHT])
async def test_token_counts_are_the_servers(
    name: str, run: Callable[[HFRouter], Any], stub: StubRouter
) -> None:
    stub.chat(say("Hello there."))
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = make(stub, callback_manager=CallbackManager([counter]))
    await result_of(name, run, llm)
    assert len(counter.llm_token_counts) == 1
    assert counter.prompt_llm_token_count == 11
    assert counter.completion_llm_token_count == 7


@pytest.mark.rule("failure-events")
@pytest.mark.parametrize(("name", "run"), EIGHT, ids=[name for name, _ in EIGHT])
async def test_a_failure_ends_the_event_with_its_exception(
    name: str, run: Callable[[HFRouter], Any], stub: StubRouter
) -> None:
    stub.chat(json_reply({"error": {"message": "no"}}, 401))
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = make(stub, callback_manager=CallbackManager([debug]), api_key="hf_bad")
    with pytest.raises(AuthenticationError):
        await result_of(name, run, llm)
    ((_, end),) = debug.get_event_pairs(CBEventType.LLM)
    assert isinstance((end.payload or {})[EventPayload.EXCEPTION], AuthenticationError)


@pytest.mark.rule("failure-events")
def test_a_stream_that_fails_later_ends_its_event_too(stub: StubRouter) -> None:
    stub.chat(say("a b c", finish=None, end=Fin()))
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = make(stub, callback_manager=CallbackManager([debug]))
    with pytest.raises(StreamInterruptedError) as caught:
        list(llm.stream_chat(HELLO))
    assert caught.value.partial is not None
    assert caught.value.partial.text == "a b c"
    ((_, end),) = debug.get_event_pairs(CBEventType.LLM)
    assert EventPayload.EXCEPTION in (end.payload or {})


@pytest.mark.rule("events-without-secrets", "event-model")
def test_events_are_json_and_hold_no_secret(stub: StubRouter, recorder: Recorder) -> None:
    stub.chat(call(("add", {"a": 2, "b": 3})))
    llm = make(stub, api_key="hf_secret", default_headers={"X-Key": "hf_secret"})

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    from llama_index.core.tools import FunctionTool

    llm.chat_with_tools([FunctionTool.from_defaults(add)], user_msg="2 + 3?")
    list(llm.stream_chat(HELLO))
    start = json.loads(recorder.dumps[recorder.names().index("LLMChatStartEvent")])
    assert "org/model" in start["model_dict"].values()
    assert start["model_dict"]["class_name"] == "HFRouter"
    assert start["additional_kwargs"]["tools"][0]["function"]["name"] == "add"
    assert "hf_secret" not in "".join(recorder.dumps)


@pytest.mark.rule("spans")
@pytest.mark.parametrize(("name", "run"), EIGHT, ids=[name for name, _ in EIGHT])
async def test_spans_open_and_close_once_per_call(
    name: str, run: Callable[[HFRouter], Any], stub: StubRouter
) -> None:
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler

    stub.chat(say("x"))
    handler = SimpleSpanHandler()
    root = get_dispatcher()
    root.add_span_handler(handler)
    try:
        await result_of(name, run, make(stub))
    finally:
        root.span_handlers.remove(handler)
    names = [span.id_.partition("-")[0] for span in handler.completed_spans]
    assert names == [f"HFRouter.{name}"]
    assert not handler.open_spans


@pytest.mark.rule("errors-say-what")
def test_refused_requests_carry_the_servers_words(stub: StubRouter) -> None:
    stub.chat(say("x"))
    with pytest.raises(BadRequestError, match="Extra inputs are not permitted") as caught:
        make(stub).chat(HELLO, extra_body={"unheard_of": 1})
    assert not isinstance(caught.value, RuntimeError)
    assert caught.value.status_code == 400


@pytest.mark.rule("history-untouched")
def test_messages_of_the_caller_are_not_changed(stub: StubRouter) -> None:
    stub.chat(call(("add", {"a": 1})))
    history = [ChatMessage(role="user", content="x")]
    before = [message.model_dump_json() for message in history]
    llm = make(stub)
    llm.chat(history)
    list(llm.stream_chat(history))
    assert [message.model_dump_json() for message in history] == before
    assert len(history) == 1
