"""Streamed events of the Responses API to ``ChatGenerationChunk``: constant work per event.

Content is a list of blocks throughout. Every block has an index of its own, a string that starts
with ``lc_``: LangChain adds up what has the same index and keeps the rest apart. Text, reasoning
and arguments are handed over as they come, everything else when its item is done; usage and
metadata stand on the closing chunk, once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessageChunk, ToolCallChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_hfrouter._responses_output import blocks_of, generation_info, kept, metadata_of
from langchain_hfrouter._results import usage_metadata
from langchain_hfrouter._stream import mark_if_torn
from langchain_hfrouter.chat_models import PROVIDER
from shared_core import CUT_REASONS, FunctionCall, OutputItem, Response, ResponseUpdate

Blocks = list[dict[str, Any]]


@dataclass(slots=True)
class _Open:
    """An item on its way.

    Attributes:
        number: Its place among the items.
        done: Whether all of it was handed over.
        parts: What was handed over of its parts in pieces, by their places.
        call: Its number among the tool calls, once its name was handed over.
        arguments: The pieces of its arguments.
    """

    number: int
    done: bool = False
    parts: dict[int, list[str]] = field(default_factory=dict)
    call: int | None = None
    arguments: list[str] = field(default_factory=list)


class UpdateConverter:
    """Converts the events of one stream.

    Args:
        requested_model: Reported when the server names no model.
    """

    heard = False
    """The core need not be asked for anything at the end: the last event has it all."""

    def __init__(self, requested_model: str) -> None:
        self._model = requested_model
        self._items: dict[str, _Open] = {}
        self._calls = 0
        self._response = Response()
        self._streamed_as: list[str | None] = []

    def convert(self, update: ResponseUpdate) -> ChatGenerationChunk | None:
        """Return what *update* adds to the answer, or None if that is nothing to show.

        Args:
            update: The next event.
        """
        if update.response is not None:
            self._response = update.response
            self._streamed_as = update.streamed_as
            return None
        value = update.item
        if value is not None:
            item = self._open(update)
            if update.type.endswith(".done"):
                return self._finish(item, value)
            if isinstance(value, FunctionCall) and value.name:
                return _chunk([], self._start(item, value))
            return None
        if update.text:
            return _said(self._open(update), update.content_index or 0, "text", update.text)
        if update.reasoning:
            return _said(self._open(update), 0, "reasoning", update.reasoning)
        if update.arguments and "function" in update.type:
            item = self._open(update)
            item.arguments.append(update.arguments)
            if item.call is not None:  # else it waits for the name
                return _chunk([], [_piece(item.call, args=update.arguments)])
        return None

    def close(
        self,
        request_id: str | None,
        inference_provider: str | None,
        received: Mapping[str, Any] | None = None,
    ) -> Iterator[ChatGenerationChunk]:
        """Yield what closes the answer: items not handed over yet, torn calls marked, metadata.

        Args:
            request_id: As for chat; the last event knows it too, and is asked.
            inference_provider: The same.
            received: The same.
        """
        for at, item in enumerate(self._response.output):
            key = self._streamed_as[at] or f"the last event's {at}"
            chunk = self._finish(self._items.setdefault(key, _Open(len(self._items))), item)
            if chunk is not None:
                yield chunk
        yield from self._marks(
            {self._calls - 1} if self._response.finish_reason in CUT_REASONS else set()
        )
        message = AIMessageChunk(
            content=[],
            additional_kwargs=kept(self._response),
            usage_metadata=usage_metadata(self._response.usage),
            response_metadata=metadata_of(self._response, self._model),
            chunk_position="last",
        )
        info = generation_info(self._response) or None
        yield ChatGenerationChunk(message=message, generation_info=info)

    def broken(self) -> Iterator[ChatGenerationChunk]:
        """Yield what marks torn calls as such when the stream broke off, if there are any."""
        return self._marks({item.call for item in self._items.values() if not item.done})

    def _marks(self, cut: Collection[int | None]) -> Iterator[ChatGenerationChunk]:
        torn = [
            _piece(item.call, args=mark)
            for item in self._items.values()
            if item.call is not None
            and (mark := mark_if_torn("".join(item.arguments), cut=item.call in cut))
        ]
        if torn:
            yield _made([], torn)

    def _open(self, update: ResponseUpdate) -> _Open:
        """Return the item that an event belongs to; the core matches them the same way."""
        key = update.item_id or f"#{update.output_index}"
        return self._items.setdefault(key, _Open(len(self._items)))

    def _start(self, item: _Open, value: FunctionCall) -> list[ToolCallChunk]:
        """Return the name of a call, once: LangChain would add up what is said twice."""
        if item.call is not None:
            return []
        item.call, self._calls = self._calls, self._calls + 1
        return [_piece(item.call, id=value.call_id, name=value.name, args="".join(item.arguments))]

    def _finish(self, item: _Open, value: OutputItem) -> ChatGenerationChunk | None:
        """Return what of a whole item was not handed over yet."""
        if item.done:
            return None
        item.done = True
        if isinstance(value, FunctionCall):
            pieces = self._start(item, value)
            came = "".join(item.arguments)
            rest = value.arguments[len(came) :] if value.arguments.startswith(came) else ""
            if rest:
                item.arguments.append(rest)
                pieces.append(_piece(item.call, args=rest))
            return _chunk([], pieces)
        blocks = [
            {**new, "index": _index(item, at, block["type"])}
            for at, block in enumerate(blocks_of(value))
            if (new := _rest(block, item.parts.get(at)))
        ]
        return _chunk(blocks)


_IN_PIECES = ("text", "reasoning")  # blocks that have their words under the name of their type
_SHORT = {"text": "txt", "reasoning": "rs", "refusal": "rf"}


def _index(item: _Open, at: int, kind: str) -> str:
    return f"lc_{_SHORT.get(kind, 'it')}_{item.number}_{at}"


def _said(item: _Open, at: int, kind: str, words: str) -> ChatGenerationChunk:
    """Return new words of a part of an item."""
    item.parts.setdefault(at, []).append(words)
    return _made([{"type": kind, kind: words, "index": _index(item, at, kind)}], [])


def _rest(block: dict[str, Any], pieces: list[str] | None) -> dict[str, Any]:
    """Return a block without the words that were handed over; nothing if that was all."""
    kind = block["type"]
    if pieces is None or kind not in _IN_PIECES:
        return block
    words, came = block[kind], "".join(pieces)
    more = words[len(came) :] if words.startswith(came) else ""
    return {**block, kind: more} if more or block.keys() - {"type", kind} else {}


def _piece(
    call: int | None, *, id: str | None = None, name: str | None = None, args: str = ""
) -> ToolCallChunk:
    return ToolCallChunk(type="tool_call_chunk", index=call, id=id, name=name, args=args)


def _chunk(blocks: Blocks, pieces: list[ToolCallChunk] | None = None) -> ChatGenerationChunk | None:
    return _made(blocks, pieces or []) if blocks or pieces else None


def _made(blocks: Blocks, pieces: list[ToolCallChunk]) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content=list(blocks),
        tool_call_chunks=pieces,
        response_metadata={"model_provider": PROVIDER},
    )
    return ChatGenerationChunk(message=message)
