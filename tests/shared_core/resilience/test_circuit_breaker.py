"""The circuit breaker: its rules on a clock moved by hand, its invariants, real sockets, races."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared_core import (
    APIConnectionError,
    AsyncRouterClient,
    BadRequestError,
    CircuitEvent,
    CircuitOpenError,
    InvalidSettingError,
    ProxyError,
    ProxyUnavailableError,
    RateLimiterRejectedError,
    RateLimitError,
    Resilience,
    RouterClient,
    ServiceUnavailableError,
    StreamInterruptedError,
)
from shared_core.errors import (
    IncompleteResponseError,
    ModelLoadingError,
    NotImplementedByServerError,
)
from shared_core.flow import Flow, Sleep
from shared_core.resilience.circuit_breaker import (
    BreakerPolicy,
    CircuitBreaker,
    Permit,
    is_failure,
)
from shared_core.resilience.pipeline import CallInfo
from tests.helpers.fault_server import FaultServer, reset, sse
from tests.shared_core.resilience.helpers import (
    GOOD,
    PATH,
    Both,
    Clock,
    Recorder,
    call_of,
    drive,
    event,
    failing,
    lower,
    pipeline,
    scripted,
    upper,
)

QUICK = BreakerPolicy(minimum_calls=4, open_seconds=5, max_open_seconds=20, jitter=0.2)


def breaker(clock: Clock, policy: BreakerPolicy = QUICK, **more: Any) -> CircuitBreaker:
    return CircuitBreaker(policy, name="here", clock=clock, **{"uniform": lower, **more})


def fail(it: CircuitBreaker, count: int = 1) -> None:
    for _ in range(count):
        it.acquire().failed()


def succeed(it: CircuitBreaker, count: int = 1, seconds: float = 0.0) -> None:
    for _ in range(count):
        it.acquire().succeeded(seconds)


def opened(clock: Clock, policy: BreakerPolicy = QUICK, **more: Any) -> CircuitBreaker:
    it = breaker(clock, policy, **more)
    fail(it, policy.minimum_calls)
    assert it.state == "open"
    return it


# --- rules ------------------------------------------------------------------------------


@pytest.mark.evidence("circuit-breaker", "model")
def test_opens_at_the_ratio_but_not_below_the_minimum(clock: Clock) -> None:
    it = breaker(clock)
    fail(it, 3)
    assert it.state == "closed"
    succeed(it)
    assert it.state == "open"  # 3 of 4
    it = breaker(clock)
    succeed(it, 3)
    fail(it, 2)
    assert it.state == "closed"
    fail(it)
    assert it.state == "open"


def test_refusal_says_when_to_come_back(clock: Clock) -> None:
    it = opened(clock)
    clock.now += 1.5
    with pytest.raises(CircuitOpenError, match=r"here.*3\.5 s") as caught:
        it.acquire()
    assert caught.value.retry_after == 3.5
    assert caught.value.endpoint == "here"
    assert it.retry_after == 3.5


def test_refusal_is_fast(clock: Clock) -> None:
    it = opened(clock)
    started = time.perf_counter()
    for _ in range(100):
        with pytest.raises(CircuitOpenError):
            it.acquire()
    assert (time.perf_counter() - started) / 100 < 0.001


def test_old_calls_leave_the_window_by_time(clock: Clock) -> None:
    it = breaker(clock, BreakerPolicy(minimum_calls=4, window_seconds=30))
    fail(it, 3)
    clock.now += 30
    fail(it, 3)
    assert it.state == "closed"
    fail(it)
    assert it.state == "open"


def test_old_calls_leave_the_window_by_count(clock: Clock) -> None:
    policy = BreakerPolicy(minimum_calls=4, window_calls=4, window_seconds=None, failure_ratio=0.75)
    it = breaker(clock, policy)
    fail(it, 2)
    succeed(it, 2)
    clock.now += 1e6
    fail(it)
    succeed(it)
    fail(it)
    assert it.state == "closed"  # f s f s -> the last four are s f s f
    fail(it)
    assert it.state == "open"


def test_slow_calls_open_it(clock: Clock) -> None:
    it = breaker(clock, BreakerPolicy(minimum_calls=5, slow_seconds=2, slow_ratio=0.8))
    succeed(it, 1)
    succeed(it, 3, seconds=2.0)
    assert it.state == "closed"
    succeed(it, 1, seconds=3.0)
    assert it.state == "open"


def test_one_probe_of_ten_callers(clock: Clock) -> None:
    it = opened(clock)
    clock.now += 5
    assert it.state == "half-open"
    probe = it.acquire()
    for _ in range(9):
        with pytest.raises(CircuitOpenError, match="probed"):
            it.acquire()
    probe.succeeded()
    assert it.state == "closed"
    succeed(it, 10)


def test_several_probes_must_all_succeed(clock: Clock) -> None:
    it = opened(clock, BreakerPolicy(minimum_calls=4, open_seconds=5, probes=2, jitter=0))
    clock.now += 5
    first, second = it.acquire(), it.acquire()
    with pytest.raises(CircuitOpenError):
        it.acquire()
    first.succeeded()
    assert it.state == "half-open"
    second.succeeded()
    assert it.state == "closed"


def test_open_time_doubles_up_to_its_limit_and_begins_anew(clock: Clock) -> None:
    it = opened(clock)
    waits = []
    for _ in range(4):
        waits.append(it.retry_after)
        clock.now += it.retry_after or 0
        it.acquire().failed()
    assert waits == [5, 10, 20, 20]
    clock.now += 20
    succeed(it)
    fail(it, 4)
    assert it.retry_after == 5


def test_jitter_only_lengthens(clock: Clock) -> None:
    assert opened(clock, uniform=upper).retry_after == pytest.approx(6.0)


def test_cancelled_calls_count_for_nothing(clock: Clock) -> None:
    it = breaker(clock)
    for _ in range(100):
        it.acquire().neutral()
    fail(it, 3)
    assert it.state == "closed"
    it = opened(clock)
    clock.now += 5
    it.acquire().neutral()
    assert it.state == "half-open"
    succeed(it)
    assert it.state == "closed"


def test_a_probe_that_never_ends_gives_up_its_place(clock: Clock) -> None:
    it = opened(clock)
    clock.now += 5
    it.acquire()
    with pytest.raises(CircuitOpenError):
        it.acquire()
    clock.now += 60
    succeed(it)
    assert it.state == "closed"


def test_calls_of_an_earlier_round_count_for_nothing(clock: Clock) -> None:
    it = breaker(clock)
    late = [it.acquire() for _ in range(4)]
    fail(it, 4)
    clock.now += 5
    succeed(it)
    for permit in late:
        permit.failed()
    assert it.state == "closed"


def test_isolate_and_reset_by_hand(clock: Clock) -> None:
    it = breaker(clock)
    it.isolate()
    clock.now += 1e9
    with pytest.raises(CircuitOpenError, match="by hand") as caught:
        it.acquire()
    assert caught.value.retry_after is None
    it.reset()
    succeed(it)
    assert it.state == "closed"


def test_a_permit_ends_once(clock: Clock) -> None:
    it = breaker(clock)
    permit = it.acquire()
    permit.succeeded()
    for _ in range(10):
        permit.failed()
    assert it.state == "closed"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (None, False),
        (APIConnectionError("lost"), True),
        (ServiceUnavailableError("no", status_code=503), True),
        (IncompleteResponseError("half"), True),
        (StreamInterruptedError("cut"), True),
        (BadRequestError("bad", status_code=400), None),
        (RateLimitError("slow", status_code=429), None),
        (NotImplementedByServerError("never", status_code=501), None),
        (ModelLoadingError("loading", status_code=503), None),
        (RateLimiterRejectedError("ours"), None),
        (CircuitOpenError("ours"), None),
        (ProxyError("no", proxy_status=407, proxy_reached=True), None),
        (ProxyError("SSH", proxy_reached=True), None),
        (ProxyUnavailableError("away"), None),
        (ProxyUnavailableError("slow", proxy_status=429, proxy_reached=True), None),
        (ProxyUnavailableError("broken", proxy_status=500, proxy_reached=True), None),
        (ProxyUnavailableError("dead", proxy_status=503, proxy_reached=True), True),
        (ProxyUnavailableError("silent", proxy_reached=True), True),
    ],
)
def test_what_speaks_against_an_endpoint(error: Any, verdict: bool | None) -> None:
    assert is_failure(error) is verdict


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("failure_ratio", 0),
        ("failure_ratio", 1.1),
        ("minimum_calls", 0),
        ("minimum_calls", 101),
        ("open_seconds", -1),
        ("jitter", 2),
        ("slow_seconds", 0),
        ("probes", 1.5),
    ],
)
def test_wrong_numbers_are_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidSettingError, match=f"breaker.{name}"):
        BreakerPolicy(**{name: value})


# --- the layer --------------------------------------------------------------------------


def test_the_wait_for_the_limiter_is_not_slowness(clock: Clock) -> None:
    policy = BreakerPolicy(minimum_calls=1, slow_seconds=5, slow_ratio=0.1)
    made = pipeline(Resilience(breaker=policy), clock)

    def waiting(call: CallInfo) -> Flow[str]:
        yield Sleep(10)
        call.trace.limited += 10
        return "fine"

    drive(made.flow(call_of(), waiting), clock)
    assert made.breakers is not None
    assert made.breakers["https://a.test"].state == "closed"
    made_slow = pipeline(Resilience(breaker=policy), clock)
    drive(made_slow.flow(call_of(), scripted("fine", seconds=10, clock=clock)), clock)
    assert made_slow.breakers is not None
    assert made_slow.breakers["https://a.test"].state == "open"


@pytest.mark.parametrize("end", [GeneratorExit, KeyboardInterrupt, asyncio.CancelledError])
def test_an_abandoned_flow_gives_its_probe_back(clock: Clock, end: type[BaseException]) -> None:
    made = pipeline(Resilience(breaker=QUICK), clock)
    assert made.breakers is not None
    it = made.breakers["https://a.test"]
    fail(it, 4)
    clock.now += 5

    def waiting(call: CallInfo) -> Flow[str]:
        yield Sleep(1)
        return "fine"

    flow = made.flow(call_of(), waiting)
    next(flow)
    with pytest.raises(CircuitOpenError):
        drive(made.flow(call_of(), waiting), clock)
    if end is GeneratorExit:
        flow.close()
    else:
        with pytest.raises(end):
            flow.throw(end())
    assert it.state == "half-open"
    assert drive(made.flow(call_of(), waiting), clock) == "fine"
    assert it.state == "closed"


def test_endpoints_have_breakers_of_their_own(clock: Clock) -> None:
    made = pipeline(Resilience(breaker=QUICK), clock)
    broken = scripted(ServiceUnavailableError("no", status_code=503))
    calls = [
        call_of("https://a.test/v1/x", provider="groq"),
        call_of("https://a.test/v1/x", provider="together"),
        call_of("https://b.test:8443/v1/x?secret=1"),
    ]
    for _ in range(4):
        with pytest.raises(ServiceUnavailableError):
            drive(made.flow(calls[0], broken), clock)
    with pytest.raises(CircuitOpenError):
        drive(made.flow(calls[0], broken), clock)
    assert drive(made.flow(calls[1], scripted("fine")), clock) == "fine"
    assert drive(made.flow(calls[2], scripted("fine")), clock) == "fine"
    assert made.breakers is not None
    assert list(made.breakers) == [
        "https://a.test#groq",
        "https://a.test#together",
        "https://b.test:8443",
    ]


def test_changes_are_told(clock: Clock) -> None:
    recorder = Recorder()
    made = pipeline(Resilience(breaker=QUICK), clock, callbacks=(recorder,))
    assert made.breakers is not None
    it = made.breakers["https://a.test"]
    fail(it, 4)
    clock.now += 5
    succeed(it)
    it.isolate()
    told = [(one.previous, one.state, one.reason) for one in recorder.of(CircuitEvent)]
    assert told == [
        ("closed", "open", "4 of 4 calls failed"),
        ("open", "half-open", "its open time is over"),
        ("half-open", "closed", "the probes succeeded"),
        ("closed", "isolated", "by hand"),
    ]
    assert recorder.of(CircuitEvent)[0].retry_after == 5
    assert recorder.of(CircuitEvent)[0].endpoint == "https://a.test"


def test_forgets_the_endpoint_used_longest_ago(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared_core.resilience.per_endpoint.MAX_ENDPOINTS", 3)
    made = pipeline(Resilience(breaker=QUICK), clock)
    assert made.breakers is not None
    for name in ("a", "b", "c", "a", "d"):
        made.breakers[name]
    assert list(made.breakers) == ["c", "a", "d"]


def test_refusals_can_be_pickled(clock: Clock) -> None:
    with pytest.raises(CircuitOpenError) as caught:
        opened(clock).acquire()
    assert pickle.loads(pickle.dumps(caught.value)).retry_after == 5


# --- invariants -------------------------------------------------------------------------


class BreakerMachine(RuleBasedStateMachine):
    """Any order of calls, ends and waits against what must always hold."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.policy = BreakerPolicy(
            minimum_calls=3, window_calls=6, window_seconds=10, open_seconds=2, probes=2
        )
        self.it = CircuitBreaker(self.policy, clock=self.clock, uniform=upper)
        self.permits: list[Permit] = []
        self.opened_at: float | None = None

    @rule()
    def call(self) -> None:
        before = self.it.state
        try:
            permit = self.it.acquire()
        except CircuitOpenError as error:
            assert before in ("open", "half-open", "isolated")
            assert before == "open" or error.retry_after is None
        else:
            assert before in ("closed", "half-open")
            self.permits.append(permit)

    @precondition(lambda self: self.permits)
    @rule(at=st.integers(0, 100), how=st.sampled_from(["succeeded", "failed", "neutral"]))
    def end(self, at: int, how: str) -> None:
        getattr(self.permits.pop(at % len(self.permits)), how)()

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(how=st.sampled_from(["isolate", "reset"]))
    def by_hand(self, how: str) -> None:
        getattr(self.it, how)()
        assert self.it.state == {"isolate": "isolated", "reset": "closed"}[how]

    @invariant()
    def holds(self) -> None:
        it = self.it
        assert it.state in ("closed", "open", "half-open", "isolated")
        window = it._window
        assert 0 <= window.failed <= len(window) <= self.policy.window_calls
        assert window.failed == sum(failed for _, failed, _ in window._calls)
        assert len(it._probes) <= self.policy.probes
        wait = it.retry_after
        assert wait is None or 0 < wait <= self.policy.max_open_seconds * 1.2
        if it.state == "closed" and len(window) >= self.policy.minimum_calls:
            assert window.failed / len(window) < 1.0


