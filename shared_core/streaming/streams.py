"""A streamed answer as the caller holds it: an iterator of pieces that owns a connection.

What bytes mean is decided by the states of chat, responses and tasks, once for blocking and
asynchronous callers; the classes here only move packets and give the connection back.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from shared_core.closing import AsyncClosing, Closing
from shared_core.errors import APIError
from shared_core.wire.messages import ENDPOINT_HEADER, AsyncWireStream, Headers, WireStream

if TYPE_CHECKING:
    from shared_core.flow import Outcome
    from shared_core.streaming.state import BaseStreamState

T = TypeVar("T")
R = TypeVar("R")


class BaseStream(Generic[T, R]):
    """What both kinds of stream show of their state."""

    _state: BaseStreamState[T, R]
    _source: Any
    _packets: Any

    @property
    def partial(self) -> R:
        """What arrived so far."""
        return self._state.partial()

    @property
    def headers(self) -> Headers:
        """Response headers."""
        return self._state.headers

    @property
    def request_id(self) -> str | None:
        """The server's id of the exchange."""
        return self._state.request_id

    @property
    def provider(self) -> str | None:
        """Who served the call, as the router says."""
        return self.headers.get("x-inference-provider")

    @property
    def endpoint(self) -> str | None:
        """Name of the endpoint that answered, if the client has failover."""
        return self.headers.get(ENDPOINT_HEADER)

    def _text_of(self, piece: Any) -> str:
        text: str = piece.text
        return text

    def _when_ended(self, told: Callable[[Outcome], None]) -> None:
        """Call *told* once with how the stream ended (see ``shared_core.flow.when_ended``)."""
        self._state.when_ended(told)

    def __repr__(self) -> str:
        state = self._state
        if state.error is not None:
            how = "failed"
        else:
            how = "closed" if state.closed else "ended" if state.over else "open"
        return f"<{type(self).__name__} {how}, model={state.model!r}>"


class Stream(BaseStream[T, R], Closing, Iterator[T]):
    """A streamed answer: iterate for its pieces.

    The connection goes back to the pool at the end, and is released at once by
    :meth:`close`, by leaving the ``with`` block, and when the object is dropped. Closed from
    another thread, it raises ``StreamInterruptedError`` where one is reading.
    """

    def __init__(self, source: WireStream | None, state: BaseStreamState[T, R]) -> None:
        self._state = state
        self._source: WireStream | None = source
        self._packets: Iterator[bytes] | None = None if source is None else iter(source)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        state = self._state
        while True:
            piece = state.take()
            if piece is not None:
                return piece
            if state.over:
                self._end()
            packets = self._packets
            if state.over or packets is None:
                raise StopIteration
            self._read(packets)

    def _read(self, packets: Iterator[bytes]) -> None:
        state = self._state
        try:
            packet = next(packets, None)
        except APIError as error:
            if not state.closed:
                state.lost(error)
        except BaseException:
            self.close()
            raise
        else:
            if not state.closed and state.packet(packet) and self._source is not None:
                self._source.keep_alive()
        if state.closed:  # meanwhile, by somebody else; the server is not to blame
            state.result()

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
        for piece in self:
            text = self._text_of(piece)
            if text:
                yield text

    def result(self) -> R:
        """Read to the end and return the whole answer.

        Raises:
            StreamError: The answer failed, was cut, or the stream was closed before its end.
        """
        for _ in self:
            pass
        return self._state.result()

    def close(self) -> None:
        """Release the connection. Safe to call twice, and from another thread."""
        source, self._source, self._packets = self._source, None, None
        if source is not None:
            self._state.close()
            source.close()


class AsyncStream(BaseStream[T, R], AsyncClosing, AsyncIterator[T]):
    """:class:`Stream` for asyncio: ``async for``, ``async with``, ``await .result()``."""

    def __init__(self, source: AsyncWireStream | None, state: BaseStreamState[T, R]) -> None:
        self._state = state
        self._source: AsyncWireStream | None = source
        self._packets: AsyncIterator[bytes] | None = None if source is None else aiter(source)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        state = self._state
        while True:
            piece = state.take()
            if piece is not None:
                return piece
            if state.over:
                await self._end()
            packets = self._packets
            if state.over or packets is None:
                raise StopAsyncIteration
            await self._read(packets)

    async def _read(self, packets: AsyncIterator[bytes]) -> None:
        state = self._state
        try:
            packet = await anext(packets, None)
        except APIError as error:
            if not state.closed:
                state.lost(error)
        except BaseException:
            await self.aclose()
            raise
        else:
            if not state.closed and state.packet(packet) and self._source is not None:
                self._source.keep_alive()
        if state.closed:  # meanwhile, by somebody else; the server is not to blame
            state.result()

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
        async for piece in self:
            text = self._text_of(piece)
            if text:
                yield text

    async def result(self) -> R:
        """Read to the end and return the whole answer.

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
