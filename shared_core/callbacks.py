"""Events of calls, for metrics, tracing and progress.

Subclass :class:`Callback` and override what you need. Events say which call, model and
provider, how long and how many tokens; they never hold a prompt or a token, and headers only of
answers. Callbacks are plain functions, also with the async client: keep them short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from shared_core.chat.types import ChatChunk, Usage
    from shared_core.errors import RouterError

CallOutcome: TypeAlias = Literal["ok", "error", "abandoned"]
CacheOutcome: TypeAlias = Literal["hit", "miss", "store", "joined", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events say.

    Attributes:
        call_id: The same for all events of one call.
        operation: ``"chat"``, ``"embeddings"``, ``"models.list"`` ...
        model: Model as asked for.
        provider: Provider that served, where known, else as asked for.
        url: Address without credentials.
    """

    call_id: str
    operation: str
    model: str | None = None
    provider: str | None = None
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStartEvent(Event):
    """A call begins: before the cache, the guards and the first attempt.

    Attributes:
        stream: Whether the answer was asked for as a stream.
        parameters: Numbers and names among the parameters, e.g. ``temperature``; no content.
        content: The body with the prompt, for callbacks with ``wants_content`` only.
    """

    stream: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    content: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEndEvent(Event):
    """A call is over: of a stream, when its end was read or it was closed. Comes last.

    Attributes:
        outcome: ``"ok"``, ``"error"``, or ``"abandoned"``: cancelled, interrupted, or a stream
            closed before its end. Of a stream that is dropped without being closed only
            callbacks with ``hears_drops`` are told.
        elapsed: Seconds from the start, waits and repetitions included.
        attempts: Exchanges begun; 0 for an answer from the cache.
        cached: Whether the answer came from the cache, or from an equal call in flight.
        used_model: Model that the endpoint of the last attempt was asked for; None without
            failover.
        error: What was raised.
        usage: Token counts, where known.
        result: What the caller got, or the stream.
    """

    outcome: CallOutcome
    elapsed: float = 0.0
    attempts: int = 0
    cached: bool = False
    used_model: str | None = None
    error: RouterError | None = None
    usage: Any = None
    result: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent(Event):
    """An attempt is about to be sent.

    Attributes:
        stream: Whether the answer was asked for as a stream.
        attempt: Which exchange of this call, from 1.
    """

    stream: bool = False
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseEvent(Event):
    """A whole answer, or the beginning of a stream, is here.

    Attributes:
        status: HTTP status.
        elapsed: Seconds from the start of the attempt.
        request_id: The server's id of the exchange.
        usage: Token counts, where the answer has them.
        endpoint: Name of the endpoint that answered, ``""`` without failover.
        headers: Response headers without our secrets, e.g. ``x-compute-time`` of a task; not
            shown by ``repr``.
    """

    status: int = 200
    elapsed: float = 0.0
    request_id: str | None = None
    usage: Usage | None = None
    endpoint: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkEvent(Event):
    """A chunk of a stream is about to be handed over.

    Attributes:
        chunk: The chunk.
    """

    chunk: ChatChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCompleteEvent(Event):
    """A stream came to its proper end.

    Attributes:
        elapsed: Seconds from the start of the attempt.
        chunks: Number of chunks handed over.
        finish_reason: Why the model stopped.
        request_id: The server's id of the exchange.
        usage: Token counts, where the stream had them.
    """

    elapsed: float = 0.0
    chunks: int = 0
    finish_reason: str | None = None
    request_id: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent(Event):
    """The call failed for good; the error is raised after this.

    Attributes:
        error: The error.
    """

    error: RouterError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryEvent(Event):
    """An attempt failed and another one follows.

    Attributes:
        attempt: Number of the coming retry, from 1.
        delay: Seconds until it starts.
        error: Why it is needed.
    """

    attempt: int
    delay: float
    error: RouterError


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitEvent(Event):
    """A circuit breaker changed its state. ``call_id`` is empty: calls share the breaker.

    Attributes:
        endpoint: Whose breaker.
        state: ``"closed"``, ``"open"``, ``"half-open"`` or ``"isolated"``.
        previous: State before.
        retry_after: Seconds until the next probe, when open.
        reason: Why, in a few words.
    """

    endpoint: str = ""
    state: str = ""
    previous: str = ""
    retry_after: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverEvent(Event):
    """An endpoint failed and the next one is tried.

    Attributes:
        endpoint: The one that failed.
        target: The one that follows.
        error: Why.
    """

    endpoint: str = ""
    target: str = ""
    error: RouterError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitEvent(Event):
    """The rate limiter of this client delays or refuses an attempt.

    Attributes:
        endpoint: Whose limiter.
        delay: Seconds until there is a permit.
        refused: Whether that is too long, so that nothing is sent.
    """

    endpoint: str = ""
    delay: float = 0.0
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEvent(Event):
    """The cache was asked or filled.

    Attributes:
        outcome: ``"hit"``; ``"miss"``: a request follows; ``"store"``: its answer was kept;
            ``"joined"``: an equal call in flight gave the answer; ``"failed"``: the store was
            not reachable and the call went on without it.
        size: Bytes of the answer, where known.
    """

    outcome: CacheOutcome
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetEvent(Event):
    """The budget refused a call; nothing was sent.

    Attributes:
        limit: US dollars of the limit that would have been passed; None: the price of the model
            is not known.
        window: Seconds of its window, None for one without end.
        spent: US dollars spent in the window, calls in flight included.
        estimate: US dollars that the call could cost.
    """

    limit: float | None = None
    window: float | None = None
    spent: float = 0.0
    estimate: float = 0.0


