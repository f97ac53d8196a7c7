"""LangChain messages to the input of the Responses API: pure functions, no I/O.

Everything that a chat message may say goes the way of chat (``_messages.to_core``), and the
core knows the items that messages become. Here is what only this API has: instructions, items
of earlier answers at their place among the text, and answers to approval requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_hfrouter._blocks import Block, MessageError, kind_of
from langchain_hfrouter._messages import to_core
from langchain_hfrouter.chat_models import PROVIDER
from shared_core import ChatMessage, TextPart

APPROVAL = "mcp_approval_response"
"""Type of the block in a human message that answers an approval request."""

_SYSTEM = ("system", "developer")
_ITEMS = ("reasoning", "server_tool_call", "server_tool_result", "non_standard")


def to_input(messages: Sequence[BaseMessage], *, echo: bool) -> tuple[str | None, list[Any]]:
    """Convert a conversation.

    Args:
        messages: LangChain messages; not changed.
        echo: Whether reasoning of earlier answers is sent back.

    Returns:
        The text of the system messages at the beginning, as instructions, or None; and input
        items, as the core takes them. Names of messages have no place in this API.

    Raises:
        MessageError: A block is broken, or a message cannot be sent to a model.
    """
    items: list[Any] = []
    for is_answer, run in groupby(messages, key=lambda message: isinstance(message, AIMessage)):
        for message in run if is_answer else ():
            assert isinstance(message, AIMessage)
            items.extend(_answer(message, echo))
        items.extend(_others([] if is_answer else list(run)))
    instructions = []
    while len(items) > 1 and _is_system(items[0]):
        instructions.append(_system_text(items.pop(0)))
    # The router's published server drops what a developer says, and obeys the system.
    items = [
        replace(item, role="system", content=_system_text(item)) if _is_system(item) else item
        for item in items
    ]
    return "\n\n".join(text for text in instructions if text) or None, items


def _is_system(item: Any) -> bool:
    return isinstance(item, ChatMessage) and item.role in _SYSTEM


def _system_text(message: ChatMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = list(message.content or ())
    if not all(isinstance(part, TextPart) for part in parts):
        raise MessageError("a system message may hold nothing but text in the Responses API")
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def _others(messages: list[BaseMessage]) -> Iterator[Any]:
    """Messages that are no answers; in human ones, answers to approval requests stand apart."""
    plain: list[BaseMessage] = []
    for message in messages:
        blocks = [] if isinstance(message.content, str) else message.content
        approvals = [block for block in map(_bare, blocks) if kind_of(block) == APPROVAL]
        if not approvals or not isinstance(message, HumanMessage):
            plain.append(message)
            continue
        yield from to_core(plain)
        yield from (_approval(block) for block in approvals)
        rest = [block for block in blocks if kind_of(_bare(block)) != APPROVAL]
        plain = [message.model_copy(update={"content": rest})] if rest else []
    yield from to_core(plain)


def _bare(block: Block) -> Block:
    """Return what a ``non_standard`` block holds."""
    if isinstance(block, str) or kind_of(block) != "non_standard":
        return block
    value = block.get("value")
    return value if isinstance(value, Mapping) else block


def _approval(block: Any) -> dict[str, Any]:
    asked, approve = block.get("approval_request_id"), block.get("approve")
    if not isinstance(asked, str) or not asked or not isinstance(approve, bool):
        raise MessageError(
            f"a block of type {APPROVAL!r} needs 'approval_request_id', the id of the request, "
            "and 'approve', True or False"
        )
    wanted = ("type", "id", "approval_request_id", "approve", "reason")
    return {name: block[name] for name in wanted if block.get(name) is not None}


# --- answers


def _answer(message: AIMessage, echo: bool) -> Iterator[Any]:
    """Items of an answer in their order, then its calls."""
    (whole,) = to_core([message])
    ours = message.response_metadata.get("model_provider", PROVIDER) == PROVIDER
    if isinstance(message.content, str):
        if echo and whole.reasoning:
            yield _reasoning({"reasoning": whole.reasoning})
        yield whole
        return
    results = {
        block.get("tool_call_id"): block
        for block in message.content
        if not isinstance(block, str) and kind_of(block) == "server_tool_result"
    }
    for is_item, run in groupby(message.content, key=lambda block: kind_of(block) in _ITEMS):
        blocks = list(run)
        if is_item and ours:
            yield from _items(blocks, results, echo)
        else:
            # Another provider's items are left out, as those of chat are.
            (said,) = to_core([AIMessage(content=blocks)])
            yield replace(said, tool_calls=[], reasoning=None)
    in_blocks = any(kind_of(block) == "refusal" for block in message.content)
    yield replace(whole, content=None, refusal=None if in_blocks else whole.refusal)


def _items(
    blocks: Sequence[Any], results: Mapping[Any, Mapping[str, Any]], echo: bool
) -> Iterator[dict[str, Any]]:
    for block in blocks:
        kind = kind_of(block)
        if kind == "reasoning" and echo:
            yield _reasoning(block)
        elif kind == "server_tool_call":
            yield _server_call(block, results.get(block.get("id"), {}))
        elif kind == "non_standard":
            yield _as_it_came(block)


def _reasoning(block: Mapping[str, Any]) -> dict[str, Any]:
    extras = block.get("extras") or {}
    item: dict[str, Any] = {"type": "reasoning", "summary": [], **extras}
    if block.get("id"):
        item["id"] = block["id"]
    text = block.get("reasoning")
    parts = (part for part in item["summary"] if isinstance(part, Mapping))
    summary = "".join(str(part.get("text") or "") for part in parts)
    if text and text != summary:
        item["content"] = [{"type": "reasoning_text", "text": text}]
    return item


def _server_call(block: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``mcp_call`` item that a call and its result were made of."""
    item = {
        "type": "mcp_call",
        "id": block.get("id"),
        "name": block.get("name"),
        "arguments": json.dumps(block.get("args") or {}, ensure_ascii=False),
        **(block.get("extras") or {}),
    }
    if result.get("output") is not None:
        item["output"] = result["output"]
    return {**item, **(result.get("extras") or {})}


def _as_it_came(block: Mapping[str, Any]) -> dict[str, Any]:
    value = block.get("value")
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise MessageError("a non_standard block needs a 'value' with a 'type' to be sent back")
    return dict(value)
