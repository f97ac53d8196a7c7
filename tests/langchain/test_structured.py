"""``with_structured_output``: method x schema x raw x strict, and every way it can fail."""

from __future__ import annotations

import json
from typing import Any, Generic, TypedDict, TypeVar

import pytest
from langchain_core.exceptions import ModelError, OutputParserException
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as LegacyModel

from langchain_hfrouter import ChatHFRouter
from langchain_hfrouter._errors import RefusalError
from langchain_hfrouter._structured import StructuredParser, response_format
from shared_core import InvalidSettingError, StructuredOutputError
from tests.helpers.fault_server import FaultServer, Reply
from tests.langchain.script import added, call, event, model_of, serving, stream, whole
from tests.langchain.stub_server import StubServer

pytestmark = pytest.mark.anyio


class Person(BaseModel):
    """A person."""

    name: str = Field(description="full name")
    age: int


class LegacyPerson(LegacyModel):
    """A person."""

    name: str
    age: int


class PersonDict(TypedDict):
    """A person."""

    name: str
    age: int


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page."""

    item: T


SCHEMAS: dict[str, Any] = {
    "pydantic": Person,
    "pydantic.v1": LegacyPerson,
    "TypedDict": PersonDict,
    "JSON schema": Person.model_json_schema(),
    "JSON schema without title": {
        k: v for k, v in Person.model_json_schema().items() if k != "title"
    },
    "OpenAI function": {
        "name": "Person",
        "description": "A person.",
        "parameters": Person.model_json_schema(),
    },
}
METHODS = ["function_calling", "json_schema", "json_mode"]


def as_dict(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return value.dict() if isinstance(value, LegacyModel) else value


def kind_of(schema: Any) -> type:
    return schema if isinstance(schema, type) and schema is not PersonDict else dict


@pytest.mark.rule("methods", "pydantic-instances")
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("strict", [None, False, True])
async def test_every_combination(
    schema: str, method: Any, raw: bool, strict: bool | None, stub: StubServer
) -> None:
    """Trap 13, pain 1: pydantic classes, v1 too, in all methods."""
    if method == "json_mode" and strict:
        with pytest.raises(ValueError, match="strict"):
            ChatHFRouter(model="a/b").with_structured_output(Person, method=method, strict=True)
        return
    model = ChatHFRouter(model="a/b", base_url=stub.base_url, api_key="t")
    target = SCHEMAS[schema]
    chain = model.with_structured_output(target, method=method, include_raw=raw, strict=strict)
    prompt = "Make a person, 'name' and 'age'. 36" if method != "json_mode" else "x"
    if method == "json_mode":
        with serving(whole('{"name": "name", "age": 36}')) as server:
            chain = model_of(server).with_structured_output(
                target, method="json_mode", include_raw=raw, strict=strict
            )
            results = [chain.invoke(prompt), await chain.ainvoke(prompt)]
    else:
        results = [chain.invoke(prompt), await chain.ainvoke(prompt)]
        streamed = list(chain.stream(prompt))
        results.append(streamed[-1] if not raw else chain.invoke(prompt))
        results.append([part async for part in chain.astream(prompt)][-1])
        if raw:
            results.pop()
    for result in results:
        if raw:
            assert result["parsing_error"] is None
            assert result["raw"].response_metadata["model_name"] in ("a/b", "served/m")
            result = result["parsed"]
        assert isinstance(result, kind_of(target))
        assert as_dict(result) == {"name": "name", "age": 36}


def sent(server: FaultServer) -> dict[str, Any]:
    return server.requests[-1].json()


@pytest.mark.rule("real-json-schema")
def test_what_is_asked_for() -> None:
    with serving(whole('{"name": "Ada", "age": 36}')) as server:
        model = model_of(server)
        model.with_structured_output(Person, method="json_schema").invoke("x")
        form = sent(server)["response_format"]
        assert form["type"] == "json_schema"
        assert form["json_schema"]["name"] == "Person"
        assert form["json_schema"]["description"] == "A person."
        assert form["json_schema"]["schema"] == Person.model_json_schema()
        assert "strict" not in form["json_schema"]
        model.with_structured_output(Person, method="json_mode").invoke("x")
        assert sent(server)["response_format"] == {"type": "json_object"}
    calls = [{"id": "1", "type": "function", "function": {"name": "Person", "arguments": "{}"}}]
    with serving(whole(None, tool_calls=calls)) as server:
        chain = model_of(server).with_structured_output(
            {"title": "Person", "type": "object", "properties": {}}, method="function_calling"
        )
        assert chain.invoke("x") == {}
        named = {"type": "function", "function": {"name": "Person"}}
        assert sent(server)["tool_choice"] == named
        assert "parallel_tool_calls" not in sent(server)


@pytest.mark.rule("real-json-schema")
def test_strict_schemas_close_their_objects() -> None:
    form = response_format(Person, strict=True)["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["additionalProperties"] is False


@pytest.mark.rule("schema-names")
@pytest.mark.parametrize("title", ["Response[User]", "Grüße an alle", "a b/c", "x" * 100, "[]"])
def test_names_of_schemas_are_made_acceptable(title: str) -> None:
    """Trap 18."""
    name = response_format({"title": title, "type": "object", "properties": {}}, strict=None)
    import re

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name["json_schema"]["name"])


@pytest.mark.rule("schema-names")
@pytest.mark.parametrize("title", ["Response[User]", "Grüße an alle", "x" * 100])
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_any_title_can_be_asked_for(title: str, method: Any, stub: StubServer) -> None:
    model = ChatHFRouter(model="a/b", base_url=stub.base_url, api_key="t")
    schema = {"title": title, "type": "object", "properties": {"age": {"type": "integer"}}}
    chain = model.with_structured_output(schema, method=method)
    assert chain.invoke("Ada is 36") == {"age": 36}
    assert list(chain.stream("Ada is 36"))[-1] == {"age": 36}


@pytest.mark.rule("schema-names")
def test_a_generic_class_can_be_asked_for(stub: StubServer) -> None:
    model = ChatHFRouter(model="a/b", base_url=stub.base_url, api_key="t")
    for method in ("function_calling", "json_schema"):
        chain = model.with_structured_output(Page[int], method=method)  # type: ignore[arg-type]
        assert chain.invoke("36") == Page[int](item=36)


def test_recursive_models_keep_their_references() -> None:
    class Node(BaseModel):
        children: list[Node] = []

    Node.model_rebuild()
    assert "$defs" in response_format(Node, strict=None)["json_schema"]["schema"]


@pytest.mark.rule("default-method")
@pytest.mark.parametrize(
    ("profile", "key"),
    [
        ({"structured_output": True}, "response_format"),
        ({"structured_output": False, "tool_calling": True}, "tools"),
        (None, "tools"),
        ({"tool_calling": False}, "response_format"),
    ],
)
def test_the_profile_chooses_the_method(profile: Any, key: str, stub: StubServer) -> None:
    model = ChatHFRouter(model="a/b", base_url=stub.base_url, api_key="t", profile=profile)
    model.with_structured_output(Person, include_raw=True).invoke("x")
    assert key in stub.last


@pytest.mark.rule("default-method")
def test_the_model_can_have_a_method_of_its_own(stub: StubServer) -> None:
    model = ChatHFRouter(
        model="a/b",
        base_url=stub.base_url,
        api_key="t",
        structured_output_method="json_schema",
    )
    model.with_structured_output(Person).invoke("x")
    assert stub.last["response_format"]["type"] == "json_schema"


FENCED = '```json\n{"name": "Ada", "age": 36}\n```'
ADA = {"name": "Ada", "age": 36}


@pytest.mark.rule("fences")
@pytest.mark.parametrize(
    "text",
    [FENCED, f"\n{FENCED}\n", "```\n" + json.dumps(ADA) + "```", f"<think>a</think>{FENCED}"],
)
@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_one_fence_is_taken_off(text: str, method: Any) -> None:
    with serving(whole(text)) as server:
        chain = model_of(server).with_structured_output(Person, method=method)
        assert chain.invoke("x") == Person(**ADA)


def tool_reply(arguments: str, finish: str = "tool_calls", name: str = "Person") -> Reply:
    function = {"name": name, "arguments": arguments}
    calls = [{"id": "1", "type": "function", "function": function}]
    return whole(None, finish=finish, tool_calls=calls)


BROKEN: dict[str, tuple[str, Reply, str]] = {
    "prose": ("json_schema", whole("Sure! Here you are."), "not JSON"),
    "prose around a fence": ("json_mode", whole(f"Here: {FENCED}"), "not JSON"),
    "prose instead of a call": ("function_calling", whole("Sure!"), "prose instead of calling"),
    "another tool": ("function_calling", tool_reply("{}", name="Pet"), "called Pet instead"),
    "empty": ("json_schema", whole(""), "empty"),
    "wrong shape": ("json_schema", whole('{"name": 1}'), "not a valid Person"),
    "wrong arguments": ("function_calling", tool_reply('{"name": 1}'), "not a valid Person"),
    "broken arguments": ("function_calling", tool_reply('{"name": "A'), "not a JSON object"),
    "cut text": ("json_schema", whole('{"name": "A', finish="length"), "max_tokens"),
    "cut arguments": ("function_calling", tool_reply('{"name": "A', "length"), "max_tokens"),
}


@pytest.mark.rule("prose", "truncated")
@pytest.mark.parametrize("case", BROKEN)
async def test_failures_reach_the_parsing_error(case: str) -> None:
    """Trap 18."""
    method, reply, words = BROKEN[case]
    with serving(reply) as server:
        model = model_of(server)
        chain = model.with_structured_output(Person, method=method, include_raw=True)  # type: ignore[arg-type]
        for result in (chain.invoke("x"), await chain.ainvoke("x")):
            assert result["parsed"] is None
            assert words in str(result["parsing_error"])
            assert result["raw"] is not None
        plain = model.with_structured_output(Person, method=method)  # type: ignore[arg-type]
        with pytest.raises(OutputParserException, match=words) as caught:
            plain.invoke("x")
        assert isinstance(caught.value, StructuredOutputError)
        assert isinstance(caught.value, ValueError)


@pytest.mark.rule("structured-refusals")
@pytest.mark.parametrize("method", METHODS)
async def test_refusals_are_refusals(method: Any) -> None:
    with serving(whole(None, refusal="I won't.")) as server:
        model = model_of(server)
        with pytest.raises(RefusalError, match="I won't") as caught:
            model.with_structured_output(Person, method=method).invoke("x")
        assert isinstance(caught.value, ModelError)
        result = model.with_structured_output(Person, method=method, include_raw=True).invoke("x")
        assert isinstance(result["parsing_error"], RefusalError)


PIECES = ['{"na', 'me": "A', 'da", "ag', 'e": 36}']


def streamed(
    method: str, *, end: str = "stop", pieces: list[str] = PIECES, name: str = "Person"
) -> Reply:
    if method == "function_calling":
        events = [event(call(0, "1", name, ""))]
        events += [event(call(0, None, None, piece)) for piece in pieces]
    else:
        events = [event({"content": piece}) for piece in pieces]
    return stream(*events, event({}, end))


@pytest.mark.rule("structured-streams", "pydantic-instances")
@pytest.mark.parametrize("method", METHODS)
async def test_streams_give_what_is_there_so_far(method: Any) -> None:
    with serving(streamed(method, name="PersonDict")) as server:
        chain = model_of(server).with_structured_output(PersonDict, method=method)
        parts = list(chain.stream("x"))
        later = [part async for part in chain.astream("x")]
    with serving(streamed(method)) as server:
        typed = list(model_of(server).with_structured_output(Person, method=method).stream("x"))
    assert parts == later
    assert parts[-1] == ADA
    assert {"name": "A"} in parts
    assert typed[-1] == Person(**ADA)
    assert all(isinstance(part, Person) for part in typed)


@pytest.mark.rule("structured-streams", "truncated")
@pytest.mark.parametrize("method", METHODS)
async def test_broken_streams_end_in_an_error(method: Any) -> None:
    with serving(streamed(method, end="length", pieces=PIECES[:2])) as server:
        chain = model_of(server).with_structured_output(Person, method=method)
        with pytest.raises(OutputParserException, match="max_tokens"):
            list(chain.stream("x"))
        with pytest.raises(OutputParserException, match="max_tokens"):
            _ = [part async for part in chain.astream("x")]


@pytest.mark.rule("structured-streams")
@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("method", METHODS)
def test_output_versions(version: str, method: Any, stub: StubServer) -> None:
    with serving(streamed(method)) as server:
        model = model_of(server, output_version=version)
        chain = model.with_structured_output(Person, method=method)
        assert list(chain.stream("x"))[-1] == Person(**ADA)


@pytest.mark.rule("other-tools-besides")
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_other_tools_may_be_called_instead(method: Any) -> None:
    def search(query: str) -> str:
        """Search."""
        return query

    function = {"name": "search", "arguments": '{"query": "q"}'}
    calls = [{"id": "1", "type": "function", "function": function}]
    with serving(whole(None, tool_calls=calls)) as server:
        chain = model_of(server).with_structured_output(
            Person, method=method, tools=[search], include_raw=True
        )
        result = chain.invoke("x")
        names = [tool["function"]["name"] for tool in sent(server)["tools"]]
    assert "search" in names
    assert (result["parsed"], result["parsing_error"]) == (None, None)
    assert result["raw"].tool_calls[0]["name"] == "search"


@pytest.mark.rule("impossible-combinations")
def test_parameters_of_the_call_can_be_bound(stub: StubServer) -> None:
    model = ChatHFRouter(model="a/b", base_url=stub.base_url, api_key="t")
    model.with_structured_output(Person, temperature=0).invoke("x")
    assert stub.last["temperature"] == 0
    with pytest.raises(InvalidSettingError, match="include_raw"):
        model.with_structured_output(Person, inclde_raw=True)


@pytest.mark.rule("impossible-combinations")
def test_impossible_requests_are_refused() -> None:
    model = ChatHFRouter(model="a/b")
    with pytest.raises(ValueError, match="method must be"):
        model.with_structured_output(Person, method="magic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a schema"):
        model.with_structured_output(None, method="json_schema")


def test_json_mode_needs_no_schema() -> None:
    with serving(whole('{"a": [1]}')) as server:
        chain = model_of(server).with_structured_output(method="json_mode")
        assert chain.invoke("x") == {"a": [1]}


def test_the_parts_add_up(stub: StubServer) -> None:
    model = ChatHFRouter(model="a/b", base_url=stub.base_url, api_key="t")
    bound = model.bind_tools([Person], tool_choice="any")
    assert added(list(bound.stream("Ada is 36"))).tool_calls[0]["name"] == "Person"


def test_the_chain_describes_itself() -> None:
    model = ChatHFRouter(model="a/b")
    chain = model.with_structured_output(Person)
    assert chain.get_output_jsonschema()["title"] == "Person"
    assert len(chain.get_graph().nodes) == 4
    assert model.with_structured_output(PersonDict).get_output_jsonschema()["type"] == "object"


@pytest.mark.rule("structured-streams")
async def test_raw_answers_stream_too() -> None:
    with serving(streamed("json_schema")) as server:
        chain = model_of(server).with_structured_output(
            Person, method="json_schema", include_raw=True
        )
        parts = list(chain.stream("x"))
        later = [part async for part in chain.astream("x")]
    for found in (parts, later):
        assert any(part.get("parsed") == Person(**ADA) for part in found)
        assert all(part.get("parsing_error") is None for part in found)


@pytest.mark.rule("structured-streams")
@pytest.mark.parametrize("method", METHODS)
async def test_models_that_do_not_stream_give_the_whole_at_once(method: Any) -> None:
    reply = (
        tool_reply('{"name": "Ada", "age": 36}')
        if method == "function_calling"
        else whole('{"name": "Ada", "age": 36}')
    )
    with serving(reply) as server:
        model = model_of(server, disable_streaming=True)
        chain = model.with_structured_output(Person, method=method)
        assert list(chain.stream("x")) == [Person(**ADA)]
        assert [part async for part in chain.astream("x")] == [Person(**ADA)]


async def test_the_parser_reads_plain_text_too() -> None:
    parser = StructuredParser(target=Person)
    assert parser.invoke(FENCED) == Person(**ADA)
    assert parser.parse('{"name": "Ada", "age": 36}') == Person(**ADA)
    assert list(parser.transform(iter(PIECES)))[-1] == Person(**ADA)
    with pytest.raises(OutputParserException, match="not JSON"):
        parser.parse("Ada")
    assert parser._type == "hfrouter-structured"


def test_a_form_given_in_part_is_completed() -> None:
    inner = {"name": "x", "schema": {"type": "object"}}
    assert response_format({"json_schema": inner}, strict=None) == {
        "type": "json_schema",
        "json_schema": inner,
    }
