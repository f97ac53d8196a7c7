"""The layers around an exchange: their order, and what they know of a call.

A layer is a function ``layer(call, then) -> Flow``: it runs ``then(call)``, the layers inside
it and the exchange, once, several times or not at all. The order is fixed, from the outside::

    deadline -> cache -> budget -> retry -> failover -> circuit breaker
            -> rate limiter -> exchange

A layer that is not asked for does not exist. Policies (:class:`Resilience` and what it holds)
are frozen; state belongs to the :class:`Pipeline`, which belongs to one client: a copy of a
client has the same policies and starts with fresh state.

Rules for layers: catch our own errors only; cancellation (any other exception, ``GeneratorExit``
included) is neither success nor failure and passes through; hold no lock across a ``yield``;
take clock and randomness from :class:`Tools`. What a stream came to is known after its flow has
returned: :func:`shared_core.flow.when_ended` tells it.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from shared_core.callbacks import Callback, dispatch
from shared_core.errors import APITimeoutError, InvalidSettingError
from shared_core.flow import Flow

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.core import CallContext
    from shared_core.resilience.breakers import CircuitBreakers
    from shared_core.resilience.circuit_breaker import BreakerPolicy
    from shared_core.resilience.failover import Failover, Pool
    from shared_core.resilience.rate_limiter import RateLimit, RateLimiters
    from shared_core.resilience.retry import RetryPolicy
    from shared_core.wire.messages import WireRequest


@dataclass(slots=True)
class Trace:
    """What happened to a call so far; shared by all its layers, written by them.

    Attributes:
        attempts: Exchanges begun.
        limited: Seconds spent waiting for the rate limiter.
        slept: Seconds spent between attempts.
        endpoint: Name of the endpoint of the last attempt, ``""`` without failover.
        model: Model that this endpoint was asked for; None without failover.
        provider: Provider that was pinned there.
        cached: Whether the result came from the cache.
    """

    attempts: int = 0
    limited: float = 0.0
    slept: float = 0.0
    endpoint: str = ""
    model: str | None = None
    provider: str | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class CallInfo:
    """One call on its way through the layers. Layers hand on changed copies.

    Attributes:
        request: What is to be sent.
        context: Names the call in events.
        listeners: Callbacks of the client and of the call.
        begin: Makes the result of an answer; a layer may look at the answer on its way.
        trace: What happened so far.
        expires: Moment on the pipeline's clock by which the answer must be here, or None.
        endpoint: Name of the chosen endpoint, ``""`` without failover.
    """

    request: WireRequest
    context: CallContext
    listeners: tuple[Callback, ...] = ()
    begin: Callable[[Any], Flow[Any]] | None = None
    trace: Trace = field(default_factory=Trace)
    expires: float | None = None
    endpoint: str = ""

    @property
    def key(self) -> str:
        """What breakers and limiters are kept by: endpoint, else origin, and pinned provider."""
        if self.endpoint:
            return self.endpoint
        scheme, _, rest = self.request.url.partition("://")
        origin = f"{scheme}://{rest.partition('/')[0].partition('?')[0]}"
        provider = self.request.provider
        return f"{origin}#{provider}" if provider else origin

    def tell(self, name: str, kind: Any, **facts: Any) -> None:
        """Build the event *kind* and give it to the listeners as *name*."""
        if self.listeners:
            context = self.context
            event = kind(
                call_id=context.call_id,
                operation=context.operation,
                model=context.model,
                provider=context.provider,
                url=self.request.url.partition("?")[0],
                **facts,
            )
            dispatch(self.listeners, name, event)


Next: TypeAlias = Callable[[CallInfo], Flow[Any]]
Layer: TypeAlias = Callable[[CallInfo, Next], Flow[Any]]


@dataclass(frozen=True, slots=True)
class Tools:
    """What the state of a layer is made with.

    Attributes:
        settings: The client's settings, or None in tests of policies.
        callbacks: The client's callbacks, for events that belong to no call.
        clock: Monotonic seconds.
        uniform: ``uniform(low, high)``, a random number.
    """

    settings: Settings | None = None
    callbacks: tuple[Callback, ...] = ()
    clock: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform


@runtime_checkable
class Mechanism(Protocol):
    """A policy, or a shared object, that makes a layer: what ``cache=`` and others take."""

    def layer(self, tools: Tools) -> Layer:
        """Return the layer, with state of its own or shared as the mechanism documents."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resilience:
    """What a client does about failures. Everything is off until it is set.

    Attributes:
        retry: When to try again.
        breaker: When to stop calling an endpoint that fails.
        rate_limit: How many requests and tokens to send in a time.
        failover: Other endpoints, models or providers to use instead.
        deadline: Seconds for a whole call, waits and repetitions included; of a stream, until
            its first event.
        cache: Answers that are used again.
        budget: What may be spent.
        metrics: What counts; the same as one more callback of the client.
    """

    retry: RetryPolicy | None = None
    breaker: BreakerPolicy | None = None
    rate_limit: RateLimit | None = None
    failover: Failover | None = None
    deadline: float | None = None
    cache: Mechanism | None = None
    budget: Mechanism | None = None
    metrics: Callback | None = None

    def __post_init__(self) -> None:
        from shared_core.resilience.checks import check_resilience

        check_resilience(self)

    @classmethod
    def production(
        cls, *, requests_per_second: float | None = None, deadline: float | None = 120.0
    ) -> Resilience:
        """Return a documented set for a service behind a product; print it to see the numbers.

        Args:
            requests_per_second: Turns the rate limiter on.
            deadline: Seconds for a whole call, default 120; None for no limit.
        """
        from shared_core.resilience.presets import production

        return production(requests_per_second=requests_per_second, deadline=deadline)

    def listeners(self, callbacks: tuple[Callback, ...]) -> tuple[Callback, ...]:
        """Return *callbacks* and those of the policies that listen to calls, each once."""
        found = list(callbacks)
        for policy in (self.metrics, self.budget):
            if isinstance(policy, Callback) and not any(policy is known for known in found):
                found.append(policy)
        return tuple(found)

    def __str__(self) -> str:
        from shared_core.resilience.presets import describe

        return describe(self)

    def __bool__(self) -> bool:
        return any(getattr(self, name) is not None for name in self.__slots__)


