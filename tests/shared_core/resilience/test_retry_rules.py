"""What is retried and what is not: statuses, lost answers, calls that change something."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import (
    APIConnectionError,
    APIError,
    AsyncRouterClient,
    BreakerPolicy,
    CircuitOpenError,
    InvalidSettingError,
    Resilience,
    RetryEvent,
    RetryPolicy,
    RouterClient,
)
from shared_core.errors import (
    APITimeoutError,
    ConnectFailedError,
    ConnectionLostError,
    GatewayTimeoutError,
    IncompleteResponseError,
    InternalServerError,
    NameResolutionError,
    RateLimitError,
    ServiceUnavailableError,
    TLSError,
)
from shared_core.resilience.retry import RetryBudget, maybe_done, never_done
from shared_core.wire.messages import WireRequest
from tests.helpers.fault_server import FaultServer, drop, hang, json_reply, reply, reset, sse
from tests.shared_core.resilience.helpers import (
    GOOD,
    PATH,
    Both,
    Clock,
    Recorder,
    call_of,
    completion,
    drive,
    event,
    failing,
    pipeline,
    scripted,
)

QUICK = RetryPolicy(max_retries=2, initial_delay=0.001)
CHAT = WireRequest(url="https://a.test")
LIST = WireRequest(url="https://a.test", idempotent=True)
CREATE = WireRequest(url="https://a.test", changes_state=True)

UNSENT = [
    ConnectFailedError("refused"),
    NameResolutionError("no such name"),
    ConnectionLostError("gone", maybe_processed=False),
    APITimeoutError("late", phase="connect"),
    RateLimitError("slow", status_code=429),
    ServiceUnavailableError("no", status_code=503),
]
FAILED = [InternalServerError("broken", status_code=500)]
LOST = [
    ConnectionLostError("gone"),
    APITimeoutError("late", phase="read"),
    IncompleteResponseError("half"),
    GatewayTimeoutError("late", status_code=504),
]


@pytest.mark.evidence("retry", "model")
@pytest.mark.parametrize("error", UNSENT + FAILED + LOST, ids=lambda error: type(error).__name__)
def test_what_may_be_repeated(error: APIError) -> None:
    careful = RetryPolicy(max_retries=3, repeat_lost_answers=False)
    assert QUICK.allows(error, CHAT)
    assert QUICK.allows(error, LIST)
    assert never_done(error) == (error in UNSENT)
    # A 503 may come from a gateway, after the change was made behind it.
    proof = error in UNSENT and not isinstance(error, ServiceUnavailableError)
    assert QUICK.allows(error, CREATE) == proof
    assert careful.allows(error, CHAT) == (error not in LOST) == (not maybe_done(error))
    assert careful.allows(error, LIST)
    assert careful.limit(error, LIST) == 3


def test_a_bad_certificate_is_final() -> None:
    assert not QUICK.allows(TLSError("expired"), LIST)


@pytest.mark.parametrize(("status", "attempts"), [(424, 3), (504, 2), (500, 6), (503, 6)])
def test_some_statuses_have_lower_limits(clock: Clock, status: int, attempts: int) -> None:
    kinds = {504: GatewayTimeoutError, 503: ServiceUnavailableError}
    error = kinds.get(status, InternalServerError)("no", status_code=status)
    policy = RetryPolicy(max_retries=5, budget_capacity=0)
    call = call_of()
    made = pipeline(Resilience(retry=policy), clock)
    with pytest.raises(APIError) as caught:
        drive(made.flow(call, scripted(error)), clock)
    assert caught.value.attempts == call.trace.attempts == attempts


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("initial_delay", -1),
        ("multiplier", 0.5),
        ("multiplier", 1e10),
        ("max_server_wait", float("nan")),
        ("status_caps", ((424, -1),)),
        ("status_caps", (424,)),
    ],
)
def test_wrong_numbers_are_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidSettingError, match=f"retry.{name}"):
        RetryPolicy(**{name: value})


@pytest.mark.evidence("retry", "property")
@given(st.integers(0, 8), st.lists(st.booleans(), max_size=30))
def test_never_more_attempts_than_asked_for(retries: int, outcomes: list[bool]) -> None:
    clock = Clock()
    script = ["fine" if good else APIConnectionError("lost") for good in [*outcomes, True]]
    policy = RetryPolicy(max_retries=retries, budget_capacity=0)
    call = call_of()
    made = pipeline(Resilience(retry=policy), clock)
    exchange = scripted(*script)
    try:
        drive(made.flow(call, exchange), clock)
    except APIConnectionError as error:
        assert error.attempts == retries + 1 or retries == 0
    assert call.trace.attempts <= retries + 1
    assert call.trace.slept == sum(clock.waits)
    assert max(clock.waits, default=0) <= policy.max_delay


def test_budget_of_another_size_starts_full() -> None:
    client = RouterClient(api_key="hf_x", retry=RetryPolicy(max_retries=1, budget_capacity=4))
    assert client.resilience is not None
    (layer,) = client.resilience._layers
    assert layer.budgets["https://a.test"].tokens == 4  # type: ignore[attr-defined]
    assert RetryBudget(0.0, 0.5, 0.0).failed()


def test_an_outage_of_one_provider_leaves_the_retries_of_the_others(clock: Clock) -> None:
    broken = ServiceUnavailableError("no", status_code=503)
    made = pipeline(Resilience(retry=RetryPolicy(max_retries=2)), clock)
    for _ in range(20):
        with pytest.raises(ServiceUnavailableError):
            drive(made.flow(call_of(provider="groq"), scripted(broken)), clock)
    with pytest.raises(ServiceUnavailableError) as caught:
        drive(made.flow(call_of(provider="groq"), scripted(broken, "fine")), clock)
    assert caught.value.attempts == 1
    other = call_of(provider="together")
    assert drive(made.flow(other, scripted(broken, "fine")), clock) == "fine"


def test_a_breaker_that_opens_on_the_way_names_the_cause(clock: Clock) -> None:
    broken = ServiceUnavailableError("no", status_code=503)
    policy = Resilience(retry=RetryPolicy(max_retries=5), breaker=BreakerPolicy(minimum_calls=2))
    with pytest.raises(CircuitOpenError) as caught:
        drive(pipeline(policy, clock).flow(call_of(), scripted(broken)), clock)
    assert caught.value.__cause__ is broken
    assert broken.attempts == 2


# --- the rows of the retry table over sockets ---------------------------------------------

HALF = b'{"id": "c1", "choices": [{"index": 0, "mess'
CUT = reply(200, b"", {"content-type": "application/json", "content-length": "500"}, close=True)
ROWS = {
    "two 500s": [failing(500), failing(500)],
    "CDN hiccup": [failing(502)],
    "429 with no hint": [failing(429)],
    "Retry-After nan": [failing(429, retry_after="nan")],
    "Retry-After negative": [failing(429, retry_after="-5")],
    "Retry-After overflow": [failing(429, retry_after="1e400")],
    "reset": [reset()],
    "closed": [drop()],
    "cut body": [CUT],
    "half a document": [reply(200, HALF, {"content-type": "application/json"})],
}


@pytest.mark.evidence("retry", "sync", "async")
@pytest.mark.parametrize("row", ROWS)
def test_repeated_until_it_works(both: Both, row: str) -> None:
    both.server.script(PATH, *ROWS[row], GOOD)
    (result,), _ = both.chats(retry=QUICK)
    assert result.text == "pong"
    assert len(both.server.requests) == len(ROWS[row]) + 1


@pytest.mark.evidence("retry", "sync", "async")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 501])
def test_final_at_once(both: Both, status: int) -> None:
    both.server.on(PATH, failing(status))
    (error,), _ = both.chats(retry=QUICK)
    assert error.status_code == status
    assert len(both.server.requests) == 1


@pytest.mark.parametrize("headers", [{"retry_after": "86400"}, {"ratelimit": '"api";r=0;t=900'}])
def test_a_long_wait_fails_fast_and_says_so(both: Both, headers: dict[str, str]) -> None:
    both.server.on(PATH, failing(429, **headers))
    (error,), _ = both.chats(retry=QUICK)
    wanted = headers.get("retry_after", "900")
    assert f"{wanted} s" in str(error)
    assert len(both.server.requests) == 1


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (429, {"ratelimit": '"api";r=0;t=1'}, {"error": "slow down"}),
        (503, {}, {"error": "Model a/b is currently loading", "estimated_time": 0.9}),
    ],
)
def test_waits_as_long_as_the_server_asks(
    server: FaultServer, status: int, headers: dict[str, str], body: Any
) -> None:
    server.script(PATH, json_reply(body, status=status, headers=headers), GOOD)
    recorder = Recorder()
    (result,), _ = Both("sync", server).chats(retry=QUICK, callbacks=[recorder])
    waits = [one.delay for one in recorder.of(RetryEvent)]
    assert result.text == "pong"
    assert 0.9 <= waits[0] <= 1.2


def test_a_timeout_is_repeated(both: Both) -> None:
    both.server.script(PATH, hang(), GOOD)
    (result,), _ = both.chats(retry=QUICK, timeout=0.2)
    assert result.text == "pong"
    careful = RetryPolicy(max_retries=2, initial_delay=0.001, repeat_lost_answers=False)
    both.server.script(PATH, hang(), GOOD)
    (error,), _ = both.chats(retry=careful, timeout=0.2)
    assert isinstance(error, APITimeoutError)


def test_an_error_as_first_event_is_repeated_one_after_text_is_not(both: Both) -> None:
    broken = {"error": {"message": "upstream died", "code": 502}}
    fine = sse(event("ok"), event(reason="stop"))
    both.server.script(PATH, sse(broken), fine)
    (result,), _ = both.streams(retry=QUICK)
    assert result.text == "ok"
    both.server.script(PATH, sse(event("a"), broken, delay=0.02), fine)
    (error,), _ = both.streams(retry=QUICK)
    assert error.partial.text == "a"
    assert len(both.server.requests) == 3


def test_the_same_request_is_repeated(both: Both) -> None:
    both.server.script(PATH, failing(500), GOOD)
    both.chats(retry=QUICK)
    first, second = both.server.requests
    assert first.body == second.body
    assert first.headers["authorization" if "authorization" in first.headers else "host"]


def test_a_third_of_faults_is_survived(server: FaultServer) -> None:
    count = iter(range(10_000))
    server.on(PATH, lambda _: failing(503) if next(count) % 10 < 3 else json_reply(completion()))
    policy = RetryPolicy(max_retries=3, initial_delay=0.0001)
    with RouterClient("a/b", base_url=server.url + "/v1", retry=policy) as client:
        texts = [client.chat.create("ping").text for _ in range(100)]
    assert texts == ["pong"] * 100
    assert len(server.requests) <= 150


def test_a_dead_server_gets_hardly_more_than_one_request_per_call(both: Both) -> None:
    both.server.on(PATH, failing(503))
    both.chats(100, retry=RetryPolicy(max_retries=2, initial_delay=0.0001))
    assert len(both.server.requests) <= 120


@pytest.mark.evidence("retry", "threads")
def test_threads_share_one_budget(server: FaultServer) -> None:
    server.on(PATH, failing(503))
    policy = RetryPolicy(max_retries=3, initial_delay=0.0001)
    with RouterClient("a/b", base_url=server.url + "/v1", retry=policy) as client:

        def work() -> None:
            for _ in range(10):
                with pytest.raises(ServiceUnavailableError):
                    client.chat.create("ping")

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 60 <= len(server.requests) <= 60 + 10


@pytest.mark.evidence("retry", "tasks")
@pytest.mark.anyio
async def test_tasks_share_one_budget(server: FaultServer) -> None:
    server.on(PATH, failing(503))
    policy = RetryPolicy(max_retries=3, initial_delay=0.0001)
    async with AsyncRouterClient("a/b", base_url=server.url + "/v1", retry=policy) as client:
        await asyncio.gather(
            *[client.chat.create("ping") for _ in range(40)], return_exceptions=True
        )
    assert 40 <= len(server.requests) <= 50
