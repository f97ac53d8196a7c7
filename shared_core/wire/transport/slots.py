"""A fair limit on connections for threads that needs no lock of its own.

A response left to the garbage collector gives its slot back inside ``__del__``, which may run
in the middle of any line of this very module. Nothing here waits for a lock that the same
thread could hold: every step is one atomic operation on a deque.
"""

from __future__ import annotations

import threading
from collections import deque


class Slots:
    """At most *count* holders; the longest waiting comes first.

    Args:
        count: Number of slots.
    """

    def __init__(self, count: int) -> None:
        self._free: deque[None] = deque([None] * count)
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, timeout: float | None) -> bool:
        """Take a slot, waiting up to *timeout* seconds; tell whether one was taken."""
        if not self._waiting:
            try:
                self._free.pop()
            except IndexError:
                pass
            else:
                return True
        ticket = threading.Lock()
        ticket.acquire()
        self._waiting.append(ticket)
        self._hand_out()
        try:
            if ticket.acquire(timeout=-1 if timeout is None else timeout):
                return True
        except BaseException:  # Ctrl-C while waiting
            self._withdraw(ticket)
            raise
        self._withdraw(ticket)
        return False

    def release(self) -> None:
        """Give a slot back. May be called in a finaliser, at any moment."""
        self._free.append(None)
        self._hand_out()

    @property
    def free(self) -> int:
        """Number of slots that nobody holds."""
        return len(self._free)

    def _withdraw(self, ticket: threading.Lock) -> None:
        try:
            self._waiting.remove(ticket)
        except ValueError:  # it was served in the meantime
            self.release()

    def _hand_out(self) -> None:
        while self._waiting and self._free:
            try:
                self._free.pop()
            except IndexError:
                return
            try:
                ticket = self._waiting.popleft()
            except IndexError:
                self._free.append(None)
            else:
                ticket.release()
