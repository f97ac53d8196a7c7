"""Metrics count what happened, whatever happened."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared_core import AsyncRouterClient, RateLimitError, RouterClient, StreamError
from shared_core.callbacks import (
    BudgetEvent,
    CacheEvent,
    Callback,
    CallEndEvent,
    CallStartEvent,
    ChunkEvent,
    CircuitEvent,
    FailoverEvent,
    RateLimitEvent,
    RequestEvent,
    RetryEvent,
)
from shared_core.chat.types import ChatChunk, Usage
from shared_core.errors import APIError, AuthenticationError
from shared_core.resilience.prices import Price, Prices
from shared_core.resilience.retry import RetryPolicy
from shared_core.telemetry import metrics as module
from shared_core.telemetry.metrics import Metrics, Series, model_label
from shared_core.telemetry.prometheus import exposition
from tests.helpers.fault_server import FaultServer, Hang, json_reply, sse
from tests.shared_core.telemetry.replies import CHAT, answer, options, streamed

pytestmark = pytest.mark.anyio
PRICES = Prices({"org/m": {"groq": (1.0, 2.0), "together": (3.0, 4.0)}})


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def start(metrics: Metrics, call: str) -> None:
    metrics.on_call_start(CallStartEvent(call_id=call, operation="chat", model="org/m"))


def end(metrics: Metrics, call: str, outcome: Any = "ok", **facts: Any) -> None:
    facts = {"model": "org/m", "provider": "groq", **facts}
    metrics.on_call_end(CallEndEvent(call_id=call, operation="chat", outcome=outcome, **facts))


@pytest.mark.evidence("metrics", "model")
def test_times_and_tokens_of_a_stream_on_a_fake_clock() -> None:
    clock = Clock()
    metrics = Metrics(PRICES, clock=clock)
    start(metrics, "1")
    assert metrics.snapshot().in_flight == 1
    metrics.on_request(RequestEvent(call_id="1", operation="chat"))
    clock.now += 0.5
    chunk = ChunkEvent(call_id="1", operation="chat", chunk=ChatChunk("a"))
    metrics.on_chunk(chunk)
    clock.now += 2.0
    metrics.on_chunk(chunk)
    end(metrics, "1", elapsed=2.5, attempts=1, usage=Usage(1000, 100, 1100))
    snapshot = metrics.snapshot()
    (series,) = snapshot.series
    assert snapshot.in_flight == 0
    assert series.time_to_first_chunk.maximum == 0.5
    assert series.tokens_per_second.maximum == 50.0
    assert series.latency.maximum == 2.5
    assert series.cost == pytest.approx((1000 * 1.0 + 100 * 2.0) / 1e6)
    assert snapshot.age == 2.5
    assert snapshot.calls_per_second == pytest.approx(0.4)


def test_the_recent_rate_forgets_after_a_minute() -> None:
    clock = Clock()
    metrics = Metrics(clock=clock)
    for number in range(120):
        start(metrics, str(number))
        end(metrics, str(number))
        clock.now += 1.0
    assert metrics.snapshot().recent_per_second == pytest.approx(1.0, abs=0.05)
    clock.now += 300
    assert metrics.snapshot().recent_per_second == 0
    assert metrics.snapshot().total.calls == 120


def test_errors_are_rated_by_class_and_the_abandoned_are_neutral() -> None:
    metrics = Metrics()
    for outcome, error in [
        ("ok", None),
        ("ok", None),
        ("error", RateLimitError("slow")),
        ("error", AuthenticationError("who")),
        ("abandoned", None),
    ]:
        end(metrics, "x", outcome, error=error, elapsed=1.0)
    total = metrics.snapshot().total
    assert total.error_rate == 0.5
    assert total.error_rates() == {"RateLimitError": 0.25, "AuthenticationError": 0.25}
    assert total.calls == 5
    assert total.latency.count == 4


def test_cached_answers_cost_nothing_and_unknown_prices_are_counted() -> None:
    metrics = Metrics(PRICES)
    end(metrics, "1", cached=True, usage=Usage(10, 10, 20))
    end(metrics, "2", model="org/unknown", usage=Usage(10, 10, 20))
    total = metrics.snapshot().total
    assert (total.cost, total.unpriced, total.cached) == (0.0, 1, 1)
    assert total.input_tokens == 10


def test_guards_are_counted() -> None:
    metrics = Metrics()
    base: dict[str, Any] = {"call_id": "", "operation": "chat"}
    metrics.on_retry(RetryEvent(**base, attempt=1, delay=0.1, error=RateLimitError("slow")))
    metrics.on_failover(FailoverEvent(**base, endpoint="a", target="b", error=APIError("x")))
    metrics.on_circuit(CircuitEvent(**base, endpoint="a", state="open"))
    metrics.on_rate_limit(RateLimitEvent(**base, endpoint="a", delay=0.5))
    metrics.on_rate_limit(RateLimitEvent(**base, endpoint="a", delay=9.0, refused=True))
    metrics.on_cache(CacheEvent(**base, outcome="hit"))
    metrics.on_budget(BudgetEvent(**base, limit=1.0))
    snapshot = metrics.snapshot()
    assert snapshot.retries == {"RateLimitError": 1}
    assert snapshot.failovers == {"APIError": 1}
    assert snapshot.circuits == {"a": "open"}
    assert (snapshot.rate_limit_wait.total, snapshot.rate_limit_refused) == (0.5, 1)
    assert (snapshot.cache, snapshot.budget_refused) == ({"hit": 1}, 1)
    metrics.reset()
    assert metrics.snapshot().retries == {}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN_CALLS", 10)
    metrics = Metrics()
    for number in range(500):
        start(metrics, f"dropped {number}")
        end(metrics, "x", model=f"org/m{number}")
    snapshot = metrics.snapshot()
    assert snapshot.in_flight <= 10
    assert len(snapshot.series) == module.MAX_SERIES + 1
    assert {s.model: s.calls for s in snapshot.series}["other"] == 500 - module.MAX_SERIES


@pytest.mark.parametrize(
    ("model", "provider", "label"),
    [
        ("org/m:groq", "groq", "org/m"),
        ("org/m:fastest", "together", "org/m"),
        ("llama3:8b", None, "llama3:8b"),
        ("org/m", "groq", "org/m"),
        (None, None, ""),
    ],
)
def test_labels_have_no_routing(model: str | None, provider: str | None, label: str) -> None:
    assert model_label(model, provider) == label


def test_copies_of_a_client_count_together_and_a_pickle_starts_anew() -> None:
    metrics = Metrics(PRICES)
    end(metrics, "1")
    assert copy.deepcopy(metrics) is metrics
    twin = pickle.loads(pickle.dumps(metrics))
    assert twin.snapshot().total.calls == 0
    assert len(twin.prices) == 1


@pytest.mark.evidence("metrics", "sync")
def test_blocking_calls_over_sockets(server: FaultServer) -> None:
    metrics = Metrics(PRICES)
    server.script(CHAT, answer(), streamed("a", "b"), json_reply({"error": "no"}, 401))
    with RouterClient(**options(server, callbacks=[metrics])) as client:
        client.chat.create("Hello")
        client.chat.stream("Hello").result()
        with pytest.raises(AuthenticationError):
            client.chat.create("Hello")
    total = metrics.snapshot().total
    assert total.outcomes == {"ok": 2, "error": 1}
    assert total.errors == {"AuthenticationError": 1}
    assert total.attempts == 3
    assert (total.input_tokens, total.output_tokens) == (2000, 1000)
    assert total.cost == pytest.approx(2 * (1000 + 2 * 500) / 1e6)
    assert total.time_to_first_chunk.count == 1
    assert metrics.snapshot().in_flight == 0


@pytest.mark.evidence("metrics", "async")
async def test_asynchronous_calls_over_sockets(server: FaultServer) -> None:
    metrics = Metrics(PRICES)
    server.script(CHAT, answer(), streamed("a", "b"), json_reply({"error": "no"}, 401))
    async with AsyncRouterClient(**options(server, callbacks=[metrics])) as client:
        await client.chat.create("Hello")
        await (await client.chat.stream("Hello")).result()
        with pytest.raises(AuthenticationError):
            await client.chat.create("Hello")
    total = metrics.snapshot().total
    assert total.outcomes == {"ok": 2, "error": 1}
    assert total.time_to_first_chunk.count == 1
    assert total.provider == ""
    assert {s.provider for s in metrics.snapshot().series} >= {"groq"}


def test_a_cut_stream_is_an_error_and_a_closed_one_is_abandoned(server: FaultServer) -> None:
    metrics = Metrics()
    piece = {"choices": [{"delta": {"content": "a"}}]}
    held = sse(piece, piece, done=False, end=Hang())
    server.script(CHAT, sse(piece, done=False), held, streamed("a", "b"))
    with RouterClient(**options(server, callbacks=[metrics])) as client:
        with pytest.raises(StreamError):
            client.chat.stream("Hello").result()
        with client.chat.stream("Hello") as stream:
            next(stream)
        with client.chat.stream("Hello") as stream:
            next(stream)  # whether the rest is here already is up to the network
    outcomes = metrics.snapshot().total.outcomes
    assert outcomes["error"] == 1
    assert outcomes["abandoned"] + outcomes.get("ok", 0) == 2
    assert metrics.snapshot().in_flight == 0


async def test_a_cancelled_call_is_abandoned(server: FaultServer) -> None:
    begun = asyncio.Event()

    class Beginning(Callback):
        def on_request(self, event: RequestEvent) -> None:
            begun.set()

    metrics = Metrics()
    server.on(CHAT, answer(delay=5.0))
    async with AsyncRouterClient(**options(server, callbacks=[metrics, Beginning()])) as client:
        task = asyncio.ensure_future(client.chat.create("Hello"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert metrics.snapshot().total.outcomes == {"abandoned": 1}
    assert metrics.snapshot().in_flight == 0


def test_a_retry_is_one_call_with_two_attempts(server: FaultServer) -> None:
    metrics = Metrics()
    server.script(CHAT, json_reply({"error": "busy"}, 503), answer())
    policy = RetryPolicy(max_retries=1, initial_delay=0.001)
    with RouterClient(**options(server, callbacks=[metrics], retry=policy)) as client:
        client.chat.create("Hello")
    total = metrics.snapshot().total
    assert (total.calls, total.attempts) == (1, 2)
    assert sum(metrics.snapshot().retries.values()) == 1


@pytest.mark.evidence("metrics", "threads")
def test_threads_lose_no_count() -> None:
    metrics = Metrics(PRICES)

    def work(number: int) -> None:
        for turn in range(200):
            call = f"{number}-{turn}"
            start(metrics, call)
            end(metrics, call, elapsed=0.1, usage=Usage(1, 1, 2))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshot = metrics.snapshot()
    assert snapshot.in_flight == 0
    assert snapshot.total.calls == snapshot.total.input_tokens == 1600
    assert snapshot.total.latency.count == 1600


@pytest.mark.evidence("metrics", "tasks")
async def test_tasks_lose_no_count(server: FaultServer) -> None:
    metrics = Metrics()
    server.on(CHAT, answer())
    async with AsyncRouterClient(**options(server, callbacks=[metrics])) as client:
        await asyncio.gather(*(client.chat.create("Hello") for _ in range(30)))
    assert metrics.snapshot().total.outcomes == {"ok": 30}


class Ledger(RuleBasedStateMachine):
    """Calls that begin, run and end in any order against plain counts."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = Metrics()
        self.open: list[str] = []
        self.ended: list[str] = []
        self.number = 0

    @rule()
    def begin(self) -> None:
        self.number += 1
        self.open.append(str(self.number))
        start(self.metrics, self.open[-1])

    @rule(data=st.data(), outcome=st.sampled_from(["ok", "error", "abandoned"]))
    def finish(self, data: st.DataObject, outcome: str) -> None:
        if self.open:
            call = data.draw(st.sampled_from(self.open))
            self.open.remove(call)
            self.ended.append(outcome)
            error = RateLimitError("slow") if outcome == "error" else None
            end(self.metrics, call, outcome, error=error)

    @invariant()
    def agrees(self) -> None:
        snapshot = self.metrics.snapshot()
        assert snapshot.in_flight == len(self.open)
        for outcome in ("ok", "error", "abandoned"):
            assert snapshot.total.outcomes.get(outcome, 0) == self.ended.count(outcome)
        assert snapshot.total.errors.get("RateLimitError", 0) == self.ended.count("error")


