"""Joins what a stream brings besides text: sound, annotations, whatever providers add."""

from __future__ import annotations

import base64
import binascii
from typing import Any

_WHOLE = ("id", "expires_at", "format", "type", "index")
"""Keys that a piece repeats or brings once; other texts come in pieces."""


class Received:
    """The value of one key of the message, collected from its deltas."""

    __slots__ = ("_data", "_fields", "_items", "_last", "_texts")

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._data: list[str] = []
        self._fields: dict[str, Any] = {}
        self._items: list[Any] = []
        self._last: Any = None

    def add(self, value: Any) -> None:
        """Take the next piece: objects are merged, lists grow, anything else is replaced.

        Args:
            value: What a delta brought.
        """
        if isinstance(value, list):
            self._items.extend(value)
        elif not isinstance(value, dict):
            self._last = value
        else:
            for key, item in value.items():
                if isinstance(item, str) and key == "data":
                    self._data.append(item)
                elif isinstance(item, str) and key not in _WHOLE:
                    self._texts.setdefault(key, []).append(item)
                elif item is not None:
                    self._fields[key] = item

    def whole(self) -> Any:
        """Return the value as an answer without streaming would have it."""
        joined = {key: "".join(pieces) for key, pieces in self._texts.items()}
        if self._data:
            joined["data"] = _joined(self._data)
        merged = {**self._fields, **joined}
        return merged or self._items or self._last


def _joined(pieces: list[str]) -> str:
    """Return pieces of base64 as one; each may end in padding of its own."""
    if not any("=" in piece for piece in pieces[:-1]):
        return "".join(pieces)
    try:
        data = b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
    except binascii.Error:
        return "".join(pieces)
    return base64.b64encode(data).decode("ascii")
