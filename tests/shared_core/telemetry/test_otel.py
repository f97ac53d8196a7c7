"""OpenTelemetry: exact names, no content unless asked for, one child span per attempt."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from shared_core import AsyncRouterClient, AuthenticationError, RouterClient, StreamError
from shared_core.callbacks import (
    CallEndEvent,
    CallStartEvent,
    ChunkEvent,
    ErrorEvent,
    FailoverEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
)
from shared_core.chat.types import ChatChunk, Usage
from shared_core.errors import InvalidSettingError, RateLimitError
from shared_core.resilience.cache import Cache
from shared_core.resilience.pipeline import Resilience
from shared_core.resilience.retry import RetryPolicy
from shared_core.telemetry import otel
from shared_core.telemetry.otel import OpenTelemetry
from tests.helpers.fault_server import FaultServer, json_reply, sse
from tests.shared_core.resilience.helpers import Clock
from tests.shared_core.telemetry.replies import CHAT, answer, options, streamed

pytestmark = pytest.mark.anyio


class Telemetry:
    """A complete SDK that keeps everything in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider(metric_readers=[self.reader])

    def callback(self, **more: Any) -> OpenTelemetry:
        return OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters, **more)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def calls(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name != "POST"]

    def attempts(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == "POST"]

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(CHAT, answer())
        yield running


@pytest.mark.evidence("opentelemetry", "sync")
def test_names_of_a_chat_are_exact(telemetry: Telemetry, server: FaultServer) -> None:
    with RouterClient(**options(server, callbacks=[telemetry.callback()])) as client:
        client.chat.create(
            "My prompt",
            temperature=0.5,
            top_p=0.9,
            max_tokens=10,
            seed=7,
            n=2,
            stop=["END"],
            frequency_penalty=0.1,
            presence_penalty=0.2,
            response_format={"type": "json_object"},
        )
    (span,) = telemetry.calls()
    port = int(server.url.rpartition(":")[2])
    assert span.name == "chat org/m"
    assert span.kind is SpanKind.CLIENT
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "huggingface",
        "gen_ai.request.model": "org/m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 10,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.frequency_penalty": 0.1,
        "gen_ai.request.presence_penalty": 0.2,
        "gen_ai.output.type": "json",
        "gen_ai.response.id": "c-1",
        "gen_ai.response.model": "org/served",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 500,
        "server.address": "127.0.0.1",
        "server.port": port,
        "hf_router.provider": "groq",
    }
    assert span.status.status_code is StatusCode.UNSET
    (attempt,) = telemetry.attempts()
    assert attempt.parent is not None
    assert attempt.parent.span_id == span.context.span_id
    assert (attempt.attributes or {})["http.response.status_code"] == 200
    assert "http.request.resend_count" not in (attempt.attributes or {})


@pytest.mark.evidence("opentelemetry", "async")
async def test_names_of_metrics_are_exact(telemetry: Telemetry, server: FaultServer) -> None:
    server.script(CHAT, answer(), streamed("a", "b", "c"))
    made = options(server, callbacks=[telemetry.callback()])
    async with AsyncRouterClient(**made) as client:
        await client.chat.create("My prompt")
        await (await client.chat.stream("My prompt")).result()
    metrics = telemetry.metrics()
    assert {name: metric.unit for name, metric in metrics.items()} == {
        "gen_ai.client.operation.duration": "s",
        "gen_ai.client.token.usage": "{token}",
        "gen_ai.client.operation.time_to_first_chunk": "s",
        "gen_ai.client.operation.time_per_output_chunk": "s",
        "gen_ai.client.inference.operation.input_tokens": "{token}",
        "gen_ai.client.inference.operation.output_tokens": "{token}",
        "gen_ai.client.inference.usage.input_tokens": "{token}",
        "gen_ai.client.inference.usage.output_tokens": "{token}",
    }
    duration = metrics["gen_ai.client.operation.duration"].data.data_points
    assert sum(point.count for point in duration) == 2
    assert duration[0].explicit_bounds[0] == 0.01
    assert duration[0].explicit_bounds[-1] == 81.92
    usage = metrics["gen_ai.client.token.usage"].data.data_points
    assert {point.attributes["gen_ai.token.type"] for point in usage} == {"input", "output"}
    assert usage[0].explicit_bounds[-1] == 67108864
    counted = metrics["gen_ai.client.inference.usage.input_tokens"].data.data_points
    assert sum(point.value for point in counted) == 2000
    assert counted[0].attributes["gen_ai.token.modality"] == "text"
    span = telemetry.calls()[-1]
    assert (span.attributes or {})["gen_ai.request.stream"] is True
    assert (span.attributes or {})["gen_ai.response.time_to_first_chunk"] > 0


