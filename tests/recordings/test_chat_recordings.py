"""Every recorded chat answer, stream and error is understood."""

from __future__ import annotations

import copy
import itertools
import json
import random
from typing import Any

import pytest

from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.request import build
from shared_core.chat.response import Answered, parse_completion
from shared_core.chat.types import ChatChunk
from shared_core.config.settings import Settings
from shared_core.core import Defaults
from shared_core.errors import (
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    UnprocessableEntityError,
    from_response,
)
from shared_core.wire.messages import Headers, WireRequest
from tests.recordings.exchanges import ABSENT, FOLDER, Exchange
from tests.recordings.kinds import of_kind

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)

ANSWERS = of_kind("chat answer")
STREAMS = of_kind("chat stream")
CHAT_ERRORS = of_kind("chat error")
ERRORS = CHAT_ERRORS + of_kind("task error")
ASKED = [item for item in ANSWERS + STREAMS + CHAT_ERRORS if isinstance(item.sent, dict)]


def named(items: list[Exchange]) -> Any:
    return pytest.mark.parametrize("recorded", items, ids=[item.name for item in items])


def test_the_folder_holds_what_is_tested_here() -> None:
    assert len(ANSWERS) >= 30
    assert len(STREAMS) >= 14
    assert len(ERRORS) >= 14


@named(ANSWERS)
def test_answer(recorded: Exchange) -> None:
    wire = json.loads(recorded.body)
    completion = parse_completion(recorded.body, recorded.headers, recorded.status)
    assert completion.raw == wire
    assert completion.id == wire.get("id", "")
    assert completion.model == wire["model"]
    assert len(completion.choices) == len(wire["choices"])
    message = wire["choices"][0]["message"]
    assert completion.message.content == message.get("content")
    assert completion.finish_reason == wire["choices"][0]["finish_reason"]
    assert completion.usage is not None
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(completion.usage, name) == wire["usage"][name]
    calls = message.get("tool_calls") or []
    assert [call.name for call in completion.tool_calls] == [c["function"]["name"] for c in calls]
    assert all(call.id for call in completion.tool_calls)
    for call, sent in zip(completion.tool_calls, calls, strict=True):
        arguments = sent["function"]["arguments"]
        expected = arguments if isinstance(arguments, dict) else json.loads(arguments)
        assert call.parse() == expected
    assert completion.request_id == recorded.headers.get("x-request-id")
    assert completion.provider == recorded.headers.get("x-inference-provider")


@named([item for item in ANSWERS if b"<think>" in item.body])
def test_thinking_is_split_off_on_request(recorded: Exchange) -> None:
    content = json.loads(recorded.body)["choices"][0]["message"]["content"]
    completion = parse_completion(recorded.body, split_think=True)
    thought, _, answer = content.removeprefix("<think>").partition("</think>")
    assert completion.reasoning == thought.strip()
    assert completion.text == answer.lstrip()
    assert parse_completion(recorded.body).text == content


def expected_of(recorded: Exchange) -> tuple[str, str | None, Any]:
    """Return text, finish reason and last usage, found independently of our decoder."""
    text, reason, usage = "", None, None
    for line in recorded.body.decode().split("\n"):
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        event = json.loads(data)
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            text += choice["delta"].get("content") or ""
            reason = choice.get("finish_reason") or reason
    return text, reason, usage


def decode(recorded: Exchange, cuts: list[int]) -> tuple[ChatStreamDecoder, list[ChatChunk]]:
    decoder = ChatStreamDecoder(Answered(200, Headers(recorded.headers)))
    edges = [0, *cuts, len(recorded.body)]
    chunks = []
    for start, end in itertools.pairwise(edges):
        chunks += decoder.feed(recorded.body[start:end])
    return decoder, chunks + decoder.finish()


