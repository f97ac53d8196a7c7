"""The circuit breakers of a client: one per endpoint, and the layer that asks them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shared_core.callbacks import CircuitEvent, dispatch
from shared_core.errors import RouterError
from shared_core.flow import Flow, Outcome, when_ended
from shared_core.resilience.circuit_breaker import (
    MAX_ENDPOINTS,
    BreakerPolicy,
    CircuitBreaker,
    Permit,
    State,
    is_failure,
)

if TYPE_CHECKING:
    from shared_core.resilience.pipeline import CallInfo, Next, Tools


class CircuitBreakers:
    """The breakers of a client, one per endpoint, and the layer that asks them."""

    def __init__(self, policy: BreakerPolicy, tools: Tools) -> None:
        self.policy = policy
        self._tools = tools
        self._breakers: OrderedDict[str, CircuitBreaker] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, endpoint: str) -> CircuitBreaker:
        """Return the breaker of *endpoint* (its name, or ``https://host``), made if need be."""
        with self._lock:
            breaker = self._breakers.get(endpoint)
            if breaker is None:
                breaker = self._breakers[endpoint] = CircuitBreaker(
                    self.policy,
                    name=endpoint,
                    on_change=self._changed,
                    clock=self._tools.clock,
                    uniform=self._tools.uniform,
                )
                if len(self._breakers) > MAX_ENDPOINTS:
                    self._breakers.popitem(last=False)
            else:
                self._breakers.move_to_end(endpoint)
            return breaker

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._breakers))

    def __len__(self) -> int:
        return len(self._breakers)

    def _changed(self, breaker: CircuitBreaker, previous: State, reason: str) -> None:
        event = CircuitEvent(
            call_id="",
            operation="circuit",
            endpoint=breaker.name,
            state=breaker.state,
            previous=previous,
            retry_after=breaker.retry_after,
            reason=reason,
        )
        dispatch(self._tools.callbacks, "on_circuit", event)

    def layer(self, call: CallInfo, then: Next) -> Flow[Any]:
        """Ask the breaker of the call's endpoint, and tell it how the call ended."""
        permit = self[call.key].acquire()
        clock, trace = self._tools.clock, call.trace
        started, waited = clock(), trace.limited

        def told(outcome: Outcome) -> None:
            _judge(permit, outcome, seconds)

        ended = False
        try:
            result = yield from then(call)
            ended = True
        except RouterError as error:
            seconds = clock() - started - (trace.limited - waited)
            told(Outcome(error))
            raise
        finally:
            if not ended:
                permit.neutral()  # void if the error counted
        seconds = clock() - started - (trace.limited - waited)
        when_ended(result, told)
        return result


def _judge(permit: Permit, outcome: Outcome, seconds: float) -> None:
    failed = None if outcome.abandoned else is_failure(outcome.error)
    if failed is None:
        permit.neutral()
    elif failed:
        permit.failed(seconds)
    else:
        permit.succeeded(seconds)
