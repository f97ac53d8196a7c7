"""The local wires: shapes of answers, refusals, streams."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest

from shared_core.errors import (
    BadRequestError,
    ContextLengthError,
    ModelNotFoundError,
    UnsupportedFeatureError,
)
from shared_core.local import AsyncLocalWire, LocalModels, LocalWire
from shared_core.wire.messages import WireRequest, WireResponse

BASE = "https://router.huggingface.co"
DOCUMENT = "The dome opens at dusk. Soup is served on Mondays. The telescope weighs 3 tonnes."


def _request(path: str, body: Any = None, **options: Any) -> WireRequest:
    return WireRequest(url=BASE + path, json=body, **options)


def _send(path: str, body: Any = None, wire: LocalWire | None = None, **options: Any) -> Any:
    answer = (wire or LocalWire()).send(_request(path, body, **options))
    assert answer.status == 200
    return json.loads(answer.content)


def _chat(question: str, **fields: Any) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": f"Answer from this context:\n\n{DOCUMENT}"},
        {"role": "user", "content": question},
    ]
    return {"model": "local/extractive-reader", "messages": messages} | fields


def _events(chunks: list[bytes]) -> list[Any]:
    lines = b"".join(chunks).decode().split("\n\n")
    assert lines.pop() == ""
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_completion_quotes_and_says_who_it_is() -> None:
    answer = _send("/v1/chat/completions", _chat("What is served on Mondays?"))
    choice = answer["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Soup is served on Mondays."}
    assert choice["finish_reason"] == "stop"
    assert answer["model"] == "local/extractive-reader"
    assert answer["system_fingerprint"] == "local"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 6  # five words and a full stop
    assert usage["total_tokens"] == usage["prompt_tokens"] + 6


def test_a_stream_brings_the_same_text_word_by_word_with_usage() -> None:
    body = _chat("What is served on Mondays?", stream_options={"include_usage": True})
    stream = LocalWire().open(_request("/v1/chat/completions", body, stream=True))
    assert not isinstance(stream, WireResponse)
    assert stream.headers["content-type"] == "text/event-stream"
    events = _events(list(stream))
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    assert deltas[0]["role"] == "assistant"
    words = [delta["content"] for delta in deltas[1:-1]]
    assert words == ["Soup", " is", " served", " on", " Mondays."]
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 6
    assert len({event["id"] for event in events}) == 1


def test_usage_is_not_streamed_unless_asked_for() -> None:
    stream = LocalWire().open(_request("/v1/chat/completions", _chat("When?"), stream=True))
    assert not isinstance(stream, WireResponse)
    assert all("usage" not in event for event in _events(list(stream)))


def test_a_closed_stream_ends() -> None:
    stream = LocalWire().open(_request("/v1/chat/completions", _chat("Soup?"), stream=True))
    assert not isinstance(stream, WireResponse)
    next(stream)
    stream.keep_alive()
    stream.close()
    stream.close()
    assert list(stream) == []


@pytest.mark.anyio
async def test_the_async_wire_answers_the_same() -> None:
    wire = AsyncLocalWire()
    request = _request("/v1/chat/completions", _chat("What is served on Mondays?"))
    whole = json.loads((await wire.send(request)).content)
    stream = await wire.open(request)
    assert not isinstance(stream, WireResponse)
    events = _events([chunk async for chunk in stream])
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert text == whole["choices"][0]["message"]["content"] == "Soup is served on Mondays."
    await stream.drain()
    await stream.aclose()
    assert [chunk async for chunk in stream] == []
    await wire.aclose()


@pytest.mark.anyio
async def test_embedding_does_not_block_the_event_loop() -> None:
    wire = AsyncLocalWire()
    texts = ["a long text about many things " * 40] * 8
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    answers = await asyncio.gather(
        *(wire.send(_request("/embed", {"inputs": texts})) for _ in range(2))
    )
    ticking.cancel()
    assert [len(json.loads(answer.content)) for answer in answers] == [8, 8]
    assert ticks >= 3


def test_opening_what_is_no_chat_gives_a_whole_answer() -> None:
    answer = LocalWire().open(_request("/embed", {"inputs": "a"}, stream=True))
    assert isinstance(answer, WireResponse)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"n": 2}, "n"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "data:,"}}],
                    }
                ]
            },
            "messages",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_quoting_cannot_do_is_refused_by_name(
    fields: dict[str, Any], param: str, stream: bool
) -> None:
    wire = LocalWire()
    request = _request("/v1/chat/completions", _chat("Hm?", **fields), stream=stream)
    with pytest.raises(UnsupportedFeatureError, match="cannot") as caught:
        wire.open(request) if stream else wire.send(request)
    assert caught.value.param == param
    assert caught.value.status_code == 400
    assert "HF_TOKEN" in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [], "tool_choice": "none", "n": 1, "logprobs": False},
        {"response_format": {"type": "text"}, "temperature": 0.3, "seed": 1, "top_p": 0.5},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Soup?"}]}]},
    ],
)
def test_what_changes_nothing_is_accepted(fields: dict[str, Any]) -> None:
    assert _send("/v1/chat/completions", _chat("Soup?", **fields))["choices"]


def test_limits_and_stops_are_kept() -> None:
    question = "What is served on Mondays?"
    cut = _send("/v1/chat/completions", _chat(question, max_tokens=2))["choices"][0]
    assert (cut["message"]["content"], cut["finish_reason"]) == ("Soup is", "length")
    stopped = _send("/v1/chat/completions", _chat(question, stop=[" on"]))["choices"][0]
    assert (stopped["message"]["content"], stopped["finish_reason"]) == ("Soup is served", "stop")


@pytest.mark.parametrize(
    "body", [None, [], {}, {"messages": []}, {"messages": ["x"]}, {"messages": [{"role": 1}]}]
)
def test_malformed_chat_requests_are_refused(body: Any) -> None:
    with pytest.raises(BadRequestError):
        _send("/v1/chat/completions", body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", _chat("?", model="openai/gpt-oss-120b")),
        ("/v1/embeddings", {"model": "BAAI/bge-m3", "input": "a"}),
        ("/hf-inference/models/BAAI/bge-m3/pipeline/feature-extraction", {"inputs": "a"}),
    ],
)
def test_another_model_is_never_passed_off_as_the_one_asked_for(path: str, body: Any) -> None:
    with pytest.raises(ModelNotFoundError, match=r"has no model .* it has local/"):
        _send(path, body)


def test_feature_extraction_gives_rows() -> None:
    path = "/hf-inference/models/sentence-transformers/all-MiniLM-L6-v2/pipeline/feature-extraction"
    rows = _send(path, {"inputs": ["a cat", "a feline", "the stock market"]})
    vectors = np.array(rows)
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    assert np.allclose(_send("/embed", {"inputs": "a cat"}), vectors[:1], atol=1e-6)


def test_the_openai_shape_in_both_encodings() -> None:
    body = {"model": "local/all-MiniLM-L6-v2", "input": ["a cat", "a dog"]}
    plain = _send("/v1/embeddings", body)
    assert [item["index"] for item in plain["data"]] == [0, 1]
    assert plain["model"] == "local/all-MiniLM-L6-v2"
    assert plain["usage"] == {"prompt_tokens": 8, "total_tokens": 8}
    packed = _send("/v1/embeddings", body | {"encoding_format": "base64"})
    for one, other in zip(plain["data"], packed["data"], strict=True):
        decoded = np.frombuffer(base64.b64decode(other["embedding"]), "<f4")
        assert np.allclose(decoded, one["embedding"], atol=1e-7)


def test_embedding_options() -> None:
    def row(**options: Any) -> np.ndarray:
        return np.array(_send("/embed", {"inputs": "a cat"} | options)[0])

    full = row()
    short = row(dimensions=10)
    assert np.allclose(short, full[:10] / np.linalg.norm(full[:10]), atol=1e-6)
    raw = row(normalize=False)
    assert np.linalg.norm(raw) > 1.5
    assert np.allclose(row(normalize=False, dimensions=10), raw[:10], atol=1e-6)
    numbers = " ".join(map(str, range(400)))
    right = _send("/embed", {"inputs": numbers})
    left = _send("/embed", {"inputs": numbers, "truncation_direction": "Left"})
    assert not np.allclose(right, left, atol=1e-2)
    with pytest.raises(ContextLengthError):
        _send("/embed", {"inputs": numbers, "truncate": False})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": [1, 2]},
        {"inputs": "a", "dimensions": 0},
        {"inputs": "a", "dimensions": 385},
        {"inputs": "a", "prompt_name": "query"},
    ],
)
def test_malformed_embedding_requests_are_refused(body: Any) -> None:
    with pytest.raises(BadRequestError):
        _send("/embed", body)


def test_the_model_list_has_the_routers_shape() -> None:
    listed = _send("/v1/models", method="GET")
    names = [entry["id"] for entry in listed["data"]]
    assert names == ["local/extractive-reader", "local/all-MiniLM-L6-v2"]
    one = _send("/v1/models/local/extractive-reader", method="GET")
    assert one == listed["data"][0]
    assert one["providers"][0]["supports_tools"] is False
    with pytest.raises(ModelNotFoundError):
        _send("/v1/models/local/other", method="GET")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/whoami-v2"),
        ("POST", "/v1/responses"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/hf-inference/models/a/b"),
        ("GET", "/api/models?search=x"),
        ("GET", "/v1/models/openai/gpt-oss-20b"),
    ],
)
def test_everything_else_is_refused(method: str, path: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match="Local mode cannot do this"):
        _send(path, {"inputs": "a"}, method=method)


def test_words_alone_do_when_meaning_is_switched_off() -> None:
    wire = LocalWire(LocalModels(semantic=False))
    answer = _send("/v1/chat/completions", _chat("What is served on Mondays?"), wire)
    assert answer["choices"][0]["message"]["content"] == "Soup is served on Mondays."
