"""A streamed chat answer as the caller holds it; ``shared_core.streaming`` moves its bytes."""

from __future__ import annotations

from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.types import ChatChunk, ChatCompletion, Usage
from shared_core.streaming.opening import AsyncStreamOpening
from shared_core.streaming.streams import AsyncStream, BaseStream, Stream

__all__ = ["AsyncChatStream", "AsyncChatStreamOpening", "ChatStream", "ChatStreamDecoder"]


class _Shared(BaseStream[ChatChunk, ChatCompletion]):
    """What both kinds of stream show besides."""

    @property
    def usage(self) -> Usage | None:
        """The last token counts that the server sent, if any yet."""
        usage: Usage | None = self._state.usage
        return usage

    def _text_of(self, piece: ChatChunk) -> str:
        return piece.text if piece.index == 0 else ""


class ChatStream(_Shared, Stream[ChatChunk, ChatCompletion]):
    """A streamed answer: iterate for :class:`ChatChunk` values.

    The connection goes back to the pool at the end, and is released at once by
    :meth:`close`, by leaving the ``with`` block, and when the object is dropped::

        with client.chat.stream("Tell me a story.") as stream:
            for text in stream.text_deltas():
                print(text, end="")
        print(stream.result().usage)

    ``text_deltas()`` are those of the first choice. Iteration raises
    :class:`~shared_core.errors.StreamError` (with what arrived in ``partial``, torn tool calls
    only in its ``incomplete_tool_calls``) when the server reports an error or the answer is cut.
    """


class AsyncChatStream(_Shared, AsyncStream[ChatChunk, ChatCompletion]):
    """:class:`ChatStream` for asyncio: ``async for``, ``async with``, ``await .result()``."""


class AsyncChatStreamOpening(AsyncStreamOpening[AsyncChatStream]):
    """A stream of chat that is not opened yet: await it, or use it with ``async with``."""
