"""Streams: cumulative messages, deltas, usage, calls that are still arriving."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.callbacks.token_counting import get_tokens_from_response

from llama_index_hfrouter import HFRouter
from llama_index_hfrouter._errors import ToolCallArgumentsError
from llama_index_hfrouter._messages import chat_response, completion_response
from llama_index_hfrouter._stream import Assembler, first_call_only
from llama_index_hfrouter._tools import refuse_torn_calls
from shared_core import (
    ChatChunk,
    ChatCompletion,
    Choice,
    ToolArgumentsError,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from shared_core import ChatMessage as CoreMessage

LLM = HFRouter("a/b")
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def collect(*chunks: ChatChunk) -> list[ChatResponse]:
    assembler = Assembler("req-1", "groq")
    return [assembler.add(chunk) for chunk in chunks]


def usage_chunk() -> ChatChunk:
    return ChatChunk(
        usage=Usage(3, 4, 7, reasoning_tokens=2), raw={"choices": [], "usage": dict(USAGE)}
    )


@pytest.mark.rule("cumulative")
def test_message_is_cumulative_and_delta_is_new_text_only() -> None:
    found = collect(
        ChatChunk(), ChatChunk(text="Hel"), ChatChunk(text="lo"), ChatChunk(finish_reason="stop")
    )
    assert [r.delta for r in found] == ["", "Hel", "lo", ""]
    assert [r.message.content for r in found] == ["", "Hel", "Hello", "Hello"]


@pytest.mark.rule("raw-is-the-chunk", "usage-last")
def test_the_usage_chunk_yields_the_same_cumulative_message() -> None:
    found = collect(ChatChunk(text="Hi"), ChatChunk(finish_reason="stop"), usage_chunk())
    assert found[-1].message == found[-2].message
    assert found[-1].delta == ""
    assert found[-1].raw == {"choices": [], "usage": USAGE}
    assert get_tokens_from_response(found[-1]) == (3, 4)
    assert found[-1].additional_kwargs["prompt_tokens"] == 3
    assert found[-1].additional_kwargs["total_tokens"] == 7


@pytest.mark.rule("usage-last")
def test_usage_survives_a_later_chunk_without_it() -> None:
    found = collect(usage_chunk(), ChatChunk(finish_reason="stop", raw={"choices": [{}]}))
    assert get_tokens_from_response(found[-1]) == (3, 4)


@pytest.mark.rule("thinking-delta")
def test_thinking_goes_into_block_and_thinking_delta() -> None:
    found = collect(
        ChatChunk(reasoning="a"), ChatChunk(reasoning="b"), ChatChunk(text="c"), usage_chunk()
    )
    deltas = [r.additional_kwargs.get("thinking_delta") for r in found]
    assert deltas == ["a", "b", None, None]
    assert [r.delta for r in found] == ["", "", "c", ""]
    thinking = found[-1].message.blocks[0]
    assert isinstance(thinking, ThinkingBlock)
    assert (thinking.content, thinking.num_tokens) == ("ab", 2)


@pytest.mark.rule("tools-streamed", "calls-in-both-places")
def test_calls_grow_in_blocks_and_in_additional_kwargs() -> None:
    found = collect(
        ChatChunk(tool_calls=[ToolCallDelta(0, "i0", "add", '{"a": 1')]),
        ChatChunk(
            tool_calls=[ToolCallDelta(1, "i1", "now", ""), ToolCallDelta(0, arguments=', "b": 2}')]
        ),
        ChatChunk(finish_reason="tool_calls"),
    )
    first = LLM.get_tool_calls_from_response(found[0])
    assert [(s.tool_id, s.tool_name, s.tool_kwargs) for s in first] == [("i0", "add", {"a": 1})]
    last = LLM.get_tool_calls_from_response(found[-1])
    assert [(s.tool_name, s.tool_kwargs) for s in last] == [("add", {"a": 1, "b": 2}), ("now", {})]
    listed = found[-1].message.additional_kwargs["tool_calls"]
    assert json.loads(json.dumps(listed)) == listed
    assert [call["function"]["name"] for call in listed] == ["add", "now"]
    assert found[-1].message.content is None
    assert all(r.delta == "" for r in found)


@pytest.mark.rule("own-objects")
def test_each_response_has_dictionaries_of_its_own() -> None:
    delta = ToolCallDelta(0, "i", "f", "{")
    found = collect(ChatChunk(tool_calls=[delta]), ChatChunk(text="x"), ChatChunk(text="y"))
    for response in found:
        response.message.additional_kwargs["mine"] = True
        response.message.additional_kwargs["tool_calls"][0]["function"]["name"] = "changed"
        response.additional_kwargs["mine"] = True
        response.message.blocks.clear()
    fresh = collect(ChatChunk(tool_calls=[delta]))[0]
    assert "mine" not in fresh.additional_kwargs
    assert len({id(r.message.additional_kwargs) for r in found}) == 3
    calls = [r.message.additional_kwargs["tool_calls"][0] for r in found]
    assert len({id(call) for call in calls}) == 3


@pytest.mark.rule("own-objects")
def test_later_chunks_do_not_change_earlier_messages() -> None:
    assembler = Assembler()
    first = assembler.add(ChatChunk(text="a", tool_calls=[ToolCallDelta(0, "i", "f", "{")]))
    before = first.model_dump_json()
    assembler.add(ChatChunk(text="b", tool_calls=[ToolCallDelta(0, arguments="}")]))
    assembler.add(ChatChunk(finish_reason="stop"))
    assert first.model_dump_json() == before


@pytest.mark.rule("unchecked-objects")
def test_what_is_assembled_equals_what_validation_builds() -> None:
    found = collect(
        ChatChunk(text="a", reasoning="r", tool_calls=[ToolCallDelta(0, "i", "f", "{}")])
    )[0]
    again = ChatResponse.model_validate(found.model_dump())
    assert again == found
    assert again.model_dump_json() == found.model_dump_json()
    copied = found.model_copy(deep=True)
    assert copied == found
    assert ChatMessage.model_validate_json(found.message.model_dump_json()) == found.message


@pytest.mark.rule("one-choice")
def test_further_choices_do_not_mix_into_the_message() -> None:
    found = collect(ChatChunk(text="a"), ChatChunk(text="other", index=1), ChatChunk(text="b"))
    assert [r.delta for r in found] == ["a", "", "b"]
    assert found[-1].message.content == "ab"


def test_a_refusal_is_shown_and_kept() -> None:
    response = collect(ChatChunk(refusal="No."))[0]
    assert response.delta == "No."
    assert response.message.additional_kwargs["refusal"] == "No."


def test_request_id_provider_and_finish_reason_are_kept() -> None:
    last = collect(ChatChunk(text="a", model="m"), ChatChunk(finish_reason="length"))[-1]
    assert last.additional_kwargs == {
        "request_id": "req-1",
        "inference_provider": "groq",
        "model": "m",
        "finish_reason": "length",
    }


# --- get_tool_calls_from_response -------------------------------------------------------


def response_with(arguments: Any, **extra: Any) -> ChatResponse:
    block = ToolCallBlock(tool_call_id=None, tool_name="f", tool_kwargs=arguments)
    message = ChatMessage(role="assistant", blocks=[block])
    return ChatResponse(message=message, additional_kwargs=extra)


@pytest.mark.rule("partial-calls")
@given(text=st.text())
def test_reading_arriving_calls_never_raises_and_kwargs_is_always_a_dict(text: str) -> None:
    (found,) = LLM.get_tool_calls_from_response(response_with(text))
    assert isinstance(found.tool_kwargs, dict)
    assert found.tool_id


@pytest.mark.rule("partial-calls")
@given(cut=st.integers(min_value=0, max_value=40))
def test_any_prefix_of_the_arguments_is_readable(cut: int) -> None:
    text = '{"city": "Zürich", "days": [1, 2], "x": true}'[:cut]
    (found,) = LLM.get_tool_calls_from_response(response_with(text))
    assert isinstance(found.tool_kwargs, dict)


@pytest.mark.rule("torn-calls")
@pytest.mark.parametrize("text", ['{"path": "/home/us', "not json", "[1]", "7"])
@pytest.mark.parametrize("reason", ["length", "tool_calls", "stop", None])
def test_torn_arguments_of_a_finished_answer_are_refused(text: str, reason: str | None) -> None:
    response = response_with(text, finish_reason=reason)
    with pytest.raises(ToolCallArgumentsError) as caught:
        refuse_torn_calls(response)
    error = caught.value
    assert (error.tool, error.text, error.response) == ("f", text, response)
    assert ("cut off" in str(error), "max_tokens" in str(error)) == ((reason == "length"),) * 2
    assert isinstance(error, ToolArgumentsError)
    assert isinstance(error, ValueError)
    assert not isinstance(error, RuntimeError)


@pytest.mark.rule("odd-arguments")
@pytest.mark.parametrize(
    ("text", "expected"),
    [("", {}), (" null ", {}), ('{"x": 1}', {"x": 1}), ('"{\\"x\\": 1}"', {"x": 1})],
)
def test_odd_ways_to_write_arguments_are_understood(text: str, expected: dict[str, int]) -> None:
    whole = chat_response(completion(tool_calls=[ToolCall("i", "f", text)]))
    streamed = collect(
        ChatChunk(tool_calls=[ToolCallDelta(0, "i", "f", text)]),
        ChatChunk(finish_reason="tool_calls"),
    )[-1]
    listed = response_with(text, finish_reason="tool_calls")
    for response in (whole, streamed, listed):
        assert LLM.get_tool_calls_from_response(response)[0].tool_kwargs == expected


@pytest.mark.rule("torn-calls")
@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_arguments_that_never_came_are_not_none_if_the_answer_was_cut(reason: str) -> None:
    whole = completion(tool_calls=[ToolCall("i", "f", "")])
    whole.choices[0].finish_reason = reason
    streamed = collect(
        ChatChunk(tool_calls=[ToolCallDelta(0, "i", "f", "")]), ChatChunk(finish_reason=reason)
    )
    for response in (chat_response(whole), streamed[-1]):
        with pytest.raises(ToolCallArgumentsError):
            refuse_torn_calls(response)
    refuse_torn_calls(streamed[0])  # which is still arriving
    assert LLM.get_tool_calls_from_response(streamed[0])[0].tool_kwargs == {}
    followed = completion(tool_calls=[ToolCall("i", "f", ""), ToolCall("j", "g", '{"x": 1}')])
    followed.choices[0].finish_reason = reason
    refuse_torn_calls(chat_response(followed))
    found = LLM.get_tool_calls_from_response(chat_response(followed))
    assert [one.tool_kwargs for one in found] == [{}, {"x": 1}]


@pytest.mark.rule("torn-calls")
@pytest.mark.parametrize("reason", ["length", "tool_calls", None])
def test_a_whole_answer_is_finished_whatever_its_reason(reason: str | None) -> None:
    torn = completion(tool_calls=[ToolCall("i", "f", '{"path": "/home/us')])
    torn.choices[0].finish_reason = reason
    with pytest.raises(ToolCallArgumentsError):
        refuse_torn_calls(chat_response(torn))


@pytest.mark.rule("partial-calls")
@given(text=st.text(), reason=st.sampled_from(["tool_calls", "length", None]))
def test_reading_finished_calls_never_raises_either(text: str, reason: str | None) -> None:
    (found,) = LLM.get_tool_calls_from_response(response_with(text, finish_reason=reason))
    assert isinstance(found.tool_kwargs, dict)


@pytest.mark.rule("partial-calls")
def test_half_a_path_is_no_argument_of_a_finished_call() -> None:
    torn = '{"path": "/home/us'
    (found,) = LLM.get_tool_calls_from_response(response_with(torn, finish_reason="length"))
    assert found.tool_kwargs == {}


@pytest.mark.rule("partial-calls")
def test_deep_nesting_does_not_raise() -> None:
    assert LLM.get_tool_calls_from_response(response_with("[" * 100_000))[0].tool_kwargs == {}


@pytest.mark.rule("foreign-calls")
@pytest.mark.parametrize(
    "listed",
    [
        [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
        [{"id": "a", "name": "f", "arguments": {"x": 1}}],
    ],
)
def test_calls_are_read_from_additional_kwargs_without_blocks(listed: Any) -> None:
    message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": listed})
    (found,) = LLM.get_tool_calls_from_response(ChatResponse(message=message))
    assert (found.tool_id, found.tool_name, found.tool_kwargs) == ("a", "f", {"x": 1})


@pytest.mark.rule("no-call-error")
def test_no_call_is_an_error_only_on_request() -> None:
    response = ChatResponse(message=ChatMessage(role="assistant", content="just text"))
    assert LLM.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="called no tool") as caught:
        LLM.get_tool_calls_from_response(response)
    assert getattr(caught.value, "text", None) == "just text"


# --- whole answers ----------------------------------------------------------------------


def completion(**message: Any) -> ChatCompletion:
    return ChatCompletion(
        model="m",
        choices=[Choice(0, CoreMessage("assistant", **message), "stop")],
        usage=Usage(3, 4, 7, reasoning_tokens=2),
        request_id="req-2",
        provider="groq",
        raw={"id": "x", "usage": dict(USAGE)},
    )


@pytest.mark.rule("answer-shape", "tools-whole")
def test_a_whole_answer_has_blocks_raw_usage_and_counters() -> None:
    call = ToolCall("i", "f", '{"a": 1}')
    response = chat_response(completion(content="hi", reasoning="r", tool_calls=[call]))
    assert [type(block) for block in response.message.blocks] == [
        ThinkingBlock,
        TextBlock,
        ToolCallBlock,
    ]
    assert isinstance(response.raw, dict)
    assert get_tokens_from_response(response) == (3, 4)
    assert response.additional_kwargs["completion_tokens"] == 4
    assert response.additional_kwargs["request_id"] == "req-2"
    assert response.message.additional_kwargs["tool_calls"][0]["id"] == "i"
    json.dumps(response.model_dump(mode="json"))


@pytest.mark.rule("torn-calls")
def test_invalid_arguments_stay_readable_as_text() -> None:
    response = chat_response(completion(tool_calls=[ToolCall("i", "f", '{"a": ')]))
    (block,) = response.message.blocks
    assert isinstance(block, ToolCallBlock)
    assert block.tool_kwargs == '{"a": '


@pytest.mark.rule("answer-shape")
def test_logprobs_in_both_forms() -> None:
    new = completion(content="a")
    new.choices[0].logprobs = {
        "content": [
            {"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []},
            {"token": "b", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": -1}]},
        ]
    }
    old = completion(content="a")
    old.choices[0].logprobs = {"tokens": ["a"], "token_logprobs": [-0.5]}
    found = chat_response(new).logprobs
    assert found is not None
    assert [[(lp.token, lp.logprob) for lp in token] for token in found] == [
        [("a", -0.5)],
        [("b", -1.0)],
    ]
    assert chat_response(old).logprobs == [found[0]]


@pytest.mark.rule("completion-copies")
def test_a_completion_does_not_change_the_chat_response() -> None:
    response = chat_response(completion(content="hi"))
    before = response.model_dump_json()
    done = completion_response(response)
    done.additional_kwargs["mine"] = 1
    assert (done.text, done.additional_kwargs["prompt_tokens"]) == ("hi", 3)
    assert response.model_dump_json() == before


@pytest.mark.rule("parallel-calls")
def test_first_call_only_cuts_blocks_and_list_together() -> None:
    calls = [ToolCall("a", "f"), ToolCall("b", "g")]
    response = chat_response(completion(content="t", tool_calls=calls))
    cut = first_call_only(response)
    assert [call["id"] for call in cut.message.additional_kwargs["tool_calls"]] == ["a"]
    assert [s.tool_id for s in LLM.get_tool_calls_from_response(cut)] == ["a"]
    assert cut.message.content == "t"
    assert len(LLM.get_tool_calls_from_response(response)) == 2
