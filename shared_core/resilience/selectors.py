"""Who is asked first: the order in which failover tries its endpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from shared_core.wire.messages import WireRequest

Uniform = Callable[[float, float], float]


class Selector(Protocol):
    """Puts endpoints into the order in which one sweep tries them. Pure."""

    def order(
        self, names: Sequence[str], turn: int, request: WireRequest, uniform: Uniform
    ) -> Sequence[int]:
        """Return the positions of *names*, first choice first.

        Args:
            names: The endpoints.
            turn: Number of the sweep, from 0.
            request: What is to be sent.
            uniform: Source of randomness.
        """
        ...


@dataclass(frozen=True, slots=True)
class Priority:
    """The first that works, in the order given."""

    def order(
        self, names: Sequence[str], turn: int, request: WireRequest, uniform: Uniform
    ) -> Sequence[int]:
        """Return the positions as they are."""
        return range(len(names))


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """Each sweep begins one further on."""

    def order(
        self, names: Sequence[str], turn: int, request: WireRequest, uniform: Uniform
    ) -> Sequence[int]:
        """Return the positions from *turn* on, and around."""
        return [(turn + step) % len(names) for step in range(len(names))]


@dataclass(frozen=True, slots=True)
class Random:
    """A new order for each sweep."""

    def order(
        self, names: Sequence[str], turn: int, request: WireRequest, uniform: Uniform
    ) -> Sequence[int]:
        """Return the positions shuffled."""
        return sorted(range(len(names)), key=lambda _: uniform(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Sticky:
    """The same endpoint for the same key, also when others come or go (rendezvous hashing).

    Attributes:
        key: The key, or ``key(request)``; None: the ``user`` of the request, so that the calls
            of one user meet a warm cache.
    """

    key: str | Callable[[WireRequest], str] | None = None

    def order(
        self, names: Sequence[str], turn: int, request: WireRequest, uniform: Uniform
    ) -> Sequence[int]:
        """Return the positions by the hash of key and name."""
        if callable(self.key):
            key = self.key(request)
        elif self.key is not None:
            key = self.key
        else:
            body = request.json
            key = str(body.get("user", "")) if isinstance(body, Mapping) else ""

        def weight(at: int) -> bytes:
            return hashlib.sha256(f"{key}\0{names[at]}".encode()).digest()

        return sorted(range(len(names)), key=weight)
