"""Retry policy and budget, without a server or a clock."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.errors import APIConnectionError, APIError, BadRequestError, RateLimitError
from shared_core.flow import Flow, Sleep
from shared_core.resilience.retry import RetryBudget, RetryPolicy, retrying


def upper(_low: float, high: float) -> float:
    return high


def lower(low: float, _high: float) -> float:
    return low


def attempts_of(*outcomes: Exception | str) -> tuple[Callable[[], Flow[str]], list[int]]:
    """Return a maker of attempts that end in turn as *outcomes* say, and a counter."""
    left = list(outcomes)
    made: list[int] = []

    def attempt() -> Flow[str]:
        made.append(1)
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
        yield

    return attempt, made


def drive(flow: Flow[str]) -> tuple[str, list[float]]:
    """Run a retrying flow; return its result and the waits it asked for."""
    waits: list[float] = []
    try:
        effect = next(flow)
        while True:
            assert isinstance(effect, Sleep)
            waits.append(effect.seconds)
            effect = flow.send(None)
    except StopIteration as stop:
        return stop.value, waits


def rate_limit(wait: float | None) -> RateLimitError:
    error = RateLimitError("slow down")
    error.retry_after = wait
    return error


def quiet(_error: APIError, _retry: int, _wait: float) -> None:
    return None


def test_success_takes_one_attempt() -> None:
    attempt, made = attempts_of("fine")
    result = drive(retrying(attempt, RetryPolicy(max_retries=3), RetryBudget(), notify=quiet))
    assert result == ("fine", [])
    assert len(made) == 1


@pytest.mark.evidence("retry", "model")
def test_waits_grow_and_are_capped() -> None:
    lost = [APIConnectionError("lost") for _ in range(6)]
    attempt, made = attempts_of(*lost, "fine")
    flow = retrying(attempt, RetryPolicy(max_retries=6), RetryBudget(), notify=quiet, uniform=upper)
    assert drive(flow) == ("fine", [0.5, 1.0, 2.0, 4.0, 8.0, 8.0])
    assert len(made) == 7


def test_last_error_says_how_many_attempts_were_made() -> None:
    attempt, made = attempts_of(*[APIConnectionError("lost") for _ in range(5)])
    with pytest.raises(APIConnectionError) as caught:
        drive(retrying(attempt, RetryPolicy(max_retries=2), RetryBudget(), notify=quiet))
    assert caught.value.attempts == 3
    assert len(made) == 3


def test_final_errors_are_not_repeated() -> None:
    attempt, made = attempts_of(BadRequestError("no"), "fine")
    with pytest.raises(BadRequestError):
        drive(retrying(attempt, RetryPolicy(max_retries=5), RetryBudget(), notify=quiet))
    assert len(made) == 1


def test_server_wait_is_never_shortened() -> None:
    attempt, _ = attempts_of(rate_limit(2.0), "fine")
    flow = retrying(attempt, RetryPolicy(max_retries=1), RetryBudget(), notify=quiet, uniform=lower)
    assert drive(flow) == ("fine", [2.0])


def test_server_wait_grows_by_a_tenth_at_most() -> None:
    attempt, _ = attempts_of(rate_limit(2.0), "fine")
    flow = retrying(attempt, RetryPolicy(max_retries=1), RetryBudget(), notify=quiet, uniform=upper)
    assert drive(flow)[1] == [pytest.approx(2.2)]


def test_a_days_wait_fails_at_once_and_says_so() -> None:
    attempt, made = attempts_of(rate_limit(86_400.0), "fine")
    with pytest.raises(RateLimitError, match="86400 s"):
        drive(retrying(attempt, RetryPolicy(max_retries=3), RetryBudget(), notify=quiet))
    assert len(made) == 1


def test_observer_sees_each_retry() -> None:
    seen: list[tuple[str, int, float]] = []

    def notify(error: APIError, retry: int, wait: float) -> None:
        seen.append((type(error).__name__, retry, wait))

    attempt, _ = attempts_of(APIConnectionError("a"), rate_limit(1.0), "fine")
    drive(
        retrying(attempt, RetryPolicy(max_retries=2), RetryBudget(), notify=notify, uniform=lower)
    )
    assert seen == [("APIConnectionError", 1, 0.0), ("RateLimitError", 2, 1.0)]


def test_a_dead_server_is_not_hammered() -> None:
    budget = RetryBudget()
    total = 0
    for _ in range(100):
        attempt, made = attempts_of(*[APIConnectionError("dead") for _ in range(4)])
        with pytest.raises(APIConnectionError):
            drive(retrying(attempt, RetryPolicy(max_retries=3), budget, notify=quiet))
        total += len(made)
    assert total <= 120


@pytest.mark.evidence("retry", "property")
@given(st.lists(st.booleans(), max_size=200))
def test_budget_stays_in_its_bounds(outcomes: list[bool]) -> None:
    budget = RetryBudget()
    for success in outcomes:
        if success:
            budget.succeeded()
        else:
            allowed = budget.failed()
            assert allowed == (budget.tokens > budget.capacity / 2)
        assert 0 <= budget.tokens <= budget.capacity


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_backoff_is_bounded(retry: int, share: float) -> None:
    policy = RetryPolicy(max_retries=1)
    wait = policy.backoff(retry, lambda low, high: low + (high - low) * share)
    assert 0 <= wait <= policy.max_delay


def test_budget_survives_copying() -> None:
    budget = RetryBudget()
    budget.failed()
    assert copy.deepcopy(budget).tokens == budget.tokens
    assert pickle.loads(pickle.dumps(budget)).tokens == budget.tokens
