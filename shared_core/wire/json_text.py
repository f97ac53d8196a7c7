"""Decoding JSON that a stranger wrote: fast, bounded in depth and digits, never fatal."""

from __future__ import annotations

import json
import re
from typing import Any

import pydantic_core

from shared_core.errors import APIResponseValidationError, IncompleteResponseError

# An escape of JSON: a surrogate pair, half of one, or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
MAX_COUNT = 2**53 - 1
"""Largest count that is read: what JSON numbers hold exactly (RFC 8259, 6). Larger ones would
overflow where counts become floats, as in metrics."""

_EVIDENCE_BYTES = 80
_EXCERPT_CHARS = 16_000


class BodyError(ValueError):
    """A body that is no JSON document.

    Attributes:
        kind: The error that it is: of a document that ends in the middle, one that a retry mends.
    """

    def __init__(
        self,
        what: str,
        kind: type[APIResponseValidationError] = APIResponseValidationError,
    ) -> None:
        super().__init__(what)
        self.kind = kind


def read_body(body: bytes) -> Any:
    """Return the JSON value of the whole body of an answer, maybe after a byte order mark.

    Args:
        body: The body, decoded from its content-encoding.

    Raises:
        BodyError: It is empty, a web page, half a document, or no JSON.
    """
    content = body.removeprefix(b"\xef\xbb\xbf")
    start = content[:512].lstrip()
    if not start and not content.strip():
        raise BodyError("the body is empty")
    if start.startswith(b"<"):
        raise BodyError("the body is a web page, not JSON")
    try:
        return decode(content)
    except ValueError as error:
        reason = str(error)
    if reason.startswith("EOF while parsing"):
        raise BodyError(f"the JSON ends in the middle ({reason})", IncompleteResponseError)
    raise BodyError(f"the body is not JSON ({reason})")


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


def excerpt(value: Any) -> str:
    """Return the beginning of a parsed value as JSON text, to be shown with an error.

    Args:
        value: JSON value; of anything else in it, such as a file, only the type is shown.
    """
    text = json.dumps(value, ensure_ascii=False, default=lambda item: f"<{type(item).__name__}>")
    return text[:_EXCERPT_CHARS]


def whole(value: Any) -> int | None:
    """Return a count from 0 to :data:`MAX_COUNT`, or None if it is no usable number.

    Args:
        value: JSON value; ``3.0`` and ``3.9`` are 3.
    """
    if type(value) not in (int, float) or not 0 <= value <= MAX_COUNT:  # NaN is no number
        return None
    return int(value)
