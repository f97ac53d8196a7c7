"""Decoding JSON that a stranger wrote: fast, bounded in depth and digits, never fatal."""

from __future__ import annotations

import re
from typing import Any

import pydantic_core

# An escape of JSON: a surrogate pair, half of one, or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_EVIDENCE_BYTES = 80


def decode(data: bytes, *, lenient: bool = False) -> Any:
    """Return the JSON value of *data*.

    Half a surrogate pair (an answer cut inside an emoji) becomes U+FFFD. Depth and digits
    are bounded by the parser (200 levels, 4,300 digits), so no input can blow the stack.

    Args:
        data: UTF-8 text.
        lenient: Replace invalid UTF-8 by U+FFFD as well.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return pydantic_core.from_json(data)
    except ValueError:
        mended = _ESCAPE.sub(_mend, data) if b"\\u" in data else data
        if lenient:
            mended = mended.decode("utf-8", "replace").encode()
        if mended == data:
            raise
        return pydantic_core.from_json(mended)


def _mend(match: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if match[1] else match[0]


def evidence(data: bytes) -> str:
    """Return the beginning of *data* (80 bytes) to be quoted in an error."""
    if not data:
        return "nothing"
    shown = repr(data[:_EVIDENCE_BYTES].decode("utf-8", "replace"))
    return shown if len(data) <= _EVIDENCE_BYTES else f"{shown}..."