TestLedger = pytest.mark.evidence("metrics", "property")(Ledger.TestCase)


@pytest.mark.evidence("prometheus", "model")
def test_prometheus_text_has_our_names_and_no_content() -> None:
    metrics = Metrics(PRICES)
    base: dict[str, Any] = {"call_id": "id-1", "operation": "chat", "url": "https://h/secret"}
    start(metrics, "1")
    end(metrics, "1", elapsed=0.03, usage=Usage(7, 5, 12))
    end(metrics, "2", "error", error=RateLimitError("slow"), model='odd"\\\nname', provider=None)
    metrics.on_retry(RetryEvent(**base, attempt=1, delay=0.1, error=RateLimitError("slow")))
    metrics.on_circuit(CircuitEvent(**base, endpoint="https://h", state="half-open"))
    metrics.on_cache(CacheEvent(**base, outcome="hit"))
    metrics.on_rate_limit(RateLimitEvent(**base, delay=0.5))
    text = exposition(metrics.snapshot())
    lines = text.splitlines()
    for line in (
        'hf_router_requests_total{model="org/m",operation="chat",outcome="ok"} 1',
        'hf_router_requests_total{model="odd\\"\\\\\\nname",operation="chat",outcome="error"} 1',
        'hf_router_retries_total{reason="RateLimitError"} 1',
        'hf_router_circuit_state{endpoint="https://h"} 1',
        'hf_router_cache_events_total{event="hit"} 1',
        'hf_router_tokens_total{direction="input"} 7',
        'hf_router_tokens_total{direction="output"} 5',
        'hf_router_request_duration_seconds_bucket{le="0.04"} 2',
        'hf_router_request_duration_seconds_bucket{le="0.02"} 1',
        'hf_router_request_duration_seconds_bucket{le="+Inf"} 2',
        "hf_router_rate_limit_wait_seconds_sum 0.5",
        "hf_router_in_flight_requests 0",
        "# TYPE hf_router_rate_limit_wait_seconds histogram",
    ):
        assert line in lines, line
    assert text.endswith("\n")
    assert "id-1" not in text
    assert "secret" not in text


