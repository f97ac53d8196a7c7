"""The Hub's rate limits, as its headers say them (protocol.md 8.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LIMIT = re.compile(r'"(?P<bucket>[^"]+)"\s*;\s*r=(?P<left>\d{1,9})\s*;\s*t=(?P<reset>\d{1,9})\b')
_QUOTA = re.compile(r'"(?P<bucket>[^"]+)"\s*;\s*q=(?P<quota>\d{1,9})\s*;\s*w=(?P<window>\d{1,9})\b')


@dataclass(frozen=True, slots=True)
class HubRateLimit:
    """How many calls of the Hub's API are left.

    Attributes:
        bucket: ``"api"``, ``"resolvers"`` or ``"pages"``.
        remaining: Calls left in this window.
        reset_seconds: Seconds until the next window.
        quota: Calls per window; None if the Hub does not say.
        window_seconds: Length of the window; None if the Hub does not say.
    """

    bucket: str
    remaining: int
    reset_seconds: int
    quota: int | None = None
    window_seconds: int | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> HubRateLimit | None:
        """Return what response headers say, e.g. those of an error; None if nothing.

        Args:
            headers: ``error.headers`` of a status error, or those of a response.
        """
        known = {name.lower(): value for name, value in headers.items()}
        found = _LIMIT.search(known.get("ratelimit", ""))
        if found is None:
            return None
        quotas = {
            match["bucket"]: match for match in _QUOTA.finditer(known.get("ratelimit-policy", ""))
        }
        policy = quotas.get(found["bucket"])
        return cls(
            found["bucket"],
            int(found["left"]),
            int(found["reset"]),
            int(policy["quota"]) if policy else None,
            int(policy["window"]) if policy else None,
        )
