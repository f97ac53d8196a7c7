"""Checks of single parameters of a call; the error names the parameter. Pure."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable
from typing import Any

from shared_core.config.plain import check_text
from shared_core.errors import InvalidSettingError


def refused(name: str, wanted: str, value: object, *, show: bool = True) -> InvalidSettingError:
    """Return the error for a parameter with an impossible value.

    Args:
        name: The parameter.
        wanted: What it may be.
        value: What was given.
        show: Whether the value may be quoted; never for text of the user's.
    """
    given = repr(value)[:80] if show else type(value).__name__
    return InvalidSettingError(f"{name} must be {wanted}, not {given}", setting=name)


def number(low: float, high: float) -> Callable[[str, Any], float]:
    """Return a check for numbers from *low* to *high*."""

    def check(name: str, value: Any) -> float:
        wanted = f"a number from {low:g} to {high:g}"
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise refused(name, wanted, value)
        plain_value: float = value if isinstance(value, int) else float(value)
        if not (math.isfinite(plain_value) and low <= plain_value <= high):
            raise refused(name, wanted, value)
        return plain_value

    return check


def whole_number(low: int | None = None, high: int | None = None) -> Callable[[str, Any], int]:
    """Return a check for whole numbers within the bounds that are given."""
    bounds = f" from {low} to {high}" if high is not None and low is not None else ""
    if low is not None and high is None:
        bounds = f" of at least {low}"

    def check(name: str, value: Any) -> int:
        try:
            result = operator.index(value)
        except TypeError:
            raise refused(name, f"a whole number{bounds}", value) from None
        outside = (low is not None and result < low) or (high is not None and result > high)
        if isinstance(value, bool) or outside:
            raise refused(name, f"a whole number{bounds}", value)
        return result

    return check


def boolean(name: str, value: Any) -> bool:
    """Return *value* if it is True or False."""
    if not isinstance(value, bool):
        raise refused(name, "True or False", value)
    return value


def text(name: str, value: Any) -> str:
    """Return *value* if it is text that is not empty."""
    if not isinstance(value, str) or not value:
        raise refused(name, "text that is not empty", value, show=not isinstance(value, str))
    return check_text(value, name)
