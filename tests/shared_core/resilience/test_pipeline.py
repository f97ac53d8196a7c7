"""The seam: order of the layers, nothing when off, copies, deadline, outcomes of streams."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest

from shared_core import (
    AsyncRouterClient,
    DeadlineExceededError,
    InvalidSettingError,
    RateLimitError,
    Resilience,
    RetryPolicy,
    RouterClient,
    ServiceUnavailableError,
)
from shared_core.core import Core
from shared_core.flow import Flow, Outcome, Perform, Send, arun, run, when_ended
from shared_core.resilience.circuit_breaker import BreakerPolicy
from shared_core.resilience.failover import Failover, FailoverEndpoint
from shared_core.resilience.pipeline import CallInfo, Layer, Next, Tools
from shared_core.resilience.rate_limiter import RateLimit
from shared_core.wire.messages import WireRequest
from tests.helpers.fault_server import FaultServer, hang, sse
from tests.shared_core.resilience.helpers import (
    GOOD,
    PATH,
    Both,
    Clock,
    call_of,
    drive,
    event,
    failing,
    pipeline,
    scripted,
)

EVERYTHING = Resilience(
    deadline=30,
    retry=RetryPolicy(max_retries=2),
    breaker=BreakerPolicy(),
    rate_limit=RateLimit(per_second=100),
)


class Noting:
    """A mechanism whose layer notes when it is passed."""

    def __init__(self, name: str, passed: list[str]) -> None:
        self.name = name
        self.passed = passed

    def layer(self, tools: Tools) -> Layer:
        def layer(call: CallInfo, then: Next) -> Flow[Any]:
            self.passed.append(self.name)
            return (yield from then(call))

        return layer


def test_off_is_the_bare_attempt() -> None:
    core = RouterClient(api_key="hf_x")._core
    request = WireRequest(url="https://a.test")
    flow = core.exchange(request, lambda answer: answer)
    assert flow.gi_code is Core._attempt.__code__
    assert next(flow) == Send(request)


@pytest.mark.parametrize("options", [{}, {"max_retries": 0}, {"resilience": Resilience()}])
def test_nothing_asked_for_is_no_pipeline(options: dict[str, Any]) -> None:
    assert RouterClient(api_key="hf_x", **options).resilience is None


def test_layers_run_in_the_documented_order(clock: Clock) -> None:
    passed: list[str] = []
    mechanisms = {name: Noting(name, passed) for name in ("budget", "cache")}
    made = pipeline(Resilience(**mechanisms), clock)
    drive(made.flow(call_of(), scripted("fine")), clock)
    assert passed == ["cache", "budget"]
    endpoints = [FailoverEndpoint("https://b.test/v1")]
    whole = pipeline(
        Resilience(
            cache=Noting("cache", passed),
            deadline=30,
            retry=RetryPolicy(max_retries=1),
            failover=Failover(endpoints),
            breaker=BreakerPolicy(),
            rate_limit=RateLimit(per_second=1),
        ),
        clock,
    )
    names = [getattr(layer, "__qualname__", type(layer).__name__) for layer in whole._layers]
    assert [name.split(".")[0] for name in names] == [
        "deadline_layer",
        "Noting",
        "Retrying",
        "Pool",
        "CircuitBreakers",
        "RateLimiters",
    ]


def test_a_layer_may_answer_without_sending(clock: Clock) -> None:
    class Cached:
        def layer(self, tools: Tools) -> Layer:
            def layer(call: CallInfo, then: Next) -> Flow[Any]:
                call.trace.cached = True
                return "from the cache"
                yield

            return layer

    made = pipeline(Resilience(cache=Cached(), retry=RetryPolicy(max_retries=1)), clock)
    call = call_of()
    assert drive(made.flow(call, scripted(AssertionError("sent"))), clock) == "from the cache"
    assert call.trace.cached
    assert call.trace.attempts == 0


def test_max_retries_is_shorthand_and_not_twice() -> None:
    client = RouterClient(api_key="hf_x", max_retries=2, resilience=Resilience(deadline=9))
    assert client.resilience is not None
    assert client.resilience.policy == Resilience(deadline=9, retry=RetryPolicy(max_retries=2))
    with pytest.raises(InvalidSettingError, match="twice"):
        RouterClient(
            api_key="hf_x",
            max_retries=2,
            resilience=Resilience(retry=RetryPolicy(max_retries=1)),
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deadline", 0),
        ("deadline", "10"),
        ("retry", 3),
        ("breaker", BreakerPolicy),
        ("rate_limit", 5),
        ("failover", ["https://a.test"]),
        ("cache", True),
    ],
)
def test_wrong_policies_are_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidSettingError, match=f"resilience.{name}"):
        Resilience(**{name: value})


@pytest.mark.parametrize("kind", [RouterClient, AsyncRouterClient])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_keep_policies_and_start_fresh(kind: Any, copied: Any) -> None:
    client = kind(api_key="hf_x", resilience=EVERYTHING)
    before = client.resilience
    before.breakers["https://a.test"].isolate()
    assert before.limiters["https://a.test"].try_acquire(100)
    after = copied(client).resilience
    assert after.policy == before.policy
    assert after.breakers["https://a.test"].state == "closed"
    assert after.limiters["https://a.test"].try_acquire(100)
    assert before.breakers["https://a.test"].state == "isolated"


def test_with_options_makes_new_state_over_the_same_connections(server: FaultServer) -> None:
    with RouterClient("a/b", base_url=server.url + "/v1", resilience=EVERYTHING) as client:
        client.chat.create("ping")
        other = client.with_options(resilience=Resilience(deadline=5))
        other.chat.create("ping")
        assert other.resilience is not None
        assert other.resilience.breakers is None
    assert server.accepted == 1


def test_when_ended_tells_at_once_without_a_stream() -> None:
    told: list[Outcome] = []
    when_ended("result", told.append)
    assert told == [Outcome()]


def test_perform_runs_either_way() -> None:
    async def awaiting() -> str:
        return "awaited"

    def flow() -> Flow[str]:
        return (yield Perform(lambda: "blocking", awaiting))

    nothing: Any = None
    assert run(flow(), nothing) == "blocking"
    assert asyncio.run(arun(flow(), nothing)) == "awaited"


# --- deadline ---------------------------------------------------------------------------


def test_a_wait_that_does_not_fit_fails_at_once(clock: Clock) -> None:
    limit = RateLimitError("slow down")
    limit.retry_after = 20.0
    made = pipeline(Resilience(deadline=10, retry=RetryPolicy(max_retries=3)), clock)
    with pytest.raises(DeadlineExceededError, match=r"in 20\.0 s.*10\.0 s") as caught:
        drive(made.flow(call_of(), scripted(limit)), clock)
    assert caught.value.wait == 20.0
    assert caught.value.__cause__ is limit
    assert clock.waits == []


@pytest.mark.evidence("deadline", "model")
def test_the_deadline_counts_all_attempts(clock: Clock) -> None:
    broken = ServiceUnavailableError("no", status_code=503)
    policy = RetryPolicy(max_retries=50, initial_delay=1, budget_capacity=0)
    made = pipeline(Resilience(deadline=10, retry=policy), clock, uniform=lambda _l, high: high)
    with pytest.raises(DeadlineExceededError):
        drive(made.flow(call_of(), scripted(broken, seconds=1.0, clock=clock)), clock)
    assert clock.now <= 1010.0


def test_attempts_get_what_is_left(clock: Clock) -> None:
    seen: list[float | None] = []

    def exchange(call: CallInfo) -> Flow[str]:
        seen.append(call.request.expires)
        return "fine"
        yield

    call = call_of()
    drive(pipeline(Resilience(deadline=10), clock).flow(call, exchange), clock)
    assert seen == [1010.0]
    assert call.request.expires is None


@pytest.mark.evidence("deadline", "sync", "async")
def test_deadline_ends_a_hanging_call(both: Both) -> None:
    both.server.on(PATH, hang())
    (error,), _ = both.chats(resilience=Resilience(deadline=0.3), timeout=30)
    assert isinstance(error, TimeoutError)
    assert "0.3 s" in str(error)


def test_deadline_does_not_cut_a_stream_that_has_begun(both: Both) -> None:
    both.server.on(PATH, sse(event("a"), event("b"), event(reason="stop"), delay=0.2))
    (result,), _ = both.streams(resilience=Resilience(deadline=0.25), timeout=30)
    assert result.text == "ab"


# --- outcomes of streams ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("take", "cut", "expected"),
    [(None, False, "fine"), (1, False, "abandoned"), (None, True, "failed")],
)
def test_layers_learn_how_a_stream_ended(
    both: Both, take: int | None, cut: bool, expected: str
) -> None:
    outcomes: list[Outcome] = []

    class Watching:
        def layer(self, tools: Tools) -> Layer:
            def layer(call: CallInfo, then: Next) -> Flow[Any]:
                result = yield from then(call)
                assert outcomes == []
                when_ended(result, outcomes.append)
                return result

            return layer

    events = [event("a"), event("b")] + ([] if cut else [event(reason="stop")])
    both.server.on(PATH, sse(*events, done=not cut, delay=0.05))
    both.streams(take=take, resilience=Resilience(cache=Watching()))
    (outcome,) = outcomes
    how = "failed" if outcome.error else "abandoned" if outcome.abandoned else "fine"
    assert how == expected


@pytest.mark.evidence("presets", "sync", "async")
def test_everything_on_still_answers(both: Both) -> None:
    both.server.script(PATH, failing(503), GOOD)
    policy = Resilience.production(requests_per_second=100)
    (result,), _ = both.chats(resilience=policy)
    assert result.text == "pong"
    assert len(both.server.requests) == 2
    (result,), _ = both.streams(resilience=policy)
    assert result.text == "pong"


def test_off_sends_once_whatever_comes(both: Both) -> None:
    for status in (408, 429, 500, 502, 503, 504):
        both.server.on(PATH, failing(status))
        before = len(both.server.requests)
        (error,), _ = both.chats()
        assert error.status_code == status
        assert len(both.server.requests) == before + 1
