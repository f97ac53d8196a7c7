"""Rules for structured output, and for agents that answer with a structure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel
from pydantic.v1 import BaseModel as LegacyModel
from typing_extensions import TypedDict

from tests.langchain.conformance.base import (
    Conformance,
    StrictServer,
    collected,
    run,
    say,
    started,
    wire_call,
)
from tests.langchain.script import call, event


class Person(BaseModel):
    """A person."""

    name: str
    age: int


class LegacyPerson(LegacyModel):
    """A person."""

    name: str
    age: int


class PersonDict(TypedDict):
    """A person."""

    name: str
    age: int


ADA = {"name": "Ada", "age": 36}
TEXT = json.dumps(ADA)
METHODS = ["function_calling", "json_schema", "json_mode"]


def reply(method: str, text: str = TEXT, finish: str | None = None, name: str = "Person") -> Any:
    """Return the answer that a model gives to that method."""
    if method == "function_calling":
        return say(None, finish or "tool_calls", tool_calls=[wire_call(name, text)])
    return say(text, finish or "stop")


class StructuredRules(Conformance):
    """``with_structured_output``."""

    @pytest.mark.rule("methods", "pydantic-instances", "real-json-schema")
    @pytest.mark.parametrize("method", METHODS)
    def test_pydantic(self, method: str, model: Any, server: StrictServer) -> None:
        """A pydantic class gives its instance, whole, awaited and streamed."""
        server.answers(reply(method))
        chain = model.with_structured_output(Person, method=method)
        found = [chain.invoke("x"), run(lambda: chain.ainvoke("x")), list(chain.stream("x"))[-1]]
        assert found == [Person(**ADA)] * 3
        if method == "json_schema":
            form = server.last["response_format"]
            assert form["type"] == "json_schema"
            assert "name" in form["json_schema"]["schema"]["properties"]

    @pytest.mark.rule("methods")
    @pytest.mark.parametrize("method", METHODS)
    def test_other_schemas(self, method: str, model: Any, server: StrictServer) -> None:
        """Classes of pydantic v1, typed dicts and JSON schemas can be asked for."""
        for schema in (LegacyPerson, PersonDict, {**Person.model_json_schema()}):
            name = schema["title"] if isinstance(schema, dict) else schema.__name__
            server.answers(reply(method, name=name))
            found = model.with_structured_output(schema, method=method).invoke("x")
            assert (found.dict() if isinstance(found, LegacyModel) else found) == ADA

    @pytest.mark.rule("structured-streams")
    @pytest.mark.parametrize("method", METHODS)
    def test_streams_give_what_is_there(
        self, method: str, model: Any, server: StrictServer
    ) -> None:
        """Streams give the parts that have come, and the whole at the end."""
        pieces = ['{"na', 'me": "A', 'da", "ag', 'e": 36}']
        events = [event({"content": piece}) for piece in pieces]
        if method == "function_calling":
            events = [event(call(0, "1", "PersonDict", ""))]
            events += [event(call(0, None, None, piece)) for piece in pieces]
        server.answers(started(*events, event({}, "stop")))
        chain = model.with_structured_output(PersonDict, method=method)
        for parts in (list(chain.stream("x")), run(lambda: collected(chain.astream("x")))):
            assert {"name": "A"} in parts
            assert parts[-1] == ADA

    @pytest.mark.rule("prose")
    @pytest.mark.parametrize("method", METHODS)
    def test_prose_is_a_parsing_error(self, method: str, model: Any, server: StrictServer) -> None:
        """Prose instead of the structure is the parsing error, or raised as one."""
        server.answers(say("Sure! Here you are."))
        raw = model.with_structured_output(Person, method=method, include_raw=True).invoke("x")
        assert raw["parsed"] is None
        assert raw["parsing_error"] is not None
        assert raw["raw"].text == "Sure! Here you are."
        with pytest.raises(OutputParserException):
            model.with_structured_output(Person, method=method).invoke("x")

    @pytest.mark.rule("fences")
    def test_a_fence_is_taken_off(self, model: Any, server: StrictServer) -> None:
        """A code fence around the structure is no part of it."""
        server.answers(say(f"```json\n{TEXT}\n```"))
        for method in ("json_schema", "json_mode"):
            chain = model.with_structured_output(Person, method=method)
            assert chain.invoke("x") == Person(**ADA)

    @pytest.mark.rule("truncated")
    @pytest.mark.parametrize("method", METHODS)
    def test_cut_answers_are_parsing_errors(
        self, method: str, model: Any, server: StrictServer
    ) -> None:
        """An answer that was cut at the limit is the parsing error, which says so."""
        server.answers(reply(method, TEXT[:-6], "length"))
        raw = model.with_structured_output(Person, method=method, include_raw=True).invoke("x")
        assert raw["parsed"] is None
        assert "length" in str(raw["parsing_error"])

    @pytest.mark.rule("structured-refusals")
    def test_refusals_are_raised_as_such(self, model: Any, server: StrictServer) -> None:
        """A refusal is raised as LangChain's error for it, not as broken JSON."""
        known: Any = getattr(exceptions, "ModelRefusalError", None)
        if known is None:
            pytest.skip("refusals: this langchain-core has no error for them")
        server.answers(say(None, refusal="I won't."))
        for method in ("function_calling", "json_schema"):
            with pytest.raises(known):
                model.with_structured_output(Person, method=method).invoke("x")

    @pytest.mark.rule("schema-names")
    def test_titles_are_made_acceptable(self, model: Any, server: StrictServer) -> None:
        """Titles with brackets or blanks can be asked for by both methods."""
        properties = {"name": {"type": "string"}, "age": {"type": "integer"}}
        schema = {"title": "Page[int] of all", "type": "object", "properties": properties}

        def answer(request: Any) -> Any:
            tools = request.json().get("tools")
            name = tools[0]["function"]["name"] if tools else ""
            return reply("function_calling" if tools else "json_schema", name=name)(request)

        server.answers(answer)
        for method in ("function_calling", "json_schema"):
            assert model.with_structured_output(schema, method=method).invoke("x") == ADA

    @pytest.mark.rule("agents-with-structure", "other-tools-besides")
    @pytest.mark.parametrize("strategy", ["ToolStrategy", "ProviderStrategy"])
    def test_agents_answer_with_a_structure(
        self, strategy: str, model: Any, server: StrictServer
    ) -> None:
        """``create_agent`` answers with a structure, with tools beside it and without."""
        from langchain.agents import create_agent, structured_output

        def unrelated(x: int) -> int:
            """Do something else."""
            return x

        by_tool = strategy == "ToolStrategy"
        server.answers(reply("function_calling" if by_tool else "json_schema"))
        for tools in ([], [unrelated]):
            wanted = getattr(structured_output, strategy)(Person)
            agent = create_agent(model, tools=tools, response_format=wanted)
            state = agent.invoke({"messages": [("user", "x")]})
            assert state["structured_response"] == Person(**ADA)
