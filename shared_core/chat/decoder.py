"""From the bytes of a streamed answer to chunks, and to the complete answer.

No I/O. Work per event is constant: nothing that arrived before is looked at again, texts are
collected in lists and joined once, no model is validated.
"""

from __future__ import annotations

from typing import Any

from shared_core.chat.collector import ChoiceCollector
from shared_core.chat.response import (
    Answered,
    ShapeError,
    index_of,
    is_error_object,
    kind_of,
    text_or_empty,
    usage_of,
)
from shared_core.chat.types import ChatChunk, ChatCompletion, ChatMessage, Choice, Usage
from shared_core.errors import (
    APIError,
    ResponseTooLargeError,
    StreamError,
    StreamInterruptedError,
    stream_event_error,
)
from shared_core.wire import json_text
from shared_core.wire.json_text import whole
from shared_core.wire.sse import EventTooLargeError, SSEDecoder, SSEEvent

_MERGED = frozenset({"choices", "usage", "object"})


class ChatStreamDecoder:
    """Decodes one streamed answer.

    Feed packets until :attr:`ended` or the end of the body, then call :meth:`finish`. A
    failure does not raise in the middle, so that chunks of the same packet are not lost: it
    waits in :attr:`error`.

    The answer is complete when every choice has a finish reason (a missing ``[DONE]`` or
    usage is fine then), or when the server says ``[DONE]`` and no tool call is torn. A body
    that just ends is a cut, however cleanly it ended.

    Args:
        answered: Status and headers of the answer, for results and errors.
        split_think: Move a ``<think>`` block at the start of the text to the reasoning.
        max_event_bytes: Largest single event.

    Attributes:
        done: Whether ``[DONE]`` came.
        error: What went wrong, if something did.
        progress: Number of events so far that carried something; keep-alives do not count.
    """

    __slots__ = (
        "_answered",
        "_choices",
        "_created",
        "_cut",
        "_id",
        "_last",
        "_model",
        "_open",
        "_split_think",
        "_sse",
        "_top",
        "_usage",
        "done",
        "error",
        "progress",
    )

    def __init__(
        self,
        answered: Answered | None = None,
        *,
        split_think: bool = False,
        max_event_bytes: int = 4 * 1024 * 1024,
    ) -> None:
        self._answered = answered or Answered()
        self._split_think = split_think
        self._sse = SSEDecoder(max_event_bytes)
        self._choices: dict[int, ChoiceCollector] = {}
        self._open = 0  # choices without a finish reason
        self._id = ""
        self._model = ""
        self._created: int | None = None
        self._usage: Usage | None = None
        self._cut = False  # the body ended inside an event
        self._top: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self.done = False
        self.error: APIError | None = None
        self.progress = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more is wanted from the body: ``[DONE]`` or a failure."""
        return self.done or self.error is not None

    @property
    def finished(self) -> bool:
        """Whether every choice has its finish reason."""
        return bool(self._choices) and not self._open

    @property
    def usage(self) -> Usage | None:
        """The last token counts so far."""
        return self._usage

    def feed(self, packet: bytes) -> list[ChatChunk]:
        """Return the chunks that *packet* completes. Never raises; see :attr:`error`.

        Args:
            packet: The next bytes of the body, cut anywhere.
        """
        chunks: list[ChatChunk] = []
        if self.ended:
            return chunks
        try:
            self._events(self._sse.feed(packet), chunks)
        except EventTooLargeError as error:
            self._events(error.events, chunks)
            if not self.ended:
                self.error = self._too_large(str(error))
        return chunks

    def finish(self) -> list[ChatChunk]:
        """Take note that the body has ended; return the chunks that this completes.

        Never raises; :attr:`error` says whether the answer is complete.
        """
        chunks: list[ChatChunk] = []
        if not self.ended:
            self._events(self._sse.flush(), chunks, last=True)
        if self.error is None:
            why = self._missing()
            if why:
                self.error = self.interrupted(why)
            else:
                self._flush(chunks)
        return chunks

    def _missing(self) -> str | None:
        """Return at which point the stream was cut, or None if the answer is complete."""
        if self.finished:
            return None
        if self._cut:
            return "inside an event"
        if not self._choices:
            return "without any answer" if self._top or self.done else "without any event"
        if not self.done:
            return "before the answer was complete (no finish reason)"
        torn = (call for choice in self._choices.values() for call in choice.torn())
        return "inside the arguments of a tool call" if any(c.arguments for c in torn) else None

    def interrupted(self, where: str, *, cause: str = "") -> StreamInterruptedError:
        """Return the error for a stream that ended too early, with what arrived.

        Args:
            where: At which point, e.g. ``"inside an event"``.
            cause: Why, when known.
        """
        text = f"the stream ended {where}"
        return StreamInterruptedError(
            f"{text}: {cause}" if cause else text,
            partial=self.partial(),
            **self._answered.error_context(),
        )

    def _events(
        self, events: list[SSEEvent], chunks: list[ChatChunk], *, last: bool = False
    ) -> None:
        for data, name in events:
            if data == b"[DONE]" or data.strip() == b"[DONE]":
                self.done = True
                self.progress += 1
                return
            if not data and name != "error":
                continue
            try:
                event = json_text.decode(data, lenient=True)
            except ValueError:
                if last:
                    self._cut = True
                    return
                if name != "error":
                    what = f"an event of the stream is not JSON: {json_text.evidence(data)}"
                    self.error = self._broken(what)
                    return
                event = data.decode("utf-8", "replace")
            try:
                self._event(event, name, chunks)
            except ShapeError as error:
                self.error = self._broken(f"{error}: {json_text.evidence(data)}")
            if self.error is not None:
                return

    def _event(self, event: Any, name: str, chunks: list[ChatChunk]) -> None:
        if name == "error" or is_error_object(event):
            self.error = self._reported(event)
            return
        if not isinstance(event, dict):
            raise ShapeError(f"an event of the stream is {kind_of(event)}")
        self._last = event
        if not event.keys() <= self._top.keys():
            self._head(event)
        usage = usage_of(event)
        if usage is not None:
            self._usage = usage
        choices = event.get("choices")
        if not choices:
            chunks.append(ChatChunk(usage=usage, id=self._id, model=self._model, raw=event))
            self.progress += usage is not None
            return
        if not isinstance(choices, list):
            raise ShapeError(f"choices of an event is {kind_of(choices)}")
        for wire in choices:
            chunk = self._chunk(wire, event, usage)
            usage = None  # once per event
            chunks.append(chunk)

    def _chunk(self, wire: Any, event: dict[str, Any], usage: Usage | None) -> ChatChunk:
        if not isinstance(wire, dict):
            raise ShapeError(f"a choice of an event is {kind_of(wire)}")
        index = index_of(wire.get("index"), 0)
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = ChoiceCollector(index, self._split_think)
            self._open += 1
            self.progress += 1
        was_open = choice.finish_reason is None
        chunk = choice.add(wire)
        chunk.usage = usage
        chunk.id = self._id
        chunk.model = self._model
        chunk.raw = event
        if was_open and choice.finish_reason is not None:
            self._open -= 1
        if (
            chunk.text
            or chunk.reasoning
            or chunk.tool_calls
            or chunk.finish_reason
            or chunk.refusal
            or usage
        ):
            self.progress += 1
        return chunk

    def _head(self, event: dict[str, Any]) -> None:
        """Note the keys of an event that were not there before."""
        for key, value in event.items():
            self._top.setdefault(key, value)
        self._id = self._id or text_or_empty(event.get("id"))
        self._model = self._model or text_or_empty(event.get("model"))
        if self._created is None:
            self._created = whole(event.get("created"))

    def _flush(self, chunks: list[ChatChunk]) -> None:
        for choice in self._choices.values():
            text, reasoning = choice.flush()
            if text or reasoning:
                chunks.append(
                    ChatChunk(
                        text, reasoning, index=choice.index, id=self._id, model=self._model, raw={}
                    )
                )

    def completion(self) -> ChatCompletion:
        """Return the whole answer; of the same form as that of a call without streaming."""
        return self._assembled(partial=False)

    def partial(self) -> ChatCompletion:
        """Return what arrived so far. Torn tool calls are in ``incomplete_tool_calls`` only."""
        return self._assembled(partial=True)

    def _assembled(self, *, partial: bool) -> ChatCompletion:
        collected = [self._choices[index] for index in sorted(self._choices)]
        choices = [choice.assembled(partial=partial) for choice in collected]
        torn = [delta for choice in collected for delta in choice.torn()] if partial else []
        if not choices:
            choices = [Choice(0, ChatMessage("assistant", ""))]
        raw = {
            **{key: value for key, value in self._top.items() if key not in _MERGED},
            **{k: v for k, v in self._last.items() if v is not None and k not in _MERGED},
            "object": "chat.completion",
            "choices": [choice.raw(partial=partial) for choice in collected],
            "usage": self._usage.raw if self._usage else None,
        }
        return ChatCompletion(
            id=self._id,
            model=self._model,
            created=self._created,
            choices=choices,
            usage=self._usage,
            system_fingerprint=text_or_empty(raw.get("system_fingerprint")) or None,
            request_id=self._answered.request_id,
            provider=self._answered.serving_provider,
            headers=self._answered.headers,
            raw=raw,
            incomplete_tool_calls=torn,
        )

    def _reported(self, event: Any) -> StreamError:
        answered = self._answered
        return stream_event_error(
            event,
            partial=self.partial(),
            headers=answered.headers,
            operation=answered.operation,
            model=answered.model,
            provider=answered.provider,
            url=answered.url,
        )

    def _broken(self, what: str) -> StreamError:
        return StreamError(what, partial=self.partial(), **self._answered.error_context())

    def _too_large(self, what: str) -> ResponseTooLargeError:
        error = ResponseTooLargeError(
            what,
            status_code=self._answered.status,
            content_type=self._answered.headers.get("content-type"),
            headers=self._answered.headers,
            **self._answered.error_context(),
        )
        error.guidance = "If you trust the server, raise limits=Limits(max_event_bytes=...)."
        error.partial = self.partial()
        return error
