"""Rate limiter: token buckets per second, minute and hour, by requests and by tokens.

Waiting is decided when a caller comes, not when it wakes up: each gets the earliest moment at
which all buckets hold what it takes, after everybody who came before. That is first come, first
served by construction, needs no queue of sleepers, and tells at once whether a deadline can be
kept. A caller that leaves while it waits gives its place back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared_core.callbacks import RateLimitEvent
from shared_core.errors import InvalidSettingError, RateLimiterRejectedError, RateLimitError
from shared_core.flow import Flow, Outcome, Sleep, arun, run, when_ended
from shared_core.resilience.checks import number
from shared_core.resilience.per_endpoint import PerEndpoint
from shared_core.resilience.prices import believable
from shared_core.resilience.schedule import Rate, Schedule, Ticket

if TYPE_CHECKING:
    from shared_core.resilience.pipeline import CallInfo, Next, Tools
    from shared_core.resilience.shared_limits import RedisLimitStore
    from shared_core.wire.messages import WireRequest

LONGEST_PAUSE = 60.0
"""Longest pause, seconds, that one answer of a server puts on all calls (reliability.md 1)."""

_PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How much may be sent. A bucket starts full, so that the first calls do not wait.

    Attributes:
        per_second: Requests per second.
        per_minute: Requests per minute.
        per_hour: Requests per hour.
        tokens_per_second: Tokens per second, of prompt and answer together.
        tokens_per_minute: Tokens per minute.
        tokens_per_hour: Tokens per hour.
        burst: Requests that may go out at once after a pause, at most; by default as many as
            the rate of each period allows.
        max_wait: Longest wait for a permit, seconds; a call that would wait longer is refused
            at once. None: any wait.
        pause_on_429: Whether an answer 429 with a wait holds back the other calls too, with a
            ``store`` those of all processes.
        estimate: ``estimate(request)`` guesses the tokens of a call beforehand; by default a
            quarter of the characters of its body, plus its ``max_tokens``. The count in the
            answer corrects the guess.
        store: Shares the limit between processes: ``RedisLimitStore(...)``.
    """

    per_second: float | None = None
    per_minute: float | None = None
    per_hour: float | None = None
    tokens_per_second: float | None = None
    tokens_per_minute: float | None = None
    tokens_per_hour: float | None = None
    burst: float | None = None
    max_wait: float | None = 60.0
    pause_on_429: bool = True
    estimate: Callable[[WireRequest], int] | None = None
    store: RedisLimitStore | None = None

    def __post_init__(self) -> None:
        given = [name for name in self._names() if getattr(self, name) is not None]
        if not given:
            raise InvalidSettingError(
                "a rate limit needs at least one rate, e.g. RateLimit(per_second=5)",
                setting="rate_limit",
            )
        for name in given:
            number(f"rate_limit.{name}", getattr(self, name), above=True)
        if self.burst is not None:
            number("rate_limit.burst", self.burst, low=1.0)
        if self.max_wait is not None:
            number("rate_limit.max_wait", self.max_wait)

    @staticmethod
    def _names() -> Iterator[str]:
        for prefix in ("per_", "tokens_per_"):
            for period in _PERIODS:
                yield prefix + period

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The buckets."""
        found = []
        for name in self._names():
            value = getattr(self, name)
            if value is not None:
                tokens = name.startswith("tokens")
                capacity = max(float(value), 1.0)
                if self.burst is not None and not tokens:
                    capacity = min(capacity, float(self.burst))
                seconds = _PERIODS[name.rpartition("_")[2]]
                found.append(Rate(capacity, value / seconds, tokens))
        return tuple(found)

    @property
    def counts_tokens(self) -> bool:
        """Whether tokens are limited at all."""
        return any(rate.tokens for rate in self.rates)


class RateLimiter:
    """A rate limiter to use alone or as a layer; safe to share between threads and tasks.

    Args:
        limit: How much may be sent.
        name: Endpoint, for errors.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        limit: RateLimit,
        *,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self.name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._schedule = Schedule(limit.rates, clock())
        # Who left the line, and when; None: with a permit that was not used. An abandoned flow
        # may end while the garbage collector runs, in the very thread that is inside the lock:
        # it must not take it.
        self._left: deque[tuple[Ticket, float | None]] = deque()

    def acquire(
        self, requests: float = 1, tokens: float = 0, *, timeout: float | None = None
    ) -> None:
        """Wait for a permit, blocking.

        Args:
            requests: How many requests it is for.
            tokens: How many tokens.
            timeout: Longest wait in seconds; that of the policy by default.

        Raises:
            RateLimiterRejectedError: The wait would be longer; ``retry_after`` says how long.
                Nothing was taken, and no time passed.
        """
        run(self.taking(requests, tokens, timeout), _no_wire)

    async def aacquire(
        self, requests: float = 1, tokens: float = 0, *, timeout: float | None = None
    ) -> None:
        """Wait for a permit in the running event loop; see :meth:`acquire`."""
        await arun(self.taking(requests, tokens, timeout), _no_wire)

    def try_acquire(self, requests: float = 1, tokens: float = 0) -> bool:
        """Take a permit if there is one now; never waits. Asks the local buckets only."""
        with self._lock:
            now = self._now()
            if self._schedule.wait(requests, tokens, now) > 0:
                return False
            self._schedule.book(requests, tokens, now)
            return True

    def wait(self, requests: float = 1, tokens: float = 0) -> float:
        """Return the seconds that a caller would wait who came now; takes nothing."""
        with self._lock:
            return self._schedule.wait(requests, tokens, self._now())

    def _now(self) -> float:
        """Return the time, after those who left the line were taken out of it."""
        while self._left:
            ticket, moment = self._left.popleft()
            if moment is None:
                self._schedule.refund(ticket, self._clock())
            else:
                self._schedule.cancel(ticket, moment)
        return self._clock()

    def pause(self, seconds: float) -> None:
        """Let nobody who comes from now on go for *seconds*."""
        with self._lock:
            self._schedule.pause(self._clock() + seconds)

    def settle(self, ticket: Ticket, tokens: float) -> None:
        """Correct the tokens taken by *ticket* to *tokens*."""
        with self._lock:
            self._schedule.settle(ticket, tokens, self._now())

    def taking(
        self,
        requests: float = 1,
        tokens: float = 0,
        timeout: float | None = None,
        told: Callable[[float, bool], None] | None = None,
    ) -> Flow[Ticket]:
        """Return the flow that waits for a permit.

        Args:
            requests: How many requests.
            tokens: How many tokens.
            timeout: Longest wait in seconds; that of the policy by default.
            told: Called as ``told(delay, refused)`` when there is no permit at once.

        Raises:
            RateLimiterRejectedError: The wait would be longer.
        """
        longest = self.limit.max_wait if timeout is None else timeout
        ticket = self._book(requests, tokens, longest, told)
        if ticket.wait > 0:
            held = False
            try:
                yield Sleep(ticket.wait)
                held = True
            finally:
                if not held:
                    self._left.append((ticket, self._clock()))
        if self.limit.store is not None:
            left = None if longest is None else max(longest - ticket.wait, 0.0)
            shared = False
            try:
                ticket.shared = yield from self.limit.store.taking(
                    self.limit, self.name, requests, tokens, left
                )
                shared = True
            finally:
                if not shared:  # refused, or left: the buckets of this process keep theirs
                    self._left.append((ticket, None))
        return ticket

    def _book(
        self,
        requests: float,
        tokens: float,
        longest: float | None,
        told: Callable[[float, bool], None] | None,
    ) -> Ticket:
        with self._lock:
            now = self._now()
            wait = self._schedule.wait(requests, tokens, now)
            refused = longest is not None and wait > longest
            ticket = None if refused else self._schedule.book(requests, tokens, now)
        if wait > 0 and told is not None:
            told(wait, refused)
        if ticket is None:
            raise refusal(self.name, wait, longest or 0.0)
        return ticket

    def __repr__(self) -> str:
        return f"<RateLimiter {self.name!r} {self.limit!r}>"


