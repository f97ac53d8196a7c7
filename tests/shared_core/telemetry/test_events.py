"""What callbacks are told of a call as a whole, and what the log says."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import AsyncRouterClient, RouterClient
from shared_core.callbacks import (
    BudgetEvent,
    CacheEvent,
    Callback,
    CallEndEvent,
    CallStartEvent,
    CircuitEvent,
    Event,
    FailoverEvent,
    RateLimitEvent,
)
from shared_core.errors import APIError, AuthenticationError, RateLimitError
from shared_core.log import logger
from shared_core.resilience.cache import Cache
from shared_core.resilience.observe import parameters_of
from shared_core.resilience.pipeline import Resilience
from shared_core.resilience.retry import RetryPolicy
from shared_core.telemetry.logs import CallLogger
from shared_core.telemetry.metrics import Metrics
from tests.helpers.fault_server import FaultServer, Hang, json_reply, sse
from tests.shared_core.telemetry.replies import CHAT, answer, options, streamed

pytestmark = pytest.mark.anyio
NAMES = [name for name in vars(Callback) if name.startswith("on_")]


class Recorder(Callback):
    """Notes everything it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []
        for name in NAMES:
            setattr(self, name, self._noting(name))

    def _noting(self, name: str) -> Any:
        return lambda event: self.events.append((name, event))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    @property
    def end(self) -> CallEndEvent:
        (found,) = [event for _, event in self.events if isinstance(event, CallEndEvent)]
        return found


class Curious(Recorder):
    wants_content = True


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(CHAT, answer())
        yield running


@pytest.mark.evidence("callbacks", "sync")
def test_a_call_has_one_start_and_one_end(server: FaultServer) -> None:
    seen = Recorder()
    server.script(CHAT, json_reply({"error": "busy"}, 503), answer())
    retry = RetryPolicy(max_retries=1, initial_delay=0.001)
    with RouterClient(**options(server, callbacks=[seen], retry=retry)) as client:
        client.chat.create("My prompt", temperature=0.5, max_tokens=9)
    names = ["on_call_start", "on_request", "on_retry", "on_request", "on_response", "on_call_end"]
    assert seen.names == names
    assert len({event.call_id for _, event in seen.events}) == 1
    start = seen.events[0][1]
    assert isinstance(start, CallStartEvent)
    assert start.parameters == {"temperature": 0.5, "max_tokens": 9}
    assert start.content is None
    assert (seen.end.outcome, seen.end.attempts, seen.end.provider) == ("ok", 2, "groq")
    assert seen.end.usage.prompt_tokens == 1000
    assert "My prompt" not in repr(seen.events)
    assert pickle.loads(pickle.dumps(start)) == start


def test_only_who_asks_gets_the_prompt(server: FaultServer) -> None:
    plain, curious = Recorder(), Curious()
    with RouterClient(**options(server, callbacks=[plain, curious])) as client:
        client.chat.create("My prompt")
    first, other = curious.events[0][1], plain.events[0][1]
    assert isinstance(first, CallStartEvent)
    assert isinstance(other, CallStartEvent)
    assert first.content["messages"][0]["content"] == "My prompt"
    assert other.content is None
    assert "My prompt" not in repr(first)


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_comes_last(server: FaultServer, stream: bool) -> None:
    seen = Recorder()
    server.on(CHAT, json_reply({"error": "who"}, 401))
    with RouterClient(**options(server, callbacks=[seen])) as client:
        with pytest.raises(AuthenticationError) as caught:
            (client.chat.stream if stream else client.chat.create)("Hello")
    assert seen.names == ["on_call_start", "on_request", "on_error", "on_call_end"]
    assert seen.end.error is caught.value


@pytest.mark.evidence("callbacks", "async")
async def test_a_stream_ends_when_it_is_read(server: FaultServer) -> None:
    seen = Recorder()
    server.on(CHAT, streamed("a", "b"))
    async with AsyncRouterClient(**options(server, callbacks=[seen])) as client:
        stream = await client.chat.stream("Hello")
        assert seen.names == ["on_call_start", "on_request", "on_response"]
        await stream.result()
        await stream.aclose()
    assert seen.names[-2:] == ["on_stream_complete", "on_call_end"]
    assert seen.end.outcome == "ok"
    assert seen.end.result is stream


