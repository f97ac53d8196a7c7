"""A spending guard: it knows prices, counts usage, and refuses the call that would cost too much.

::

    prices = Prices.of_models(client.models.list())
    budget = Budget(SpendLimit(5.0, window=3600), SpendLimit(50.0), prices=prices)
    client = client.with_options(resilience=Resilience(budget=budget))

Before a call its highest likely cost is set aside; after it the cost by the server's own token
counts takes its place. So calls at the same time cannot pass a limit together. The figures are
estimates of the bill, not the bill.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from shared_core.callbacks import BudgetEvent
from shared_core.errors import (
    APIStatusError,
    BudgetExceededError,
    ConnectFailedError,
    InvalidSettingError,
    NameResolutionError,
    ProxyError,
    RejectedError,
    RouterError,
    TLSError,
)
from shared_core.flow import Flow, Outcome, when_ended
from shared_core.resilience.checks import number, whole
from shared_core.resilience.estimates import ANSWER_TOKENS, likely_tokens
from shared_core.resilience.prices import Price, Prices, believable

if TYPE_CHECKING:
    from shared_core.resilience.pipeline import CallInfo, Layer, Next, Tools, Trace
    from shared_core.wire.messages import WireRequest

MAX_ROWS = 1000
"""How many pairs of model and provider a report tells apart; servers name providers."""
OTHER = "other"
"""Model and provider of the pairs beyond ``MAX_ROWS``."""
_SLOTS = 100  # a window moves on in steps of a hundredth of itself
_FREE = (APIStatusError, RejectedError, ConnectFailedError, NameResolutionError, ProxyError)


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """What may be spent.

    Attributes:
        usd: US dollars.
        window: In how many seconds, the last ones at any moment; None: ever.
    """

    usd: float
    window: float | None = None

    def __post_init__(self) -> None:
        number("limit.usd", self.usd)
        if self.window is not None:
            number("limit.window", self.window, above=True)

    def __str__(self) -> str:
        return f"${self.usd:g}" if self.window is None else f"${self.usd:g} per {self.window:g} s"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used of one model through one provider.

    Attributes:
        model: As asked for, with failover at the endpoint that answered.
        provider: Who served, where known.
        calls: Calls that were charged, or ended well without cost.
        input_tokens: As servers counted.
        output_tokens: As servers counted.
        cost: US dollars.
        estimated: Calls whose cost is an estimate, because no token counts came.
    """

    model: str
    provider: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    estimated: int = 0


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What was used and spent; printing it shows a table.

    Attributes:
        rows: By model and provider, the dearest first.
        limits: Each limit with the US dollars spent in its window.
        reserved: US dollars set aside for calls in flight.
        refused: Calls that were refused.
    """

    rows: tuple[UsageRow, ...] = ()
    limits: tuple[tuple[SpendLimit, float], ...] = ()
    reserved: float = 0.0
    refused: int = 0

    @property
    def cost(self) -> float:
        """US dollars of all rows."""
        return math.fsum(row.cost for row in self.rows)

    def __str__(self) -> str:
        lines = [f"{'model':40} {'provider':14} {'calls':>7} {'in':>10} {'out':>10} {'USD':>12}"]
        lines += [
            f"{row.model[:40]:40} {row.provider[:14]:14} {row.calls:7d} {row.input_tokens:10d} "
            f"{row.output_tokens:10d} {row.cost:12.6f}"
            for row in self.rows
        ]
        lines += [f"limit {limit}: {spent:.6f} spent" for limit, spent in self.limits]
        return "\n".join([*lines, f"calls refused: {self.refused}"])


class _Window:
    """What was spent in the last seconds, in a bounded number of slots."""

    def __init__(self, limit: SpendLimit) -> None:
        self.limit = limit
        self._slots: deque[tuple[int, float]] = deque()

    def _slot(self, now: float) -> int:
        return 0 if self.limit.window is None else int(now / self.limit.window * _SLOTS)

    def spent(self, now: float) -> float:
        """Return the sum, and forget what is too old."""
        if self.limit.window is not None:
            oldest = self._slot(now) - _SLOTS
            while self._slots and self._slots[0][0] < oldest:
                self._slots.popleft()
        return math.fsum(cost for _, cost in self._slots)

    def add(self, cost: float, now: float) -> None:
        slot = self._slot(now)
        if self._slots and self._slots[-1][0] == slot:
            cost += self._slots.pop()[1]
        self._slots.append((slot, cost))

    def wait(self, needed: float, now: float) -> float | None:
        """Return the seconds until *needed* US dollars are free again, None if never."""
        if self.limit.window is None or needed > self.limit.usd:
            return None
        left = self.spent(now) + needed
        for slot, cost in self._slots:
            left -= cost
            if left <= self.limit.usd:
                ends = (slot + _SLOTS + 1) * self.limit.window / _SLOTS
                return max(ends - now, 0.0)
        return 0.0


@dataclass(slots=True)
class _Reservation:
    """What is set aside for a call.

    Attributes:
        model: As asked for.
        provider: As asked for.
        cost: US dollars.
        price: Of that model, None if unknown.
        sizes: Likely tokens of prompt and answer.
        trace: Knows the endpoint of the last attempt.
        open: Whether the call goes on.
    """

    model: str
    provider: str
    cost: float
    price: Price | None
    sizes: tuple[float, float]
    trace: Trace
    open: bool = field(default=True)

    @property
    def place(self) -> tuple[str, str]:
        """Model and provider as the last endpoint was asked for them."""
        if self.trace.model is None:
            return self.model, self.provider
        return self.trace.model, self.trace.provider or ""


class Budget:
    """Refuses calls that could pass a limit, and reports what was used.

    One object is one purse: give it to several clients and they share it. Copies of a client
    share it too; a pickle starts with an empty account.

    Args:
        *limits: What may be spent; a number is US dollars without a window. All must hold.
        prices: What tokens cost.
        unknown: What to do with a model of unknown price: ``"refuse"``, or ``"allow"`` and
            count its tokens only.
        answer_tokens: Assumed length of an answer when a call sets no ``max_tokens``.
        clock: Monotonic seconds.

    Raises:
        InvalidSettingError: A value is refused.
    """

    def __init__(
        self,
        *limits: SpendLimit | float,
        prices: Prices,
        unknown: Literal["refuse", "allow"] = "refuse",
        answer_tokens: int = ANSWER_TOKENS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if unknown not in ("refuse", "allow"):
            raise InvalidSettingError(f"unknown must be 'refuse' or 'allow', not {unknown!r}")
        if not isinstance(prices, Prices):
            raise InvalidSettingError("prices must be a Prices, e.g. Prices.of_models(...)")
        whole("budget.answer_tokens", answer_tokens, low=1)
        self.limits = tuple(
            one if isinstance(one, SpendLimit) else SpendLimit(one) for one in limits
        )
        self.prices = prices
        self.unknown = unknown
        self.answer_tokens = answer_tokens
        self._clock = clock
        self._lock = threading.RLock()  # a dropped call may be settled by the collector
        self._windows = [_Window(limit) for limit in self.limits]
        self._rows: dict[tuple[str, str], UsageRow] = {}
        self._reserved = 0.0
        self._in_flight = 0
        self._refused = 0

    def report(self) -> UsageReport:
        """Return what was used and spent so far."""
        with self._lock:
            now = self._clock()
            rows = sorted(self._rows.values(), key=lambda row: -row.cost)
            limits = tuple((window.limit, window.spent(now)) for window in self._windows)
            return UsageReport(tuple(rows), limits, self._reserved, self._refused)

    def estimate(self, request: WireRequest) -> float | None:
        """Return the US dollars that *request* may cost at most, None if the price is unknown.

        Args:
            request: What would be sent.
        """
        price = self.prices.get(request.model, request.provider)
        return None if price is None else price.cost(*likely_tokens(request, self.answer_tokens))

    def layer(self, tools: Tools) -> Layer:
        """Return the layer; its account is this object, whichever client uses it."""

        def layer(call: CallInfo, then: Next) -> Flow[Any]:
            if call.request.method == "GET" or call.request.model is None:
                return then(call)  # lists and accounts are free
            return self._guarded(call, then)

        return layer

    def _guarded(self, call: CallInfo, then: Next) -> Flow[Any]:
        held = self._reserve(call)
        handed_over = False
        try:
            result = yield from then(call)
            handed_over = True
            self._follow(held, result)
            return result
        except RouterError as error:
            sent = call.trace.attempts > 0 and not isinstance(error, (*_FREE, TLSError))
            self._settle(held, self._likely(held) if sent else 0.0, error=True)
            raise
        finally:
            if not handed_over:  # cancelled: what was sent may have been billed
                sent = call.trace.attempts > 0
                likely = self._likely(held) if sent else 0.0
                self._settle(held, likely, estimated=sent, error=not sent)

    def _follow(self, held: _Reservation, result: Any) -> None:
        """Charge *result* when it has ended; a stream that is dropped costs its estimate."""
        if not hasattr(result, "_when_ended"):
            self._charge(held, result, Outcome(usage=getattr(result, "usage", None)))
            return
        # Weakly: a reference from the stream to itself would keep its connection open.
        stream = weakref.ref(result)
        when_ended(result, lambda outcome: self._charge(held, stream(), outcome))
        likely = self._likely(held)  # a stream that has begun stays where it is
        dropped = weakref.finalize(result, self._settle, held, likely, estimated=True)
        dropped.atexit = False

    def _reserve(self, call: CallInfo) -> _Reservation:
        request = call.request
        sizes = likely_tokens(request, self.answer_tokens)
        price = self.prices.get(request.model, request.provider)
        estimate = None if price is None else price.cost(*sizes)
        if estimate is None and self.unknown == "refuse":
            with self._lock:
                self._refused += 1
            call.tell("on_budget", BudgetEvent)
            raise BudgetExceededError(
                f"the price of {request.model} is not in the price list",
                guidance="Give Prices(..., default=Price(...)), or Budget(unknown='allow').",
            )
        cost = estimate or 0.0
        model, provider = request.model or "", request.provider or ""
        with self._lock:
            now = self._clock()
            for window in self._windows:
                spent = window.spent(now) + self._reserved
                if spent + cost > window.limit.usd * (1 + 1e-12):
                    self._refused += 1
                    refusal = _refusal(window, spent, cost, now)
                    break
            else:
                self._reserved += cost
                self._in_flight += 1
                return _Reservation(model, provider, cost, price, sizes, call.trace)
        call.tell(
            "on_budget",
            BudgetEvent,
            limit=refusal.limit,
            window=refusal.window,
            spent=refusal.spent,
            estimate=refusal.estimate,
        )
        raise refusal

    def _charge(self, held: _Reservation, result: Any, outcome: Outcome) -> None:
        """Put the true cost in the place of the estimate, if the server counted."""
        provider = getattr(result, "provider", None) or held.place[1]
        counted = not outcome.abandoned and believable(outcome.usage)
        usage = outcome.usage if counted else None
        if usage is None or (outcome.error is not None and not usage.completion_tokens):
            self._settle(held, self._likely(held), provider, estimated=True)
            return
        price = self.prices.get(held.place[0], provider) or held.price
        put_in, put_out = usage.prompt_tokens, usage.completion_tokens
        cost = price.cost(put_in, put_out) if price is not None else 0.0
        self._settle(held, cost, provider, put_in, put_out)

    def _likely(self, held: _Reservation) -> float:
        """Return the likely cost of a call that is not counted, where it was asked last."""
        price = self.prices.get(*held.place) or held.price
        return held.cost if price is None else price.cost(*held.sizes)

    def _settle(
        self,
        held: _Reservation,
        cost: float,
        provider: str | None = None,
        put_in: int = 0,
        put_out: int = 0,
        *,
        estimated: bool = False,
        error: bool = False,
    ) -> None:
        with self._lock:
            if not held.open:
                return
            held.open = False
            self._in_flight -= 1
            # Without calls in flight nothing is reserved: rounding must not add up.
            self._reserved = max(self._reserved - held.cost, 0.0) if self._in_flight else 0.0
            if error and not cost:
                return
            now = self._clock()
            for window in self._windows:
                window.add(cost, now)
            model, asked = held.place
            key = (model, asked if provider is None else provider)
            if key not in self._rows and len(self._rows) >= MAX_ROWS:
                key = (OTHER, OTHER)
            row = self._rows.get(key) or UsageRow(*key)
            self._rows[key] = replace(
                row,
                calls=row.calls + 1,
                input_tokens=row.input_tokens + put_in,
                output_tokens=row.output_tokens + put_out,
                cost=row.cost + cost,
                estimated=row.estimated + (estimated or error),
            )

    def __deepcopy__(self, memo: object) -> Budget:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.limits, self.prices, self.unknown, self.answer_tokens)

    def __repr__(self) -> str:
        limits = ", ".join(map(str, self.limits)) or "no limit"
        return f"Budget({limits}, unknown={self.unknown!r}, answer_tokens={self.answer_tokens})"


def _rebuild(
    limits: tuple[SpendLimit, ...],
    prices: Prices,
    unknown: Literal["refuse", "allow"],
    answer_tokens: int,
) -> Budget:
    return Budget(*limits, prices=prices, unknown=unknown, answer_tokens=answer_tokens)


def _refusal(window: _Window, spent: float, cost: float, now: float) -> BudgetExceededError:
    limit = window.limit
    wait = window.wait(cost, now)
    when = "" if wait is None else f"; enough is free again in {wait:.0f} s"
    return BudgetExceededError(
        f"the call may cost ${cost:.6f}, and ${spent:.6f} of {limit} are spent or set aside{when}",
        limit=limit.usd,
        window=limit.window,
        spent=spent,
        estimate=cost,
        retry_after=wait,
    )
