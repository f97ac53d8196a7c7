"""Rules for tools: what is bound, and which calls come of what servers send."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBinding
from pydantic import BaseModel

from tests.langchain.conformance.base import (
    Conformance,
    StrictServer,
    collected,
    run,
    say,
    started,
    total,
    wire_call,
)
from tests.langchain.script import call, event

NAMED = {"type": "function", "function": {"name": "add"}}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "Out", "schema": {"type": "object", "properties": {}}},
}


def add(a: int) -> int:
    """Add one."""
    return a + 1


class sub(BaseModel):
    """Take one off."""

    b: int


# The same two calls, add(a=1) and sub(b=2), in the forms in which servers stream them.
FORMS: dict[str, list[dict[str, Any]]] = {
    "usual": [
        call(0, "a", "add", ""),
        call(0, None, None, '{"a": 1}'),
        call(1, "b", "sub", ""),
        call(1, None, None, '{"b": 2}'),
    ],
    "index 0 for all, id-less pieces": [
        call(0, "a", "add", '{"a":'),
        call(0, None, None, " 1}"),
        call(0, "b", "sub", '{"b":'),
        call(0, None, None, " 2}"),
    ],
    "no index": [
        call(None, "a", "add", '{"a":'),
        call(None, None, None, " 1}"),
        call(None, "b", "sub", '{"b":'),
        call(None, None, None, " 2}"),
    ],
    "index -1": [call(-1, "a", "add", '{"a": 1}'), call(-1, "b", "sub", '{"b": 2}')],
    "interleaved": [
        call(0, "a", "add", ""),
        call(1, "b", "sub", ""),
        call(0, None, None, '{"a":'),
        call(1, None, None, '{"b":'),
        call(0, None, None, " 1}"),
        call(1, None, None, " 2}"),
    ],
    "interleaved on one index": [
        call(0, "a", "add", '{"a":'),
        call(0, "b", "sub", '{"b":'),
        call(0, "a", None, " 1}"),
        call(0, "b", None, " 2}"),
    ],
    "name and id repeated": [
        call(0, "a", "add", '{"a":'),
        call(0, "a", "add", " 1}"),
        call(1, "b", "sub", '{"b":'),
        call(1, "b", "sub", " 2}"),
    ],
    "arguments as an object": [
        {"tool_calls": [{"index": 0, **wire_call("add", {"a": 1}, "a")}]},
        {"tool_calls": [{"index": 1, **wire_call("sub", {"b": 2}, "b")}]},
    ],
    "no ids": [
        call(0, None, "add", '{"a":'),
        call(0, None, None, " 1}"),
        call(1, None, "sub", '{"b": 2}'),
    ],
    "indexes from 1": [call(1, "a", "add", '{"a": 1}'), call(2, "b", "sub", '{"b": 2}')],
    "both at once": [
        {
            "tool_calls": [
                call(0, "a", "add", '{"a": 1}')["tool_calls"][0],
                call(0, "b", "sub", '{"b": 2}')["tool_calls"][0],
            ]
        }
    ],
}
EXPECTED = [("add", {"a": 1}), ("sub", {"b": 2})]


def calls_of(message: AIMessage) -> list[tuple[str, Any]]:
    """Return names and arguments of the calls."""
    return [(each["name"], each["args"]) for each in message.tool_calls]


def blocks_of(message: AIMessage) -> list[tuple[str, Any]]:
    """Return names and arguments of the call blocks."""
    return [(b["name"], b["args"]) for b in message.content_blocks if b["type"] == "tool_call"]


class ToolRules(Conformance):
    """Binding tools and reading calls."""

    @pytest.mark.rule("no-tools-send-no-tools", "response-format-passes-bind-tools")
    def test_no_tools_send_no_tools(self, model: Any, server: StrictServer) -> None:
        """``bind_tools([])`` sends no tools, also beside a response format."""
        model.bind_tools([]).invoke("x")
        model.bind_tools([], response_format=FORMAT).invoke("x")
        assert [("tools" in body, "tool_choice" in body) for body in server.bodies] == [
            (False, False)
        ] * 2
        assert server.last["response_format"]["type"] == "json_schema"

    @pytest.mark.rule("tool-choice", "bind-tools-binds")
    def test_tool_choice(self, model: Any, server: StrictServer) -> None:
        """``"any"`` and True over two tools mean some tool; a name and a dict mean that tool."""
        wanted = {"any": "required", True: "required", "add": NAMED, "auto": "auto"}
        for choice, sent in wanted.items():
            bound = model.bind_tools([add, sub], tool_choice=choice)
            assert isinstance(bound, RunnableBinding)
            bound.invoke("x")
            assert server.last["tool_choice"] == sent
        model.bind_tools([add, sub], tool_choice=NAMED).invoke("x")
        assert server.last["tool_choice"] == NAMED

    @pytest.mark.rule("strict-and-parallel")
    def test_strict_and_parallel(self, model: Any, server: StrictServer) -> None:
        """``strict`` and ``parallel_tool_calls`` are sent when given, and only then."""
        model.bind_tools([sub]).invoke("x")
        assert "parallel_tool_calls" not in server.last
        assert "strict" not in server.last["tools"][0]["function"]
        model.bind_tools([sub], strict=True, parallel_tool_calls=False).invoke("x")
        assert server.last["parallel_tool_calls"] is False
        assert server.last["tools"][0]["function"]["strict"] is True

    @pytest.mark.rule("parallel-calls", "whole-call-arguments")
    def test_calls_of_a_whole_answer(self, model: Any, server: StrictServer) -> None:
        """Two calls are two calls, also with arguments as an object or none."""
        calls = [wire_call("add", {"a": 1}, "a"), wire_call("now", "", "b")]
        server.answers(say(None, "tool_calls", tool_calls=calls))
        answer = model.bind_tools([add]).invoke("x")
        assert calls_of(answer) == [("add", {"a": 1}), ("now", {})]
        assert answer.invalid_tool_calls == []

    @pytest.mark.rule("broken-calls-are-invalid")
    def test_torn_calls_are_invalid(self, model: Any, server: StrictServer) -> None:
        """A call that was cut is never handed over as if it were whole."""
        server.answers(
            say(None, "length", tool_calls=[wire_call("rm", '{"path": "/tmp/x', "a")]),
        )
        for answer in (model.invoke("x"), total(list(model.stream("x")))):
            assert answer.tool_calls == []
            assert [each["name"] for each in answer.invalid_tool_calls] == ["rm"]

    @pytest.mark.rule(
        "repeated-index",
        "missing-index",
        "negative-index",
        "gaps-in-indexes",
        "new-id-on-used-index",
        "interleaved-calls",
        "name-repeated",
        "missing-ids",
        "arguments-as-object",
        "same-in-v1-and-v3",
    )
    @pytest.mark.parametrize("form", FORMS)
    def test_calls_of_a_stream(self, form: str, server: StrictServer) -> None:
        """The two calls of every form are two calls in chunks, v1 blocks and v3 events."""
        server.answers(started(*(event(delta) for delta in FORMS[form]), event({}, "tool_calls")))
        plain, blocks = (self.make(server.base_url, output_version=v) for v in ("v0", "v1"))
        for answer in (
            total(list(plain.stream("x"))),
            total(list(blocks.stream("x"))),
            plain.stream_events("x", version="v3").output,
            total(run(lambda: collected(plain.astream("x")))),
        ):
            assert calls_of(answer) == EXPECTED
            assert answer.invalid_tool_calls == []
            assert len({each["id"] for each in answer.tool_calls}) == 2
            assert blocks_of(answer) == EXPECTED

    @pytest.mark.rule("text-beside-calls", "v1-block-indexes")
    def test_text_then_calls_in_v1(self, server: StrictServer) -> None:
        """Text before two calls swallows neither of them, in v1 blocks and v3 events."""
        pieces = [event({"content": "Let me "}), event({"content": "see."})]
        pieces += [event(delta) for delta in FORMS["usual"]]
        server.answers(started(*pieces, event({}, "tool_calls")))
        model = self.make(server.base_url, output_version="v1")
        for answer in (
            total(list(model.stream("x"))),
            model.stream_events("x", version="v3").output,
        ):
            assert answer.text == "Let me see."
            assert calls_of(answer) == EXPECTED
            assert blocks_of(answer) == EXPECTED
