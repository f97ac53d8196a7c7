"""The rate limiter: its arithmetic on a clock moved by hand, invariants, real sockets, races."""

from __future__ import annotations

import asyncio
import copy
import gc
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import (
    AsyncRouterClient,
    InvalidSettingError,
    RateLimit,
    RateLimiter,
    RateLimiterRejectedError,
    RateLimitError,
    RateLimitEvent,
    Resilience,
    RetryPolicy,
    RouterClient,
    Usage,
)
from shared_core.flow import Flow
from shared_core.resilience.pipeline import CallInfo
from shared_core.resilience.rate_limiter import estimate_tokens
from shared_core.resilience.schedule import Rate, Schedule
from tests.helpers.fault_server import FaultServer
from tests.shared_core.resilience.helpers import (
    GOOD,
    PATH,
    Both,
    Clock,
    Recorder,
    call_of,
    drive,
    failing,
    pipeline,
    scripted,
)


def limiter(clock: Clock, **limit: Any) -> RateLimiter:
    return RateLimiter(RateLimit(**limit), name="here", clock=clock)


def waits(it: RateLimiter, clock: Clock, count: int, **taken: Any) -> list[float]:
    """Return when each of *count* callers that come at once gets its permit."""
    now = clock.now
    return [it._book(1, taken.get("tokens", 0), None, None).at - now for _ in range(count)]


# --- rules ------------------------------------------------------------------------------


@pytest.mark.evidence("rate-limiter", "model")
def test_a_burst_then_the_rate(clock: Clock) -> None:
    it = limiter(clock, per_second=2)
    assert waits(it, clock, 5) == pytest.approx([0, 0, 0.5, 1.0, 1.5])
    clock.now += 100
    assert waits(it, clock, 3) == pytest.approx([0, 0, 0.5])


def test_burst_may_be_smaller_than_the_rate(clock: Clock) -> None:
    it = limiter(clock, per_minute=60, burst=1)
    assert waits(it, clock, 3) == pytest.approx([0, 1, 2])


def test_the_slowest_bucket_decides(clock: Clock) -> None:
    it = limiter(clock, per_second=10, per_minute=12, per_hour=3600)
    assert waits(it, clock, 10) == pytest.approx([0] * 10)
    assert waits(it, clock, 3) == pytest.approx([0.1, 0.2, 5.0])


def test_tokens_are_a_bucket_too(clock: Clock) -> None:
    it = limiter(clock, tokens_per_second=100)
    assert waits(it, clock, 3, tokens=50) == pytest.approx([0, 0, 0.5])


def test_more_than_the_bucket_holds_waits_for_a_full_one_and_leaves_a_debt(clock: Clock) -> None:
    it = limiter(clock, tokens_per_second=100)
    assert waits(it, clock, 1, tokens=300) == [0]
    assert waits(it, clock, 1, tokens=1) == pytest.approx([2.01])


def test_first_come_first_served_even_when_smaller(clock: Clock) -> None:
    it = limiter(clock, tokens_per_second=100)
    assert waits(it, clock, 1, tokens=100) == [0]
    big = waits(it, clock, 1, tokens=100)
    assert waits(it, clock, 1, tokens=0) >= big


def test_try_acquire_never_waits(clock: Clock) -> None:
    it = limiter(clock, per_second=2)
    assert [it.try_acquire() for _ in range(3)] == [True, True, False]
    clock.now += 0.5
    assert [it.try_acquire() for _ in range(2)] == [True, False]


def test_a_wait_that_is_too_long_is_refused_at_once_and_takes_nothing(clock: Clock) -> None:
    it = limiter(clock, per_second=1, max_wait=2)
    waits(it, clock, 3)
    with pytest.raises(RateLimiterRejectedError, match=r"here.*3\.0 s.*2\.0 s") as caught:
        it.acquire()
    assert caught.value.retry_after == pytest.approx(3)
    with pytest.raises(RateLimiterRejectedError):
        it.acquire(timeout=0)
    clock.now += 1
    assert it.wait() == pytest.approx(2)


