"""``client.models``: the router's list, the status of a model, search on the Hub."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from shared_core.hub import facts, flows
from shared_core.hub.facts import HubTask, ModelCard, PartnerModel
from shared_core.hub.limits import HubRateLimit
from shared_core.hub.types import (
    HubModel,
    ModelState,
    ModelStatus,
    Organization,
    ProviderInfo,
    RouterModel,
    WhoAmI,
)

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.flow import Flow

T = TypeVar("T")
List: TypeAlias = list[T]  # a class with a method `list` cannot say so otherwise

__all__ = [
    "AsyncModels",
    "HubModel",
    "ModelState",
    "ModelStatus",
    "Models",
    "Organization",
    "ProviderInfo",
    "RouterModel",
    "WhoAmI",
]


class Models:
    """Models, blocking. One request per call, except :meth:`status` (two) and long searches."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Any]) -> None:
        self._core = core
        self._run = run

    def list(self, *, max_age: float | None = None) -> list[RouterModel]:
        """Return the models served at ``base_url``: on the router all chat models.

        Args:
            max_age: Seconds for which an earlier list of this client may be returned, e.g.
                300; None always asks.

        Raises:
            APIError: The exchange failed.
        """
        models: list[RouterModel] = self._run(
            flows.list_models(self._core, max_age=max_age, now=time.monotonic)
        )
        return models

    def get(self, model: str) -> RouterModel:
        """Return one model of the router: providers, prices, context length, capabilities.

        From a server of one's own, the entry of its list.

        Args:
            model: Id; on the router a suffix is ignored.

        Raises:
            ModelNotFoundError: It is not served there.
            APIError: The exchange failed.
        """
        entry: RouterModel = self._run(flows.get_model(self._core, model))
        return entry

    def info(
        self, model: str, *, expand: Sequence[str] = (), revision: str | None = None
    ) -> HubModel:
        """Return a model's entry on the Hub.

        Args:
            model: Id; a suffix is ignored.
            expand: Fields to return instead of the usual ones, e.g.
                ``["inferenceProviderMapping"]``.
            revision: Branch, tag or commit; the main branch when None.

        Raises:
            ModelNotFoundError: It does not exist or is private.
            APIError: The exchange failed.
        """
        entry: HubModel = self._run(flows.hub_model(self._core, model, expand, revision))
        return entry

    def status(self, model: str) -> ModelStatus:
        """Return whether a model can be called now and who serves it.

        Asks the router and the Hub; a server of one's own only for its list.

        Args:
            model: Id; a suffix is ignored.

        Raises:
            ModelNotFoundError: It does not exist or is private.
            APIError: The exchange failed.
        """
        status: ModelStatus = self._run(flows.status(self._core, model))
        return status

    def search(
        self,
        search: str | Sequence[str] | None = None,
        *,
        author: str | None = None,
        filter: str | Sequence[str] | None = None,
        pipeline_tag: str | None = None,
        inference: str | None = None,
        inference_provider: str | Sequence[str] | None = None,
        apps: str | Sequence[str] | None = None,
        gated: bool | None = None,
        num_parameters: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        page_size: int | None = None,
        expand: Sequence[str] = (),
        full: bool | None = None,
        card_data: bool | None = None,
        config: bool | None = None,
    ) -> Iterator[HubModel]:
        """Search the Hub; pages are fetched as they are needed.

        Args:
            search: Free text, or several.
            author: Organisation or user.
            filter: Tag, or several, e.g. ``"conversational"``.
            pipeline_tag: Task, e.g. ``"feature-extraction"``.
            inference: ``"warm"``: only what a provider serves.
            inference_provider: Provider, several, or ``"all"``.
            apps: App, or several.
            gated: Only models that are, or are not, gated.
            num_parameters: e.g. ``"min:6B,max:128B"``.
            sort: ``"downloads"``, ``"likes"``, ``"lastModified"``, ``"createdAt"`` or
                ``"trendingScore"``, descending.
            limit: Results at most; None for all.
            page_size: Results per request; the Hub's own (1,000) when None.
            expand: Fields to return instead of the usual ones; excludes the next three.
            full: All fields.
            card_data: With the model card's metadata.
            config: With the configuration.

        Returns:
            An iterator of models.

        Raises:
            InvalidSettingError: An argument is wrong (raised at once).
            APIError: An exchange failed (raised while iterating).
        """
        query = flows.Search(
            search=search,
            author=author,
            filter=filter,
            pipeline_tag=pipeline_tag,
            inference=inference,
            inference_provider=inference_provider,
            apps=apps,
            gated=gated,
            num_parameters=num_parameters,
            sort=sort,
            limit=limit,
            page_size=page_size,
            expand=expand,
            full=full,
            card_data=card_data,
            config=config,
        )
        return self._pages(flows.search_url(self._core, query), limit)

    def _pages(self, url: str | None, limit: int | None) -> Iterator[HubModel]:
        left = limit
        while url is not None and left != 0:
            models, url = self._run(flows.search_page(self._core, url))
            yield from models if left is None else models[:left]
            left = None if left is None else max(left - len(models), 0)

    def whoami(self) -> WhoAmI:
        """Return who the token belongs to and what it may do.

        Raises:
            AuthenticationError: The token is wrong.
            MissingTokenError: There is no token; nothing was sent.
        """
        answer: WhoAmI = self._run(flows.whoami(self._core))
        return answer

    @property
    def rate_limit(self) -> HubRateLimit | None:
        """What the Hub last told this client about its rate limit; None before the first call."""
        return flows.rate_limit(self._core)

    def card(self, model: str, *, revision: str | None = None) -> ModelCard:
        """Return what a model's card and configuration say: licence, languages, template ...

        Args:
            model: Id; a suffix is ignored.
            revision: Branch, tag or commit; the main branch when None.

        Raises:
            ModelNotFoundError: It does not exist or is private.
            APIError: The exchange failed.
        """
        known: ModelCard = self._run(facts.card(self._core, model, revision))
        return known

    def providers(self, model: str) -> tuple[ProviderInfo, ...]:
        """Return who serves a model, for any task, in the order of the user's settings.

        Args:
            model: Id; a suffix is ignored.

        Raises:
            ModelNotFoundError: It does not exist or is private.
            APIError: The exchange failed.
        """
        offers: tuple[ProviderInfo, ...] = self._run(facts.providers(self._core, model))
        return offers

    def of_provider(self, provider: str, *, status: str = "live") -> List[PartnerModel]:
        """Return all models that a provider serves, for any task.

        Args:
            provider: e.g. ``"fal-ai"``.
            status: ``"live"`` or ``"staging"``.

        Raises:
            NotFoundError: The Hub knows no such provider.
            APIError: The exchange failed.
        """
        models: List[PartnerModel] = self._run(facts.partner(self._core, provider, status))
        return models

    def tasks(self) -> List[HubTask]:
        """Return the tasks that the Hub knows, with models that it recommends.

        Raises:
            APIError: The exchange failed.
        """
        known: List[HubTask] = self._run(facts.tasks(self._core))
        return known