def test_prometheus_client_reads_the_text() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    metrics = Metrics(PRICES)
    end(metrics, "1", elapsed=0.03, usage=Usage(7, 5, 12), model='odd"\\\nname')
    families = {
        f.name: f for f in parser.text_string_to_metric_families(exposition(metrics.snapshot()))
    }
    assert families["hf_router_requests"].samples[0].labels["model"] == 'odd"\\\nname'
    assert families["hf_router_request_duration_seconds"].type == "histogram"


@pytest.mark.evidence("prometheus", "property")
@given(
    st.lists(
        st.tuples(
            st.text(max_size=8),
            st.sampled_from(["ok", "error", "abandoned"]),
            st.floats(0, 200),
            st.integers(0, 10**6),
        ),
        max_size=12,
    )
)
def test_whatever_was_counted_can_be_read_back(calls: list[tuple[str, Any, float, int]]) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    metrics = Metrics(Prices({}, default=Price(1.0, 2.0)))
    for model, outcome, elapsed, tokens in calls:
        usage = Usage(tokens, tokens, 2 * tokens)
        end(metrics, "1", outcome, model=model, elapsed=elapsed, usage=usage)
    snapshot = metrics.snapshot()
    families = {one.name: one for one in text_string_to_metric_families(exposition(snapshot))}
    requests = families["hf_router_requests"].samples if calls else []
    read = {(one.labels["model"], one.labels["outcome"]): one.value for one in requests}
    labels = [(model_label(model, "groq"), outcome) for model, outcome, _, _ in calls]
    assert read == {label: labels.count(label) for label in labels}
    held = families["hf_router_request_duration_seconds"].samples
    counts = [one.value for one in held if one.name.endswith("_bucket")]
    assert counts == sorted(counts)
    assert counts[-1] == sum(outcome != "abandoned" for _, outcome, _, _ in calls)
    spent = sum(one.value for one in getattr(families.get("hf_router_cost_usd"), "samples", []))
    assert spent == pytest.approx(sum(3 * tokens / 1e6 for _, _, _, tokens in calls))


