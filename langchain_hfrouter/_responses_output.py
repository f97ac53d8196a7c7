"""Whole answers of the Responses API to LangChain messages: pure functions, no I/O.

Content is a list of LangChain's standard blocks, in the order of the items. What has no
standard block is ``non_standard``, as it came, so that it can be sent back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_hfrouter._results import answer_metadata, arguments_of, tool_calls, usage_metadata
from shared_core import (
    FunctionCall,
    MCPCall,
    OutputItem,
    OutputMessage,
    ReasoningItem,
    Response,
    ToolArgumentsError,
    ToolCall,
)


def chat_result(response: Response, requested_model: str) -> ChatResult:
    """Convert a whole answer.

    Args:
        response: The answer.
        requested_model: Reported when the server names no model.
    """
    calls, invalid = tool_calls(
        [ToolCall(call.call_id, call.name, call.arguments) for call in response.function_calls]
    )
    message = AIMessage(
        content=[block for item in response.output for block in blocks_of(item)],
        additional_kwargs=kept(response),
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=usage_metadata(response.usage),
        response_metadata=metadata_of(response, requested_model),
    )
    info = generation_info(response)
    return ChatResult(generations=[ChatGeneration(message=message, generation_info=info)])


def generation_info(response: Response) -> dict[str, Any]:
    """Return what LangChain's callbacks look for beside the message.

    Args:
        response: The answer.
    """
    return {"finish_reason": response.finish_reason} if response.finish_reason else {}


def kept(response: Response) -> dict[str, Any]:
    """Return ``additional_kwargs``: why the model refused, where it stands for chat too.

    LangChain's event streams know no refusal blocks.

    Args:
        response: The answer.
    """
    messages = (item for item in response.output if isinstance(item, OutputMessage))
    refusal = "".join(message.refusal or "" for message in messages)
    return {"refusal": refusal} if refusal else {}


def metadata_of(response: Response, requested_model: str) -> dict[str, Any]:
    """Return ``response_metadata``: that of chat, and how the response ended.

    Args:
        response: The answer.
        requested_model: Reported when the server names no model.
    """
    metadata = answer_metadata(
        model=response.model or requested_model,
        id=response.id,
        created=response.created,
        finish_reason=response.finish_reason,
        system_fingerprint=None,
        logprobs=None,
        request_id=response.request_id,
        inference_provider=response.provider,
        usage=response.usage,
    )
    metadata["status"] = response.status
    if response.incomplete_reason:
        metadata["incomplete_reason"] = response.incomplete_reason
    return metadata


def blocks_of(item: OutputItem) -> list[dict[str, Any]]:
    """Return the content blocks of an item; none for a call of a function.

    Args:
        item: An item of an answer.
    """
    if isinstance(item, FunctionCall):
        return []
    if isinstance(item, OutputMessage):
        return list(_said(item))
    if isinstance(item, ReasoningItem):
        return [_thought(item)]
    if isinstance(item, MCPCall):
        return list(_called(item))
    return [{"type": "non_standard", "value": dict(item.raw)}]


def _said(item: OutputMessage) -> Iterator[dict[str, Any]]:
    parts = item.raw.get("content")
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        if kind == "refusal":
            yield {"type": "refusal", "refusal": str(part.get("refusal") or "")}
        elif isinstance(part.get("text"), str):
            notes = _notes(part.get("annotations"))
            yield {
                "type": "text",
                "text": part["text"],
                **({"annotations": notes} if notes else {}),
            }
        else:  # as the item that it is alone
            yield {"type": "non_standard", "value": {**item.raw, "content": [part]}}
    if isinstance(parts, str):
        yield {"type": "text", "text": parts}


def _notes(annotations: Any) -> list[dict[str, Any]]:
    """Return citations of addresses as LangChain's, other annotations as they came."""
    notes: list[dict[str, Any]] = []
    for note in annotations if isinstance(annotations, list) else ():
        if not isinstance(note, dict):
            continue
        if note.get("type") == "url_citation":
            names = ("url", "title", "start_index", "end_index")
            notes.append({"type": "citation", **{n: note[n] for n in names if n in note}})
        else:
            notes.append({"type": "non_standard_annotation", "value": dict(note)})
    return notes


def _thought(item: ReasoningItem) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "reasoning", "reasoning": item.text or item.summary}
    if item.id:
        block["id"] = item.id
    if extras := _rest(item.raw, "type", "id", "status", "content"):
        block["extras"] = extras
    return block


def _called(item: MCPCall) -> Iterator[dict[str, Any]]:
    """A tool that the service called, and what it answered, if it did."""
    extras = _rest(item.raw, "id", "name", "arguments", "output", "error")
    try:
        arguments = arguments_of(ToolCall(item.id, item.name, item.arguments))
    except ToolArgumentsError:
        arguments, extras["arguments"] = {}, item.arguments
    yield {
        "type": "server_tool_call",
        "id": item.id,
        "name": item.name,
        "args": arguments,
        "extras": extras,
    }
    if item.error is not None or item.output is not None:
        failed = {"error": item.raw["error"]} if item.error is not None else {}
        yield {
            "type": "server_tool_result",
            "tool_call_id": item.id,
            "status": "error" if failed else "success",
            **({"output": item.output} if item.output is not None else {}),
            **({"extras": failed} if failed else {}),
        }


def _rest(raw: Mapping[str, Any], *known: str) -> dict[str, Any]:
    """Return what else an item holds; nothing that is empty."""
    empty: tuple[Any, ...] = (None, "", [], {})
    return {name: value for name, value in raw.items() if name not in known and value not in empty}
