"""A streamed response as the caller holds it: an iterator of events that owns a connection.

Bytes are moved by the streams of chat, which know no answer's format; only the decoder
differs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from shared_core.chat.stream import AsyncChatStream, ChatStream
from shared_core.chat.stream_state import StreamState
from shared_core.chat.types import Usage
from shared_core.responses.types import Response, ResponseUpdate
from shared_core.wire.messages import AsyncWireStream, Headers, WireStream

if TYPE_CHECKING:
    from shared_core.flow import Outcome


class _Shared:
    """What both kinds of stream show of their state."""

    def __init__(self, source: Any, state: StreamState, mover: Callable[[Any, Any], Any]) -> None:
        self._source = source
        self._state = state
        self._mover = mover(source, state)

    @property
    def partial(self) -> Response:
        """What arrived so far."""
        return cast("Response", self._state.partial())

    @property
    def usage(self) -> Usage | None:
        """Token counts, once the response is over."""
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

    def _when_ended(self, told: Callable[[Outcome], None]) -> None:
        self._state.when_ended(told)

    def __repr__(self) -> str:
        how = "failed" if self._state.error else "over" if self._state.over else "open"
        return f"<{type(self).__name__} {how}, model={self._state.answered.model!r}>"


class ResponseStream(_Shared, Iterator[ResponseUpdate]):
    """A streamed response: iterate for :class:`ResponseUpdate` values.

    The connection goes back to the pool at the end, and is released at once by
    :meth:`close` and by leaving the ``with`` block::

        with client.responses.stream("Tell me a story.") as stream:
            for text in stream.text_deltas():
                print(text, end="")
        print(stream.result().usage)

    Iteration raises :class:`~shared_core.errors.ResponseFailedError` when the server reports a
    failure and :class:`~shared_core.errors.StreamInterruptedError` when the answer is cut; both
    have what arrived in ``partial``.
    """

    def __init__(self, source: WireStream | None, state: StreamState) -> None:
        super().__init__(source, state, ChatStream)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ResponseUpdate:
        return cast("ResponseUpdate", next(self._mover))

    def text_deltas(self) -> Iterator[str]:
        """Yield only the new text of the answer, never an empty string.

        Raises:
            APIError: The response failed or was cut.
        """
        for update in self:
            if update.text:
                yield update.text

    def result(self) -> Response:
        """Read to the end and return the whole response.

        Raises:
            APIError: It failed, was cut, or the stream was closed before its end.
        """
        return cast("Response", self._mover.result())

    def close(self) -> None:
        """Release the connection. Safe to call twice, and from another thread."""
        self._mover.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncResponseStream(_Shared, AsyncIterator[ResponseUpdate]):
    """:class:`ResponseStream` for asyncio: ``async for``, ``async with``, ``await .result()``."""

    def __init__(self, source: AsyncWireStream | None, state: StreamState) -> None:
        super().__init__(source, state, AsyncChatStream)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ResponseUpdate:
        return cast("ResponseUpdate", await anext(self._mover))

    async def text_deltas(self) -> AsyncIterator[str]:
        """Yield only the new text of the answer, never an empty string.

        Raises:
            APIError: The response failed or was cut.
        """
        async for update in self:
            if update.text:
                yield update.text

    async def result(self) -> Response:
        """Read to the end and return the whole response.

        Raises:
            APIError: It failed, was cut, or the stream was closed before its end.
        """
        return cast("Response", await self._mover.result())

    async def aclose(self) -> None:
        """Release the connection. Safe to call twice; never waits for the network."""
        await self._mover.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class AsyncResponseStreamOpening:
    """A stream that is not opened yet: await it, or use it with ``async with``."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, AsyncResponseStream]]) -> None:
        self._start = start
        self._stream: AsyncResponseStream | None = None

    def __await__(self) -> Generator[Any, None, AsyncResponseStream]:
        return self._start().__await__()

    async def __aenter__(self) -> AsyncResponseStream:
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