@pytest.mark.evidence("prometheus", "sync", "async")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_page_tells_of_calls_over_sockets(server: FaultServer, kind: str) -> None:
    metrics = Metrics(PRICES)
    server.script(CHAT, answer(), json_reply({"error": "busy"}, 503), json_reply({}, 401))
    policy = RetryPolicy(max_retries=1, initial_delay=0.001)
    made = options(server, callbacks=[metrics], retry=policy)

    async def ask() -> None:
        async with AsyncRouterClient(**made) as client:
            await client.chat.create("Hello")
            with pytest.raises(AuthenticationError):
                await client.chat.create("Hello")

    if kind == "async":
        asyncio.run(ask())
    else:
        with RouterClient(**made) as client:
            client.chat.create("Hello")
            with pytest.raises(AuthenticationError):
                client.chat.create("Hello")
    lines = exposition(metrics.snapshot()).splitlines()
    for line in (
        'hf_router_requests_total{model="org/m",operation="chat",outcome="ok"} 1',
        'hf_router_errors_total{type="AuthenticationError"} 1',
        'hf_router_retries_total{reason="ServiceUnavailableError"} 1',
        'hf_router_tokens_total{direction="output"} 500',
        'hf_router_cost_usd_total{model="org/m",provider="groq"} 0.002',
        "hf_router_request_duration_seconds_count 2",
    ):
        assert line in lines, line


