"""The budget: never above the limit, reserves before, charges after, reports."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared_core import (
    AsyncRouterClient,
    Failover,
    OpenTelemetry,
    RateLimit,
    RateLimitError,
    RouterClient,
)
from shared_core.callbacks import BudgetEvent, Callback
from shared_core.chat.types import ChatCompletion, Usage
from shared_core.core import CallContext
from shared_core.errors import (
    APIConnectionError,
    BudgetExceededError,
    InvalidSettingError,
    RouterError,
)
from shared_core.flow import Flow, Sleep
from shared_core.hub.types import ProviderInfo, RouterModel
from shared_core.resilience.budget import Budget, SpendLimit
from shared_core.resilience.cache import Cache
from shared_core.resilience.pipeline import CallInfo, Resilience, Tools
from shared_core.resilience.prices import Price, Prices
from shared_core.telemetry.metrics import Metrics
from shared_core.wire.messages import WireRequest
from tests.helpers.fault_server import FaultServer, drop, json_reply
from tests.shared_core.resilience.helpers import Clock
from tests.shared_core.telemetry.replies import CHAT, USAGE, answer, options, streamed

pytestmark = pytest.mark.anyio
# One dollar per million input tokens and two per million output tokens.
PRICES = Prices({"org/m": {"groq": (1.0, 2.0)}, "org/free": (0, 0)})
COST = (USAGE["prompt_tokens"] + 2 * USAGE["completion_tokens"]) / 1e6


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(CHAT, answer())
        yield running


def guarded(server: FaultServer, budget: Budget, **more: Any) -> dict[str, Any]:
    return options(server, resilience=Resilience(budget=budget, **more.pop("policies", {})), **more)


def request(model: str = "org/m", **body: Any) -> WireRequest:
    return WireRequest(
        url="https://h", json={"model": model, **body}, operation="chat", model=model
    )


def drive(budget: Budget, call: WireRequest, end: Any, *listeners: Callback) -> Any:
    """Run the layer around something that ends as *end* says."""

    def then(info: CallInfo) -> Flow[Any]:
        info.trace.attempts += 1
        if isinstance(end, BaseException):
            raise end
        return end
        yield

    flow = budget.layer(Tools())(CallInfo(call, CallContext.of(call), listeners), then)
    try:
        next(flow)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it suspended")


def completion(put_in: int, put_out: int) -> ChatCompletion:
    return ChatCompletion(usage=Usage(put_in, put_out, put_in + put_out), provider="groq")


@pytest.mark.evidence("budget", "model")
def test_a_call_that_could_pass_the_limit_is_refused_before_it_is_sent() -> None:
    budget = Budget(0.01, prices=PRICES)
    drive(budget, request(max_tokens=4000), completion(1000, 4000))
    with pytest.raises(BudgetExceededError, match=r"\$0\.009000 of \$0\.01") as caught:
        drive(budget, request(max_tokens=4000), AssertionError("sent"))
    assert caught.value.limit == 0.01
    assert caught.value.spent == pytest.approx(0.009)
    assert caught.value.estimate == pytest.approx(0.008, abs=0.0001)
    assert caught.value.retry_after is None
    drive(budget, request(max_tokens=100), completion(10, 10))
    report = budget.report()
    assert (report.refused, report.reserved) == (1, 0.0)
    (row,) = report.rows
    assert (row.calls, row.input_tokens, row.output_tokens) == (2, 1010, 4010)
    assert report.cost == row.cost == pytest.approx((1010 + 2 * 4010) / 1e6)
    assert "org/m" in str(report)


def test_a_window_frees_what_it_forgets() -> None:
    clock = Clock()
    limit = SpendLimit(0.01, window=100)
    budget = Budget(limit, prices=PRICES, clock=clock)
    drive(budget, request(max_tokens=10), completion(0, 4500))
    with pytest.raises(BudgetExceededError, match="free again in") as caught:
        drive(budget, request(max_tokens=4000), completion(0, 1))
    wait = caught.value.retry_after
    assert wait is not None
    assert 100 <= wait <= 102
    clock.now += 99
    with pytest.raises(BudgetExceededError):
        drive(budget, request(max_tokens=4000), completion(0, 1))
    clock.now += 4
    drive(budget, request(max_tokens=4000), completion(0, 1))
    assert budget.report().limits[0] == (limit, pytest.approx(2e-6))


def test_all_limits_must_hold() -> None:
    clock = Clock()
    budget = Budget(SpendLimit(0.01, window=10), SpendLimit(0.02), prices=PRICES, clock=clock)
    for _ in range(2):
        drive(budget, request(max_tokens=1), completion(0, 4500))
        clock.now += 20
    with pytest.raises(BudgetExceededError, match=r"of \$0\.02 are"):
        drive(budget, request(max_tokens=1500), completion(0, 1))


@pytest.mark.parametrize(
    ("error", "charged"),
    [
        (RateLimitError("slow"), False),
        (APIConnectionError("lost"), True),
        (KeyboardInterrupt(), True),
        (BudgetExceededError("no"), False),
    ],
)
def test_what_may_have_been_billed_is_charged(error: BaseException, charged: bool) -> None:
    budget = Budget(1.0, prices=PRICES)
    with pytest.raises(type(error)):
        drive(budget, request(max_tokens=1000), error)
    report = budget.report()
    assert report.reserved == 0
    assert (report.cost > 0.0019) is charged
    assert sum(row.estimated for row in report.rows) == charged


def test_a_call_that_is_cancelled_before_it_was_sent_is_free() -> None:
    budget = Budget(1.0, prices=PRICES)

    def waiting(info: CallInfo) -> Flow[Any]:
        yield Sleep(5)  # e.g. for a permit of the rate limiter

    call = request(max_tokens=1000)
    flow = budget.layer(Tools())(CallInfo(call, CallContext.of(call)), waiting)
    next(flow)
    assert budget.report().reserved > 0
    flow.close()
    assert (budget.report().reserved, budget.report().cost, budget.report().rows) == (0, 0, ())


def test_servers_cannot_make_the_report_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared_core.resilience.budget.MAX_ROWS", 5)
    budget = Budget(1.0, prices=PRICES)
    for number in range(20):
        made = ChatCompletion(usage=Usage(1, 1, 2), provider=f"made up {number}")
        drive(budget, request(max_tokens=1), made)
    report = budget.report()
    assert len(report.rows) == 6
    assert {row.provider: row.calls for row in report.rows}["other"] == 15
    assert sum(row.calls for row in report.rows) == 20


def test_an_answer_without_counts_costs_its_estimate() -> None:
    budget = Budget(1.0, prices=PRICES)
    drive(budget, request(max_tokens=1000), ChatCompletion())
    assert budget.report().cost == pytest.approx(0.002, abs=0.0001)
    assert budget.report().rows[0].estimated == 1


def test_estimates_are_careful() -> None:
    budget = Budget(prices=PRICES, answer_tokens=100)

    def tokens(**body: Any) -> float:
        return (budget.estimate(request(**body)) or 0) * 1e6

    assert tokens(max_tokens=10) < 10 * 2 + 10
    assert tokens(max_tokens=10, n=3) - tokens(max_tokens=10) == pytest.approx(40, abs=3)
    assert tokens() >= 200
    text = {"messages": [{"role": "user", "content": "word " * 1000}]}
    assert tokens(**text) > 1250 + 200
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}}
    assert 1500 < tokens(messages=[{"role": "user", "content": [image]}]) < 2000
    assert budget.estimate(request("org/unknown")) is None
    for operation in ("embeddings", "sparse_embeddings", "token_embeddings"):
        embedding = WireRequest(
            url="https://h", json={"inputs": ["a" * 300]}, operation=operation, model="org/m"
        )
        assert (budget.estimate(embedding) or 0) * 1e6 == pytest.approx(100, abs=10)


@pytest.mark.parametrize("odd", [-1, 0, "many", None, True, float("inf"), float("nan"), [5]])
def test_an_odd_limit_is_no_way_around_the_guard(odd: Any) -> None:
    budget = Budget(prices=PRICES, answer_tokens=100)
    plain = budget.estimate(request(max_tokens=100)) or 0
    for body in ({"max_tokens": odd}, {"max_tokens": 100, "n": odd}):
        assert budget.estimate(request(**body)) == pytest.approx(plain, abs=1e-5)


def test_unknown_prices_are_refused_unless_allowed() -> None:
    metrics = Metrics()
    with pytest.raises(BudgetExceededError, match="not in the price list"):
        drive(Budget(1.0, prices=PRICES), request("org/x"), completion(1, 1), metrics)
    assert metrics.snapshot().budget_refused == 1
    budget = Budget(1.0, prices=PRICES, unknown="allow")
    drive(budget, request("org/x"), completion(5, 6))
    assert budget.report().rows[0].output_tokens == 6
    free = Budget(0.0, prices=PRICES)
    drive(free, request("org/free"), completion(5, 6))


def test_prices_come_from_the_routers_list() -> None:
    models = [
        RouterModel(
            "org/a",
            providers=(
                ProviderInfo("groq", input_price=0.1, output_price=0.5),
                ProviderInfo("gratis", is_free=True),
                ProviderInfo("secretive"),
            ),
        ),
        RouterModel("org/b"),
    ]
    prices = Prices.of_models(models)
    assert prices.get("org/a:groq") == Price(0.1, 0.5)
    assert prices.get("org/a", "gratis") == Price()
    assert prices.get("org/a") == Price(0.1, 0.5)
    assert prices.get("org/b") is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Budget(-1, prices=PRICES),
        lambda: Budget(1, prices={}),  # type: ignore[arg-type]
        lambda: Budget(1, prices=PRICES, unknown="maybe"),  # type: ignore[arg-type]
        lambda: SpendLimit(1, window=0),
        lambda: Prices({"org/m": "cheap"}),
        lambda: Price(-1, 0),
        lambda: Price(float("nan"), 0),
        lambda: Price("1", 0),  # type: ignore[arg-type]
    ],
)
def test_wrong_values_are_named(make: Any) -> None:
    with pytest.raises(InvalidSettingError):
        make()


@pytest.mark.evidence("budget", "sync")
def test_blocking_over_sockets(server: FaultServer) -> None:
    heard: list[BudgetEvent] = []

    class Listener(Callback):
        def on_budget(self, event: BudgetEvent) -> None:
            heard.append(event)

    budget, metrics = Budget(2.5 * COST, prices=PRICES), Metrics(PRICES)
    with RouterClient(**guarded(server, budget, callbacks=[Listener(), metrics])) as client:
        client.chat.create("Hello", max_tokens=10)
        client.chat.stream("Hello", max_tokens=10).result()
        server.on(CHAT, streamed("a", "b"))
        with pytest.raises(BudgetExceededError):
            client.chat.create("Hello", max_tokens=600)
    assert len(server.requests) == 2
    assert budget.report().cost == pytest.approx(2 * COST)
    assert budget.report().rows[0].provider == "groq"
    assert [event.limit for event in heard] == [2.5 * COST]
    assert metrics.snapshot().total.cost == pytest.approx(budget.report().cost)
    assert metrics.snapshot().budget_refused == 1


@pytest.mark.evidence("budget", "async", "tasks")
async def test_asynchronous_over_sockets_never_above_the_limit(server: FaultServer) -> None:
    budget = Budget(5.5 * COST, prices=PRICES)
    server.on(CHAT, answer(delay=0.02))
    async with AsyncRouterClient(**guarded(server, budget)) as client:
        # Each call may cost what it does cost: at most five at once fit, and five in all.
        calls = [client.chat.create("a" * 3000, max_tokens=450) for _ in range(30)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
    refused = [end for end in ends if isinstance(end, BudgetExceededError)]
    assert len(server.requests) == 30 - len(refused) == 5
    assert budget.report().cost <= 5.5 * COST
    assert budget.report().reserved == 0


@pytest.mark.parametrize("count", [10**400, 1e308, 10**15])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_counts_that_cannot_be_true_break_no_call_and_no_guard(
    server: FaultServer, kind: str, count: Any
) -> None:
    slip = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), count)
    choice = {"index": 0, "message": {"content": "fine"}, "finish_reason": "stop"}
    server.on(CHAT, json_reply({"id": "x", "choices": [choice], "usage": slip}))
    budget, metrics = Budget(1.0, prices=PRICES), Metrics(PRICES)
    policies = {"rate_limit": RateLimit(tokens_per_minute=10_000)}
    made = guarded(server, budget, policies=policies, callbacks=[metrics, OpenTelemetry()])

    async def ask() -> tuple[str, Any]:
        async with AsyncRouterClient(**made) as client:
            return (await client.chat.create("Hello", max_tokens=5)).text, client.resilience

    if kind == "async":
        text, pipeline = asyncio.run(ask())
    else:
        with RouterClient(**made) as client:
            text, pipeline = client.chat.create("Hello", max_tokens=5).text, client.resilience
    assert text == "fine"
    report = budget.report()
    assert 0 < report.cost < 0.001
    assert (report.reserved, report.rows[0].estimated) == (0, 1)
    assert pipeline.limiters[server.url].wait(tokens=5000) == 0
    total = metrics.snapshot().total
    assert (total.calls, total.input_tokens, total.cost) == (1, 0, 0)


def test_streams_are_charged_at_their_end_and_dropped_ones_too(server: FaultServer) -> None:
    budget = Budget(1.0, prices=PRICES)
    server.on(CHAT, streamed("a", "b"))
    with RouterClient(**guarded(server, budget)) as client:
        stream = client.chat.stream("Hello", max_tokens=100)
        next(stream)
        assert budget.report().reserved > 0
        stream.result()
        assert budget.report().cost == pytest.approx(COST)
        stream = client.chat.stream("Hello", max_tokens=100)
        next(stream)
        del stream
        gc.collect()
        assert budget.report().reserved == 0
        assert budget.report().rows[0].calls + budget.report().rows[-1].calls >= 2


def test_a_failed_call_is_free_and_a_hit_costs_nothing(server: FaultServer) -> None:
    budget = Budget(1.0, prices=PRICES)
    server.script(CHAT, json_reply({"error": "slow"}, 429), answer())
    policies = {"cache": Cache()}
    with RouterClient(**guarded(server, budget, policies=policies)) as client:
        with pytest.raises(RateLimitError):
            client.chat.create("Hello", temperature=0)
        for _ in range(3):
            client.chat.create("Hello", temperature=0)
    assert budget.report().cost == pytest.approx(COST)


@pytest.mark.evidence("budget", "threads")
def test_threads_cannot_pass_the_limit_together() -> None:
    budget = Budget(100 * 2e-5, prices=PRICES)
    refusals: list[RouterError] = []
    sent: list[int] = []

    def work() -> None:
        for _ in range(40):
            try:
                drive(budget, request(max_tokens=9), completion(0, 10))
                sent.append(1)
            except BudgetExceededError as error:
                refusals.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) + len(refusals) == 320
    assert budget.report().reserved == 0
    assert budget.report().rows[0].calls == len(sent)
    assert 85 <= len(sent) <= 100


def test_copies_share_the_purse_and_a_pickle_has_its_own() -> None:
    budget = Budget(SpendLimit(1.0, 60), prices=PRICES, unknown="allow")
    drive(budget, request(), completion(1, 1))
    assert copy.deepcopy(budget) is budget
    twin = pickle.loads(pickle.dumps(budget))
    assert (twin.limits, twin.unknown, twin.report().rows) == (budget.limits, "allow", ())
    assert repr(budget) == "Budget($1 per 60 s, unknown='allow', answer_tokens=4096)"


class Purse(RuleBasedStateMachine):
    """Calls that overlap and end in any way never pass the limit when estimates are true."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.budget = Budget(SpendLimit(0.001, window=50), prices=PRICES, clock=self.clock)
        self.open: list[tuple[Any, float]] = []

    @rule(tokens=st.integers(1, 400))
    def begin(self, tokens: int) -> None:
        call = request(max_tokens=tokens)
        estimate = self.budget.estimate(call) or 0.0

        def then(info: CallInfo) -> Flow[Any]:
            info.trace.attempts += 1
            share = yield None  # type: ignore[misc]
            if share is None:
                raise APIConnectionError("lost")
            return completion(0, int(tokens * share))

        flow = self.budget.layer(Tools())(CallInfo(call, CallContext.of(call)), then)
        try:
            next(flow)
        except BudgetExceededError:
            report = self.budget.report()
            assert report.limits[0][1] + report.reserved + estimate > 0.001
        else:
            self.open.append((flow, estimate))

    @rule(data=st.data(), share=st.one_of(st.none(), st.floats(0, 1)), cancel=st.booleans())
    def end(self, data: st.DataObject, share: float | None, cancel: bool) -> None:
        if not self.open:
            return
        flow, _ = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        if cancel:
            flow.close()
            return
        try:
            flow.send(share)
        except (StopIteration, APIConnectionError):
            return
        raise AssertionError("it did not end")

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def holds(self) -> None:
        report = self.budget.report()
        assert report.reserved == pytest.approx(sum(cost for _, cost in self.open))
        assert report.limits[0][1] + report.reserved <= 0.001 * (1 + 1e-9)


