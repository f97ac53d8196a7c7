"""The stream decoder: chunks, the assembled answer, and when a stream counts as complete."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.response import Answered, parse_completion
from shared_core.chat.types import ChatChunk
from shared_core.errors import (
    APIError,
    RateLimitError,
    ResponseTooLargeError,
    StreamError,
    StreamEventError,
    StreamInterruptedError,
)
from shared_core.wire.messages import Headers

DONE = b"data: [DONE]\n\n"


def event(delta: Any = None, reason: str | None = None, **top: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": reason, **top.pop("choice", {})}
    value = {"id": "c1", "object": "chat.completion.chunk", "created": 1771000000, "model": "m"}
    return data({**value, "choices": [choice], **top})


def data(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def text(value: str, **more: Any) -> bytes:
    return event({"content": value}, **more)


STOP = event(reason="stop")


def run(
    *parts: bytes, split_think: bool = False, limit: int = 1 << 20
) -> tuple[ChatStreamDecoder, list[ChatChunk]]:
    answered = Answered(200, Headers({"x-request-id": "r-1", "x-inference-provider": "groq"}))
    decoder = ChatStreamDecoder(answered, split_think=split_think, max_event_bytes=limit)
    chunks = [chunk for part in parts for chunk in decoder.feed(part)]
    return decoder, chunks + decoder.finish()


def good(*parts: bytes, **options: Any) -> tuple[ChatStreamDecoder, list[ChatChunk]]:
    decoder, chunks = run(*parts, **options)
    assert decoder.error is None
    return decoder, chunks


def bad(kind: type[APIError], *parts: bytes, **options: Any) -> ChatStreamDecoder:
    decoder, _ = run(*parts, **options)
    assert isinstance(decoder.error, kind), decoder.error
    return decoder


def test_plain_stream() -> None:
    role = event({"role": "assistant", "content": ""})
    decoder, chunks = good(role, text("Hel"), text("lo"), STOP, DONE)
    assert [chunk.text for chunk in chunks] == ["", "Hel", "lo", ""]
    assert [chunk.finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert {(chunk.id, chunk.model) for chunk in chunks} == {("c1", "m")}
    assert chunks[1].raw["choices"][0]["delta"] == {"content": "Hel"}
    completion = decoder.completion()
    assert completion.text == "Hello"
    assert completion.finish_reason == "stop"
    assert (completion.id, completion.model, completion.created) == ("c1", "m", 1771000000)
    assert (completion.request_id, completion.provider) == ("r-1", "groq")
    assert completion.raw["object"] == "chat.completion"
    assert parse_completion(completion.raw).choices == completion.choices


# --- when it is complete ----------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        (text("a"), STOP, DONE),
        (text("a"), STOP),
        (text("a", reason="length"),),
        (text("a"), STOP.rstrip()),
        (text("a"), STOP, b": bye\n\n"),
        (text("a"), STOP, b"data: {torn"),
        (text("a"), STOP, data({"choices": [], "usage": {"prompt_tokens": 1}})),
        (text("a"), DONE),
    ],
)
def test_complete(parts: tuple[bytes, ...]) -> None:
    decoder, _ = good(*parts)
    assert decoder.completion().text == "a"


@pytest.mark.parametrize(
    ("parts", "partial"),
    [
        ((), ""),
        ((b": ping\n\n" * 3,), ""),
        ((b"\n\n",), ""),
        ((DONE,), ""),
        ((text("a"),), "a"),
        ((text("a"), text("b").rstrip()), "ab"),
        ((text("a"), text("b")[:-9]), "a"),
        ((text("a"), b"data: {"), "a"),
        ((text("a"), b"da"), "a"),
        ((text("a"), b"data: [DON"), "a"),
        ((event({"reasoning": "hm"}),), ""),
        ((data({"hello": "world"}),), ""),
        ((data({"hello": "world"}), DONE), ""),
        ((text("a", choice={"finish_reason": ""}),), "a"),
    ],
)
def test_cut(parts: tuple[bytes, ...], partial: str) -> None:
    decoder = bad(StreamInterruptedError, *parts)
    assert isinstance(decoder.error, StreamInterruptedError)
    assert decoder.error.partial is not None
    assert decoder.error.partial.text == partial
    assert decoder.error.partial.finish_reason is None
    assert decoder.error.request_id == "r-1"
    assert decoder.error.retryable


def test_partial_carries_reasoning_and_usage() -> None:
    decoder = bad(
        StreamInterruptedError,
        event({"reasoning": "hm"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
        text("a"),
    )
    partial = decoder.partial()
    assert (partial.text, partial.reasoning) == ("a", "hm")
    assert partial.usage is not None and partial.usage.prompt_tokens == 3


def test_every_choice_needs_a_finish_reason() -> None:
    one = text("a", choice={"index": 1})
    stop = event(reason="stop", choice={"index": 1})
    bad(StreamInterruptedError, text("a"), one, STOP)
    decoder, chunks = good(text("a"), one, STOP, stop)
    assert [chunk.index for chunk in chunks] == [0, 1, 0, 1]
    assert [choice.message.text for choice in decoder.completion().choices] == ["a", "a"]


# --- tool calls -------------------------------------------------------------------------


def tool(arguments: str | None, id: str | None = None, name: str | None = None) -> dict[str, Any]:
    return {"index": 0, "id": id, "function": {"name": name, "arguments": arguments}}


def calls(*items: dict[str, Any], reason: str | None = None) -> bytes:
    return event({"tool_calls": list(items)}, reason)


def test_tool_calls() -> None:
    decoder, chunks = good(
        calls(tool("", "c1", "f")), calls(tool('{"a"')), calls(tool(": 1}")), STOP, DONE
    )
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
    assert [(d.index, d.id, d.name, d.arguments) for d in deltas] == [
        (0, "c1", "f", ""),
        (0, None, None, '{"a"'),
        (0, None, None, ": 1}"),
    ]
    completion = decoder.completion()
    (call,) = completion.tool_calls
    assert (call.id, call.name, call.parse()) == ("c1", "f", {"a": 1})
    assert completion.message.content is None
    assert completion.raw["choices"][0]["message"]["tool_calls"][0]["function"] == {
        "name": "f",
        "arguments": '{"a": 1}',
    }


@pytest.mark.parametrize("end", [(), (DONE,)])
def test_torn_tool_call_is_never_handed_over(end: tuple[bytes, ...]) -> None:
    whole = {**tool('{"b": 2}', "c0", "g"), "index": 1}
    decoder = bad(
        StreamInterruptedError, text("x"), calls(whole), calls(tool('{"a": 1', "c1", "f")), *end
    )
    partial = decoder.partial()
    assert [call.name for call in partial.tool_calls] == ["g"]
    (torn,) = partial.incomplete_tool_calls
    assert (torn.id, torn.name, torn.arguments) == ("c1", "f", '{"a": 1')
    assert partial.text == "x"
    message = partial.raw["choices"][0]["message"]
    assert [item["id"] for item in message["tool_calls"]] == ["c0"]


def test_one_object_instead_of_a_list_of_calls() -> None:
    flat = {"name": "f", "arguments": '{"a": 1}'}  # without "function" around it
    decoder, _ = good(event({"tool_calls": flat}), STOP)
    (call,) = decoder.completion().tool_calls
    assert (call.name, call.parse()) == ("f", {"a": 1})


def test_tool_call_without_finish_reason_but_done() -> None:
    decoder, _ = good(calls(tool('{"a": 1}', "0", "f")), DONE)
    assert [call.name for call in decoder.completion().tool_calls] == ["f"]
    assert decoder.completion().finish_reason is None


def test_cut_after_an_empty_call_is_not_a_call_without_arguments() -> None:
    decoder = bad(StreamInterruptedError, calls(tool("", "c1", "f")))
    assert decoder.partial().tool_calls == []
    assert decoder.partial().incomplete_tool_calls[0].name == "f"


def test_arguments_cut_by_the_token_limit_are_kept_as_they_are() -> None:
    decoder, _ = good(calls(tool('{"a": 1', "c1", "f")), event(reason="length"), DONE)
    (call,) = decoder.completion().tool_calls
    assert call.arguments == '{"a": 1'


# --- what a chunk can bring -------------------------------------------------------------


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content", "reasoning_text"])
def test_reasoning(key: str) -> None:
    decoder, chunks = good(event({key: "h"}), event({key: "m", "content": None}), text("a"), STOP)
    assert [chunk.reasoning for chunk in chunks] == ["h", "m", "", ""]
    assert decoder.completion().reasoning == "hm"
    assert decoder.completion().text == "a"


def test_reasoning_of_another_type_is_passed_over() -> None:
    decoder, _ = good(event({"reasoning": {"x": 1}, "reasoning_content": "h"}), STOP)
    assert decoder.completion().reasoning == "h"


def test_reasoning_field_and_think_tags_together() -> None:
    decoder, _ = good(event({"reasoning": "a", "content": "<think>b"}), STOP, split_think=True)
    assert (decoder.completion().text, decoder.completion().reasoning) == ("", "ab")


def test_reasoning_in_two_fields_counts_once() -> None:
    delta = {"reasoning": "h", "reasoning_content": "h", "reasoning_details": [{"text": "h"}]}
    decoder, _ = good(event(delta), STOP)
    assert decoder.completion().reasoning == "h"


def test_refusal_logprobs_and_extras() -> None:
    entry = {"token": "a", "logprob": -0.1}
    decoder, chunks = good(
        text("a", choice={"logprobs": {"content": [entry]}, "raw_output": {"x": 1}}),
        text("b", choice={"logprobs": {"content": [entry, entry]}}),
        event({"refusal": "no"}),
        STOP,
    )
    assert chunks[0].logprobs == {"content": [entry]}
    assert chunks[2].refusal == "no"
    choice = decoder.completion().choices[0]
    assert choice.logprobs == {"content": [entry] * 3}
    assert choice.extra == {"raw_output": {"x": 1}}
    assert choice.message.refusal == "no"


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (
            [{"tokens": ["a"], "token_logprobs": [-1.0]}, {"tokens": ["b"], "token_logprobs": [0]}],
            {"tokens": ["a", "b"], "token_logprobs": [-1.0, 0]},
        ),
        ([-1.5, -2.5], [-1.5, -2.5]),
        ([[1], [2, 3]], [1, 2, 3]),
        ([{"content": None}, {"content": [1]}, {"content": [2]}], {"content": [1, 2]}),
    ],
)
def test_logprobs_of_any_shape(shapes: list[Any], expected: Any) -> None:
    decoder, _ = good(*(text("a", choice={"logprobs": shape}) for shape in shapes), STOP)
    assert decoder.completion().choices[0].logprobs == expected


USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


@pytest.mark.parametrize(
    "parts",
    [
        (text("a"), STOP, data({"id": "c1", "choices": [], "usage": USAGE}), DONE),
        (text("a"), event(reason="stop", usage=USAGE), DONE),
        (text("a", usage={"prompt_tokens": 1}), event(reason="stop", usage=USAGE), DONE),
        (text("a"), event(reason="stop", usage=USAGE), data({"choices": [], "usage": None})),
        (text("a"), event(reason="stop", choice={"usage": USAGE})),
        (text("a"), event(reason="stop"), data({"usage": USAGE})),
        (text("a"), event(reason="stop", x_groq={"usage": USAGE})),
    ],
)
def test_the_last_usage_counts(parts: tuple[bytes, ...]) -> None:
    decoder, chunks = good(*parts)
    usage = decoder.completion().usage
    assert usage is not None and usage.raw == USAGE
    assert [chunk.usage for chunk in chunks if chunk.usage is not None][-1] == usage


def test_usage_rides_on_one_chunk_of_its_event() -> None:
    event_of_two = data(
        {
            "choices": [
                {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"},
                {"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"},
            ],
            "usage": USAGE,
        }
    )
    _, chunks = good(event_of_two)
    assert [chunk.usage is not None for chunk in chunks] == [True, False]


def test_metadata_events_are_kept_raw() -> None:
    decoder, chunks = good(
        data({"x-router-metadata": {"route": "r"}}),
        text("a"),
        event(reason="stop", time_info={"total": 1.5}, system_fingerprint="fp"),
    )
    assert chunks[0].raw == {"x-router-metadata": {"route": "r"}}
    completion = decoder.completion()
    assert completion.raw["x-router-metadata"] == {"route": "r"}
    assert completion.raw["time_info"] == {"total": 1.5}
    assert completion.system_fingerprint == "fp"


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": None, "message": {"content": "a"}},
        {"delta": {"content": [{"type": "text", "text": "a"}]}},
        {"delta": {"content": "a", "role": None, "tool_calls": None}, "text": "a"},
        {"delta": {"content": "a", "tool_calls": []}},
        {"delta": {"content": "a", "tool_calls": {}}},
        {"index": None, "delta": {"content": "a"}},
        {"delta": None, "text": "a"},
    ],
)
def test_odd_deltas(choice: dict[str, Any]) -> None:
    decoder, _ = good(data({"choices": [choice]}), STOP)
    assert decoder.completion().text == "a"


# --- think tags -------------------------------------------------------------------------


@given(st.lists(st.integers(0, 40), max_size=8))
def test_thinking_cut_anywhere(cuts: list[int]) -> None:
    whole = "<think>\nlong thought\n</think>\n\nthe answer"
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    parts = [text(whole[a:b]) for a, b in itertools.pairwise(edges)]
    decoder, chunks = good(*parts, STOP, split_think=True)
    assert "".join(chunk.text for chunk in chunks) == "the answer"
    assert "".join(chunk.reasoning for chunk in chunks) == "long thought"
    assert decoder.completion().text == "the answer"
    assert decoder.completion().reasoning == "long thought"


def test_thinking_without_its_opening_tag() -> None:
    decoder, chunks = good(
        text("thou"), text("ght</thi"), text("nk>\n\nanswer"), STOP, split_think=True
    )
    completion = decoder.completion()
    assert (completion.text, completion.reasoning) == ("answer", "thought")
    # What had been handed out before the tag came cannot be taken back.
    assert [chunk.text for chunk in chunks] == ["thou", "ght", "answer", ""]


@pytest.mark.parametrize("end", [(STOP,), (DONE,)])
def test_held_back_text_is_handed_out_at_the_end(end: tuple[bytes, ...]) -> None:
    decoder, chunks = good(text("a <"), *end, split_think=True)
    assert "".join(chunk.text for chunk in chunks) == "a <"
    assert decoder.completion().text == "a <"


def test_thinking_is_text_when_not_asked_for() -> None:
    decoder, _ = good(text("<think>a</think>b"), STOP)
    assert decoder.completion().text == "<think>a</think>b"


# --- errors in the stream ---------------------------------------------------------------

REPORTS = {
    "TGI generate": b'data: {"error":"Input validation error","error_type":"validation"}\n\n',
    "TGI chat": b'data: {"error":{"message":"not supported","http_status_code":422}}\n\n',
    "OpenAI": b'data: {"error":{"message":"upstream","type":"server_error","code":500}}\n\n',
    "named, with key": b'event: error\ndata: {"error":{"message":"x","code":500}}\n\n',
    "named, without key": b'event: error\ndata: {"message":"broken","code":503}\n\n',
    "named, plain text": b"event: error\ndata: it broke\n\n",
    "named, no data": b"event: error\n\n",
    "at the end without blank line": b'data: {"error":"cut off"}',
    "old vLLM": b'data: {"object":"error","message":"bad","code":400}\n\n',
}


@pytest.mark.parametrize("shape", REPORTS)
def test_reported_error(shape: str) -> None:
    decoder, chunks = run(text("a") + text("b"), REPORTS[shape])
    assert [chunk.text for chunk in chunks] == ["a", "b"]
    error = decoder.error
    assert isinstance(error, StreamEventError)
    assert error.partial is not None and error.partial.text == "ab"
    assert decoder.feed(text("late")) == []


def test_reported_error_keeps_status_code_and_words() -> None:
    wire = {"error": {"message": "slow down", "type": "rate_limit", "code": 429}}
    error = bad(StreamEventError, data(wire)).error
    assert isinstance(error, StreamEventError)
    assert error.status_code == 429
    assert error.server_message == "slow down"
    assert isinstance(error.error, RateLimitError)


def test_chunks_of_the_same_packet_come_before_the_error() -> None:
    decoder, chunks = run(text("a") + REPORTS["OpenAI"] + text("b"))
    assert [chunk.text for chunk in chunks] == ["a"]
    assert isinstance(decoder.error, StreamEventError)


@pytest.mark.parametrize(
    "broken",
    [
        b"data: {not json}\n\n",
        b"data: \n\ndata: {\n\n",
        b"data: []\n\n",
        b"data: null\n\n",
        b'data: "text"\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"n": ' + b"1" * 6000 + b"}\n\n",
        data({"choices": {"a": 1}}),
        data({"choices": "x"}),
        data({"choices": [None]}),
        data({"choices": 7}),
        data({"choices": [{"delta": "x"}]}),
        data({"choices": [{"delta": {"content": 5}}]}),
        data({"choices": [{"delta": {"tool_calls": "f"}}]}),
        data({"choices": [{"delta": {"tool_calls": [None]}}]}),
    ],
)
def test_broken_event(broken: bytes) -> None:
    decoder, chunks = run(text("a"), broken, text("b"), STOP, DONE)
    assert [chunk.text for chunk in chunks] == ["a"]
    error = decoder.error
    assert isinstance(error, StreamError) and not isinstance(error, StreamEventError)
    assert error.partial is not None and error.partial.text == "a"
    assert len(str(error)) <= 700


def test_event_over_the_limit() -> None:
    decoder = bad(ResponseTooLargeError, text("a"), b"data: " + b"x" * 5000, limit=2000)
    assert "max_event_bytes" in str(decoder.error)
    assert "max_body_bytes" not in str(decoder.error)
    assert decoder.error is not None and decoder.error.partial.text == "a"
    assert decoder.partial().text == "a"


def test_invalid_utf8_in_a_token_is_not_fatal() -> None:
    decoder, _ = good(text("aX").replace(b"X", b"\xff"), STOP)
    assert decoder.completion().text == "a\ufffd"


def test_half_surrogates_are_not_fatal() -> None:
    decoder, _ = good(text("X").replace(b"X", b"\\ud83d"), STOP)
    assert decoder.completion().text == "\ufffd"


def test_line_separators_inside_text() -> None:
    whole = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"
    raw = json.dumps({"choices": [{"delta": {"content": whole}}]}, ensure_ascii=False)
    decoder, _ = good(b"data: " + raw.encode() + b"\n\n", STOP)
    assert decoder.completion().text == whole


# --- splits, keep-alives ----------------------------------------------------------------

LONG = (
    b": ping\r\n\r\n"
    + text("H\u00e9llo \U0001f600 ").replace(b"\n", b"\r\n")
    + calls({**tool('{"a":', "c1", "f")}).replace(b"\n", b"\r")
    + calls(tool("1}"))
    + b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"!"}}]}\n\n'
    + event(reason="tool_calls", usage=USAGE)
    + DONE
)


@given(st.lists(st.integers(0, len(LONG)), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(LONG)]
    decoder, chunks = good(*(LONG[a:b] for a, b in itertools.pairwise(edges)))
    assert chunks == good(LONG)[1]
    assert decoder.completion() == good(LONG)[0].completion()


def test_byte_by_byte() -> None:
    decoder, chunks = good(*(LONG[at : at + 1] for at in range(len(LONG))))
    assert chunks == good(LONG)[1]
    assert decoder.completion().text == "H\u00e9llo \U0001f600 !"
    assert decoder.completion().tool_calls[0].parse() == {"a": 1}


def test_only_events_that_carry_something_are_progress() -> None:
    decoder = ChatStreamDecoder()
    silent = (b": ping\n\n", b"\n\n", b"id: 3\n\n", b"event: ping\n\n", b"data:\n\n")
    empty = (data({}), data({"choices": []}), data({"choices": [], "usage": None}))
    for part in (*silent, *empty):
        decoder.feed(part)
        assert decoder.progress == 0
    seen = 0
    for part in (
        event({"role": "assistant"}),
        text("a"),
        event({"reasoning": "b"}),
        calls(tool("", "c", "f")),
        data({"choices": [], "usage": USAGE}),
        STOP,
        DONE,
    ):
        decoder.feed(part)
        assert decoder.progress > seen
        seen = decoder.progress
    fresh = ChatStreamDecoder()
    fresh.feed(event({"role": "assistant"}))
    before = fresh.progress
    fresh.feed(event({"content": ""}) * 5)
    assert fresh.progress == before


def test_nothing_is_read_after_done() -> None:
    decoder, chunks = good(text("a"), STOP, DONE, text("b"))
    assert decoder.completion().text == "a"
    assert len(chunks) == 2
