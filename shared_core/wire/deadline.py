"""One deadline for a whole exchange, restarted by what is meaningful in a stream."""

from __future__ import annotations

import time

monotonic = time.monotonic

LONGEST = 1e8
"""Seconds (three years) above which there is no limit: sockets and locks know no longer ones."""


class Deadline:
    """The moment at which waiting ends; travels with a request down to its socket.

    Timers of HTTP libraries are per socket operation, so that one byte now and then keeps a
    dead call alive for ever. This one is asked before every operation and does not move
    unless :meth:`restart` is called.

    Args:
        timeout: Seconds from now, or None for no limit.
        connect_timeout: Longest time for establishing a connection, within the deadline.
    """

    __slots__ = ("connect_timeout", "expires", "timeout")

    def __init__(self, timeout: float | None, *, connect_timeout: float | None = None) -> None:
        self.timeout = timeout = None if timeout is None or timeout > LONGEST else timeout
        self.connect_timeout = connect_timeout
        self.expires: float | None = None if timeout is None else monotonic() + timeout

    def end_by(self, moment: float | None) -> None:
        """End at *moment* (``monotonic``) if that is sooner; :meth:`restart` forgets it."""
        if moment is not None:
            self.expires = moment if self.expires is None else min(self.expires, moment)

    def restart(self) -> None:
        """Give the full time again, from now."""
        self.expires = None if self.timeout is None else monotonic() + self.timeout

    def remaining(self) -> float | None:
        """Return the seconds left, not below zero, or None without a limit."""
        if self.expires is None:
            return None
        return max(self.expires - monotonic(), 0.0)

    def expired(self) -> bool:
        """Tell whether no time is left."""
        return self.expires is not None and monotonic() >= self.expires

    def at_most(self, seconds: float | None) -> float | None:
        """Return the seconds left, or *seconds* if that is less."""
        left = self.remaining()
        if left is None:
            return seconds
        return left if seconds is None else min(left, seconds)