def test_content_is_recorded_only_on_request(telemetry: Telemetry, server: FaultServer) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    server.script(CHAT, answer("My answer"), streamed("My ", "answer"))
    made = options(server, callbacks=[telemetry.callback()])
    with RouterClient(**made) as client:
        client.chat.create("My prompt", tools=[tool])
        client.chat.stream("My prompt").result()
    shown = "".join(span.to_json() for span in telemetry.spans)
    assert "My prompt" not in shown
    assert "My answer" not in shown
    assert "look" not in shown

    telemetry.exporter.clear()
    server.script(CHAT, answer("My answer"))
    made = options(server, callbacks=[telemetry.callback(record_content=True)])
    with RouterClient(**made) as client:
        client.chat.create(
            [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "My prompt"},
            ],
            tools=[tool],
        )
    (span,) = telemetry.calls()
    attributes = dict(span.attributes or {})
    assert json.loads(str(attributes["gen_ai.input.messages"])) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
        {"role": "user", "parts": [{"type": "text", "content": "My prompt"}]},
    ]
    assert json.loads(str(attributes["gen_ai.output.messages"])) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "My answer"}],
            "finish_reason": "stop",
        }
    ]
    assert "look" in str(attributes["gen_ai.tool.definitions"])


def test_each_try_has_a_span_and_errors_are_named(
    telemetry: Telemetry, server: FaultServer
) -> None:
    server.script(CHAT, json_reply({"error": "busy"}, 503), json_reply({"error": "who"}, 401))
    retry = RetryPolicy(max_retries=2, initial_delay=0.001)
    made = options(server, callbacks=[telemetry.callback()], retry=retry)
    with RouterClient(**made) as client, pytest.raises(AuthenticationError):
        client.chat.create("Hello")
    first, second = telemetry.attempts()
    assert (first.attributes or {})["error.type"] == "503"
    assert (second.attributes or {})["http.request.resend_count"] == 1
    assert (second.attributes or {})["http.response.status_code"] == 401
    (span,) = telemetry.calls()
    assert (span.attributes or {})["error.type"] == "AuthenticationError"
    assert (span.attributes or {})["hf_router.attempts"] == 2
    assert span.status.status_code is StatusCode.ERROR
    assert "who" not in span.to_json()


def test_a_span_is_a_child_of_the_callers(telemetry: Telemetry, server: FaultServer) -> None:
    tracer = telemetry.tracers.get_tracer("app")
    made = options(server, callbacks=[telemetry.callback()])
    with RouterClient(**made) as client, tracer.start_as_current_span("work") as outer:
        client.chat.create("Hello")
    call = next(span for span in telemetry.spans if span.name == "chat org/m")
    assert call.parent is not None
    assert call.parent.span_id == outer.get_span_context().span_id


@pytest.mark.evidence("opentelemetry", "tasks")
async def test_tasks_keep_their_spans_apart_and_a_cancelled_one_ends(
    telemetry: Telemetry, server: FaultServer
) -> None:
    callback = telemetry.callback()
    tracer = telemetry.tracers.get_tracer("app")
    async with AsyncRouterClient(**options(server, callbacks=[callback])) as client:

        async def work(number: int) -> tuple[int, int]:
            with tracer.start_as_current_span(f"work {number}") as outer:
                await client.chat.create("Hello", seed=number)
            return number, outer.get_span_context().span_id

        parents = dict(await asyncio.gather(*(work(number) for number in range(15))))
        server.on(CHAT, answer(delay=3.0))
        task = asyncio.ensure_future(client.chat.create("Hello", seed=99))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    spans = {
        (span.attributes or {})["gen_ai.request.seed"]: span
        for span in telemetry.calls()
        if span.name == "chat org/m"
    }
    for number, parent in parents.items():
        held = spans[number].parent
        assert held is not None
        assert held.span_id == parent
    assert (spans[99].attributes or {})["hf_router.outcome"] == "abandoned"
    assert callback._open == {}