async def test_a_cancelled_call_is_abandoned(server: FaultServer) -> None:
    seen = Recorder()
    server.on(CHAT, answer(delay=3.0))
    async with AsyncRouterClient(**options(server, callbacks=[seen])) as client:
        task = asyncio.ensure_future(client.chat.create("Hello"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen.names == ["on_call_start", "on_request", "on_call_end"]
    assert seen.end.outcome == "abandoned"


def test_a_dropped_stream_ends_for_those_who_can_hear_it(server: FaultServer) -> None:
    seen, metrics = Recorder(), Metrics()
    piece = {"choices": [{"delta": {"content": "a"}}]}
    server.on(CHAT, sse(piece, done=False, end=Hang()))
    with RouterClient(**options(server, callbacks=[seen, metrics])) as client:
        stream = client.chat.stream("Hello")
        next(stream)
        assert metrics.snapshot().in_flight == 1
        del stream
        gc.collect()
        assert metrics.snapshot().in_flight == 0
        with client.chat.stream("Hello") as closed:
            next(closed)
        del closed
        gc.collect()
    assert metrics.snapshot().total.outcomes == {"abandoned": 2}
    assert seen.names.count("on_call_end") == 1


def test_every_callback_that_raises_breaks_nothing(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Callback):
        pass

    def fail(event: Event) -> None:
        raise RuntimeError("broken")

    broken = Broken()
    for name in NAMES:
        setattr(broken, name, fail)
    policy = Resilience(cache=Cache(), retry=RetryPolicy(max_retries=1, initial_delay=0.001))
    server.script(CHAT, json_reply({"error": "busy"}, 503), answer(), streamed("a"))
    made = options(server, callbacks=[broken], resilience=policy)
    with caplog.at_level(logging.WARNING, "hfrouter"), RouterClient(**made) as client:
        assert client.chat.create("Hello", temperature=0).text == "Yes."
        assert client.chat.create("Hello", temperature=0).text == "Yes."
        assert client.chat.stream("Hello").result().text == "a"
    assert len(server.requests) == 3
    for name in ("on_call_start", "on_retry", "on_cache", "on_chunk", "on_call_end"):
        assert f"Broken.{name} raised RuntimeError" in caplog.text


def test_parameters_hold_no_content() -> None:
    body = {
        "messages": ["secret"],
        "user": "secret",
        "tools": ["secret"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "secret"}},
        "parameters": {"max_new_tokens": 5, "prompt": "secret"},
        "temperature": 0,
    }
    found = parameters_of(body)
    assert found == {"max_new_tokens": 5, "temperature": 0, "response_format": "json_schema"}
    assert parameters_of("secret") == parameters_of(None) == {}


@pytest.mark.evidence("call-log", "sync")
def test_the_log_has_facts_and_levels_and_no_content(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(CHAT, json_reply({"error": "my answer"}, 503), answer("my answer"))
    server_calls = options(server, callbacks=[CallLogger()], max_retries=1)
    with caplog.at_level(logging.DEBUG, "hfrouter"), RouterClient(**server_calls) as client:
        client.chat.create("my prompt")
        server.on(CHAT, json_reply({"error": "my answer"}, 401))
        with pytest.raises(AuthenticationError):
            client.chat.create("my prompt")
    ours: list[Any] = [record for record in caplog.records if hasattr(record, "hfrouter")]
    assert [(record.levelname, record.hfrouter["event"]) for record in ours] == [
        ("DEBUG", "attempt"),
        ("INFO", "retry"),
        ("DEBUG", "attempt"),
        ("INFO", "call ended"),
        ("DEBUG", "attempt"),
        ("WARNING", "call ended"),
    ]
    assert ours[3].hfrouter["output_tokens"] == 500
    assert ours[5].hfrouter["error"] == "AuthenticationError"
    assert "status=401" in caplog.text
    for secret in ("my prompt", "my answer", "hf_"):
        assert secret not in caplog.text


@pytest.mark.evidence("call-log", "async")
async def test_an_asynchronous_call_is_logged_too(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(CHAT, streamed("my answer"), json_reply({"error": "my answer"}, 401))
    made = options(server, callbacks=[CallLogger()])
    with caplog.at_level(logging.DEBUG, "hfrouter"):
        async with AsyncRouterClient(**made) as client:
            await (await client.chat.stream("my prompt")).result()
            with pytest.raises(AuthenticationError):
                await client.chat.create("my prompt")
    ours: list[Any] = [record for record in caplog.records if hasattr(record, "hfrouter")]
    assert [(one.levelname, one.hfrouter["event"]) for one in ours] == [
        ("DEBUG", "attempt"),
        ("INFO", "call ended"),
        ("DEBUG", "attempt"),
        ("WARNING", "call ended"),
    ]
    assert ours[1].hfrouter["output_tokens"] == 500
    assert "my prompt" not in caplog.text
    assert "my answer" not in caplog.text


def test_a_token_that_a_server_echoes_is_hidden_from_structured_handlers(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    token = "hf_" + "e" * 30
    echo = {"x-request-id": f"id-{token}", "x-inference-provider": token}
    server.on(CHAT, json_reply({"error": "no"}, 401, headers=echo))
    made = options(server, api_key=token, callbacks=[CallLogger()])
    with caplog.at_level(logging.DEBUG, "hfrouter"), RouterClient(**made) as client:
        with pytest.raises(AuthenticationError):
            client.chat.create("Hello")
    for record in caplog.records:
        assert token not in repr(vars(record))


TEXTS = st.one_of(st.text(max_size=20), st.just("hf_" + "t" * 30), st.just("https://u:p@h"))


@pytest.mark.evidence("call-log", "property")
@given(TEXTS, TEXTS, TEXTS, st.floats(0, 1e6), st.sampled_from(["ok", "error", "abandoned"]))
def test_whatever_an_event_says_the_log_has_its_facts_and_no_token(
    model: str, provider: str, endpoint: str, seconds: float, outcome: Any
) -> None:
    base: dict[str, Any] = {"operation": "chat", "model": model, "provider": provider}
    error = RateLimitError(f"no {model}", request_id=provider) if outcome == "error" else None
    records: list[Any] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        log = CallLogger()
        log.on_call_end(
            CallEndEvent(call_id="1", **base, outcome=outcome, elapsed=seconds, error=error)
        )
        log.on_circuit(CircuitEvent(call_id="2", **base, endpoint=endpoint, state="open"))
        log.on_rate_limit(RateLimitEvent(call_id="3", **base, endpoint=endpoint, delay=seconds))
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
    assert [record.hfrouter["call_id"] for record in records] == ["1", "2", "3"]
    assert records[0].hfrouter["outcome"] == outcome
    assert records[0].hfrouter["seconds"] == round(seconds, 6)
    assert ("error" in records[0].hfrouter) == (outcome == "error")
    shown = "".join(record.getMessage() + repr(record.hfrouter) for record in records)
    assert "hf_t" not in shown
    assert "u:p@" not in shown


def told_in_order(seen: Recorder, calls: int) -> None:
    """Assert that each call has all its events, in their order, whatever ran beside it."""
    by_call: dict[str, list[str]] = {}
    for name, event in list(seen.events):
        by_call.setdefault(event.call_id, []).append(name)
    whole = ["on_call_start", "on_request", "on_response", "on_call_end"]
    assert list(by_call.values()) == [whole] * calls


def logged_apart(caplog: pytest.LogCaptureFixture, calls: int) -> None:
    """Assert that each call is logged with an attempt and an end of its own model."""
    facts = [getattr(record, "hfrouter", None) for record in caplog.records]
    ours = [one for one in facts if one]
    models = {one["call_id"]: one["model"] for one in ours}
    assert len(models) == len(set(models.values())) == calls
    for call, model in models.items():
        mine = [(one["event"], one["model"]) for one in ours if one["call_id"] == call]
        assert mine == [("attempt", model), ("call ended", model)]


@pytest.mark.evidence("callbacks", "threads")
@pytest.mark.evidence("call-log", "threads")
def test_events_and_lines_of_threads_are_not_mixed(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Recorder()
    made = options(server, callbacks=[seen, CallLogger()])
    with caplog.at_level(logging.DEBUG, "hfrouter"), RouterClient(**made) as client:

        def work(number: int) -> None:
            for turn in range(4):
                client.chat.create("Hello", model=f"org/m{number}-{turn}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    told_in_order(seen, 20)
    logged_apart(caplog, 20)


@pytest.mark.evidence("callbacks", "tasks")
@pytest.mark.evidence("call-log", "tasks")
async def test_events_and_lines_of_tasks_are_not_mixed(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Recorder()
    server.on(CHAT, answer(delay=0.02))
    made = options(server, callbacks=[seen, CallLogger()])
    with caplog.at_level(logging.DEBUG, "hfrouter"):
        async with AsyncRouterClient(**made) as client:
            calls = [client.chat.create("Hello", model=f"org/m{n}") for n in range(20)]
            await asyncio.gather(*calls)
    told_in_order(seen, 20)
    logged_apart(caplog, 20)


@pytest.mark.evidence("call-log", "model")
def test_guards_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    log, base = CallLogger(), {"call_id": "c", "operation": "chat"}
    with caplog.at_level(logging.DEBUG, "hfrouter"):
        log.on_failover(FailoverEvent(**base, endpoint="a", target="b", error=APIError("x")))
        log.on_circuit(CircuitEvent(**base, endpoint="a", state="open", previous="closed"))
        log.on_rate_limit(RateLimitEvent(**base, endpoint="a", delay=1.0))
        log.on_rate_limit(RateLimitEvent(**base, endpoint="a", delay=1.0, refused=True))
        log.on_cache(CacheEvent(**base, outcome="hit", size=10))
        log.on_budget(BudgetEvent(**base, limit=1.0, spent=0.9, estimate=0.2))
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "WARNING", "INFO", "WARNING", "DEBUG", "WARNING"]
    assert "failover call_id=c operation=chat from=a to=b error=APIError" in caplog.text
    caplog.clear()
    log.on_call_end(CallEndEvent(**base, outcome="error", error=RateLimitError("hf_" + "x" * 20)))
    assert "hf_" not in caplog.text
