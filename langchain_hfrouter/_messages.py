"""LangChain messages to core messages and back: pure functions, no I/O.

Every kind of content block that LangChain knows is delivered or converted: its own v1 blocks,
OpenAI's chat parts, Anthropic's blocks. What has no place in a request to another model
(somebody else's thinking) is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages import ChatMessage as LangChainChatMessage

from langchain_hfrouter._blocks import (
    NOT_CONTENT,
    Block,
    MessageError,
    Part,
    content_of,
    kind_of,
    parts_of,
    simplest,
)
from langchain_hfrouter.chat_models import PROVIDER
from shared_core import ChatMessage, RawPart, TextPart, ToolCall


def to_core(messages: Sequence[BaseMessage]) -> list[ChatMessage]:
    """Convert a conversation.

    Media in tool results, which the chat protocol cannot carry there, follow in a user
    message after the last of the neighbouring tool messages.

    Args:
        messages: LangChain messages; not changed.

    Returns:
        Core messages.

    Raises:
        MessageError: A block is broken, or a message cannot be sent to a model.
    """
    converted: list[ChatMessage] = []
    pending: list[Part] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            converted.append(_tool(message, pending))
            continue
        if pending:
            converted.append(ChatMessage("user", list(pending)))
            pending.clear()
        converted.extend(_convert(message))
    if pending:
        converted.append(ChatMessage("user", list(pending)))
    return converted


def _convert(message: BaseMessage) -> list[ChatMessage]:
    if isinstance(message, AIMessage):
        return [_assistant(message)]
    if isinstance(message, HumanMessage):
        return _user(message)
    if isinstance(message, SystemMessage):
        role = message.additional_kwargs.get("__openai_role__") or "system"
        return [ChatMessage(role, content_of(message.content), name=message.name)]
    if isinstance(message, FunctionMessage):
        raise MessageError(
            "function messages are retired: send a ToolMessage with its tool_call_id"
        )
    if isinstance(message, LangChainChatMessage):
        return [ChatMessage(message.role, content_of(message.content), name=message.name)]
    if isinstance(message, RemoveMessage):
        raise MessageError("a remove message edits a state and cannot be sent to a model")
    raise MessageError(f"messages of type {type(message).__name__} cannot be sent to a model")


def _user(message: HumanMessage) -> list[ChatMessage]:
    """A user turn; Anthropic's ``tool_result`` blocks become tool messages before it."""
    if isinstance(message.content, str):
        return [ChatMessage("user", message.content, name=message.name)]
    results = [b for b in message.content if kind_of(b) == "tool_result"]
    if not results:
        return [ChatMessage("user", content_of(message.content), name=message.name)]
    pending: list[Part] = []
    converted = [_anthropic_result(cast("dict[str, Any]", block), pending) for block in results]
    rest = [b for b in message.content if kind_of(b) != "tool_result"]
    parts = pending + list(parts_of(rest))
    if parts:
        converted.append(ChatMessage("user", simplest(parts), name=message.name))
    return converted


def _anthropic_result(block: Mapping[str, Any], pending: list[Part]) -> ChatMessage:
    content = block.get("content") or ""
    text = _tool_text(content, pending, f"tool call {block.get('tool_use_id')}")
    return ChatMessage("tool", text, tool_call_id=block.get("tool_use_id"))


def _tool(message: ToolMessage, pending: list[Part]) -> ChatMessage:
    label = f"tool {message.name}" if message.name else f"tool call {message.tool_call_id}"
    text = _tool_text(message.content, pending, label)
    # No name: the call's id says which tool it was, and strict servers know no other field.
    return ChatMessage("tool", text, tool_call_id=message.tool_call_id)


def _tool_text(content: str | Sequence[Block], pending: list[Part], label: str) -> str:
    """Return a tool result's text; its media go to *pending*, announced by a line of text."""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    media: list[Part] = []
    for part in parts_of(content):
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, RawPart):
            texts.append(json.dumps(part.data, ensure_ascii=False, default=str))
        else:
            media.append(part)
    if media:
        pending.append(TextPart(f"Result of {label}:"))
        pending.extend(media)
        if not texts:
            texts.append("The result follows in the next user message.")
    return "\n".join(texts)


def _assistant(message: AIMessage) -> ChatMessage:
    calls = [
        ToolCall(
            id=call["id"] or f"call_{position}",
            name=call["name"],
            arguments=json.dumps(call["args"], ensure_ascii=False),
        )
        for position, call in enumerate(message.tool_calls)
    ]
    calls += [
        ToolCall(
            id=bad["id"] or f"call_invalid_{position}",
            name=bad["name"] or "unknown",
            arguments=bad["args"] or "",
        )
        for position, bad in enumerate(message.invalid_tool_calls)
    ]
    blocks = [] if isinstance(message.content, str) else message.content
    if not calls:
        calls = list(_calls_in(blocks))
    content: str | list[Any] | None
    if isinstance(message.content, str):
        content = message.content or _said(message.additional_kwargs.get("audio"))
    else:
        spoken = [_as_text(b) for b in blocks if kind_of(b) not in NOT_CONTENT]
        parts = list(parts_of(spoken))
        only_text = all(isinstance(part, TextPart) for part in parts)
        content = "".join(cast("TextPart", p).text for p in parts) if only_text else parts
    return ChatMessage(
        "assistant",
        content,
        name=message.name,
        tool_calls=calls,
        reasoning=_own_reasoning(message, blocks),
        refusal=_refusal(message, blocks),
    )


def _said(audio: Any) -> str:
    """Return what a model said aloud: it can read its words again, not hear them."""
    said = audio.get("transcript") if isinstance(audio, Mapping) else None
    return said if isinstance(said, str) else ""


def _as_text(block: Block) -> Block:
    said = "" if isinstance(block, str) else _said(block.get("extras"))
    return {"type": "text", "text": said} if said and kind_of(block) == "audio" else block


def _calls_in(blocks: Sequence[Block]) -> Iterator[ToolCall]:
    """Calls that exist only as content blocks (a hand-written or foreign message)."""
    for position, block in enumerate(blocks):
        if isinstance(block, str) or block.get("type") not in ("tool_use", "tool_call"):
            continue
        arguments = block.get("input" if block["type"] == "tool_use" else "args") or {}
        yield ToolCall(
            id=block.get("id") or f"call_{position}",
            name=block["name"],
            arguments=arguments
            if isinstance(arguments, str)
            else json.dumps(arguments, ensure_ascii=False),
        )


def _own_reasoning(message: AIMessage, blocks: Sequence[Block]) -> str | None:
    """Return the reasoning to offer for sending back, unless another provider wrote it."""
    if message.response_metadata.get("model_provider", PROVIDER) != PROVIDER:
        return None
    kept = message.additional_kwargs.get("reasoning_content")
    if isinstance(kept, str) and kept:
        return kept
    text = "".join(
        block.get("reasoning") or ""
        for block in blocks
        if not isinstance(block, str) and block.get("type") == "reasoning"
    )
    return text or None


def _refusal(message: AIMessage, blocks: Sequence[Block]) -> str | None:
    kept = message.additional_kwargs.get("refusal")
    if isinstance(kept, str) and kept:
        return kept
    text = "".join(_as_refusal(block) for block in blocks)
    return text or None


def _as_refusal(block: Block) -> str:
    if isinstance(block, str) or block.get("type") != "refusal":
        return ""
    return str(block.get("refusal") or "")
