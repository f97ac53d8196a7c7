"""A streamed text generation (TGI's own form), blocking and for asyncio.

What the bytes mean is decided once, in :class:`StreamState`; the two public classes only move
packets.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pydantic_core

from shared_core.errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    StreamInterruptedError,
    StreamTimeoutError,
    stream_event_error,
)
from shared_core.tasks.generated import Generation, GenerationChunk, Token, chunk
from shared_core.tasks.read import Mismatch
from shared_core.wire.sse import EventTooLargeError, SSEDecoder

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.wire.messages import (
        AsyncWireStream,
        Headers,
        WireRequest,
        WireResponse,
        WireStream,
    )

_DONE = b"[DONE]"
_ADVICE = "What arrived is in .text of the stream; ask again for a whole answer."


class StreamState:
    """Everything about a stream but its I/O.

    Args:
        core: Limits, and whose secrets are hidden.
        request: What was asked.
        answer: Status and headers of the answer.
        whole: The complete text, if the server sent one instead of a stream.
    """

    def __init__(
        self,
        core: Core,
        request: WireRequest,
        answer: WireStream | AsyncWireStream | WireResponse,
        whole: Generation | None = None,
    ) -> None:
        self.headers: Headers = answer.headers
        self.error: APIError | None = None
        self.over = whole is not None
        self.final: GenerationChunk | None = None
        self._hide = core.settings.redact
        self._context = {
            "operation": request.operation,
            "model": request.model,
            "provider": request.provider,
            "url": answer.url or request.url,
        }
        self._status = answer.status
        self._decoder = SSEDecoder(core.settings.limits.max_event_bytes)
        self._ready: deque[GenerationChunk] = deque()
        self._texts: list[str] = []
        self._tokens: list[Token] = []
        if whole is not None:
            token = Token(-1, whole.text)
            self.final = GenerationChunk(
                token, whole.text, None, whole.text, whole.details, raw=whole.raw
            )
            self._ready.append(self.final)

    @property
    def request_id(self) -> str | None:
        """The server's id of the exchange."""
        return self.headers.get("x-request-id")

    @property
    def text(self) -> str:
        """The text handed over so far."""
        return "".join(self._texts)

    def take(self) -> GenerationChunk | None:
        """Return the next token that is ready, if any."""
        if not self._ready:
            return None
        found = self._ready.popleft()
        self._texts.append(found.text)
        self._tokens.append(found.token)
        return found

    def packet(self, data: bytes | None) -> bool:
        """Take the next packet, None at the end of the body; tell whether it brought an event."""
        try:
            events = self._decoder.flush() if data is None else self._decoder.feed(data)
            problem = None
        except EventTooLargeError as exc:
            events, problem = exc.events, self._unusable(str(exc))
        for event in events:
            if not self.over:
                self._event(event.data)
        if problem is not None and not self.over:
            self._fail(problem)
        if data is None and not self.over:
            self._ended()
        return bool(events)

    def lost(self, error: APIError) -> None:
        """Take note that the connection failed; harmless after the last token."""
        self.over = True
        if self.final is None:
            self.error = self._interruption(error)

    def _interruption(self, error: APIError) -> APIError:
        context: dict[str, Any] = {**self._context, "guidance": _ADVICE}
        if isinstance(error, APITimeoutError):
            silent = StreamTimeoutError(f"the stream went silent: {error.message}", **context)
            silent.timeout = error.timeout
            return silent
        if isinstance(error, APIConnectionError):
            return StreamInterruptedError(f"the stream was cut: {error.message}", **context)
        return error

    def _event(self, data: bytes) -> None:
        if data == _DONE:
            self.over = True
            return
        if not data.strip():
            return
        try:
            value = pydantic_core.from_json(data)
        except ValueError:
            return self._fail(self._unusable("an event of the stream is not JSON"))
        if isinstance(value, dict) and value.get("error") is not None:
            return self._fail(
                stream_event_error(value, headers=self.headers, hide=self._hide, **self._context)
            )
        try:
            found = chunk(value)
        except Mismatch as exc:
            return self._fail(self._unusable(f"an event of the stream is wrong: {exc}"))
        self._ready.append(found)
        if found.generated_text is not None:
            self.final = found
            self.over = True

    def _fail(self, error: APIError) -> None:
        self.error = error
        self.over = True

    def _ended(self) -> None:
        # Servers that end without their last event, or without any.
        self._fail(
            StreamInterruptedError(
                "the stream ended before the text was complete", guidance=_ADVICE, **self._context
            )
        )

    def _unusable(self, what: str) -> APIError:
        return APIResponseValidationError(
            f"Unusable answer: {self._hide(what)}",
            status_code=self._status,
            content_type=self.headers.get("content-type"),
            headers=self.headers,
            request_id=self.request_id,
            **self._context,
        )

    def settle(self) -> None:
        """Raise the error of the stream, if it ended with one."""
        if self.error is not None:
            raise self.error

    def result(self) -> Generation:
        """Return the whole text; only after the end.

        Raises:
            StreamInterruptedError: The stream was closed before its end.
        """
        final = self.final
        if final is not None:
            text = final.generated_text if final.generated_text is not None else self.text
            return Generation(text, final.details, final.raw)
        if self.over and self.error is None:
            return Generation(self.text)
        raise self.error or StreamInterruptedError(
            "the stream was closed before its end", guidance=_ADVICE, **self._context
        )

    def __repr__(self) -> str:
        return "failed" if self.error is not None else "ended" if self.over else "open"


class _Shared:
    """What both kinds of stream show of their state."""

    _state: StreamState

    @property
    def text(self) -> str:
        """The text handed over so far."""
        return self._state.text

    @property
    def headers(self) -> Headers:
        """Response headers."""
        return self._state.headers

    @property
    def request_id(self) -> str | None:
        """The server's id of the exchange."""
        return self._state.request_id

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
