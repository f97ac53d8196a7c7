"""Which provider calls a model by which name: looked up on the Hub, kept, set by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from shared_core.config.providers import has_own_key
from shared_core.errors import InvalidSettingError
from shared_core.hub.parsing import provider_mapping
from shared_core.log import logger
from shared_core.providers.answers import read
from shared_core.providers.base import ProviderMapping
from shared_core.wire import fields
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.flow import Flow

MAX_AGE = 3600.0
"""Seconds that an entry is kept. Providers are health-checked every 6 hours (protocol, 2.3)."""

MOST_MODELS = 1000
"""Models kept; the oldest entry goes first."""

_MAPPING = "inferenceProviderMapping"


class MappingCache:
    """Mappings that were looked up, and those that were set by hand. Safe between threads.

    Each client has one of its own, ``client.providers.mappings``: the order of the providers
    depends on who asks. Entries set by hand never expire.

    Args:
        max_age: Seconds that a looked-up entry is used; 0 looks up every time.
    """

    def __init__(self, max_age: float = MAX_AGE) -> None:
        self.max_age = max_age
        self._entries: dict[str, tuple[float | None, tuple[ProviderMapping, ...]]] = {}

    def get(
        self, model: str, *, now: Callable[[], float] = time.monotonic
    ) -> tuple[ProviderMapping, ...] | None:
        """Return the mapping of *model*, or None if it is not known or too old.

        Args:
            model: Hub id.
            now: Monotonic seconds.
        """
        found = self._entries.get(model)
        if found is None or (found[0] is not None and now() - found[0] >= self.max_age):
            return None
        return found[1]

    def set(self, model: str, mappings: Iterable[ProviderMapping]) -> None:
        """Fix the mapping of *model* by hand; nothing is looked up for it any more.

        Args:
            model: Hub id.
            mappings: Its providers, the preferred one first.

        Raises:
            InvalidSettingError: One is not a ``ProviderMapping``.
        """
        fixed = tuple(mappings)
        for mapping in fixed:
            if not isinstance(mapping, ProviderMapping):
                raise InvalidSettingError(
                    f"mappings holds a {type(mapping).__name__}, not a ProviderMapping",
                    setting="mappings",
                )
        self._entries[model] = None, fixed

    def forget(self, model: str | None = None) -> None:
        """Forget *model*, or everything; the next call looks it up.

        Args:
            model: Hub id; None: all, those set by hand included.
        """
        if model is None:
            self._entries.clear()
        else:
            self._entries.pop(model, None)

    def keep(self, model: str, mappings: tuple[ProviderMapping, ...], now: float) -> None:
        """Keep what the Hub said, unless the mapping was fixed by hand."""
        known = self._entries.get(model)
        if known is not None and known[0] is None:
            return
        self._entries.pop(model, None)
        if len(self._entries) >= MOST_MODELS:
            aged = [name for name, entry in list(self._entries.items()) if entry[0] is not None]
            if aged:
                self._entries.pop(aged[0], None)
        self._entries[model] = now, mappings

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"MappingCache({len(self)} models, max_age={self.max_age:g})"


_caches: WeakKeyDictionary[Core, MappingCache] = WeakKeyDictionary()


def cache_of(core: Core) -> MappingCache:
    """Return the cache of a client."""
    found = _caches.get(core)
    return _caches.setdefault(core, MappingCache()) if found is None else found


def use_cache(core: Core, cache: MappingCache) -> None:
    """Give a client another cache."""
    _caches[core] = cache


def look_up(
    core: Core,
    model: str,
    *,
    refresh: bool = False,
    timeout: float | None = None,
    callbacks: tuple[Any, ...] = (),
) -> Flow[tuple[ProviderMapping, ...]]:
    """Return the providers of *model*, the caller's preferred one first.

    The token goes along, because the order follows the settings of its owner; a provider's own
    key does not.

    Args:
        core: The path of every exchange.
        model: Hub id.
        refresh: Ask the Hub even if the answer is kept.
        timeout: Seconds to wait.
        callbacks: Told of the request, besides the client's own.
    """
    cache = cache_of(core)
    kept = None if refresh else cache.get(model)
    if kept is not None:
        return kept
    page = yield from _page(core, model, timeout, callbacks)
    moved = page.get("id")
    if _MAPPING not in page and isinstance(moved, str) and moved.lower() != model.lower():
        # A redirect to the new name that dropped the question: asked again, by that name.
        page = yield from _page(core, moved, timeout, callbacks)
    found = read_mapping(page)
    cache.keep(model, found, time.monotonic())
    return found


def _page(
    core: Core, model: str, timeout: float | None, callbacks: tuple[Any, ...]
) -> Flow[dict[str, Any]]:
    """Return the Hub's entry of *model* with its mapping; renamed models are redirected to."""
    address = f"{core.settings.hub_url}/api/models/{quote(model, safe='/')}"
    request = WireRequest(
        method="GET",
        url=f"{address}?expand[]={_MAPPING}",
        headers={"Accept": "application/json"},
        timeout=timeout,
        auth=not has_own_key(core.settings),
        idempotent=True,
        operation="models.mapping",
        model=model,
    )
    page: dict[str, Any] = yield from core.exchange(
        request, read(request, _entry, core), callbacks=callbacks
    )
    return page