class AsyncModels:
    """Models for asyncio; see :class:`Models` for the arguments."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Awaitable[Any]]) -> None:
        self._core = core
        self._run = run

    async def list(self, *, max_age: float | None = None) -> list[RouterModel]:
        """Return the models served at ``base_url``; see :meth:`Models.list`."""
        models: list[RouterModel] = await self._run(
            flows.list_models(self._core, max_age=max_age, now=time.monotonic)
        )
        return models

    async def get(self, model: str) -> RouterModel:
        """Return one model of the router; see :meth:`Models.get`."""
        entry: RouterModel = await self._run(flows.get_model(self._core, model))
        return entry

    async def info(
        self, model: str, *, expand: Sequence[str] = (), revision: str | None = None
    ) -> HubModel:
        """Return a model's entry on the Hub; see :meth:`Models.info`."""
        entry: HubModel = await self._run(flows.hub_model(self._core, model, expand, revision))
        return entry

    async def status(self, model: str) -> ModelStatus:
        """Return whether a model can be called now; see :meth:`Models.status`."""
        status: ModelStatus = await self._run(flows.status(self._core, model))
        return status

    def search(
        self,
        search: str | Sequence[str] | None = None,
        *,
        author: str | None = None,
        filter: str | Sequence[str] | None = None,
        pipeline_tag: str | None = None,
        inference: str | None = None,
        inference_provider: str | Sequence[str] | None = None,
        apps: str | Sequence[str] | None = None,
        gated: bool | None = None,
        num_parameters: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        page_size: int | None = None,
        expand: Sequence[str] = (),
        full: bool | None = None,
        card_data: bool | None = None,
        config: bool | None = None,
    ) -> AsyncIterator[HubModel]:
        """Search the Hub (``async for``); see :meth:`Models.search`."""
        query = flows.Search(
            search=search,
            author=author,
            filter=filter,
            pipeline_tag=pipeline_tag,
            inference=inference,
            inference_provider=inference_provider,
            apps=apps,
            gated=gated,
            num_parameters=num_parameters,
            sort=sort,
            limit=limit,
            page_size=page_size,
            expand=expand,
            full=full,
            card_data=card_data,
            config=config,
        )
        return self._pages(flows.search_url(self._core, query), limit)

    async def _pages(self, url: str | None, limit: int | None) -> AsyncIterator[HubModel]:
        left = limit
        while url is not None and left != 0:
            models, url = await self._run(flows.search_page(self._core, url))
            for model in models if left is None else models[:left]:
                yield model
            left = None if left is None else max(left - len(models), 0)

    async def whoami(self) -> WhoAmI:
        """Return who the token belongs to; see :meth:`Models.whoami`."""
        answer: WhoAmI = await self._run(flows.whoami(self._core))
        return answer

    @property
    def rate_limit(self) -> HubRateLimit | None:
        """What the Hub last told this client about its rate limit; None before the first call."""
        return flows.rate_limit(self._core)

    async def card(self, model: str, *, revision: str | None = None) -> ModelCard:
        """Return what a model's card and configuration say: licence, languages, template ...

        Args:
            model: Id; a suffix is ignored.
            revision: Branch, tag or commit; the main branch when None.

        Raises:
            ModelNotFoundError: It does not exist or is private.
            APIError: The exchange failed.
        """
        known: ModelCard = await self._run(facts.card(self._core, model, revision))
        return known

    async def providers(self, model: str) -> tuple[ProviderInfo, ...]:
        """Return who serves a model, for any task, in the order of the user's settings.

        Args:
            model: Id; a suffix is ignored.

        Raises:
            ModelNotFoundError: It does not exist or is private.
            APIError: The exchange failed.
        """
        offers: tuple[ProviderInfo, ...] = await self._run(facts.providers(self._core, model))
        return offers

    async def of_provider(self, provider: str, *, status: str = "live") -> List[PartnerModel]:
        """Return all models that a provider serves, for any task.

        Args:
            provider: e.g. ``"fal-ai"``.
            status: ``"live"`` or ``"staging"``.

        Raises:
            NotFoundError: The Hub knows no such provider.
            APIError: The exchange failed.
        """
        models: List[PartnerModel] = await self._run(facts.partner(self._core, provider, status))
        return models

    async def tasks(self) -> List[HubTask]:
        """Return the tasks that the Hub knows, with models that it recommends.

        Raises:
            APIError: The exchange failed.
        """
        known: List[HubTask] = await self._run(facts.tasks(self._core))
        return known
