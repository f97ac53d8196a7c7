"""Circuit breaker: stop calling an endpoint that keeps failing, and probe when it is back.

States: *closed* (calls pass and are counted), *open* (calls are refused at once), *half-open*
(a few probes pass), *isolated* (opened by hand, until reset by hand). What counts: connection
failures, timeouts, 5xx, and broken or cut answers are failures; 4xx and 429 are no sign of a
sick endpoint and count for nothing, and neither do calls that the caller cancelled. A proxy on the
way that refuses or is away says nothing of the endpoint; one that cannot reach it does. A stream
counts when it ends, not when its headers arrive.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from shared_core.errors import (
    APIConnectionError,
    APIError,
    CircuitOpenError,
    IncompleteResponseError,
    InvalidSettingError,
    ModelLoadingError,
    NotImplementedByServerError,
    ProxyError,
    ProxyUnavailableError,
    RouterError,
    StreamError,
)
from shared_core.resilience.checks import number, whole

_OUT_OF_REACH = (502, 503, 504)
"""Statuses of a proxy for a server that it cannot reach (RFC 9110, 15.6; Squid answers 503)."""

State = Literal["closed", "open", "half-open", "isolated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a breaker opens, and how it closes again.

    Attributes:
        failure_ratio: Share of failed calls in the window at which it opens, 0 to 1.
        minimum_calls: Calls in the window below which it never opens.
        window_seconds: Length of a window by time. None: only the count decides.
        window_calls: Length of a window by count: the last so many calls. With both, calls
            count that are in both.
        slow_seconds: Time to the answer, of a stream to its first event, from which a call is
            slow; the wait for the rate limiter is not counted. None: no call is.
        slow_ratio: Share of slow calls at which it opens.
        open_seconds: Time that it stays open the first time.
        max_open_seconds: Longest time: it doubles with each probe that fails.
        jitter: Share of the open time that is added at random, so that many clients do not
            probe at once.
        probes: Calls let through at once when half-open, and successes needed to close.
        probe_seconds: Time after which a probe that did not end gives up its place.
    """

    failure_ratio: float = 0.5
    minimum_calls: int = 10
    window_seconds: float | None = 30.0
    window_calls: int = 100
    slow_seconds: float | None = None
    slow_ratio: float = 0.8
    open_seconds: float = 5.0
    max_open_seconds: float = 60.0
    jitter: float = 0.2
    probes: int = 1
    probe_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("failure_ratio", "slow_ratio"):
            number(f"breaker.{name}", getattr(self, name), high=1.0, above=True)
        for name in ("minimum_calls", "window_calls", "probes"):
            whole(f"breaker.{name}", getattr(self, name), low=1)
        for name in ("open_seconds", "max_open_seconds", "probe_seconds"):
            number(f"breaker.{name}", getattr(self, name), above=True)
        for name in ("window_seconds", "slow_seconds"):
            if getattr(self, name) is not None:
                number(f"breaker.{name}", getattr(self, name), above=True)
        number("breaker.jitter", self.jitter, high=1.0)
        if self.minimum_calls > self.window_calls:
            raise InvalidSettingError(
                f"breaker.minimum_calls ({self.minimum_calls}) is above breaker.window_calls "
                f"({self.window_calls}): the breaker would never open",
                setting="breaker.minimum_calls",
            )


def is_failure(error: RouterError | None) -> bool | None:
    """Return whether a call that ended with *error* speaks against its endpoint.

    Returns:
        True for a failure, False for a success, None for what counts for nothing: 4xx, 429, 501,
        a model that is loading, our own refusals, a proxy that refuses or is away.
    """
    if error is None:
        return False
    if isinstance(error, NotImplementedByServerError | ModelLoadingError):
        return None
    if isinstance(error, APIError):
        status = getattr(error, "status_code", None)
        if isinstance(error, ProxyError):
            return _blames_the_endpoint(error) or None
        if isinstance(error, APIConnectionError | IncompleteResponseError):
            return True
        if isinstance(error, StreamError) and not isinstance(status, int):
            return True
        if isinstance(status, int) and status >= 500:
            return True
    return None


