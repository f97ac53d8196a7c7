"""Everything about a streamed answer but its I/O: what both kinds of stream share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shared_core.callbacks import Callback, ChunkEvent, ErrorEvent, StreamCompleteEvent, dispatch
from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.response import Answered
from shared_core.chat.types import ChatChunk, ChatCompletion, ToolCallDelta, Usage
from shared_core.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    StreamEventError,
    StreamTimeoutError,
)
from shared_core.streaming.state import BaseStreamState

if TYPE_CHECKING:
    from shared_core.core import CallContext


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


class StreamState(BaseStreamState[ChatChunk, ChatCompletion]):
    """Everything about a streamed chat answer but its I/O.

    Args:
        answered: Status and headers of the answer.
        decoder: Decodes the body.
        observers: Callbacks to tell, or None.
        whole: The complete answer, if the server sent one instead of a stream.
    """

    __slots__ = ("_count", "_started", "_whole", "answered", "decoder", "observers")

    def __init__(
        self,
        answered: Answered,
        decoder: ChatStreamDecoder,
        observers: Observers | None = None,
        whole: ChatCompletion | None = None,
    ) -> None:
        super().__init__(answered.headers, None if whole is None else chunks_of(whole))
        self.answered = answered
        self.decoder = decoder
        self.observers = observers if observers and observers.callbacks else None
        self._whole = whole
        self._started = time.monotonic()
        self._count = 0

    @property
    def model(self) -> str | None:
        """The model as asked for."""
        return self.answered.model

    @property
    def request_id(self) -> str | None:
        """The server's id of the exchange."""
        return self.answered.request_id

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
        """Take the next packet, None at the end; tell whether it brought something."""
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
        reported = self.decoder.error
        if self.decoder.finished or isinstance(reported, StreamEventError):
            self.error = reported
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
            error.partial = self.decoder.partial()
            self.error = error

    def settle(self) -> None:
        """Tell the callbacks how it ended, once, and raise what went wrong."""
        if self.error is not None and self.answered.hide is not None and not self._settled:
            self.error.hide(self.answered.hide)
        if self.observers is not None and not self._settled:
            if self.error is not None:
                self.observers.tell("on_error", ErrorEvent, self.answered, error=self.error)
            else:
                completion = self.result()
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
        super().settle()

    def result(self) -> ChatCompletion:
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

    @property
    def usage(self) -> Usage | None:
        """The last token counts so far."""
        return self.decoder.usage if self._whole is None else self._whole.usage

    def partial(self) -> ChatCompletion:
        """Return what arrived so far."""
        if self._whole is not None:
            return self._whole
        done = self.over and self.error is None
        return self.result() if done and not self.closed else self.decoder.partial()


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
