"""The Responses API of a real server: llama.cpp with the taught model; agents included."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from pydantic import BaseModel

from langchain_hfrouter import ChatHFRouter
from tests.helpers.scenarios import ROUTER
from tests.langchain.responses_server import ResponsesStub, model_of
from tests.langchain.script import added
from tests.langchain.test_frameworks import TIME, WEATHER

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]

HELLO = "Hello! How can I help you today?"


@pytest.fixture(params=["v0", "v1"])
def chat(llama_chat_url: str, request: pytest.FixtureRequest) -> ChatHFRouter:
    return ChatHFRouter(
        model="taught",
        base_url=f"{llama_chat_url}/v1",
        api_key="t",
        temperature=0,
        max_tokens=200,
        use_responses_api=True,
        output_version=request.param,
    )


async def ways(model: Any, question: Any) -> list[AIMessage]:
    """The answer in every way that there is to get it."""
    return [
        model.invoke(question),
        await model.ainvoke(question),
        added(list(model.stream(question))),
        added([chunk async for chunk in model.astream(question)]),
        model.stream_events(question, version="v3").output,
    ]


@pytest.mark.rule("responses-real-server")
async def test_text_with_system_text_and_history(chat: ChatHFRouter) -> None:
    history = [
        ("system", "You are a helpful assistant."),
        ("user", "Say hello."),
        ("assistant", HELLO),
        ("user", "Say hello."),
    ]
    for answer in await ways(chat, history):
        assert answer.text == HELLO
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_tokens"] == 10
        assert answer.response_metadata["model_name"] == "taught"
        assert answer.response_metadata["finish_reason"] == "stop"


@pytest.mark.rule("responses-real-server")
async def test_reasoning(chat: ChatHFRouter) -> None:
    for answer in await ways(chat, "Think: is 7 prime?"):
        kinds = [block["type"] for block in answer.content_blocks]
        assert kinds == ["reasoning", "text"]
        assert answer.text.strip() == "Yes, 7 is prime."


@pytest.mark.rule("responses-real-server")
async def test_one_call_and_parallel_calls(chat: ChatHFRouter) -> None:
    place = {"city": "Paris"}
    questions = {
        "What is the weather in Paris?": ([WEATHER], [("get_weather", place)]),
        "Weather and time in Paris?": (
            [WEATHER, TIME],
            [("get_weather", place), ("get_time", place)],
        ),
    }
    for question, (tools, expected) in questions.items():
        for answer in await ways(chat.bind_tools(tools), question):
            assert [(call["name"], call["args"]) for call in answer.tool_calls] == expected
            assert all(call["id"] for call in answer.tool_calls)
            blocks = [block for block in answer.content_blocks if block["type"] == "tool_call"]
            assert [(block["name"], block["args"]) for block in blocks] == expected


@pytest.mark.rule("responses-real-server")
async def test_the_turn_after_tool_results(chat: ChatHFRouter) -> None:
    question = HumanMessage("Weather and time in Paris?")
    bound = chat.bind_tools([WEATHER, TIME])
    for answer in await ways(bound, [question]):
        weather, time = answer.tool_calls
        results = [
            ToolMessage('{"temp_c": 21}', tool_call_id=weather["id"]),
            ToolMessage("12:30", tool_call_id=time["id"]),
        ]
        last = bound.invoke([question, answer, *results])
        assert last.text == "It is 21 degrees and 12:30 in Paris."


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@pytest.mark.rule("responses-real-server")
def test_structured_output(chat: ChatHFRouter) -> None:
    asking = chat.with_structured_output(Person, method="json_schema")
    assert asking.invoke("Give me a JSON person.") == Person(name="Ada", age=36)
    assert list(asking.stream("Give me a JSON person."))[-1] == Person(name="Ada", age=36)


@pytest.mark.rule("responses-real-server")
def test_a_prompt_that_is_too_long(chat: ChatHFRouter) -> None:
    with pytest.raises(ContextOverflowError):
        chat.invoke("word " * 20_000)


@pytest.mark.rule("responses-agents")
async def test_an_agent_takes_two_steps(chat: ChatHFRouter) -> None:
    agent = create_agent(chat, tools=[WEATHER, TIME])
    question: Any = {"messages": [("user", "First the weather in Paris, then the time.")]}
    for state in (agent.invoke(question), await agent.ainvoke(question)):
        kinds = [message.type for message in state["messages"]]
        assert kinds == ["human", "ai", "tool", "ai", "tool", "ai"]
        assert state["messages"][-1].text == "It is 21 degrees in Paris, and it is 12:30 there."


@pytest.mark.rule("responses-agents")
async def test_an_agent_streams_its_messages(chat: ChatHFRouter) -> None:
    agent = create_agent(chat, tools=[WEATHER])
    question: Any = {"messages": [("user", "What is the weather in Paris?")]}
    pieces = [part async for part, _ in agent.astream(question, stream_mode="messages")]
    text = "".join(part.text for part in pieces if isinstance(part, AIMessageChunk))
    assert text.strip() == "It is 21 degrees in Paris."
    assert sum(isinstance(part, ToolMessage) for part in pieces) == 1
    assert len(pieces) > 5


@pytest.mark.rule("responses-agents")
@pytest.mark.parametrize("strategy", [ProviderStrategy, ToolStrategy])
def test_an_agent_answers_with_a_structure(strategy: Any) -> None:
    with ResponsesStub() as stub:
        agent = create_agent(model_of(stub), tools=[], response_format=strategy(Person))
        state = agent.invoke({"messages": [("user", "Make a person: 'Ada', 36")]})
        assert state["structured_response"] == Person(name="Ada", age=36)
        assert ("text" in stub.last) is (strategy is ProviderStrategy)


@pytest.mark.live
async def test_the_router_itself() -> None:
    model = ChatHFRouter(model=ROUTER.chat_model, max_tokens=400, use_responses_api=True)
    history = [("system", "Answer in one word."), ("user", "What is the capital of France?")]
    for answer in await ways(model, history):
        assert "Paris" in answer.text
        assert answer.usage_metadata is not None
        assert answer.response_metadata["status"] == "completed"
