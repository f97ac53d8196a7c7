"""``hfrouter models``: what the router serves, with context length, price and capabilities."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from shared_core.cli import options as shared
from shared_core.cli.output import note, table

if TYPE_CHECKING:
    from shared_core import RouterModel

HEAD = ("MODEL", "CONTEXT", "IN $/M", "OUT $/M", "CAN", "PROVIDERS")


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command's parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "models",
        help="list chat models",
        description="List the chat models that the router serves. Prices are those of the "
        "cheapest live provider, in US dollars per million tokens.",
    )
    command.add_argument("--search", metavar="TEXT", help="only ids that contain TEXT")
    command.add_argument("--provider", metavar="NAME", help="only what this provider serves")
    command.add_argument("--limit", type=int, metavar="N", help="at most N models")
    command.add_argument("--json", action="store_true", help="print JSON lines")
    shared.add_connection(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Run the command. No token is needed: the router's list is public."""
    with shared.Connection.of(options).client() as client:
        everything = client.models.list()
    found = [model for model in everything if _wanted(model, options)]
    shown = found[: options.limit] if options.limit is not None else found
    if options.json:
        for model in shown:
            print(json.dumps(model.raw, ensure_ascii=False))
    elif shown:
        print(table(HEAD, [row(model, options.provider) for model in shown]))
    note(f"{len(shown)} of {len(everything)} models")
    return 0


def _wanted(model: RouterModel, options: argparse.Namespace) -> bool:
    if options.search and options.search.lower() not in model.id.lower():
        return False
    return not options.provider or model.provider(options.provider) is not None


def row(model: RouterModel, provider: str | None = None) -> list[str]:
    """Return a model's cells, of one provider's offer or of all live ones."""
    offers = [o for o in model.live_providers if provider is None or o.name == provider]
    can = [kind for kind in model.input_modalities if kind != "text"]
    can += ["tools"] if any(offer.supports_tools for offer in offers) else []
    can += ["json"] if any(offer.supports_structured_output for offer in offers) else []
    context = [offer.context_length for offer in offers if offer.context_length]
    length = min(context) if context else model.context_length
    return [
        model.id,
        f"{length:,}" if length else "-",
        _least(offer.input_price for offer in offers),
        _least(offer.output_price for offer in offers),
        " ".join(can) or "-",
        " ".join(offer.name for offer in offers) or "-",
    ]


def _least(prices: Iterable[float | None]) -> str:
    known = [price for price in prices if price is not None]
    return f"{min(known):.2f}" if known else "-"
