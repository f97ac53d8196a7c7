"""The circuit breakers of a client: one per endpoint, and the layer that asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared_core.callbacks import CircuitEvent, dispatch
from shared_core.errors import RouterError
from shared_core.flow import Flow, Outcome, when_ended
from shared_core.resilience.circuit_breaker import (
    BreakerPolicy,
    CircuitBreaker,
    Permit,
    State,
    is_failure,
)
from shared_core.resilience.per_endpoint import PerEndpoint

if TYPE_CHECKING:
    from shared_core.resilience.pipeline import CallInfo, Next, Tools


class CircuitBreakers(PerEndpoint[CircuitBreaker]):
    """The breakers of a client, one per endpoint, and the layer that asks them."""

    def __init__(self, policy: BreakerPolicy, tools: Tools) -> None:
        def make(endpoint: str) -> CircuitBreaker:
            return CircuitBreaker(
                policy,
                name=endpoint,
                on_change=self._changed,
                clock=tools.clock,
                uniform=tools.uniform,
            )

        super().__init__(make)
        self.policy = policy
        self._tools = tools

    def _changed(self, breaker: CircuitBreaker, state: State, previous: State, reason: str) -> None:
        event = CircuitEvent(
            call_id="",
            operation="circuit",
            endpoint=breaker.name,
            state=state,
            previous=previous,
            retry_after=breaker.retry_after if state == "open" else None,
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
