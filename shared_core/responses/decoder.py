"""From the bytes of a streamed response to events, and to the whole response. No I/O.

Items are matched by their id, because the published server reports ``output_index: 0`` for
items at any place (protocol.md 3.3). A response is whole only when the server says how it
ended (``response.completed``, ``.incomplete`` or ``.failed``); a body that just ends, even with
``[DONE]``, is a cut. After ``[DONE]`` nothing more is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from shared_core.chat.response import Answered, is_error_object, kind_of, text_or_empty
from shared_core.chat.types import Usage
from shared_core.errors import (
    APIError,
    ResponseFailedError,
    ResponseTooLargeError,
    StreamError,
    StreamInterruptedError,
    from_error_object,
)
from shared_core.responses.items import OutputItem, OutputMessage, ReasoningItem, read_item
from shared_core.responses.response import failure, read_response, without_credentials
from shared_core.responses.revealed import matched, rest, words_of
from shared_core.responses.types import Response, ResponseUpdate
from shared_core.wire import json_text
from shared_core.wire.json_text import whole
from shared_core.wire.sse import EventTooLargeError, SSEDecoder, SSEEvent

ENDS = ("response.completed", "response.incomplete", "response.failed")
"""The events after which a response is over."""

_TEXT = frozenset({"response.output_text.delta"})
_REASONING = frozenset(
    {
        "response.reasoning_text.delta",
        "response.reasoning.delta",
        "response.reasoning_summary_text.delta",
    }
)
_ARGUMENTS = frozenset(
    {"response.function_call_arguments.delta", "response.mcp_call_arguments.delta"}
)


@dataclass(slots=True)
class _Collected:
    """One item while it arrives: as announced, then with its deltas, then as it is done."""

    wire: dict[str, Any]
    done: bool = False
    text: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)

    @property
    def item(self) -> OutputItem:
        """The item as it is known."""
        return read_item(self.wire)

    @property
    def shown(self) -> str:
        """The words, or arguments, that its events have brought."""
        return "".join(self.text or self.reasoning or self.arguments)

    def assembled(self) -> dict[str, Any]:
        """Return the item in wire form, with what arrived."""
        if self.done:
            return self.wire
        wire = {**self.wire, "status": "in_progress"}
        parts: list[dict[str, Any]] = []
        if self.text:
            parts.append({"type": "output_text", "text": "".join(self.text), "annotations": []})
        if self.refusal:
            parts.append({"type": "refusal", "refusal": "".join(self.refusal)})
        if self.reasoning:
            parts.append({"type": "reasoning_text", "text": "".join(self.reasoning)})
        if parts:
            wire["content"] = parts
        if self.arguments:
            wire["arguments"] = "".join(self.arguments)
        return wire


class ResponseDecoder:
    """Decodes one streamed response: feed packets until :attr:`ended`, then call finish.

    A failure does not raise in the middle, so that events of the same packet are not lost: it
    waits in :attr:`error`.

    Args:
        answered: Status and headers.
        max_event_bytes: Largest single event.

    Attributes:
        error: What went wrong, if something did.
        progress: Number of events so far; keep-alives do not count.
    """

    def __init__(
        self, answered: Answered | None = None, *, max_event_bytes: int = 4 * 1024 * 1024
    ) -> None:
        self._answered = answered or Answered()
        self._sse = SSEDecoder(max_event_bytes)
        self._items: dict[str, _Collected] = {}
        self._base: dict[str, Any] = {}
        self._final: Response | None = None
        self.error: APIError | None = None
        self.progress = 0

    @property
    def finished(self) -> bool:
        """Whether the server said how it ended."""
        return self._final is not None

    @property
    def ended(self) -> bool:
        """Whether nothing more is wanted from the body."""
        return self.finished or self.error is not None

    @property
    def usage(self) -> Usage | None:
        """Token counts, once the response is over."""
        return None if self._final is None else self._final.usage

    def feed(self, packet: bytes) -> list[ResponseUpdate]:
        """Return the events that *packet* completes. Never raises; see :attr:`error`."""
        updates: list[ResponseUpdate] = []
        if self.ended:
            return updates
        try:
            self._events(self._sse.feed(packet), updates)
        except EventTooLargeError as error:
            self._events(error.events, updates)
            if not self.ended:
                self.error = ResponseTooLargeError(str(error), **self._answered.error_context())
                self.error.guidance = (
                    "If you trust the server, raise limits=Limits(max_event_bytes=...)."
                )
        return updates

    def finish(self) -> list[ResponseUpdate]:
        """Return what the end of the body completes, and judge whether it is whole."""
        updates: list[ResponseUpdate] = []
        if self.ended:
            return updates
        cut = False
        for event in self._sse.flush():
            before = self.progress
            try:
                json_text.decode(event.data, lenient=True)
            except ValueError:
                cut = event.data.strip() != b"[DONE]"
            else:
                self._events([event], updates)
            cut = cut or (self.progress == before and event.data.strip() != b"[DONE]")
        if not self.ended:
            self.error = self.interrupted("inside an event") if cut else self._unfinished()
        return updates

    def _unfinished(self) -> StreamInterruptedError:
        begun = "before the response was complete" if self.progress else "without any event"
        return self.interrupted(begun)

    def interrupted(self, where: str, *, cause: str = "") -> StreamInterruptedError:
        """Return the error for a stream that ended too early, with what arrived.

        Args:
            where: At which point.
            cause: Why, when known.
        """
        text = f"the stream ended {where}"
        error = StreamInterruptedError(
            f"{text}: {cause}" if cause else text, **self._answered.error_context()
        )
        error.partial = cast("Any", self.partial())
        return error

    def completion(self) -> Response:
        """Return the whole response; only when :attr:`finished`."""
        assert self._final is not None
        return self._final

    def partial(self) -> Response:
        """Return what arrived so far."""
        if self._final is not None:
            return self._final
        output = [item.assembled() for item in self._items.values()]
        return read_response(
            {**self._base, "status": "in_progress", "output": output}, self._answered
        )

    # ------------------------------------------------------------------------- events

    def _events(self, events: list[SSEEvent], updates: list[ResponseUpdate]) -> None:
        for event in events:
            if self.ended:
                return
            data = event.data.strip()
            if not data:
                continue
            if data == b"[DONE]":
                self.error = self._unfinished()
                return
            try:
                value = json_text.decode(data, lenient=True)
            except ValueError as error:
                self._broken(f"an event is not JSON ({error}): {json_text.evidence(data)}")
                return
            if not isinstance(value, dict):
                self._broken(f"an event is {kind_of(value)}")
                return
            self.progress += 1
            self._event(value, event.name, updates)

    def _broken(self, what: str) -> None:
        error = StreamError(f"the stream is unusable: {what}", **self._answered.error_context())
        error.partial = cast("Any", self.partial())
        self.error = error

    def _event(self, value: dict[str, Any], name: str, updates: list[ResponseUpdate]) -> None:
        kind = text_or_empty(value.get("type")) or name
        if kind == "error" or (is_error_object(value) and "response" not in value):
            self.error = self._reported(value)
            return
        if isinstance(value.get("response"), dict):
            value = {**value, "response": without_credentials(value["response"])}
        delta = text_or_empty(value.get("delta"))
        update = ResponseUpdate(
            kind,
            text=delta if kind in _TEXT else "",
            reasoning=delta if kind in _REASONING else "",
            arguments=delta if kind in _ARGUMENTS else "",
            item_id=text_or_empty(value.get("item_id")) or None,
            output_index=whole(value.get("output_index")),
            content_index=whole(value.get("content_index")),
            sequence_number=whole(value.get("sequence_number")),
            raw=value,
        )
        if isinstance(value.get("response"), dict):
            self._response(kind, value["response"], update)
        elif isinstance(value.get("item"), dict):
            self._item(kind, value["item"], update)
        elif delta:
            self._delta(kind, delta, update)
        updates.append(update)

    def _response(self, kind: str, wire: dict[str, Any], update: ResponseUpdate) -> None:
        self._base = wire
        response = read_response(wire, self._answered)
        if kind in ENDS:
            response.status = kind.removeprefix("response.")
            if not response.output and self._items:  # a final event that leaves the output out
                output = [item.assembled() for item in self._items.values()]
                response.output = [read_item(item) for item in output]
            self._final = response
            if kind == "response.failed":
                self.error = failure(response, self._answered)
            else:
                self._reveal(response.output, update)
        update.response = response

    def _reveal(self, output: list[OutputItem], update: ResponseUpdate) -> None:
        """Hand over the words of items that no event before the last one has shown."""
        update.streamed_as = matched(output, self._items)
        for item, key in zip(output, update.streamed_as, strict=True):
            _hand_over(item, self._items[key] if key is not None else _Collected({}), update)

    def _item(self, kind: str, wire: dict[str, Any], update: ResponseUpdate) -> None:
        key = text_or_empty(wire.get("id")) or f"#{update.output_index}"
        update.item_id = update.item_id or text_or_empty(wire.get("id")) or None
        known = self._items.get(key)
        if known is None:
            known = self._items[key] = _Collected(wire)
        known.wire = wire
        known.done = kind.endswith(".done")
        update.item = read_item(wire)
        if known.done:
            _hand_over(update.item, known, update)

    def _delta(self, kind: str, delta: str, update: ResponseUpdate) -> None:
        key = update.item_id or f"#{update.output_index}"
        item = self._items.get(key)
        if item is None:  # never announced
            item = self._items[key] = _Collected(_announced(kind, update.item_id or ""))
        if kind in _TEXT:
            item.text.append(delta)
        elif kind == "response.refusal.delta":
            item.refusal.append(delta)
        elif kind in _REASONING:
            item.reasoning.append(delta)
        elif kind in _ARGUMENTS:
            item.arguments.append(delta)

    def _reported(self, value: Mapping[str, Any]) -> ResponseFailedError:
        body = value if "error" in value else {"error": {k: v for k, v in value.items() if v}}
        error = from_error_object(
            body,
            headers=self._answered.headers,
            operation=self._answered.operation,
            model=self._answered.model,
            provider=self._answered.provider,
            url=self._answered.url,
            hide=self._answered.hide,
        )
        return ResponseFailedError(
            f"the stream reported an error: {error.server_message or error.message}",
            error=error,
            partial=self.partial(),
            **self._answered.error_context(),
        )


def _hand_over(item: OutputItem, known: _Collected, update: ResponseUpdate) -> None:
    """Put what of an item was not shown yet into *update*."""
    if isinstance(item, OutputMessage):
        update.text += (more := rest("".join(known.text), words_of(item)))
        known.text.append(more)
    elif isinstance(item, ReasoningItem):
        update.reasoning += (more := rest("".join(known.reasoning), words_of(item)))
        known.reasoning.append(more)


def _announced(kind: str, item_id: str) -> dict[str, Any]:
    """Return the item that a delta belongs to, where the server did not announce it."""
    if kind in _REASONING:
        return {"id": item_id, "type": "reasoning", "summary": []}
    if kind in _ARGUMENTS:
        known = "function_call" if "function" in kind else "mcp_call"
        return {"id": item_id, "type": known}
    return {"id": item_id, "type": "message", "role": "assistant"}
