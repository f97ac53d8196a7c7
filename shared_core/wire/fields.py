"""Lenient readers of JSON fields: what is missing or of another type is empty, or None."""

from __future__ import annotations

from typing import Any

_LARGEST = 1e15
"""Numbers from here on are no counts, sizes or prices; a float holds smaller ones exactly."""


def mapping(value: Any) -> dict[str, Any]:
    """Return *value* if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return *value* if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """Return *value* if it is text that is not empty."""
    return value if isinstance(value, str) and value else None


def texts(value: Any) -> tuple[str, ...]:
    """Return the texts of a list."""
    return tuple(item for item in sequence(value) if isinstance(item, str))


def real(value: Any) -> float | None:
    """Return *value* as a number; NaN and what is beyond all sizes are none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < _LARGEST else None


def integer(value: Any) -> int | None:
    """Return *value* as a whole number; the rest of a broken one is cut off."""
    number = real(value)
    return None if number is None else int(number)


def count(value: Any) -> int | None:
    """Return *value* as :func:`integer` does, if it can be a number of things."""
    number = integer(value)
    return number if number is not None and number >= 0 else None
