"""``hfrouter models``: what the router serves, with prices; with ``--hub`` any model of the Hub."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from shared_core.cli import options as shared
from shared_core.cli.output import UsageError, note, table

if TYPE_CHECKING:
    from shared_core import HubModel, ProviderInfo, RouterModel

HEAD = ("MODEL", "CONTEXT", "IN $/M", "OUT $/M", "CAN", "PROVIDERS")
HUB_HEAD = ("MODEL", "TASK", "PARAMETERS", "DOWNLOADS", "LIKES", "PROVIDERS")
HUB_FIELDS = (
    *("pipeline_tag", "downloads", "likes", "gated", "safetensors", "gguf"),
    "inferenceProviderMapping",
)
HUB_LIMIT = 20
HUB_SORTS = ("downloads", "likes", "lastModified", "createdAt", "trendingScore")

_ROUTER_ONLY = ("tools", "structured", "free", "input", "min_context", "max_price")
_HUB_ONLY = ("task", "author", "tag", "parameters", "gated", "warm")
INFINITY = float("inf")


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command's parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "models",
        help="list chat models with prices, or search the Hub",
        description="List the chat models that the router serves. Prices are those of the "
        "cheapest live provider, in US dollars per million tokens. With --hub or --task, search "
        "all models of the Hub instead.",
    )
    command.add_argument("--search", metavar="TEXT", help="only ids that contain TEXT")
    command.add_argument("--provider", metavar="NAME", help="only what this provider serves")
    command.add_argument("--limit", type=int, metavar="N", help="at most N models")
    command.add_argument(
        "--sort",
        metavar="BY",
        help=f"router: {', '.join(SORTS)}; Hub: {', '.join(HUB_SORTS)}",
    )
    command.add_argument("--json", action="store_true", help="print JSON lines")
    _add_router_filters(command.add_argument_group("filters of the router's list"))
    _add_hub_filters(command.add_argument_group("search on the Hub"))
    shared.add_connection(command)
    return command


def _add_router_filters(group: Any) -> None:
    group.add_argument("--tools", action="store_true", help="only with tools")
    group.add_argument("--structured", action="store_true", help="only with structured output")
    group.add_argument("--free", action="store_true", help="only what is free for now")
    group.add_argument("--input", metavar="KIND", help="only what takes it, e.g. image")
    group.add_argument("--min-context", type=int, metavar="N", help="tokens of context at least")
    group.add_argument(
        "--max-price", type=float, metavar="USD", help="per million tokens of the answer at most"
    )


def _add_hub_filters(group: Any) -> None:
    group.add_argument("--hub", action="store_true", help="search the Hub")
    group.add_argument("--task", metavar="TASK", help="e.g. text-to-image; implies --hub")
    group.add_argument("--author", metavar="NAME", help="user or organisation")
    group.add_argument("--tag", action="append", metavar="TAG", help="tag; may be repeated")
    group.add_argument("--parameters", metavar="RANGE", help="e.g. min:6B,max:128B")
    group.add_argument("--gated", choices=("yes", "no"), help="only gated models, or only others")
    group.add_argument("--warm", action="store_true", help="only what a provider serves")


def run(options: argparse.Namespace) -> int:
    """Run the command. No token is needed: both lists are public."""
    on_hub = options.hub or options.task is not None
    for name in _ROUTER_ONLY if on_hub else _HUB_ONLY:
        if _given(options, name):
            mode = "does not go with --hub" if on_hub else "needs --hub"
            raise UsageError(f"--{name.replace('_', '-')} {mode}")
    sorts = HUB_SORTS if on_hub else tuple(SORTS)
    if options.sort is not None and options.sort not in sorts:
        raise UsageError(f"--sort {options.sort}: use one of {', '.join(sorts)}")
    return _search_hub(options) if on_hub else _list_router(options)


def _given(options: argparse.Namespace, name: str) -> bool:
    value = getattr(options, name)
    return value is not None and value is not False  # 0 is a price


# --- the router's list ------------------------------------------------------------------


def _list_router(options: argparse.Namespace) -> int:
    with shared.Connection.of(options).client() as client:
        everything = client.models.list()
    found = [model for model in everything if _wanted(model, options)]
    if options.sort is not None:
        found.sort(key=lambda model: SORTS[options.sort](model, options.provider))
    shown = found[: options.limit] if options.limit is not None else found
    if options.json:
        _print_json(shown)
    elif shown:
        print(table(HEAD, [row(model, options.provider) for model in shown]))
    note(f"{len(shown)} of {len(everything)} models")
    return 0


def _wanted(model: RouterModel, options: argparse.Namespace) -> bool:
    if options.search and options.search.lower() not in model.id.lower():
        return False
    if options.provider and model.provider(options.provider) is None:
        return False
    if options.input and options.input not in model.input_modalities:
        return False
    offers = _offers(model, options.provider)
    # One offer must do it all: tools of one provider are no good at the price of another.
    picky = any(_given(options, name) for name in _ROUTER_ONLY if name != "input")
    return not picky or any(_does(offer, model, options) for offer in offers)


def _does(offer: ProviderInfo, model: RouterModel, options: argparse.Namespace) -> bool:
    if (options.tools and not offer.supports_tools) or (options.free and not offer.is_free):
        return False
    if options.structured and not offer.supports_structured_output:
        return False
    context = offer.context_length or model.context_length or 0
    if options.min_context is not None and context < options.min_context:
        return False
    return options.max_price is None or _price(offer) <= options.max_price


def _price(offer: ProviderInfo) -> float:
    if offer.is_free:
        return 0.0
    return INFINITY if offer.output_price is None else offer.output_price


def _offers(model: RouterModel, provider: str | None) -> list[ProviderInfo]:
    return [o for o in model.live_providers if provider is None or o.name == provider]


def _by_price(model: RouterModel, provider: str | None) -> float:
    return min((_price(offer) for offer in _offers(model, provider)), default=INFINITY)


def _by_context(model: RouterModel, provider: str | None) -> float:
    return -float(_context(model, _offers(model, provider)) or 0)


def _by_speed(model: RouterModel, provider: str | None) -> float:
    return -max((offer.throughput or 0.0 for offer in _offers(model, provider)), default=0.0)


SORTS: dict[str, Callable[[RouterModel, str | None], Any]] = {
    "name": lambda model, provider: model.id.lower(),
    "price": _by_price,
    "context": _by_context,
    "speed": _by_speed,
}
"""Orders of the router's list: the best first."""