BreakerMachine.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=40)
TestBreakerMachine = pytest.mark.evidence("circuit-breaker", "property")(BreakerMachine.TestCase)


# --- sockets ----------------------------------------------------------------------------


@pytest.mark.evidence("circuit-breaker", "sync", "async")
def test_a_dead_server_is_left_alone(both: Both) -> None:
    both.server.on(PATH, reset())
    results, client = both.chats(30, resilience=Resilience(breaker=BreakerPolicy()))
    assert len(both.server.requests) <= 10
    assert [type(one) for one in results[10:]] == [CircuitOpenError] * 20
    assert client.resilience.breakers[both.server.url].state == "open"


def test_it_closes_again_when_the_server_is_back(both: Both) -> None:
    both.server.script(PATH, *[failing(503)] * 4, GOOD)
    policy = BreakerPolicy(minimum_calls=4, open_seconds=0.001, jitter=0)
    results, client = both.chats(8, pause=0.004, resilience=Resilience(breaker=policy))
    assert [one.text for one in results[-3:]] == ["pong"] * 3
    assert client.resilience.breakers[both.server.url].state == "closed"


def test_four_hundreds_and_429_never_open_it(both: Both) -> None:
    both.server.script(PATH, *[failing(400), failing(429)] * 10)
    _, client = both.chats(20, resilience=Resilience(breaker=QUICK))
    assert len(both.server.requests) == 20
    assert client.resilience.breakers[both.server.url].state == "closed"


