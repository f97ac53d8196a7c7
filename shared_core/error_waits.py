"""How long a server asks to wait: read from headers and bodies, with junk left out."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

MAX_WAIT = 366 * 86_400.0
"""Longest believable wait in seconds; a larger ``Retry-After`` is junk."""


def seconds_of(value: Any) -> float | None:
    """Return *value* as a believable wait in seconds, or None.

    Args:
        value: A number, or text that is one; anything else counts as absent.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number <= MAX_WAIT else None


def retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait, or None.

    The Hub's ``RateLimit: "api";r=0;t=55`` counts on a 429, then ``Retry-After`` in seconds or
    as a date (against the reply's own ``Date``, so that this machine's clock does not matter).
    Junk, negative and absurd values count as absent. The Hub counts whole seconds: ``t=0`` is
    less than one left of the window, not none, so one is waited for (protocol reference, 8.5).
    A longer wait is taken as it stands, never stretched.

    Args:
        status: HTTP status; nothing is read from anything but an error.
        headers: Lower-case names.
    """
    if status < 400:
        return None
    limit = headers.get("ratelimit", "")
    if status == 429 and re.search(r";\s*r=0\s*(?:;|,|$)", limit):
        reset = re.search(r";\s*t=(\d{1,9})", limit)
        if reset and float(reset[1]) <= MAX_WAIT:
            return max(float(reset[1]), 1.0)
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,12}(?:\.\d{0,9})?", value):
        return seconds_of(value)
    return _until(value, headers.get("date", "")) if value else None


def _until(value: str, now: str) -> float | None:
    moment = _timestamp(value)
    if moment is None:
        return None
    start = _timestamp(now)
    wait = moment - (time.time() if start is None else start)
    return max(wait, 0.0) if wait <= MAX_WAIT else None


def _timestamp(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
