"""Tools of a chat call: their description for the model, the choice among them, arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared_core.chat.schema import MAX_NAME, function_schema, safe_name, schema_of, title_of
from shared_core.chat.types import ToolCall
from shared_core.config.plain import plain, without_none
from shared_core.errors import InvalidSettingError, ToolArgumentsError
from shared_core.wire import json_text

_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_NAME}}}")
_WORDS = {"auto": "auto", "none": "none", "required": "required", "any": "required"}


def tool_spec(tool: Any, *, strict: bool | None = None, field: str = "tools") -> dict[str, Any]:
    """Return the wire form of one tool.

    Args:
        tool: A function (annotations and Google docstring are read), a pydantic model or
            TypedDict class, the OpenAI form ``{"type": "function", "function": {...}}``, its
            inner part ``{"name": ..., "parameters": ...}``, a JSON schema with a ``title``,
            or a provider's own kind of tool as a dict with another ``type``.
        strict: Sent as ``strict`` when given.
        field: Name for errors.

    Raises:
        InvalidSettingError: It cannot be described, or its name is not acceptable.
    """
    if isinstance(tool, Mapping):
        return _from_dict(tool, strict, field)
    if isinstance(tool, type):
        schema = schema_of(tool, field)
        description = schema.pop("description", None) or ""
        schema.pop("title", None)
        return _function(title_of(tool, "tool"), description, schema, strict, field)
    if callable(tool):
        inner = getattr(tool, "func", tool)  # of a functools.partial
        name = getattr(inner, "__name__", None) or type(tool).__name__
        description, schema = function_schema(tool, f"{field} ({name})")
        return _function(safe_name(name, "tool"), description, schema, strict, field)
    raise InvalidSettingError(
        f"{field} must be a function, a class or a dict, not {type(tool).__name__}", setting=field
    )


def _function(
    name: str, description: str, parameters: Any, strict: bool | None, field: str
) -> dict[str, Any]:
    if not _NAME.fullmatch(name):
        raise InvalidSettingError(
            f"{field}: the name {name[:80]!r} must have 1 to {MAX_NAME} characters of "
            "A-Z a-z 0-9 _ . -",
            setting=field,
        )
    function: dict[str, Any] = {"name": name}
    if description:
        function["description"] = description
    if parameters is not None:
        function["parameters"] = plain(parameters, f"{field}.parameters")
    if strict is not None:
        function["strict"] = strict
    return {"type": "function", "function": function}


def _from_dict(tool: Mapping[str, Any], strict: bool | None, field: str) -> dict[str, Any]:
    inner = tool.get("function", tool)
    kind = tool.get("type")
    if "function" not in tool and isinstance(kind, str) and kind not in ("function", "object"):
        return dict(plain(without_none(tool), field))  # a provider's own kind
    if not isinstance(inner, Mapping):
        raise InvalidSettingError(f"{field}.function must be a dict", setting=field)
    if "name" not in inner and isinstance(inner.get("title"), str) and "properties" in inner:
        schema = {k: v for k, v in inner.items() if k not in ("title", "description")}
        text = inner.get("description")
        description = text if isinstance(text, str) else ""
        return _function(title_of(inner, "tool"), description, schema, strict, field)
    name = inner.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidSettingError(f"{field} has no function name", setting=field)
    parameters = inner.get("parameters")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InvalidSettingError(
            f"{field}.parameters must be a JSON schema (a dict), not {type(parameters).__name__}",
            setting=field,
        )
    spec = _function(name, "", parameters, strict, field)
    rest = {key: value for key, value in inner.items() if key not in ("type", "parameters")}
    function = {**plain(without_none(rest), field), **spec["function"]}
    outer = tool if "function" in tool else {}
    extra = {key: value for key, value in outer.items() if key not in ("type", "function")}
    return {"type": "function", "function": function, **plain(without_none(extra), field)}


def tool_specs(tools: Any) -> list[dict[str, Any]]:
    """Return the wire form of several tools.

    Raises:
        InvalidSettingError: One cannot be described, or two have the same name.
    """
    if isinstance(tools, str | Mapping) or not isinstance(tools, Iterable):
        raise InvalidSettingError(
            f"tools must be a list, not {type(tools).__name__}", setting="tools"
        )
    specs = [tool_spec(tool, field=f"tools[{at}]") for at, tool in enumerate(tools)]
    names = tool_names(specs)
    for name in names:
        if names.count(name) > 1:
            raise InvalidSettingError(f"tools has two tools named {name!r}", setting="tools")
    return specs


def tool_names(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the function names of tools in wire form."""
    functions = (spec.get("function") for spec in specs)
    return [function["name"] for function in functions if isinstance(function, Mapping)]


