"""Retry: when to repeat an attempt, how long to wait before it, when to give up.

Nothing is retried unless a :class:`RetryPolicy` (or ``max_retries``) is given. What may be
retried is a property of the error class (``retryable``): connection trouble, timeouts, cut
or half answers, 408, 424, 429 and 5xx other than 501; never other 4xx, never TLS, and never
once a piece of a stream was handed over. A generation is not free: repeating one whose answer
was lost can be billed twice, which is why the default is no retry, and why
``RetryPolicy(repeat_lost_answers=False)`` exists. What creates or deletes something
(``WireRequest.changes_state``) is repeated only if the server provably did nothing.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from shared_core.callbacks import RetryEvent
from shared_core.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    ConnectFailedError,
    ConnectionLostError,
    DeadlineExceededError,
    GatewayTimeoutError,
    InvalidSettingError,
    NameResolutionError,
    ProxyError,
    RateLimitError,
    RejectedError,
    RequestTimeoutError,
    ServiceUnavailableError,
    StreamEventError,
)
from shared_core.flow import Flow, Sleep
from shared_core.resilience.checks import number, whole
from shared_core.resilience.per_endpoint import PerEndpoint

if TYPE_CHECKING:
    from shared_core.resilience.pipeline import CallInfo, Next, Tools
    from shared_core.wire.messages import WireRequest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when to try again.

    Attributes:
        max_retries: Further attempts after the first; 0 switches retry off.
        initial_delay: Upper bound of the first wait, seconds.
        max_delay: Upper bound of any wait of our own choosing, seconds. The defaults
            (0.5 s doubling to 8 s) are those of the official OpenAI and Hub clients.
        multiplier: Growth of the bound from wait to wait, 1 to 100.
        max_server_wait: Longest wait asked for by the server that is honoured, seconds.
            A longer one fails at once, with the wait named in the error.
        repeat_lost_answers: Whether to repeat a call whose answer was lost on the way or timed
            out, which the server may have done and billed already. Calls that cost nothing,
            such as model lists, are repeated in any case.
        status_caps: ``(status, retries)``: a lower limit for some statuses. By default 424 (the
            model's server crashed) is retried twice and 504 (a gateway gave up on a long
            answer) once, as the router's protocol advises.
        budget_capacity: Tokens of the :class:`RetryBudget`, one for each host and pinned
            provider; 0 switches it off.
        budget_ratio: Tokens that a success gives back.
    """

    max_retries: int = 0
    initial_delay: float = 0.5
    max_delay: float = 8.0
    multiplier: float = 2.0
    max_server_wait: float = 60.0
    repeat_lost_answers: bool = True
    status_caps: tuple[tuple[int, int], ...] = ((424, 2), (504, 1))
    budget_capacity: float = 20.0
    budget_ratio: float = 0.5

    def __post_init__(self) -> None:
        whole("retry.max_retries", self.max_retries)
        for name in ("initial_delay", "max_delay", "max_server_wait"):
            number(f"retry.{name}", getattr(self, name))
        number("retry.multiplier", self.multiplier, low=1.0, high=100.0)
        number("retry.budget_capacity", self.budget_capacity)
        number("retry.budget_ratio", self.budget_ratio)
        try:
            caps = [(int(status), int(cap)) for status, cap in self.status_caps]
        except (TypeError, ValueError):
            caps = [(0, -1)]
        if any(cap < 0 for _, cap in caps):
            raise InvalidSettingError(
                f"retry.status_caps must be pairs (status, retries): {self.status_caps!r}",
                setting="retry.status_caps",
            )

    def allows(self, error: APIError, request: WireRequest | None = None) -> bool:
        """Return whether *error* may be answered by another attempt of *request*."""
        if not error.retryable:
            return False
        if request is not None and request.idempotent:
            return True
        if request is not None and request.changes_state:
            # A proxy answers 503 also when the connection behind it broke half-way: no proof.
            return never_done(error) and not isinstance(error, ServiceUnavailableError)
        return self.repeat_lost_answers or not maybe_done(error)

    def limit(self, error: APIError, request: WireRequest | None = None) -> int:
        """Return how many retries an attempt that ended with *error* can have at most."""
        if request is not None and request.idempotent:
            return self.max_retries
        status = getattr(error, "status_code", None)
        caps = [cap for code, cap in self.status_caps if code == status]
        return min([self.max_retries, *caps])

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
        asked = asked_wait(error)
        if asked is None:
            return self.backoff(retry, uniform)
        if asked > self.max_server_wait:
            return None
        return asked + uniform(0.0, min(0.1 * asked, 1.0))


def asked_wait(error: BaseException) -> float | None:
    """Return the seconds that the server asks to wait, or None if it does not."""
    asked = getattr(error, "retry_after", None)
    if asked is None:
        asked = getattr(error, "estimated_time", None)
    return None if asked is None else float(asked)


