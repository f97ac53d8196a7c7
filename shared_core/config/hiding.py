"""Take a secret out of a text, in whatever form a server may give it back. Pure."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

MASK = "***"

SHORTEST_TOKEN = 12
"""Characters from which a value is hidden wherever it stands, and in other forms too.

Hub tokens have 37. A shorter one, such as the "test" or "none" that local servers are given, is
hidden where it stands alone: inside of words it would only garble what the server says.
"""


def forms_of(value: str) -> tuple[str, ...]:
    """Return other spellings of *value*: percent-encoded, and in the middle of a base64 text.

    Args:
        value: A secret of at least :data:`SHORTEST_TOKEN` characters.
    """
    raw = value.encode()
    forms = {quote(value, safe="")}
    for before in range(3):  # base64 looks different for each place within its groups of three
        coded = base64.b64encode(b"\0" * before + raw).decode("ascii")
        inner = coded[-(-before * 4 // 3) : (before + len(raw)) * 4 // 3]
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return tuple(forms - {value})


def hide(text: str, value: str, forms: tuple[str, ...] = ()) -> str:
    """Return *text* without *value*, nor a long beginning of it where it was cut.

    Args:
        text: Text of any origin.
        value: The secret; empty hides nothing.
        forms: What :func:`forms_of` gave for it.
    """
    if len(value) < SHORTEST_TOKEN:
        if not value or value not in text:
            return text
        return re.sub(rf"(?<![\w-]){re.escape(value)}(?![\w-])", MASK, text)
    text = _without(text, value)
    for form in forms:
        text = text.replace(form, MASK)
    return text


def _without(text: str, value: str) -> str:
    """Return *text* without *value* and its beginnings, in linear time whatever was sent."""
    head = value[:SHORTEST_TOKEN]
    pieces: list[str] = []
    start, at = 0, text.find(head)
    while at >= 0:
        pieces += (text[start:at], MASK)
        start = at + (len(value) if text.startswith(value, at) else _common(text, at, value))
        at = text.find(head, start)
    return "".join([*pieces, text[start:]]) if pieces else text


def _common(text: str, at: int, value: str) -> int:
    """Return how many characters of *value* stand at a place of *text*."""
    length = SHORTEST_TOKEN
    while text[at + length : at + length + 1] == value[length]:
        length += 1
    return length