def _blames_the_endpoint(error: ProxyError) -> bool:
    """Return whether the proxy says, or seems to find, that it cannot reach the endpoint.

    Its 502, 503 (Squid) and 504 say so. Silence does where it took the connection: it may wait for
    an endpoint that does not answer for longer than we wait for it.
    """
    if not isinstance(error, ProxyUnavailableError):
        return False
    if error.proxy_status is None:
        return error.proxy_reached
    return error.proxy_status in _OUT_OF_REACH


class _Window:
    """The last calls with running sums: constant work per call."""

    __slots__ = ("_calls", "_policy", "failed", "slow")

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._calls: deque[tuple[float, bool, bool]] = deque()
        self.failed = 0
        self.slow = 0

    def add(self, now: float, failed: bool, slow: bool) -> None:
        self._calls.append((now, failed, slow))
        self.failed += failed
        self.slow += slow
        self.forget(now)

    def forget(self, now: float) -> None:
        calls, policy = self._calls, self._policy
        oldest = float("-inf") if policy.window_seconds is None else now - policy.window_seconds
        while calls and (len(calls) > policy.window_calls or calls[0][0] <= oldest):
            _, failed, slow = calls.popleft()
            self.failed -= failed
            self.slow -= slow

    def clear(self) -> None:
        self._calls.clear()
        self.failed = self.slow = 0

    def __len__(self) -> int:
        return len(self._calls)


class Permit:
    """Leave to make one call. End it with exactly one of the three methods; later ones are void."""

    __slots__ = ("_breaker", "_ended", "probe", "round")

    def __init__(self, breaker: CircuitBreaker, round_: int, probe: bool) -> None:
        self._breaker = breaker
        self._ended = False
        self.round = round_
        self.probe = probe

    def succeeded(self, seconds: float = 0.0) -> None:
        """Count a success that took *seconds* to the answer or first event."""
        self._end(False, seconds)

    def failed(self, seconds: float = 0.0) -> None:
        """Count a failure."""
        self._end(True, seconds)

    def neutral(self) -> None:
        """Count nothing: cancelled, or no sign of the endpoint's health."""
        self._end(None, 0.0)

    def _end(self, failed: bool | None, seconds: float) -> None:
        if not self._ended:
            self._ended = True
            self._breaker._count(self, failed, seconds)