def test_a_stream_that_nobody_closed_ends_when_its_place_is_needed(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel, "MAX_OPEN_CALLS", 2)
    callback = telemetry.callback()
    for call in "abc":
        callback.on_call_start(CallStartEvent(call_id=call, operation="chat", model=call))
        callback.on_request(RequestEvent(call_id=call, operation="chat"))
    assert [span.name for span in telemetry.spans] == ["POST", "chat a"]
    assert (telemetry.spans[1].attributes or {})["hf_router.outcome"] == "abandoned"
    assert sorted(callback._open) == ["b", "c"]


@pytest.mark.evidence("opentelemetry", "model")
def test_times_on_a_fake_clock(telemetry: Telemetry) -> None:
    clock = Clock()
    callback = telemetry.callback(clock=clock)
    base: dict[str, Any] = {"call_id": "1", "operation": "chat", "model": "org/m"}
    callback.on_call_start(CallStartEvent(**base, stream=True))
    callback.on_request(RequestEvent(**base))
    for passed in (0.5, 0.25, 0.75):
        clock.now += passed
        callback.on_chunk(ChunkEvent(**base, chunk=ChatChunk("a")))
    callback.on_call_end(CallEndEvent(**base, outcome="ok", elapsed=2.0, usage=Usage(10, 20, 30)))
    metrics = telemetry.metrics()

    def total(name: str) -> tuple[int, float]:
        points = metrics[f"gen_ai.client.{name}"].data.data_points
        return sum(point.count for point in points), sum(point.sum for point in points)

    assert total("operation.time_to_first_chunk") == (1, 0.5)
    assert total("operation.time_per_output_chunk") == (2, 1.0)
    assert total("operation.duration") == (1, 2.0)
    assert total("token.usage") == (2, 30)
    (span,) = telemetry.calls()
    assert (span.attributes or {})["gen_ai.response.time_to_first_chunk"] == 0.5


