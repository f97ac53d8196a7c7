"""Retry: when to repeat an attempt, how long to wait before it, when to give up.

Nothing is retried unless a :class:`RetryPolicy` (or ``max_retries``) is given. What may be
retried is a property of the error class (``retryable``): connection trouble, timeouts, cut
or half answers, 408, 424, 429 and 5xx other than 501; never other 4xx, never TLS or name
resolution, never once a piece of a stream was handed over. A generation is not free:
repeating one whose answer was lost can be billed twice, which is why the default is no retry.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from shared_core.callbacks import RetryEvent
from shared_core.errors import APIError
from shared_core.flow import Flow, Sleep

if TYPE_CHECKING:
    from shared_core.resilience.pipeline import CallInfo, Next, Tools

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when to try again.

    Attributes:
        max_retries: Further attempts after the first; 0 switches retry off.
        initial_delay: Upper bound of the first wait, seconds.
        max_delay: Upper bound of any wait of our own choosing, seconds. The defaults
            (0.5 s doubling to 8 s) are those of the official OpenAI and Hub clients.
        multiplier: Growth of the bound from wait to wait.
        max_server_wait: Longest wait asked for by the server that is honoured, seconds.
            A longer one fails at once, with the wait named in the error.
    """

    max_retries: int = 0
    initial_delay: float = 0.5
    max_delay: float = 8.0
    multiplier: float = 2.0
    max_server_wait: float = 60.0

    def backoff(self, retry: int, uniform: Callable[[float, float], float]) -> float:
        """Return the wait before retry number *retry* (from 1): full jitter, growing bound."""
        bound = min(self.max_delay, self.initial_delay * self.multiplier ** min(retry - 1, 60))
        return uniform(0.0, bound)

    def delay(
        self, error: APIError, retry: int, uniform: Callable[[float, float], float]
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        A wait that the server asked for (``Retry-After``, ``RateLimit``, ``estimated_time``)
        is never shortened; up to a tenth is added, so that many clients do not return at once.
        """
        asked = getattr(error, "retry_after", None)
        if asked is None:
            asked = getattr(error, "estimated_time", None)
        if asked is None:
            return self.backoff(retry, uniform)
        if asked > self.max_server_wait:
            return None
        return float(asked) + uniform(0.0, min(0.1 * asked, 1.0))


@dataclass(slots=True)
class RetryBudget:
    """Stops retries while most attempts fail, so that an outage is not multiplied.

    gRPC's retry throttling (proposal A6): every failed attempt takes a token, every success
    gives ``ratio`` back, and nothing is retried while half or less is left. With these
    values retries survive a third of failing attempts, and a dead server gets about 1.1
    requests per call. It never waits.
    """

    capacity: float = 20.0
    ratio: float = 0.5
    tokens: float = field(default=20.0)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def succeeded(self) -> None:
        """Count an attempt that got its answer."""
        with self._lock:
            self.tokens = min(self.capacity, self.tokens + self.ratio)

    def failed(self) -> bool:
        """Count a failed attempt; return whether a retry is still allowed."""
        with self._lock:
            self.tokens = max(0.0, self.tokens - 1.0)
            return self.tokens > self.capacity / 2

    def __deepcopy__(self, memo: object) -> RetryBudget:
        return RetryBudget(self.capacity, self.ratio, self.tokens)

    def __reduce__(self) -> tuple[type[RetryBudget], tuple[float, float, float]]:
        return RetryBudget, (self.capacity, self.ratio, self.tokens)


class Retrying:
    """The retry layer of a client, with the budget that its calls share."""

    def __init__(self, policy: RetryPolicy, tools: Tools) -> None:
        self.policy = policy
        self.budget = RetryBudget()
        self._tools = tools

    def __call__(self, call: CallInfo, then: Next) -> Flow[Any]:
        """Run the call, several times if need be."""

        def notify(error: APIError, retry: int, wait: float) -> None:
            call.trace.slept += wait
            call.tell("on_retry", RetryEvent, attempt=retry, delay=wait, error=error)

        return retrying(
            lambda: then(call),
            self.policy,
            self.budget,
            notify=notify,
            uniform=self._tools.uniform,
        )


def retrying(
    attempt: Callable[[], Flow[T]],
    policy: RetryPolicy,
    budget: RetryBudget,
    *,
    notify: Callable[[APIError, int, float], None],
    uniform: Callable[[float, float], float] = random.uniform,
) -> Flow[T]:
    """Run *attempt* until it succeeds, fails for good, or the policy ends it.

    Args:
        attempt: Makes a fresh flow of one try.
        policy: When to try again.
        budget: Shared by the calls of a client.
        notify: Told of the error, the number of the coming retry (from 1) and the wait.
        uniform: Source of randomness, ``random.uniform`` by default.

    Raises:
        APIError: The last error; ``attempts`` says how many tries were made.
    """
    tries = 0
    while True:
        tries += 1
        try:
            result = yield from attempt()
        except APIError as error:
            error.attempts = tries
            if not error.retryable:
                raise
            allowed = budget.failed()
            if tries > policy.max_retries or not allowed:
                raise
            wait = policy.delay(error, tries, uniform)
            if wait is None:
                error.guidance = (
                    f"The server asks to wait {_asked(error):.0f} s, longer than the "
                    f"{policy.max_server_wait:.0f} s that a retry may wait "
                    f"(RetryPolicy.max_server_wait): call again later."
                )
                raise
            notify(error, tries, wait)
        else:
            budget.succeeded()
            return result
        yield Sleep(wait)


def _asked(error: APIError) -> float:
    asked = getattr(error, "retry_after", None) or getattr(error, "estimated_time", None)
    return float(asked or 0.0)
