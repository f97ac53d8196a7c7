"""Text that is safe to show: no credentials, no control characters, bounded.

Only the standard library, because ``shared_core.errors`` is imported by everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_HIDDEN = "***"
_TOKEN = re.compile(r"hf_[A-Za-z0-9_-]{8,}")
_BEARER = re.compile(
    r"(?i)\b(bearer|basic)\s+(?!(?:realm|error|error_description|scope|charset)\s*=)"
    r"(?!(?:token|tokens|auth|authentication|header|authorization)\b)[A-Za-z0-9._~+/=-]{4,}"
)
_USERINFO = re.compile(r"(?<=://)[^/\s@?#]+@")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return *text* without credentials.

    Hides the given values, everything that looks like a Hugging Face token (``hf_...``),
    ``Bearer``/``Basic`` credentials and the user part of URLs.

    Args:
        text: Text of any origin.
        secrets: Exact values to hide; empty ones are ignored.

    Returns:
        The text with ``***`` in place of each secret.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    text = _TOKEN.sub(_HIDDEN, text)
    text = _BEARER.sub(lambda match: f"{match[1]} {_HIDDEN}", text)
    return _USERINFO.sub("", text)


def clean(text: str) -> str:
    """Return *text* with control, bidirectional and unpaired surrogate characters escaped.

    Line feeds stay. Blanks of any kind become a plain blank.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or char == "\n"
        else " "
        if char in "\t\u00a0\u202f\u2009\u3000"
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def shorten(text: str, limit: int) -> str:
    """Return *text* cut to *limit* characters, an ellipsis included."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def safe_url(url: str) -> str:
    """Return *url* without user, password, query and fragment."""
    return clean(redact(re.split(r"[?#]", url, maxsplit=1)[0]))


def host_of(url: str) -> str | None:
    """Return the host, and the port if there is one, of *url*."""
    match = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#]+)", url)
    return clean(match[1]) if match else None


def safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return response headers fit to be kept: lower-case names, redacted, without cookies."""
    return {
        clean(name.lower()): clean(redact(shorten(value, 1000)))
        for name, value in list(headers.items())[:100]
        if name.lower() not in ("set-cookie", "set-cookie2", "authorization", "proxy-authorization")
    }