def never_done(error: APIError) -> bool:
    """Return whether the server provably did nothing: unsent, or refused with 429 or 503."""
    if isinstance(error, RateLimitError | ServiceUnavailableError):
        return True
    if isinstance(error, ConnectionLostError):
        return not error.maybe_processed
    if isinstance(error, APITimeoutError):
        return error.phase in ("connect", "pool")
    return isinstance(error, ConnectFailedError | NameResolutionError | ProxyError)


def maybe_done(error: APIError) -> bool:
    """Return whether the work may have been done, and billed, and only its answer was lost."""
    if isinstance(error, RequestTimeoutError | GatewayTimeoutError):
        return True
    if isinstance(error, APIStatusError | StreamEventError):
        return False  # the server itself says that it failed
    if isinstance(error, APIConnectionError):
        return not never_done(error)
    return True  # half an answer, a cut stream


@dataclass(slots=True)
class RetryBudget:
    """Stops retries while most attempts fail, so that an outage is not multiplied.

    gRPC's retry throttling (proposal A6): every failed attempt takes a token, every success
    gives ``ratio`` back, and nothing is retried while half or less is left. With these
    values retries survive a third of failing attempts, and a dead server gets about 1.1
    requests per call. It never waits. A capacity of 0 allows everything.
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
        if self.capacity == 0:
            return True
        with self._lock:
            self.tokens = max(0.0, self.tokens - 1.0)
            return self.tokens > self.capacity / 2

    def __deepcopy__(self, memo: object) -> RetryBudget:
        return RetryBudget(self.capacity, self.ratio, self.tokens)

    def __reduce__(self) -> tuple[type[RetryBudget], tuple[float, float, float]]:
        return RetryBudget, (self.capacity, self.ratio, self.tokens)


class Retrying:
    """The retry layer of a client, with the budgets that its calls share, one per endpoint."""

    def __init__(self, policy: RetryPolicy, tools: Tools) -> None:
        capacity, ratio = policy.budget_capacity, policy.budget_ratio
        self.policy = policy
        self.budgets = PerEndpoint(lambda _: RetryBudget(capacity, ratio, capacity))
        self._tools = tools

    def __call__(self, call: CallInfo, then: Next) -> Flow[Any]:
        """Run the call, several times if need be."""

        def notify(error: APIError, retry: int, wait: float) -> None:
            call.trace.slept += wait
            call.tell("on_retry", RetryEvent, attempt=retry, delay=wait, error=error)

        return retrying(
            lambda: then(call),
            self.policy,
            self.budgets[call.key],
            notify=notify,
            uniform=self._tools.uniform,
            request=call.request,
            expires=call.expires,
            clock=self._tools.clock,
        )


def retrying(
    attempt: Callable[[], Flow[T]],
    policy: RetryPolicy,
    budget: RetryBudget,
    *,
    notify: Callable[[APIError, int, float], None],
    uniform: Callable[[float, float], float] = random.uniform,
    request: WireRequest | None = None,
    expires: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Flow[T]:
    """Run *attempt* until it succeeds, fails for good, or the policy ends it.

    Args:
        attempt: Makes a fresh flow of one try.
        policy: When to try again.
        budget: Shared by the calls of a client to the same endpoint.
        notify: Told of the error, the number of the coming retry (from 1) and the wait.
        uniform: Source of randomness, ``random.uniform`` by default.
        request: What is sent, for what it says of repetitions.
        expires: Moment on *clock* at which the call's deadline ends.
        clock: Monotonic seconds.

    Raises:
        APIError: The last error; ``attempts`` says how many tries were made.
        DeadlineExceededError: The next attempt would start after the deadline. Its cause is
            the last error.
    """
    tries = 0
    last: APIError | None = None
    while True:
        tries += 1
        try:
            result = yield from attempt()
        except RejectedError as refusal:
            if last is None:
                raise
            raise refusal from last  # e.g. a breaker that this call's failures opened
        except APIError as error:
            error.attempts = tries
            last = error
            if not error.retryable:
                raise
            allowed = budget.failed() and policy.allows(error, request)
            if not allowed or tries > policy.limit(error, request):
                raise
            wait = policy.delay(error, tries, uniform)
            if wait is None:
                error.guidance = (
                    f"The server asks to wait {asked_wait(error) or 0.0:.0f} s, longer than the "
                    f"{policy.max_server_wait:.0f} s that a retry may wait "
                    f"(RetryPolicy.max_server_wait): call again later."
                )
                raise
            _check_deadline(error, wait, None if expires is None else expires - clock())
            notify(error, tries, wait)
        else:
            budget.succeeded()
            return result
        yield Sleep(wait)


def _check_deadline(error: APIError, wait: float, left: float | None) -> None:
    if left is None or wait < left:
        return
    raise DeadlineExceededError(
        f"the next attempt would start in {wait:.1f} s, but only {max(left, 0.0):.1f} s of the "
        f"call's deadline are left, after {error.attempts} attempts; the last one failed: "
        f"{error.message}",
        guidance=f"Raise Resilience.deadline, or try again in {wait:.0f} s or later.",
        wait=wait,
    ) from error
