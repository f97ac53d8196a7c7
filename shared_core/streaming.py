"""A streamed answer as the caller holds it: an iterator of pieces that owns a connection.

What bytes mean is decided by the states of chat, responses and tasks, once for blocking and
asynchronous callers; the classes here only move packets and give the connection back.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from shared_core.errors import APIError
from shared_core.flow import Flow, Outcome, Receive
from shared_core.wire.messages import ENDPOINT_HEADER, AsyncWireStream, Headers, WireStream

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S", bound="AsyncStream[Any, Any]")


class StreamState(ABC, Generic[T, R]):
    """Everything about a stream but its I/O. *T* is a piece, *R* the whole.

    Args:
        headers: Response headers.
        whole: All pieces, if the server sent the whole answer instead of a stream.

    Attributes:
        headers: Response headers.
        over: Whether no further packet is wanted.
        closed: Whether the caller left it before its end.
        error: What went wrong, if anything.
    """

    __slots__ = (
        "_ready",
        "_settled",
        "_watchers",
        "_whole_came",
        "closed",
        "error",
        "headers",
        "over",
    )

    def __init__(self, headers: Headers, whole: Iterable[T] | None = None) -> None:
        self.headers = headers
        self.over = self._whole_came = whole is not None
        self.closed = False
        self.error: APIError | None = None
        self._ready = deque(whole or ())
        self._settled = False
        self._watchers: list[Callable[[Outcome], None]] = []

    @property
    def begun(self) -> bool:
        """Whether the first piece, or the end, is here."""
        return bool(self._ready) or self.over

    @property
    def failed_at_once(self) -> bool:
        """Whether it failed and there is nothing to hand over."""
        return self.error is not None and not self._ready

    @property
    @abstractmethod
    def model(self) -> str | None:
        """The model as asked for."""

    @property
    @abstractmethod
    def request_id(self) -> str | None:
        """The server's id of the exchange."""

    @property
    def usage(self) -> Any:
        """Token counts so far, where the kind of stream has any."""
        return None

    @abstractmethod
    def take(self) -> T | None:
        """Return the next piece that is ready, if any."""

    @abstractmethod
    def packet(self, data: bytes | None) -> bool:
        """Take the next packet, None at the end of the body.

        Returns:
            Whether it brought something: the timeout starts anew then.
        """

    @abstractmethod
    def lost(self, error: APIError) -> None:
        """Take note that the connection failed."""

    @abstractmethod
    def partial(self) -> R:
        """Return what arrived so far."""

    @abstractmethod
    def result(self) -> R:
        """Return the whole answer.

        Raises:
            StreamError: It did not arrive whole.
        """

    def settle(self) -> None:
        """Tell who waits for the end how it was, and raise what went wrong."""
        self._settled = True
        self._tell(Outcome(self.error, usage=self.usage))
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Take note that the caller wants no more; nothing is handed over afterwards."""
        if not self.over:
            self.closed = True
            self._ready.clear()
        self._tell(Outcome(self.error, self.closed, self.usage))

    def when_ended(self, told: Callable[[Outcome], None]) -> None:
        """Call *told* once with how the stream ended."""
        if self._settled or self.closed or self._whole_came:
            told(Outcome(self.error, self.closed, self.usage))
        else:
            self._watchers.append(told)

    def _tell(self, outcome: Outcome) -> None:
        watchers, self._watchers = self._watchers, []
        for told in watchers:
            told(outcome)


class StreamBase(Generic[T, R]):
    """What both kinds of stream show of their state."""

    _state: StreamState[T, R]
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


class Stream(StreamBase[T, R], Iterator[T]):
    """A streamed answer: iterate for its pieces.

    The connection goes back to the pool at the end, and is released at once by
    :meth:`close`, by leaving the ``with`` block, and when the object is dropped.
    """

    def __init__(self, source: WireStream | None, state: StreamState[T, R]) -> None:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncStream(StreamBase[T, R], AsyncIterator[T]):
    """:class:`Stream` for asyncio: ``async for``, ``async with``, ``await .result()``."""

    def __init__(self, source: AsyncWireStream | None, state: StreamState[T, R]) -> None:
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class AsyncStreamOpening(Generic[S]):
    """A stream that is not opened yet: await it, or use it with ``async with``."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, S]]) -> None:
        self._start = start
        self._stream: S | None = None

    def __await__(self) -> Generator[Any, None, S]:
        return self._start().__await__()

    async def __aenter__(self) -> S:
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


# --- opening ----------------------------------------------------------------------------


def read_ahead(stream: Stream[Any, Any] | AsyncStream[Any, Any]) -> Flow[None]:
    """Read up to the first piece, so that what fails before it is a failed attempt.

    Raises:
        APIError: It failed, and there is nothing to hand over.
    """
    state = stream._state
    while not state.begun:
        packet = yield Receive(stream._packets)
        if state.packet(packet) and stream._source is not None:
            stream._source.keep_alive()
    if state.failed_at_once and state.error is not None:
        raise state.error


def open_stream(run: Callable[[Flow[Any]], Any], opening: Callable[[list[Any]], Flow[Any]]) -> Any:
    """Return the stream that the flow *opening(opened)* opens, blocking.

    Args:
        run: Drives a flow.
        opening: Makes the flow; puts every wire stream of the call into the list it is given.
            Those of failed attempts are closed here.
    """
    opened: list[WireStream] = []
    stream = None
    try:
        stream = run(opening(opened))
    finally:
        for abandoned in opened:
            if stream is None or abandoned is not stream._source:
                abandoned.close()
    return stream


async def aopen_stream(
    run: Callable[[Flow[Any]], Awaitable[Any]], opening: Callable[[list[Any]], Flow[Any]]
) -> Any:
    """Return the stream that a flow opens; see :func:`open_stream`.

    Args:
        run: Drives a flow.
        opening: Makes the flow.
    """
    opened: list[AsyncWireStream] = []
    stream = None
    try:
        stream = await run(opening(opened))
    finally:
        for abandoned in opened:
            if stream is None or abandoned is not stream._source:
                await abandoned.aclose()
    return stream
