"""A streamed text generation as the caller holds it; ``shared_core.streaming`` moves its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from shared_core.streaming.opening import AsyncStreamOpening
from shared_core.streaming.streams import AsyncStream, BaseStream, Stream
from shared_core.tasks.generated import Generation, GenerationChunk

if TYPE_CHECKING:
    from shared_core.tasks.stream_state import StreamState


class _Shared(BaseStream[GenerationChunk, Generation]):
    """What both kinds of stream show besides; ``partial`` is what was handed over so far."""

    @property
    def text(self) -> str:
        """The text handed over so far."""
        return cast("StreamState", self._state).text


class TextStream(_Shared, Stream[GenerationChunk, Generation]):
    """A streamed text: iterate for :class:`GenerationChunk` values, one per token.

    The connection is given back at the end, and released at once by :meth:`close` and by
    leaving the ``with`` block.
    """


class AsyncTextStream(_Shared, AsyncStream[GenerationChunk, Generation]):
    """:class:`TextStream` for asyncio."""


class AsyncTextStreamOpening(AsyncStreamOpening[AsyncTextStream]):
    """A streamed text that is not opened yet: await it, or use it with ``async with``."""
