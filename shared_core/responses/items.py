"""What a response consists of, and what may be sent back as input: plain values.

Every output item knows its input form (``to_input``), so that an answer can be appended to
the history as it is. Unknown items and unknown keys are kept in ``raw``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from shared_core.chat.response import content_text, text_or_empty
from shared_core.chat.tool_deltas import arguments_text, history_arguments
from shared_core.chat.types import ToolCall


@dataclass(slots=True, kw_only=True)
class OutputItem:
    """Anything that a response may hold; the base of the typed items.

    Attributes:
        id: The server's id of the item, maybe empty.
        status: ``"completed"``, ``"in_progress"``, ``"incomplete"``, ``"failed"`` or None.
        raw: The item as it came.
    """

    id: str = ""
    status: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    kind: ClassVar[str] = ""

    @property
    def type(self) -> str:
        """The server's word for this kind of item, e.g. ``"message"``."""
        return self.kind or text_or_empty(self.raw.get("type"))

    def to_input(self) -> dict[str, Any]:
        """Return the item as input of a further call."""
        return dict(self.raw)


@dataclass(slots=True, kw_only=True)
class OutputMessage(OutputItem):
    """Text of the model.

    Attributes:
        text: All its text, joined.
        refusal: Why it refused, if it did.
        annotations: Annotations of the text, as sent.
        role: ``"assistant"``.
    """

    text: str = ""
    refusal: str | None = None
    annotations: list[Any] = field(default_factory=list)
    role: str = "assistant"
    kind: ClassVar[str] = "message"


@dataclass(slots=True, kw_only=True)
class ReasoningItem(OutputItem):
    """What the model thought; ``summary`` is the short form, where the server makes one."""

    text: str = ""
    summary: str = ""
    kind: ClassVar[str] = "reasoning"


@dataclass(slots=True, kw_only=True)
class FunctionCall(OutputItem):
    """A function that the caller is to run; answer with :class:`FunctionCallOutput`.

    Attributes:
        call_id: Names the call in its answer.
        name: Function.
        arguments: JSON text as the model wrote it.
    """

    call_id: str = ""
    name: str = ""
    arguments: str = "{}"
    kind: ClassVar[str] = "function_call"

    def parse(self) -> dict[str, Any]:
        """Return the arguments as a dict.

        Raises:
            ToolArgumentsError: They are not a JSON object.
        """
        return ToolCall(self.call_id, self.name, self.arguments).parse()

    def to_input(self) -> dict[str, Any]:
        """Return the call as input of a further call, with arguments that are a JSON object."""
        item = dict(self.raw)
        if "arguments" in item:
            item["arguments"] = history_arguments(self.arguments)
        return item


@dataclass(slots=True, kw_only=True)
class MCPListTools(OutputItem):
    """The tools that an MCP server offers.

    Attributes:
        server_label: Which server.
        tools: Their descriptions, as sent (``name``, ``input_schema`` ...).
        error: Why the list could not be had.
    """

    server_label: str = ""
    tools: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    kind: ClassVar[str] = "mcp_list_tools"


@dataclass(slots=True, kw_only=True)
class MCPCall(OutputItem):
    """A tool of an MCP server that the service has called.

    Attributes:
        server_label: Which server.
        name: Tool.
        arguments: JSON text.
        output: What it answered.
        error: Why it failed.
    """

    server_label: str = ""
    name: str = ""
    arguments: str = "{}"
    output: str | None = None
    error: str | None = None
    kind: ClassVar[str] = "mcp_call"


@dataclass(slots=True, kw_only=True)
class MCPApprovalRequest(OutputItem):
    """A tool of an MCP server waits for approval; answer with :meth:`answer`.

    Attributes:
        server_label: Which server.
        name: Tool.
        arguments: JSON text.
    """

    server_label: str = ""
    name: str = ""
    arguments: str = "{}"
    kind: ClassVar[str] = "mcp_approval_request"

    def answer(self, approve: bool, reason: str | None = None) -> MCPApprovalResponse:
        """Return the input item that allows or refuses the call.

        Args:
            approve: Whether the call may be made.
            reason: Told to the model.
        """
        return MCPApprovalResponse(self.id, approve, reason)