class SpanMachine(RuleBasedStateMachine):
    """Calls that overlap, with attempts that end in any way: each span ends once, in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.telemetry = Telemetry()
        self.callback = self.telemetry.callback()
        self.open: dict[str, int] = {}  # attempts by call
        self.ended: dict[str, tuple[int, str]] = {}
        self.number = 0

    def teardown(self) -> None:
        self.telemetry.tracers.shutdown()
        self.telemetry.meters.shutdown()

    def facts(self, call: str) -> dict[str, Any]:
        return {"call_id": call, "operation": "chat", "model": f"org/{call}"}

    @rule()
    def begin(self) -> None:
        self.number += 1
        call = str(self.number)
        self.open[call] = 0
        self.callback.on_call_start(CallStartEvent(**self.facts(call)))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), how=st.sampled_from(["response", "retry", "failover", "error", "none"]))
    def attempt(self, data: st.DataObject, how: str) -> None:
        call = data.draw(st.sampled_from(sorted(self.open)))
        self.open[call] += 1
        facts = self.facts(call)
        self.callback.on_request(RequestEvent(**facts, attempt=self.open[call]))
        error = RateLimitError("slow", status_code=429)
        if how == "response":
            self.callback.on_response(ResponseEvent(**facts, status=200))
        elif how == "retry":
            self.callback.on_retry(RetryEvent(**facts, attempt=1, delay=0.1, error=error))
        elif how == "failover":
            self.callback.on_failover(FailoverEvent(**facts, endpoint="a", target="b"))
        elif how == "error":
            self.callback.on_error(ErrorEvent(**facts, error=error))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "error", "abandoned"]))
    def finish(self, data: st.DataObject, outcome: Any) -> None:
        call = data.draw(st.sampled_from(sorted(self.open)))
        attempts = self.open.pop(call)
        self.ended[call] = attempts, outcome
        error = RateLimitError("slow") if outcome == "error" else None
        self.callback.on_call_end(
            CallEndEvent(**self.facts(call), outcome=outcome, attempts=attempts, error=error)
        )

    @rule()
    def events_of_a_call_that_is_over_change_nothing(self) -> None:
        before = len(self.telemetry.spans)
        facts = self.facts("over")
        self.callback.on_request(RequestEvent(**facts))
        self.callback.on_call_end(CallEndEvent(**facts, outcome="ok"))
        assert len(self.telemetry.spans) == before

    @invariant()
    def agrees(self) -> None:
        calls = {span.name.removeprefix("chat org/"): span for span in self.telemetry.calls()}
        assert calls.keys() == self.ended.keys()
        assert self.callback._open.keys() == self.open.keys()
        for call, (attempts, outcome) in self.ended.items():
            span = calls[call]
            below = [
                one
                for one in self.telemetry.attempts()
                if one.parent is not None and one.parent.span_id == span.context.span_id
            ]
            assert len(below) == attempts
            assert (span.status.status_code is StatusCode.ERROR) == (outcome == "error")


SpanMachine.TestCase.settings = hypothesis_settings(
    max_examples=40, stateful_step_count=20, deadline=None
)
TestSpanMachine = pytest.mark.evidence("opentelemetry", "property")(SpanMachine.TestCase)


def test_a_cut_stream_is_an_error(telemetry: Telemetry, server: FaultServer) -> None:
    server.on(CHAT, sse({"choices": [{"delta": {"content": "My part"}}]}, done=False))
    with RouterClient(**options(server, callbacks=[telemetry.callback()])) as client:
        with pytest.raises(StreamError):
            client.chat.stream("Hello").result()
    (span,) = telemetry.calls()
    assert (span.attributes or {})["error.type"] == "StreamInterruptedError"
    assert "My part" not in span.to_json()


def test_a_cached_answer_has_a_span_and_no_tokens(
    telemetry: Telemetry, server: FaultServer
) -> None:
    policy = Resilience(cache=Cache())
    made = options(server, callbacks=[telemetry.callback()], resilience=policy)
    with RouterClient(**made) as client:
        client.chat.create("Hello", temperature=0)
        client.chat.create("Hello", temperature=0)
    assert (telemetry.calls()[1].attributes or {})["hf_router.cached"] is True
    assert len(telemetry.attempts()) == 1
    counted = telemetry.metrics()["gen_ai.client.inference.usage.input_tokens"].data.data_points
    assert sum(point.value for point in counted) == 1000


@pytest.mark.evidence("opentelemetry", "threads")
def test_threads_lose_no_span_and_models_are_bounded(
    telemetry: Telemetry, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel, "MAX_MODELS", 3)
    callback = telemetry.callback()
    with RouterClient(**options(server, callbacks=[callback])) as client:

        def work(number: int) -> None:
            for turn in range(4):
                client.chat.create("Hello", model=f"org/m{number}-{turn}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(telemetry.calls()) == 20
    points = telemetry.metrics()["gen_ai.client.operation.duration"].data.data_points
    models = {point.attributes["gen_ai.request.model"] for point in points}
    assert "other" in models
    assert len(models) <= 4
    assert callback._open == {}


def test_without_an_sdk_nothing_happens_and_without_the_api_the_extra_is_named(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = OpenTelemetry()
    with RouterClient(**options(server, callbacks=[callback])) as client:
        assert client.chat.create("Hello").text == "Yes."
    assert pickle.loads(pickle.dumps(OpenTelemetry(record_content=True))).wants_content
    for name in [name for name in sys.modules if name.split(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(InvalidSettingError, match="not installed") as caught:
        OpenTelemetry()
    assert "hfrouter[otel]" in str(caught.value)
