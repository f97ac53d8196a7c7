"""Tells the callbacks of a call as a whole: its start, and how it ended."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared_core.callbacks import CallEndEvent, CallStartEvent, dispatch
from shared_core.flow import Outcome, when_ended

if TYPE_CHECKING:
    from shared_core.callbacks import Callback, CallOutcome
    from shared_core.errors import RouterError
    from shared_core.resilience.pipeline import CallInfo

PARAMETERS = (
    "dimensions",
    "encoding_format",
    "frequency_penalty",
    "max_completion_tokens",
    "max_new_tokens",
    "max_tokens",
    "n",
    "presence_penalty",
    "seed",
    "stop",
    "temperature",
    "top_k",
    "top_p",
)
"""Request fields that events may hold: numbers and names, never what a user wrote."""


class Observation:
    """One call as its listeners see it: one start, one end, whatever happens between."""

    __slots__ = ("__weakref__", "_call", "_ended", "_started", "_told")

    def __init__(self, call: CallInfo) -> None:
        self._call = call
        self._started = time.monotonic()
        self._ended = not call.listeners
        self._told = False

    def start(self) -> None:
        """Tell that the call begins."""
        call = self._call
        if not call.listeners:
            return
        curious = tuple(one for one in call.listeners if getattr(one, "wants_content", False))
        plain = tuple(one for one in call.listeners if one not in curious)
        self._begin(plain, None)
        self._begin(curious, call.request.json)

    def _begin(self, listeners: tuple[Callback, ...], content: Any) -> None:
        if not listeners:
            return
        request, context = self._call.request, self._call.context
        event = CallStartEvent(
            call_id=context.call_id,
            operation=context.operation,
            model=context.model,
            provider=context.provider,
            url=context.url,
            stream=request.stream,
            parameters=parameters_of(request.json),
            content=content,
        )
        dispatch(listeners, "on_call_start", event)

    def returned(self, result: Any) -> None:
        """Take note of the result; a stream tells later how it ended."""
        if self._ended:
            return
        self._ended = True
        # Weakly: a reference from a stream to itself would keep its connection open.
        held = weakref.ref(result) if hasattr(result, "_when_ended") else None

        def told(outcome: Outcome) -> None:
            kind: CallOutcome = "ok"
            if outcome.error is not None:
                kind = "error"
            elif outcome.abandoned:
                kind = "abandoned"
            ended = whole if held is None else held()
            self._tell(kind, outcome.error, outcome.usage, ended)

        whole = result if held is None else None
        when_ended(result, told)
        hearing = tuple(one for one in self._call.listeners if getattr(one, "hears_drops", False))
        if held is not None and hearing and not self._told:
            weakref.finalize(result, self._dropped, hearing).atexit = False

    def _dropped(self, hearing: tuple[Callback, ...]) -> None:
        """Tell that a stream was dropped, perhaps by the collector, in the middle of anything."""
        if not self._told:
            self._tell("abandoned", listeners=hearing)

    def failed(self, error: RouterError) -> None:
        """Tell that the call failed."""
        if not self._ended:
            self._ended = True
            self._tell("error", error)

    def left(self) -> None:
        """Tell that the call was cancelled or interrupted, unless its end is known."""
        if not self._ended:
            self._ended = True
            self._tell("abandoned")

    def _tell(
        self,
        outcome: CallOutcome,
        error: RouterError | None = None,
        usage: Any = None,
        result: Any = None,
        listeners: tuple[Callback, ...] | None = None,
    ) -> None:
        self._told = True
        call = self._call
        headers = getattr(result, "headers", None) or {}
        event = CallEndEvent(
            call_id=call.context.call_id,
            operation=call.context.operation,
            model=call.context.model,
            provider=getattr(result, "provider", None)
            or headers.get("x-inference-provider")
            or getattr(error, "inference_provider", None)
            or call.context.provider,
            url=call.context.url,
            outcome=outcome,
            elapsed=time.monotonic() - self._started,
            attempts=call.trace.attempts,
            cached=call.trace.cached,
            used_model=call.trace.model,
            error=error,
            usage=usage,
            result=result,
        )
        dispatch(listeners or call.listeners, "on_call_end", event)


def parameters_of(body: Any) -> Mapping[str, Any]:
    """Return the harmless parameters of a request body.

    Args:
        body: The JSON body, of any shape.
    """
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("parameters")
    found: dict[str, Any] = {}
    for source in (inner, body) if isinstance(inner, Mapping) else (body,):
        found.update((name, source[name]) for name in PARAMETERS if name in source)
    shape = body.get("response_format")
    if isinstance(shape, Mapping) and isinstance(shape.get("type"), str):
        found["response_format"] = shape["type"]
    return found
