"""Answers whose body is still arriving, for both kinds of client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import httpx

from shared_core.errors import APIError
from shared_core.wire.answer import Decoder
from shared_core.wire.failures import FAILURES, Call, translate
from shared_core.wire.messages import Headers
from shared_core.wire.transport.options import BODY

DRAIN_BYTES = 64 * 1024
"""Most bytes read after the end of the data to keep a connection."""

DRAIN_SECONDS = 0.5
"""Longest wait for the end of the body after the end of the data."""


class Reader(Protocol):
    """Where the bytes of a body come from, blocking."""

    def read(self) -> bytes:
        """Return the next bytes; empty at the end."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


class AsyncReader(Protocol):
    """Where the bytes of a body come from, in an event loop."""

    async def read(self) -> bytes:
        """Return the next bytes; empty at the end."""
        ...

    async def aclose(self) -> None:
        """Release the connection."""
        ...


class ForeignReader:
    """Body of an answer of a client that is not ours: the deadline is checked between reads."""

    def __init__(self, response: httpx.Response, call: Call) -> None:
        self._response, self._call = response, call
        stream = response.stream
        assert isinstance(stream, httpx.SyncByteStream)
        self._parts = iter((response.content,) if response.is_stream_consumed else stream)

    def read(self) -> bytes:
        """Return the next bytes; empty at the end."""
        for part in self._parts:
            if self._call.deadline.expired():
                raise TimeoutError
            if part:
                return part
        return b""

    def close(self) -> None:
        """Close the response."""
        self._response.close()


class AsyncForeignReader:
    """Body of an answer of an asynchronous client that is not ours."""

    def __init__(self, response: httpx.Response, call: Call) -> None:
        self._response, self._call = response, call
        self._parts: AsyncIterator[bytes]
        if response.is_stream_consumed:
            self._parts = _one(response.content)
        else:
            assert isinstance(response.stream, httpx.AsyncByteStream)
            self._parts = aiter(response.stream)

    async def read(self) -> bytes:
        """Return the next bytes; empty at the end."""
        while True:
            async with asyncio.timeout(self._call.deadline.remaining()):
                part = await anext(self._parts, None)
            if part is None:
                return b""
            if self._call.deadline.expired():
                raise TimeoutError
            if part:
                return part

    async def aclose(self) -> None:
        """Close the response."""
        await self._response.aclose()


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content


def reader_for(response: httpx.Response, call: Call) -> Reader:
    """Return what reads the body of *response*: ours directly, others through httpx."""
    if (body := _own_body(response)) is not None:
        return body  # type: ignore[no-any-return]
    return ForeignReader(response, call)


def async_reader_for(response: httpx.Response, call: Call) -> AsyncReader:
    """Return what reads the body of *response*: ours directly, others through httpx."""
    if (body := _own_body(response)) is not None:
        return body  # type: ignore[no-any-return]
    return AsyncForeignReader(response, call)


def _own_body(response: httpx.Response) -> Any:
    """Return the body of our transport, unless somebody, such as a recorder, has read it."""
    body = response.extensions.get(BODY)
    if body is None or body.started or body.closed:
        return None
    # httpx ties response and stream into a cycle, which would keep an abandoned body alive.
    response.stream = httpx.ByteStream(b"")
    return body


class _Base:
    """What both kinds of stream share."""

    def __init__(self, call: Call, status: int, headers: Headers, *, decoded: bool = False) -> None:
        self.status = status
        self.headers = headers
        self.url = call.url
        self._call = call
        self._decoder = Decoder(call, status, headers, decoded=decoded)
        self._ended = False
        call.streaming = True

    def keep_alive(self) -> None:
        """Restart the timeout: something meaningful arrived."""
        self._call.deadline.restart()

    def _hurry(self) -> None:
        deadline = self._call.deadline
        deadline.timeout = DRAIN_SECONDS
        deadline.restart()


class HTTPStream(_Base):
    """A stream of decoded bytes; closes its connection when dropped before its end."""

    def __init__(
        self, call: Call, status: int, headers: Headers, reader: Reader, *, decoded: bool = False
    ) -> None:
        super().__init__(call, status, headers, decoded=decoded)
        self._reader = reader

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            while not (piece := self._decoder.take()):
                data = self._read()
                if not data:
                    raise StopIteration
                self._decoder.feed(data)
        except APIError:
            self.close()
            raise
        return piece

    def _read(self) -> bytes:
        if self._ended:
            return b""
        try:
            data = self._reader.read()
        except FAILURES as exc:
            problem = translate(exc, self._call)
        else:
            self._ended = not data
            return data
        raise problem

    def drain(self) -> None:
        """Read the little that is left, so that the connection is reused; else close it."""
        self._hurry()
        size = 0
        try:
            while not self._ended and size <= DRAIN_BYTES:
                data = self._reader.read()
                size += len(data)
                self._ended = not data
        except FAILURES:
            self._ended = False
        if not self._ended:
            self.close()

    def close(self) -> None:
        """Release the connection. Safe to call twice, from any thread, at any time."""
        self._ended = True
        self._reader.close()


class AsyncHTTPStream(_Base):
    """A stream of decoded bytes; closes its connection when dropped before its end."""

    def __init__(
        self,
        call: Call,
        status: int,
        headers: Headers,
        reader: AsyncReader,
        *,
        decoded: bool = False,
    ) -> None:
        super().__init__(call, status, headers, decoded=decoded)
        self._reader = reader

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            while not (piece := self._decoder.take()):
                data = await self._read()
                if not data:
                    raise StopAsyncIteration
                self._decoder.feed(data)
        except APIError:
            await self.aclose()
            raise
        return piece

    async def _read(self) -> bytes:
        if self._ended:
            return b""
        try:
            data = await self._reader.read()
        except FAILURES as exc:
            problem = translate(exc, self._call)
        else:
            self._ended = not data
            return data
        raise problem

    async def drain(self) -> None:
        """Read the little that is left, so that the connection is reused; else close it."""
        self._hurry()
        size = 0
        try:
            while not self._ended and size <= DRAIN_BYTES:
                data = await self._reader.read()
                size += len(data)
                self._ended = not data
        except FAILURES:
            self._ended = False
        if not self._ended:
            await self.aclose()

    async def aclose(self) -> None:
        """Release the connection. Safe to call twice; never waits for the network."""
        self._ended = True
        await self._reader.aclose()