TestPurse = pytest.mark.evidence("budget", "property")(Purse.TestCase)


# --- failover to another model ------------------------------------------------------------

BOTH_PRICES = Prices({"org/m": (1.0, 2.0), "org/dear": {"groq": (10.0, 20.0), "x": (30.0, 60.0)}})
CHEAP_FIRST = Failover.models("org/m", "org/dear:groq")


def failing_over(server: FaultServer, budget: Budget, **more: Any) -> dict[str, Any]:
    return guarded(server, budget, policies={"failover": CHEAP_FIRST}, **more)


def busy_unless_dear(request: Any) -> Any:
    asked = request.json()["model"]
    return json_reply({"error": "busy"}, status=503) if asked == "org/m" else answer()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_the_model_that_answered_is_charged(server: FaultServer, kind: str) -> None:
    server.on(CHAT, busy_unless_dear)
    budget = Budget(1.0, prices=BOTH_PRICES)
    if kind == "async":
        async with AsyncRouterClient(**failing_over(server, budget)) as client:
            await client.chat.create("ping")
    else:
        with RouterClient(**failing_over(server, budget)) as blocking:
            blocking.chat.create("ping")
    report = budget.report()
    (row,) = report.rows
    assert (row.model, row.calls) == ("org/dear:groq", 1)
    assert row.cost == pytest.approx(10 * COST)
    assert report.limits[0][1] == pytest.approx(10 * COST)
    assert report.reserved == 0


