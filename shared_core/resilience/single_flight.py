"""Equal calls at the same time: one asks, the others wait for its answer."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from dataclasses import dataclass, field
from typing import TypeAlias

from shared_core.errors import RouterError

Landing: TypeAlias = "bytes | RouterError | None"
"""What a flight brought: an answer, an error, or None if whoever led it was cancelled."""


@dataclass(slots=True)
class Flight:
    """A call in flight that others wait for.

    Attributes:
        patience: Seconds that whoever leads it is ready to wait for the answer, None: any.
    """

    patience: float | None = None
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
        loop, landed = asyncio.get_running_loop(), asyncio.Event()

        def tell(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits there
                loop.call_soon_threadsafe(landed.set)

        if not self.landed.done():
            self.landed.add_done_callback(tell)
            await asyncio.wait_for(landed.wait(), timeout)
        return self.landed.result()


class Flights:
    """The calls in flight by key."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_key: dict[str, Flight] = {}

    def join(self, key: str, patience: float | None = None) -> tuple[Flight, bool]:
        """Return the flight of *key*, and whether the caller leads it.

        Args:
            key: Equal for equal calls.
            patience: Seconds that the caller would wait for the answer, None: any.
        """
        with self._lock:
            flight = self._by_key.get(key)
            if flight is not None:
                return flight, False
            flight = self._by_key[key] = Flight(patience)
            return flight, True

    def over(self, key: str, flight: Flight) -> None:
        """Take *flight* out; those who still wait learn that nobody leads it any more."""
        with self._lock:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
        flight.land(None)

    def __len__(self) -> int:
        return len(self._by_key)
