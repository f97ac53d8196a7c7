"""Streamed chunks to cumulative responses, with constant work per chunk.

Each response gets a message and dictionaries of its own (the framework changes them in
place); blocks that did not change are shared between messages. Objects are put together
without validation, because everything in them was made here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import BaseModel

from llama_index_hfrouter._messages import (
    call_dict,
    completion_response,
    known,
    logprobs_of,
    parsed_arguments,
    usage_counters,
    with_counts,
)
from shared_core import ChatChunk, ChatCompletion, ToolCallDelta, Usage

if TYPE_CHECKING:
    from shared_core import AsyncChatStream, ChatStream

M = TypeVar("M", bound=BaseModel)
F = TypeVar("F", bound=Callable[..., Any])


def _made(cls: type[M], values: dict[str, Any]) -> M:
    """Return a model with *values* for all its fields, unchecked.

    What ``model_construct`` does, in a third of its time.
    """
    model = cls.__new__(cls)
    put = object.__setattr__
    put(model, "__dict__", values)
    put(model, "__pydantic_fields_set__", set(values))
    put(model, "__pydantic_extra__", None)
    put(model, "__pydantic_private__", None)
    return model


class Assembler:
    """Turns the chunks of one answer into responses with a cumulative message.

    Args:
        request_id: The server's id of the exchange.
        provider: Who serves the call.
    """

    def __init__(self, request_id: str | None = None, provider: str | None = None) -> None:
        self._about = known(request_id=request_id, inference_provider=provider)
        self._text = ""
        self._reasoning = ""
        self._refusal = ""
        self._usage: Usage | None = None
        self._usage_raw: Any = None
        self._calls: list[ToolCallDelta] = []
        self._call_blocks: list[ToolCallBlock] = []
        self._call_dicts: list[dict[str, Any]] = []
        self._finished = False

    def add(self, chunk: ChatChunk) -> ChatResponse:
        """Return the response for *chunk*. Chunks of further choices (``n`` > 1) add nothing."""
        mine = chunk.index == 0
        raw = chunk.raw if isinstance(chunk.raw, dict) else dict(chunk.raw)
        if chunk.usage is not None:
            self._usage = chunk.usage
            raw = with_counts(raw, chunk.usage)
            self._usage_raw = raw["usage"]
            self._about.update(usage_counters(chunk.usage))
        elif self._usage_raw is not None or raw.get("usage"):
            # Consumers keep the last response only, and read the usage from its raw.
            raw = {**raw, "usage": self._usage_raw}
        if mine:
            self._take(chunk)
        extra = dict(self._about)
        if mine and chunk.reasoning:
            extra["thinking_delta"] = chunk.reasoning
        return _made(
            ChatResponse,
            {
                "message": self._message(),
                "raw": raw,
                "delta": (chunk.text or chunk.refusal) if mine else "",
                "logprobs": logprobs_of(chunk.logprobs) if mine and chunk.logprobs else None,
                "additional_kwargs": extra,
            },
        )

    def _take(self, chunk: ChatChunk) -> None:
        if chunk.model:
            self._about["model"] = chunk.model
        self._text += chunk.text or chunk.refusal
        self._refusal += chunk.refusal
        self._reasoning += chunk.reasoning
        for delta in chunk.tool_calls:
            self._take_call(delta)
        if chunk.finish_reason:
            self._about["finish_reason"] = chunk.finish_reason
            self._finish()

    def _take_call(self, delta: ToolCallDelta) -> None:
        at = delta.index
        while at >= len(self._calls):
            position = len(self._calls)
            self._calls.append(ToolCallDelta(position, id=f"call_{position}", name=""))
            self._call_blocks.append(ToolCallBlock(tool_name="", tool_kwargs=""))
            self._call_dicts.append({})
        call = self._calls[at]
        call.id = delta.id or call.id
        call.name = delta.name or call.name
        call.arguments += delta.arguments
        self._show(at, parsed_arguments(call.arguments) if self._finished else call.arguments)

    def _show(self, at: int, arguments: dict[str, Any] | str) -> None:
        call = self._calls[at]
        self._call_blocks[at] = _made(
            ToolCallBlock,
            {
                "block_type": "tool_call",
                "tool_call_id": call.id,
                "tool_name": call.name,
                "tool_kwargs": arguments,
            },
        )
        self._call_dicts[at] = call_dict(call.id or "", call.name or "", call.arguments)

    def _finish(self) -> None:
        self._finished = True
        for at, call in enumerate(self._calls):
            self._show(at, parsed_arguments(call.arguments))

    def differs_from(self, whole: ChatCompletion) -> bool:
        """Tell whether the end of the stream changed what its pieces said.

        That is so when ``</think>`` came without its beginning: what had been handed out as
        text was reasoning.
        """
        return not self._refusal and bool(whole.choices) and whole.text != self._text

    def corrected(self, whole: ChatCompletion) -> ChatResponse:
        """Return the last response anew, with the text and reasoning of the whole answer."""
        self._text, self._reasoning = whole.text, whole.reasoning or ""
        raw = {"choices": [], "usage": self._usage_raw}
        return self.add(ChatChunk(raw=raw))

    def _message(self) -> ChatMessage:
        blocks: list[Any] = []
        if self._reasoning:
            counted = self._usage.reasoning_tokens if self._usage else None
            blocks.append(
                _made(
                    ThinkingBlock,
                    {
                        "block_type": "thinking",
                        "content": self._reasoning,
                        "num_tokens": counted,
                        "additional_information": {},
                    },
                )
            )
        if self._text or not self._calls:
            blocks.append(_made(TextBlock, {"block_type": "text", "text": self._text}))
        extra: dict[str, Any] = {}
        if self._calls:
            blocks += self._call_blocks
            extra["tool_calls"] = [
                {**call, "function": dict(call["function"])} for call in self._call_dicts if call
            ]
        if self._refusal:
            extra["refusal"] = self._refusal
        return _made(
            ChatMessage,
            {"role": MessageRole.ASSISTANT, "additional_kwargs": extra, "blocks": blocks},
        )


_opened: ContextVar[list[Any] | None] = ContextVar("hfrouter_opened", default=None)


def responses(stream: ChatStream) -> ChatResponseGen:
    """Yield a response per chunk; the connection is released however the iteration ends."""
    _note(stream)
    return _responses(stream)


def _responses(stream: ChatStream) -> ChatResponseGen:
    assembler = Assembler(stream.request_id, stream.provider)
    with stream:
        for chunk in stream:
            yield assembler.add(chunk)
        if assembler.differs_from(whole := stream.result()):
            yield assembler.corrected(whole)


def aresponses(stream: AsyncChatStream) -> ChatResponseAsyncGen:
    """Yield a response per chunk; the connection is released however the iteration ends."""
    _note(stream)
    return _aresponses(stream)


async def _aresponses(stream: AsyncChatStream) -> ChatResponseAsyncGen:
    assembler = Assembler(stream.request_id, stream.provider)
    async with stream:
        async for chunk in stream:
            yield assembler.add(chunk)
        if assembler.differs_from(whole := await stream.result()):
            yield assembler.corrected(whole)


def _note(stream: Any) -> None:
    opened = _opened.get()
    if opened is not None:
        opened.append(stream)


def released(method: F) -> F:
    """Make closing the stream that *method* returns close its connection too.

    To stand above the framework's callback decorator. That one drops our stream without
    closing it, and an event handler that keeps the exception event keeps the stream with it.
    """
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def aopen(*args: Any, **kwargs: Any) -> Any:
            opened: list[Any] = []
            token = _opened.set(opened)
            try:
                stream = await method(*args, **kwargs)
            finally:
                _opened.reset(token)
            return _areleasing(stream, _taken(opened))

        return cast(F, aopen)

    @functools.wraps(method)
    def open_(*args: Any, **kwargs: Any) -> Any:
        opened: list[Any] = []
        token = _opened.set(opened)
        try:
            stream = method(*args, **kwargs)
        finally:
            _opened.reset(token)
        return _releasing(stream, _taken(opened))

    return cast(F, open_)


def _taken(opened: list[Any]) -> list[Any]:
    # Timers of the event loop keep copies of the context, and with it the list.
    taken = list(opened)
    opened.clear()
    return taken


def _releasing(stream: Generator[Any, None, None], opened: list[Any]) -> Any:
    try:
        yield from stream
    finally:
        for one in opened:
            one.close()


async def _areleasing(stream: AsyncGenerator[Any, None], opened: list[Any]) -> Any:
    try:
        async with aclosing(stream):
            async for response in stream:
                yield response
    finally:
        for one in opened:
            await one.aclose()


def completions(stream: ChatResponseGen) -> CompletionResponseGen:
    """Yield the completion for each chat response."""
    with closing(stream):
        for response in stream:
            yield completion_response(response)


async def acompletions(stream: ChatResponseAsyncGen) -> CompletionResponseAsyncGen:
    """Yield the completion for each chat response."""
    async with aclosing(stream):
        async for response in stream:
            yield completion_response(response)


def first_call_only(response: ChatResponse) -> ChatResponse:
    """Return *response* with at most one tool call, for callers that forbid parallel calls."""
    message = response.message
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    listed = message.additional_kwargs.get("tool_calls") or []
    if len(calls) <= 1 and len(listed) <= 1:
        return response
    dropped = calls[1:]
    kept = [block for block in message.blocks if not any(block is call for call in dropped)]
    extra = {**message.additional_kwargs, "tool_calls": list(listed[:1])}
    update = {"blocks": kept, "additional_kwargs": extra}
    return response.model_copy(update={"message": message.model_copy(update=update)})
