"""The requests for models and accounts, as flows: the same for both clients, no I/O here."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit, urlunsplit
from weakref import WeakKeyDictionary

from shared_core.config.checks import text
from shared_core.config.validate import check_model_id, is_hf_host, origin_of, split_model
from shared_core.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InvalidSettingError,
    ModelLoadingError,
    ModelNotFoundError,
    NotFoundError,
)
from shared_core.flow import All, Flow
from shared_core.hub import notices, parsing
from shared_core.hub.limits import HubRateLimit
from shared_core.hub.types import (
    HubModel,
    ModelState,
    ModelStatus,
    ProviderInfo,
    RouterModel,
    WhoAmI,
)
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.core import Core

T = TypeVar("T")

SORTS = ("downloads", "likes", "lastModified", "createdAt", "trendingScore")
"""Orders of a search, always descending (protocol.md 8.2)."""

MAX_PAGE = 1000
"""Entries of a page of search results when no size is given (protocol.md 8.2)."""

_STATUS_FIELDS = ("inference", "inferenceProviderMapping", "pipeline_tag", "tags")
_limits: WeakKeyDictionary[Core, HubRateLimit] = WeakKeyDictionary()
_lists: WeakKeyDictionary[Core, tuple[float, list[RouterModel]]] = WeakKeyDictionary()


def models_url(base_url: str, model: str | None = None) -> str:
    """Return the address of the model list that belongs to *base_url*, or of one model.

    Args:
        base_url: The ``/v1`` base, a bare host, or a full path of an operation below ``/v1``.
        model: Id of one model.
    """
    scheme, netloc, path, query, _ = urlsplit(base_url)
    kept = re.match(r"(.*?/v\d+)(?:/|$)", path)
    root = kept[1] if kept else re.sub(r"/(?:chat/completions|embed|embeddings)/?$", "", path)
    root = root.rstrip("/") if kept else root.rstrip("/") + "/v1"
    tail = f"/{quote(model, safe='/')}" if model else ""
    return urlunsplit((scheme, netloc, f"{root}/models{tail}", query, ""))


def get(
    core: Core,
    url: str,
    operation: str,
    *,
    model: str | None = None,
    timeout: float | None = None,
) -> WireRequest:
    """Return a GET for JSON."""
    return WireRequest(
        method="GET",
        url=url,
        headers={"Accept": "application/json"},
        timeout=core.settings.timeout if timeout is None else timeout,
        idempotent=True,
        operation=operation,
        model=model,
    )


def asked(core: Core, request: WireRequest, parse: Callable[[WireResponse], T]) -> Flow[T]:
    """Return the parsed answer to *request*; take note of the Hub's rate limit and warnings."""

    def note(headers: Mapping[str, str]) -> None:
        limit = HubRateLimit.of(headers)
        if limit is not None:
            _limits[core] = limit
        notices.tell(headers)

    def noting(response: WireResponse) -> T:
        note(response.headers)
        return parse(response)

    try:
        return (yield from core.exchange(request, noting))
    except APIStatusError as error:
        note(error.headers or {})
        raise


def rate_limit(core: Core) -> HubRateLimit | None:
    """Return what the Hub last said about this client's limit, or None."""
    return _limits.get(core)


def list_models(
    core: Core, *, max_age: float | None, now: Callable[[], float]
) -> Flow[list[RouterModel]]:
    """Return the models that the router or the server at ``base_url`` lists."""
    kept = _lists.get(core)
    if max_age is not None and kept is not None and now() - kept[0] <= max_age:
        return list(kept[1])
    request = get(core, models_url(core.settings.base_url), "models.list")
    models: list[RouterModel] = yield from core.exchange(
        request, parsing.reader(request, parsing.read_model_list)
    )
    if max_age is not None:
        _lists[core] = (now(), list(models))
    return models


def get_model(core: Core, model: str) -> Flow[RouterModel]:
    """Return one model of the router's list, or of the list of a server of one's own."""
    if not _on_router(core):
        return (yield from _listed(core, check_model_id(model, strict=False)))
    name, _ = split_model(check_model_id(model))
    request = get(core, models_url(core.settings.base_url, name), "models.get", model=name)
    return (yield from core.exchange(request, parsing.reader(request, parsing.read_router_model)))


def hub_model(
    core: Core, model: str, expand: Sequence[str], revision: str | None = None
) -> Flow[HubModel]:
    """Return a model's entry on the Hub, as of a revision or now."""
    name, _ = split_model(check_model_id(model))
    query = f"?{urlencode([('expand[]', item) for item in expand])}" if expand else ""
    tail = "" if revision is None else f"/revision/{quote(text('revision', revision), safe='')}"
    url = f"{core.settings.hub_url}/api/models/{quote(name, safe='/')}{tail}{query}"
    request = get(core, url, "models.info", model=name)
    return (yield from asked(core, request, parsing.reader(request, parsing.read_hub_model)))


def whoami(core: Core) -> Flow[WhoAmI]:
    """Return who the token belongs to."""
    url = f"{core.settings.hub_url}/api/whoami-v2"
    core.settings.token_for(url, required=True)
    request = get(core, url, "whoami")
    return (yield from asked(core, request, parsing.reader(request, parsing.read_whoami)))


# -------------------------------------------------------------------------------- status


def status(core: Core, model: str) -> Flow[ModelStatus]:
    """Return whether *model* can be called, from the router and, on huggingface.co, the Hub."""
    if not _on_router(core):
        return (yield from _server_status(core, check_model_id(model, strict=False)))
    name, _ = split_model(check_model_id(model))
    router, hub = yield from _both(core, name)
    if isinstance(router, RouterModel) or isinstance(hub, HubModel):
        return combine(
            name,
            router if isinstance(router, RouterModel) else None,
            hub if isinstance(hub, HubModel) else None,
        )
    # Neither knows it. The Hub's answer says more: missing, private, gated.
    raise hub if isinstance(hub, APIError) else router


