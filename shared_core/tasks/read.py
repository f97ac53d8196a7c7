"""Reads normalised answers: every value is checked where it is taken, and a mistake is placed.

All functions raise ``ValueError`` with the path of the value, e.g. ``[2].box.xmin is 'a', not a
number``.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from shared_core.media.kinds import sniff
from shared_core.media.output import Media
from shared_core.wire.json_text import MAX_COUNT

T = TypeVar("T")

MAX_WHOLE = 2**64 - 1
"""Largest whole number that is read: seeds are unsigned and of 64 bits (TGI)."""

_MISSING: Any = object()


class Mismatch(ValueError):
    """An answer does not have the shape of its task."""


def wrong(where: str, wanted: str, value: Any) -> Mismatch:
    """Return the error for *value* at *where*."""
    if value is _MISSING:
        return Mismatch(f"{where or 'the answer'} is missing; {wanted} belongs there")
    shown = repr(value)
    if len(shown) > 60:
        shown = f"{shown[:57]}..."
    return Mismatch(f"{where or 'the answer'} is {shown}, not {wanted}")


def mapping(value: Any, where: str = "") -> Mapping[str, Any]:
    """Return *value* if it is a JSON object."""
    if not isinstance(value, dict):
        raise wrong(where, "an object", value)
    return value


def items(value: Any, read: Callable[[Any, str], T], where: str = "") -> list[T]:
    """Return every element of a JSON array, read by *read*."""
    if not isinstance(value, list):
        raise wrong(where, "a list", value)
    return [read(item, f"{where}[{at}]") for at, item in enumerate(value)]


def text(value: Any, where: str = "") -> str:
    """Return *value* if it is text."""
    if not isinstance(value, str):
        raise wrong(where, "text", value)
    return value


def number(value: Any, where: str = "") -> float:
    """Return *value* as a float if it is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(where, "a number", value)
    try:
        found = float(value)
    except OverflowError:
        raise wrong(where, "a number", value) from None
    if not math.isfinite(found):
        raise wrong(where, "a number", value)
    return found


def log_probability(value: Any, where: str = "") -> float:
    """Return *value* as :func:`number` does; the logarithm of nothing is minus infinity."""
    return value if value == -math.inf else number(value, where)


def whole(value: Any, where: str = "") -> int:
    """Return *value* as an int if it is a whole number (``3.0`` is one) of a usable size."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_COUNT:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_WHOLE:
        raise wrong(where, "a whole number", value)
    return value


def position(value: Any, where: str = "") -> int:
    """Return *value* as :func:`whole` does, if it can be a place in a list."""
    found = whole(value, where)
    if found < 0:
        raise wrong(where, "a whole number from 0 on", value)
    return found


def get(source: Mapping[str, Any], name: str, read: Callable[[Any, str], T], where: str = "") -> T:
    """Return the field *name* of an object, read by *read*; it must be there."""
    return read(source.get(name, _MISSING), f"{where}.{name}" if where else name)


def maybe(
    source: Mapping[str, Any], name: str, read: Callable[[Any, str], T], where: str = ""
) -> T | None:
    """Return the field *name* of an object, or None if it is missing or null."""
    if source.get(name) is None:
        return None
    return get(source, name, read, where)


def encoded_file(value: Any, where: str, media_type: str | None = None) -> Media:
    """Return a file that stands in the answer as base64 or as a data URL, or was fetched.

    Args:
        value: The text, or the file.
        where: Its path.
        media_type: The type that the answer names; else the first bytes tell.
    """
    if isinstance(value, Media):
        return value
    encoded = text(value, where)
    if encoded.startswith("data:"):
        head, _, encoded = encoded.partition(",")
        media_type = media_type or head[5:].partition(";")[0] or None
    try:
        content = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise wrong(where, "base64 data", value) from None
    if not content:
        raise wrong(where, "base64 data", value)
    return Media(content, media_type or sniff(content) or "application/octet-stream")


def file(value: Any, where: str = "") -> Media:
    """Return *value* if it is a file that a codec has taken out of an answer."""
    if not isinstance(value, Media):
        raise wrong(where, "a file", value)
    return value
