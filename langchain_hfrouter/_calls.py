"""The four ways to call a chat model: whole or streamed, blocking or awaited.

Loaded by the first call, so that importing the class stays cheap.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from langchain_hfrouter import _params
from langchain_hfrouter._errors import dual_errors
from langchain_hfrouter._messages import to_core
from langchain_hfrouter._results import chat_result
from langchain_hfrouter._stream import ChunkConverter
from shared_core import RouterError

if TYPE_CHECKING:
    from langchain_hfrouter.chat_models import ChatHFRouter


class Api(NamedTuple):
    """One of the core's APIs that answer a conversation, with the conversions for it."""

    name: str
    """Attribute of the core's clients."""

    prepare: Callable[..., tuple[Any, dict[str, Any]]]
    """From a model and a call to what is asked and the core's parameters."""

    result: Callable[[Any, str], ChatResult]
    """From the core's answer to LangChain's."""

    converter: Callable[[str], Any]
    """Makes what converts the pieces of a stream."""


def _prepare(
    model: ChatHFRouter,
    messages: list[BaseMessage],
    stop: list[str] | None,
    kwargs: Mapping[str, Any],
    stream: bool,
) -> tuple[Any, dict[str, Any]]:
    params = _params.of_call(model, stop, kwargs, stream=stream)
    return to_core(messages), params


_CHAT = Api("chat", _prepare, chat_result, ChunkConverter)


def _api(model: ChatHFRouter, kwargs: Mapping[str, Any]) -> Api:
    wanted = kwargs.get("use_responses_api")
    if model.use_responses_api if wanted is None else wanted:
        from langchain_hfrouter import _responses

        return _responses.API
    return _CHAT


def generate(
    model: ChatHFRouter,
    messages: list[BaseMessage],
    stop: list[str] | None,
    kwargs: Mapping[str, Any],
) -> ChatResult:
    """Return the whole answer; see ``BaseChatModel._generate``."""
    with dual_errors:
        api = _api(model, kwargs)
        asked, params = api.prepare(model, messages, stop, kwargs, False)
        answer = getattr(model.sync_client(), api.name).create(asked, **params)
        return api.result(answer, params["model"])


async def agenerate(
    model: ChatHFRouter,
    messages: list[BaseMessage],
    stop: list[str] | None,
    kwargs: Mapping[str, Any],
) -> ChatResult:
    """Return the whole answer; see ``BaseChatModel._agenerate``."""
    with dual_errors:
        api = _api(model, kwargs)
        asked, params = api.prepare(model, messages, stop, kwargs, False)
        answer = await getattr(model.async_client(), api.name).create(asked, **params)
        return api.result(answer, params["model"])


# LangChain announces new tokens itself: doing it in the streams too would count them twice.
# What a caller has added up when a stream breaks off must not show half a call as a whole one: the
# marks of torn calls come before the error.


def stream(
    model: ChatHFRouter,
    messages: list[BaseMessage],
    stop: list[str] | None,
    kwargs: Mapping[str, Any],
) -> Iterator[ChatGenerationChunk]:
    """Yield the answer in chunks; see ``BaseChatModel._stream``."""
    with dual_errors:
        api = _api(model, kwargs)
        asked, params = api.prepare(model, messages, stop, kwargs, True)
        converter = api.converter(params["model"])
        with getattr(model.sync_client(), api.name).stream(asked, **params) as chunks:
            try:
                for chunk in chunks:
                    converted = converter.convert(chunk)
                    if converted is not None:
                        yield converted
            except RouterError:
                yield from converter.broken()
                raise
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
        api = _api(model, kwargs)
        asked, params = api.prepare(model, messages, stop, kwargs, True)
        converter = api.converter(params["model"])
        async with getattr(model.async_client(), api.name).stream(asked, **params) as chunks:
            try:
                async for chunk in chunks:
                    converted = converter.convert(chunk)
                    if converted is not None:
                        yield converted
            except RouterError:
                for mark in converter.broken():
                    yield mark
                raise
            whole = None
            if converter.heard:
                whole = (await chunks.result()).choices[0].message.received
            for closing in converter.close(chunks.request_id, chunks.provider, whole):
                yield closing
