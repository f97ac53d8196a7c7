"""What a user binds (tools, choices, formats) as what the core sends."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_hfrouter._responses_tools import mcp_tool

_WORDS = {"any": "required", "required": "required", "auto": "auto", "none": "none"}


def tool_schemas(tools: Sequence[Any], *, strict: bool | None = None) -> list[Any]:
    """Convert tools of every kind that LangChain accepts, and MCP servers.

    Args:
        tools: Dicts, classes, functions, ``BaseTool`` and ``shared_core.MCPTool`` objects.
        strict: Sent with every tool when not None.
    """
    return [mcp_tool(tool) or convert_to_openai_tool(tool, strict=strict) for tool in tools]


def tool_choice_of(choice: Any, tools: Sequence[Mapping[str, Any]]) -> Any:
    """Convert LangChain's ``tool_choice``.

    Args:
        choice: ``"any"``, ``"required"``, ``"auto"``, ``"none"``, True, False, None, a tool's
            name, or a dict in OpenAI's or Anthropic's form.
        tools: The bound tools, converted.

    Returns:
        The protocol's form, or None to leave the choice out.

    Raises:
        ValueError: The named tool is not among *tools*.
    """
    if not tools or choice is None or choice is False:
        return None
    if choice is True:
        only = tools[0] if len(tools) == 1 and tools[0].get("type") == "function" else None
        return "required" if only is None else _named(_name(only))
    if isinstance(choice, Mapping):
        return _choice_from_dict(choice)
    names = [_name(tool) for tool in tools]
    if choice in names:
        return _named(choice)
    if choice in _WORDS:
        return _WORDS[choice]
    close = difflib.get_close_matches(str(choice), [*names, *_WORDS], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"tool_choice {choice!r} is none of the bound tools {names}{hint}")


def _choice_from_dict(choice: Mapping[str, Any]) -> Any:
    kind = choice.get("type")
    if kind == "tool" and "name" in choice:  # Anthropic's form
        return _named(choice["name"])
    if kind in _WORDS and "function" not in choice:
        return _WORDS[str(kind)]
    if "function" in choice:
        return {**choice, "type": "function"}
    return dict(choice)


def _named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    if isinstance(function, Mapping):
        return str(function.get("name", ""))
    return str(tool.get("name", tool.get("type", "")))
