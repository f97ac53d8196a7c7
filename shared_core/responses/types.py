"""A whole response, and what one event of a streamed response brought."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared_core.chat.types import ChatCompletion, ChatMessage, Choice, ToolCall, Usage
from shared_core.responses.items import (
    FunctionCall,
    MCPApprovalRequest,
    OutputItem,
    OutputMessage,
    ReasoningItem,
)
from shared_core.wire.messages import ENDPOINT_HEADER, Headers


@dataclass(slots=True)
class Response:
    """An answer of the Responses API.

    Attributes:
        id: The server's id.
        model: The model that answered.
        status: ``"completed"``, ``"incomplete"``, ``"in_progress"`` or ``"failed"``.
        output: What the model produced, in order.
        usage: Token counts, or None.
        created: Unix seconds, or None.
        incomplete_reason: Why it is incomplete, e.g. ``"max_output_tokens"``.
        request_id: ``x-request-id``.
        provider: Who served the call, as the router says.
        headers: Response headers.
        raw: The response as it came, but for credentials of MCP tools, which servers repeat; of
            a partial one what is known.
    """

    id: str = ""
    model: str = ""
    status: str = "completed"
    output: list[OutputItem] = field(default_factory=list)
    usage: Usage | None = None
    created: int | None = None
    incomplete_reason: str | None = None
    request_id: str | None = None
    provider: str | None = None
    headers: Headers = field(default_factory=Headers)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def endpoint(self) -> str | None:
        """Name of the endpoint that answered, if the client has failover."""
        return self.headers.get(ENDPOINT_HEADER)

    @property
    def output_text(self) -> str:
        """All text of all messages, joined; ``""`` if there is none."""
        return "".join(item.text for item in self.output if isinstance(item, OutputMessage))

    text = output_text

    @property
    def reasoning(self) -> str | None:
        """What the model thought, or None."""
        items = [item for item in self.output if isinstance(item, ReasoningItem)]
        return "".join(item.text or item.summary for item in items) or None

    @property
    def function_calls(self) -> list[FunctionCall]:
        """The functions that the caller is to run."""
        return [item for item in self.output if isinstance(item, FunctionCall)]

    @property
    def approval_requests(self) -> list[MCPApprovalRequest]:
        """The calls of MCP tools that wait for approval."""
        return [item for item in self.output if isinstance(item, MCPApprovalRequest)]

    @property
    def finish_reason(self) -> str | None:
        """Why it ended, in the words of chat: ``"stop"``, ``"length"``, ``"tool_calls"``."""
        if self.status == "completed":
            return "tool_calls" if self.function_calls else "stop"
        if self.status == "incomplete":
            return "content_filter" if self.incomplete_reason == "content_filter" else "length"
        return None

    def to_input(self) -> list[dict[str, Any]]:
        """Return the output as input items: what to send back with the next question."""
        return [item.to_input() for item in self.output]

    def to_completion(self) -> ChatCompletion:
        """Return the same answer as a chat completion, e.g. for ``parse_structured``."""
        refusals = [item.refusal for item in self.output if isinstance(item, OutputMessage)]
        message = ChatMessage(
            "assistant",
            self.output_text,
            tool_calls=[
                ToolCall(call.call_id, call.name, call.arguments) for call in self.function_calls
            ],
            reasoning=self.reasoning,
            refusal="".join(text for text in refusals if text) or None,
        )
        return ChatCompletion(
            id=self.id,
            model=self.model,
            created=self.created,
            choices=[Choice(0, message, self.finish_reason)],
            usage=self.usage,
            request_id=self.request_id,
            provider=self.provider,
            headers=self.headers,
            raw=self.raw,
        )


@dataclass(slots=True)
class ResponseUpdate:
    """One event of a streamed response.

    Which fields are set depends on ``type``; the others are None, texts ``""``.

    Attributes:
        type: e.g. ``"response.output_text.delta"``, ``"response.output_item.done"``.
        text: New text of the answer: of ``output_text.delta``, and what of a message no event
            has shown before ``output_item.done`` or the last event.
        reasoning: New reasoning, in the same way (``reasoning_text.delta``,
            ``reasoning_summary_text.delta``).
        arguments: New argument text of a call (``function_call_arguments.delta``,
            ``mcp_call_arguments.delta``).
        item_id: The item that it belongs to.
        output_index: The place of the item, as the server says (unreliable: match by id).
        content_index: The place of the part in the item.
        item: Of ``output_item.added`` and ``.done``.
        response: Of ``response.created``, ``.in_progress``, ``.completed``, ``.incomplete``.
        streamed_as: Of the last event: for each item of ``response.output`` the ``item_id`` that
            its events had (``"#0"`` ... by place, if none), None if it stands there only.
        sequence_number: Number of the event, from 0.
        raw: The event as it came.
    """

    type: str
    text: str = ""
    reasoning: str = ""
    arguments: str = ""
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    item: OutputItem | None = None
    response: Response | None = None
    streamed_as: list[str | None] = field(default_factory=list, repr=False)
    sequence_number: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