class Pipeline:
    """The layers of one client, with their state.

    Copies and pickles have the same policy and start with fresh state.

    Args:
        policy: Which layers, and how.
        tools: Clock, randomness, settings and callbacks.

    Attributes:
        policy: Which layers, and how.
        breakers: The circuit breakers by endpoint, or None.
        limiters: The rate limiters by endpoint, or None.
        pool: The endpoints of failover, or None.
    """

    def __init__(self, policy: Resilience, tools: Tools | None = None) -> None:
        self.policy = policy
        self._tools = tools = tools or Tools()
        self.breakers: CircuitBreakers | None = None
        self.limiters: RateLimiters | None = None
        self.pool: Pool | None = None
        self._layers = tuple(self._build(tools))

    def _build(self, tools: Tools) -> Sequence[Layer]:
        policy = self.policy
        layers: list[Layer] = []
        if policy.deadline is not None:
            layers.append(deadline_layer(policy.deadline, tools.clock))
        layers += [
            mechanism.layer(tools)
            for mechanism in (policy.cache, policy.budget)
            if mechanism is not None
        ]
        if policy.retry is not None and policy.retry.max_retries > 0:
            from shared_core.resilience.retry import Retrying

            layers.append(Retrying(policy.retry, tools))
        if policy.failover is not None:
            from shared_core.resilience.failover import Pool

            self.pool = Pool(policy.failover, tools)
            layers.append(self.pool.layer)
        if policy.breaker is not None:
            from shared_core.resilience.breakers import CircuitBreakers

            self.breakers = CircuitBreakers(policy.breaker, tools)
            layers.append(self.breakers.layer)
        if policy.rate_limit is not None:
            from shared_core.resilience.rate_limiter import RateLimiters

            self.limiters = RateLimiters(policy.rate_limit, tools)
            layers.append(self.limiters.layer)
        return layers

    @property
    def reads_ahead(self) -> bool:
        """Whether a stream counts as opened only when its first event is here."""
        policy = self.policy
        retries = policy.retry is not None and policy.retry.max_retries > 0
        return retries or policy.failover is not None or policy.breaker is not None

    @property
    def rebuilds(self) -> bool:
        """Whether requests may have to be made again for another endpoint."""
        return self.pool is not None

    def redact(self, text: str) -> str:
        """Return *text* without the tokens of all endpoints."""
        settings = self._tools.settings
        if settings is not None:
            text = settings.redact(text)
        return text if self.pool is None else self.pool.redact(text)

    def flow(self, call: CallInfo, exchange: Next) -> Flow[Any]:
        """Return *exchange* with all layers around it, for one call."""
        step = exchange
        for layer in reversed(self._layers):
            step = _inside(layer, step)
        return step(call)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pipeline:
        callbacks = copy.deepcopy(self._tools.callbacks, memo)
        return Pipeline(self.policy, replace(self._tools, callbacks=callbacks))

    def __reduce__(self) -> tuple[Any, ...]:
        tools = self._tools
        return _rebuild, (self.policy, tools.settings, tools.callbacks)

    def __repr__(self) -> str:
        names = [name for name in self.policy.__slots__ if getattr(self.policy, name) is not None]
        return f"<Pipeline {', '.join(names) or 'empty'}>"


def _rebuild(
    policy: Resilience, settings: Settings | None, callbacks: tuple[Callback, ...]
) -> Pipeline:
    return Pipeline(policy, Tools(settings, callbacks))


def _inside(layer: Layer, then: Next) -> Next:
    def step(call: CallInfo) -> Flow[Any]:
        return layer(call, then)

    return step


def deadline_layer(seconds: float, clock: Callable[[], float] = time.monotonic) -> Layer:
    """Return the layer that bounds a whole call, waits and repetitions included.

    The layers inside refuse a wait that does not fit; the attempt that is running when the
    time is over ends with a timeout.

    Args:
        seconds: Time for the call; of a stream, until its first event.
        clock: Monotonic seconds. The wire ends attempts by ``time.monotonic``.
    """

    def layer(call: CallInfo, then: Next) -> Flow[Any]:
        expires = clock() + seconds
        bounded = replace(call, expires=expires, request=replace(call.request, expires=expires))
        try:
            return (yield from then(bounded))
        except APITimeoutError as error:
            if clock() >= expires:
                error.timeout = seconds
                error.guidance = (
                    f"The deadline of {seconds:g} s for the whole call was over "
                    "(Resilience.deadline): raise it, lower max_tokens, or stream the answer."
                )
            raise

    return layer


def resilience_of(resilience: Resilience | None, retry: RetryPolicy | None) -> Resilience | None:
    """Return the policies of a client, ``retry=`` and ``max_retries=`` being shorthands.

    Raises:
        InvalidSettingError: Retry is set twice.
    """
    if retry is None or retry.max_retries == 0:
        return resilience or None
    if resilience is None:
        return Resilience(retry=retry)
    if resilience.retry is not None:
        raise InvalidSettingError(
            "retry is set twice: by max_retries or retry, and by resilience.retry",
            setting="resilience",
        )
    return replace(resilience, retry=retry)
