"""Everything about a streamed text but its I/O: what both kinds of stream share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from shared_core.streaming.state import BaseStreamState
from shared_core.tasks.generated import (
    Generation,
    GenerationChunk,
    GenerationDetails,
    Token,
    chunk,
)
from shared_core.tasks.read import Mismatch
from shared_core.wire.sse import EventTooLargeError, SSEDecoder

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.wire.messages import AsyncWireStream, WireRequest, WireResponse, WireStream

_DONE = b"[DONE]"
_ADVICE = "What arrived is in .text of the stream; ask again for a whole answer."


class StreamState(BaseStreamState[GenerationChunk, Generation]):
    """Everything about a streamed text but its I/O.

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
        super().__init__(answer.headers, None if whole is None else [_all_of(whole)])
        self.final = self._ready[0] if self._ready else None
        self._hide = core.redact
        self._context: dict[str, Any] = {
            "operation": request.operation,
            "model": request.model,
            "provider": request.provider,
            "url": answer.url or request.url,
        }
        self._status = answer.status
        self._decoder = SSEDecoder(core.settings.limits.max_event_bytes)
        self._texts: list[str] = []

    @property
    def model(self) -> str | None:
        """The model as asked for."""
        model: str | None = self._context["model"]
        return model

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
        if isinstance(value, dict) and isinstance(value.get("choices"), list):
            return self._completion(value)
        try:
            found = chunk(value)
        except Mismatch as exc:
            return self._fail(self._unusable(f"an event of the stream is wrong: {exc}"))
        self._ready.append(found)
        if found.generated_text is not None:
            self.final = found
            self.over = True

    def _completion(self, value: dict[str, Any]) -> None:
        """Take an event of a text completion in OpenAI's form; it names no token."""
        first = next(iter(value["choices"]), None)  # none in the event that counts tokens
        if not isinstance(first, dict):
            return
        text, reason = first.get("text") or "", first.get("finish_reason")
        if not isinstance(text, str):
            return self._fail(self._unusable("an event of the stream has no text"))
        details = GenerationDetails(finish_reason=reason) if isinstance(reason, str) else None
        if text or details:
            found = GenerationChunk(Token(-1, text), text, details=details, raw=value)
            self._ready.append(found)
            self.final = found if details else self.final

    def _fail(self, error: APIError) -> None:
        self.error = error
        self.over = True

    def _ended(self) -> None:
        if self.final is not None:  # a completion that forgot its [DONE]
            self.over = True
            return
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

    def partial(self) -> Generation:
        """Return what was handed over so far."""
        final = self.final
        if final is None or self._ready:
            return Generation(self.text)
        return self.result()

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


def _all_of(whole: Generation) -> GenerationChunk:
    """Return a whole text as the one piece of a stream."""
    token = Token(-1, whole.text)
    return GenerationChunk(token, whole.text, None, whole.text, whole.details, raw=whole.raw)
