"""The arithmetic of token buckets with a line in front of them: who may go, and when."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Rate(NamedTuple):
    """One bucket: how much it holds, and how much of it comes back in a second."""

    capacity: float
    per_second: float
    tokens: bool


@dataclass(slots=True, eq=False)
class Ticket:
    """A place in the order: what was taken, and the moment from which it holds.

    Attributes:
        at: The moment.
        wait: Seconds until then, when it was given out.
        amounts: What was taken of each bucket.
        tokens: How many tokens.
        shared: Tokens that were taken of the limit of all processes, or None.
    """

    at: float
    wait: float
    amounts: tuple[float, ...] = field(repr=False)
    tokens: float = 0.0
    shared: int | None = None


class Schedule:
    """The arithmetic of the buckets: pure, on a clock that is passed in. Not locked.

    ``head`` is the state after everybody whose moment has come, ``tail`` the state after
    everybody with a ticket. Whoever leaves early is left out when ``tail`` is made anew.
    """

    def __init__(self, rates: Sequence[Rate], now: float) -> None:
        self.rates = tuple(rates)
        self._head = self._tail = (now, tuple(rate.capacity for rate in rates))
        self._waiting: OrderedDict[int, Ticket] = OrderedDict()
        self._stale = False
        self._not_before = now

    def wait(self, requests: float, tokens: float, now: float) -> float:
        """Return the seconds that a caller would wait; takes nothing."""
        return self._next(self._amounts(requests, tokens), now)[0] - now

    def book(self, requests: float, tokens: float, now: float) -> Ticket:
        """Take *requests* and *tokens* at the earliest moment after everybody before."""
        amounts = self._amounts(requests, tokens)
        at, levels = self._next(amounts, now)
        self._tail = at, _less(levels, amounts)
        ticket = Ticket(at, at - now, amounts, tokens)
        if at > now:
            self._waiting[id(ticket)] = ticket
        else:
            self._head = self._tail
        return ticket

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Give back a ticket whose moment has not come; an older one is spent."""
        if ticket.at > now and self._waiting.pop(id(ticket), None) is not None:
            self._stale = True

    def settle(self, ticket: Ticket, tokens: float, now: float) -> None:
        """Correct the tokens of a used *ticket* to what the answer says."""
        self._advance(now)
        extra = tokens - ticket.tokens
        change = tuple(extra if rate.tokens else 0.0 for rate in self.rates)
        ticket.tokens = tokens
        self._take(change)

    def refund(self, ticket: Ticket, now: float) -> None:
        """Give back a ticket whose moment has come and that was not used."""
        self._advance(now)
        self._take(tuple(-amount for amount in ticket.amounts))

    def _take(self, amounts: tuple[float, ...]) -> None:
        (head_at, head), (tail_at, tail) = self._head, self._tail
        self._head = head_at, self._capped(_less(head, amounts))
        self._tail = tail_at, self._capped(_less(tail, amounts))

    def pause(self, until: float) -> None:
        """Let nobody who comes from now on go before *until*."""
        self._not_before = max(self._not_before, until)

    def _amounts(self, requests: float, tokens: float) -> tuple[float, ...]:
        return tuple(tokens if rate.tokens else requests for rate in self.rates)

    def _next(self, amounts: tuple[float, ...], now: float) -> tuple[float, tuple[float, ...]]:
        self._advance(now)
        at, levels = self._tail
        start = max(now, at, self._not_before)
        levels = self._filled(levels, start - at)
        wait = 0.0
        for rate, level, amount in zip(self.rates, levels, amounts, strict=True):
            # More than the bucket holds waits for a full one, and leaves a debt.
            missing = min(amount, rate.capacity) - level
            if missing > 0:
                wait = max(wait, missing / rate.per_second)
        return start + wait, self._filled(levels, wait)

    def _advance(self, now: float) -> None:
        """Let those whose moment has come leave the line, and account for those who left it."""
        while self._waiting:
            ticket = next(iter(self._waiting.values()))
            if ticket.at > now:
                break
            del self._waiting[id(ticket)]
            self._head = self._after(self._head, ticket)
        if self._stale:
            self._stale = False
            self._tail = self._head
            for ticket in self._waiting.values():
                self._tail = self._after(self._tail, ticket)

    def _after(
        self, state: tuple[float, tuple[float, ...]], ticket: Ticket
    ) -> tuple[float, tuple[float, ...]]:
        at, levels = state
        return ticket.at, _less(self._filled(levels, ticket.at - at), ticket.amounts)

    def _filled(self, levels: tuple[float, ...], seconds: float) -> tuple[float, ...]:
        return self._capped(
            tuple(
                level + rate.per_second * seconds
                for rate, level in zip(self.rates, levels, strict=True)
            )
        )

    def _capped(self, levels: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(
            min(level, rate.capacity) for rate, level in zip(self.rates, levels, strict=True)
        )


def _less(levels: tuple[float, ...], amounts: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(level - amount for level, amount in zip(levels, amounts, strict=True))
