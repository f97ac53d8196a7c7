"""Calls in the log: one line each, with the facts as a dict for structured handlers."""

from __future__ import annotations

import logging
from typing import Any

from shared_core.callbacks import (
    BudgetEvent,
    CacheEvent,
    Callback,
    CallEndEvent,
    CircuitEvent,
    Event,
    FailoverEvent,
    RateLimitEvent,
    RequestEvent,
    RetryEvent,
)


class CallLogger(Callback):
    """Logs calls to ``logging.getLogger("hfrouter")``; never a prompt, an answer or a token.

    INFO: calls that ended well or were abandoned, retries, waits for the limiter. WARNING:
    failed calls, failovers, breakers, refusals. DEBUG: attempts and the cache. Every record
    has an attribute ``hfrouter``: a dict of the facts.
    """

    def on_call_end(self, event: CallEndEvent) -> None:
        """Log how a call ended."""
        usage = event.usage
        facts = {
            "outcome": event.outcome,
            "seconds": round(event.elapsed, 6),
            "attempts": event.attempts,
            "cached": event.cached,
            "error": None if event.error is None else type(event.error).__name__,
            "status": getattr(event.error, "status_code", None),
            "request_id": getattr(event.error, "request_id", None)
            or getattr(event.result, "request_id", None),
            "input_tokens": getattr(usage, "prompt_tokens", None),
            "output_tokens": getattr(usage, "completion_tokens", None),
        }
        level = logging.WARNING if event.outcome == "error" else logging.INFO
        _log(level, "call ended", event, facts)

    def on_request(self, event: RequestEvent) -> None:
        """Log an attempt."""
        _log(logging.DEBUG, "attempt", event, {"attempt": event.attempt, "stream": event.stream})

    def on_retry(self, event: RetryEvent) -> None:
        """Log a retry."""
        error = type(event.error).__name__
        facts = {"retry": event.attempt, "wait": round(event.delay, 3), "error": error}
        _log(logging.INFO, "retry", event, facts)

    def on_failover(self, event: FailoverEvent) -> None:
        """Log a change of endpoint."""
        error = None if event.error is None else type(event.error).__name__
        facts = {"from": event.endpoint, "to": event.target, "error": error}
        _log(logging.WARNING, "failover", event, facts)

    def on_circuit(self, event: CircuitEvent) -> None:
        """Log a change of a circuit breaker."""
        facts = {"endpoint": event.endpoint, "state": event.state, "previous": event.previous}
        _log(logging.WARNING, "circuit", event, facts)

    def on_rate_limit(self, event: RateLimitEvent) -> None:
        """Log a wait or a refusal of our own limiter."""
        facts = {"endpoint": event.endpoint, "wait": round(event.delay, 3)}
        if event.refused:
            _log(logging.WARNING, "refused by the rate limiter", event, facts)
        else:
            _log(logging.INFO, "waiting for the rate limiter", event, facts)

    def on_cache(self, event: CacheEvent) -> None:
        """Log an event of the cache."""
        facts = {"outcome": event.outcome, "bytes": event.size}
        _log(logging.DEBUG, "cache", event, facts)

    def on_budget(self, event: BudgetEvent) -> None:
        """Log a refusal of the budget."""
        facts = {"limit": event.limit, "spent": event.spent, "estimate": event.estimate}
        _log(logging.WARNING, "refused by the budget", event, facts)


def _log(level: int, what: str, event: Event, facts: dict[str, Any]) -> None:
    from shared_core.error_base import redact
    from shared_core.log import logger

    if not logger.isEnabledFor(level):
        return
    known = {
        "call_id": event.call_id,
        "operation": event.operation,
        "model": event.model,
        "provider": event.provider,
        **facts,
    }
    # A server may echo a token, e.g. as its request id: hide it for structured handlers too.
    found = {
        name: redact(value) if isinstance(value, str) else value
        for name, value in known.items()
        if value not in (None, "")
    }
    text = " ".join(f"{name}={value}" for name, value in found.items())
    logger.log(level, "%s %s", what, text, extra={"hfrouter": {"event": what, **found}})