def tool_choice(choice: Any, specs: Sequence[Mapping[str, Any]]) -> Any:
    """Return the wire form of a tool choice.

    Args:
        choice: ``"auto"``, ``"none"``/False, ``"required"``/``"any"``/True, the name of a
            tool, or a dict that names one.
        specs: The tools of the call, in wire form.

    Returns:
        A word, or ``{"type": "function", "function": {"name": ...}}``; None where nothing
        needs to be sent (no tools, and none wanted).

    Raises:
        InvalidSettingError: It names no given tool, or demands a tool where there is none.
    """
    if isinstance(choice, bool):
        choice = "required" if choice else "none"
    if isinstance(choice, str) and choice in _WORDS:
        word = _WORDS[choice]
        if not specs and word == "required":
            raise InvalidSettingError(
                "tool_choice demands a tool, but no tools are given", setting="tool_choice"
            )
        return word if specs else None
    name = _chosen(choice)
    if name is None:
        return plain(without_none(choice), "tool_choice")
    known = tool_names(specs)
    if name not in known:
        names = ", ".join(known)[:200] or "none"
        raise InvalidSettingError(
            f"tool_choice names {name[:80]!r}, which is not among the tools ({names})",
            setting="tool_choice",
        )
    return {"type": "function", "function": {"name": name}}


def _chosen(choice: Any) -> str | None:
    """Return the tool name of a choice; None for a provider's own kind of choice."""
    if isinstance(choice, str) and choice:
        return choice
    if isinstance(choice, Mapping):
        inner = choice.get("function", choice)
        name = inner.get("name") if isinstance(inner, Mapping) else None
        if isinstance(name, str) and name:
            return name
        if isinstance(choice.get("type"), str) and choice["type"] != "function":
            return None
    raise InvalidSettingError(
        "tool_choice must be 'auto', 'none', 'required', a tool's name, True, False or a dict "
        f"that names a tool, not {type(choice).__name__}",
        setting="tool_choice",
    )


def parse_arguments(call: ToolCall) -> dict[str, Any]:
    """Return the arguments of a tool call.

    JSON that was encoded twice is decoded twice.

    Args:
        call: The call.

    Raises:
        ToolArgumentsError: They are missing or not a JSON object, e.g. because the answer was
            cut by ``max_tokens``; the text rides on the error.
    """
    text = call.arguments.strip()
    if not text:
        raise ToolArgumentsError(
            f"the answer ended before the arguments of tool {call.name!r}",
            text=call.arguments,
            tool=call.name,
        )
    try:
        value = json_text.decode(text.encode("utf-8", "replace"))
        if isinstance(value, str):
            value = json_text.decode(value.encode("utf-8", "replace"))
    except ValueError as error:
        raise ToolArgumentsError(
            f"the arguments of tool {call.name!r} are not JSON ({error})",
            text=call.arguments,
            tool=call.name,
        ) from None
    if not isinstance(value, dict):
        raise ToolArgumentsError(
            f"the arguments of tool {call.name!r} are {type(value).__name__}, not an object",
            text=call.arguments,
            tool=call.name,
        )
    return value
