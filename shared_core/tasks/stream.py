"""A streamed text generation (TGI's own form), blocking and for asyncio.

What the bytes mean is decided once, in ``shared_core.tasks.stream_state``; the two public
classes only move packets.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from shared_core.errors import APIError
from shared_core.tasks.generated import Generation, GenerationChunk
from shared_core.tasks.stream_state import StreamState

if TYPE_CHECKING:
    from shared_core.flow import Outcome
    from shared_core.wire.messages import AsyncWireStream, Headers, WireStream


class _Shared:
    """What both kinds of stream show of their state."""

    _state: StreamState

    @property
    def text(self) -> str:
        """The text handed over so far."""
        return self._state.text

    @property
    def partial(self) -> Generation:
        """What was handed over so far."""
        return self._state.partial()

    @property
    def headers(self) -> Headers:
        """Response headers."""
        return self._state.headers

    @property
    def request_id(self) -> str | None:
        """The server's id of the exchange."""
        return self._state.request_id

    def _when_ended(self, told: Callable[[Outcome], None]) -> None:
        """Call *told* once with how the stream ended (see ``shared_core.flow.when_ended``)."""
        self._state.when_ended(told)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state!r}>"


class TextStream(_Shared, Iterator[GenerationChunk]):
    """A streamed text: iterate for :class:`GenerationChunk` values, one per token.

    The connection is given back at the end, and released at once by :meth:`close` and by
    leaving the ``with`` block.
    """

    def __init__(self, source: WireStream | None, state: StreamState) -> None:
        self._state = state
        self._source = source
        self._packets: Iterator[bytes] | None = None if source is None else iter(source)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> GenerationChunk:
        state = self._state
        while True:
            found = state.take()
            if found is not None:
                return found
            if state.over:
                self._end()
            if self._packets is None:
                raise StopIteration
            self._read(self._packets)

    def _read(self, packets: Iterator[bytes]) -> None:
        try:
            packet = next(packets, None)
        except APIError as error:
            self._state.lost(error)
        except BaseException:
            self.close()
            raise
        else:
            if self._state.packet(packet) and self._source is not None:
                self._source.keep_alive()

    def _end(self) -> None:
        source, self._source, self._packets = self._source, None, None
        if source is not None:
            try:
                if self._state.error is None:
                    with contextlib.suppress(APIError):
                        source.drain()
            finally:
                source.close()
        self._state.settle()

    def text_deltas(self) -> Iterator[str]:
        """Yield only the new text, never an empty string.

        Raises:
            StreamError: The answer failed or was cut.
        """
        for found in self:
            if found.text:
                yield found.text

    def result(self) -> Generation:
        """Read to the end and return the whole text.

        Raises:
            StreamError: The answer failed, was cut, or the stream was closed before its end.
        """
        for _ in self:
            pass
        return self._state.result()

    def close(self) -> None:
        """Release the connection. Safe to call twice."""
        source, self._source, self._packets = self._source, None, None
        if source is not None:
            self._state.close()
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncTextStream(_Shared, AsyncIterator[GenerationChunk]):
    """:class:`TextStream` for asyncio."""

    def __init__(self, source: AsyncWireStream | None, state: StreamState) -> None:
        self._state = state
        self._source = source
        self._packets: AsyncIterator[bytes] | None = None if source is None else aiter(source)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> GenerationChunk:
        state = self._state
        while True:
            found = state.take()
            if found is not None:
                return found
            if state.over:
                await self._end()
            if self._packets is None:
                raise StopAsyncIteration
            await self._read(self._packets)

    async def _read(self, packets: AsyncIterator[bytes]) -> None:
        try:
            packet = await anext(packets, None)
        except APIError as error:
            self._state.lost(error)
        except BaseException:
            await self.aclose()
            raise
        else:
            if self._state.packet(packet) and self._source is not None:
                self._source.keep_alive()

    async def _end(self) -> None:
        source, self._source, self._packets = self._source, None, None
        if source is not None:
            try:
                if self._state.error is None:
                    with contextlib.suppress(APIError):
                        await source.drain()
            finally:
                await source.aclose()
        self._state.settle()

    async def text_deltas(self) -> AsyncIterator[str]:
        """Yield only the new text, never an empty string.

        Raises:
            StreamError: The answer failed or was cut.
        """
        async for found in self:
            if found.text:
                yield found.text

    async def result(self) -> Generation:
        """Read to the end and return the whole text.

        Raises:
            StreamError: The answer failed, was cut, or the stream was closed before its end.
        """
        async for _ in self:
            pass
        return self._state.result()

    async def aclose(self) -> None:
        """Release the connection. Safe to call twice; never waits for the network."""
        source, self._source, self._packets = self._source, None, None
        if source is not None:
            self._state.close()
            await source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class AsyncTextStreamOpening:
    """A stream that is not opened yet: await it, or use it with ``async with``."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, AsyncTextStream]]) -> None:
        self._start = start
        self._stream: AsyncTextStream | None = None

    def __await__(self) -> Generator[Any, None, AsyncTextStream]:
        return self._start().__await__()

    async def __aenter__(self) -> AsyncTextStream:
        self._stream = await self._start()
        return self._stream

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            await self._stream.aclose()
