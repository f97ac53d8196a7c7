"""What tokens cost: US dollars by model and provider, as the router lists them.

Nothing is fetched here: give :class:`Prices` the list that ``client.models.list()`` returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shared_core.errors import InvalidSettingError

PER_MILLION = 1e6
"""The router states prices in US dollars per million tokens."""


MOST_TOKENS = 10**8
"""Largest count that is believed: ten times the longest context of any model on the Hub. A
server's slip of a few digits must not empty a purse or stop a limiter for years."""


def believable(usage: Any) -> bool:
    """Return whether the counts of one call can be true: no call is without any token.

    Args:
        usage: What the server counted, or None.
    """
    if usage is None:
        return False
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    return any(counts) and all(0 <= count <= MOST_TOKENS for count in counts)


class Offer(Protocol):
    """One provider's offer of a model; :class:`shared_core.ProviderInfo` fits."""

    @property
    def name(self) -> str:
        """Provider."""
        ...

    @property
    def input_price(self) -> float | None:
        """US dollars per million prompt tokens."""
        ...

    @property
    def output_price(self) -> float | None:
        """US dollars per million answer tokens."""
        ...

    @property
    def is_free(self) -> bool:
        """Whether calls are free for now."""
        ...


class Listed(Protocol):
    """A model with its offers; :class:`shared_core.RouterModel` fits."""

    @property
    def id(self) -> str:
        """Model id."""
        ...

    @property
    def providers(self) -> Iterable[Any]:
        """Its offers."""
        ...


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens.

    Attributes:
        input: Of the prompt.
        output: Of the answer.
    """

    input: float = 0.0
    output: float = 0.0

    def __post_init__(self) -> None:
        for name in ("input", "output"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidSettingError(f"the {name} price must be a number: {value!r}")
            if not 0 <= value < float("inf"):
                raise InvalidSettingError(f"the {name} price must not be negative: {value!r}")

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """Return US dollars.

        Args:
            input_tokens: Tokens of the prompt.
            output_tokens: Tokens of the answer, reasoning included.
        """
        return (input_tokens * self.input + output_tokens * self.output) / PER_MILLION


class Prices:
    """A price list. Immutable; safe to share.

    Args:
        table: ``{"org/model": Price(...)}`` for every provider, or
            ``{"org/model": {"groq": Price(...), ...}}``. A pair ``(input, output)`` is a price
            too.
        default: The price of what the table does not name; None: unknown.
    """

    def __init__(self, table: Mapping[str, Any], *, default: Price | None = None) -> None:
        self._table: dict[str, dict[str, Price]] = {}
        for model, entry in table.items():
            offers = entry if isinstance(entry, Mapping) else {"": entry}
            self._table[model] = {name: _price(value) for name, value in offers.items()}
        self.default = default

    @classmethod
    def of_models(cls, models: Iterable[Listed], *, default: Price | None = None) -> Prices:
        """Return the prices that the router lists.

        Args:
            models: What ``client.models.list()`` returned.
            default: The price of what the list does not name; None: unknown.
        """
        table: dict[str, dict[str, Price]] = {}
        for model in models:
            offers = {offer.name: price for offer in model.providers if (price := _listed(offer))}
            if offers:
                table[model.id] = offers
        return cls(table, default=default)

    def get(self, model: str | None, provider: str | None = None) -> Price | None:
        """Return the price of *model* with *provider*.

        Without a provider, or with one that is not listed, it is the dearest offer: a guard
        must not be too cheap. ``org/model:groq`` names both.

        Args:
            model: Model id, maybe with a suffix.
            provider: Who serves it.

        Returns:
            The price; ``default`` when the model is not listed.
        """
        if model is None:
            return self.default
        offers = self._table.get(model)
        if offers is None and ":" in model:
            model, _, suffix = model.rpartition(":")
            offers = self._table.get(model)
            provider = provider or suffix
        if not offers:
            return self.default
        if provider in offers:
            return offers[provider or ""]
        return Price(
            max(price.input for price in offers.values()),
            max(price.output for price in offers.values()),
        )

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return f"<Prices of {len(self)} models>"


def _listed(offer: Offer) -> Price | None:
    if offer.is_free:
        return Price()
    if offer.input_price is None or offer.output_price is None:
        return None
    if min(offer.input_price, offer.output_price) < 0:
        return None  # no price of tokens: some lists mean "it depends" by it
    return Price(offer.input_price, offer.output_price)


def _price(value: Any) -> Price:
    if isinstance(value, Price):
        return value
    try:
        put_in, put_out = value
    except (TypeError, ValueError):
        raise InvalidSettingError(
            f"a price is a Price or a pair (input, output), not {value!r}"
        ) from None
    return Price(put_in, put_out)