def test_leaving_the_line_gives_the_place_back(clock: Clock) -> None:
    it = limiter(clock, per_second=1)
    assert it.try_acquire()
    flows = [it.taking() for _ in range(10)]
    assert [next(flow).seconds for flow in flows] == pytest.approx(range(1, 11))  # type: ignore[union-attr]
    flows[3].close()
    with pytest.raises(KeyboardInterrupt):
        flows[7].throw(KeyboardInterrupt())
    assert it.wait() == pytest.approx(11)  # behind number 10
    for flow in flows:
        flow.close()
    assert it.wait() == pytest.approx(1)


def test_waiters_that_are_dropped_give_their_place_back(clock: Clock) -> None:
    it = limiter(clock, per_second=1)
    assert it.try_acquire()
    flows = [it.taking() for _ in range(5)]
    for flow in flows:
        next(flow)
    assert it.wait() == pytest.approx(6)
    with it._lock:  # as if the collector ran in a thread that is inside
        del flow
        flows.clear()
        gc.collect()
    assert it.wait() == pytest.approx(1)


def test_pause_holds_everybody_back(clock: Clock) -> None:
    it = limiter(clock, per_second=100)
    it.pause(3)
    assert waits(it, clock, 2) == pytest.approx([3, 3])
    it.pause(1)
    assert not it.try_acquire()


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ({}, "at least one rate"),
        ({"per_second": 0}, "per_second"),
        ({"per_minute": "5"}, "per_minute"),
        ({"tokens_per_hour": -1}, "tokens_per_hour"),
        ({"per_second": 1, "burst": 0}, "burst"),
        ({"per_second": 1, "max_wait": -1}, "max_wait"),
    ],
)
def test_wrong_numbers_are_named(limit: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSettingError, match=named):
        RateLimit(**limit)


# --- invariants -------------------------------------------------------------------------

RATES = st.lists(
    st.builds(
        Rate,
        capacity=st.integers(1, 20).map(float),
        per_second=st.floats(0.1, 20),
        tokens=st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
STEPS = st.lists(
    st.tuples(
        st.floats(0, 3),  # time that passes
        st.integers(0, 3),  # requests
        st.integers(0, 10),  # tokens
        st.booleans(),  # leaves the line again
    ),
    max_size=60,
)


@pytest.mark.evidence("rate-limiter", "property")
@given(RATES, STEPS)
def test_no_bucket_ever_gives_more_than_burst_and_rate(rates: list[Rate], steps: Any) -> None:
    clock = Clock()
    schedule = Schedule(rates, clock.now)
    tickets: list[tuple[float, float, float]] = []
    last = 0.0
    for passed, requests, tokens, leaves in steps:
        clock.now += passed
        ticket = schedule.book(requests, tokens, clock.now)
        assert ticket.at >= clock.now
        assert ticket.at >= last - 1e-6  # in the order of coming
        if leaves and ticket.wait > 0:
            schedule.cancel(ticket, clock.now)
        else:
            last = ticket.at
            tickets.append((ticket.at, requests, tokens))
    for rate in rates:
        for start in range(len(tickets)):
            taken = 0.0
            for at, requests, tokens in tickets[start:]:
                amount = tokens if rate.tokens else requests
                # What exceeds the bucket waits for a full one: it counts as a whole one.
                seconds = at - tickets[start][0]
                room = rate.capacity + rate.per_second * seconds
                assert taken + min(amount, rate.capacity) <= room + 1e-6
                taken += amount


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=50))
def test_nothing_is_lost_when_everybody_leaves(steps: list[tuple[float, bool]]) -> None:
    clock = Clock()
    schedule = Schedule([Rate(2.0, 2.0, False)], clock.now)
    waiting = []
    for passed, leaves in steps:
        clock.now += passed
        waiting.append(schedule.book(1, 0, clock.now))
        if leaves:
            schedule.cancel(waiting.pop(0), clock.now)
    for ticket in waiting:
        schedule.cancel(ticket, clock.now)
    assert schedule.wait(1, 0, clock.now) <= 0.5 + 1e-6
    assert schedule.wait(1, 0, clock.now + 1) == 0


