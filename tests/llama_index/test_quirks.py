"""What providers do in their own way, and what comes of it in answers and streams."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import TextBlock, ThinkingBlock

from shared_core import BadRequestError
from tests.helpers.fault_server import json_reply
from tests.llama_index.stub_server import StubRouter, say, stream
from tests.llama_index.test_llm import HELLO, last_of, make

pytestmark = pytest.mark.anyio


def piece(index: int, call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": call_id, "function": function}]}


@pytest.mark.rule("repeated-ids")
@pytest.mark.parametrize(
    "rest",
    [("a", "f"), ("", ""), (None, None), ("a", None), (None, "f")],
    ids=["repeated", "empty", "null", "only the id", "only the name"],
)
async def test_ids_and_names_in_later_pieces_make_no_second_call(
    rest: tuple[Any, Any], stub: StubRouter
) -> None:
    pieces = [piece(0, "a", "f", '{"x"'), piece(0, *rest, ": 1"), piece(0, *rest, "}")]
    stub.chat(stream(*pieces, finish="tool_calls"))
    llm = make(stub)
    for last in (list(llm.stream_chat(HELLO))[-1], await last_of(await llm.astream_chat(HELLO))):
        (found,) = llm.get_tool_calls_from_response(last)
        assert (found.tool_id, found.tool_name, found.tool_kwargs) == ("a", "f", {"x": 1})


@pytest.mark.rule("partial-calls")
def test_calls_without_ids_keep_the_ones_that_they_are_given(stub: StubRouter) -> None:
    pieces = [piece(0, None, "f", "{"), piece(0, None, None, "}"), piece(1, None, "g", "{}")]
    stub.chat(stream(*pieces, finish="tool_calls"))
    llm = make(stub)
    seen: dict[str, set[str]] = {"f": set(), "g": set()}
    for response in llm.stream_chat(HELLO):
        for found in llm.get_tool_calls_from_response(response, error_on_no_tool_call=False):
            seen[found.tool_name].add(found.tool_id)
    assert [len(ids) for ids in seen.values()] == [1, 1]
    assert all(seen["f"] | seen["g"])
    assert not seen["f"] & seen["g"]


@pytest.mark.rule("odd-arguments", "tools-whole")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [('{"x": 1}', {"x": 1}), ({"x": 1}, {"x": 1}), ("", {}), (None, {}), ("null", {})],
)
async def test_whole_calls_however_their_arguments_are_written(
    arguments: Any, expected: dict[str, int], stub: StubRouter
) -> None:
    made = {"id": None, "type": "function", "function": {"name": "f", "arguments": arguments}}
    stub.chat(say(calls=[made, made], finish="tool_calls"))
    llm = make(stub)
    for answer in (llm.chat(HELLO), await llm.achat(HELLO)):
        found = llm.get_tool_calls_from_response(answer)
        assert [one.tool_kwargs for one in found] == [expected] * 2
        assert len({one.tool_id for one in found if one.tool_id}) == 2


@pytest.mark.rule("reasoning-once")
async def test_reasoning_under_both_names_is_heard_once(stub: StubRouter) -> None:
    both = {"reasoning": "hm", "reasoning_content": "hm"}
    whole = {"index": 0, "message": {"content": "x", **both}, "finish_reason": "stop"}
    llm = make(stub)
    stub.chat(json_reply({"choices": [whole]}))
    found = [llm.chat(HELLO), await llm.achat(HELLO)]
    stub.chat(stream(both, {"content": "x"}))
    found += [list(llm.stream_chat(HELLO))[-1], await last_of(await llm.astream_chat(HELLO))]
    for response in found:
        thought, text = response.message.blocks
        assert isinstance(thought, ThinkingBlock)
        assert isinstance(text, TextBlock)
        assert (thought.content, text.text) == ("hm", "x")


@pytest.mark.rule("late-think-end")
async def test_a_think_part_without_end_is_reasoning(stub: StubRouter) -> None:
    stub.chat(say(["<think>", "hm ", "hm"], finish="length"))
    llm = make(stub)
    for response in (
        llm.chat(HELLO),
        list(llm.stream_chat(HELLO))[-1],
        await last_of(await llm.astream_chat(HELLO)),
    ):
        thought = response.message.blocks[0]
        assert isinstance(thought, ThinkingBlock)
        assert (thought.content, response.message.content) == ("hm hm", "")


@pytest.mark.rule("inline-think")
def test_a_think_word_inside_the_text_stays_there(stub: StubRouter) -> None:
    stub.chat(say("Write <think> to think."))
    llm = make(stub)
    for response in (llm.chat(HELLO), list(llm.stream_chat(HELLO))[-1]):
        assert response.message.content == "Write <think> to think."


@pytest.mark.rule("reasoning-effort")
async def test_the_effort_is_sent_for_any_model_and_the_call_wins(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub, reasoning_effort="low")
    list(llm.stream_chat(HELLO))
    assert stub.last["reasoning_effort"] == "low"
    await llm.achat(HELLO, reasoning_effort="high")
    assert stub.last["reasoning_effort"] == "high"


@pytest.mark.rule("refused-at-once")
async def test_a_refused_stream_raises_where_it_is_opened(stub: StubRouter) -> None:
    stub.chat(json_reply({"error": {"message": "no"}}, 400))
    llm = make(stub)
    with pytest.raises(BadRequestError):
        llm.stream_chat(HELLO)
    with pytest.raises(BadRequestError):
        llm.stream_complete("x")
    with pytest.raises(BadRequestError):
        await llm.astream_chat(HELLO)
    with pytest.raises(BadRequestError):
        await llm.astream_complete("x")
