"""Metrics as Prometheus text (exposition format 0.0.4): what a ``/metrics`` page shows.

Nothing is served here: return :func:`exposition` from whatever web framework there is. Labels
are models, operations, providers and classes of errors; never ids, addresses or content.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from shared_core.telemetry.histogram import Distribution
from shared_core.telemetry.metrics import MetricsSnapshot, Series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What to send as ``Content-Type``."""

BUCKETS = tuple(0.01 * 2**step for step in range(14))
"""Upper bounds in seconds: OpenTelemetry's for generations, 0.01 doubling to 81.92."""

CIRCUIT_STATES: Mapping[str, int] = {"closed": 0, "half-open": 1, "open": 2, "isolated": 3}
"""Value of ``hf_router_circuit_state``."""

Labels: TypeAlias = dict[str, str]
Sample: TypeAlias = tuple[str, Labels, float]


def exposition(snapshot: MetricsSnapshot) -> str:
    """Return *snapshot* as text for Prometheus.

    Args:
        snapshot: ``metrics.snapshot()``.
    """
    return "".join(_lines(snapshot))


def _lines(snapshot: MetricsSnapshot) -> Iterator[str]:
    series = snapshot.series
    yield from _family(
        "requests_total",
        "counter",
        "Calls that ended, by outcome.",
        _summed(
            ({"model": s.model, "operation": s.operation, "outcome": outcome}, count)
            for s in series
            for outcome, count in s.outcomes.items()
        ),
    )
    yield from _family(
        "errors_total",
        "counter",
        "Calls that failed, by class of error.",
        _summed(({"type": name}, n) for s in series for name, n in s.errors.items()),
    )
    yield from _durations(snapshot)
    yield from _tokens(series)
    yield from _guards(snapshot)


def _durations(snapshot: MetricsSnapshot) -> Iterator[str]:
    total = snapshot.total
    for name, text, held in (
        ("request_duration_seconds", "Calls, waits included.", total.latency),
        ("time_to_first_chunk_seconds", "Streams, to the first chunk.", total.time_to_first_chunk),
        ("rate_limit_wait_seconds", "Waits for the rate limiter.", snapshot.rate_limit_wait),
    ):
        yield from _family(name, "histogram", text, _histogram(held))
    yield from _family(
        "in_flight_requests", "gauge", "Calls in flight.", [("", {}, snapshot.in_flight)]
    )


def _tokens(series: Iterable[Series]) -> Iterator[str]:
    tokens = [
        ({"direction": direction}, count)
        for s in series
        for direction, count in (("input", s.input_tokens), ("output", s.output_tokens))
    ]
    yield from _family("tokens_total", "counter", "Tokens as servers counted.", _summed(tokens))
    costs = (({"model": s.model, "provider": s.provider}, s.cost) for s in series if s.cost)
    yield from _family("cost_usd_total", "counter", "US dollars by price list.", _summed(costs))


def _guards(snapshot: MetricsSnapshot) -> Iterator[str]:
    for name, text, label, counts in (
        ("retries_total", "Repetitions by error.", "reason", snapshot.retries),
        ("failovers_total", "Changes of endpoint by error.", "reason", snapshot.failovers),
        ("cache_events_total", "Events of the cache.", "event", snapshot.cache),
    ):
        samples = _summed(({label: key}, count) for key, count in counts.items())
        yield from _family(name, "counter", text, samples)
    states = [
        ("", {"endpoint": endpoint}, float(CIRCUIT_STATES.get(state, -1)))
        for endpoint, state in sorted(snapshot.circuits.items())
    ]
    meaning = "0 closed, 1 half-open, 2 open, 3 isolated."
    yield from _family("circuit_state", "gauge", meaning, states)
    for name, text, count in (
        ("rate_limit_refused_total", "Attempts refused by the limiter.", "rate_limit_refused"),
        ("budget_refused_total", "Calls refused by the budget.", "budget_refused"),
    ):
        yield from _family(name, "counter", text, [("", {}, getattr(snapshot, count))])


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    rows = list(samples)
    if not rows:
        return
    full = f"hf_router_{name}"
    yield f"# HELP {full} {text}\n# TYPE {full} {kind}\n"
    for suffix, labels, value in rows:
        inner = ",".join(f'{key}="{_escaped(held)}"' for key, held in labels.items())
        yield (
            f"{full}{suffix}{{{inner}}} {_number(value)}\n"
            if inner
            else (f"{full}{suffix} {_number(value)}\n")
        )


def _summed(samples: Iterable[tuple[Labels, float]]) -> Iterator[Sample]:
    """Add up the samples with equal labels, in a stable order."""
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for labels, value in samples:
        key = tuple(labels.items())
        sums[key] = sums.get(key, 0) + value
    return (("", dict(key), value) for key, value in sorted(sums.items()))


def _histogram(held: Distribution) -> Iterator[Sample]:
    for bound in BUCKETS:
        yield "_bucket", {"le": f"{bound:g}"}, held.at_most(bound)
    yield "_bucket", {"le": "+Inf"}, held.count
    yield "_sum", {}, held.total
    yield "_count", {}, held.count


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