class Callback:
    """Base of callbacks: every method does nothing. What one raises is logged, not passed on.

    Attributes:
        wants_content: Whether :class:`CallStartEvent` is to hold the prompt. False by default.
        hears_drops: Whether ``on_call_end`` is also called for a stream that is dropped without
            being closed. That may happen wherever Python's collector runs, even inside another
            method of the same callback: its locks must be reentrant. False by default.
    """

    wants_content: bool = False
    hears_drops: bool = False

    def on_call_start(self, event: CallStartEvent) -> None:
        """A call begins."""

    def on_call_end(self, event: CallEndEvent) -> None:
        """A call is over; comes last."""

    def on_request(self, event: RequestEvent) -> None:
        """An attempt is about to be sent."""

    def on_response(self, event: ResponseEvent) -> None:
        """A whole answer, or the beginning of a stream, is here."""

    def on_chunk(self, event: ChunkEvent) -> None:
        """A chunk of a stream is about to be handed over."""

    def on_stream_complete(self, event: StreamCompleteEvent) -> None:
        """A stream came to its proper end."""

    def on_error(self, event: ErrorEvent) -> None:
        """The call failed for good."""

    def on_retry(self, event: RetryEvent) -> None:
        """An attempt failed and another one follows."""

    def on_circuit(self, event: CircuitEvent) -> None:
        """A circuit breaker changed its state."""

    def on_failover(self, event: FailoverEvent) -> None:
        """An endpoint failed and the next one is tried."""

    def on_rate_limit(self, event: RateLimitEvent) -> None:
        """The rate limiter of this client delays or refuses an attempt."""

    def on_cache(self, event: CacheEvent) -> None:
        """The cache was asked or filled."""

    def on_budget(self, event: BudgetEvent) -> None:
        """The budget refused a call."""


def dispatch(callbacks: Sequence[Callback], name: str, event: Event) -> None:
    """Call method *name* of every callback with *event*; a failing one stops nobody.

    Args:
        callbacks: Whom to tell, in order.
        name: ``"on_request"``, ``"on_response"`` ...
        event: What to tell.
    """
    for callback in callbacks:
        method = getattr(callback, name, None)
        if method is None:
            continue
        try:
            result = method(event)
        except Exception as exc:  # noqa: BLE001 - a listener must not break the call
            # Its text is in the traceback; to ask for it here could raise once more.
            _complain(callback, name, f"raised {type(exc).__name__}", exc)
            continue
        if hasattr(result, "__await__") and hasattr(result, "close"):
            result.close()
            _complain(callback, name, "is async and was not run: callbacks are plain functions")


def _complain(callback: Callback, name: str, what: str, error: BaseException | None = None) -> None:
    from shared_core.log import logger

    logger.warning("callback %s.%s %s", type(callback).__name__, name, what, exc_info=error)
