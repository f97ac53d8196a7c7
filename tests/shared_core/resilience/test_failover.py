"""Failover: order of endpoints, what moves a call on, whose token goes where."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import (
    APITimeoutError,
    AsyncRouterClient,
    AuthenticationError,
    BreakerPolicy,
    CircuitOpenError,
    Failover,
    FailoverEndpoint,
    FailoverEvent,
    InvalidSettingError,
    MissingTokenError,
    NoEndpointAvailableError,
    Priority,
    Random,
    RateLimiterRejectedError,
    RateLimitError,
    Resilience,
    RetryPolicy,
    RoundRobin,
    RouterClient,
    ServiceUnavailableError,
    Settings,
    Sticky,
    StreamInterruptedError,
)
from shared_core.errors import (
    BadRequestError,
    ConnectFailedError,
    ContextLengthError,
    IncompleteResponseError,
    NotImplementedByServerError,
    PaymentRequiredError,
    ProviderNotBillableError,
    TLSError,
    UnsupportedFeatureError,
)
from shared_core.resilience.failover import settings_of, verdict
from shared_core.wire.messages import WireRequest
from tests.helpers.fault_server import FaultServer, Fin, json_reply, reset, sse
from tests.shared_core.resilience.helpers import (
    GOOD,
    PATH,
    Both,
    Recorder,
    completion,
    event,
    failing,
    middle,
)

REQUEST = WireRequest(url="https://a.test", json={"user": "ann"})
NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def second() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(PATH, json_reply(completion("second")))
        yield running


def pool(*servers: FaultServer, **more: Any) -> Resilience:
    endpoints = [
        FailoverEndpoint(server.url + "/v1", api_key=f"key-{at}", name=f"e{at}")
        for at, server in enumerate(servers)
    ]
    return Resilience(failover=Failover(endpoints, **more))


# --- rules ------------------------------------------------------------------------------


@pytest.mark.evidence("failover", "property")
@given(st.integers(0, 1000), st.integers(1, 8))
@pytest.mark.parametrize("selector", [Priority(), RoundRobin(), Random(), Sticky(), Sticky("x")])
def test_every_selector_tries_each_endpoint_once(selector: Any, turn: int, count: int) -> None:
    names = [str(at) for at in range(count)]
    order = selector.order(names, turn, REQUEST, middle)
    assert sorted(order) == list(range(count))


def test_round_robin_is_even() -> None:
    first = [RoundRobin().order(NAMES, turn, REQUEST, middle)[0] for turn in range(40)]
    assert set(Counter(first).values()) == {10}


@given(st.text(max_size=20))
def test_sticky_stays_when_another_endpoint_goes(key: str) -> None:
    order = [NAMES[at] for at in Sticky(key).order(NAMES, 0, REQUEST, middle)]
    fewer = [name for name in NAMES if name != order[-1]]
    assert fewer[Sticky(key).order(fewer, 9, REQUEST, middle)[0]] == order[0]


def test_sticky_takes_the_user_of_the_request() -> None:
    def first(user: str) -> int:
        request = WireRequest(url="https://a.test", json={"user": user})
        return Sticky().order(NAMES, 0, request, middle)[0]

    assert len({first(str(user)) for user in range(50)}) == 4
    assert first("ann") == first("ann")
    by_model = Sticky(lambda request: request.model or "")
    assert by_model.order(NAMES, 0, REQUEST, middle)[0] in range(4)


READ_TIMEOUT = APITimeoutError("late", phase="read")
CONNECT_TIMEOUT = APITimeoutError("late", phase="connect")


@pytest.mark.evidence("failover", "model")
@pytest.mark.parametrize(
    ("error", "rules"),
    [
        (ConnectFailedError("refused"), "unreachable unavailable other-provider"),
        (CONNECT_TIMEOUT, "unreachable unavailable other-provider"),
        (CircuitOpenError("open"), "unreachable unavailable other-provider"),
        (RateLimiterRejectedError("full"), "unreachable unavailable other-provider"),
        (RateLimitError("slow", status_code=429), "unreachable unavailable other-provider"),
        (ServiceUnavailableError("no", status_code=503), "unreachable unavailable other-provider"),
        (READ_TIMEOUT, "unavailable other-provider"),
        (IncompleteResponseError("half"), "unavailable other-provider"),
        (StreamInterruptedError("cut"), "unavailable other-provider"),
        (TLSError("bad certificate"), "unavailable other-provider"),
        (UnsupportedFeatureError("no tools", status_code=400), "other-provider"),
        (ProviderNotBillableError("not enabled", status_code=402), "other-provider"),
        (AuthenticationError("who?", status_code=401), ""),
        (PaymentRequiredError("no credit", status_code=402), ""),
        (BadRequestError("bad", status_code=400), ""),
        (ContextLengthError("too long", status_code=400), ""),
        (InvalidSettingError("bad"), ""),
        (MissingTokenError("none"), ""),
    ],
)
def test_named_rules(error: Any, rules: str) -> None:
    endpoints = [FailoverEndpoint("https://a.test")]
    for rule in ("unreachable", "unavailable", "other-provider"):
        moved = Failover(endpoints, rule=rule).moves_on(error)  # type: ignore[arg-type]
        assert moved == (rule in rules.split()), rule


def test_lost_answers_stay_where_they_are_on_request() -> None:
    careful = Failover([FailoverEndpoint("https://a.test")], repeat_lost_answers=False)
    assert not careful.moves_on(READ_TIMEOUT)
    assert not careful.moves_on(IncompleteResponseError("half"))
    assert careful.moves_on(CONNECT_TIMEOUT)
    assert careful.moves_on(ServiceUnavailableError("no", status_code=503))


def test_verdict_is_the_last_cause_that_retry_can_use() -> None:
    refused, broken = CircuitOpenError("open"), ServiceUnavailableError("no", status_code=503)
    final = NotImplementedByServerError("never", status_code=501)
    assert verdict([("a", broken), ("b", final), ("c", refused)]) is broken
    assert verdict([("a", final), ("c", refused)]) is final
    assert verdict([("a", refused)]) is refused
    refused.retry_after = 4.0
    none = verdict([("a", refused), ("b", CircuitOpenError("by hand"))])
    assert isinstance(none, NoEndpointAvailableError)
    assert none.retry_after == 4.0
    assert "a: open" in str(none)
    assert len(none.errors) == 2


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: FailoverEndpoint(), "base_url, a model or a provider"),
        (lambda: FailoverEndpoint("ftp://a.test"), "endpoint.base_url"),
        (lambda: FailoverEndpoint("https://user:pw@a.test"), "endpoint.base_url"),
        (lambda: FailoverEndpoint("https://a.test", name="a\r\nb"), "endpoint.name"),
        (lambda: FailoverEndpoint("https://a.test", headers={"X": "a\nb"}), "endpoint.headers"),
        (lambda: Failover([]), "failover.endpoints"),
        (lambda: Failover(["https://a.test"]), "failover.endpoints"),  # type: ignore[list-item]
        (lambda: Failover([FailoverEndpoint("https://a.test")] * 2), "same name"),
        (lambda: Failover([FailoverEndpoint("https://a.test")], rule="always"), "failover.rule"),  # type: ignore[arg-type]
        (lambda: Failover([FailoverEndpoint("https://a.test")], RoundRobin), "failover.selector"),  # type: ignore[arg-type]
    ],
)
def test_wrong_values_are_named(make: Any, named: str) -> None:
    with pytest.raises(InvalidSettingError, match=named):
        make()


# --- whose token goes where -------------------------------------------------------------


def own(**more: Any) -> Settings:
    base = {"api_key": "hf_own_token_1234", "base_url": "https://home.test/v1", "env": {}}
    headers = {"X-Api-Key": "private-value"}
    return Settings.resolve(**{**base, "default_headers": headers, "bill_to": "org", **more})


@pytest.mark.parametrize(
    ("endpoint", "token", "header", "payer"),
    [
        (FailoverEndpoint(model="c/d"), True, True, "org"),
        (FailoverEndpoint("https://home.test/other"), True, True, "org"),
        (FailoverEndpoint("https://router.huggingface.co/v1"), True, False, "org"),
        (FailoverEndpoint("https://foreign.test/v1"), False, False, None),
        (FailoverEndpoint("https://foreign.test/v1", api_key="k-1234567"), None, False, None),
        (FailoverEndpoint(model="c/d", api_key="k-1234567"), None, True, "org"),
    ],
)
def test_tokens_stay_at_home(
    endpoint: FailoverEndpoint, token: Any, header: bool, payer: Any
) -> None:
    settings = settings_of(endpoint, own())
    found = settings.token_for(settings.base_url + "/chat/completions")
    shown = None if found is None else found.get_secret_value()
    assert shown == {True: "hf_own_token_1234", False: None, None: "k-1234567"}[token]
    assert ("X-Api-Key" in settings.default_headers) == header
    assert settings.bill_to == payer


def test_nothing_secret_is_shown() -> None:
    endpoint = FailoverEndpoint(
        "https://a.test", api_key="sekret-12345", headers={"X-Key": "sekret-2"}
    )
    failover = Failover([endpoint])
    client = RouterClient(api_key="hf_x", resilience=Resilience(failover=failover))
    texts = [repr(endpoint), repr(failover), str(client.resilience.policy), repr(client)]  # type: ignore[union-attr]
    assert "sekret" not in "".join(texts)
    assert b"sekret" not in pickle.dumps(client)


def test_a_pickled_endpoint_never_takes_another_token(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = RouterClient("a/b", base_url=server.url + "/v1", resilience=pool(server))
    monkeypatch.setenv("HF_TOKEN", "hf_ambient_token")
    twin = pickle.loads(pickle.dumps(client))
    with twin, pytest.raises(MissingTokenError, match="lost its api_key"):
        twin.chat.create("ping")
    assert server.requests == []


# --- sockets ----------------------------------------------------------------------------


@pytest.mark.evidence("failover", "sync", "async")
def test_a_dead_first_endpoint_costs_no_call(both: Both, second: FaultServer) -> None:
    both.server.on(PATH, reset())
    results, _ = both.chats(10, resilience=pool(both.server, second))
    assert [(one.text, one.endpoint) for one in results] == [("second", "e1")] * 10


def test_each_endpoint_gets_its_own_token(both: Both, second: FaultServer) -> None:
    both.server.on(PATH, failing(503))
    both.chats(3, resilience=pool(both.server, second), api_key="hf_client_token")
    assert {one.headers["authorization"] for one in both.server.requests} == {"Bearer key-0"}
    assert {one.headers["authorization"] for one in second.requests} == {"Bearer key-1"}


def test_tokens_of_all_endpoints_are_hidden_in_errors(both: Both, second: FaultServer) -> None:
    echo = json_reply({"error": {"message": "no key-0 and no key-1"}}, status=400)
    both.server.on(PATH, echo)
    (error,), _ = both.chats(resilience=pool(both.server, second))
    assert "key-0" not in str(error)


def test_401_is_final(both: Both, second: FaultServer) -> None:
    both.server.on(PATH, failing(401))
    (error,), _ = both.chats(resilience=pool(both.server, second))
    assert isinstance(error, AuthenticationError)
    assert second.requests == []


def test_round_robin_over_sockets(both: Both, second: FaultServer) -> None:
    both.chats(20, resilience=pool(both.server, second, selector=RoundRobin()))
    assert (len(both.server.requests), len(second.requests)) == (10, 10)


def test_model_and_provider_fallback(both: Both) -> None:
    def answer(request: Any) -> Any:
        good = request.json()["model"].endswith(":together")
        return json_reply(completion()) if good else failing(500)

    both.server.on(PATH, answer)
    (result,), _ = both.chats(
        resilience=Resilience(failover=Failover.providers("groq", "together"))
    )
    assert result.endpoint == "together"
    (result,), _ = both.chats(
        resilience=Resilience(failover=Failover.models("c/d:groq", "e/f:together"))
    )
    assert result.endpoint == "e/f:together"
    assert [one.json()["model"] for one in both.server.requests] == [
        "a/b:groq",
        "a/b:together",
        "c/d:groq",
        "e/f:together",
    ]


def test_an_unsupported_feature_moves_to_the_next_provider(both: Both) -> None:
    refusal = {"code": 400, "reason": "INVALID_REQUEST_BODY"}
    refusal["message"] = "model features function calling not support"
    both.server.script(PATH, json_reply(refusal, status=400), GOOD)
    policy = Resilience(failover=Failover.providers("novita", "together"))
    (result,), _ = both.chats(resilience=policy)
    assert result.endpoint == "together"


def test_a_stream_moves_on_before_its_first_event_only(both: Both, second: FaultServer) -> None:
    second.on(PATH, sse(event("ok"), event(reason="stop")))
    both.server.on(PATH, sse(end=Fin(), done=False))
    (result,), _ = both.streams(resilience=pool(both.server, second))
    assert (result.text, result.endpoint) == ("ok", "e1")
    both.server.on(PATH, sse(event("a"), delay=0.02, end=Fin(), done=False))
    (error,), _ = both.streams(resilience=pool(both.server, second))
    assert isinstance(error, StreamInterruptedError)
    assert error.partial is not None
    assert error.partial.text == "a"
    assert len(second.requests) == 1


def test_all_dead_is_retried_as_a_whole_and_ends_with_the_cause(
    both: Both, second: FaultServer
) -> None:
    both.server.on(PATH, failing(503))
    second.on(PATH, failing(502))
    policy = pool(both.server, second).failover
    retry = RetryPolicy(max_retries=2, initial_delay=0.001)
    (error,), _ = both.chats(resilience=Resilience(failover=policy, retry=retry))
    assert error.status_code == 502
    assert error.attempts == 3
    assert (len(both.server.requests), len(second.requests)) == (3, 3)


def test_an_open_breaker_sends_nothing_to_its_endpoint(both: Both, second: FaultServer) -> None:
    both.server.on(PATH, failing(503))
    policy = pool(both.server, second).failover
    breaker = BreakerPolicy(minimum_calls=2)
    results, client = both.chats(6, resilience=Resilience(failover=policy, breaker=breaker))
    assert {one.endpoint for one in results} == {"e1"}
    assert len(both.server.requests) == 2
    assert client.resilience.breakers["e0"].state == "open"


def test_callbacks_see_who_failed_and_who_follows(both: Both, second: FaultServer) -> None:
    recorder = Recorder()
    both.server.on(PATH, failing(503))
    both.chats(resilience=pool(both.server, second), callbacks=[recorder])
    (told,) = recorder.of(FailoverEvent)
    assert (told.endpoint, told.target) == ("e0", "e1")
    assert isinstance(told.error, ServiceUnavailableError)


def test_calls_to_the_hub_stay_where_they_are(both: Both, second: FaultServer) -> None:
    both.server.on("/api/whoami-v2", json_reply({"name": "ann", "type": "user"}))
    with RouterClient(
        api_key="hf_client_token", hub_url=both.server.url, resilience=pool(second)
    ) as client:
        assert client.whoami().name == "ann"
    assert second.requests == []


def test_embeddings_go_to_servers_of_the_same_model(both: Both, second: FaultServer) -> None:
    vectors = json_reply([[1.0, 0.0]])
    both.server.on("*", failing(503))
    second.on("*", vectors)
    endpoints = [
        FailoverEndpoint(both.server.url + "/embed", name="a"),
        FailoverEndpoint(model="another/model"),
        FailoverEndpoint(second.url + "/embed", name="b"),
    ]
    with RouterClient(
        base_url=both.server.url + "/embed",
        resilience=Resilience(failover=Failover(endpoints)),
    ) as client:
        result = client.embeddings.create(["x"], model="same/model")
    assert result.endpoint == "b"
    assert result.vectors.tolist() == [[1.0, 0.0]]
    assert len(both.server.requests) == 1


# --- races ------------------------------------------------------------------------------


@pytest.mark.evidence("failover", "threads")
def test_threads_share_the_round_robin(server: FaultServer, second: FaultServer) -> None:
    policy = pool(server, second, selector=RoundRobin())
    with RouterClient("a/b", base_url=server.url + "/v1", resilience=policy) as client:

        def work() -> None:
            for _ in range(10):
                client.chat.create("ping")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(server.requests), len(second.requests)) == (20, 20)


@pytest.mark.evidence("failover", "tasks")
@pytest.mark.anyio
async def test_tasks_fail_over_and_cancelled_ones_stop(
    server: FaultServer, second: FaultServer
) -> None:
    server.on(PATH, reset())
    policy = pool(server, second)
    async with AsyncRouterClient("a/b", base_url=server.url + "/v1", resilience=policy) as client:
        tasks = [asyncio.create_task(client.chat.create("ping")) for _ in range(20)]
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert {one.endpoint for one in results[1:]} == {"e1"}  # type: ignore[union-attr]