def test_a_cut_stream_is_a_failure_and_a_left_one_is_not(both: Both) -> None:
    both.server.on(PATH, sse(event("a"), event("b"), done=False, delay=0.01))
    policy = Resilience(breaker=QUICK)
    results, client = both.streams(4, resilience=policy)
    assert {type(one) for one in results} == {StreamInterruptedError}
    assert client.resilience.breakers[both.server.url].state == "open"
    both.server.on(PATH, sse(event("a"), event("b"), done=False, delay=0.1))
    _, client = both.streams(4, take=1, resilience=policy)
    assert client.resilience.breakers[both.server.url].state == "closed"


def test_slow_first_events_open_it(both: Both) -> None:
    both.server.on(PATH, sse(event("a"), event(reason="stop"), first_delay=0.06))
    policy = BreakerPolicy(minimum_calls=2, slow_seconds=0.05, slow_ratio=0.9)
    results, client = both.streams(2, resilience=Resilience(breaker=policy))
    assert [one.text for one in results] == ["a", "a"]
    assert client.resilience.breakers[both.server.url].state == "open"


# --- races ------------------------------------------------------------------------------


@pytest.mark.evidence("circuit-breaker", "threads")
def test_threads_get_one_probe_between_them(server: FaultServer) -> None:
    server.on(PATH, failing(503))
    policy = BreakerPolicy(minimum_calls=2, open_seconds=0.01, jitter=0)
    client = RouterClient("a/b", base_url=server.url + "/v1", resilience=Resilience(breaker=policy))
    with client:
        for _ in range(2):
            with pytest.raises(ServiceUnavailableError):
                client.chat.create("ping")
        time.sleep(0.02)
        server.on(PATH, failing(503))
        before = len(server.requests)
        start = threading.Barrier(8)
        outcomes: list[str] = []

        def work() -> None:
            start.wait()
            try:
                client.chat.create("ping")
            except Exception as error:
                outcomes.append(type(error).__name__)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    probes = len(server.requests) - before
    assert outcomes.count("ServiceUnavailableError") == probes
    assert outcomes.count("CircuitOpenError") == 8 - probes
    assert 1 <= probes <= 3  # a fast failure may leave time for the next probe


