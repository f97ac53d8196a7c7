"""Structured answers: what is asked for, and reading what came."""

from __future__ import annotations

import dataclasses
from typing import Any, Generic, TypedDict, TypeVar

import pydantic
import pytest
from pydantic import v1 as pydantic_v1

from shared_core.chat.response import parse_completion
from shared_core.chat.structured import (
    json_schema_format,
    parse_json_text,
    parse_structured,
    response_format,
    strip_wrapping,
)
from shared_core.errors import InvalidSettingError, StructuredOutputError

T = TypeVar("T")


class User(pydantic.BaseModel):
    """A user."""

    name: str
    age: int | None = None


class Response(pydantic.BaseModel, Generic[T]):
    data: T


class OldUser(pydantic_v1.BaseModel):
    name: str


class TypedUser(TypedDict):
    name: str


@dataclasses.dataclass
class DataUser:
    name: str


SCHEMA = {"title": "My User!", "type": "object", "properties": {"name": {"type": "string"}}}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (User, "User"),
        (Response[User], "Response_User"),
        (OldUser, "OldUser"),
        (TypedUser, "TypedUser"),
        (DataUser, "DataUser"),
        (SCHEMA, "My_User"),
        ({"type": "object", "properties": {}}, "response"),
        (list[int], "list"),
        ({"type": ["object", "array"], "title": "Both"}, "Both"),
    ],
)
def test_formats(source: Any, name: str) -> None:
    wire = response_format(source)
    assert wire["type"] == "json_schema"
    assert set(wire["json_schema"]) == {"name", "schema"}
    assert wire["json_schema"]["name"] == name
    assert wire["json_schema"]["schema"]["type"] in ("object", "array", ["object", "array"])


def test_options_are_sent_only_when_given() -> None:
    wire = json_schema_format(User, name="an answer", description="d", strict=True)
    assert wire["json_schema"]["name"] == "an_answer"
    assert wire["json_schema"]["description"] == "d"
    assert wire["json_schema"]["strict"] is True


@pytest.mark.parametrize(
    "given",
    [
        {"type": "json_object"},
        {"type": "text"},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
        {"type": "json_object", "value": SCHEMA},
        {"type": "json_schema", "schema": SCHEMA},
    ],
)
def test_wire_forms_pass(given: dict[str, Any]) -> None:
    assert response_format(given) == given


@pytest.mark.parametrize(
    "given",
    [3, "xml", None, {}, {"type": None}, {"type": []}, {"type": [5]}, lambda: None, object()],
)
def test_refused(given: Any) -> None:
    with pytest.raises(InvalidSettingError, match="response_format"):
        response_format(given)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Ann"}',
        ' \n{"name": "Ann"}\n',
        '```json\n{"name": "Ann"}\n```',
        '```\n{"name": "Ann"}\n```',
        '```JSON {"name": "Ann"}```',
        '<think>{"name": "no"}</think>\n{"name": "Ann"}',
        'thoughts</think>```json\r\n{"name": "Ann"}\r\n```\n',
    ],
)
def test_tolerated_wrappings(text: str) -> None:
    assert parse_json_text(text) == {"name": "Ann"}


def test_one_fence_only_and_fences_inside_stay() -> None:
    text = '{"code": "```py\\nx\\n```"}'
    assert parse_json_text(text) == {"code": "```py\nx\n```"}
    assert strip_wrapping("``````") == ""


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ('{"name": "An', "length", "token limit"),
        ('{"name": "An', "stop", "not JSON"),
        ("", "stop", "empty"),
        ("", "length", "token limit"),
        ("<think>long", "length", "token limit"),
        ("Here you are: {}", None, "not JSON"),
        ("[" * 100_000, None, "not JSON"),
    ],
)
def test_unusable_text(text: str, reason: str | None, words: str) -> None:
    with pytest.raises(StructuredOutputError, match=words) as caught:
        parse_json_text(text, finish_reason=reason)
    assert caught.value.text == text[:20_000] or caught.value.text.startswith(text[:100])


def completion(content: Any, reason: str = "stop", **message: Any) -> Any:
    return parse_completion(
        {"choices": [{"message": {"content": content, **message}, "finish_reason": reason}]}
    )


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (User, User(name="Ann")),
        (TypedUser, {"name": "Ann"}),
        (DataUser, DataUser("Ann")),
        (SCHEMA, {"name": "Ann"}),
        (dict[str, str], {"name": "Ann"}),
    ],
)
def test_parsed(schema: Any, value: Any) -> None:
    assert parse_structured(completion('```json\n{"name": "Ann"}\n```'), schema) == value


def test_parsed_into_pydantic_1() -> None:
    assert parse_structured(completion('{"name": "Ann"}'), OldUser) == OldUser(name="Ann")


@pytest.mark.parametrize("schema", [User, OldUser, TypedUser, DataUser])
def test_answers_that_do_not_fit(schema: Any) -> None:
    with pytest.raises(StructuredOutputError, match="name") as caught:
        parse_structured(completion('{"nome": "Ann"}'), schema)
    assert caught.value.text == '{"nome": "Ann"}'
    assert caught.value.errors
    assert caught.value.__cause__ is None


def test_refusals_and_cuts() -> None:
    with pytest.raises(StructuredOutputError, match="refused: no way"):
        parse_structured(completion(None, refusal="no way"), User)
    with pytest.raises(StructuredOutputError, match="token limit"):
        parse_structured(completion('{"name"', "length"), User)
    with pytest.raises(StructuredOutputError, match="empty"):
        parse_structured(completion(None, reasoning="hm"), User)
