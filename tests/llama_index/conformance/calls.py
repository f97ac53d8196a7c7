"""Rules for the eight calls: answers, roles, usage, events; see README.md."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    MessageRole,
)
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from tests.llama_index.conformance.base import (
    HELLO,
    KEY,
    USAGE,
    Conformance,
    Events,
    collect,
    run,
)
from tests.llama_index.stub_server import StubRouter, say


class CallRules(Conformance):
    """Subclass and implement ``make``."""

    @pytest.mark.rule("eight-calls")
    def test_chat_and_complete(self, model: Any, stub: StubRouter) -> None:
        """The four whole-answer calls give the text, one request each."""
        stub.chat(say("Hello."))
        assert model.chat(HELLO).message.content == "Hello."
        assert model.complete("x").text == "Hello."
        assert run(lambda: model.achat(HELLO)).message.content == "Hello."
        assert run(lambda: model.acomplete("x")).text == "Hello."
        assert len(stub.bodies) == 4

    @pytest.mark.rule("generator-objects", "cumulative")
    def test_streams_are_cumulative_generators(self, model: Any, stub: StubRouter) -> None:
        """Streams are generator objects; message is cumulative, delta is new text only."""
        stub.chat(say(["He", "llo."]))
        opened = model.stream_chat(HELLO)
        assert isinstance(opened, Generator)
        found = list(opened)
        assert "".join(r.delta or "" for r in found) == "Hello."
        assert found[-1].message.content == "Hello."
        assert list(model.stream_complete("x"))[-1].text == "Hello."

        async def opening() -> bool:
            generator = await model.astream_chat(HELLO)
            is_one = isinstance(generator, AsyncGenerator)
            await generator.aclose()
            return is_one

        assert run(opening)
        assert run(lambda: collect(model.astream_chat(HELLO)))[-1].message.content == "Hello."
        assert run(lambda: collect(model.astream_complete("x")))[-1].text == "Hello."

    @pytest.mark.rule("zero-temperature")
    def test_zero_temperature_is_sent(self, stub: StubRouter) -> None:
        """``temperature=0`` is legal and sent as 0."""
        stub.chat(say("x"))
        self.make(stub.base_url, temperature=0).chat(HELLO)
        assert stub.last["temperature"] == 0

    @pytest.mark.rule("call-wins")
    def test_call_keywords_win(self, stub: StubRouter) -> None:
        """A keyword of the call beats the constructor's."""
        stub.chat(say("x"))
        self.make(stub.base_url, max_tokens=5).chat(HELLO, max_tokens=9)
        assert stub.last["max_tokens"] == 9

    @pytest.mark.rule("roles")
    def test_roles_are_mapped(self, model: Any, stub: StubRouter) -> None:
        """CHATBOT and MODEL speak as the assistant."""
        stub.chat(say("x"))
        for role in (MessageRole.CHATBOT, MessageRole.MODEL):
            model.chat([*HELLO, ChatMessage(role=role, content="a"), *HELLO])
            assert stub.last["messages"][1]["role"] == "assistant"

    @pytest.mark.rule("raw-is-json", "usage", "token-counts")
    def test_usage_whole_and_streamed(self, stub: StubRouter) -> None:
        """``raw["usage"]`` is there on answers and at the end of streams, and is counted."""
        stub.chat(say("Hello."))
        for consume in (
            lambda llm: llm.chat(HELLO),
            lambda llm: list(llm.stream_chat(HELLO))[-1],
            lambda llm: run(lambda: collect(llm.astream_chat(HELLO)))[-1],
        ):
            counter = TokenCountingHandler(tokenizer=str.split)
            llm = self.make(stub.base_url, callback_manager=CallbackManager([counter]))
            last = consume(llm)
            assert dict(last.raw)["usage"] == USAGE
            assert json.loads(json.dumps(last.raw)) == last.raw
            assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (11, 7)

    @pytest.mark.rule("events-once", "events-without-secrets")
    def test_events_once(self, model: Any, stub: StubRouter, events: Events) -> None:
        """One start and one end event per call; ``complete`` is no chat besides."""
        stub.chat(say("Hello."))
        model.chat(HELLO)
        list(model.stream_chat(HELLO))
        assert events.count("LLMChatStartEvent") == events.count("LLMChatEndEvent") == 2
        model.complete("x")
        list(model.stream_complete("x"))
        assert events.count("LLMCompletionStartEvent") == 2
        assert events.count("LLMChatStartEvent") == 2
        assert KEY not in events.text()
