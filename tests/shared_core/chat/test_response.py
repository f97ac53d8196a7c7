"""Whole answers: every variation that providers send, and every body that is no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.response import parse_completion, parse_usage, usage_of
from shared_core.chat.types import Usage
from shared_core.errors import (
    APIResponseValidationError,
    APIStatusError,
    BadRequestError,
    IncompleteResponseError,
    ModelNotFoundError,
    RateLimitError,
    ToolArgumentsError,
)


def body(message: Any = None, **changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    if message is None:
        choice["message"] = {"role": "assistant", "content": "pong"}
    choice.update(changes.pop("choice", {}))
    return {"id": "a1", "model": "m", "created": 1771000001, "choices": [choice], **changes}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_minimal() -> None:
    headers = {"X-Request-Id": "r-1", "X-Inference-Provider": "novita"}
    completion = parse_completion(encoded(body(usage={"prompt_tokens": 70})), headers)
    assert completion.text == "pong"
    assert completion.message.role == "assistant"
    assert completion.finish_reason == "stop"
    assert (completion.id, completion.model, completion.created) == ("a1", "m", 1771000001)
    assert completion.request_id == "r-1"
    assert completion.provider == "novita"
    assert completion.headers["x-request-id"] == "r-1"
    assert completion.usage is not None and completion.usage.total_tokens == 70


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-amz-cf-id": "c", "X-Amzn-Trace-Id": "b", "x-request-id": "a"}, "a"),
        ({"x-amz-cf-id": "c", "X-Amzn-Trace-Id": "b"}, "b"),
        ({"x-amz-cf-id": "c"}, "c"),
        ({}, None),
    ],
)
def test_request_id_precedence(headers: dict[str, str], expected: str | None) -> None:
    assert parse_completion(body(), headers).request_id == expected


def test_missing_and_null_top_keys() -> None:
    odd = {"choices": [{"message": {"content": "x"}}], "id": None, "model": 7, "created": "now"}
    completion = parse_completion(encoded(odd))
    assert (completion.id, completion.model, completion.created) == ("", "", None)
    assert completion.usage is None
    assert completion.finish_reason is None
    assert completion.choices[0].index == 0
    assert completion.raw == odd


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text", "text"),
        ("", ""),
        (None, None),
        ([{"type": "text", "text": "a"}, {"type": "x"}, {"type": "text", "text": "b"}], "ab"),
        ([], ""),
    ],
)
def test_content(content: Any, expected: str | None) -> None:
    completion = parse_completion(body({"content": content}))
    assert completion.message.content == expected
    assert completion.text == (expected or "")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"reasoning": "a", "reasoning_content": "b"}, "a"),
        ({"reasoning": None, "reasoning_content": "b"}, "b"),
        ({"reasoning": {"x": 1}, "reasoning_text": "c"}, "c"),
        ({"reasoning": ""}, None),
        ({}, None),
    ],
)
def test_reasoning(message: dict[str, Any], expected: str | None) -> None:
    assert parse_completion(body({"content": "x", **message})).reasoning == expected


def test_thinking_is_split_only_on_request() -> None:
    wire = body({"content": "<think>why</think>because"})
    assert parse_completion(wire).text == "<think>why</think>because"
    split = parse_completion(wire, split_think=True)
    assert (split.text, split.reasoning) == ("because", "why")


@pytest.mark.parametrize("calls", [None, []])
def test_no_tool_calls(calls: Any) -> None:
    assert parse_completion(body({"content": "x", "tool_calls": calls})).tool_calls == []


def call(**changes: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": "{}", **changes.pop("function", {})}
    return {"id": "c1", "type": "function", "function": function, **changes}


def test_tool_calls() -> None:
    calls = [
        call(function={"arguments": {"a": 1}}),
        call(id=0, function={"arguments": None}),
        call(id=None, function={"arguments": "not json"}),
        call(id="", function={"arguments": ""}),
        call(id="c1"),
    ]
    parsed = parse_completion(body({"content": None, "tool_calls": calls})).tool_calls
    assert [item.arguments for item in parsed] == ['{"a":1}', "{}", "not json", "{}", "{}"]
    assert parsed[0].parse() == {"a": 1}
    assert [item.id for item in parsed[:2]] == ["c1", "0"]
    assert len({item.id for item in parsed}) == 5
    assert all(isinstance(item.id, str) and item.id for item in parsed)
    with pytest.raises(ToolArgumentsError) as caught:
        parsed[2].parse()
    assert caught.value.text == "not json"


def test_old_tgi_single_tool_call_object() -> None:
    parsed = parse_completion(body({"tool_calls": call()}))
    assert [item.name for item in parsed.tool_calls] == ["f"]


def test_refusal_finish_reason_and_choice_extras() -> None:
    wire = body(
        {"content": None, "refusal": "no", "annotations": []},
        choice={"finish_reason": "eos_token", "stop_reason": 7, "seed": 2**63 + 1},
    )
    completion = parse_completion(encoded(wire))
    assert completion.message.refusal == "no"
    assert completion.finish_reason == "eos_token"
    assert completion.choices[0].extra == {"stop_reason": 7, "seed": 2**63 + 1}
    assert completion.message.extra == {}  # not echoed when the message is sent back


@pytest.mark.parametrize("reason", [None, "", 3])
def test_no_finish_reason(reason: Any) -> None:
    assert parse_completion(body(choice={"finish_reason": reason})).finish_reason is None


@pytest.mark.parametrize(
    "logprobs",
    [
        {"content": [{"token": "Ġthe", "logprob": -0.1, "bytes": None, "top_logprobs": []}]},
        {"tokens": ["a"], "token_logprobs": [-0.1], "token_ids": [1]},
        None,
    ],
)
def test_logprobs_are_kept(logprobs: Any) -> None:
    assert parse_completion(body(choice={"logprobs": logprobs})).choices[0].logprobs == logprobs


def test_several_choices() -> None:
    wire = body()
    wire["choices"].append({"message": {"content": "two"}})
    wire["choices"].append({"index": 5, "message": {"content": "three"}})
    choices = parse_completion(wire).choices
    assert [(item.index, item.message.content) for item in choices] == [
        (0, "pong"),
        (1, "two"),
        (5, "three"),
    ]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 4}, (1, 2, 4)),
        ({"prompt_tokens": 1.0, "completion_tokens": 2.9}, (1, 2, 3)),
        ({"prompt_tokens": None, "completion_tokens": "3", "total_tokens": 9}, (0, 0, 9)),
        ({"input_tokens": 5, "output_tokens": 6}, (5, 6, 11)),
        ({"prompt_tokens": float("nan"), "completion_tokens": -1}, (0, 0, 0)),
        ({"prompt_tokens": True, "completion_tokens": float("inf")}, (0, 0, 0)),
        ({"prompt_tokens": 10**400, "completion_tokens": 1e300}, (0, 0, 0)),
        ({"prompt_tokens": 2**53 - 1, "total_tokens": 2**53}, (2**53 - 1, 0, 2**53 - 1)),
        ({"prompt_tokens": -(10**400), "total_tokens": 10**400}, (0, 0, 0)),
    ],
)
def test_usage_counts(usage: dict[str, Any], expected: tuple[int, int, int]) -> None:
    parsed = parse_usage(usage)
    assert (parsed.prompt_tokens, parsed.completion_tokens, parsed.total_tokens) == expected
    assert parsed.raw is usage


def test_usage_details() -> None:
    parsed = parse_usage(
        {
            "prompt_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 5.0, "audio_tokens": None},
        }
    )
    assert (parsed.cached_tokens, parsed.reasoning_tokens) == (3, 5)
    assert (parsed.audio_input_tokens, parsed.audio_output_tokens) == (4, None)
    assert parse_usage({"cached_tokens": 7, "prompt_tokens_details": None}).cached_tokens == 7
    assert parse_usage({"prompt_cache_hit_tokens": 8}).cached_tokens == 8


@pytest.mark.parametrize(
    ("usage", "written", "cost"),
    [
        ({"prompt_tokens_details": {"cache_write_tokens": 3.0}, "cost": 0.25}, 3, 0.25),
        ({"cache_creation_input_tokens": 4, "estimated_cost": 0}, 4, 0),
        ({"cost": "0.1", "estimated_cost": 0.2, "cache_creation_tokens": True}, None, 0.2),
        ({"cost": float("nan"), "cache_write_tokens": -1}, None, None),
        ({"cost": float("inf"), "cache_write_tokens": 10**400}, None, None),
        ({"cost": -0.1, "estimated_cost": 10**400}, None, None),
        ({"cost": True}, None, None),
    ],
)
def test_cost_and_tokens_written_to_a_cache(
    usage: dict[str, Any], written: int | None, cost: float | None
) -> None:
    parsed = parse_usage(usage)
    assert (parsed.cache_write_tokens, parsed.cost) == (written, cost)


@pytest.mark.parametrize(
    ("wire", "found"),
    [
        ({"usage": {"prompt_tokens": 1}}, True),
        ({"x_groq": {"usage": {"prompt_tokens": 1}}}, True),
        ({"choices": [{"usage": {"prompt_tokens": 1}}]}, True),
        ({"usage": None}, False),
        ({"usage": {}}, False),
        ({"usage": [1], "choices": []}, False),
        ({"x_groq": 3, "choices": None}, False),
    ],
)
def test_usage_places(wire: dict[str, Any], found: bool) -> None:
    usage = usage_of(wire)
    assert (isinstance(usage, Usage) and usage.prompt_tokens == 1) is found


NO_ANSWERS = {
    "empty": b"",
    "blank": b" \n ",
    "null": b"null",
    "list": b"[]",
    "text": b'"hello"',
    "number": b"42",
    "other object": b'{"hello": "world"}',
    "generated text": b'[{"generated_text": "x"}]',
    "no choices": b'{"choices": []}',
    "choices null": b'{"choices": null}',
    "choices object": b'{"choices": {"0": 1}}',
    "choice null": b'{"choices": [null]}',
    "message null": b'{"choices": [{"message": null}]}',
    "message missing": b'{"choices": [{"text": "x"}]}',
    "message text": b'{"choices": [{"message": "x"}]}',
    "content number": b'{"choices": [{"message": {"content": 5}}]}',
    "content object": b'{"choices": [{"message": {"content": {"a": 1}}}]}',
    "tool calls text": b'{"choices": [{"message": {"tool_calls": "f()"}}]}',
    "tool call null": b'{"choices": [{"message": {"tool_calls": [null]}}]}',
    "tool call nameless": b'{"choices": [{"message": {"tool_calls": [{"function": {}}]}}]}',
    "login page": b"<!DOCTYPE html><html><body>Please log in to the hotel network</body></html>",
    "login page after a mark": b"\xef\xbb\xbf\n <html></html>",
    "plain words": b"upstream connect error",
    "half": b'{"choices": [{"message": {"content": "po',
    "two documents": b'{"choices": []} {"a": 1}',
    "invalid UTF-8": b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
    "nested": b"[" * 200_000,
    "nested and closed": b"[" * 200_000 + b"]" * 200_000,
    "nested objects": b'{"a":' * 200_000,
    "huge number": b'{"choices": [{"message": {"content": "x"}}], "n": ' + b"9" * 6000 + b"}",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_no_answer(kind: str) -> None:
    content = NO_ANSWERS[kind]
    with pytest.raises(APIResponseValidationError) as caught:
        parse_completion(
            content,
            {"content-type": "text/html", "x-request-id": "r-1"},
            model="a/b",
            url="https://example.org/v1/chat/completions",
        )
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert (error.model, error.host, error.request_id) == ("a/b", "example.org", "r-1")
    assert error.content_type == "text/html"
    assert len(str(error)) <= 700
    assert len(error.body) <= 2000
    assert content.isascii() is False or content[:20].decode().strip() in error.body


def test_half_a_document_can_be_retried_and_a_wrong_one_not() -> None:
    with pytest.raises(IncompleteResponseError) as caught:
        parse_completion(NO_ANSWERS["half"])
    assert caught.value.retryable
    with pytest.raises(APIResponseValidationError) as wrong:
        parse_completion(NO_ANSWERS["other object"])
    assert not wrong.value.retryable


def test_evidence_is_short() -> None:
    with pytest.raises(APIResponseValidationError) as caught:
        parse_completion(b"x" * 500)
    assert "x" * 80 in caught.value.message
    assert "x" * 81 not in caught.value.message


def test_byte_order_mark_and_odd_escapes() -> None:
    assert parse_completion(b"\xef\xbb\xbf" + encoded(body())).text == "pong"
    half = encoded(body({"content": "x"})).replace(b'"x"', b'"a\\ud83d b \\ud83d\\ude00 \\\\ud83d"')
    assert parse_completion(half).text == "a\ufffd b \U0001f600 \\ud83d"


@pytest.mark.parametrize(
    ("wire", "kind", "words"),
    [
        (
            {"error": {"message": "no such model", "code": "model_not_found", "type": "x"}},
            (ModelNotFoundError, BadRequestError, APIStatusError),
            "no such model",
        ),
        ({"error": {"message": "slow down", "code": 429}}, RateLimitError, "slow down"),
        ({"error": "plain words"}, APIStatusError, "plain words"),
        (
            {"object": "error", "message": "old vLLM", "code": 400, "type": "BadRequestError"},
            BadRequestError,
            "old vLLM",
        ),
        ({"error": {"message": "x"}, "choices": []}, APIStatusError, "x"),
    ],
)
def test_error_object_in_a_200(wire: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind) as caught:
        parse_completion(encoded(wire), {"x-request-id": "r-1"}, model="a/b")
    assert isinstance(caught.value, APIStatusError)
    assert words in str(caught.value)
    assert caught.value.model == "a/b"


def test_error_null_is_no_error() -> None:
    assert parse_completion(body(error=None)).text == "pong"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("reason", "last"),
    [("length", ""), ("content_filter", ""), ("tool_calls", "{}"), ("stop", "{}")],
)
@pytest.mark.parametrize("sent", [None, "", {}])
def test_call_that_was_cut_before_its_arguments_does_not_look_complete(
    streamed: bool, reason: str, last: str, sent: Any
) -> None:
    calls = [
        {"index": at, "id": id, "type": "function", "function": {"name": id, "arguments": sent}}
        for at, id in enumerate("ab")
    ]
    if streamed:
        decoder = ChatStreamDecoder()
        event = {"choices": [{"delta": {"tool_calls": calls}, "finish_reason": reason}]}
        decoder.feed(b"data: " + json.dumps(event).encode() + b"\n\ndata: [DONE]\n\n")
        decoder.finish()
        completion = decoder.completion()
    else:
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = {"message": message, "finish_reason": reason}
        completion = parse_completion(json.dumps({"choices": [choice]}).encode())
    first, second = completion.choices[0].message.tool_calls
    assert first.parse() == {}
    if sent == {}:  # the server says itself that there are none
        last = "{}"
    assert second.arguments == last
    if last:
        assert second.parse() == {}
    else:
        with pytest.raises(ToolArgumentsError, match="ended before the arguments"):
            second.parse()
