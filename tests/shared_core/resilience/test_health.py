"""Health checks: verdicts, free requests only, explicit start and stop, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import (
    AsyncRouterClient,
    Failover,
    FailoverEndpoint,
    HealthPolicy,
    InvalidSettingError,
    Resilience,
    RouterClient,
)
from shared_core.resilience.failover import Pool
from shared_core.resilience.health import AT_ONCE, Rounds
from shared_core.resilience.pipeline import Tools
from tests.helpers.fault_server import FaultServer, hang, json_reply, reset
from tests.shared_core.resilience.helpers import GOOD, PATH, failing, lower, upper

POLICY = HealthPolicy(interval=0.03, timeout=1.0)


def resilience(*urls: str) -> Resilience:
    endpoints = [
        FailoverEndpoint(url + "/v1", name=f"e{at}", api_key=f"key-{at}")
        for at, url in enumerate(urls)
    ]
    return Resilience(failover=Failover(endpoints))


def until(condition: Callable[[], bool], seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def healthy(client: Any) -> dict[str, bool]:
    return {member.name: member.healthy for member in client.resilience.pool}


def health_tasks() -> int:
    names = [getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()]
    return names.count("_awork")


def health_threads() -> int:
    return sum(thread.name == "hfrouter-health" for thread in threading.enumerate())


# --- rules ------------------------------------------------------------------------------


def rounds(**policy: Any) -> Rounds:
    pool = Pool(Failover([FailoverEndpoint("https://a.test")]), Tools())
    return Rounds(pool, HealthPolicy(**policy))


@pytest.mark.evidence("health-checks", "model")
def test_sick_after_two_failures_well_after_one_answer() -> None:
    it = rounds()
    (member,) = it.pool.members
    seen = []
    for well in (False, True, False, False, False, True):
        it.note(member, well, "")
        seen.append(member.healthy)
    assert seen == [True, True, True, False, False, True]


@pytest.mark.evidence("health-checks", "property")
@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_only_a_full_streak_changes_the_verdict(answers: list[bool], fall: int, rise: int) -> None:
    it = rounds(unhealthy_after=fall, healthy_after=rise)
    (member,) = it.pool.members
    for at, well in enumerate(answers):
        before = member.healthy
        it.note(member, well, "")
        needed = rise if well else fall
        streak = answers[max(at + 1 - needed, 0) : at + 1]
        if member.healthy != before:
            assert streak == [well] * needed
        elif len(streak) == needed and set(streak) == {well}:
            assert member.healthy == well


def test_waits_are_jittered() -> None:
    it = rounds(interval=10, jitter=0.2)
    assert (it.wait(lower), it.wait(upper)) == (8, 10)  # two failed rounds in two intervals


@pytest.mark.parametrize(
    ("name", "value"), [("interval", 0), ("jitter", 1.5), ("timeout", -1), ("healthy_after", 0)]
)
def test_wrong_numbers_are_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidSettingError, match=f"health.{name}"):
        HealthPolicy(**{name: value})


def test_the_free_address_of_each_kind_of_endpoint() -> None:
    client = RouterClient(api_key="hf_x", resilience=resilience("https://a.test"))
    assert client.resilience is not None and client.resilience.pool is not None
    (member,) = client.resilience.pool.members
    assert member.health_url == "https://a.test/v1/models"
    others = [
        FailoverEndpoint("https://b.test"),
        FailoverEndpoint("https://c.test", health_url="https://c.test/ping"),
    ]
    client = RouterClient(api_key="hf_x", resilience=Resilience(failover=Failover(others)))
    assert client.resilience is not None and client.resilience.pool is not None
    found = [member.health_url for member in client.resilience.pool.members]
    assert found == ["https://b.test/health", "https://c.test/ping"]


def test_checks_need_endpoints() -> None:
    with pytest.raises(InvalidSettingError, match="need endpoints"):
        RouterClient(api_key="hf_x").health_checks()


# --- sockets ----------------------------------------------------------------------------


@pytest.mark.evidence("health-checks", "sync")
def test_a_thread_finds_the_sick_endpoint_and_calls_avoid_it(server: FaultServer) -> None:
    with FaultServer() as sick:
        sick.on("*", reset())
        server.on("/v1/models", json_reply({"data": []}))
        policy = resilience(sick.url, server.url)
        with RouterClient("a/b", base_url=server.url + "/v1", resilience=policy) as client:
            with client.health_checks(POLICY) as checks:
                assert until(lambda: healthy(client) == {"e0": False, "e1": True})
                assert {one.method for one in sick.requests} == {"GET"}
                assert {one.path for one in server.requests} == {"/v1/models"}
                before = len([one for one in sick.requests if one.method == "POST"])
                assert client.chat.create("ping").endpoint == "e1"
                assert before == 0
                sick.on("*", json_reply({"data": []}))
                assert until(lambda: healthy(client) == {"e0": True, "e1": True})
            assert not checks.running
    assert health_threads() == 0


@pytest.mark.evidence("health-checks", "async")
@pytest.mark.anyio
async def test_a_task_finds_the_sick_endpoint(server: FaultServer) -> None:
    server.on("/v1/models", failing(503))
    policy = resilience(server.url)
    async with AsyncRouterClient("a/b", base_url=server.url + "/v1", resilience=policy) as client:
        async with client.health_checks(POLICY) as checks:
            assert health_tasks() == 1
            for _ in range(200):
                if not healthy(client)["e0"]:
                    break
                await asyncio.sleep(0.01)
            assert healthy(client) == {"e0": False}
            # The last endpoint is tried all the same.
            assert (await client.chat.create("ping")).text == "pong"
        assert not checks.running
        assert health_tasks() == 0


def test_each_endpoint_is_asked_with_its_own_token(server: FaultServer) -> None:
    server.on("*", GOOD)
    with FaultServer() as other:
        other.on("*", GOOD)
        policy = resilience(server.url, other.url)
        with RouterClient(api_key="hf_client", resilience=policy) as client:
            client.health_checks().check_now()
        assert [one.headers["authorization"] for one in server.requests] == ["Bearer key-0"]
        assert [one.headers["authorization"] for one in other.requests] == ["Bearer key-1"]


def test_a_pickled_client_asks_without_the_lost_token(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("*", GOOD)
    client = RouterClient(api_key="hf_client", resilience=resilience(server.url))
    monkeypatch.setenv("HF_TOKEN", "hf_ambient_token")
    with pickle.loads(pickle.dumps(client)) as twin:
        twin.health_checks().check_now()
    assert "authorization" not in server.requests[0].headers


@pytest.mark.anyio
async def test_check_now_async_asks_once(server: FaultServer) -> None:
    server.on("*", json_reply({}))
    async with AsyncRouterClient(api_key="hf_x", resilience=resilience(server.url)) as client:
        await client.health_checks().check_now()
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 404, 429])
def test_whoever_answers_is_at_home(server: FaultServer, status: int) -> None:
    server.on("*", failing(status))
    with RouterClient(api_key="hf_x", resilience=resilience(server.url)) as client:
        for _ in range(3):
            client.health_checks().check_now()
        assert healthy(client) == {"e0": True}


# --- life cycle -------------------------------------------------------------------------


def test_nothing_runs_until_started(server: FaultServer) -> None:
    with RouterClient("a/b", api_key="hf_x", resilience=resilience(server.url)) as client:
        client.health_checks(POLICY)
        time.sleep(0.05)
    assert server.requests == []
    assert health_threads() == 0


def test_stop_waits_for_one_answer_and_not_for_a_whole_round(server: FaultServer) -> None:
    server.on("*", hang())
    policy = resilience(*[server.url] * 4 * AT_ONCE)
    client = RouterClient("a/b", api_key="hf_x", resilience=policy)
    checks = client.health_checks(HealthPolicy(interval=60, timeout=0.4)).start()
    assert until(lambda: len(server.requests) >= AT_ONCE)
    assert health_threads() == AT_ONCE  # one of them leads
    checks.stop()
    assert health_threads() == 0
    assert len(server.requests) <= 2 * AT_ONCE
    client.close()


def test_a_silent_endpoint_does_not_hold_up_the_others(server: FaultServer) -> None:
    server.on("*", reset())
    with FaultServer() as silent:
        silent.on("*", hang())
        policy = resilience(*[silent.url] * 3, server.url)
        with RouterClient("a/b", api_key="hf_x", resilience=policy) as client:
            started = time.monotonic()
            client.health_checks(HealthPolicy(timeout=1.0, unhealthy_after=1)).start()
            assert until(lambda: not healthy(client)["e3"])
            assert healthy(client) == {"e0": True, "e1": True, "e2": True, "e3": False}
            assert until(lambda: not any(healthy(client).values()))
            assert time.monotonic() - started < 2.5  # all at once, not one after another
            assert until(lambda: health_threads() == 1)  # between two rounds
        assert health_threads() == 0


@pytest.mark.anyio
async def test_a_silent_endpoint_does_not_hold_up_the_others_of_a_task(server: FaultServer) -> None:
    server.on("*", reset())
    with FaultServer() as silent:
        silent.on("*", hang())
        policy = resilience(*[silent.url] * 3, server.url)
        async with AsyncRouterClient("a/b", api_key="hf_x", resilience=policy) as client:
            started = time.monotonic()
            checks = client.health_checks(HealthPolicy(timeout=0.5, unhealthy_after=1))
            await checks.check_now()
            assert not any(healthy(client).values())
            assert 0.4 < time.monotonic() - started < 1.4


def test_check_now_asks_several_at_once(server: FaultServer) -> None:
    server.on("*", hang())
    endpoints = [FailoverEndpoint(server.url + "/v1", name=f"e{at}") for at in range(6)]
    broken = FailoverEndpoint(server.url + "/v1", name="locked", api_key=keys_after_failures(9))
    policy = Resilience(failover=Failover([broken, *endpoints]))
    with RouterClient("a/b", api_key="hf_x", resilience=policy) as client:
        started = time.monotonic()
        client.health_checks(HealthPolicy(timeout=0.4, unhealthy_after=1)).check_now()
        assert time.monotonic() - started < 2.0
        assert not any(healthy(client).values())
    assert len(server.requests) == 6
    assert health_threads() == 0


def test_a_key_that_cannot_be_had_does_not_end_the_checks(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.on("*", json_reply({}))
    endpoint = FailoverEndpoint(server.url + "/v1", api_key=keys_after_failures(2))
    policy = Resilience(failover=Failover([endpoint]))
    with RouterClient("a/b", resilience=policy) as client, client.health_checks(POLICY):
        assert until(lambda: len(server.requests) > 0)
    assert "sekret" not in caplog.text


@pytest.mark.anyio
async def test_a_key_that_cannot_be_had_does_not_end_the_task(server: FaultServer) -> None:
    server.on("*", json_reply({}))
    endpoint = FailoverEndpoint(server.url + "/v1", api_key=keys_after_failures(2))
    policy = Resilience(failover=Failover([endpoint]))
    async with AsyncRouterClient("a/b", resilience=policy) as client:
        async with client.health_checks(POLICY):
            for _ in range(200):
                if server.requests:
                    break
                await asyncio.sleep(0.01)
    assert server.requests


def keys_after_failures(count: int) -> Callable[[], str]:
    left = [None] * count

    def key() -> str:
        if left:
            left.pop()
            raise LookupError("the vault at sekret is closed")
        return "key-1234567"

    return key


def test_close_ends_the_thread_and_start_is_harmless_twice(server: FaultServer) -> None:
    server.on("*", json_reply({}))
    client = RouterClient("a/b", api_key="hf_x", resilience=resilience(server.url))
    checks = client.health_checks(POLICY).start().start()
    assert health_threads() == 1
    assert client.health_checks() is checks
    client.close()
    assert health_threads() == 0
    checks.start()
    client.close()
    assert health_threads() == 0


def test_a_dropped_client_ends_its_thread(server: FaultServer) -> None:
    server.on("*", json_reply({}))
    client = RouterClient("a/b", api_key="hf_x", resilience=resilience(server.url))
    client.health_checks(POLICY).start()
    assert until(lambda: len(server.requests) > 0)
    del client
    gc.collect()
    assert until(lambda: health_threads() == 0)


@pytest.mark.anyio
async def test_aclose_ends_the_task(server: FaultServer) -> None:
    server.on("*", json_reply({}))
    client = AsyncRouterClient("a/b", api_key="hf_x", resilience=resilience(server.url))
    first = client.health_checks(POLICY).start()
    second = client.health_checks(POLICY).start()
    await asyncio.sleep(0.05)
    assert not first.running
    assert second.running
    await client.aclose()
    assert health_tasks() == 0


@pytest.mark.anyio
async def test_stop_in_another_loop_ends_the_task(server: FaultServer) -> None:
    server.on("*", json_reply({}))
    client = AsyncRouterClient("a/b", api_key="hf_x", resilience=resilience(server.url))
    checks = client.health_checks(POLICY).start()
    await asyncio.to_thread(lambda: asyncio.run(checks.stop()))
    for _ in range(100):
        if not health_tasks():
            break
        await asyncio.sleep(0.01)
    assert health_tasks() == 0
    await client.aclose()


# --- races ------------------------------------------------------------------------------


@pytest.mark.evidence("health-checks", "tasks")
@pytest.mark.anyio
async def test_many_tasks_start_and_stop(server: FaultServer) -> None:
    server.on("*", json_reply({}))
    client = AsyncRouterClient("a/b", api_key="hf_x", resilience=resilience(server.url))
    checks = client.health_checks(POLICY)

    async def work(number: int) -> None:
        for turn in range(5):
            checks.start()
            await asyncio.sleep(0.001 * ((number + turn) % 3))
            if number % 3:
                await checks.stop()
            else:
                checks.cancel()
            assert health_tasks() <= 8  # a cancelled one may need a turn of the loop

    await asyncio.gather(*[work(number) for number in range(8)])
    checks.start()
    assert checks.running
    await client.aclose()
    await asyncio.sleep(0.01)
    assert not checks.running
    assert health_tasks() == 0
    assert {one.method for one in server.requests} <= {"GET"}


@pytest.mark.evidence("health-checks", "threads")
def test_many_threads_start_and_stop(server: FaultServer) -> None:
    server.on("*", json_reply({}))
    client = RouterClient("a/b", api_key="hf_x", resilience=resilience(server.url))
    checks = client.health_checks(POLICY)

    def work() -> None:
        for _ in range(5):
            checks.start()
            checks.stop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert until(lambda: health_threads() == 0)
    assert PATH not in {one.path for one in server.requests}