def refusal(name: str, wait: float, longest: float) -> RateLimiterRejectedError:
    """Return the error for a permit that comes in *wait* seconds, later than *longest*."""
    where = f" of {name}" if name else ""
    error = RateLimiterRejectedError(
        f"the rate limiter{where} has a permit in {wait:.1f} s, and the call may wait "
        f"{longest:.1f} s"
    )
    error.endpoint, error.retry_after = name, wait
    return error


_no_wire: Any = None  # flows that only sleep need none


class RateLimiters(PerEndpoint[RateLimiter]):
    """The limiters of a client, one per endpoint, and the layer that asks them."""

    def __init__(self, limit: RateLimit, tools: Tools) -> None:
        super().__init__(lambda endpoint: RateLimiter(limit, name=endpoint, clock=tools.clock))
        self.limit = limit
        self._tools = tools
        self._counts_tokens = limit.counts_tokens

    def layer(self, call: CallInfo, then: Next) -> Flow[Any]:
        """Wait for a permit within the call's deadline, then go on."""
        limiter, clock = self[call.key], self._tools.clock
        tokens = self._estimate(call.request) if self._counts_tokens else 0
        longest = self.limit.max_wait
        if call.expires is not None:
            left = max(call.expires - clock(), 0.0)
            longest = left if longest is None else min(longest, left)

        def told(delay: float, refused: bool) -> None:
            call.tell(
                "on_rate_limit",
                RateLimitEvent,
                endpoint=limiter.name,
                delay=delay,
                refused=refused,
            )

        started = clock()
        ticket = yield from limiter.taking(1, tokens, longest, told)
        call.trace.limited += clock() - started
        try:
            result = yield from then(call)
        except RateLimitError as error:
            if self.limit.pause_on_429 and error.retry_after:
                pause = min(error.retry_after, LONGEST_PAUSE)
                limiter.pause(pause)
                if self.limit.store is not None:
                    yield from self.limit.store.pausing(limiter.name, pause)
            raise
        if not tokens:
            return result
        if hasattr(result, "_when_ended"):
            when_ended(result, _settling(limiter, ticket))
        elif used := _used(getattr(result, "usage", None)):
            limiter.settle(ticket, used)
            if self.limit.store is not None and ticket.shared is not None:
                yield from self.limit.store.correcting(
                    self.limit, limiter.name, ticket.shared, used
                )
        return result

    def _estimate(self, request: WireRequest) -> int:
        if self.limit.estimate is not None:
            return self.limit.estimate(request)
        return estimate_tokens(request)


def _settling(limiter: RateLimiter, ticket: Ticket) -> Callable[[Outcome], None]:
    def told(outcome: Outcome) -> None:
        used, store = _used(outcome.usage), limiter.limit.store
        if used:
            limiter.settle(ticket, used)
            if store is not None and ticket.shared is not None:
                store.correct_soon(limiter.limit, limiter.name, ticket.shared, used)

    return told


def _used(usage: Any) -> int:
    """Return the tokens that a server counted, 0 if it did not."""
    return int(usage.total_tokens) if believable(usage) else 0


def estimate_tokens(request: WireRequest) -> int:
    """Guess the tokens of a call: a quarter of its characters, plus ``max_tokens``.

    Args:
        request: What is to be sent.
    """
    body = request.body() or b""
    asked = 0
    if isinstance(request.json, dict):
        for name in ("max_completion_tokens", "max_tokens"):
            value = request.json.get(name)
            if isinstance(value, int) and value > 0:
                asked = value
                break
    return len(body) // 4 + asked
