"""The deadline of a whole call: no attempt begins after it, whatever happens before."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import (
    AsyncRouterClient,
    Cache,
    DeadlineExceededError,
    RateLimit,
    RateLimiterRejectedError,
    Resilience,
    RetryPolicy,
    RouterClient,
    ServiceUnavailableError,
)
from shared_core.flow import Flow
from shared_core.resilience.pipeline import CallInfo
from tests.helpers.fault_server import FaultServer, hang, json_reply
from tests.shared_core.resilience.helpers import (
    PATH,
    Clock,
    call_of,
    completion,
    drive,
    pipeline,
    upper,
)

IMPATIENT: dict[str, Any] = {"resilience": Resilience(deadline=0.3), "timeout": 30}


@pytest.mark.evidence("deadline", "model", "property")
@given(
    deadline=st.floats(0.1, 60),
    seconds=st.lists(st.floats(0, 20), min_size=1, max_size=12),
    asked=st.one_of(st.none(), st.floats(0, 50)),
    rate=st.floats(0.05, 5),
)
def test_no_attempt_begins_after_the_deadline_and_no_wait_ends_after_it(
    deadline: float, seconds: list[float], asked: float | None, rate: float
) -> None:
    clock = Clock()
    begun: list[float] = []
    script = iter(seconds)

    def exchange(call: CallInfo) -> Flow[str]:
        begun.append(clock.now - 1000)
        taken = next(script, None)
        if taken is None:
            return "fine"
        clock.now += min(taken, max(1000 + deadline - clock.now, 0))  # the wire ends it there
        error = ServiceUnavailableError("no", status_code=503)
        error.retry_after = asked
        raise error
        yield

    policy = Resilience(
        deadline=deadline,
        retry=RetryPolicy(max_retries=20, budget_capacity=0),
        rate_limit=RateLimit(per_second=rate, burst=1, max_wait=None),
    )
    made = pipeline(policy, clock, uniform=upper)
    try:
        assert drive(made.flow(call_of(), exchange), clock) == "fine"
    except (DeadlineExceededError, RateLimiterRejectedError, ServiceUnavailableError):
        assert len(begun) <= len(seconds)
    assert max(begun) <= deadline + 1e-9
    assert clock.now <= 1000 + deadline + 1e-9


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_waiting_for_an_equal_call_is_part_of_it(server: FaultServer, kind: str) -> None:
    """A patient client leads; one with a deadline waits for its answer, but not beyond it."""
    server.on(PATH, json_reply(completion(), delay=0.9))
    url, cache = server.url + "/v1", Cache()
    led: list[str] = []

    def lead() -> None:
        with RouterClient("a/b", base_url=url, resilience=Resilience(cache=cache)) as client:
            led.append(client.chat.create("ping", temperature=0).text)

    async def afollow() -> None:
        async with AsyncRouterClient("a/b", base_url=url, resilience=hurried) as client:
            await client.chat.create("ping", temperature=0)

    def follow() -> None:
        with RouterClient("a/b", base_url=url, resilience=hurried) as client:
            client.chat.create("ping", temperature=0)

    hurried = Resilience(cache=cache, deadline=0.3)
    leader = threading.Thread(target=lead)
    leader.start()
    assert server.wait_requests(1)
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"deadline of 0\.3 s") as caught:
        asyncio.run(afollow()) if kind == "async" else follow()
    assert 0.25 <= time.monotonic() - started < 0.8
    leader.join()
    assert caught.value.timeout == 0.3  # type: ignore[attr-defined]
    assert (led, len(server.requests)) == (["pong"], 1)


@pytest.mark.evidence("deadline", "threads")
def test_threads_have_a_deadline_each(server: FaultServer) -> None:
    server.on(PATH, hang())
    ends: list[tuple[type, float]] = []
    with RouterClient("a/b", base_url=server.url + "/v1", **IMPATIENT) as client:

        def work(number: int) -> None:
            time.sleep(0.03 * number)
            started = time.monotonic()
            with pytest.raises(TimeoutError) as caught:
                client.chat.create("ping")
            ends.append((caught.type, time.monotonic() - started))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({kind for kind, _ in ends}) == 1
    assert len(ends) == len(server.requests) == 8
    assert min(seconds for _, seconds in ends) >= 0.29


@pytest.mark.evidence("deadline", "tasks")
@pytest.mark.anyio
async def test_tasks_have_a_deadline_each_and_cancelled_ones_end_at_once(
    server: FaultServer,
) -> None:
    server.on(PATH, hang())
    async with AsyncRouterClient("a/b", base_url=server.url + "/v1", **IMPATIENT) as client:
        tasks = [asyncio.create_task(client.chat.create("ping")) for _ in range(10)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert done == {tasks[0]}
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(end, TimeoutError) for end in ends] == [False] + [True] * 9
