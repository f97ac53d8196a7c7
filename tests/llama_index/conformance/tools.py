"""Rules for tools and structured answers; see README.md."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
)
from llama_index.core.prompts import PromptTemplate

from tests.llama_index.conformance.base import (
    HELLO,
    TOOLS,
    TWO,
    Conformance,
    Person,
    collect,
    run,
)
from tests.llama_index.stub_server import StubRouter, call, say, stream


class ToolRules(Conformance):
    """Subclass and implement ``make``."""

    @pytest.mark.rule("tools-whole", "tools-streamed", "calls-in-both-places")
    def test_tool_calls(self, model: Any, stub: StubRouter) -> None:
        """Calls are read from answers and streams, with their arguments as dicts."""
        stub.chat(TWO)
        for answer in (
            model.chat_with_tools(TOOLS, user_msg="x", allow_parallel_tool_calls=True),
            list(model.stream_chat_with_tools(TOOLS, user_msg="x", allow_parallel_tool_calls=True))[
                -1
            ],
        ):
            found = model.get_tool_calls_from_response(answer)
            assert [(c.tool_name, c.tool_kwargs) for c in found] == [
                ("add", {"a": 2, "b": 3}),
                ("times", {"a": 2, "b": 3}),
            ]
            assert all(c.tool_id for c in found)
            listed = answer.message.additional_kwargs["tool_calls"]
            assert json.loads(json.dumps(listed)) == listed

    @pytest.mark.rule("partial-calls")
    def test_partial_calls_never_raise(self, model: Any, stub: StubRouter) -> None:
        """Calls are readable on every response of a stream."""
        stub.chat(TWO)
        for response in model.stream_chat_with_tools(TOOLS, user_msg="x"):
            for found in model.get_tool_calls_from_response(response, error_on_no_tool_call=False):
                assert isinstance(found.tool_kwargs, dict)

    @pytest.mark.rule("call-assembly")
    def test_call_assembly(self, model: Any, stub: StubRouter) -> None:
        """Two calls in one delta, interleaved; a new id on a used index is a new call."""

        def piece(index: int, call_id: str | None, name: str | None, text: str) -> dict[str, Any]:
            function = {"arguments": text} | ({"name": name} if name else {})
            return {"index": index, "function": function} | ({"id": call_id} if call_id else {})

        both = [piece(0, "a", "add", '{"a": 1,'), piece(1, "b", "times", '{"a": 2,')]
        rest = [piece(1, None, None, ' "b": 2}'), piece(0, None, None, ' "b": 1}')]
        again = [piece(0, "c", "add", '{"a": 3, "b": 3}')]
        stub.chat(
            stream({"tool_calls": both}, {"tool_calls": rest}, {"tool_calls": again}, finish="stop")
        )
        last = list(model.stream_chat(HELLO))[-1]
        found = model.get_tool_calls_from_response(last)
        assert [(c.tool_id, c.tool_kwargs["a"]) for c in found] == [("a", 1), ("b", 2), ("c", 3)]

    @pytest.mark.rule("no-tools")
    def test_no_tools_nothing_sent(self, model: Any, stub: StubRouter) -> None:
        """Without tools, nothing about tools is sent."""
        stub.chat(say("x"))
        model.chat_with_tools([], user_msg="x")
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & stub.last.keys()

    @pytest.mark.rule("no-vendor-extras")
    def test_tools_are_sent_as_they_are(self, model: Any, stub: StubRouter) -> None:
        """Nothing is added to a tool's definition that some providers refuse."""
        stub.chat(TWO)
        model.chat_with_tools(TOOLS, user_msg="x")
        for sent, tool in zip(stub.last["tools"], TOOLS, strict=True):
            assert sent == tool.metadata.to_openai_tool()

    @pytest.mark.rule("history-untouched", "user-msg")
    def test_history_is_left_alone(self, model: Any, stub: StubRouter) -> None:
        """``chat_history`` is not changed; a ``ChatMessage`` is taken as ``user_msg``."""
        stub.chat(TWO)
        history = [ChatMessage(role="system", content="s")]
        model.chat_with_tools(TOOLS, user_msg=HELLO[0], chat_history=history)
        assert len(history) == 1
        assert [m["role"] for m in stub.last["messages"]] == ["system", "user"]

    @pytest.mark.rule("parallel-calls")
    def test_parallel_calls_are_cut(self, model: Any, stub: StubRouter) -> None:
        """Without ``allow_parallel_tool_calls`` one call is handed on."""
        stub.chat(TWO)
        answer = model.chat_with_tools(TOOLS, user_msg="x")
        assert len(model.get_tool_calls_from_response(answer)) == 1

    @pytest.mark.rule("round-trip")
    def test_tool_round_trip(self, model: Any, stub: StubRouter) -> None:
        """Calls and results go back with ids, also after a trip through JSON."""
        stub.chat(TWO)
        answer = model.chat_with_tools(TOOLS, user_msg="x", allow_parallel_tool_calls=True)
        history = [*HELLO, answer.message]
        for found in model.get_tool_calls_from_response(answer):
            extra = {"tool_call_id": found.tool_id}
            history.append(ChatMessage(role="tool", content="5", additional_kwargs=extra))
        history = [ChatMessage.model_validate_json(m.model_dump_json()) for m in history]
        model.chat(history)
        sent = stub.last["messages"]
        ids = [made["id"] for made in sent[1]["tool_calls"]]
        assert [m["tool_call_id"] for m in sent[2:]] == ids

    @pytest.mark.rule("structured-four-ways", "structured-system-prompt")
    def test_structured_predict(self, stub: StubRouter) -> None:
        """Objects come back sync, async and streamed, with the system prompt kept."""
        stub.chat(call(("Person", {"name": "Ada", "age": 36})))
        model = self.make(stub.base_url, system_prompt="Be exact.")
        prompt, ada = PromptTemplate("Describe {who}."), Person(name="Ada", age=36)
        assert model.structured_predict(Person, prompt, who="Ada") == ada
        assert run(lambda: model.astructured_predict(Person, prompt, who="Ada")) == ada
        assert list(model.stream_structured_predict(Person, prompt, who="Ada"))[-1] == ada
        opening = model.astream_structured_predict
        assert run(lambda: collect(opening(Person, prompt, who="Ada")))[-1] == ada
        for body in stub.bodies:
            assert body["messages"][0] == {"role": "system", "content": "Be exact."}