def row(model: RouterModel, provider: str | None = None) -> list[str]:
    """Return a model's cells, of one provider's offer or of all live ones."""
    offers = _offers(model, provider)
    can = [kind for kind in model.input_modalities if kind != "text"]
    can += ["tools"] if any(offer.supports_tools for offer in offers) else []
    can += ["json"] if any(offer.supports_structured_output for offer in offers) else []
    length = _context(model, offers)
    return [
        model.id,
        f"{length:,}" if length else "-",
        _least(offer.input_price for offer in offers),
        _least(offer.output_price for offer in offers),
        " ".join(can) or "-",
        " ".join(offer.name for offer in offers) or "-",
    ]


def _context(model: RouterModel, offers: Iterable[ProviderInfo]) -> int | None:
    known = [offer.context_length for offer in offers if offer.context_length]
    return min(known) if known else model.context_length


def _least(prices: Iterable[float | None]) -> str:
    known = [price for price in prices if price is not None]
    return f"{min(known):.2f}" if known else "-"


# --- the Hub ----------------------------------------------------------------------------


def _search_hub(options: argparse.Namespace) -> int:
    if options.local or options.local_model:
        raise UsageError("--hub asks the Hub: leave --local out")
    with shared.Connection.of(options).client() as client:
        found = list(
            client.models.search(
                options.search,
                author=options.author,
                filter=options.tag,
                pipeline_tag=options.task,
                inference="warm" if options.warm else None,
                inference_provider=options.provider,
                gated=None if options.gated is None else options.gated == "yes",
                num_parameters=options.parameters,
                sort=options.sort or "downloads",
                limit=HUB_LIMIT if options.limit is None else options.limit,
                expand=HUB_FIELDS,
            )
        )
    if options.json:
        _print_json(found)
    elif found:
        print(table(HUB_HEAD, [hub_row(model) for model in found]))
    note(f"{len(found)} models")
    return 0


def hub_row(model: HubModel) -> list[str]:
    """Return the cells of a model of the Hub."""
    live = [offer.name for offer in model.providers if offer.is_live]
    return [
        f"{model.id} (gated)" if model.gated else model.id,
        model.pipeline_tag or "-",
        _in_short(model.parameters),
        _in_short(model.downloads),
        _in_short(model.likes),
        " ".join(live) or "-",
    ]


def _in_short(count: int | None) -> str:
    if count is None:
        return "-"
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def _print_json(models: Iterable[RouterModel | HubModel]) -> None:
    for model in models:
        print(json.dumps(model.raw, ensure_ascii=False))
