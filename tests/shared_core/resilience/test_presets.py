"""The preset, and that printing a policy shows every number."""

from __future__ import annotations

import asyncio
import pickle
import threading
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import (
    AsyncRouterClient,
    BreakerPolicy,
    Failover,
    FailoverEndpoint,
    RateLimit,
    Resilience,
    RetryPolicy,
    RouterClient,
    RouterError,
)
from tests.helpers.fault_server import FaultServer, json_reply, reset, sse
from tests.shared_core.resilience.helpers import PATH, completion, event, failing


@pytest.mark.evidence("presets", "model")
def test_printing_shows_every_number() -> None:
    policy = Resilience.production(requests_per_second=7, deadline=33)
    shown = str(policy)
    for part in (policy.retry, policy.breaker, policy.rate_limit):
        assert part is not None
        for each in fields(part):
            assert f"{each.name} = {getattr(part, each.name)!r}" in shown
    assert "deadline: 33 s" in shown
    assert "failover: off" in shown


POSITIVE = st.floats(0.01, 1e4)
POLICIES = st.builds(
    Resilience,
    deadline=st.one_of(st.none(), POSITIVE),
    retry=st.one_of(
        st.none(),
        st.builds(RetryPolicy, st.integers(1, 9), initial_delay=POSITIVE, max_delay=POSITIVE),
    ),
    breaker=st.one_of(
        st.none(),
        st.builds(
            BreakerPolicy,
            failure_ratio=st.floats(0.01, 1),
            open_seconds=POSITIVE,
            probes=st.integers(1, 9),
        ),
    ),
    rate_limit=st.one_of(
        st.none(), st.builds(RateLimit, per_second=POSITIVE, tokens_per_hour=POSITIVE)
    ),
    failover=st.one_of(
        st.none(),
        st.builds(
            Failover,
            st.just([FailoverEndpoint("https://a.test/v1", api_key="sekret-1")]),
            rule=st.sampled_from(["unreachable", "unavailable"]),
        ),
    ),
)


@pytest.mark.evidence("presets", "property")
@given(POLICIES)
def test_printing_any_policy_shows_every_number_and_no_secret(policy: Resilience) -> None:
    lines = str(policy).splitlines()
    for name in ("deadline", "retry", "failover", "breaker", "rate_limit"):
        part = getattr(policy, name)
        shown = "off" if part is None else f"{part!r} s" if name == "deadline" else None
        assert f"  {name}: {shown or type(part).__name__}" in lines
        if shown is None:
            for each in fields(part):
                assert f"    {each.name} = {getattr(part, each.name)!r}" in lines
    assert "sekret" not in str(policy)
    assert pickle.loads(pickle.dumps(replace(policy, failover=None))) == replace(
        policy, failover=None
    )


@pytest.mark.evidence("presets", "threads")
def test_threads_over_the_preset_lose_nothing(server: FaultServer) -> None:
    faults = [failing(503), reset(), failing(429)]
    seen: set[int] = set()

    def answer(request: Any) -> Any:
        number = int(request.json()["messages"][0]["content"])
        if number % 4 or number in seen:
            return json_reply(completion())
        seen.add(number)  # every fourth call fails once
        return faults[number // 4 % 3]

    server.on(PATH, answer)
    texts: list[str] = []
    preset = Resilience.production(requests_per_second=1000)
    assert preset.retry is not None
    policy = replace(preset, retry=replace(preset.retry, initial_delay=0.01))
    with RouterClient("a/b", base_url=server.url + "/v1", resilience=policy) as client:

        def work(first: int) -> None:
            for number in range(first, first + 10):
                texts.append(client.chat.create(str(number)).text)

        threads = [threading.Thread(target=work, args=(10 * at,)) for at in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert texts == ["pong"] * 60
    assert len(server.requests) == 60 + 15


def test_the_preset_is_explicit_and_stable() -> None:
    assert Resilience.production() == Resilience(
        deadline=120.0, retry=RetryPolicy(max_retries=3), breaker=BreakerPolicy()
    )
    limited = Resilience.production(requests_per_second=5, deadline=None)
    assert limited.rate_limit == RateLimit(per_second=5)
    assert limited.deadline is None


def test_an_empty_policy_is_false() -> None:
    assert not Resilience()
    assert Resilience(deadline=1)


@pytest.mark.evidence("presets", "tasks")
@pytest.mark.anyio
async def test_the_whole_stack_under_mixed_faults_loses_nothing() -> None:
    count = iter(range(100_000))
    faults = [failing(503), reset(), failing(429), sse(event("x"), done=False)]

    def answer(request: Any) -> Any:
        number = next(count)
        if number % 5 == 0:
            return faults[number // 5 % len(faults)]
        if request.json().get("stream"):
            return sse(event("po"), event("ng"), event(reason="stop"))
        return json_reply(completion())

    with FaultServer() as first, FaultServer() as second:
        first.on(PATH, answer)
        second.on(PATH, answer)
        endpoints = [
            FailoverEndpoint(one.url + "/v1", name=str(at))
            for at, one in enumerate((first, second))
        ]
        policy = replace(
            Resilience.production(requests_per_second=10_000, deadline=30),
            retry=RetryPolicy(max_retries=4, initial_delay=0.01),
            failover=Failover(endpoints),
            breaker=BreakerPolicy(failure_ratio=0.9),
        )
        threads = threading.active_count()
        async with AsyncRouterClient(
            "a/b", base_url=first.url + "/v1", resilience=policy
        ) as client:

            async def call(number: int) -> str:
                try:
                    if number % 2:
                        return (await client.chat.create("ping")).text
                    async with client.chat.stream("ping") as stream:
                        return (await stream.result()).text
                except RouterError as error:
                    return type(error).__name__

            texts = await asyncio.gather(*[call(number) for number in range(200)])
            assert client.resilience is not None
        # A stream that is cut after its first event cannot be repeated: a typed error says so.
        assert set(texts) <= {"pong", "StreamInterruptedError"}
        assert texts.count("pong") >= 180
        assert first.wait_open(0, 2)
        assert second.wait_open(0, 2)
    assert threading.active_count() <= threads
