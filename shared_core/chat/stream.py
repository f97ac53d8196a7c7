"""A streamed chat answer as the caller holds it: an iterator of chunks that owns a connection.

What happens to bytes is decided once, in :class:`StreamState`; the two public classes only
move packets, blocking or awaiting.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from shared_core.callbacks import (
    Callback,
    ChunkEvent,
    ErrorEvent,
    StreamCompleteEvent,
    dispatch,
)
from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.response import Answered
from shared_core.chat.types import ChatChunk, ChatCompletion, ToolCallDelta, Usage
from shared_core.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    StreamTimeoutError,
)
from shared_core.wire.messages import AsyncWireStream, Headers, WireStream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from shared_core.core import CallContext

__all__ = [
    "AsyncChatStream",
    "AsyncChatStreamOpening",
    "ChatStream",
    "ChatStreamDecoder",
    "StreamState",
]


@dataclass(frozen=True, slots=True)
class Observers:
    """Who is told about a stream, and how the call is named then."""

    callbacks: Sequence[Callback]
    context: CallContext

    def tell(self, name: str, kind: Any, answered: Answered, **facts: Any) -> None:
        """Build the event and give it to every callback."""
        context = self.context
        event = kind(
            call_id=context.call_id,
            operation=context.operation,
            model=context.model,
            provider=answered.serving_provider or context.provider,
            url=context.url,
            **facts,
        )
        dispatch(self.callbacks, name, event)


class StreamState:
    """Everything about a stream but its I/O.

    Args:
        answered: Status and headers of the answer.
        decoder: Decodes the body.
        observers: Callbacks to tell, or None.
        whole: The complete answer, if the server sent one instead of a stream.
    """

    __slots__ = (
        "_count",
        "_ready",
        "_settled",
        "_started",
        "_whole",
        "answered",
        "closed",
        "decoder",
        "error",
        "observers",
        "over",
    )

    def __init__(
        self,
        answered: Answered,
        decoder: ChatStreamDecoder,
        observers: Observers | None = None,
        whole: ChatCompletion | None = None,
    ) -> None:
        self.answered = answered
        self.decoder = decoder
        self.observers = observers if observers and observers.callbacks else None
        self.over = whole is not None
        self.closed = False
        self.error: APIError | None = None
        self._whole = whole
        self._ready = deque(chunks_of(whole) if whole is not None else ())
        self._started = time.monotonic()
        self._count = 0
        self._settled = False

    @property
    def begun(self) -> bool:
        """Whether the first chunk, or the end, is here."""
        return bool(self._ready) or self.over

    @property
    def failed_at_once(self) -> bool:
        """Whether it failed before there was anything to hand over."""
        return self.error is not None and not self._ready and not self._count

    def take(self) -> ChatChunk | None:
        """Return the next chunk that is ready, if any."""
        if not self._ready:
            return None
        chunk = self._ready.popleft()
        self._count += 1
        if self.observers is not None:
            self.observers.tell("on_chunk", ChunkEvent, self.answered, chunk=chunk)
        return chunk

    def packet(self, data: bytes | None) -> bool:
        """Take the next packet, None at the end of the body.

        Returns:
            Whether it brought something: the timeout starts anew then.
        """
        decoder = self.decoder
        before = decoder.progress
        if data is not None:
            self._ready.extend(decoder.feed(data))
        if data is None or decoder.ended:
            self._ready.extend(decoder.finish())
            self.error = decoder.error
            self.over = True
        return decoder.progress != before

    def lost(self, error: APIError) -> None:
        """Take note that the connection failed; harmless after every finish reason."""
        self._ready.extend(self.decoder.finish())
        self.over = True
        if self.decoder.finished:
            self.error = self.decoder.error
        elif isinstance(error, APITimeoutError):
            self.error = StreamTimeoutError(
                f"the stream went silent: {error.message}",
                partial=self.decoder.partial(),
                **self.answered.error_context(),
            )
            self.error.timeout = error.timeout
        elif isinstance(error, APIConnectionError):
            where = "before the answer was complete"
            self.error = self.decoder.interrupted(where, cause=error.message)
        else:
            self.error = error

    def settle(self) -> None:
        """Tell the callbacks how it ended, once, and raise what went wrong."""
        if self.observers is not None and not self._settled:
            if self.error is not None:
                self.observers.tell("on_error", ErrorEvent, self.answered, error=self.error)
            else:
                completion = self.completion()
                self.observers.tell(
                    "on_stream_complete",
                    StreamCompleteEvent,
                    self.answered,
                    elapsed=time.monotonic() - self._started,
                    chunks=self._count,
                    finish_reason=completion.finish_reason,
                    request_id=self.answered.request_id,
                    usage=completion.usage,
                )
        self._settled = True
        if self.error is not None:
            raise self.error

    def completion(self) -> ChatCompletion:
        """Return the whole answer.

        Raises:
            StreamError: It did not arrive whole.
        """
        if self.error is not None:
            raise self.error
        if self.closed or not self.over:
            raise self.decoder.interrupted("because it was closed before its end")
        if self._whole is None:
            self._whole = self.decoder.completion()
        return self._whole

    def partial(self) -> ChatCompletion:
        """Return what arrived so far."""
        if self._whole is not None:
            return self._whole
        done = self.over and self.error is None
        return self.completion() if done and not self.closed else self.decoder.partial()


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
        whole = self._state._whole
        return whole.usage if whole is not None else self._state.decoder.usage

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
            self._state.closed = self._state.closed or not self._state.over
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
            self._state.closed = self._state.closed or not self._state.over
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


def chunks_of(completion: ChatCompletion) -> list[ChatChunk]:
    """Return a whole answer as the chunks of a stream: one for each choice.

    Args:
        completion: The answer.
    """
    chunks = []
    for choice in completion.choices:
        message = choice.message
        calls = [
            ToolCallDelta(at, call.id, call.name, call.arguments)
            for at, call in enumerate(message.tool_calls)
        ]
        chunk = ChatChunk(
            message.text,
            message.reasoning or "",
            message.refusal or "",
            calls,
            choice.index,
            choice.finish_reason,
            logprobs=choice.logprobs,
            id=completion.id,
            model=completion.model,
            raw=completion.raw,
        )
        chunks.append(chunk)
    if chunks:
        chunks[-1] = replace(chunks[-1], usage=completion.usage)
    return chunks
