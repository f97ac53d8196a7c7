"""Tool calling: what is sent, and what is read from answers that may still be arriving."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing, closing
from typing import Any

import pydantic_core
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool

from llama_index_hfrouter._messages import parsed_arguments
from llama_index_hfrouter._stream import first_call_only
from llama_index_hfrouter._structured import StructuredPredicting
from shared_core import CUT_REASONS

_CHOICES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}


class ToolCalling(StructuredPredicting):
    """``chat_with_tools`` and its relatives."""

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = list(chat_history or [])
        if isinstance(user_msg, str):
            user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
        if user_msg is not None:
            messages.append(user_msg)
        prepared: dict[str, Any] = {"messages": messages, **kwargs}
        specs = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        if specs:
            prepared["tools"] = specs
            choice = _tool_choice(tool_choice, tool_required)
            if choice is not None:
                prepared["tool_choice"] = choice
        return prepared

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        refuse_torn_calls(response)
        return response if allow_parallel_tool_calls else first_call_only(response)

    def stream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseGen:
        """Chat with tools, piece by piece; one call at most unless parallel calls are allowed.

        Raises:
            ToolCallArgumentsError: At the end: a call was cut off, or its arguments are no JSON
                object.
        """
        stream = super().stream_chat_with_tools(
            tools,
            user_msg=user_msg,
            chat_history=chat_history,
            verbose=verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            tool_required=tool_required,
            **kwargs,
        )
        return _whole_calls(stream, one=not allow_parallel_tool_calls)

    async def astream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseAsyncGen:
        """Chat with tools, piece by piece; one call at most unless parallel calls are allowed.

        Raises:
            ToolCallArgumentsError: At the end: a call was cut off, or its arguments are no JSON
                object.
        """
        stream = await super().astream_chat_with_tools(
            tools,
            user_msg=user_msg,
            chat_history=chat_history,
            verbose=verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            tool_required=tool_required,
            **kwargs,
        )
        return _awhole_calls(stream, one=not allow_parallel_tool_calls)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of *response*, which may be a piece of a stream.

        Arguments that cannot be read never raise here: while a call is still arriving they are
        what is readable so far, in a finished answer nothing. ``chat_with_tools``,
        ``stream_chat_with_tools`` and their twins, which agents use, refuse such an answer.

        Args:
            response: A whole answer, or any response of a stream.
            error_on_no_tool_call: Whether the absence of calls is an error.
            **kwargs: Ignored.

        Raises:
            NoToolCallError: There is none (only if *error_on_no_tool_call*).
        """
        calls = _calls(response.message)
        finished = "finish_reason" in response.additional_kwargs
        selections = [
            ToolSelection(
                tool_id=call_id or f"call_{number}",
                tool_name=name,
                tool_kwargs=_object(arguments, partial=not finished) or {},
            )
            for number, (call_id, name, arguments) in enumerate(calls)
            if name
        ]
        if not selections and error_on_no_tool_call:
            from llama_index_hfrouter._errors import NoToolCallError

            text = response.message.content or ""
            raise NoToolCallError("the model called no tool and wrote text instead", text=text)
        return selections


def _tool_choice(
    choice: str | dict[str, Any] | None, required: bool
) -> str | dict[str, Any] | None:
    if choice is None:
        return "required" if required else None
    if isinstance(choice, dict):
        return choice
    return _CHOICES.get(choice) or {"type": "function", "function": {"name": choice}}


def _calls(message: ChatMessage) -> list[tuple[str | None, str, Any]]:
    found: list[tuple[str | None, str, Any]] = [
        (block.tool_call_id, block.tool_name, block.tool_kwargs)
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    if found:
        return found
    listed = message.additional_kwargs.get("tool_calls")
    for call in listed if isinstance(listed, list) else ():
        data = call.model_dump() if hasattr(call, "model_dump") else call
        if isinstance(data, dict):
            function = data.get("function") or data
            if isinstance(function, dict):
                name = str(function.get("name") or "")
                found.append((data.get("id"), name, function.get("arguments")))
    return found


def refuse_torn_calls(response: ChatResponse) -> None:
    """Refuse a finished answer with a tool call that nobody may run.

    Args:
        response: A whole answer, or the last response of a stream.

    Raises:
        ToolCallArgumentsError: The answer was cut off inside the arguments of a call, or these
            are no JSON object.
    """
    if "finish_reason" not in response.additional_kwargs:
        return  # still arriving
    reason = response.additional_kwargs["finish_reason"]
    cut = reason in CUT_REASONS
    calls = [call for call in _calls(response.message) if call[1]]
    for number, (_, name, arguments) in enumerate(calls, 1):
        value = _object(arguments)
        # No arguments at the end of a cut answer may be arguments that never came.
        if value is not None and (value or not (cut and number == len(calls))):
            continue
        from llama_index_hfrouter._errors import ToolCallArgumentsError

        what = f"the arguments of tool {name!r} are not a JSON object"
        if cut:
            what = (
                f"the answer was cut off (finish_reason {reason!r}) in the arguments of tool "
                f"{name!r}"
            )
        raise ToolCallArgumentsError(
            what,
            guidance="Raise max_tokens, or ask for less in one call." if cut else None,
            response=response,
            text=arguments if isinstance(arguments, str) else json.dumps(arguments, default=str),
            tool=name,
        )


def _object(arguments: Any, *, partial: bool = False) -> dict[str, Any] | None:
    """Return arguments as a dict, None if they are no object, nor the beginning of one."""
    if arguments is None:
        return {}
    if not isinstance(arguments, str):
        return arguments if isinstance(arguments, dict) else None
    if not partial:
        value: Any = parsed_arguments(arguments)
    else:
        try:
            value = pydantic_core.from_json(arguments, allow_partial="trailing-strings")
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def _whole_calls(stream: ChatResponseGen, *, one: bool) -> ChatResponseGen:
    """Yield each response, with at most *one* call; refuse torn calls at the end."""
    last = None
    with closing(stream):
        for last in stream:
            yield first_call_only(last) if one else last
    if last is not None:
        refuse_torn_calls(last)


async def _awhole_calls(stream: ChatResponseAsyncGen, *, one: bool) -> ChatResponseAsyncGen:
    """Yield each response, with at most *one* call; refuse torn calls at the end."""
    last = None
    async with aclosing(stream):
        async for last in stream:
            yield first_call_only(last) if one else last
    if last is not None:
        refuse_torn_calls(last)
