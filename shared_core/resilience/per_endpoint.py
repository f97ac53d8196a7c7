"""State that is kept for each endpoint: breakers, limiters, budgets of retries."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_ENDPOINTS = 1000
"""How many endpoints a client keeps state for; the one used longest ago is forgotten."""


class PerEndpoint(Generic[T]):
    """One object for each endpoint, made when it is first asked for; bounded.

    Args:
        make: ``make(endpoint)`` makes the object; it must not ask for another one.
    """

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, endpoint: str) -> T:
        """Return what is kept for *endpoint* (its name, or ``https://host``), made if need be."""
        with self._lock:
            found = self._kept.get(endpoint)
            if found is None:
                found = self._kept[endpoint] = self._make(endpoint)
                if len(self._kept) > MAX_ENDPOINTS:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(endpoint)
            return found

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._kept))

    def __len__(self) -> int:
        return len(self._kept)
