"""Documented bundles of policies, and how they are shown: every number in plain sight."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from shared_core.resilience.circuit_breaker import BreakerPolicy
from shared_core.resilience.rate_limiter import RateLimit
from shared_core.resilience.retry import RetryPolicy

if TYPE_CHECKING:
    from shared_core.resilience.pipeline import Resilience

_ORDER = ("metrics", "deadline", "cache", "budget", "retry", "failover", "breaker", "rate_limit")


def production(
    *, requests_per_second: float | None = None, deadline: float | None = 120.0
) -> Resilience:
    """Return a set for a service behind a product: deadline, retry, breaker, maybe a limiter.

    Args:
        requests_per_second: Turns the rate limiter on.
        deadline: Seconds for a whole call.
    """
    from shared_core.resilience.pipeline import Resilience

    limit = None if requests_per_second is None else RateLimit(per_second=requests_per_second)
    return Resilience(
        deadline=deadline,
        retry=RetryPolicy(max_retries=3),
        breaker=BreakerPolicy(),
        rate_limit=limit,
    )


def describe(policy: Resilience) -> str:
    """Return all layers from the outside in, with every number.

    Args:
        policy: The policies.
    """
    lines = ["Resilience, from the outside in:"]
    for name in _ORDER:
        value = getattr(policy, name)
        if value is None:
            lines.append(f"  {name}: off")
        elif is_dataclass(value):
            lines.append(f"  {name}: {type(value).__name__}")
            lines += [
                f"    {each.name} = {_shown(getattr(value, each.name))}" for each in fields(value)
            ]
        else:
            unit = " s" if name == "deadline" else ""
            lines.append(f"  {name}: {_shown(value)}{unit}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return repr(value)
