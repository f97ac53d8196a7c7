"""A rate limit in a real Redis, shared by threads, tasks, clients and processes."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import (
    InvalidSettingError,
    RateLimit,
    RateLimiter,
    RateLimiterRejectedError,
    RateLimitError,
    RedisLimitStore,
    RedisStore,
    Resilience,
)
from shared_core.config.secrets import HiddenURL
from shared_core.flow import Perform, Sleep, run
from tests.helpers.fault_server import json_reply, sse
from tests.helpers.redis_server import MissingRedisError, RedisServer
from tests.helpers.servers import ROOT
from tests.shared_core.resilience.helpers import GOOD, PATH, Both, completion, event, failing

CLOSED = "redis://:sekret@127.0.0.1:9/0"


def limiters(url: str, count: int, **limit: Any) -> list[RateLimiter]:
    """Return limiters as different processes would have them: nothing in common but Redis."""
    name = uuid.uuid4().hex
    return [
        RateLimiter(RateLimit(store=RedisLimitStore(url, name=name), **limit), name="here")
        for _ in range(count)
    ]


def close(*made: RateLimiter) -> None:
    for each in made:
        assert each.limit.store is not None
        each.limit.store.close()


def test_two_processes_worth_of_limiters_share_a_burst(redis_url: str) -> None:
    first, second = limiters(redis_url, 2, per_hour=3, max_wait=0)
    first.acquire()
    second.acquire()
    first.acquire()
    with pytest.raises(RateLimiterRejectedError) as caught:
        second.acquire()
    assert 1000 < (caught.value.retry_after or 0) <= 1200
    close(first, second)


def test_waits_until_redis_has_a_permit(redis_url: str) -> None:
    first, second = limiters(redis_url, 2, per_second=10, burst=1)
    started = time.monotonic()
    for _ in range(3):
        first.acquire()
        second.acquire()
    assert time.monotonic() - started >= 0.45
    close(first, second)


def test_tokens_are_shared_too(redis_url: str) -> None:
    first, second = limiters(redis_url, 2, tokens_per_hour=1000, max_wait=0)
    first.acquire(tokens=900)
    with pytest.raises(RateLimiterRejectedError):
        second.acquire(tokens=900)
    second.acquire(tokens=100)
    close(first, second)


def test_other_names_are_other_limits(redis_url: str) -> None:
    (first,), (second,) = (limiters(redis_url, 1, per_hour=1, max_wait=0) for _ in range(2))
    first.acquire()
    second.acquire()
    close(first, second)


@pytest.mark.evidence("shared-rate-limit", "threads")
def test_threads_over_two_limiters_keep_the_rate(redis_url: str) -> None:
    made = limiters(redis_url, 2, per_second=40, burst=10)
    started = time.monotonic()
    threads = [
        threading.Thread(target=lambda one=one: [one.acquire() for _ in range(5)])
        for one in made
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= 0.49  # (30 - 10) / 40
    close(*made)


@pytest.mark.evidence("shared-rate-limit", "tasks")
@pytest.mark.anyio
async def test_tasks_share_the_limit_and_cancelled_ones_leave(redis_url: str) -> None:
    first, second = limiters(redis_url, 2, per_second=40, burst=1)
    started = time.monotonic()
    tasks = [asyncio.create_task(one.aacquire()) for one in (first, second) for _ in range(5)]
    stuck = asyncio.create_task(first.aacquire(requests=40))
    await asyncio.sleep(0.01)
    stuck.cancel()
    await asyncio.gather(*tasks)
    assert stuck.cancelled() or stuck.cancelling()
    assert 0.2 <= time.monotonic() - started < 5
    close(first, second)


def test_real_processes_share_the_limit(redis_url: str) -> None:
    script = (
        "import sys\n"
        "from shared_core import *\n"
        "limit = RateLimit(per_hour=5, max_wait=0, store=RedisLimitStore(sys.argv[1], name='p'))\n"
        "it, got = RateLimiter(limit), 0\n"
        "for _ in range(5):\n"
        "    try: it.acquire(); got += 1\n"
        "    except RateLimiterRejectedError: pass\n"
        "limit.store.close(); print(got)\n"
    )
    command = [sys.executable, "-c", script, redis_url]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    got = [int(one.communicate(timeout=60)[0]) for one in running]
    assert sum(got) == 5


@pytest.mark.evidence("shared-rate-limit", "sync", "async")
def test_as_a_layer(both: Both, redis_url: str) -> None:
    store = RedisLimitStore(redis_url, name=uuid.uuid4().hex)
    policy = Resilience(rate_limit=RateLimit(per_hour=2, max_wait=0, store=store))
    results, _ = both.chats(2, resilience=policy)
    assert [one.text for one in results] == ["pong", "pong"]
    (refused,), _ = both.chats(resilience=policy)  # another client, the same limit
    assert isinstance(refused, RateLimiterRejectedError)
    store.close()


def test_a_refusal_of_the_store_costs_nothing_of_the_own_buckets(redis_url: str) -> None:
    first, second = limiters(redis_url, 2, per_hour=3, max_wait=0)
    for _ in range(3):
        first.acquire()
    for _ in range(3):
        with pytest.raises(RateLimiterRejectedError):
            second.acquire()
    assert [second.try_acquire() for _ in range(4)] == [True, True, True, False]
    close(first, second)


@pytest.mark.anyio
async def test_who_leaves_while_the_store_waits_gives_the_own_permit_back(redis_url: str) -> None:
    first, second = limiters(redis_url, 2, per_hour=1, max_wait=None)
    await first.aacquire()
    task = asyncio.create_task(second.aacquire())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert second.try_acquire()
    close(first, second)


def test_a_429_with_a_wait_pauses_all_processes(both: Both, redis_url: str) -> None:
    name = uuid.uuid4().hex
    stores = [RedisLimitStore(redis_url, name=name) for _ in range(2)]  # as of two processes
    policies = [
        Resilience(rate_limit=RateLimit(per_second=100, max_wait=0, store=store))
        for store in stores
    ]
    both.server.script(PATH, failing(429, retry_after="30"), GOOD)
    (slowed,), _ = both.chats(resilience=policies[0])
    (refused,), _ = both.chats(resilience=policies[1])
    assert isinstance(slowed, RateLimitError)
    assert isinstance(refused, RateLimiterRejectedError)
    assert 25 < (refused.retry_after or 0) <= 30
    assert len(both.server.requests) == 1
    stores[0]._connected()[0].delete(f"hfr:{name}:{both.server.url}:pause")
    (answered,), _ = both.chats(resilience=policies[1])
    assert answered.text == "pong"
    for store in stores:
        store.close()


def test_a_pause_that_redis_does_not_hear_of_breaks_nothing(
    both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    both.server.on(PATH, failing(429, retry_after="30"))
    limit = RateLimit(per_second=100, max_wait=0, store=RedisLimitStore(CLOSED))
    results, _ = both.chats(2, resilience=Resilience(rate_limit=limit))
    kinds = [type(one) for one in results]
    assert kinds == [RateLimitError, RateLimiterRejectedError]  # this process keeps to it
    assert "sekret" not in caplog.text


# --- what was used takes the place of what was guessed ------------------------------------


def moved(it: RateLimiter, extra: int) -> None:
    """Correct the shared tokens of *it* by *extra*."""
    assert it.limit.store is not None
    run(it.limit.store.correcting(it.limit, it.name, 0, extra), None)  # type: ignore[arg-type]


def left(it: RateLimiter) -> int:
    """Return how many of 1000 tokens are left, by asking for all; a token comes in 3.6 s."""
    assert it.limit.store is not None
    try:
        run(it.limit.store.taking(it.limit, it.name, 0, 1000, 0), None)  # type: ignore[arg-type]
    except RateLimiterRejectedError as error:
        return 1000 - round((error.retry_after or 0) / 3.6)
    return 1000


@pytest.mark.parametrize(
    ("taken", "extra", "rest"),
    [
        (900, -800, 900),
        (100, 500, 400),
        (900, 10**8, 0),  # never below zero ...
        (900, -(10**8), 1000),  # ... nor above what the bucket holds
        (0, 300, 700),
        (0, -300, 1000),
    ],
)
def test_tokens_are_corrected_for_all_processes(
    redis_url: str, taken: int, extra: int, rest: int
) -> None:
    first, second = limiters(redis_url, 2, tokens_per_hour=1000, max_wait=0)
    if taken:
        first.acquire(tokens=taken)
    moved(first, extra)
    assert left(second) == rest
    close(first, second)


def test_a_correction_of_one_rate_is_one_of_all(redis_url: str) -> None:
    (it,) = limiters(redis_url, 1, tokens_per_minute=500, tokens_per_hour=1000, max_wait=0)
    it.acquire(tokens=400)
    moved(it, 10**6)
    client, _, _ = it.limit.store._connected()  # type: ignore[union-attr]
    (key,) = client.keys(f"hfr:{it.limit.store.name}:here:tokens")  # type: ignore[union-attr]
    minute, hour = (int(value) for value in client.hmget(key, "tat1", "tat2"))
    now = time.time() * 1e6
    assert minute - now == pytest.approx(60e6, rel=0.01)  # the bucket is empty
    assert hour - now == pytest.approx(3600e6, rel=0.01)
    assert 3_600_000 < client.pttl(key) <= 7_200_000
    close(it)


def test_corrections_at_the_same_time_add_up(redis_url: str) -> None:
    made = limiters(redis_url, 4, tokens_per_hour=1000, max_wait=0)
    made[0].acquire(tokens=1000)
    threads = [
        threading.Thread(target=lambda one=one: [moved(one, -9) for _ in range(25)]) for one in made
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left(made[0]) == 900
    close(*made)


def shared_tokens(redis_url: str) -> Any:
    """Return a policy with 1000 tokens an hour, of which each call guesses 600."""
    store = RedisLimitStore(redis_url, name=uuid.uuid4().hex)
    limit = RateLimit(tokens_per_hour=1000, max_wait=0, estimate=lambda _: 600, store=store)
    return Resilience(rate_limit=limit), store


def test_whole_answers_correct_the_shared_tokens(both: Both, redis_url: str) -> None:
    policy, store = shared_tokens(redis_url)
    for _ in range(3):  # clients with nothing in common but Redis: 5 tokens each
        (result,), _ = both.chats(resilience=policy)
        assert result.text == "pong"
    assert left(RateLimiter(policy.rate_limit, name=both.server.url)) == 1000 - 3 * 5
    store.close()


def test_streams_correct_the_shared_tokens_at_their_end(both: Both, redis_url: str) -> None:
    usage = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}
    both.server.on(PATH, sse(event("pong"), event(reason="stop"), {"choices": [], "usage": usage}))
    policy, store = shared_tokens(redis_url)
    for _ in range(2):
        (result,), _ = both.streams(resilience=policy)
        assert result.text == "pong"
    assert left(RateLimiter(policy.rate_limit, name=both.server.url)) == 900
    store.close()


def test_an_answer_without_counts_costs_the_guess(both: Both, redis_url: str) -> None:
    both.server.on(PATH, json_reply({**completion(), "usage": None}))
    policy, store = shared_tokens(redis_url)
    both.chats(resilience=policy)
    (refused,), _ = both.chats(resilience=policy)
    assert isinstance(refused, RateLimiterRejectedError)
    store.close()


def test_redis_that_goes_away_during_the_call_costs_nobody_an_answer(
    both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        running = RedisServer()
    except MissingRedisError as reason:
        pytest.skip(str(reason))

    def reply(_: Any) -> Any:
        running.stop()
        return GOOD

    both.server.on(PATH, reply)
    policy, store = shared_tokens(running.url)
    with running, caplog.at_level(logging.WARNING):
        (result,), _ = both.chats(resilience=policy)
    assert result.text == "pong"
    assert [one.getMessage().count("goes on alone") for one in caplog.records] == [1]
    store.close()


def test_what_redis_did_not_take_is_not_corrected(both: Both, redis_url: str) -> None:
    """It was away when the call began, and is back at its end."""
    policy, store = shared_tokens(redis_url)
    away = RedisLimitStore(CLOSED, name=store.name)

    def reply(_: Any) -> Any:
        away.url, away._made = store.url, None
        return GOOD

    both.server.on(PATH, reply)
    limit = replace(policy.rate_limit, store=away)
    (result,), _ = both.chats(resilience=Resilience(rate_limit=limit))
    assert result.text == "pong"
    assert left(RateLimiter(policy.rate_limit, name=both.server.url)) == 1000
    store.close()
    away.close()


# --- rules, without Redis ---------------------------------------------------------------


def waited(store: RedisLimitStore, answers: list[float], longest: float | None) -> list[float]:
    """Drive the flow with what Redis would answer; return the waits."""
    flow = store.taking(RateLimit(per_second=1), "here", 1, 0, longest)
    waits: list[float] = []
    script = iter(answers)
    try:
        effect = next(flow)
        while True:
            if isinstance(effect, Sleep):
                waits.append(effect.seconds)
                effect = flow.send(None)
            else:
                assert isinstance(effect, Perform)
                effect = flow.send(next(script))
    except StopIteration:
        return waits


@pytest.mark.evidence("shared-rate-limit", "model")
def test_it_asks_again_until_there_is_a_permit() -> None:
    store = RedisLimitStore(CLOSED)
    assert waited(store, [0.0], None) == []
    assert waited(store, [0.5, 0.2, 0.0], None) == [0.5, 0.2]
    with pytest.raises(RateLimiterRejectedError, match=r"in 0\.6 s.*wait 0\.5 s") as caught:
        waited(store, [0.5, 0.6], 1.0)
    assert caught.value.retry_after == 0.6


@pytest.mark.evidence("shared-rate-limit", "property")
@given(st.lists(st.floats(0.001, 5), max_size=10), st.floats(0, 10))
def test_it_never_waits_longer_than_it_may(answers: list[float], longest: float) -> None:
    store = RedisLimitStore(CLOSED)
    try:
        waits = waited(store, [*answers, 0.0], longest)
    except RateLimiterRejectedError as error:
        done = next(n for n in range(len(answers)) if sum(answers[: n + 1]) > longest)
        assert error.retry_after == answers[done]
    else:
        assert waits == answers
        assert sum(waits) <= longest + 1e-9


# --- when Redis is away -----------------------------------------------------------------


def test_goes_on_alone_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    store = RedisLimitStore(CLOSED, name="n")
    it = RateLimiter(RateLimit(per_hour=2, max_wait=0, store=store))
    with caplog.at_level(logging.WARNING):
        it.acquire()
        it.acquire()
        with pytest.raises(RateLimiterRejectedError):
            it.acquire()
    (record,) = caplog.records
    assert "goes on alone" in record.getMessage()
    assert "sekret" not in caplog.text


def test_refuses_on_request() -> None:
    store = RedisLimitStore(CLOSED, on_error="refuse")
    it = RateLimiter(RateLimit(per_second=1, store=store))
    with pytest.raises(RateLimiterRejectedError, match="out of reach") as caught:
        it.acquire()
    assert "sekret" not in str(caught.value)


def test_comes_back_when_redis_does() -> None:
    try:
        server = RedisServer()
    except MissingRedisError as reason:
        pytest.skip(str(reason))
    (it,) = limiters(server.url, 1, per_hour=100)
    it.acquire()
    with server:
        it.acquire()
        assert it.limit.store is not None
        client = it.limit.store._connected()[0]
        assert client.keys("hfr:*:here:requests")
        it.limit.store.close()


# --- values -----------------------------------------------------------------------------


def test_the_password_is_never_shown_nor_pickled() -> None:
    store = RedisLimitStore(CLOSED, name="n")
    limit = RateLimit(per_second=1, store=store)
    assert "sekret" not in f"{store!r} {limit!r} {Resilience(rate_limit=limit)}"
    assert b"sekret" not in pickle.dumps(limit)
    assert pickle.loads(pickle.dumps(limit)).store.name == "n"
    assert copy.deepcopy(limit).store is store


def test_wrong_values_are_named() -> None:
    with pytest.raises(InvalidSettingError, match="on_error"):
        RedisLimitStore("redis://localhost", on_error="ignore")  # type: ignore[arg-type]


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    it = RateLimiter(RateLimit(per_second=1, store=RedisLimitStore("redis://localhost")))
    with pytest.raises(ImportError, match=r"hfrouter\[redis\]"):
        it.acquire()


@pytest.mark.parametrize(
    "url",
    ["redis//:sekret@localhost", "localhost:6379", "http://h", "", None, HiddenURL("//:sekret@h")],
)
@pytest.mark.parametrize("store", [RedisLimitStore, RedisStore])
def test_what_is_no_address_of_redis_is_refused(store: Any, url: Any) -> None:
    with pytest.raises(InvalidSettingError, match="redis://localhost:6379/0") as caught:
        store(url)
    assert "sekret" not in str(caught.value)
