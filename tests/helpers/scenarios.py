"""The calls that are recorded on cassettes: one function each, for both clients.

A scenario gets a client and a :class:`Target` and returns a result, or an awaitable of one.
Its check says what must hold whatever model answered; ``EXACT`` what the taught model said.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from shared_core import BadRequestError, ChatCompletion, RouterError
from tests.helpers.cassettes import REPLAY_URL

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
TEXTS = ["The dome opens at dusk.", "Lunch is served at noon.", "When can I see the stars?"]


@dataclass(frozen=True)
class Target:
    """Which server, and what its models are called.

    Attributes:
        name: Folder of the cassettes.
        chat_url: Base URL of chat.
        embed_url: Base URL of embeddings.
        chat_model: Chat model that can call tools.
        embedding_model: Embedding model.
    """

    name: str
    chat_url: str
    embed_url: str
    chat_model: str
    embedding_model: str


LLAMA = Target("llama", f"{REPLAY_URL}/v1", f"{REPLAY_URL}/v1", "taught", "minilm")
ROUTER = Target(
    "router",
    "https://router.huggingface.co/v1",
    "https://router.huggingface.co/v1",
    "openai/gpt-oss-20b",
    "sentence-transformers/all-MiniLM-L6-v2",
)


@dataclass(frozen=True)
class Scenario:
    """One call, and what must hold for its result.

    Attributes:
        kind: ``"chat"`` or ``"embed"``: which of the servers.
        call: Makes the call.
        check: Asserts on the result, for any model.
    """

    kind: str
    call: Callable[[Any, Target], Any]
    check: Callable[[Any], None]


async def settle(value: Any) -> Any:
    """Return the result of a scenario's call, whether it is awaitable or not."""
    return await value if inspect.isawaitable(value) else value


def _ask(client: Any, target: Target, prompt: str, **options: Any) -> Any:
    return client.chat.create(prompt, model=target.chat_model, temperature=0, **options)


def _stream(client: Any, target: Target, prompt: str, **options: Any) -> Any:
    options |= {"model": target.chat_model, "temperature": 0, "include_usage": True}
    opened = client.chat.stream(prompt, **options)
    return _read_async(opened) if inspect.isawaitable(opened) else _read(opened)


def _read(stream: Any) -> ChatCompletion:
    with stream:
        pieces = [chunk.text for chunk in stream]
        return _same_text(stream.result(), pieces)


async def _read_async(opening: Awaitable[Any]) -> ChatCompletion:
    async with await opening as stream:
        pieces = [chunk.text async for chunk in stream]
        return _same_text(await stream.result(), pieces)


def _same_text(result: ChatCompletion, pieces: list[str]) -> ChatCompletion:
    assert "".join(pieces) == result.text
    return result


def _refused(client: Any, target: Target) -> Any:
    made = lambda: client.chat.create(  # noqa: E731 - made twice, in two colours
        "Hello", model=target.chat_model, extra_body={"response_format": {"type": "nonsense"}}
    )
    return _error_async(made) if _is_async(client) else _error(made)


def _error(call: Callable[[], Any]) -> RouterError:
    try:
        result = call()
    except RouterError as error:
        return error
    raise AssertionError(f"no error but {result!r}")


async def _error_async(call: Callable[[], Awaitable[Any]]) -> RouterError:
    try:
        result = await call()
    except RouterError as error:
        return error
    raise AssertionError(f"no error but {result!r}")


def _is_async(client: Any) -> bool:
    return hasattr(client, "aclose")


def _said(result: ChatCompletion) -> None:
    assert result.text
    assert result.finish_reason == "stop"
    assert result.usage is not None
    assert result.usage.total_tokens > result.usage.completion_tokens > 0
    assert result.model


def _called_weather(result: ChatCompletion) -> None:
    (call,) = result.tool_calls
    assert (call.name, call.parse()) == ("get_weather", {"city": "Paris"})
    assert call.id
    assert result.finish_reason == "tool_calls"


def _three_vectors(result: Any) -> None:
    assert result.vectors.shape[0] == len(TEXTS)
    dome, lunch, stars = result.vectors
    assert float(dome @ stars) > float(lunch @ stars)


def _bad_request(error: RouterError) -> None:
    assert isinstance(error, BadRequestError)
    assert error.server_message


PROMPT = "What is the capital of France?"
WEATHER_PROMPT = "What is the weather in Paris?"

SCENARIOS: dict[str, Scenario] = {
    "chat": Scenario("chat", lambda c, t: _ask(c, t, PROMPT), _said),
    "chat_unicode": Scenario("chat", lambda c, t: _ask(c, t, "Write unicode."), _said),
    "chat_tools": Scenario(
        "chat", lambda c, t: _ask(c, t, WEATHER_PROMPT, tools=[WEATHER]), _called_weather
    ),
    "stream": Scenario("chat", lambda c, t: _stream(c, t, PROMPT), _said),
    "stream_unicode": Scenario("chat", lambda c, t: _stream(c, t, "Write unicode."), _said),
    "stream_tools": Scenario(
        "chat", lambda c, t: _stream(c, t, WEATHER_PROMPT, tools=[WEATHER]), _called_weather
    ),
    "stream_reasoning": Scenario("chat", lambda c, t: _stream(c, t, "Think: is 7 prime?"), _said),
    "chat_refused": Scenario("chat", _refused, _bad_request),
    "embeddings": Scenario(
        "embed",
        lambda c, t: c.embeddings.create(TEXTS, model=t.embedding_model),
        _three_vectors,
    ),
    "embeddings_batches": Scenario(
        "embed",
        lambda c, t: c.embeddings.create(TEXTS, model=t.embedding_model, batch_size=2),
        _three_vectors,
    ),
}

UNICODE = "Grüße! 你好，世界 🌍🚀 — naïve café, Ελληνικά, 日本語, emoji: 👩‍👩‍👧‍👦."  # noqa: RUF001
#: What the taught model said, word for word.
EXACT = {
    "chat": "The capital of France is Paris.",
    "stream": "The capital of France is Paris.",
    "chat_unicode": UNICODE,
    "stream_unicode": UNICODE,
    "stream_reasoning": "Yes, 7 is prime.",
}
