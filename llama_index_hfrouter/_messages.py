"""Pure conversions between LlamaIndex messages and those of the client.

Outward every block is delivered, converted or refused, never dropped:

====================  =====================================================================
Text                  text; a message of text only is sent as a plain string
Image, Audio, Video   a media part; URLs are passed on, never fetched
Document              its text if it is text, else a file part
Citable, Citation     their content, headed by title and source
Thinking              left out, or sent back as reasoning with ``send_reasoning``
ToolCall              a tool call of the assistant; in another role it is refused
CachePoint            nothing: providers behind the router cache by themselves
====================  =====================================================================

Media in a tool's result goes into a user message after the run of tool messages, because
tool messages hold text only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    CompletionResponse,
    DocumentBlock,
    ImageBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from llama_index_hfrouter._documents import (
    audio_part,
    document_part,
    image_part,
    refused,
    video_part,
)
from shared_core import AudioPart as _Audio
from shared_core import ChatCompletion, RawPart, TextPart, ToolCall, Usage
from shared_core import ChatMessage as CoreMessage
from shared_core import FilePart as _File
from shared_core import ImagePart as _Image
from shared_core import VideoPart as _Video

Part = TextPart | _Image | _Audio | _Video | _File | RawPart

ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "developer",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def to_core(messages: Sequence[ChatMessage], *, send_reasoning: bool = False) -> list[CoreMessage]:
    """Convert a conversation for the client. Nothing in *messages* is changed.

    Args:
        messages: The conversation.
        send_reasoning: Whether the assistant's thinking is sent back.

    Raises:
        InvalidSettingError: A block cannot be delivered; the message says which.
    """
    result: list[CoreMessage] = []
    media: list[Part] = []
    unanswered: list[str] = []
    for number, message in enumerate(messages):
        role = ROLES[MessageRole(message.role)]
        if media and role != "tool":
            result.append(CoreMessage("user", media))
            media = []
        where = f"messages[{number}]"
        if role != "assistant":
            _refuse_calls(message, role, where)
        if role == "tool":
            result.append(_tool_result(message, where, unanswered, media))
        elif role == "assistant":
            result.append(_assistant(message, where, unanswered, send_reasoning))
        else:
            result.append(_plain(message, role, where))
    if media:
        result.append(CoreMessage("user", media))
    return result


def _plain(message: ChatMessage, role: str, where: str) -> CoreMessage:
    parts = _parts(message, where)
    if role != "user":
        _refuse_media(parts, role, where)
    return CoreMessage(role, _content(parts), name=message.additional_kwargs.get("name"))


def _assistant(
    message: ChatMessage, where: str, unanswered: list[str], send_reasoning: bool
) -> CoreMessage:
    parts = _parts(message, where)
    _refuse_media(parts, "assistant", where)
    calls = _tool_calls(message, where)
    unanswered[:] = [call.id for call in calls]
    thoughts = [b.content for b in message.blocks if isinstance(b, ThinkingBlock) and b.content]
    return CoreMessage(
        "assistant",
        _content(parts),
        name=message.additional_kwargs.get("name"),
        tool_calls=calls,
        reasoning="\n".join(thoughts) if thoughts and send_reasoning else None,
    )


def _tool_result(
    message: ChatMessage, where: str, unanswered: list[str], media: list[Part]
) -> CoreMessage:
    given = message.additional_kwargs
    call_id = given.get("tool_call_id") or (unanswered[0] if unanswered else "call_0")
    if call_id in unanswered:
        unanswered.remove(call_id)
    texts: list[str] = []
    others: list[Part] = []
    for part in _parts(message, where):
        if isinstance(part, TextPart):
            texts.append(part.text)
        else:
            others.append(part)
    if others:
        media += [TextPart(f"Returned by tool call {call_id}:"), *others]
        texts = texts or ["The result is in the next user message."]
    return CoreMessage("tool", "\n".join(texts), name=given.get("name"), tool_call_id=call_id)


def _refuse_calls(message: ChatMessage, role: str, where: str) -> None:
    if any(isinstance(block, ToolCallBlock) for block in message.blocks):
        raise refused(
            where,
            f"a message of role {role} calls no tools",
            "Move the ToolCallBlock into an assistant message.",
        )


def _refuse_media(parts: list[Part], role: str, where: str) -> None:
    for part in parts:
        if not isinstance(part, TextPart):
            raise refused(
                where,
                f"a message of role {role} holds text only, not {part.type}",
                "Move the media into a user message.",
            )


def _content(parts: list[Part]) -> str | list[Any]:
    if all(isinstance(part, TextPart) for part in parts):
        return "\n".join(part.text for part in parts if isinstance(part, TextPart))
    return [part for part in parts if not isinstance(part, TextPart) or part.text]


def _parts(message: ChatMessage, where: str) -> list[Part]:
    parts: list[Part] = []
    for number, block in enumerate(message.blocks):
        parts += _block_parts(block, f"{where}.blocks[{number}]")
    return parts


def _block_parts(block: Any, where: str) -> list[Part]:
    match block:
        case TextBlock():
            return [TextPart(block.text)]
        case ImageBlock():
            return [image_part(block, where)]
        case AudioBlock():
            return [audio_part(block, where)]
        case VideoBlock():
            return [video_part(block, where)]
        case DocumentBlock():
            return [document_part(block, where)]
        case CitableBlock():
            inner = [part for item in block.content for part in _block_parts(item, where)]
            return _headed(f"{block.title} ({block.source})", inner)
        case CitationBlock():
            inner = _block_parts(block.cited_content, where)
            return _headed(f"{block.title} ({block.source})", inner)
        case ThinkingBlock() | ToolCallBlock() | CachePoint():
            return []
    raise refused(where, f"cannot send a {type(block).__name__}")


def _headed(header: str, parts: list[Part]) -> list[Part]:
    if parts and isinstance(parts[0], TextPart):
        return [TextPart(f"{header}\n{parts[0].text}"), *parts[1:]]
    return [TextPart(header), *parts]


def _tool_calls(message: ChatMessage, where: str) -> list[ToolCall]:
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [
            ToolCall(
                block.tool_call_id or f"call_{number}",
                block.tool_name,
                _arguments_text(block.tool_kwargs),
            )
            for number, block in enumerate(blocks)
        ]
    legacy = message.additional_kwargs.get("tool_calls") or []
    if not legacy and message.additional_kwargs.get("function_call"):
        legacy = [message.additional_kwargs["function_call"]]  # OpenAI's form before tools
    return [_legacy_call(call, number, where) for number, call in enumerate(legacy)]


def _legacy_call(call: Any, number: int, where: str) -> ToolCall:
    # Messages written by other integrations hold dicts, or the SDK's pydantic objects.
    data = call.model_dump() if hasattr(call, "model_dump") else call
    if isinstance(data, Mapping):
        function = data.get("function") or data
        name = function.get("name")
        if name:
            arguments = function.get("arguments", {})
            return ToolCall(
                str(data.get("id") or f"call_{number}"), str(name), _arguments_text(arguments)
            )
    raise refused(
        where,
        f'additional_kwargs["tool_calls"][{number}] is not a tool call',
        "Give it the form {'id', 'type', 'function': {'name', 'arguments'}}.",
    )


def _arguments_text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments or "{}"
    return json.dumps(arguments or {}, ensure_ascii=False, default=str)


# --- inward -----------------------------------------------------------------------------


def parsed_arguments(text: str) -> dict[str, Any] | str:
    """Return the arguments of a complete call as a dict, or the text if it is not an object.

    Nothing and ``null`` mean no arguments; JSON that was encoded twice is decoded twice.
    """
    from shared_core import ToolArgumentsError

    if text.strip() in ("", "null"):
        return {}
    try:
        return ToolCall("", "", text).parse()
    except ToolArgumentsError:
        return text


def call_dict(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """Return the JSON form in which the framework keeps a call in ``additional_kwargs``."""
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def chat_response(completion: ChatCompletion) -> ChatResponse:
    """Convert a complete answer.

    The first choice becomes the message; further ones (``n`` > 1) are in ``raw``.
    """
    answer = completion.message
    usage = completion.usage
    blocks: list[Any] = []
    if answer.reasoning:
        counted = usage.reasoning_tokens if usage else None
        blocks.append(ThinkingBlock(content=answer.reasoning, num_tokens=counted))
    text = answer.text or answer.refusal or ""
    if text or not answer.tool_calls:
        blocks.append(TextBlock(text=text))
    for call in answer.tool_calls:
        blocks.append(
            ToolCallBlock(
                tool_call_id=call.id,
                tool_name=call.name,
                tool_kwargs=parsed_arguments(call.arguments),
            )
        )
    extra: dict[str, Any] = {}
    if answer.tool_calls:
        extra["tool_calls"] = [call_dict(c.id, c.name, c.arguments) for c in answer.tool_calls]
    if answer.refusal:
        extra["refusal"] = answer.refusal
    return ChatResponse(
        message=ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=extra),
        raw=with_counts(completion.raw, usage),
        logprobs=logprobs_of(completion.choices[0].logprobs),
        additional_kwargs={
            **usage_counters(usage),
            # Also None is told: the answer is whole, and so are the arguments of its calls.
            "finish_reason": completion.finish_reason,
            **known(
                request_id=completion.request_id,
                inference_provider=completion.provider,
                model=completion.model,
            ),
        },
    )


def usage_counters(usage: Usage | None) -> dict[str, int]:
    """Return the three counters under the names that tracers and token counters read."""
    if usage is None:
        return {}
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def with_counts(raw: Mapping[str, Any], usage: Usage | None) -> dict[str, Any]:
    """Return *raw* with a ``usage`` that the framework's token counter can add up.

    Args:
        raw: What came. Null, text or NaN among its counts would end the user's call there.
        usage: The counts that can be used, or None.
    """
    given = raw.get("usage")
    counters = usage_counters(usage)
    if isinstance(given, Mapping) and counters:
        if all(type(n := given.get(name)) is int and n == counters[name] for name in counters):
            return dict(raw)
        return {**raw, "usage": {**given, **counters}}
    return {**raw, "usage": counters or None} if given or counters else dict(raw)


def known(**values: Any) -> dict[str, Any]:
    """Return what is neither None nor empty."""
    return {name: value for name, value in values.items() if value not in (None, "")}


def logprobs_of(value: Any) -> list[list[LogProb]] | None:
    """Return log probabilities in the framework's form, or None where there are none."""
    if not isinstance(value, Mapping):
        return None
    from llama_index_hfrouter import _logprobs  # few ask for them

    return _logprobs.read(value)


def completion_response(response: ChatResponse) -> CompletionResponse:
    """Convert a chat answer into the answer of ``complete``. *response* is not changed."""
    return CompletionResponse(
        text=response.message.content or "",
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
        raw=response.raw,
        logprobs=response.logprobs,
        delta=response.delta,
    )