@named(STREAMS)
def test_stream(recorded: Exchange) -> None:
    text, reason, usage = expected_of(recorded)
    rng = random.Random(recorded.name)
    size = len(recorded.body)
    for count in (0, 3, 40, 400):
        decoder, chunks = decode(recorded, sorted(rng.sample(range(size), count)))
        assert decoder.error is None
        assert "".join(chunk.text for chunk in chunks) == text
        completion = decoder.completion()
        assert completion.text == text
        assert completion.finish_reason == reason
        assert (completion.usage.raw if completion.usage else None) == usage
        assert completion.raw["choices"][0]["message"]["content"] == text
        again = parse_completion(completion.raw)
        assert (again.text, again.finish_reason, again.usage) == (text, reason, completion.usage)


@named(STREAMS)
def test_cut_stream_keeps_what_came(recorded: Exchange) -> None:
    marks = [b'"finish_reason":"', b'"finish_reason": "']
    at = min(found for mark in marks if (found := recorded.body.find(mark)) > 0)
    decoder = ChatStreamDecoder()
    text = "".join(chunk.text for chunk in decoder.feed(recorded.body[:at]))
    text += "".join(chunk.text for chunk in decoder.finish())
    assert decoder.error is not None
    assert decoder.partial().text == text
    assert expected_of(recorded)[0].startswith(text)


CLASSES: dict[int, Any] = {
    400: BadRequestError,
    401: AuthenticationError,
    422: (UnprocessableEntityError, ContextLengthError),
}


@named(ERRORS)
def test_error(recorded: Exchange) -> None:
    error = from_response(
        status=recorded.status,
        headers=Headers(recorded.headers),
        content=recorded.body,
        operation="chat",
        url=recorded.url,
    )
    assert isinstance(error, CLASSES[recorded.status])
    assert error.status_code == recorded.status
    try:
        said = json.loads(recorded.body)["error"]
    except ValueError:
        said = recorded.body.decode()
    words = said if isinstance(said, str) else said[0]
    assert error.server_message is not None
    assert words[:60] in error.server_message
    assert words[:60] in str(error)
    assert error.guidance


# --- what was sent then and is sent otherwise now: rows of docs/recordings.md ---------------


def no_nulls_in_chat(sent: dict[str, Any]) -> dict[str, Any]:
    return without_none(sent)


def no_empty_lists_in_chat(sent: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sent.items() if value != []}


def tool_choice_has_a_type(sent: dict[str, Any]) -> dict[str, Any]:
    choice = sent.get("tool_choice")
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        choice = {"function": {"name": choice}}
    if isinstance(choice, dict):
        sent["tool_choice"] = {"type": "function", **choice}
    return sent


def stream_only_if_true(sent: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sent.items() if key != "stream" or value}


def text_is_a_message(sent: dict[str, Any]) -> dict[str, Any]:
    if isinstance(sent.get("messages"), str):
        sent["messages"] = [{"role": "user", "content": sent["messages"]}]
    return sent


DIFFERENCES = (
    no_nulls_in_chat,
    no_empty_lists_in_chat,
    tool_choice_has_a_type,
    stream_only_if_true,
    text_is_a_message,
)


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list) else value


def upgraded(sent: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return *sent* in today's form, and the names of the differences that mattered."""
    used = set()
    for difference in DIFFERENCES:
        before = copy.deepcopy(sent)
        sent = difference(copy.deepcopy(sent))
        if sent != before:
            used.add(difference.__name__)
    return sent, used


def built(recorded: Exchange) -> WireRequest:
    """Return what we send when asked for what was recorded."""
    given = dict(recorded.sent)
    base_url, _, rest = recorded.url.partition("/chat/completions")
    assert rest == ""
    stream = given.pop("stream", False)
    return build(
        # The full path is accepted as well as the /v1 base.
        Settings.resolve(base_url=base_url if base_url.endswith("/v1") else recorded.url, env={}),
        given.pop("messages"),
        given,  # type: ignore[arg-type]
        stream=stream,
        defaults=Defaults(),
    )


@named(ASKED)
def test_request_of_today_says_the_same(recorded: Exchange) -> None:
    request = built(recorded)
    assert request.url == recorded.url
    assert next(iter(request.json)) == "model"
    assert request.json == upgraded(recorded.sent)[0]


def test_every_difference_is_needed() -> None:
    used: set[str] = set()
    for item in ASKED:
        used |= upgraded(item.sent)[1]
    assert used == {difference.__name__ for difference in DIFFERENCES}
