"""Chat on a real llama.cpp server: streamed and whole answers say the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pydantic
import pytest

from shared_core import AsyncRouterClient, ChatMessage, RouterClient, parse_structured
from shared_core.chat.types import ChatCompletion


def get_weather(city: str) -> str:
    """Current weather of a city"""
    return '{"temp_c": 21}'


def get_time(city: str) -> str:
    """Local time of a city"""
    return "12:30"


class Person(pydantic.BaseModel):
    name: str
    age: int


@pytest.fixture
def ask(llama_chat_url: str) -> Any:
    """Ask in four ways, which must agree; return the plain answer."""

    def ask(messages: Any, **params: Any) -> ChatCompletion:
        params = {"temperature": 0, "max_tokens": 400, "seed": 1, **params}
        url = f"{llama_chat_url}/v1"
        with RouterClient("taught", base_url=url) as client:
            plain = client.chat.create(messages, **params)
            streamed = client.chat.stream(messages, include_usage=True, **params).result()

        async def main() -> list[ChatCompletion]:
            async with AsyncRouterClient("taught", base_url=url) as client:
                first = await client.chat.create(messages, **params)
                stream = await client.chat.stream(messages, include_usage=True, **params)
                return [first, await stream.result()]

        for other in (streamed, *asyncio.run(main())):
            assert facts(other) == facts(plain)
            assert other.usage is not None and plain.usage is not None
            assert other.usage.completion_tokens == plain.usage.completion_tokens
        return plain

    return ask


def facts(completion: ChatCompletion) -> tuple[Any, ...]:
    calls = [(call.name, call.parse()) for call in completion.tool_calls]
    return completion.text, completion.reasoning, calls, completion.finish_reason


def test_words(ask: Any) -> None:
    answer = ask("What is the capital of France?")
    assert answer.text == "The capital of France is Paris."
    assert answer.finish_reason == "stop"


def test_multi_byte_text(ask: Any) -> None:
    text = ask("Write unicode.").text
    assert "\U0001f30d" in text and "\u4f60\u597d" in text


def test_reasoning(ask: Any) -> None:
    answer = ask("Think: is 7 prime?")
    assert answer.text == "Yes, 7 is prime."
    assert answer.reasoning


def test_cut_by_the_token_limit(ask: Any) -> None:
    answer = ask("Tell me a long story.", max_tokens=10)
    assert answer.finish_reason == "length"
    assert answer.usage.completion_tokens == 10


def test_parallel_tool_calls_and_the_answer_to_their_results(ask: Any) -> None:
    tools = [get_weather, get_time]
    question = ChatMessage("user", "Weather and time in Paris?")
    asked = ask([question], tools=tools)
    assert [(call.name, call.parse()) for call in asked.tool_calls] == [
        ("get_weather", {"city": "Paris"}),
        ("get_time", {"city": "Paris"}),
    ]
    results = [
        ChatMessage("tool", run("Paris"), tool_call_id=call.id)
        for run, call in zip(tools, asked.tool_calls, strict=True)
    ]
    final = ask([question, asked.message, *results], tools=tools)
    assert final.text == "It is 21 degrees and 12:30 in Paris."


def test_structured_answer(ask: Any) -> None:
    answer = ask("Give me a JSON person.", response_format=Person)
    assert parse_structured(answer, Person) == Person(name="Ada", age=36)


def test_log_probabilities(ask: Any) -> None:
    answer = ask("Say hello.", logprobs=True, top_logprobs=2)
    tokens = answer.choices[0].logprobs["content"]
    assert "".join(entry["token"] for entry in tokens).startswith("Hello!")
    assert all(len(entry["top_logprobs"]) == 2 for entry in tokens)


def test_a_stream_that_is_left_frees_the_server(llama_chat_url: str) -> None:
    with RouterClient("taught", base_url=f"{llama_chat_url}/v1", timeout=30) as client:
        for _ in range(6):  # more than the server has slots
            with client.chat.stream("Tell me a long story.", temperature=0) as stream:
                assert next(stream.text_deltas())
        assert client.chat.create("Say hello.", temperature=0).text.startswith("Hello!")
