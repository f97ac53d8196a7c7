"""Who made an error answer, where headers say that it was a proxy or gateway, not the server.

Only what is well specified counts: ``Proxy-Status`` (RFC 9209), and the header that Squid puts on
the error pages of its own. ``Via`` and ``Server`` say who passed an answer on, not who made it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_MAX_FIELD = 4096
"""Longest ``Proxy-Status`` that is read, in characters; real ones have some hundred."""

_STRING = r'"(?:[^"\\]|\\.)*+"'
_TOKEN = r"[A-Za-z*][!#$%&'*+.^_`|~:/0-9A-Za-z-]*+"
_ITEM = re.compile(f"({_STRING}|{_TOKEN})")
_PARAMETER = re.compile(
    rf" *; *([a-z*][a-z0-9_.*-]*+)(?:=({_STRING}|{_TOKEN}|[-0-9.?:+/A-Za-z=]++))?"
)
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_SQUID = re.compile(r"(ERR_[A-Z0-9_]{1,60})(?: -?\d+)?")

_OF_THE_SERVER = ("http_response_", "http_protocol_error")
"""Error types that also stand on answers which the server itself began (RFC 9209, 2.3)."""


class Intermediary(NamedTuple):
    """A proxy or gateway that made an answer itself.

    Attributes:
        name: What it calls itself.
        error: What went wrong, in its words, e.g. ``"connection_refused"``.
    """

    name: str
    error: str


def intermediary_of(headers: Mapping[str, str]) -> Intermediary | None:
    """Return who made the answer in the place of the server, or None if nothing says so.

    Args:
        headers: Response headers with lower-case names.
    """
    found = None
    for name, parameters in _members(headers.get("proxy-status", "")):
        error = parameters.get("error", "")
        answered = "received-status" in parameters  # then the next hop gave an answer
        began = error.startswith(_OF_THE_SERVER) and error != "http_response_timeout"
        if error and not answered and not began:
            found = Intermediary(name, error)  # the last one is the nearest to us
    squid = _SQUID.fullmatch(headers.get("x-squid-error", "").strip())
    if found is None and squid:
        return Intermediary("Squid", squid[1])
    return found


def _members(field: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield name and parameters of each member of a structured list, up to the first fault."""
    at, end = 0, len(field)
    if end > _MAX_FIELD:
        return
    while at < end:
        item = _ITEM.match(field, at)
        if item is None:
            return
        at = item.end()
        parameters = {}
        while parameter := _PARAMETER.match(field, at):
            parameters[parameter[1]] = _bare(parameter[2] or "")
            at = parameter.end()
        yield _bare(item[1]), parameters
        comma = _COMMA.match(field, at)
        if comma is None:
            return
        at = comma.end()


def _bare(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