@given(RATES, st.lists(st.floats(0, 3), max_size=10), st.integers(0, 3), st.integers(0, 10))
def test_a_refund_is_as_if_nothing_had_been_taken(
    rates: list[Rate], times: list[float], requests: int, tokens: int
) -> None:
    clock = Clock()
    refunded, untouched = Schedule(rates, clock.now), Schedule(rates, clock.now)
    for passed in times:
        clock.now += passed
        for schedule in (refunded, untouched):
            schedule.book(1, 1, clock.now)
    clock.now += 100
    ticket = refunded.book(requests, tokens, clock.now)
    if ticket.wait == 0:
        refunded.refund(ticket, clock.now)
        expected = untouched.wait(3, 10, clock.now)
        assert refunded.wait(3, 10, clock.now) == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 500), st.integers(0, 500))
def test_settling_corrects_the_guess(guess: int, real: int) -> None:
    clock = Clock()
    rates = [Rate(100.0, 10.0, True)]
    settled, exact = Schedule(rates, clock.now), Schedule(rates, clock.now)
    ticket = settled.book(1, guess, clock.now)
    settled.settle(ticket, real, clock.now)
    exact.book(1, real, clock.now)
    expected = exact.wait(1, 50, clock.now)
    assert settled.wait(1, 50, clock.now) == pytest.approx(expected, abs=1e-6)


# --- the layer --------------------------------------------------------------------------


def test_every_attempt_takes_a_permit(clock: Clock) -> None:
    limited = RateLimit(per_second=1)
    policy = Resilience(retry=RetryPolicy(max_retries=3, initial_delay=0), rate_limit=limited)
    made = pipeline(policy, clock)
    from shared_core import ServiceUnavailableError

    broken = ServiceUnavailableError("no", status_code=503)
    assert drive(made.flow(call_of(), scripted(broken, broken, "fine")), clock) == "fine"
    assert [wait for wait in clock.waits if wait] == pytest.approx([1, 1])


def test_the_deadline_refuses_a_wait_that_does_not_fit(clock: Clock) -> None:
    recorder = Recorder()
    policy = Resilience(deadline=5, rate_limit=RateLimit(per_minute=1))
    made = pipeline(policy, clock)
    drive(made.flow(call_of(), scripted("fine")), clock)
    with pytest.raises(RateLimiterRejectedError) as caught:
        drive(made.flow(call_of(listeners=(recorder,)), scripted("fine")), clock)
    assert caught.value.retry_after == pytest.approx(60)
    assert clock.waits == []
    (event,) = recorder.of(RateLimitEvent)
    assert event.refused
    assert event.delay == pytest.approx(60)


def test_the_usage_of_the_answer_corrects_the_guess(clock: Clock) -> None:
    class Answer:
        usage = Usage(total_tokens=500)

    limit = RateLimit(tokens_per_second=100, estimate=lambda request: 10)
    made = pipeline(Resilience(rate_limit=limit), clock)
    for _ in range(2):
        drive(made.flow(call_of(), scripted(Answer())), clock)
    assert clock.waits == pytest.approx([4.1])


def test_a_429_with_a_wait_pauses_the_others(clock: Clock) -> None:
    error = RateLimitError("slow", status_code=429)
    error.retry_after = 7.0
    made = pipeline(Resilience(rate_limit=RateLimit(per_second=100)), clock)
    with pytest.raises(RateLimitError):
        drive(made.flow(call_of(), scripted(error)), clock)
    drive(made.flow(call_of(), scripted("fine")), clock)
    assert clock.waits == [7.0]