class SlowEnd:
    """An event that lets other threads in while it is being counted."""

    def __init__(self, event: CallEndEvent) -> None:
        self.event = event

    def __getattr__(self, name: str) -> Any:
        if name == "elapsed":
            time.sleep(0)
        return getattr(self.event, name)


def totals(text: str) -> tuple[int, int]:
    """Return what a page says of calls and of their durations."""
    calls = sum(
        int(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("hf_router_requests_total")
    )
    (held,) = [line for line in text.splitlines() if "request_duration_seconds_count" in line]
    return calls, int(held.rpartition(" ")[2])


@pytest.mark.evidence("prometheus", "threads")
def test_a_page_that_is_asked_for_while_threads_count_is_never_torn(eager_threads: None) -> None:
    metrics, stop = Metrics(), threading.Event()
    counted: list[int] = []
    pages: list[tuple[int, int]] = []
    torn: list[Series] = []

    def work(number: int) -> None:
        turn = 0
        while not stop.is_set():
            model = f"org/{number}-{turn % 5}"
            facts = CallEndEvent(call_id="x", operation="chat", model=model, outcome="ok")
            metrics.on_call_end(SlowEnd(facts))  # type: ignore[arg-type]
            turn += 1
        counted.append(turn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(12):
        for _ in range(60):
            seen = metrics.snapshot().series
            torn += [one for one in seen if one.calls != one.latency.count]
        pages.append(totals(exposition(metrics.snapshot())))
    stop.set()
    for thread in threads:
        thread.join()
    assert torn == []
    assert all(calls == durations for calls, durations in pages)
    assert pages == sorted(pages)
    assert totals(exposition(metrics.snapshot())) == (sum(counted), sum(counted))


@pytest.mark.evidence("prometheus", "tasks")
async def test_a_page_that_is_asked_for_while_tasks_call_is_never_torn(server: FaultServer) -> None:
    metrics = Metrics()
    server.on(CHAT, answer(delay=0.01))
    pages: list[tuple[int, int]] = []
    async with AsyncRouterClient(**options(server, callbacks=[metrics])) as client:

        async def call(number: int) -> None:
            await client.chat.create("Hello", model=f"org/{number % 3}")
            pages.append(totals(exposition(metrics.snapshot())))

        await asyncio.gather(*[call(number) for number in range(20)])
    assert all(calls == durations for calls, durations in pages)
    assert pages == sorted(pages)
    assert pages[-1] == (20, 20)


def test_prices_are_the_dearest_where_the_provider_is_open() -> None:
    assert PRICES.get("org/m", "groq") == Price(1.0, 2.0)
    assert PRICES.get("org/m:together") == Price(3.0, 4.0)
    assert PRICES.get("org/m") == PRICES.get("org/m:fastest") == Price(3.0, 4.0)
    assert PRICES.get("org/other") is PRICES.get(None) is None
    assert Prices({}, default=Price(1, 1)).get("org/other") == Price(1, 1)
