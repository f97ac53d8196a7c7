"""Waiting until an endpoint answers: a deadline, progress, no blocked event loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from shared_core.config.checks import number
from shared_core.config.validate import check_timeout, check_url
from shared_core.endpoints import flows
from shared_core.endpoints.params import check_name
from shared_core.endpoints.types import EndpointInfo
from shared_core.errors import (
    APIError,
    AuthenticationError,
    EndpointFailedError,
    EndpointTimeoutError,
    PermissionDeniedError,
)
from shared_core.flow import Flow, Sleep
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.core import Core

INTERVAL = 5.0
"""Seconds between two questions (protocol.md 10.3)."""

MOST_FAILURES = 3
"""Failures in a row, of a kind that may heal, that the waiting survives."""

Progress: TypeAlias = Callable[[EndpointInfo, float], None]
"""Told after every question: what is known now, and the seconds since the start."""


class _Watch:
    """The time of one waiting."""

    def __init__(self, deadline: float | None, clock: Callable[[], float]) -> None:
        self.deadline = deadline
        self._clock = clock
        self._started = clock()

    @property
    def elapsed(self) -> float:
        return self._clock() - self._started

    @property
    def left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - self.elapsed

    def limit(self, timeout: float | None) -> float | None:
        """Return how long one question may take."""
        left = max(self.left, 0.001)
        if left == float("inf"):
            return timeout
        return left if timeout is None else min(timeout, left)


def wait(
    core: Core,
    namespace: str | None,
    name: str,
    *,
    timeout: float | None,
    interval: float,
    progress: Progress | None,
    clock: Callable[[], float] = time.monotonic,
) -> Flow[EndpointInfo]:
    """Ask until the endpoint runs and its health route answers 200.

    Args:
        core: The path of every exchange.
        namespace: Whose it is.
        name: Its name.
        timeout: Seconds for all of it; None waits for ever.
        interval: Seconds between two questions.
        progress: Told after every question; what it raises ends the waiting.
        clock: Monotonic seconds.

    Raises:
        EndpointFailedError: It failed, or is paused.
        EndpointTimeoutError: It was not ready in time.
        APIError: It cannot be asked for.
    """
    check_name(name)
    number(0, 3600)("interval", interval)
    watch = _Watch(check_timeout(timeout), clock)
    owner = yield from flows.namespace_of(core, namespace)
    info: EndpointInfo | None = None
    failures = 0
    while True:
        try:
            info = yield from flows.read(
                core, owner, name, timeout=watch.limit(core.settings.timeout)
            )
            failures = 0
        except APIError as error:
            failures += 1
            if watch.left > 0 and (not error.retryable or failures > MOST_FAILURES):
                raise
        else:
            if progress is not None:
                progress(info, watch.elapsed)
            if (yield from _ready(core, info, watch)):
                return info
        if watch.left <= interval:
            raise _late(info, name, watch, core)
        yield Sleep(interval)


def _ready(core: Core, info: EndpointInfo, watch: _Watch) -> Flow[bool]:
    if info.has_failed or info.state == "paused":
        raise _failed(info, core)
    if info.url is None or info.state not in ("running", "scaledToZero"):
        return False
    # A call wakes an endpoint that has scaled to zero; this is one.
    answers = yield from _answers(core, info, watch)
    return answers and info.state == "running"


def _answers(core: Core, info: EndpointInfo, watch: _Watch) -> Flow[bool]:
    """Return whether the endpoint's health route answers 200."""
    assert info.url is not None
    url = check_url(info.url, setting="the endpoint's url")
    asked = WireRequest(
        method="GET",
        url=url + "/" + info.health_route.lstrip("/"),
        headers={"Accept": "*/*"},
        timeout=watch.limit(core.settings.timeout),
        auth=info.type != "public",
        settings=replace(core.settings, base_url=url),
        idempotent=True,
        operation="endpoints.health",
        model=info.repository,
    )
    try:
        return (yield from core.exchange(asked, _is_ok))
    except (AuthenticationError, PermissionDeniedError):
        raise  # it will not heal by waiting
    except APIError:
        return False  # not yet


def _is_ok(response: WireResponse) -> bool:
    return response.status == 200


def _failed(info: EndpointInfo, core: Core) -> EndpointFailedError:
    reason = info.error_message or info.message
    what = f"the endpoint {info.namespace}/{info.name} has the state {info.state}"
    error = EndpointFailedError(
        f"{what}: {reason}" if reason else what,
        endpoint=info,
        state=info.state,
        server_message=reason,
        operation="endpoints.wait",
        url=core.settings.endpoints_url,
    )
    if info.state == "paused":
        error.guidance = "A paused endpoint stays so until resume() is called."
    return error


def _late(info: EndpointInfo | None, name: str, watch: _Watch, core: Core) -> EndpointTimeoutError:
    state = info.state if info is not None else None
    known = f"its state is {state}" if state else "it could not be asked for"
    return EndpointTimeoutError(
        f"the endpoint {name} was not ready within {watch.deadline:g} s; {known}",
        endpoint=info,
        state=state,
        deadline=watch.deadline,
        operation="endpoints.wait",
        url=core.settings.endpoints_url,
    )
