"""Collects the deltas of one choice of a streamed answer."""

from __future__ import annotations

from typing import Any

from shared_core.chat.received import Received
from shared_core.chat.response import (
    REASONING_KEYS,
    ShapeError,
    content_text,
    kind_of,
    reasoning_of,
    received_of,
)
from shared_core.chat.thinking import ThinkSplitter
from shared_core.chat.tool_deltas import ToolCallMerger
from shared_core.chat.types import ChatChunk, ChatMessage, Choice, ToolCall, ToolCallDelta
from shared_core.constants import CUT_REASONS

_USUAL = frozenset({"index", "delta", "message", "finish_reason", "logprobs", "text"})
_FIRST, _SECOND, _THIRD = REASONING_KEYS


class ChoiceCollector:
    """One choice: takes wire deltas, returns chunks, assembles the whole at the end."""

    __slots__ = (
        "_extra",
        "_logprobs",
        "_reasoning",
        "_received",
        "_refusal",
        "_text",
        "_think",
        "_tools",
        "finish_reason",
        "index",
    )

    def __init__(self, index: int, split_think: bool = False) -> None:
        self.index = index
        self.finish_reason: str | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._tools: ToolCallMerger | None = None
        self._think = ThinkSplitter() if split_think else None
        self._logprobs: Any = None
        self._extra: dict[str, Any] = {}
        self._received: dict[str, Received] = {}

    def add(self, wire: dict[str, Any]) -> ChatChunk:
        """Take one element of ``choices`` of an event and return its chunk.

        Raises:
            ShapeError: It cannot be understood.
        """
        delta = wire.get("delta")
        if delta is None:
            delta = wire.get("message")
            if delta is None:
                delta = {"content": wire.get("text")}
        if not isinstance(delta, dict):
            raise ShapeError(f"the delta of an event is {kind_of(delta)}")
        text = delta.get("content") or ""
        in_parts = type(text) is not str
        if in_parts:
            text = content_text(text) or ""
        reasoning = delta.get(_FIRST) or delta.get(_SECOND) or delta.get(_THIRD) or ""
        if in_parts or type(reasoning) is not str:
            reasoning = reasoning_of(delta)
        reason = wire.get("finish_reason")
        if not isinstance(reason, str) or not reason:
            reason = None
        if self._think is not None:
            text, reasoning = self._split(text, reasoning, reason is not None)
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)
        calls = delta.get("tool_calls")
        chunk = ChatChunk(
            text, reasoning, "", self._calls(calls) if calls else [], self.index, reason
        )
        if reason is not None:
            self.finish_reason = reason
        if delta.get("refusal") or wire.get("logprobs") is not None:
            self._add_sides(delta.get("refusal"), wire.get("logprobs"), chunk)
        for key, value in received_of(delta).items():
            self._received.setdefault(key, Received()).add(value)
        if not wire.keys() <= _USUAL:
            for key, value in wire.items():
                if key not in _USUAL and value is not None:
                    self._extra[key] = value
        return chunk

    def _add_sides(self, refusal: Any, logprobs: Any, chunk: ChatChunk) -> None:
        """Take what few streams bring."""
        if refusal and isinstance(refusal, str):
            chunk.refusal = refusal
            self._refusal.append(refusal)
        if logprobs is not None:
            chunk.logprobs = logprobs
            self._logprobs = _joined(self._logprobs, logprobs)

    def flush(self) -> tuple[str, str]:
        """Return the text and reasoning that were held back because of a possible tag."""
        if self._think is None:
            return "", ""
        text, reasoning = self._think.flush()
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)
        return text, reasoning

    def _split(self, text: str, reasoning: str, last: bool) -> tuple[str, str]:
        think = self._think
        assert think is not None
        known = think.orphan
        text, thought = think.feed(text) if text else ("", "")
        if think.orphan and not known:
            # The opening tag never came: all text so far was reasoning.
            self._reasoning.append("".join(self._text))
            self._text.clear()
        if last:
            more_text, more_thought = think.flush()
            text, thought = text + more_text, thought + more_thought
        return text, reasoning + thought

    def _calls(self, wire: Any) -> list[ToolCallDelta]:
        if isinstance(wire, dict):
            wire = [wire]
        if not isinstance(wire, list) or not all(isinstance(item, dict) for item in wire):
            raise ShapeError("tool_calls of an event is no list of objects")
        if self._tools is None:
            self._tools = ToolCallMerger()
        return [self._tools.add(item) for item in wire]

    def torn(self) -> list[ToolCallDelta]:
        """Return the tool calls whose arguments are not whole."""
        return self._tools.torn() if self._tools else []

    def _tool_calls(self, partial: bool) -> list[ToolCall]:
        if not self._tools:
            return []
        # The end of the answer closes its calls, however they look: the text is kept as it is.
        if partial:
            return self._tools.complete()
        return self._tools.finished(cut=self.finish_reason in CUT_REASONS)

    def assembled(self, *, partial: bool) -> Choice:
        """Return the choice as a call without streaming would have.

        Args:
            partial: The answer was cut: leave torn tool calls out.
        """
        text = "".join(self._text)
        reasoning = "".join(self._reasoning)
        if self._think is not None and self._think.orphan:
            reasoning = reasoning.strip()
        calls = self._tool_calls(partial)
        message = ChatMessage(
            "assistant",
            text if text or not calls else None,
            tool_calls=calls,
            reasoning=reasoning or None,
            refusal="".join(self._refusal) or None,
            received={key: found.whole() for key, found in self._received.items()},
        )
        return Choice(self.index, message, self.finish_reason, self._logprobs, dict(self._extra))

    def raw(self, *, partial: bool) -> dict[str, Any]:
        """Return the choice in wire form, merged from its deltas."""
        choice = self.assembled(partial=partial)
        message: dict[str, Any] = {"role": "assistant", "content": choice.message.content}
        if choice.message.reasoning is not None:
            message["reasoning"] = choice.message.reasoning
        if choice.message.refusal is not None:
            message["refusal"] = choice.message.refusal
        if choice.message.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in choice.message.tool_calls
            ]
        message.update(choice.message.received)
        return {
            "index": choice.index,
            "message": message,
            "finish_reason": choice.finish_reason,
            "logprobs": choice.logprobs,
            **choice.extra,
        }


def _joined(before: Any, new: Any) -> Any:
    """Return log probabilities of old and new tokens in one value of the same shape."""
    if before is None:
        if isinstance(new, dict):
            return {k: list(v) if isinstance(v, list) else v for k, v in new.items()}
        return list(new) if isinstance(new, list) else [new]
    if isinstance(before, dict) and isinstance(new, dict):
        for key, value in new.items():
            if isinstance(value, list) and isinstance(before.get(key), list):
                before[key].extend(value)
            elif value is not None:
                before[key] = value
    elif isinstance(before, list):
        before.extend(new) if isinstance(new, list) else before.append(new)
    return before
