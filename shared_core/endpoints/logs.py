"""The log of an endpoint while it is written: an iterator of lines that owns a connection."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Self

from shared_core.wire.messages import WireResponse
from shared_core.wire.sse import SSEDecoder


class _Lines:
    """From bytes to lines; a whole answer instead of a stream is understood too."""

    def __init__(self, answer: Any, max_event_bytes: int) -> None:
        self.ready: deque[str] = deque()
        self._decoder = SSEDecoder(max_event_bytes)
        self.source: Any = answer
        if isinstance(answer, WireResponse):
            self.source = None
            self.ready.extend(answer.content.decode("utf-8", "replace").splitlines())

    def packet(self, packet: bytes | None) -> None:
        """Take the next packet; None at the end."""
        events = self._decoder.flush() if packet is None else self._decoder.feed(packet)
        for event in events:
            self.ready.extend(event.data.decode("utf-8", "replace").splitlines())


class LogStream(Iterator[str]):
    """Lines of a log as they are written; ends when the service ends it. Close it early with
    :meth:`close` or by leaving its ``with`` block.
    """

    def __init__(self, answer: Any, max_event_bytes: int) -> None:
        self._lines = _Lines(answer, max_event_bytes)
        self._packets = None if self._lines.source is None else iter(self._lines.source)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        while not self._lines.ready:
            if self._packets is None:
                raise StopIteration
            try:
                packet = next(self._packets, None)
                self._lines.packet(packet)
            except BaseException:
                self.close()
                raise
            if packet is None:
                self.close()
        return self._lines.ready.popleft()

    def close(self) -> None:
        """Release the connection. Safe to call twice."""
        source, self._lines.source, self._packets = self._lines.source, None, None
        if source is not None:
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


class AsyncLogStream(AsyncIterator[str]):
    """:class:`LogStream` for asyncio."""

    def __init__(self, answer: Any, max_event_bytes: int) -> None:
        self._lines = _Lines(answer, max_event_bytes)
        self._packets = None if self._lines.source is None else aiter(self._lines.source)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while not self._lines.ready:
            if self._packets is None:
                raise StopAsyncIteration
            try:
                packet = await anext(self._packets, None)
                self._lines.packet(packet)
            except BaseException:
                await self.aclose()
                raise
            if packet is None:
                await self.aclose()
        return self._lines.ready.popleft()

    async def aclose(self) -> None:
        """Release the connection. Safe to call twice; never waits for the network."""
        source, self._lines.source, self._packets = self._lines.source, None, None
        if source is not None:
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