@dataclass(slots=True)
class FunctionCallOutput:
    """Input item: what a function answered.

    Attributes:
        call_id: Of the :class:`FunctionCall`.
        output: Text for the model.
    """

    call_id: str
    output: str

    def to_input(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"type": "function_call_output", "call_id": self.call_id, "output": self.output}


@dataclass(slots=True)
class MCPApprovalResponse:
    """Input item: whether a tool of an MCP server may be called."""

    approval_request_id: str
    approve: bool
    reason: str | None = None

    def to_input(self) -> dict[str, Any]:
        """Return the wire form."""
        wire: dict[str, Any] = {
            "type": "mcp_approval_response",
            "approval_request_id": self.approval_request_id,
            "approve": self.approve,
        }
        return wire if self.reason is None else {**wire, "reason": self.reason}


InputItem: TypeAlias = OutputItem | FunctionCallOutput | MCPApprovalResponse


def read_item(item: Mapping[str, Any]) -> OutputItem:
    """Return the typed form of an output item; of an unknown kind an :class:`OutputItem`.

    Args:
        item: JSON object.
    """
    common: dict[str, Any] = {
        "id": text_or_empty(item.get("id")),
        "status": text_or_empty(item.get("status")) or None,
        "raw": dict(item),
    }
    kind = item.get("type")
    if kind == "message":
        return _message(item, common)
    if kind == "reasoning":
        return ReasoningItem(
            text=joined(item.get("content")), summary=joined(item.get("summary")), **common
        )
    if kind == "mcp_list_tools":
        return MCPListTools(
            server_label=text_or_empty(item.get("server_label")),
            tools=[tool for tool in _list(item.get("tools")) if isinstance(tool, dict)],
            error=_words(item.get("error")),
            **common,
        )
    if kind in ("function_call", "mcp_call", "mcp_approval_request"):
        return _call(str(kind), item, common)
    return OutputItem(**common)


def _message(item: Mapping[str, Any], common: dict[str, Any]) -> OutputMessage:
    content = item.get("content")
    parts = [part for part in _list(content) if isinstance(part, dict)]
    texts = [part for part in parts if part.get("type") != "refusal"]
    refusals = [text_or_empty(part.get("refusal")) for part in parts]
    return OutputMessage(
        text=content if isinstance(content, str) else joined(texts),
        refusal="".join(refusals) or None,
        annotations=[note for part in texts for note in _list(part.get("annotations"))],
        role=text_or_empty(item.get("role")) or "assistant",
        **common,
    )


def _call(kind: str, item: Mapping[str, Any], common: dict[str, Any]) -> OutputItem:
    name = text_or_empty(item.get("name"))
    arguments = arguments_text(item.get("arguments"))
    # A call that was cut off before its arguments must not look like one without any.
    if not arguments and item.get("status") != "incomplete":
        arguments = "{}"
    if kind == "function_call":
        call_id = text_or_empty(item.get("call_id")) or common["id"]
        return FunctionCall(call_id=call_id, name=name, arguments=arguments, **common)
    where: dict[str, Any] = {"server_label": text_or_empty(item.get("server_label")), "name": name}
    if kind == "mcp_approval_request":
        return MCPApprovalRequest(arguments=arguments, **where, **common)
    return MCPCall(
        arguments=arguments,
        output=_words(item.get("output")),
        error=_words(item.get("error")),
        **where,
        **common,
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def joined(parts: Any) -> str:
    """Return the text of a list of parts, joined; ``""`` for anything else."""
    return content_text(parts) or "" if isinstance(parts, str | list) else ""


def _words(value: Any) -> str | None:
    """Return text as it is, an error object's message, other values as JSON text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        return str(value["message"])
    return arguments_text(value) or None
