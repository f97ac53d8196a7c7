"""Agents: two tool steps, parallel tools, streaming on and off, real server and strict stub."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentStream,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, JsonPickleSerializer, JsonSerializer
from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticSerializationError

from llama_index_hfrouter import HFRouter
from shared_core import ToolArgumentsError
from tests.llama_index.stub_server import StubRouter, call, say
from tests.llama_index.test_messages import PNG

pytestmark = [
    pytest.mark.anyio,
    # The workflow engine looks at every attribute of an agent, also at deprecated ones.
    pytest.mark.filterwarnings("ignore:The `__fields(_set)?__` attribute is deprecated"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_(computed_)?fields' attribute"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step"),
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset"),
]


def without_titles(schema: dict[str, Any]) -> None:
    schema.pop("title", None)
    for field in schema["properties"].values():
        field.pop("title", None)


class City(BaseModel):
    model_config = ConfigDict(json_schema_extra=without_titles)

    city: str


def get_weather(city: str) -> str:
    assert city == "Paris"
    return '{"temp_c": 21}'


def get_time(city: str) -> str:
    assert city == "Paris"
    return "12:30"


# The taught model knows the tools by exactly these words.
WEATHER = FunctionTool.from_defaults(
    get_weather, name="get_weather", description="Current weather of a city", fn_schema=City
)
TIME = FunctionTool.from_defaults(
    get_time, name="get_time", description="Local time of a city", fn_schema=City
)


@pytest.fixture(scope="session")
def taught(llama_chat_url: str) -> HFRouter:
    return HFRouter("taught", base_url=f"{llama_chat_url}/v1", temperature=0, max_tokens=128)


async def run(agent: Any, text: str, **options: Any) -> tuple[str, list[Any]]:
    handler = agent.run(user_msg=text, **options)
    events = [event async for event in handler.stream_events()]
    return str(await handler), events


@pytest.mark.rule("function-agent")
@pytest.mark.parametrize("streaming", [True, False])
async def test_function_agent_calls_a_tool_on_the_real_server(
    streaming: bool, taught: HFRouter
) -> None:
    agent = FunctionAgent(tools=[WEATHER, TIME], llm=taught, streaming=streaming)
    answer, events = await run(agent, "What is the weather in Paris?")
    assert answer == "It is 21 degrees in Paris."
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert [(r.tool_name, r.tool_kwargs) for r in results] == [("get_weather", {"city": "Paris"})]
    deltas = "".join(event.delta for event in events if isinstance(event, AgentStream))
    assert deltas == ("It is 21 degrees in Paris." if streaming else "")


@pytest.mark.rule("parallel-tools")
@pytest.mark.parametrize("streaming", [True, False])
async def test_function_agent_calls_two_tools_at_once_on_the_real_server(
    streaming: bool, taught: HFRouter
) -> None:
    agent = FunctionAgent(tools=[WEATHER, TIME], llm=taught, streaming=streaming)
    answer, events = await run(agent, "Weather and time in Paris?")
    assert answer == "It is 21 degrees and 12:30 in Paris."
    called = [event.tool_name for event in events if isinstance(event, ToolCallResult)]
    assert sorted(called) == ["get_time", "get_weather"]


@pytest.mark.rule("two-tool-steps")
@pytest.mark.parametrize("streaming", [True, False])
async def test_function_agent_takes_two_tool_steps_on_the_real_server(
    streaming: bool, taught: HFRouter
) -> None:
    agent = FunctionAgent(tools=[WEATHER, TIME], llm=taught, streaming=streaming)
    answer, events = await run(agent, "First the weather in Paris, then the time.")
    assert answer == "It is 21 degrees in Paris, and it is 12:30 there."
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert [result.tool_name for result in results] == ["get_weather", "get_time"]


@pytest.mark.rule("agent-workflow")
@pytest.mark.parametrize("streaming", [True, False])
async def test_agent_workflow_on_the_real_server(streaming: bool, taught: HFRouter) -> None:
    agent = FunctionAgent(name="a", tools=[WEATHER, TIME], llm=taught, streaming=streaming)
    workflow = AgentWorkflow(agents=[agent], root_agent="a")
    answer, _ = await run(workflow, "What is the weather in Paris?")
    assert answer == "It is 21 degrees in Paris."


# --- two steps and more, against the stub -----------------------------------------------


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def times(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


TWO_STEPS = (
    call(("add", {"a": 2, "b": 3}), text="First I add."),
    call(("times", {"a": 5, "b": 4})),
    say("The result is 20."),
)


@pytest.fixture
def llm(stub: StubRouter) -> HFRouter:
    stub.chat(*TWO_STEPS)
    return HFRouter("org/model", base_url=stub.base_url)


@pytest.mark.rule("two-tool-steps", "agent-events-json")
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("kind", ["agent", "workflow"])
async def test_two_tool_steps(kind: str, streaming: bool, llm: HFRouter, stub: StubRouter) -> None:
    agent: Any = FunctionAgent(
        name="a", tools=[add, times], llm=llm, streaming=streaming, system_prompt="Calculate."
    )
    if kind == "workflow":
        agent = AgentWorkflow(agents=[agent])
    answer, events = await run(agent, "(2 + 3) * 4?")
    assert answer == "The result is 20."
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert [r.tool_output.content for r in results] == ["5", "20"]
    roles = [message["role"] for message in stub.last["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert stub.last["messages"][2]["content"] == "First I add."
    assert len(stub.bodies) == 3
    for event in events:
        json.loads(event.model_dump_json())


@pytest.mark.rule("agent-workflow")
@pytest.mark.parametrize("streaming", [True, False])
async def test_workflow_from_tools_and_hand_off(streaming: bool, stub: StubRouter) -> None:
    stub.chat(
        call(("handoff", {"to_agent": "b", "reason": "maths"})),
        call(("add", {"a": 2, "b": 3})),
        say("Five."),
    )
    llm = HFRouter("org/model", base_url=stub.base_url)
    first = FunctionAgent(
        name="a", description="talks", llm=llm, streaming=streaming, can_handoff_to=["b"]
    )
    second = FunctionAgent(name="b", description="adds", tools=[add], llm=llm, streaming=streaming)
    answer, events = await run(AgentWorkflow(agents=[first, second], root_agent="a"), "2 + 3?")
    assert answer == "Five."
    assert {event.current_agent_name for event in events if hasattr(event, "current_agent_name")}


@pytest.mark.rule("initial-tool-choice")
async def test_initial_tool_choice_and_no_parallel_calls(stub: StubRouter) -> None:
    stub.chat(
        call(("add", {"a": 2, "b": 3}), ("times", {"a": 1, "b": 1})),
        say("Five."),
    )
    llm = HFRouter("org/model", base_url=stub.base_url)
    agent = FunctionAgent(
        tools=[add, times], llm=llm, initial_tool_choice="add", allow_parallel_tool_calls=False
    )
    answer, events = await run(agent, "2 + 3?")
    assert answer == "Five."
    called = [event.tool_name for event in events if isinstance(event, ToolCallResult)]
    assert called == ["add"]
    assert stub.bodies[0]["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert "tool_choice" not in stub.bodies[1]


@pytest.mark.rule("agent-thinking")
async def test_reasoning_reaches_the_agents_stream(stub: StubRouter) -> None:
    stub.chat(say("Four.", reasoning=["two and ", "two"]))
    agent = FunctionAgent(tools=[add], llm=HFRouter("org/model", base_url=stub.base_url))
    _, events = await run(agent, "2 + 2?")
    streams = [event for event in events if isinstance(event, AgentStream)]
    assert "".join(event.thinking_delta or "" for event in streams) == "two and two"
    assert streams[-1].raw["usage"]["total_tokens"] == 18


@pytest.mark.rule("agent-tool-image")
async def test_a_tool_that_returns_an_image(stub: StubRouter) -> None:
    def plot() -> Any:
        """Plot."""
        return [TextBlock(text="Here."), ImageBlock(image=PNG)]

    stub.chat(call(("plot", {})), say("A dot."))
    agent = FunctionAgent(tools=[plot], llm=HFRouter("org/model", base_url=stub.base_url))
    answer, _ = await run(agent, "Plot.")
    assert answer == "A dot."
    tool, media = stub.last["messages"][-2:]
    assert (tool["role"], tool["content"]) == ("tool", "Here.")
    assert media["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")


@pytest.mark.rule("failing-tools")
async def test_a_failing_tool_is_told_to_the_model(stub: StubRouter) -> None:
    def broken(x: int) -> int:
        """Break."""
        raise ValueError(f"no {x}")

    stub.chat(call(("broken", {"x": 1})), say("It failed."))
    agent = FunctionAgent(tools=[broken], llm=HFRouter("org/model", base_url=stub.base_url))
    answer, _ = await run(agent, "Try.")
    assert answer == "It failed."
    assert "no 1" in stub.last["messages"][-1]["content"]


TORN = [
    ('{"path": "/home/us', "length", "cut off"),
    ("", "length", "cut off"),
    ('{"path": "/home/us', "tool_calls", "not a JSON object"),
    ("delete everything", "stop", "not a JSON object"),
]


@pytest.mark.rule("cut-calls-run-nothing")
@pytest.mark.parametrize(("arguments", "finish", "words"), TORN)
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("kind", ["agent", "workflow", "program"])
async def test_a_torn_call_runs_no_tool(
    kind: str, streaming: bool, arguments: str, finish: str, words: str, stub: StubRouter
) -> None:
    ran: list[str] = []

    def delete(path: str = "/") -> str:
        """Delete a file."""
        ran.append(path)
        return "deleted"

    torn = {"id": "c", "type": "function", "function": {"name": "delete", "arguments": arguments}}
    stub.chat(say("I delete.", calls=[torn], finish=finish))
    llm = HFRouter("org/model", base_url=stub.base_url)
    agent: Any = FunctionAgent(name="a", tools=[delete], llm=llm, streaming=streaming)
    with pytest.raises(ToolArgumentsError, match=words) as caught:
        if kind == "program":
            await llm.apredict_and_call([FunctionTool.from_defaults(delete)], user_msg="Delete it.")
        else:
            await run(agent if kind == "agent" else AgentWorkflow(agents=[agent]), "Delete it.")
    assert ran == []
    assert len(stub.bodies) == 1
    assert caught.value.tool == "delete"
    assert caught.value.text == arguments or (caught.value.text, arguments) == ("{}", "")


REACT = (
    say('Thought: I add.\nAction: add\nAction Input: {"a": 2, "b": 3}\n'),
    say('Thought: I multiply.\nAction: times\nAction Input: {"a": 5, "b": 4}\n'),
    say("Thought: I can answer without using any more tools.\nAnswer: The result is 20."),
)


@pytest.mark.rule("react-agent")
@pytest.mark.parametrize("streaming", [True, False])
async def test_react_agent_with_two_steps(streaming: bool, stub: StubRouter) -> None:
    stub.chat(*REACT)
    llm = HFRouter("org/model", base_url=stub.base_url)
    agent = ReActAgent(tools=[add, times], llm=llm, streaming=streaming)
    answer, events = await run(agent, "(2 + 3) * 4?")
    assert answer == "The result is 20."
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert [r.tool_output.content for r in results] == ["5", "20"]
    assert not [body for body in stub.bodies if "tools" in body]


MEMORY = (say("Hello Ada."), say("You are Ada."))
REMEMBERED = ["I am Ada.", "Hello Ada.", "Who am I?"]


@pytest.mark.rule("context-window-default", "agent-memory", "memory-and-pydantic")
async def test_agents_remember_with_a_memory_of_their_own(stub: StubRouter) -> None:
    stub.chat(*MEMORY)
    llm = HFRouter("org/model", base_url=stub.base_url)
    agent = FunctionAgent(tools=[add], llm=llm)
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    assert memory.token_limit == 24_576
    await run(agent, "I am Ada.", memory=memory)
    answer, _ = await run(agent, "Who am I?", memory=memory)
    assert answer == "You are Ada."
    assert [message["content"] for message in stub.last["messages"]] == REMEMBERED


# Core cannot write a memory as JSON with pydantic 2.14 (trap 2), and says so.
@pytest.mark.rule("agent-context", "memory-and-pydantic")
@pytest.mark.filterwarnings("ignore:Skipping serialization of known unserializable key")
@pytest.mark.parametrize("through_json", [False, True])
async def test_a_context_remembers_where_core_can_write_it(
    through_json: bool, stub: StubRouter
) -> None:
    stub.chat(*MEMORY)
    agent = FunctionAgent(tools=[add], llm=HFRouter("org/model", base_url=stub.base_url))
    context = Context(agent)
    await run(agent, "I am Ada.", ctx=context)
    if through_json:
        saved = json.loads(json.dumps(context.to_dict(serializer=JsonSerializer())))
        context = Context.from_dict(agent, saved, serializer=JsonSerializer())
    answer, _ = await run(agent, "Who am I?", ctx=context)
    assert answer == "You are Ada."
    said = [message["content"] for message in stub.last["messages"]]
    try:
        SimpleChatStore(store={"k": [ChatMessage(content="x")]}).model_dump()
    except PydanticSerializationError:
        assert said == REMEMBERED[-1:]
    else:
        assert said == REMEMBERED


@pytest.mark.rule("agent-context")
async def test_a_context_that_was_written_with_pickle_remembers(stub: StubRouter) -> None:
    stub.chat(*MEMORY)
    agent = FunctionAgent(tools=[add], llm=HFRouter("org/model", base_url=stub.base_url))
    context = Context(agent)
    await run(agent, "I am Ada.", ctx=context)
    saved = json.loads(json.dumps(context.to_dict(serializer=JsonPickleSerializer())))
    context = Context.from_dict(agent, saved, serializer=JsonPickleSerializer())
    answer, _ = await run(agent, "Who am I?", ctx=context)
    assert answer == "You are Ada."
    assert [message["content"] for message in stub.last["messages"]] == REMEMBERED


@pytest.mark.rule("agent-messages-json")
async def test_tool_messages_survive_json(stub: StubRouter) -> None:
    stub.chat(*TWO_STEPS)
    llm = HFRouter("org/model", base_url=stub.base_url)
    agent = FunctionAgent(tools=[add, times], llm=llm)
    handler = agent.run(user_msg="(2 + 3) * 4?")
    result = await handler
    message = result.response
    again = ChatMessage.model_validate_json(message.model_dump_json())
    assert again == message
    serializer = JsonSerializer()
    assert serializer.deserialize(serializer.serialize(message)) == message
