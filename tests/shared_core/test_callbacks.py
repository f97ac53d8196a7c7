"""Callbacks are told, in order, and cannot break a call; the logger shows no secret."""

from __future__ import annotations

import dataclasses
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.callbacks import Callback, Event, RequestEvent, RetryEvent, dispatch
from shared_core.errors import RateLimitError
from shared_core.log import logger

EVENT = RequestEvent(call_id="c1", operation="chat", model="a/b", url="https://h/v1")


class Recorder(Callback):
    def __init__(self) -> None:
        self.seen: list[Event] = []

    def on_request(self, event: RequestEvent) -> None:
        self.seen.append(event)


@pytest.mark.evidence("callbacks", "model")
def test_every_callback_is_told_in_order() -> None:
    first, second = Recorder(), Recorder()
    dispatch([first, second], "on_request", EVENT)
    assert first.seen == second.seen == [EVENT]
    dispatch([first], "on_response", EVENT)  # not overridden: nothing happens
    dispatch([first], "on_something_new", EVENT)
    assert first.seen == [EVENT]


def test_a_failing_callback_is_logged_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Callback):
        def on_request(self, event: RequestEvent) -> None:
            raise ValueError("my token is hf_AbCdEfGhIjKlMnOpQr")

    last = Recorder()
    with caplog.at_level(logging.DEBUG):
        dispatch([Broken(), last], "on_request", EVENT)
    assert last.seen == [EVENT]
    assert "Broken.on_request raised ValueError" in caplog.text
    assert "hf_AbCd" not in caplog.text


def test_an_error_that_cannot_be_shown_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Unshowable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    class Broken(Callback):
        def on_request(self, event: RequestEvent) -> None:
            raise Unshowable

    last = Recorder()
    dispatch([Broken(), last], "on_request", EVENT)
    assert last.seen == [EVENT]
    assert "Broken.on_request raised Unshowable" in caplog.text


@pytest.mark.evidence("callbacks", "property")
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=5))
def test_whoever_raises_everybody_else_is_told_of_everything_once(script: list[list[bool]]) -> None:
    class Scripted(Recorder):
        def __init__(self, fails: list[bool]) -> None:
            super().__init__()
            self.fails = fails

        def on_request(self, event: RequestEvent) -> None:
            super().on_request(event)
            if self.fails[len(self.seen) % len(self.fails)]:
                raise ValueError("as scripted")

    callbacks = [Scripted(fails) for fails in script]
    events = [RequestEvent(call_id=str(n), operation="chat", attempt=n) for n in range(3)]
    for event in events:
        dispatch(callbacks, "on_request", event)
    assert [callback.seen for callback in callbacks] == [events] * len(callbacks)


def test_an_interrupt_is_passed_on() -> None:
    class Stop(Callback):
        def on_request(self, event: RequestEvent) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dispatch([Stop()], "on_request", EVENT)


def test_async_callbacks_are_named(caplog: pytest.LogCaptureFixture) -> None:
    class Later(Callback):
        async def on_request(self, event: RequestEvent) -> None:  # type: ignore[override]
            raise AssertionError("not run")

    dispatch([Later()], "on_request", EVENT)
    assert "Later.on_request is async" in caplog.text


def test_events_are_frozen_and_picklable() -> None:
    import pickle

    with pytest.raises(dataclasses.FrozenInstanceError):
        EVENT.call_id = "x"  # type: ignore[misc]
    event = RetryEvent(
        call_id="c", operation="chat", attempt=1, delay=0.5, error=RateLimitError("slow")
    )
    assert pickle.loads(pickle.dumps(event)).attempt == 1


def test_the_logger_is_silent_and_redacts(caplog: pytest.LogCaptureFixture) -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
    with caplog.at_level(logging.DEBUG, "hfrouter"):
        logger.debug("sent %s with %d", "Bearer abcdef123", 5)
        try:
            raise ValueError("hf_AbCdEfGhIjKlMnOpQr")
        except ValueError:
            logger.exception("failed")
    assert "Bearer ***" in caplog.text
    assert "abcdef123" not in caplog.text
    assert "hf_AbCd" not in caplog.text
    assert "ValueError" in caplog.text
