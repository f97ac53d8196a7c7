"""Tools of MCP servers as they are bound: sent whole, shown without what opens the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared_core import MCPTool

_SECRET = ("headers", "authorization")


class BoundMCPTool(Mapping[str, Any]):
    """An MCP tool in wire form whose credentials are not shown, and not pickled.

    Args:
        wire: The wire form.
    """

    __slots__ = ("_wire",)

    def __init__(self, wire: Mapping[str, Any]) -> None:
        self._wire = dict(wire)

    @property
    def public(self) -> dict[str, Any]:
        """The wire form without credentials."""
        return {name: value for name, value in self._wire.items() if name not in _SECRET}

    def __getitem__(self, name: str) -> Any:
        return self._wire[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._wire)

    def __len__(self) -> int:
        return len(self._wire)

    def __repr__(self) -> str:
        return f"BoundMCPTool({self.public!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundMCPTool:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return BoundMCPTool, (self.public,)


def mcp_tool(tool: Any) -> BoundMCPTool | None:
    """Return an MCP tool as it is bound, or None for tools of other kinds.

    Args:
        tool: An ``MCPTool``, a dict of the type ``"mcp"``, or anything else.

    Raises:
        InvalidSettingError: A value of an ``MCPTool`` cannot be sent.
    """
    if isinstance(tool, MCPTool):
        return BoundMCPTool(tool.to_wire())
    if isinstance(tool, BoundMCPTool):
        return tool
    if isinstance(tool, Mapping) and tool.get("type") == "mcp":
        return BoundMCPTool(tool)
    return None


def public(tool: Any) -> Any:
    """Return a tool as it may be shown in traces and used in cache keys.

    Args:
        tool: A tool of any kind.
    """
    bound = mcp_tool(tool)
    return tool if bound is None else bound.public
