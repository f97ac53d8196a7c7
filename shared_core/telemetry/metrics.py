"""Counts of what a client does, kept in this process: a callback with a snapshot.

::

    metrics = Metrics()
    client = RouterClient(callbacks=[metrics])
    ...
    print(metrics.snapshot().total.latency.p95)

Nothing is sent anywhere. ``shared_core.telemetry.prometheus`` writes a snapshot as text,
``shared_core.telemetry.otel`` reports to OpenTelemetry instead.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from shared_core.callbacks import (
    BudgetEvent,
    CacheEvent,
    Callback,
    CallEndEvent,
    CallStartEvent,
    ChunkEvent,
    CircuitEvent,
    FailoverEvent,
    RateLimitEvent,
    RequestEvent,
    RetryEvent,
)
from shared_core.constants import POLICIES
from shared_core.resilience.prices import Prices, believable
from shared_core.telemetry.histogram import EMPTY, Distribution, Histogram

MAX_SERIES = 200
"""How many combinations of operation, model and provider are counted apart; others together."""
OTHER = "other"
"""Model and provider of the combinations beyond ``MAX_SERIES``."""
MAX_OPEN_CALLS = 10_000
"""How many calls in flight are remembered; beyond it the oldest is taken for dropped."""
RECENT_SECONDS = 60
"""Length of the window of ``recent_per_second``."""


@dataclass(frozen=True, slots=True)
class Series:
    """What was counted for one operation, model and provider, or for all.

    Attributes:
        operation: e.g. ``"chat"``; ``""`` in totals.
        model: Without suffix.
        provider: Who served, where known.
        outcomes: Calls that ended, by ``"ok"``, ``"error"`` and ``"abandoned"``.
        errors: Failed calls by class of error.
        attempts: Exchanges, repetitions included.
        cached: Calls answered without an exchange of their own.
        latency: Seconds per call that was not abandoned, waits included.
        time_to_first_chunk: Seconds, of streams.
        tokens_per_second: Of streams from the first chunk on, of others over the whole call.
        input_tokens: Of the prompts, as servers counted.
        output_tokens: Of the answers.
        cost: US dollars by the price list; cached answers cost nothing.
        unpriced: Calls with tokens whose price is not known.
    """

    operation: str = ""
    model: str = ""
    provider: str = ""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 0
    cached: int = 0
    latency: Distribution = EMPTY
    time_to_first_chunk: Distribution = EMPTY
    tokens_per_second: Distribution = EMPTY
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0

    @property
    def calls(self) -> int:
        """Calls that ended."""
        return sum(self.outcomes.values())

    @property
    def error_rate(self) -> float:
        """Share of failed calls among those that were not abandoned; 0 without calls."""
        failed = self.outcomes.get("error", 0)
        judged = failed + self.outcomes.get("ok", 0)
        return failed / judged if judged else 0.0

    def error_rates(self) -> dict[str, float]:
        """Return the share of each class of error among calls that were not abandoned."""
        judged = self.outcomes.get("error", 0) + self.outcomes.get("ok", 0)
        return {name: count / judged for name, count in self.errors.items()} if judged else {}

    def __add__(self, other: Series) -> Series:
        merged: dict[str, Any] = {}
        for each in fields(self):
            mine, its = getattr(self, each.name), getattr(other, each.name)
            if isinstance(mine, Mapping):
                merged[each.name] = dict(Counter(mine) + Counter(its))
            elif isinstance(mine, str):
                merged[each.name] = mine if mine == its else ""
            else:
                merged[each.name] = mine + its
        return Series(**merged)


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """All counts at one moment.

    Attributes:
        age: Seconds since the counting began.
        in_flight: Calls that have begun and not ended.
        series: By operation, model and provider.
        recent_per_second: Calls that ended per second, over the last minute.
        retries: Repetitions by class of the error before.
        failovers: Changes of endpoint by class of the error before.
        cache: Events of the cache by outcome.
        circuits: State of each circuit breaker that ever changed.
        rate_limit_wait: Seconds that attempts had to wait for a permit of our own limiter.
        rate_limit_refused: Attempts that our own limiter refused.
        budget_refused: Calls that the budget refused.
    """

    age: float = 0.0
    in_flight: int = 0
    series: tuple[Series, ...] = ()
    recent_per_second: float = 0.0
    retries: Mapping[str, int] = field(default_factory=dict)
    failovers: Mapping[str, int] = field(default_factory=dict)
    cache: Mapping[str, int] = field(default_factory=dict)
    circuits: Mapping[str, str] = field(default_factory=dict)
    rate_limit_wait: Distribution = EMPTY
    rate_limit_refused: int = 0
    budget_refused: int = 0

    @property
    def total(self) -> Series:
        """All series added up."""
        merged = Series()
        for one in self.series:
            merged = merged + one
        return merged

    @property
    def calls_per_second(self) -> float:
        """Calls that ended per second since the counting began."""
        return self.total.calls / self.age if self.age > 0 else 0.0


class _Counts:
    """The counters behind one :class:`Series`."""

    def __init__(self, operation: str, model: str, provider: str) -> None:
        self.name = (operation, model, provider)
        self.outcomes: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.attempts = self.cached = self.input_tokens = self.output_tokens = self.unpriced = 0
        self.cost = 0.0
        self.latency, self.first, self.speed = Histogram(), Histogram(), Histogram()

    def read(self) -> Series:
        return Series(
            *self.name,
            dict(self.outcomes),
            dict(self.errors),
            self.attempts,
            self.cached,
            self.latency.read(),
            self.first.read(),
            self.speed.read(),
            self.input_tokens,
            self.output_tokens,
            self.cost,
            self.unpriced,
        )


class Metrics(Callback):
    """Counts calls, errors, tokens, times and cost. Safe to share between clients and threads.

    Args:
        prices: What tokens cost; without it every cost is 0.
        clock: Monotonic seconds.
    """

    hears_drops = True

    def __init__(
        self, prices: Prices | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.prices = prices
        self._clock = clock
        # Reentrant: a call that is collected as garbage ends wherever the collector runs.
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Forget everything, calls in flight included."""
        with self._lock:
            self._began = self._clock()
            self._open: dict[str, list[float | None]] = {}
            self._series: dict[tuple[str, str, str], _Counts] = {}
            self._seconds: dict[int, int] = {}
            self._retries: Counter[str] = Counter()
            self._failovers: Counter[str] = Counter()
            self._cache: Counter[str] = Counter()
            self._circuits: dict[str, str] = {}
            self._wait = Histogram()
            self._refused = 0
            self._over_budget = 0

    def snapshot(self) -> MetricsSnapshot:
        """Return all counts as they are now."""
        with self._lock:
            now = self._clock()
            self._forget_seconds(now)
            age = now - self._began
            return MetricsSnapshot(
                age=age,
                in_flight=len(self._open),
                series=tuple(counts.read() for counts in list(self._series.values())),
                recent_per_second=sum(self._seconds.values()) / max(min(age, RECENT_SECONDS), 1.0),
                retries=dict(self._retries),
                failovers=dict(self._failovers),
                cache=dict(self._cache),
                circuits=dict(self._circuits),
                rate_limit_wait=self._wait.read(),
                rate_limit_refused=self._refused,
                budget_refused=self._over_budget,
            )

    def on_call_start(self, event: CallStartEvent) -> None:
        """Count a call in flight."""
        with self._lock:
            if len(self._open) >= MAX_OPEN_CALLS:
                del self._open[next(iter(self._open))]
            self._open[event.call_id] = [self._clock(), None]

    def on_request(self, event: RequestEvent) -> None:
        """Forget the chunk of an attempt that failed."""
        times = self._open.get(event.call_id)
        if times is not None:
            times[1] = None

    def on_chunk(self, event: ChunkEvent) -> None:
        """Note the first chunk."""
        times = self._open.get(event.call_id)
        if times is not None and times[1] is None:
            times[1] = self._clock()

    def on_call_end(self, event: CallEndEvent) -> None:
        """Count a call that ended."""
        with self._lock:
            now = self._clock()
            begun, first = self._open.pop(event.call_id, (None, None))
            counts = self._counts_of(event)
            counts.outcomes[event.outcome] += 1
            counts.attempts += event.attempts
            counts.cached += event.cached
            if event.error is not None:
                counts.errors[type(event.error).__name__] += 1
            if event.outcome != "abandoned":
                counts.latency.record(event.elapsed)
            if first is not None and begun is not None:
                counts.first.record(first - begun)
            self._count_tokens(counts, event, event.elapsed if first is None else now - first)
            self._forget_seconds(now)
            self._seconds[int(now)] = self._seconds.get(int(now), 0) + 1

    def _count_tokens(self, counts: _Counts, event: CallEndEvent, seconds: float) -> None:
        usage = event.usage
        if event.cached or not believable(usage):
            return
        put_in, put_out = usage.prompt_tokens, usage.completion_tokens
        counts.input_tokens += put_in
        counts.output_tokens += put_out
        if put_out > 1 and seconds > 0 and event.outcome == "ok":
            counts.speed.record(put_out / seconds)
        model = event.used_model or event.model
        price = None if self.prices is None else self.prices.get(model, event.provider)
        if price is not None:
            counts.cost += price.cost(put_in, put_out)
        else:
            counts.unpriced += 1

    def _counts_of(self, event: CallEndEvent) -> _Counts:
        key = (event.operation, model_label(event.model, event.provider), event.provider or "")
        counts = self._series.get(key)
        if counts is None:
            if len(self._series) >= MAX_SERIES:
                key = (event.operation, OTHER, OTHER)
            counts = self._series.setdefault(key, _Counts(*key))
        return counts

    def _forget_seconds(self, now: float) -> None:
        for second in [s for s in self._seconds if s <= now - RECENT_SECONDS - 1]:
            del self._seconds[second]

    def on_retry(self, event: RetryEvent) -> None:
        """Count a repetition."""
        with self._lock:
            self._retries[type(event.error).__name__] += 1

    def on_failover(self, event: FailoverEvent) -> None:
        """Count a change of endpoint."""
        with self._lock:
            self._failovers[type(event.error).__name__ if event.error else "unknown"] += 1

    def on_circuit(self, event: CircuitEvent) -> None:
        """Note the state of a circuit breaker."""
        with self._lock:
            if event.endpoint in self._circuits or len(self._circuits) < MAX_SERIES:
                self._circuits[event.endpoint] = event.state

    def on_rate_limit(self, event: RateLimitEvent) -> None:
        """Count a wait or a refusal of our own limiter."""
        with self._lock:
            if event.refused:
                self._refused += 1
            else:
                self._wait.record(event.delay)

    def on_cache(self, event: CacheEvent) -> None:
        """Count an event of the cache."""
        with self._lock:
            self._cache[event.outcome] += 1

    def on_budget(self, event: BudgetEvent) -> None:
        """Count a refusal of the budget."""
        with self._lock:
            self._over_budget += 1

    def __repr__(self) -> str:
        return f"Metrics({self.prices!r})" if self.prices is not None else "Metrics()"

    def __deepcopy__(self, memo: object) -> Metrics:
        return self  # copies of a client count in the same place

    def __reduce__(self) -> tuple[type[Metrics], tuple[Prices | None]]:
        return Metrics, (self.prices,)


def model_label(model: str | None, provider: str | None) -> str:
    """Return *model* without the suffix that says how it is routed.

    Args:
        model: As asked for.
        provider: Who served.
    """
    name, _, suffix = (model or "").rpartition(":")
    return name if name and suffix in (provider, *POLICIES) else model or ""
