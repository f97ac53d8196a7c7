"""Single flight: one leader at a time, everybody who waits ends, nobody waits for nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared_core.errors import (
    APIConnectionError,
    APITimeoutError,
    BudgetExceededError,
    DeadlineExceededError,
    RouterError,
)
from shared_core.flow import Flow, Perform, Sleep
from shared_core.resilience.cache import Cache
from shared_core.resilience.pipeline import CallInfo, Next, Tools
from shared_core.resilience.single_flight import Flight, Flights
from shared_core.wire.messages import Headers, WireResponse
from tests.shared_core.resilience.helpers import Clock, call_of

FINE = WireResponse(status=200, headers=Headers(), content=b"fine", url="u")


def parse(answer: WireResponse) -> Flow[str]:
    return answer.content.decode()
    yield


def asking(call: CallInfo) -> Flow[Any]:
    """An exchange that suspends until it is sent an answer, or thrown an error."""
    answer = yield Sleep(0)
    assert call.begin is not None
    return (yield from call.begin(answer))


class Calls:
    """Flows of equal calls through one cache, moved by hand."""

    def __init__(self, then: Next = asking) -> None:
        self.cache = Cache()
        self.clock = Clock()
        self.then = then
        self.layer = self.cache.layer(Tools(clock=self.clock))

    def begin(
        self, question: str = "?", timeout: float | None = 30.0, deadline: float | None = None
    ) -> tuple[Generator[Any, Any, str], Any]:
        """Return a flow and its first effect; ``Sleep`` leads, ``Perform`` waits."""
        call = call_of(timeout=timeout)
        call.request.json = {"messages": [question], "temperature": 0}
        expires = None if deadline is None else self.clock.now + deadline
        flow = self.layer(replace(call, begin=parse, expires=expires), self.then)
        return flow, next(flow)


def end(flow: Generator[Any, Any, str], value: Any) -> Any:
    """Send or throw *value* into *flow*; return its result, error or next effect."""
    try:
        return flow.throw(value) if isinstance(value, BaseException) else flow.send(value)
    except StopIteration as stop:
        return stop.value
    except RouterError as error:
        return error


def wake(flow: Generator[Any, Any, str], effect: Any) -> Any:
    """Give a waiting flow what its flight brought; return its result, error or next effect."""
    assert isinstance(effect, Perform)
    try:
        value = effect.blocking()
    except TimeoutError as error:
        return end(flow, error)
    try:
        return flow.send(value)
    except StopIteration as stop:
        return stop.value
    except RouterError as error:
        return error


# --- rules, without I/O -----------------------------------------------------------------


@pytest.mark.evidence("single-flight", "model")
def test_the_first_call_leads_and_the_others_get_its_answer() -> None:
    calls = Calls()
    leader, first = calls.begin()
    assert isinstance(first, Sleep)
    waiting = [calls.begin() for _ in range(3)]
    assert end(leader, FINE) == "fine"
    for flow, effect in waiting:
        assert wake(flow, effect) == "fine"
    stats = calls.cache.stats
    assert (stats.misses, stats.joined, stats.hits) == (1, 3, 0)
    assert len(calls.cache._flights) == 0


def test_another_question_is_another_flight() -> None:
    calls = Calls()
    effects = [calls.begin(question)[1] for question in ("a", "b")]
    assert [type(effect) for effect in effects] == [Sleep, Sleep]


@pytest.mark.parametrize("error", [APIConnectionError("lost"), DeadlineExceededError("late")])
def test_a_failure_is_everybodys(error: RouterError) -> None:
    calls = Calls()
    leader, _ = calls.begin()
    flow, effect = calls.begin()
    assert end(leader, error) is error
    shared = wake(flow, effect)
    assert type(shared) is type(error)
    assert shared is not error


def test_a_refusal_by_the_leaders_own_guards_is_not() -> None:
    calls = Calls()
    leader, _ = calls.begin()
    flow, effect = calls.begin()
    assert isinstance(end(leader, BudgetExceededError("poor")), BudgetExceededError)
    assert isinstance(wake(flow, effect), Sleep)  # leads now
    assert end(flow, FINE) == "fine"


@pytest.mark.parametrize(
    ("mine", "shared"), [(30.0, False), (None, False), (1.0, True), (0.5, True)]
)
def test_a_leader_in_a_hurry_does_not_hurry_the_others(mine: float | None, shared: bool) -> None:
    calls = Calls()
    leader, _ = calls.begin(timeout=1.0)
    flow, effect = calls.begin(timeout=mine)
    end(leader, APITimeoutError("late", timeout=1.0))
    assert isinstance(wake(flow, effect), APITimeoutError if shared else Sleep)


def test_nobody_waits_longer_than_its_timeout_however_many_lead() -> None:
    calls = Calls()
    leader, _ = calls.begin()
    flow, effect = calls.begin(timeout=10.0)
    calls.clock.now += 10.0
    leader.close()
    somebody_else, _ = calls.begin()  # leads before the flow is back
    effect = wake(flow, effect)
    late = wake(flow, effect)
    assert end(somebody_else, FINE) == "fine"
    assert isinstance(late, APITimeoutError)
    assert "within 10 s" in str(late)


@pytest.mark.parametrize(
    ("timeout", "deadline", "shown"), [(30.0, 5.0, "5 s"), (None, 5.0, "5 s"), (3.0, 5.0, "3 s")]
)
def test_nobody_waits_longer_than_its_deadline_either(
    timeout: float | None, deadline: float, shown: str
) -> None:
    calls = Calls()
    leader, _ = calls.begin()
    flow, effect = calls.begin(timeout=timeout, deadline=deadline)
    calls.clock.now += 5.0
    late = wake(flow, effect)
    assert end(leader, FINE) == "fine"
    assert isinstance(late, APITimeoutError)
    assert f"within {shown}" in str(late)


@pytest.mark.parametrize(
    ("mine", "shared"), [(None, False), (60.0, False), (1.0, True), (0.5, True)]
)
@pytest.mark.parametrize("error", [APITimeoutError("late"), DeadlineExceededError("late")])
def test_a_leader_with_a_short_deadline_fails_nobody_who_has_more_time(
    error: RouterError, mine: float | None, shared: bool
) -> None:
    calls = Calls()
    leader, _ = calls.begin(deadline=1.0)
    flow, effect = calls.begin(deadline=mine)
    end(leader, error)
    assert isinstance(wake(flow, effect), type(error) if shared else Sleep)


# --- invariants -------------------------------------------------------------------------


class FlightMachine(RuleBasedStateMachine):
    """Equal calls that begin, end and are cancelled in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Calls()
        self.leading: dict[str, Generator[Any, Any, str]] = {}
        self.waiting: dict[str, list[tuple[Generator[Any, Any, str], Perform]]] = {}
        self.asked = 0

    questions = st.sampled_from("ab")

    def note(self, question: str, flow: Generator[Any, Any, str], effect: Any) -> None:
        if isinstance(effect, Perform):
            assert question in self.leading
            self.waiting.setdefault(question, []).append((flow, effect))
        else:
            assert isinstance(effect, Sleep)
            assert question not in self.leading, "two requests for one answer"
            self.leading[question] = flow
            self.asked += 1

    @rule(question=questions)
    def begin(self, question: str) -> None:
        try:
            self.note(question, *self.calls.begin(question))
        except StopIteration as stop:  # a hit
            assert stop.value == "fine"

    @precondition(lambda self: self.leading)
    @rule(data=st.data(), how=st.sampled_from(["fine", "lost", "refused", "cancelled"]))
    def land(self, data: st.DataObject, how: str) -> None:
        question = data.draw(st.sampled_from(sorted(self.leading)))
        leader = self.leading.pop(question)
        if how == "fine":
            assert end(leader, FINE) == "fine"
        elif how == "cancelled":
            leader.close()
        else:
            error = APIConnectionError("lost") if how == "lost" else BudgetExceededError("poor")
            assert end(leader, error) is error
        for flow, effect in self.waiting.pop(question, []):
            outcome = wake(flow, effect)
            if how == "lost":
                assert isinstance(outcome, APIConnectionError)
            elif outcome != "fine":
                assert how != "fine"
                self.note(question, flow, outcome)

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        question = data.draw(st.sampled_from(sorted(q for q, held in self.waiting.items() if held)))
        flow, _ = self.waiting[question].pop()
        flow.close()

    @rule()
    def forget(self) -> None:
        self.calls.cache.clear()

    @invariant()
    def one_flight_for_each_leader(self) -> None:
        assert self.calls.cache._flights._by_key.keys() == set(map(self.key, self.leading))
        assert self.calls.cache.stats.misses == self.asked

    def key(self, question: str) -> str:
        request = call_of(timeout=30.0).request
        request.json = {"messages": [question], "temperature": 0}
        return self.calls.cache.key(request, None)


