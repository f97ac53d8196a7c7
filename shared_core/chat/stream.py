"""A streamed chat answer as the caller holds it: an iterator of chunks that owns a connection.

What happens to bytes is decided once, in ``shared_core.chat.stream_state``; the two public
classes only move packets, blocking or awaiting.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.stream_state import StreamState
from shared_core.chat.types import ChatChunk, ChatCompletion, Usage
from shared_core.errors import APIError
from shared_core.wire.messages import ENDPOINT_HEADER, AsyncWireStream, Headers, WireStream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from shared_core.flow import Outcome

__all__ = ["AsyncChatStream", "AsyncChatStreamOpening", "ChatStream", "ChatStreamDecoder"]


class _Shared:
    """What both kinds of stream show of their state."""

    _state: StreamState

    @property
    def partial(self) -> ChatCompletion:
        """What arrived so far; torn tool calls only in ``incomplete_tool_calls``."""
        return self._state.partial()

    @property
    def usage(self) -> Usage | None:
        """The last token counts that the server sent, if any yet."""
        return self._state.usage

    @property
    def headers(self) -> Headers:
        """Response headers."""
        return self._state.answered.headers

    @property
    def request_id(self) -> str | None:
        """The server's id of the exchange."""
        return self._state.answered.request_id

    @property
    def provider(self) -> str | None:
        """Who served the call, as the router says."""
        return self._state.answered.serving_provider

    @property
    def endpoint(self) -> str | None:
        """Name of the endpoint that answered, if the client has failover."""
        return self.headers.get(ENDPOINT_HEADER)

    def _when_ended(self, told: Callable[[Outcome], None]) -> None:
        """Call *told* once with how the stream ended (see ``shared_core.flow.when_ended``)."""
        self._state.when_ended(told)

    def __repr__(self) -> str:
        state = self._state
        if state.error is not None:
            how = "failed"
        else:
            how = "closed" if state.closed else "ended" if state.over else "open"
        return f"<{type(self).__name__} {how}, model={state.answered.model!r}>"


class ChatStream(_Shared, Iterator[ChatChunk]):
    """A streamed answer: iterate for :class:`ChatChunk` values.

    The connection goes back to the pool at the end, and is released at once by
    :meth:`close`, by leaving the ``with`` block, and when the object is dropped::

        with client.chat.stream("Tell me a story.") as stream:
            for text in stream.text_deltas():
                print(text, end="")
        print(stream.result().usage)

    Iteration raises :class:`~shared_core.errors.StreamError` (with what arrived in
    ``partial``) when the server reports an error or the answer is cut.
    """

    def __init__(self, source: WireStream | None, state: StreamState) -> None:
        self._state = state
        self._source = source
        self._packets: Iterator[bytes] | None = None if source is None else iter(source)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ChatChunk:
        state = self._state
        while True:
            chunk = state.take()
            if chunk is not None:
                return chunk
            if state.over:
                self._end()
            if state.over or self._packets is None:
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
        """Yield only the new text of the first choice, never an empty string.

        Raises:
            StreamError: The answer failed or was cut.
        """
        for chunk in self:
            if chunk.text and chunk.index == 0:
                yield chunk.text

    def result(self) -> ChatCompletion:
        """Read to the end and return the whole answer, as ``create`` would have.

        Raises:
            StreamError: The answer failed, was cut, or the stream was closed before its end.
        """
        for _ in self:
            pass
        return self._state.completion()

    def close(self) -> None:
        """Release the connection. Safe to call twice, and from another thread."""
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


class AsyncChatStream(_Shared, AsyncIterator[ChatChunk]):
    """:class:`ChatStream` for asyncio: ``async for``, ``async with``, ``await .result()``."""

    def __init__(self, source: AsyncWireStream | None, state: StreamState) -> None:
        self._state = state
        self._source = source
        self._packets: AsyncIterator[bytes] | None = None if source is None else aiter(source)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatChunk:
        state = self._state
        while True:
            chunk = state.take()
            if chunk is not None:
                return chunk
            if state.over:
                await self._end()
            if state.over or self._packets is None:
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
        """Yield only the new text of the first choice, never an empty string.

        Raises:
            StreamError: The answer failed or was cut.
        """
        async for chunk in self:
            if chunk.text and chunk.index == 0:
                yield chunk.text

    async def result(self) -> ChatCompletion:
        """Read to the end and return the whole answer, as ``create`` would have.

        Raises:
            StreamError: The answer failed, was cut, or the stream was closed before its end.
        """
        async for _ in self:
            pass
        return self._state.completion()

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


class AsyncChatStreamOpening:
    """A stream that is not opened yet: await it, or use it with ``async with``."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, AsyncChatStream]]) -> None:
        self._start = start
        self._stream: AsyncChatStream | None = None

    def __await__(self) -> Generator[Any, None, AsyncChatStream]:
        return self._start().__await__()

    async def __aenter__(self) -> AsyncChatStream:
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
