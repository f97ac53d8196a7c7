"""Tools that are bound: what is sent of them, and what becomes of calls."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from langchain_core.runnables import RunnableBinding, RunnableLambda
from langchain_core.tools import BaseTool, InjectedToolArg, tool
from pydantic import BaseModel
from pydantic.v1 import BaseModel as LegacyModel
from typing_extensions import TypedDict

from langchain_hfrouter import ChatHFRouter
from tests.helpers.fault_server import FaultServer
from tests.langchain.script import TOOL, model_of, serving, whole
from tests.langchain.stub_server import StubServer


def sent(server: FaultServer) -> dict[str, Any]:
    return server.requests[-1].json()


@pytest.mark.rule("no-tools-send-no-tools")
def test_no_tools_send_no_tools() -> None:
    """Every peer sends ``tools: []`` here and gets a 422."""
    with serving(whole()) as server:
        bound = model_of(server).bind_tools([], tool_choice="any", parallel_tool_calls=True)
        assert isinstance(bound, RunnableBinding)
        bound.invoke("Hi")
        model_of(server).invoke("Hi", tools=[], tool_choice="auto")
        assert all(set(r.json()) == {"model", "messages"} for r in server.requests)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Add(BaseModel):
    """Add two numbers."""

    a: int
    b: int


NAMED = {"type": "function", "function": {"name": "add"}}


@pytest.mark.rule("tool-choice")
@pytest.mark.parametrize(
    ("choice", "asked"),
    [
        ("any", "required"),
        ("required", "required"),
        ("auto", "auto"),
        ("none", "none"),
        ("add", NAMED),
        (True, NAMED),
        (NAMED, NAMED),
        ({"function": {"name": "add"}}, NAMED),
        ({"type": "tool", "name": "add"}, NAMED),
        ({"type": "any"}, "required"),
        (None, None),
        (False, None),
    ],
)
def test_tool_choice(choice: Any, asked: Any) -> None:
    """Pain 8: the semantics of OpenAI."""
    with serving(whole()) as server:
        model_of(server).bind_tools([add], tool_choice=choice).invoke("Hi")
        assert sent(server).get("tool_choice") == asked


@pytest.mark.rule("tool-choice")
def test_true_with_several_tools_means_any() -> None:
    with serving(whole()) as server:
        model_of(server).bind_tools([add, Add], tool_choice=True).invoke("Hi")
        assert sent(server)["tool_choice"] == "required"


@pytest.mark.rule("tool-choice")
def test_a_choice_of_an_unknown_tool_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'add'"):
        ChatHFRouter(model="a/b").bind_tools([add], tool_choice="addd")


@pytest.mark.rule("tools-of-every-kind")
@pytest.mark.parametrize("kind", [add, tool(add), Add, TOOL, TOOL["function"]])
def test_tools_of_every_kind(kind: Any) -> None:
    with serving(whole()) as server:
        model_of(server).bind_tools([kind]).invoke("Hi")
        (described,) = sent(server)["tools"]
    assert described["type"] == "function"
    assert described["function"]["name"].lower() == "add"
    assert set(described["function"]["parameters"]["properties"]) == {"a", "b"}


def test_tools_passed_to_a_call_are_converted() -> None:
    with serving(whole()) as server:
        model_of(server).invoke("Hi", tools=[add], tool_choice="any")
        assert sent(server)["tools"][0]["function"]["name"] == "add"
        assert sent(server)["tool_choice"] == "required"


@pytest.mark.rule("strict-and-parallel")
def test_strict_and_parallel_calls_are_passed_on() -> None:
    with serving(whole()) as server:
        bound = model_of(server).bind_tools([Add], strict=True, parallel_tool_calls=False)
        bound.invoke("Hi")
        body = sent(server)
    assert body["parallel_tool_calls"] is False
    assert body["tools"][0]["function"]["strict"] is True


@pytest.mark.rule("no-tools-send-no-tools")
def test_a_response_format_passes_through_bind_tools() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    with serving(whole()) as server:
        model_of(server).bind_tools([], response_format=form).invoke("Hi")
        assert sent(server)["response_format"] == form
        model_of(server).bind_tools([add], response_format=Add).invoke("Hi")
        assert sent(server)["response_format"]["json_schema"]["name"] == "Add"


def wire_call(arguments: str, id: str = "1") -> dict[str, Any]:
    function = {"name": "add", "arguments": arguments}
    return {"id": id, "type": "function", "function": function}


@pytest.mark.rule("parallel-calls", "broken-calls-are-invalid")
def test_parallel_calls_and_broken_ones() -> None:
    calls = [wire_call('{"a": "1\n"}'), wire_call("", "2"), wire_call('{"a":', "3")]
    calls.append(wire_call("[1]", "4"))
    with serving(whole(None, finish="tool_calls", tool_calls=calls)) as server:
        message = model_of(server).bind_tools([add]).invoke("Hi")
    assert [(c["id"], c["args"]) for c in message.tool_calls] == [("1", {"a": "1\n"}), ("2", {})]
    assert [(c["id"], c["args"]) for c in message.invalid_tool_calls] == [
        ("3", '{"a":'),
        ("4", "[1]"),
    ]
    assert all(c["error"] for c in message.invalid_tool_calls)


class Legacy(LegacyModel):
    """Add two numbers."""

    a: int
    b: int


class Typed(TypedDict):
    """Add two numbers."""

    a: Annotated[int, ..., "the first"]
    b: int


class Adding(BaseTool):
    name: str = "adding"
    description: str = "Add two numbers."

    def _run(self, a: int, b: int) -> int:
        return a + b


@tool
def added_for(a: int, b: int, user: Annotated[str, InjectedToolArg]) -> int:
    """Add two numbers for somebody whom the model does not know."""
    return a + b


NUMBERS = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}


@pytest.mark.rule("tools-of-every-kind")
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: Legacy,
        lambda: Typed,
        lambda: Adding(),
        lambda: added_for,
        lambda: RunnableLambda(lambda given: given["a"]).as_tool(
            name="runnable", description="Add.", arg_types={"a": int, "b": int}
        ),
        lambda: {"name": "claude", "description": "Add.", "input_schema": NUMBERS},
        lambda: {"title": "schema", "description": "Add.", **NUMBERS},
    ],
)
def test_tools_of_rarer_kinds(make: Any, stub: StubServer) -> None:
    model = ChatHFRouter(model="a/b", base_url=stub.base_url, api_key="t")
    answer = model.bind_tools([make()], tool_choice="any").invoke("Add 3")
    (described,) = stub.last["tools"]
    assert set(described["function"]["parameters"]["properties"]) == {"a", "b"}
    assert [call["args"] for call in answer.tool_calls] == [{"a": 3, "b": 1}]


@pytest.mark.rule("bind-tools-binds")
def test_binding_leaves_the_model_as_it_was() -> None:
    with serving(whole()) as server:
        model = model_of(server)
        tools = [TOOL]
        bound = model.bind_tools(tools, tool_choice="any")
        assert isinstance(bound, RunnableBinding)
        model.invoke("Hi")
        assert set(sent(server)) == {"model", "messages"}
        assert tools == [TOOL]