def _entry(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("the Hub's model is not an object")
    return value


def read_mapping(value: Any) -> tuple[ProviderMapping, ...]:
    """Return the mapping of a model's entry on the Hub; empty if nobody serves it.

    Raises:
        ValueError: It is not such an entry.
    """
    return tuple(
        ProviderMapping(
            provider=entry.name,
            provider_id=entry.provider_id,
            task=entry.task,
            status=entry.status or "live",
            adapter=fields.text(entry.raw.get("adapter")),
            adapter_weights_path=fields.text(entry.raw.get("adapterWeightsPath")),
            raw=entry.raw,
        )
        for entry in provider_mapping(_entry(value).get(_MAPPING))
        if entry.provider_id
    )


def list_models(core: Core, provider: str, status: str) -> Flow[tuple[ProviderMapping, ...]]:
    """Return every model that the Hub maps to *provider*."""
    address = f"{core.settings.hub_url}/api/partners/{quote(provider, safe='')}/models"
    request = WireRequest(
        method="GET",
        url=f"{address}?status={status}",
        headers={"Accept": "application/json"},
        timeout=core.settings.timeout,
        auth=not has_own_key(core.settings),
        idempotent=True,
        operation="providers.models",
        provider=provider,
    )
    parse = read(request, lambda value: read_models(value, provider, status), core)
    found: tuple[ProviderMapping, ...] = yield from core.exchange(request, parse)
    return found


def read_models(value: Any, provider: str, status: str) -> tuple[ProviderMapping, ...]:
    """Return the entries of a provider's list, by task (protocol reference, 7.1).

    Raises:
        ValueError: It is not such a list.
    """
    if not isinstance(value, dict):
        raise ValueError("the provider's list is not an object")
    return tuple(
        _listed(name, entry, task, provider, status)
        for task, models in value.items()
        if isinstance(models, dict)
        for name, entry in models.items()
        if isinstance(entry, dict) and fields.text(entry.get("providerId"))
    )


def _listed(
    name: str, entry: dict[str, Any], task: str, provider: str, status: str
) -> ProviderMapping:
    by_tags = name.startswith("tag-filter=")
    tags = entry.get("tags")
    listed = tags if isinstance(tags, list) else name.partition("=")[2].split(",")
    return ProviderMapping(
        provider=provider,
        provider_id=str(entry["providerId"]),
        task=task,
        status=fields.text(entry.get("status")) or status,
        adapter=fields.text(entry.get("adapterType")),
        model=None if by_tags else name,
        tags=tuple(str(tag) for tag in listed) if by_tags else (),
        raw=entry,
    )


def warn(mapping: ProviderMapping, model: str) -> None:
    """Log that a mapping is not healthy, if so."""
    if mapping.status == "staging":
        logger.warning("%s serves %s for tests only", mapping.provider, model)
    elif mapping.status == "error":
        logger.warning("%s failed its last health check for %s", mapping.provider, model)
