"""Tool calling: what is sent, and what is read from answers that may still be arriving."""

from __future__ import annotations

import json
from collections.abc import Sequence
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

from llama_index_hfrouter._messages import ENDS_THAT_CUT, parsed_arguments
from llama_index_hfrouter._stream import afirst_calls, first_call_only, first_calls
from llama_index_hfrouter._structured import StructuredPredicting

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
        """Chat with tools, piece by piece; one call at most unless parallel calls are allowed."""
        stream = super().stream_chat_with_tools(
            tools,
            user_msg=user_msg,
            chat_history=chat_history,
            verbose=verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            tool_required=tool_required,
            **kwargs,
        )
        return stream if allow_parallel_tool_calls else first_calls(stream)

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
        """Chat with tools, piece by piece; one call at most unless parallel calls are allowed."""
        stream = await super().astream_chat_with_tools(
            tools,
            user_msg=user_msg,
            chat_history=chat_history,
            verbose=verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            tool_required=tool_required,
            **kwargs,
        )
        return stream if allow_parallel_tool_calls else afirst_calls(stream)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of *response*, which may be a piece of a stream.

        While a call is still arriving, its arguments are those that are readable so far, and
        nothing is raised for them. In a finished answer, arguments that are not a JSON object
        are refused: a tool must run neither with half of a path nor with nothing.

        Args:
            response: A whole answer, or any response of a stream.
            error_on_no_tool_call: Whether the absence of calls is an error.
            **kwargs: Ignored.

        Raises:
            NoToolCallError: There is none (only if *error_on_no_tool_call*).
            ToolCallArgumentsError: The answer is finished, and the arguments of a call are cut
                off or no JSON object.
        """
        calls = _calls(response.message)
        selections = [
            ToolSelection(
                tool_id=call_id or f"call_{number}",
                tool_name=name,
                tool_kwargs=_kwargs(name, arguments, response, last=number == len(calls) - 1),
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


def _kwargs(name: str, arguments: Any, response: ChatResponse, *, last: bool) -> dict[str, Any]:
    if "finish_reason" in response.additional_kwargs:
        return _whole_kwargs(name, arguments, response, last=last)
    if not isinstance(arguments, str):
        return arguments if isinstance(arguments, dict) else {}
    try:
        value = pydantic_core.from_json(arguments, allow_partial="trailing-strings")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _whole_kwargs(
    name: str, arguments: Any, response: ChatResponse, *, last: bool
) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, default=str)
    value = arguments if isinstance(arguments, dict) else parsed_arguments(text)
    reason = response.additional_kwargs["finish_reason"]
    cut = reason in ENDS_THAT_CUT
    # No arguments at the end of a cut answer may be arguments that never came.
    if isinstance(value, dict) and (value or not (cut and last)):
        return value
    from llama_index_hfrouter._errors import ToolCallArgumentsError

    if cut:
        raise ToolCallArgumentsError(
            f"the answer was cut off (finish_reason {reason!r}) in the arguments of tool {name!r}",
            guidance="Raise max_tokens, or ask for less in one call.",
            response=response,
            text=text,
            tool=name,
        )
    raise ToolCallArgumentsError(
        f"the arguments of tool {name!r} are not a JSON object",
        response=response,
        text=text,
        tool=name,
    )
