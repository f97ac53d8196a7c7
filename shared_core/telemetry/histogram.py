"""A histogram of durations with fixed memory: buckets that grow by a constant factor."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

# 0.08 ms to about 26 minutes in steps of 2 ** (1/4): a percentile read from a bucket is within
# 19 % of the true value. 0.01 s and its doublings are among the bounds: OpenTelemetry's
# buckets for durations of generations.
_STEPS_PER_DOUBLING = 4
BOUNDS = tuple(0.01 * 2 ** (step / _STEPS_PER_DOUBLING) for step in range(-28, 70))
"""Upper bounds of the buckets, seconds."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a histogram knows; all values have the unit that was recorded, usually seconds.

    Attributes:
        count: Number of values.
        total: Their sum.
        minimum: Smallest, 0 without values.
        maximum: Largest, 0 without values.
        buckets: Number of values in each bucket of ``BOUNDS``, and above the last.
    """

    count: int = 0
    total: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)

    @property
    def mean(self) -> float:
        """Average, 0 without values."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Return the value that *percent* of the values do not exceed, within 19 %.

        Args:
            percent: From 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile is from 0 to 100, not {percent!r}")
        if not self.count:
            return 0.0
        rank, seen = percent / 100 * self.count, 0
        for index, number in enumerate(self.buckets):
            seen += number
            if number and seen >= rank:
                bound = BOUNDS[index] if index < len(BOUNDS) else self.maximum
                return min(max(bound, self.minimum), self.maximum)
        return self.maximum

    @property
    def p50(self) -> float:
        """Median."""
        return self.percentile(50)

    @property
    def p95(self) -> float:
        """95th percentile."""
        return self.percentile(95)

    @property
    def p99(self) -> float:
        """99th percentile."""
        return self.percentile(99)

    def at_most(self, bound: float) -> int:
        """Return how many values are in buckets that end at or below *bound*."""
        end = bisect_left(BOUNDS, bound * (1 + 1e-9))
        return sum(self.buckets[:end])

    def __add__(self, other: Distribution) -> Distribution:
        if not self.count or not other.count:
            return self if self.count else other
        return Distribution(
            self.count + other.count,
            self.total + other.total,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            tuple(map(sum, zip(self.buckets, other.buckets, strict=True))),
        )


EMPTY = Distribution()
"""No values."""


class Histogram:
    """Records values. Not locked: its owner is."""

    __slots__ = ("_buckets", "_count", "_maximum", "_minimum", "_total")

    def __init__(self) -> None:
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._count = 0
        self._total = 0.0
        self._minimum = float("inf")
        self._maximum = 0.0

    def record(self, value: float) -> None:
        """Count *value*.

        Args:
            value: Not negative.
        """
        self._buckets[bisect_left(BOUNDS, value)] += 1
        self._count += 1
        self._total += value
        self._minimum = min(self._minimum, value)
        self._maximum = max(self._maximum, value)

    def read(self) -> Distribution:
        """Return what was recorded so far."""
        if not self._count:
            return EMPTY
        return Distribution(
            self._count, self._total, self._minimum, self._maximum, tuple(self._buckets)
        )