FlightMachine.TestCase.settings = hypothesis_settings(max_examples=50, stateful_step_count=30)
TestFlightMachine = pytest.mark.evidence("single-flight", "property")(FlightMachine.TestCase)


# --- races ------------------------------------------------------------------------------


@pytest.mark.evidence("single-flight", "threads")
def test_threads_have_one_leader_at_a_time(eager_threads: None) -> None:
    flights, leading, most = Flights(), [0], [0]
    lock = threading.Lock()
    answers: list[Any] = []

    def work() -> None:
        for _ in range(100):
            flight, leads = flights.join("key")
            if not leads:
                answers.append(flight.wait(5))
                continue
            with lock:
                leading[0] += 1
                most[0] = max(most[0], leading[0])
            flight.land(b"answer")
            with lock:
                leading[0] -= 1
            flights.over("key", flight)
            answers.append(b"answer")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert answers == [b"answer"] * 600
    assert len(flights) == 0


@pytest.mark.evidence("single-flight", "tasks")
@pytest.mark.anyio
async def test_tasks_that_are_cancelled_while_they_wait_disturb_nobody() -> None:
    flight = Flight()
    tasks = [asyncio.create_task(flight.wait_async(5)) for _ in range(30)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.to_thread(flight.land, b"answer")
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert ends[1::2] == [b"answer"] * 15
    assert {type(one) for one in ends[::2]} == {asyncio.CancelledError}


def test_an_event_loop_that_is_gone_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    flight = Flight()

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await flight.wait_async(0.01)

    asyncio.run(impatient())
    with caplog.at_level(logging.DEBUG):
        flight.land(b"answer")
    assert caplog.records == []
    assert flight.wait(0) == b"answer"
