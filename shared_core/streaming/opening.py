"""How a stream is opened: with attempts that fail, read ahead, and when it is awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from shared_core.flow import Flow, Receive

if TYPE_CHECKING:
    from shared_core.streaming.streams import AsyncStream, Stream
    from shared_core.wire.messages import AsyncWireStream, WireStream

S = TypeVar("S", bound="AsyncStream[Any, Any]")


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
