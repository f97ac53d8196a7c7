"""Streamed core chunks to ``ChatGenerationChunk``: constant work per chunk.

Text goes into ``content`` (always a string) and reasoning into ``additional_kwargs``, so that
merging chunks is plain concatenation. Whatever must not be merged (names, finish reason, usage,
log probabilities, a refusal) is held back and sent once, on the closing chunk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessageChunk, ToolCallChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_hfrouter._results import (
    SIDES,
    answer_metadata,
    arguments_of,
    sides,
    usage_metadata,
)
from langchain_hfrouter.chat_models import PROVIDER
from shared_core import (
    CUT_REASONS,
    ChatChunk,
    ToolArgumentsError,
    ToolCall,
    ToolCallDelta,
    Usage,
)

_LATEST = 2**53
"""Seconds; larger numbers are no times, as in whole answers."""


class ChunkConverter:
    """Converts the chunks of one stream.

    Args:
        requested_model: Reported when the server names no model.
    """

    __slots__ = (
        "_arguments",
        "_created",
        "_fingerprint",
        "_finish",
        "_id",
        "_logprobs",
        "_model",
        "_refusal",
        "_usage",
        "heard",
    )

    def __init__(self, requested_model: str) -> None:
        self._model = requested_model
        self._id = ""
        self._created: int | None = None
        self._finish: str | None = None
        self._fingerprint: str | None = None
        self._usage: Usage | None = None
        self._logprobs: dict[str, Any] = {}
        self._refusal: list[str] = []
        self._arguments: dict[int, list[str]] = {}
        self.heard = False  # whether there is sound, or annotations

    def convert(self, chunk: ChatChunk) -> ChatGenerationChunk | None:
        """Return what *chunk* adds to the answer, or None if that is nothing to show.

        Args:
            chunk: The next chunk of the first choice.
        """
        self._remember(chunk)
        if not (chunk.text or chunk.reasoning or chunk.tool_calls):
            return None
        kept = {"reasoning_content": chunk.reasoning} if chunk.reasoning else {}
        message = AIMessageChunk(
            content=chunk.text,
            additional_kwargs=kept,
            tool_call_chunks=[_call_chunk(delta) for delta in chunk.tool_calls],
            response_metadata={"model_provider": PROVIDER},
        )
        return ChatGenerationChunk(message=message)

    def close(
        self,
        request_id: str | None,
        inference_provider: str | None,
        received: Mapping[str, Any] | None = None,
    ) -> Iterator[ChatGenerationChunk]:
        """Yield what closes the answer: torn calls marked as such, then metadata, once.

        Args:
            request_id: The server's id of the exchange.
            inference_provider: Who served the call.
            received: What came besides the usual, if anything was ``heard``.
        """
        last = max(self._arguments, default=None)
        yield from self._marks({last} if self._finish in CUT_REASONS else set())
        yield self._last(request_id, inference_provider, sides(received or {}))

    def broken(self) -> Iterator[ChatGenerationChunk]:
        """Yield what marks torn calls as such when the stream broke off, if there are any."""
        return self._marks(set(self._arguments))

    def _marks(self, cut: Collection[int | None]) -> Iterator[ChatGenerationChunk]:
        torn = [
            ToolCallChunk(type="tool_call_chunk", index=index, id=None, name=None, args=mark)
            for index, pieces in self._arguments.items()
            if (mark := mark_if_torn("".join(pieces), cut=index in cut))
        ]
        if torn:
            message = AIMessageChunk(
                content="", tool_call_chunks=torn, response_metadata={"model_provider": PROVIDER}
            )
            yield ChatGenerationChunk(message=message)

    def _last(
        self, request_id: str | None, inference_provider: str | None, kept: dict[str, Any]
    ) -> ChatGenerationChunk:
        metadata = answer_metadata(
            model=self._model,
            id=self._id,
            created=self._created,
            finish_reason=self._finish,
            system_fingerprint=self._fingerprint,
            logprobs=self._logprobs or None,
            request_id=request_id,
            inference_provider=inference_provider,
            usage=self._usage,
        )
        # A refusal is short, and event streams know no pieces of it.
        refusal = "".join(self._refusal)
        message = AIMessageChunk(
            content="",
            additional_kwargs={**({"refusal": refusal} if refusal else {}), **kept},
            usage_metadata=usage_metadata(self._usage),
            response_metadata=metadata,
            chunk_position="last",
        )
        info = {"finish_reason": self._finish} if self._finish else None
        return ChatGenerationChunk(message=message, generation_info=info)

    def _remember(self, chunk: ChatChunk) -> None:
        if chunk.model:
            self._model = chunk.model
        if chunk.id:
            self._id = chunk.id
        if chunk.finish_reason:
            self._finish = chunk.finish_reason
        if chunk.usage is not None:
            self._usage = chunk.usage  # counts so far: the last one holds them all
        if chunk.refusal:
            self._refusal.append(chunk.refusal)
        for delta in chunk.tool_calls:
            self._arguments.setdefault(delta.index, []).append(delta.arguments)
        if chunk.logprobs:
            _append(self._logprobs, chunk.logprobs)
        if not self.heard:
            self.heard = _has_sides(chunk.raw)
        fingerprint = chunk.raw.get("system_fingerprint")
        if isinstance(fingerprint, str) and fingerprint:
            self._fingerprint = fingerprint
        if type(created := chunk.raw.get("created")) is int and 0 <= created < _LATEST:
            self._created = created


def _has_sides(event: Mapping[str, Any]) -> bool:
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    delta = first.get("delta") if isinstance(first, dict) else None
    return isinstance(delta, dict) and any(delta.get(name) for name in SIDES)


def _call_chunk(delta: ToolCallDelta) -> ToolCallChunk:
    return ToolCallChunk(
        type="tool_call_chunk",
        index=delta.index,
        id=delta.id,
        name=delta.name,
        args=delta.arguments,
    )


def mark_if_torn(arguments: str, *, cut: bool = False) -> str:
    """Return what to append to *arguments* that are not JSON, or "" for good ones.

    Args:
        arguments: All that came.
        cut: Whether the answer was cut off here: no arguments are torn ones then.

    When chunks are added up, LangChain completes half a JSON object by itself: a call that was
    cut, by ``max_tokens`` or with the connection, would be handed over as if the model had
    meant it. It gives up on a bracket that closes nothing, and the call is an invalid one.
    """
    if not cut and not arguments.strip():
        return ""
    try:
        arguments_of(ToolCall("", "", arguments))
    except ToolArgumentsError:
        pass
    else:
        return ""
    inside = escaped = False
    open_brackets: list[str] = []
    for char in arguments:
        if inside:
            inside = char != '"' or escaped
            escaped = char == "\\" and not escaped
        elif char == '"':
            inside = True
        elif char in "{[":
            open_brackets.append(char)
        elif char in "}]" and open_brackets:
            open_brackets.pop()
    wrong = "}" if open_brackets[-1:] == ["["] else "]"
    return ("\\" if escaped else "") + ('"' if inside else "") + f"{wrong} <broken off>"


def _append(collected: dict[str, Any], new: Any) -> None:
    """Add the log probabilities of new tokens: lists grow, anything else is replaced."""
    if not isinstance(new, dict):
        return
    for name, value in new.items():
        known = collected.get(name)
        if isinstance(known, list) and isinstance(value, list):
            known.extend(value)
        elif value is not None or name not in collected:
            collected[name] = list(value) if isinstance(value, list) else value
