"""Equal calls at the same time: one asks, the others wait for its answer."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from dataclasses import dataclass, field
from typing import TypeAlias

from shared_core.errors import RouterError

Landing: TypeAlias = "bytes | RouterError | None"
"""What a flight brought: an answer, an error, or None if whoever led it was cancelled."""


@dataclass(slots=True)
class Flight:
    """A call in flight that others wait for."""

    landed: concurrent.futures.Future[Landing] = field(default_factory=concurrent.futures.Future)

    def land(self, outcome: Landing) -> None:
        """Give the outcome to everybody who waits; the first one counts."""
        if not self.landed.done():
            self.landed.set_result(outcome)

    def wait(self, timeout: float | None) -> Landing:
        """Wait for the outcome, blocking.

        Raises:
            TimeoutError: It did not come in time.
        """
        return self.landed.result(timeout)

    async def wait_async(self, timeout: float | None) -> Landing:
        """Wait for the outcome in an event loop; being cancelled disturbs nobody else.

        Raises:
            TimeoutError: It did not come in time.
        """
        mine = asyncio.shield(asyncio.wrap_future(self.landed))
        return await asyncio.wait_for(mine, timeout)


class Flights:
    """The calls in flight by key."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_key: dict[str, Flight] = {}

    def join(self, key: str) -> tuple[Flight, bool]:
        """Return the flight of *key*, and whether the caller leads it."""
        with self._lock:
            flight = self._by_key.get(key)
            if flight is not None:
                return flight, False
            flight = self._by_key[key] = Flight()
            return flight, True

    def over(self, key: str, flight: Flight) -> None:
        """Take *flight* out; those who still wait learn that nobody leads it any more."""
        with self._lock:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
        flight.land(None)

    def __len__(self) -> int:
        return len(self._by_key)