class CircuitBreaker:
    """The breaker of one endpoint. Safe to share between threads and tasks; never waits.

    Args:
        policy: When it opens and closes.
        name: Endpoint, for errors and events.
        on_change: Called as ``on_change(breaker, state, previous, reason)`` after each change
            of state: in their order, one at a time, outside of any lock.
        clock: Monotonic seconds.
        uniform: Source of randomness.
    """

    def __init__(
        self,
        policy: BreakerPolicy | None = None,
        *,
        name: str = "",
        on_change: Callable[[CircuitBreaker, State, State, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.policy = policy or BreakerPolicy()
        self.name = name
        self._on_change = on_change
        self._clock = clock
        self._uniform = uniform
        # Reentrant: an abandoned flow may give its permit back while the garbage collector
        # runs, in the very thread that is inside the lock.
        self._lock = threading.RLock()
        self._state: State = "closed"
        self._window = _Window(self.policy)
        self._round = 0  # permits of an earlier round count for nothing
        self._opened = 0  # times opened since it was last closed
        self._until = 0.0
        self._probes: list[tuple[float, Permit]] = []
        self._good_probes = 0
        self._untold: deque[tuple[State, State, str]] = deque()
        self._telling = False

    @property
    def state(self) -> State:
        """The state now; an open breaker whose time is over is half-open."""
        with self._lock:
            over = self._state == "open" and self._clock() >= self._until
            return "half-open" if over else self._state

    @property
    def retry_after(self) -> float | None:
        """Seconds until the next probe, None unless open."""
        with self._lock:
            left = self._until - self._clock()
            return left if self._state == "open" and left > 0 else None

    def acquire(self) -> Permit:
        """Return leave to make a call.

        Raises:
            CircuitOpenError: It is open or isolated, or its probes are under way.
                ``retry_after`` says when to try again, if that is known.
        """
        with self._lock:
            now = self._clock()
            if self._state == "open" and now >= self._until:
                self._become("half-open", "its open time is over")
            if self._state == "closed":
                return Permit(self, self._round, False)
            if self._state == "half-open":
                self._probes = [one for one in self._probes if one[0] > now]
                if len(self._probes) < self.policy.probes:
                    permit = Permit(self, self._round, True)
                    self._probes.append((now + self.policy.probe_seconds, permit))
                else:
                    permit = None
            else:
                permit = None
            refusal = None if permit is not None else self._refusal(now)
        self._tell()
        if permit is None:
            assert refusal is not None
            raise refusal
        return permit

    def isolate(self) -> None:
        """Open by hand: refuse all calls until :meth:`reset`."""
        self._by_hand("isolated")

    def reset(self) -> None:
        """Close by hand and forget what was counted."""
        self._by_hand("closed")

    def _by_hand(self, state: State) -> None:
        with self._lock:
            self._become(state, "by hand")
        self._tell()

    def _refusal(self, now: float) -> CircuitOpenError:
        if self._state == "isolated":
            text, wait = "was taken out of service by hand", None
        elif self._state == "half-open":
            text = "is being probed; other calls wait for the result"
            wait = None
        else:
            wait = max(self._until - now, 0.0)
            text = f"failed too often; the next probe is in {wait:.1f} s"
        error = CircuitOpenError(f"circuit open: {self.name or 'the endpoint'} {text}")
        error.endpoint, error.retry_after = self.name, wait
        return error

    def _become(self, state: State, reason: str) -> None:
        """Change the state, inside the lock; :meth:`_tell` tells of it afterwards."""
        previous, self._state = self._state, state
        if previous != state and self._on_change is not None:
            self._untold.append((state, previous, reason))
        self._round += 1
        self._probes = []
        self._good_probes = 0
        self._window.clear()
        if state == "open":
            policy = self.policy
            grown = policy.open_seconds * 2.0 ** min(self._opened, 60)
            seconds = min(grown, policy.max_open_seconds)
            self._opened += 1
            self._until = self._clock() + seconds + self._uniform(0.0, policy.jitter * seconds)
        elif state != "half-open":
            self._opened = 0

    def _count(self, permit: Permit, failed: bool | None, seconds: float) -> None:
        policy = self.policy
        slow = policy.slow_seconds is not None and seconds >= policy.slow_seconds
        with self._lock:
            if permit.round != self._round:
                return
            if permit.probe:
                self._probes = [one for one in self._probes if one[1] is not permit]
                if failed is None:
                    return
                if failed or slow:
                    self._become("open", "a probe failed")
                else:
                    self._good_probes += 1
                    if self._good_probes >= policy.probes:
                        self._become("closed", "the probes succeeded")
            elif failed is not None:
                window = self._window
                window.add(self._clock(), failed, slow)
                calls = len(window)
                if calls >= policy.minimum_calls:
                    if window.failed / calls >= policy.failure_ratio:
                        self._become("open", f"{window.failed} of {calls} calls failed")
                    elif window.slow / calls >= policy.slow_ratio:
                        self._become("open", f"{window.slow} of {calls} calls were slow")
        self._tell()

    def _tell(self) -> None:
        """Tell of the changes so far, unless another thread is doing so."""
        while self._untold:
            with self._lock:
                if self._telling or not self._untold:
                    return
                self._telling = True
                change = self._untold.popleft()
            try:
                if self._on_change is not None:
                    self._on_change(self, *change)
            finally:
                self._telling = False

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r} {self.state}>"