def test_the_estimate_of_a_lost_call_is_that_of_the_model_asked_last(server: FaultServer) -> None:
    server.on(CHAT, lambda one: busy_unless_dear(one) if b'"org/m"' in one.body else drop())
    budget = Budget(1.0, prices=BOTH_PRICES)
    with RouterClient(**failing_over(server, budget)) as client:
        with pytest.raises(RouterError):
            client.chat.create("ping", max_tokens=1000)
    (row,) = budget.report().rows
    assert (row.model, row.estimated) == ("org/dear:groq", 1)
    assert 0.02 < row.cost < 0.021


def test_a_stream_is_charged_by_the_model_that_wrote_it(server: FaultServer) -> None:
    def reply(one: Any) -> Any:
        return busy_unless_dear(one) if one.json()["model"] == "org/m" else streamed()

    server.on(CHAT, reply)
    budget = Budget(1.0, prices=BOTH_PRICES)
    with RouterClient(**failing_over(server, budget)) as client:
        with client.chat.stream("ping", include_usage=True) as stream:
            stream.result()
        stream = client.chat.stream("ping", max_tokens=1000)
        next(stream)
        del stream  # dropped: the estimate
        gc.collect()
    rows = {row.provider: row for row in budget.report().rows}
    assert {row.model for row in rows.values()} == {"org/dear:groq"}
    assert rows["groq"].cost == pytest.approx(10 * COST)
    assert 0.02 < rows[""].cost < 0.021
    assert (rows["groq"].estimated, rows[""].estimated) == (0, 1)


def test_an_endpoint_of_unknown_price_is_charged_as_the_model_that_was_asked_for(
    server: FaultServer,
) -> None:
    server.on(CHAT, busy_unless_dear)
    budget = Budget(1.0, prices=Prices({"org/m": (1.0, 2.0)}))
    with RouterClient(**failing_over(server, budget)) as client:
        client.chat.create("ping")
    (row,) = budget.report().rows
    assert row.cost == pytest.approx(COST)


def test_metrics_count_the_cost_of_the_model_that_answered(server: FaultServer) -> None:
    server.on(CHAT, busy_unless_dear)
    metrics = Metrics(BOTH_PRICES)
    policy = Resilience(failover=CHEAP_FIRST, metrics=metrics)
    with RouterClient(**options(server, resilience=policy)) as client:
        client.chat.create("ping")
    assert metrics.snapshot().total.cost == pytest.approx(10 * COST)
