"""Checks of policies, made when they are built: a wrong number never waits for an outage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from shared_core.config.secrets import HiddenURL, unwrap
from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.resilience.pipeline import Resilience


def number(
    name: str, value: Any, *, low: float = 0.0, high: float = math.inf, above: bool = False
) -> None:
    """Refuse *value* unless it is a number from *low* to *high*.

    Args:
        name: Setting, for the error.
        value: What was given.
        low: Smallest value.
        high: Largest value.
        above: Whether *low* itself is refused too.

    Raises:
        InvalidSettingError: It is not.
    """
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not low <= value <= high or math.isinf(value) or (above and value == low):
        least = f"above {low:g}" if above else f"of at least {low:g}"
        most = "" if math.isinf(high) else f" and at most {high:g}"
        raise InvalidSettingError(f"{name} must be a number {least}{most}: {value!r}", setting=name)


def whole(name: str, value: Any, *, low: int = 0) -> None:
    """Refuse *value* unless it is a whole number of at least *low*.

    Raises:
        InvalidSettingError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InvalidSettingError(
            f"{name} must be a whole number >= {low}: {value!r}", setting=name
        )


def check_resilience(policy: Resilience) -> None:
    """Refuse policies of the wrong type.

    Raises:
        InvalidSettingError: One is.
    """
    if policy.deadline is not None:
        number("resilience.deadline", policy.deadline, above=True)
    kinds: list[tuple[str, str, str]] = [
        ("retry", "RetryPolicy", "max_retries"),
        ("breaker", "BreakerPolicy", "failure_ratio"),
        ("rate_limit", "RateLimit", "per_second"),
        ("failover", "Failover", "endpoints"),
        ("cache", "cache policy", "layer"),
        ("budget", "budget policy", "layer"),
        ("metrics", "Callback such as Metrics", "on_call_end"),
    ]
    for name, kind, attribute in kinds:
        value = getattr(policy, name)
        if value is not None and (isinstance(value, type) or not hasattr(value, attribute)):
            shown = value.__name__ if isinstance(value, type) else type(value).__name__
            raise InvalidSettingError(
                f"resilience.{name} must be a {kind}, not {shown}", setting=f"resilience.{name}"
            )


def redis_url(value: Any) -> HiddenURL:
    """Return the address of a Redis, hidden: it may hold a password.

    Args:
        value: What was given.

    Raises:
        InvalidSettingError: It is not one; the value is not shown.
    """
    text = unwrap(value) if isinstance(value, HiddenURL) else value
    if not isinstance(text, str) or not text.startswith(("redis://", "rediss://", "unix://")):
        raise InvalidSettingError(
            "url must be a Redis URL, e.g. redis://localhost:6379/0 (or rediss://, unix://)",
            setting="url",
        )
    return value if isinstance(value, HiddenURL) else HiddenURL(text)
