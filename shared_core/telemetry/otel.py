"""Spans and metrics for OpenTelemetry, by its conventions for generative AI.

Needs ``pip install 'hfrouter[otel]'``: the API package only. Where the data goes is decided by
the SDK that the application configures::

    client = RouterClient(callbacks=[OpenTelemetry()])

Prompts and answers are never recorded unless ``record_content=True``. The conventions are in
development; their names are kept in ``semconv`` and follow
``OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental`` whether or not it is set.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared_core.callbacks import (
    Callback,
    CallEndEvent,
    CallStartEvent,
    ChunkEvent,
    ErrorEvent,
    FailoverEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
)
from shared_core.errors import InvalidSettingError
from shared_core.telemetry import semconv
from shared_core.telemetry.metrics import MAX_OPEN_CALLS, OTHER, model_label

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

MAX_MODELS = 200
"""How many models metrics tell apart; the others are called ``other``."""


class _Open:
    """A call in flight."""

    __slots__ = ("attempt", "attributes", "chunk", "first", "span", "started")

    def __init__(self, span: Span, attributes: dict[str, Any], started: float) -> None:
        self.span = span
        self.attributes = attributes
        self.started = started
        self.attempt: Span | None = None
        self.first: float | None = None
        self.chunk = started


class OpenTelemetry(Callback):
    """Reports calls as OpenTelemetry spans and metrics.

    Args:
        tracer_provider: Where spans go; None: the global one.
        meter_provider: Where metrics go; None: the global one.
        record_content: Whether prompts, answers and tools become attributes of spans. They
            then leave this process in clear text.
        clock: Monotonic seconds.

    Raises:
        InvalidSettingError: The API package is missing.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        record_content: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError:
            raise InvalidSettingError(
                "OpenTelemetry's API is not installed", guidance="pip install 'hfrouter[otel]'"
            ) from None
        from shared_core import __version__

        self.wants_content = record_content
        self._clock = clock
        self._trace = trace
        self._tracer = trace.get_tracer("hfrouter", __version__, tracer_provider)
        meter = metrics.get_meter("hfrouter", __version__, meter_provider)
        self._histograms: dict[str, Histogram] = {
            name: meter.create_histogram(
                name, unit=unit, description=text, explicit_bucket_boundaries_advisory=bounds
            )
            for name, unit, text, bounds in semconv.HISTOGRAMS
        }
        self._counters = {
            name: meter.create_counter(name, unit="{token}", description=text)
            for name, text in semconv.COUNTERS
        }
        # Reentrant: a call that is collected as garbage ends wherever the collector runs.
        self._lock = threading.RLock()
        self._open: dict[str, _Open] = {}
        self._models: set[str] = set()

    def on_call_start(self, event: CallStartEvent) -> None:
        """Start the span of a call."""
        operation = semconv.OPERATIONS.get(event.operation)
        if operation is None:
            return
        model = model_label(event.model, event.provider)
        shared = {
            semconv.OPERATION_NAME: operation,
            semconv.PROVIDER_NAME: semconv.PROVIDER,
            semconv.REQUEST_MODEL: model,
            **semconv.server(event.url),
        }
        attributes = {**shared, **semconv.request(event, operation)}
        if event.content is not None:
            attributes.update(semconv.request_content(event.content))
        name = f"{operation} {model}".strip()
        span = self._tracer.start_span(
            name, kind=self._trace.SpanKind.CLIENT, attributes=attributes
        )
        with self._lock:
            dropped = None
            if len(self._open) >= MAX_OPEN_CALLS:
                dropped = self._open.pop(next(iter(self._open)))
            self._open[event.call_id] = _Open(span, shared, self._clock())
        if dropped is not None:  # a stream that nobody closed: nobody tells of its end
            self._end_attempt(dropped)
            dropped.span.set_attribute("hf_router.outcome", "abandoned")
            dropped.span.end()

    def on_request(self, event: RequestEvent) -> None:
        """Start the span of an attempt."""
        call = self._open.get(event.call_id)
        if call is None:
            return
        self._end_attempt(call)
        attributes: dict[str, Any] = {
            "http.request.method": "POST",
            "url.full": event.url.partition("?")[0],
            **semconv.server(event.url),
        }
        if event.attempt > 1:
            attributes["http.request.resend_count"] = event.attempt - 1
        call.attempt = self._tracer.start_span(
            "POST",
            context=self._trace.set_span_in_context(call.span),
            kind=self._trace.SpanKind.CLIENT,
            attributes=attributes,
        )

    def on_response(self, event: ResponseEvent) -> None:
        """End the span of an attempt that was answered."""
        call = self._open.get(event.call_id)
        if call is not None:
            self._end_attempt(call, status=event.status)

    def on_retry(self, event: RetryEvent) -> None:
        """End the span of an attempt that failed."""
        self._failed_attempt(event.call_id, event.error)

    def on_failover(self, event: FailoverEvent) -> None:
        """End the span of an attempt that failed."""
        self._failed_attempt(event.call_id, event.error)

    def on_error(self, event: ErrorEvent) -> None:
        """End the span of an attempt that failed."""
        self._failed_attempt(event.call_id, event.error)

    def on_chunk(self, event: ChunkEvent) -> None:
        """Measure the time to the first chunk and between chunks."""
        call = self._open.get(event.call_id)
        if call is None:
            return
        now = self._clock()
        if call.first is None:
            call.first = now - call.started
            self._record(semconv.TIME_TO_FIRST_CHUNK, call.first, call.attributes)
        else:
            self._record(semconv.TIME_PER_OUTPUT_CHUNK, now - call.chunk, call.attributes)
        call.chunk = now

    def on_call_end(self, event: CallEndEvent) -> None:
        """End the span of a call and record its metrics."""
        with self._lock:
            call = self._open.pop(event.call_id, None)
        if call is None:
            return
        self._end_attempt(call)
        result = event.result.partial if hasattr(event.result, "_when_ended") else event.result
        facts = semconv.response(event, result)
        if call.first is not None:
            facts[semconv.RESPONSE_FIRST_CHUNK] = call.first
        if self.wants_content:
            facts.update(semconv.response_content(result))
        measured = dict(call.attributes)
        if facts.get(semconv.RESPONSE_MODEL):
            measured[semconv.RESPONSE_MODEL] = facts[semconv.RESPONSE_MODEL]
        if event.error is not None:
            measured[semconv.ERROR_TYPE] = facts[semconv.ERROR_TYPE]
            status = self._trace.Status(self._trace.StatusCode.ERROR, type(event.error).__name__)
            call.span.set_status(status)
        call.span.set_attributes(facts)
        call.span.end()
        self._record(semconv.DURATION, event.elapsed, measured)
        if not event.cached:
            self._count_tokens(facts, measured)

    def _count_tokens(self, facts: dict[str, Any], measured: dict[str, Any]) -> None:
        for kind, attribute, histogram in (
            ("input", semconv.INPUT_TOKENS, semconv.OPERATION_INPUT),
            ("output", semconv.OUTPUT_TOKENS, semconv.OPERATION_OUTPUT),
        ):
            if attribute in facts:
                count = facts[attribute]
                self._record(semconv.TOKEN_USAGE, count, {**measured, semconv.TOKEN_TYPE: kind})
                self._record(histogram, count, measured)
        labels = self._bounded({**measured, semconv.TOKEN_MODALITY: "text"})
        for name, attribute in semconv.COUNTED.items():
            if facts.get(attribute):
                self._counters[name].add(facts[attribute], labels)

    def _record(self, name: str, value: float, attributes: dict[str, Any]) -> None:
        self._histograms[name].record(value, self._bounded(attributes))

    def _bounded(self, attributes: dict[str, Any]) -> dict[str, Any]:
        bounded = dict(attributes)
        for name in (semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL):
            model = bounded.get(name)
            if model is None or model in self._models:
                continue
            with self._lock:
                if len(self._models) < MAX_MODELS:
                    self._models.add(model)
                elif model not in self._models:
                    bounded[name] = OTHER
        return bounded

    def _failed_attempt(self, call_id: str, error: BaseException | None) -> None:
        call = self._open.get(call_id)
        if call is not None:
            status = getattr(error, "status_code", None)
            self._end_attempt(call, status=status, error=error)

    def _end_attempt(
        self, call: _Open, *, status: int | None = None, error: BaseException | None = None
    ) -> None:
        span, call.attempt = call.attempt, None
        if span is None:
            return
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if error is not None:
            name = str(status) if status is not None else type(error).__name__
            span.set_attribute(semconv.ERROR_TYPE, name)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
        span.end()

    def __deepcopy__(self, memo: object) -> OpenTelemetry:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.wants_content,)  # providers belong to their process


def _rebuild(record_content: bool) -> OpenTelemetry:
    return OpenTelemetry(record_content=record_content)
