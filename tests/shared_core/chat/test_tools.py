"""Tool descriptions, tool choice, arguments."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal, Required, TypedDict

import pydantic
import pytest
from pydantic import v1 as pydantic_v1

from shared_core.chat.schema import safe_name
from shared_core.chat.tools import parse_arguments, tool_choice, tool_spec, tool_specs
from shared_core.chat.types import ToolCall
from shared_core.errors import InvalidSettingError, ToolArgumentsError


def weather(
    city: str,
    unit: Literal["c", "f"] = "c",
    days: Annotated[int, pydantic.Field(ge=1, description="How many.")] = 2,
    schema: dict[str, Any] | None = None,
) -> str:
    """Tell the weather.

    It is a forecast.

    Args:
        city: Where, e.g. Paris,
            or a village.
        unit (str): Degrees.

    Returns:
        A text.
    """
    return city


def test_function() -> None:
    function = tool_spec(weather)["function"]
    assert function["name"] == "weather"
    assert function["description"] == "Tell the weather.\n\nIt is a forecast."
    parameters = function["parameters"]
    assert parameters["required"] == ["city"]
    properties = parameters["properties"]
    assert properties["city"] == {
        "type": "string",
        "description": "Where, e.g. Paris, or a village.",
    }
    assert properties["unit"] == {
        "type": "string",
        "enum": ["c", "f"],
        "default": "c",
        "description": "Degrees.",
    }
    assert properties["days"]["minimum"] == 1
    assert properties["days"]["description"] == "How many."
    assert list(properties) == ["city", "unit", "days", "schema"]
    assert "strict" not in function
    assert tool_spec(weather, strict=True)["function"]["strict"] is True


async def without_docs(x, y=1):  # type: ignore[no-untyped-def]
    return x


class Callable_:
    def __call__(self, q: int) -> int:
        return q


def test_other_callables() -> None:
    function = tool_spec(without_docs)["function"]
    assert "description" not in function
    assert function["parameters"]["required"] == ["x"]
    assert tool_spec(Callable_())["function"]["name"] == "Callable_"
    assert tool_spec(Callable_())["function"]["parameters"]["properties"]["q"] == {
        "type": "integer"
    }
    partial = functools.partial(weather, "Paris")
    assert tool_spec(partial)["function"]["name"] == "weather"
    assert "city" not in tool_spec(partial)["function"]["parameters"]["properties"]


def varargs(*args: int) -> None: ...


def unknown_type(x: NotDefined) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def no_schema(x: Callable_) -> None: ...


@pytest.mark.parametrize("function", [varargs, unknown_type, no_schema])
def test_functions_that_cannot_be_described(function: Any) -> None:
    with pytest.raises(InvalidSettingError, match=function.__name__):
        tool_spec(function)


class Model(pydantic.BaseModel):
    """Doc of two."""

    number: int | None = None


class Old(pydantic_v1.BaseModel):
    """Doc of one."""

    number: int


class Inner(TypedDict):
    x: int


class Typed(TypedDict, total=False):
    """Doc of a dict."""

    number: Required[int]
    more: list[Inner] | None


@pytest.mark.parametrize(
    ("source", "name", "doc"),
    [
        (Model, "Model", "Doc of two."),
        (Old, "Old", "Doc of one."),
        (Typed, "Typed", "Doc of a dict."),
    ],
)
def test_classes(source: Any, name: str, doc: str) -> None:
    function = tool_spec(source)["function"]
    assert (function["name"], function["description"]) == (name, doc)
    assert "number" in function["parameters"]["properties"]
    assert "title" not in function["parameters"]


def takes_typed(value: Typed) -> None: ...


def test_typed_dicts_of_the_standard_library() -> None:
    parameters = tool_spec(Typed)["function"]["parameters"]
    assert parameters["required"] == ["number"]
    assert parameters["$defs"]["Inner"]["properties"]["x"]["type"] == "integer"
    assert "Typed" in tool_spec(takes_typed)["function"]["parameters"]["$defs"]


def test_null_in_schemas_stays() -> None:
    schema = tool_spec(Model)["function"]["parameters"]
    assert schema["properties"]["number"]["default"] is None


SCHEMA = {"type": "object", "properties": {"a": {"const": None}}}


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}},
        {"name": "f", "description": "d", "parameters": SCHEMA},
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA},
        {"title": "f", "description": "d", **SCHEMA},
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": None},
        },
    ],
)
def test_dicts(tool: dict[str, Any]) -> None:
    assert tool_spec(tool) == {
        "type": "function",
        "function": {"name": "f", "description": "d", "parameters": SCHEMA},
    }


def test_a_providers_own_tool_passes() -> None:
    assert tool_spec({"type": "web_search", "n": 3, "x": None}) == {"type": "web_search", "n": 3}


def test_extras_of_a_tool_pass() -> None:
    tool = {"type": "function", "function": {"name": "f", "x": 1}, "cache_control": {"y": 2}}
    assert tool_spec(tool) == tool


@pytest.mark.parametrize(
    "tool",
    [
        {},
        {"type": "function"},
        {"type": "function", "function": "f"},
        {"type": "function", "function": {"name": ""}},
        {"name": "f", "parameters": "x"},
        {"name": "with blank"},
        {"name": "x" * 65},
        "f",
        None,
    ],
)
def test_bad_tools(tool: Any) -> None:
    with pytest.raises(InvalidSettingError, match=r"tools\[1\]"):
        tool_specs([weather, tool])


def test_two_tools_of_one_name() -> None:
    with pytest.raises(InvalidSettingError, match="two tools named 'weather'"):
        tool_specs([weather, weather])


SPECS = tool_specs([weather, Model])
NAMED = {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("any", "required"),
        (True, "required"),
        (False, "none"),
        ("weather", NAMED),
        (NAMED, NAMED),
        ({"function": {"name": "weather"}}, NAMED),
        ({"name": "weather"}, NAMED),
        ({"type": "function", "name": "weather"}, NAMED),
        ({"type": "allowed_tools", "mode": "auto"}, {"type": "allowed_tools", "mode": "auto"}),
    ],
)
def test_choice(choice: Any, wire: Any) -> None:
    assert tool_choice(choice, SPECS) == wire


@pytest.mark.parametrize("choice", ["nobody", {"name": "nobody"}, "", 5, {}, {"type": "function"}])
def test_bad_choice(choice: Any) -> None:
    with pytest.raises(InvalidSettingError, match="tool_choice"):
        tool_choice(choice, SPECS)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ('{"a": [1]}', {"a": [1]}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('{"a": "\\ud83d"}', {"a": "\ufffd"}),
    ],
)
def test_arguments(text: str, value: dict[str, Any]) -> None:
    assert parse_arguments(ToolCall("c", "f", text)) == value
    assert ToolCall("c", "f", text).parse() == value


@pytest.mark.parametrize(
    "text", ["", "  ", '{"a": 1', "[]", "null", "5", '"x"', "{} {}", "{'a': 1}"]
)
def test_bad_arguments(text: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        ToolCall("c", "f", text).parse()
    assert (caught.value.tool, caught.value.text) == ("f", text)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Answer", "Answer"),
        ("Response[User]", "Response_User"),
        ("a b\u00e9c", "a_b_c"),
        ("", "response"),
        ("!!", "response"),
        ("x" * 80, "x" * 64),
    ],
)
def test_names_are_made_acceptable(title: str, name: str) -> None:
    assert safe_name(title) == name