def test_the_wait_is_noted_apart(clock: Clock) -> None:
    made = pipeline(Resilience(rate_limit=RateLimit(per_second=1)), clock)
    seen: list[float] = []

    def exchange(call: CallInfo) -> Flow[None]:
        seen.append(call.trace.limited)
        return None
        yield

    for _ in range(2):
        drive(made.flow(call_of(), exchange), clock)
    assert seen == pytest.approx([0, 1])


def test_estimate_counts_prompt_and_answer() -> None:
    request = call_of().request
    request.json = {"messages": "x" * 400, "max_tokens": 50}
    assert 150 <= estimate_tokens(request) <= 165
    request.json = {"messages": "x" * 400, "max_tokens": -(10**9)}
    assert 100 <= estimate_tokens(request) <= 120


def test_a_copied_limiter_policy_makes_fresh_buckets() -> None:
    client = RouterClient(api_key="hf_x", resilience=Resilience(rate_limit=RateLimit(per_hour=1)))
    assert client.resilience is not None and client.resilience.limiters is not None
    assert client.resilience.limiters["x"].try_acquire()
    twin = copy.deepcopy(client)
    assert twin.resilience is not None and twin.resilience.limiters is not None
    assert twin.resilience.limiters["x"].try_acquire()


# --- sockets and races ------------------------------------------------------------------


@pytest.mark.evidence("rate-limiter", "sync", "async")
def test_calls_keep_to_the_rate(both: Both) -> None:
    started = time.monotonic()
    results, _ = both.chats(6, resilience=Resilience(rate_limit=RateLimit(per_second=20, burst=1)))
    assert [one.text for one in results] == ["pong"] * 6
    assert time.monotonic() - started >= 0.24


def test_refused_calls_send_nothing(both: Both) -> None:
    policy = Resilience(rate_limit=RateLimit(per_hour=1, max_wait=0))
    results, _ = both.chats(3, resilience=policy)
    assert [type(one).__name__ for one in results[1:]] == ["RateLimiterRejectedError"] * 2
    assert len(both.server.requests) == 1


def test_retry_after_pauses_the_next_call(both: Both) -> None:
    both.server.script(PATH, failing(429, retry_after="1"), GOOD)
    started = time.monotonic()
    results, _ = both.chats(2, resilience=Resilience(rate_limit=RateLimit(per_second=100)))
    assert results[1].text == "pong"
    assert time.monotonic() - started >= 0.99


def within(moments: list[float], span: float) -> int:
    """Return the most moments within *span* seconds."""
    return max(sum(1 for at in moments if start <= at < start + span) for start in moments)


@pytest.mark.evidence("rate-limiter", "threads")
def test_eight_threads_share_one_rate() -> None:
    it = RateLimiter(RateLimit(per_second=50, burst=10))
    moments: list[float] = []
    started = time.monotonic()

    def work() -> None:
        for _ in range(5):
            it.acquire()
            moments.append(time.monotonic())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(moments) == 40
    assert time.monotonic() - started >= 0.59  # (40 - 10) / 50
    assert within(moments, 0.2) <= 10 + 10 + 8  # late wake-ups may bunch


@pytest.mark.evidence("rate-limiter", "tasks")
@pytest.mark.anyio
async def test_tasks_are_served_in_order_and_cancelled_ones_take_nothing() -> None:
    it = RateLimiter(RateLimit(per_second=100, burst=1))
    served: list[int] = []

    async def work(number: int) -> None:
        await it.aacquire()
        served.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(30)]
    await asyncio.sleep(0)
    for task in tasks[10:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == list(range(10))
    assert it.wait() <= 0.011


@pytest.mark.anyio
async def test_async_calls_share_the_limit(server: FaultServer) -> None:
    policy = Resilience(rate_limit=RateLimit(per_second=100, burst=5))
    started = time.monotonic()
    async with AsyncRouterClient("a/b", base_url=server.url + "/v1", resilience=policy) as client:
        results = await asyncio.gather(*[client.chat.create("ping") for _ in range(20)])
    assert [one.text for one in results] == ["pong"] * 20
    assert time.monotonic() - started >= 0.14
