"""Whatever a server or a caller hands over, only errors of ours come out."""

from __future__ import annotations

import json
from typing import Any

import pydantic_core
from hypothesis import example, given
from hypothesis import strategies as st

from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.messages import encode
from shared_core.chat.request import build
from shared_core.chat.response import parse_completion
from shared_core.chat.types import ChatChunk, ChatCompletion
from shared_core.config.settings import Settings
from shared_core.core import Defaults
from shared_core.errors import InvalidSettingError, RouterError

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.just("x" * 30)
)
KEYS = """
    choices message delta content tool_calls function name arguments id index usage error text
    finish_reason logprobs reasoning refusal prompt_tokens prompt_tokens_details role type
    model object created x_groq
"""
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4)
    ),
    max_leaves=12,
)


def shaped(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Answers or events that are right on the outside and anything inside."""
    call = st.fixed_dictionaries(
        {}, optional={"index": values, "id": values, "function": values, "name": values}
    )
    body = st.fixed_dictionaries(
        {},
        optional={
            "content": values,
            "tool_calls": values | st.lists(call, max_size=3),
            "reasoning": values,
            "refusal": values,
        },
    )
    choice = st.fixed_dictionaries(
        {kind: body | values},
        optional={"index": values, "finish_reason": values, "logprobs": values, "usage": values},
    )
    return st.fixed_dictionaries(
        {"choices": st.lists(choice | values, max_size=3)},
        optional={"usage": values, "id": values, "model": values, "error": values},
    )


@given(values | shaped("message"))
def test_answers(value: Any) -> None:
    try:
        completion = parse_completion(json.dumps(value).encode(), split_think=True)
    except RouterError as error:
        assert len(str(error)) <= 700
        return
    well_formed(completion)


def well_formed(completion: ChatCompletion) -> None:
    assert completion.choices
    ids = [call.id for call in completion.tool_calls]
    assert all(isinstance(text, str) and text for text in ids)
    assert len(set(ids)) == len(ids)
    assert isinstance(completion.text, str)
    assert isinstance(completion.message.reasoning, str | None)
    for choice in completion.choices:
        assert isinstance(choice.finish_reason, str | None)
    if completion.usage is not None:
        assert isinstance(completion.usage.total_tokens, int)


@given(st.binary(max_size=60))
def test_bodies(body: bytes) -> None:
    try:
        parse_completion(body)
    except RouterError as error:
        assert error.__suppress_context__ or error.__context__ is None


def decode(*packets: bytes) -> tuple[ChatStreamDecoder, list[ChatChunk]]:
    decoder = ChatStreamDecoder(split_think=True, max_event_bytes=10_000)
    chunks = [chunk for packet in packets for chunk in decoder.feed(packet)]
    return decoder, chunks + decoder.finish()


@given(st.lists(shaped("delta") | values, max_size=5), st.booleans())
def test_streams(events: list[Any], done: bool) -> None:
    packets = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    decoder, chunks = decode(*packets, *[b"data: [DONE]\n\n"] * done)
    seen: dict[tuple[int, int], str] = {}
    for chunk in chunks:
        assert isinstance(chunk.text, str) and isinstance(chunk.reasoning, str)
        for delta in chunk.tool_calls:
            assert isinstance(delta.arguments, str)
            assert (delta.id is not None) == ((chunk.index, delta.index) not in seen)
            seen.setdefault((chunk.index, delta.index), delta.id or "")
    partial = decoder.partial()
    assert partial.choices
    assert all(isinstance(call.parse(), dict) for call in partial.tool_calls)
    if decoder.error is None:
        completion = decoder.completion()
        well_formed(completion)
        assert parse_completion(completion.raw).text == completion.text
        pydantic_core.to_json(completion.raw)
    else:
        assert isinstance(decoder.error, RouterError)
        assert len(str(decoder.error)) <= 700


@given(st.lists(st.binary(max_size=30), max_size=6))
@example([b"data:", b"\r", b"\n\ndata: [", b"DONE]"])
@example([b"event: error\r\n\r\n"])
def test_stream_bytes(packets: list[bytes]) -> None:
    decoder, _ = decode(*packets)
    assert decoder.error is None or isinstance(decoder.error, RouterError)
    assert decoder.partial().choices


messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", "system", "x"]) | values},
        optional={"content": values, "tool_calls": values, "tool_call_id": values, "name": values},
    )
    | values,
    max_size=4,
)


@given(messages)
def test_messages(given_messages: list[Any]) -> None:
    try:
        wire = encode(given_messages)
    except InvalidSettingError as error:
        assert "messages" in str(error)
        return
    pydantic_core.to_json(wire)
    assert len(wire) == len(given_messages)
    assert encode(wire) == wire


NAMES = """
    temperature top_p stop n seed max_tokens logprobs tools tool_choice response_format extra_body
    stream_options logit_bias user model provider timeout
"""
parameters = st.dictionaries(st.sampled_from(NAMES.split()), values, max_size=3)
SETTINGS = Settings.resolve(base_url="http://127.0.0.1:1/v1", env={})


@given(parameters)
def test_parameters(params: dict[str, Any]) -> None:
    try:
        request = build(SETTINGS, "hi", params, stream=True, defaults=Defaults("a/b"))  # type: ignore[arg-type]
    except InvalidSettingError as error:
        assert error.setting
        return
    assert json.loads(request.body() or b"")["model"]
