"""The four ways to call a chat model: whole or streamed, blocking or awaited.

Loaded by the first call, so that importing the class stays cheap.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from langchain_hfrouter import _params
from langchain_hfrouter._errors import dual_errors
from langchain_hfrouter._messages import to_core
from langchain_hfrouter._results import chat_result
from langchain_hfrouter._stream import ChunkConverter

if TYPE_CHECKING:
    from langchain_hfrouter.chat_models import ChatHFRouter


def generate(
    model: ChatHFRouter,
    messages: list[BaseMessage],
    stop: list[str] | None,
    kwargs: Mapping[str, Any],
) -> ChatResult:
    """Return the whole answer; see ``BaseChatModel._generate``."""
    with dual_errors:
        params = _params.of_call(model, stop, kwargs)
        completion = model.sync_client().chat.create(to_core(messages), **params)
        return chat_result(completion, params["model"])


async def agenerate(
    model: ChatHFRouter,
    messages: list[BaseMessage],
    stop: list[str] | None,
    kwargs: Mapping[str, Any],
) -> ChatResult:
    """Return the whole answer; see ``BaseChatModel._agenerate``."""
    with dual_errors:
        params = _params.of_call(model, stop, kwargs)
        completion = await model.async_client().chat.create(to_core(messages), **params)
        return chat_result(completion, params["model"])


# LangChain announces new tokens itself: doing it in the streams too would count them twice.


def stream(
    model: ChatHFRouter,
    messages: list[BaseMessage],
    stop: list[str] | None,
    kwargs: Mapping[str, Any],
) -> Iterator[ChatGenerationChunk]:
    """Yield the answer in chunks; see ``BaseChatModel._stream``."""
    with dual_errors:
        params = _params.of_call(model, stop, kwargs, stream=True)
        converter = ChunkConverter(params["model"])
        with model.sync_client().chat.stream(to_core(messages), **params) as chunks:
            for chunk in chunks:
                converted = converter.convert(chunk)
                if converted is not None:
                    yield converted
            # Sound comes in pieces; the core has joined them.
            whole = chunks.result().choices[0].message.received if converter.heard else None
            yield from converter.close(chunks.request_id, chunks.provider, whole)


async def astream(
    model: ChatHFRouter,
    messages: list[BaseMessage],
    stop: list[str] | None,
    kwargs: Mapping[str, Any],
) -> AsyncIterator[ChatGenerationChunk]:
    """Yield the answer in chunks; see ``BaseChatModel._astream``."""
    with dual_errors:
        params = _params.of_call(model, stop, kwargs, stream=True)
        converter = ChunkConverter(params["model"])
        async with model.async_client().chat.stream(to_core(messages), **params) as chunks:
            async for chunk in chunks:
                converted = converter.convert(chunk)
                if converted is not None:
                    yield converted
            whole = None
            if converter.heard:
                whole = (await chunks.result()).choices[0].message.received
            for closing in converter.close(chunks.request_id, chunks.provider, whole):
                yield closing
