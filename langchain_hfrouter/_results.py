"""Core completions to LangChain messages: content, tool calls, usage, metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, InvalidToolCall
from langchain_core.messages import ToolCall as LangChainToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_hfrouter.chat_models import PROVIDER
from shared_core import ChatCompletion, Choice, ToolArgumentsError, ToolCall, Usage


def chat_result(completion: ChatCompletion, requested_model: str) -> ChatResult:
    """Convert a whole answer; one generation per choice.

    Args:
        completion: The answer.
        requested_model: Reported when the server names no model.
    """
    usage = usage_metadata(completion.usage)
    generations = []
    for position, choice in enumerate(completion.choices):
        metadata = answer_metadata(
            model=completion.model or requested_model,
            id=completion.id,
            created=completion.created,
            finish_reason=choice.finish_reason,
            system_fingerprint=completion.system_fingerprint,
            logprobs=choice.logprobs,
            request_id=completion.request_id,
            inference_provider=completion.provider,
            usage=completion.usage,
        )
        generations.append(
            ChatGeneration(
                # The usage is of the whole call: it stands on the first message only.
                message=_message(choice, metadata, usage if position == 0 else None),
                generation_info=_generation_info(metadata),
            )
        )
    return ChatResult(generations=generations)


def _generation_info(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: metadata[name] for name in ("finish_reason", "logprobs") if name in metadata}


def _message(choice: Choice, metadata: dict[str, Any], usage: UsageMetadata | None) -> AIMessage:
    answer = choice.message
    kept: dict[str, Any] = {}
    if answer.reasoning:
        kept["reasoning_content"] = answer.reasoning
    if answer.refusal:
        kept["refusal"] = answer.refusal
    kept.update(sides(answer.received))
    calls, invalid = tool_calls(answer.tool_calls)
    return AIMessage(
        content=answer.text,
        additional_kwargs=kept,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=usage,
        response_metadata=metadata,
    )


_TOO_LARGE = 2**63
"""Whole numbers from here on do not fit into MessagePack, which LangGraph saves states in."""

SIDES = ("audio", "annotations")
"""What answers hold besides text that has a place in LangChain's messages."""


def sides(received: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sound and the annotations of an answer, for ``additional_kwargs``.

    Args:
        received: What came besides the usual.
    """
    return {name: plain(received[name]) for name in SIDES if name in received}


def tool_calls(
    calls: list[ToolCall],
) -> tuple[list[LangChainToolCall], list[InvalidToolCall]]:
    """Split calls into those whose arguments are a JSON object and those that are not.

    Args:
        calls: As the model wrote them.

    Returns:
        Usable calls and broken ones, the latter with the raw text and the reason.
    """
    good: list[LangChainToolCall] = []
    bad: list[InvalidToolCall] = []
    for call in calls:
        try:
            arguments = arguments_of(call)
        except ToolArgumentsError as error:
            bad.append(
                InvalidToolCall(
                    type="invalid_tool_call",
                    id=call.id,
                    name=call.name,
                    args=call.arguments,
                    error=error.message,
                )
            )
        else:
            good.append(
                LangChainToolCall(type="tool_call", id=call.id, name=call.name, args=arguments)
            )
    return good, bad


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """Return the arguments of *call*; line breaks inside strings are let pass, as LangChain does.

    Args:
        call: The call.

    Raises:
        ToolArgumentsError: They are not a JSON object.
    """
    try:
        return call.parse()
    except ToolArgumentsError:
        try:
            value = json.loads(call.arguments, strict=False)
        except ValueError:
            value = None
        if isinstance(value, dict):
            return value
        raise


def answer_metadata(
    *,
    model: str,
    id: str,
    created: int | None,
    finish_reason: str | None,
    system_fingerprint: str | None,
    logprobs: Any,
    request_id: str | None,
    inference_provider: str | None,
    usage: Usage | None,
) -> dict[str, Any]:
    """Return ``response_metadata``: what is known, as JSON values, nothing that is None."""
    known = {
        "model_name": model,
        "finish_reason": finish_reason,
        "id": id or None,
        "created": created,
        "system_fingerprint": system_fingerprint or None,
        "logprobs": plain(logprobs),
        "request_id": request_id,
        "inference_provider": inference_provider,
        "cost": None if usage is None else usage.cost,
    }
    return {
        "model_provider": PROVIDER,
        **{name: value for name, value in known.items() if value is not None},
    }


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Convert token counts: ints only, details only where the server counted them.

    Args:
        usage: The server's counts, or None.
    """
    if usage is None:
        return None
    prompt, completion = int(usage.prompt_tokens), int(usage.completion_tokens)
    counts = UsageMetadata(
        input_tokens=prompt,
        output_tokens=completion,
        total_tokens=int(usage.total_tokens) or prompt + completion,
    )
    into = {
        "audio": usage.audio_input_tokens,
        "cache_read": usage.cached_tokens,
        "cache_creation": usage.cache_write_tokens,
    }
    out = {"audio": usage.audio_output_tokens, "reasoning": usage.reasoning_tokens}
    if details := _counted(into):
        counts["input_token_details"] = cast("InputTokenDetails", details)
    if details := _counted(out):
        counts["output_token_details"] = cast("OutputTokenDetails", details)
    return counts


def _counted(details: Mapping[str, int | None]) -> dict[str, int]:
    return {name: int(count) for name, count in details.items() if count is not None}


def plain(value: Any) -> Any:
    """Return a JSON value with None for numbers that JSON, or a checkpoint, cannot hold.

    Args:
        value: What a server sent: perhaps NaN, ``1e999``, or a whole number of 300 digits.
    """
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) < _TOO_LARGE else None
    return value
