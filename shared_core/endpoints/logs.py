"""The log of an endpoint while it is written: an iterator that owns a connection.

Lines of a plain log are texts; entries of a structured one are what the service sends, JSON.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Generic, Self, TypeVar

import pydantic_core

from shared_core.closing import AsyncClosing, Closing
from shared_core.wire.messages import WireResponse
from shared_core.wire.sse import SSEDecoder

T = TypeVar("T")
Read = Callable[[bytes], Iterable[T]]


def lines(data: bytes) -> list[str]:
    """Return the lines of a piece of a log."""
    return data.decode("utf-8", "replace").splitlines()


def entries(data: bytes) -> list[Any]:
    """Return the entries of a piece of a structured log; text that is not JSON stays text."""
    if not data.strip():
        return []
    try:
        value = pydantic_core.from_json(data)
    except ValueError:
        return [data.decode("utf-8", "replace")]
    return value if isinstance(value, list) else [value]


class _Parts(Generic[T]):
    """From bytes to parts; a whole answer instead of a stream is understood too."""

    def __init__(self, answer: Any, max_event_bytes: int, read: Read[T]) -> None:
        self.ready: deque[T] = deque()
        self._decoder = SSEDecoder(max_event_bytes)
        self._read = read
        self.source: Any = answer
        if isinstance(answer, WireResponse):
            self.source = None
            self.ready.extend(read(answer.content))

    def packet(self, packet: bytes | None) -> None:
        """Take the next packet; None at the end."""
        events = self._decoder.flush() if packet is None else self._decoder.feed(packet)
        for event in events:
            self.ready.extend(self._read(event.data))


class LogStream(Closing, Iterator[T]):
    """Lines or entries of a log as they are written; ends when the service ends it. Close it
    early with :meth:`close` or by leaving its ``with`` block.
    """

    def __init__(self, answer: Any, max_event_bytes: int, read: Read[T]) -> None:
        self._parts = _Parts(answer, max_event_bytes, read)
        self._packets = None if self._parts.source is None else iter(self._parts.source)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while not self._parts.ready:
            if self._packets is None:
                raise StopIteration
            try:
                packet = next(self._packets, None)
                self._parts.packet(packet)
            except BaseException:
                self.close()
                raise
            if packet is None:
                self.close()
        return self._parts.ready.popleft()

    def close(self) -> None:
        """Release the connection. Safe to call twice."""
        source, self._parts.source, self._packets = self._parts.source, None, None
        if source is not None:
            source.close()


class AsyncLogStream(AsyncClosing, AsyncIterator[T]):
    """:class:`LogStream` for asyncio."""

    def __init__(self, answer: Any, max_event_bytes: int, read: Read[T]) -> None:
        self._parts = _Parts(answer, max_event_bytes, read)
        self._packets = None if self._parts.source is None else aiter(self._parts.source)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._parts.ready:
            if self._packets is None:
                raise StopAsyncIteration
            try:
                packet = await anext(self._packets, None)
                self._parts.packet(packet)
            except BaseException:
                await self.aclose()
                raise
            if packet is None:
                await self.aclose()
        return self._parts.ready.popleft()

    async def aclose(self) -> None:
        """Release the connection. Safe to call twice; never waits for the network."""
        source, self._parts.source, self._packets = self._parts.source, None, None
        if source is not None:
            await source.aclose()
