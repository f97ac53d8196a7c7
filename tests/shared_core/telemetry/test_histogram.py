"""Percentiles from buckets are close to the true ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.telemetry.histogram import BOUNDS, EMPTY, Distribution, Histogram

durations = st.lists(st.floats(1e-4, 1000), min_size=1, max_size=60)


def recorded(values: list[float]) -> Distribution:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram.read()


@pytest.mark.evidence("metrics", "property")
@given(durations, st.floats(0, 100))
def test_a_percentile_is_within_a_fifth_of_the_true_one(
    values: list[float], percent: float
) -> None:
    held = recorded(values)
    rank = max(math.ceil(percent / 100 * len(values)), 1)
    true = sorted(values)[rank - 1]
    assert true * 0.999 <= held.percentile(percent) <= true * 1.2
    assert held.minimum == min(values)
    assert held.maximum == max(values)
    assert held.count == sum(held.buckets) == len(values)


@given(durations, durations)
def test_adding_is_recording_both(first: list[float], second: list[float]) -> None:
    both, summed = recorded(first + second), recorded(first) + recorded(second)
    assert both.buckets == summed.buckets
    assert (both.minimum, both.maximum) == (summed.minimum, summed.maximum)
    assert both.total == pytest.approx(summed.total)


@given(durations)
def test_counts_up_to_a_bound_are_exact_at_bounds(values: list[float]) -> None:
    held = recorded(values)
    for bound in (0.01, 0.16, 1.28, 81.92):
        assert held.at_most(bound) == sum(value <= bound for value in values)


def test_nothing_recorded_is_zero_and_the_edges_are_kept() -> None:
    assert (EMPTY.percentile(99), EMPTY.mean, EMPTY + EMPTY) == (0.0, 0.0, EMPTY)
    held = recorded([0.0, 1e9])
    assert (held.p50, held.p99, held.mean) == (BOUNDS[0], 1e9, 5e8)
    with pytest.raises(ValueError, match="0 to 100"):
        held.percentile(101)