def _both(core: Core, name: str) -> Flow[list[Any]]:
    flows = [
        _attempt(get_model(core, name)),
        _attempt(hub_model(core, name, _STATUS_FIELDS)),
    ]
    answers = yield All(flows, 2)
    return list(answers)


def _attempt(flow: Flow[Any]) -> Flow[Any]:
    """Return the result of *flow*, or the error that says "not here" or "cannot tell"."""
    try:
        return (yield from flow)
    except (AuthenticationError, BadRequestError, NotFoundError, APIConnectionError) as error:
        return error


def _server_status(core: Core, name: str) -> Flow[ModelStatus]:
    try:
        entry = yield from _listed(core, name)
    except ModelLoadingError as error:
        return ModelStatus(name, "loading", estimated_time=error.estimated_time)
    except ModelNotFoundError:
        return ModelStatus(name, "unavailable")
    return ModelStatus(name, "loaded", router=entry)


def _listed(core: Core, name: str) -> Flow[RouterModel]:
    """Return an entry of the list: few servers know an address for one model."""
    models = yield from list_models(core, max_age=None, now=time.monotonic)
    for entry in models:
        if entry.id == name:
            return entry
    served = ", ".join(entry.id for entry in models[:10]) or "none"
    raise ModelNotFoundError(
        f"the server has no model of that name; it serves: {served}",
        status_code=404,
        operation="models.get",
        model=name,
        url=models_url(core.settings.base_url),
        guidance="Set model= to a name that the server lists.",
    )


def _on_router(core: Core) -> bool:
    return is_hf_host(origin_of(core.settings.base_url)[1])


def combine(name: str, router: RouterModel | None, hub: HubModel | None) -> ModelStatus:
    """Return the status that the router's and the Hub's entries make together."""
    offers: dict[str, ProviderInfo] = {}
    for offer in hub.providers if hub else ():
        offers[offer.name] = offer
    for offer in router.providers if router else ():
        known = offers.get(offer.name)
        if known is not None:
            offer = replace(
                offer,
                task=known.task,
                provider_id=known.provider_id,
                raw={**known.raw, **offer.raw},
            )
        offers[offer.name] = offer
    providers = tuple(sorted(offers.values(), key=lambda offer: not offer.is_live))
    state: ModelState = "unavailable"
    if router is not None and (router.live_providers or not router.providers):
        state = "loaded"
    elif any(offer.is_live for offer in providers) or (hub and hub.inference == "warm"):
        state = "warm"
    elif any(offer.status == "staging" for offer in providers):
        state = "loading"
    return ModelStatus(
        name, state, providers, task=hub.pipeline_tag if hub else None, router=router
    )


# -------------------------------------------------------------------------------- search


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search on the Hub; see :meth:`shared_core.hub.models.Models.search`."""

    search: str | Sequence[str] | None = None
    author: str | None = None
    filter: str | Sequence[str] | None = None
    pipeline_tag: str | None = None
    inference: str | None = None
    inference_provider: str | Sequence[str] | None = None
    apps: str | Sequence[str] | None = None
    gated: bool | None = None
    num_parameters: str | None = None
    sort: str | None = None
    limit: int | None = None
    page_size: int | None = None
    expand: Sequence[str] = ()
    full: bool | None = None
    card_data: bool | None = None
    config: bool | None = None

    def __post_init__(self) -> None:
        if self.sort is not None and self.sort not in SORTS:
            raise InvalidSettingError(
                f"sort must be one of {', '.join(SORTS)}, not {self.sort!r}", setting="sort"
            )
        for name in ("limit", "page_size"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidSettingError(
                    f"{name} must be a whole number from 1: {value!r}", setting=name
                )
        if self.expand and (self.full or self.card_data or self.config):
            raise InvalidSettingError(
                "expand excludes full, card_data and config", setting="expand"
            )

    def query(self) -> str:
        """Return the query string."""
        pairs: list[tuple[str, str]] = []
        for name, value in (
            ("search", self.search),
            ("author", self.author),
            ("filter", self.filter),
            ("pipeline_tag", self.pipeline_tag),
            ("inference", self.inference),
            ("inference_provider", self.inference_provider),
            ("apps", self.apps),
            ("gated", self.gated),
            ("num_parameters", self.num_parameters),
            ("sort", self.sort),
            ("limit", self.page_size or (min(self.limit, MAX_PAGE) if self.limit else None)),
            ("expand[]", self.expand),
            ("full", self.full),
            ("cardData", self.card_data),
            ("config", self.config),
        ):
            values = [value] if isinstance(value, str | int) else list(value or ())
            pairs += [(name, _query_text(item)) for item in values]
        return urlencode(pairs)


def _query_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def search_url(core: Core, search: Search) -> str:
    """Return the address of the first page of *search*."""
    query = search.query()
    return f"{core.settings.hub_url}/api/models" + (f"?{query}" if query else "")


def search_page(core: Core, url: str) -> Flow[tuple[list[HubModel], str | None]]:
    """Return one page of search results and the address of the next."""
    request = get(core, url, "models.search")
    page: tuple[list[HubModel], str | None] = yield from asked(core, request, _page_reader(request))
    return page


def _page_reader(request: WireRequest) -> Callable[..., Any]:
    # The answer's own URL may have lost its query: the next page is relative to what was asked.
    def read(value: Any, response: Any) -> tuple[list[HubModel], str | None]:
        return parsing.read_search_page(value, replace(response, url=request.url))

    return parsing.reader(request, read)