@pytest.mark.evidence("circuit-breaker", "threads")
def test_changes_are_told_one_by_one_and_in_order_under_threads(eager_threads: None) -> None:
    told: list[tuple[str, str]] = []
    telling: list[int] = []

    def note(breaker: CircuitBreaker, state: str, previous: str, reason: str) -> None:
        telling.append(1)
        time.sleep(0)  # lets another thread in, if there is a way
        assert len(telling) == 1
        told.append((previous, state))
        telling.pop()

    # One failure opens it, whatever the order in which the threads come to count.
    policy = BreakerPolicy(
        failure_ratio=1e-6, minimum_calls=1, open_seconds=1e-9, max_open_seconds=1e-9, jitter=0
    )
    it = CircuitBreaker(policy, on_change=note)

    def work(seed: int) -> None:
        for at in range(400):
            try:
                permit = it.acquire()
            except CircuitOpenError:
                continue
            if (at + seed) % 3:
                permit.succeeded()
            else:
                permit.failed()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) > 10
    assert told[0][0] == "closed"
    assert [state for _, state in told[:-1]] == [previous for previous, _ in told[1:]]
    assert told[-1][1] == it._state


def test_counts_are_exact_under_threads() -> None:
    policy = BreakerPolicy(minimum_calls=100_000, window_calls=100_000, window_seconds=None)
    it = CircuitBreaker(policy)

    def work(failing_share: int) -> None:
        for at in range(500):
            permit = it.acquire()
            if at % failing_share:
                permit.succeeded()
            else:
                permit.failed()

    threads = [threading.Thread(target=work, args=(share,)) for share in (1, 2, 5, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(it._window) == 2000
    assert it._window.failed == 500 + 250 + 100 + 50


@pytest.mark.evidence("circuit-breaker", "tasks")
@pytest.mark.anyio
async def test_tasks_share_a_breaker_and_cancelled_ones_do_not_count(server: FaultServer) -> None:
    server.on(PATH, sse(event("a"), first_delay=5))
    options = {"base_url": server.url + "/v1", "resilience": Resilience(breaker=QUICK)}
    async with AsyncRouterClient("a/b", **options) as client:  # type: ignore[arg-type]

        async def read() -> None:
            async with client.chat.stream("ping") as stream:
                await stream.result()

        tasks = [asyncio.create_task(read()) for _ in range(20)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert client.resilience is not None
        assert client.resilience.breakers is not None
        it = client.resilience.breakers[server.url]
        assert it.state == "closed"
        assert len(it._window) == 0
        server.on(PATH, failing(500))
        results = await asyncio.gather(
            *[client.chat.create("ping") for _ in range(20)], return_exceptions=True
        )
        assert all(isinstance(one, Exception) for one in results)
        assert it.state == "open"
