"""``client.endpoints``: the control plane of Inference Endpoints for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Unpack

from shared_core.endpoints import flows, market
from shared_core.endpoints.async_handle import AsyncEndpoint
from shared_core.endpoints.insight import AsyncInsight
from shared_core.endpoints.params import EndpointParams
from shared_core.endpoints.resource import Connect
from shared_core.endpoints.types import EndpointInfo, Hardware
from shared_core.endpoints.waiting import INTERVAL, Progress, wait
from shared_core.flow import Flow

if TYPE_CHECKING:
    from shared_core.core import Core

T = TypeVar("T")
List: TypeAlias = list[T]  # a class with a method `list` cannot say so otherwise


class AsyncEndpoints(AsyncInsight):
    """Inference Endpoints for asyncio.

    Every method is one request, and one more per client where ``namespace`` is left out: the
    token is asked whose it is. What changes something is never repeated by itself, also with
    retry on, unless the request provably did not reach the service.
    """

    def __init__(
        self,
        core: Core,
        run: Callable[[Flow[Any]], Coroutine[Any, Any, Any]],
        connect: Connect,
    ) -> None:
        self._core = core
        self._run = run
        self._connect = connect

    async def list(self, namespace: str | None = None) -> list[AsyncEndpoint]:
        """Return the endpoints of a namespace.

        Args:
            namespace: User or organisation; the token's own when None; ``"*"`` for that and all
                its organisations, without those that the token may not see.

        Raises:
            APIError: The exchange failed.
        """
        found: list[EndpointInfo] = await self._run(flows.listed(self._core, namespace))
        return [AsyncEndpoint(self, info) for info in found]

    async def get(self, name: str, *, namespace: str | None = None) -> AsyncEndpoint:
        """Return an endpoint.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.

        Raises:
            NotFoundError: There is none.
            APIError: The exchange failed.
        """
        return AsyncEndpoint(self, await self._run(flows.read(self._core, namespace, name)))

    async def create(
        self, name: str, *, namespace: str | None = None, **params: Unpack[EndpointParams]
    ) -> AsyncEndpoint:
        """Create an endpoint, which is billed from then on; never repeated by itself.

        Args:
            name: 1 to 32 characters of ``a-z 0-9 -``.
            namespace: User or organisation; the token's own when None.
            **params: See :class:`EndpointParams`. Needed: ``repository``, ``accelerator``,
                ``instance_type``, ``instance_size``, ``vendor`` and ``region``.

        Raises:
            InvalidSettingError: Something is missing or impossible; nothing was sent.
            ConflictError: There is one of that name.
            APIError: The exchange failed.
        """
        made: EndpointInfo = await self._run(flows.create(self._core, namespace, name, params))
        return AsyncEndpoint(self, made)

    async def update(
        self, name: str, *, namespace: str | None = None, **changes: Unpack[EndpointParams]
    ) -> AsyncEndpoint:
        """Change some fields of an endpoint; never repeated by itself.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.
            **changes: See :class:`EndpointParams`.

        Raises:
            InvalidSettingError: A field is unknown or impossible; nothing was sent.
            APIError: The exchange failed.
        """
        changed: EndpointInfo = await self._run(flows.update(self._core, namespace, name, changes))
        return AsyncEndpoint(self, changed)

    async def delete(self, name: str, *, namespace: str | None = None) -> None:
        """Delete an endpoint for good; never repeated by itself.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.

        Raises:
            NotFoundError: There is none.
            APIError: The exchange failed.
        """
        await self._run(flows.delete(self._core, namespace, name))

    async def pause(self, name: str, *, namespace: str | None = None) -> AsyncEndpoint:
        """End an endpoint's machines until it is resumed; never repeated by itself.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.

        Raises:
            APIError: The exchange failed.
        """
        return await self._act("pause", name, namespace)

    async def resume(
        self, name: str, *, namespace: str | None = None, running_ok: bool = True
    ) -> AsyncEndpoint:
        """Start a paused endpoint; never repeated by itself.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.
            running_ok: Whether it is fine if it runs already; it is read then.

        Raises:
            BadRequestError: It runs already, and that is not fine.
            APIError: The exchange failed.
        """
        flow = flows.resume(self._core, namespace, name, running_ok=running_ok)
        return AsyncEndpoint(self, await self._run(flow))

    async def scale_to_zero(self, name: str, *, namespace: str | None = None) -> AsyncEndpoint:
        """End an endpoint's machines until the next call; never repeated by itself.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.

        Raises:
            APIError: The exchange failed.
        """
        return await self._act("scale-to-zero", name, namespace)

    async def _act(self, action: str, name: str, namespace: str | None) -> AsyncEndpoint:
        flow = flows.act(self._core, namespace, name, action)
        return AsyncEndpoint(self, await self._run(flow))

    async def wait(
        self,
        name: str,
        *,
        namespace: str | None = None,
        timeout: float | None = None,
        interval: float = INTERVAL,
        progress: Progress | None = None,
    ) -> AsyncEndpoint:
        """Wait until an endpoint runs and its health route answers 200.

        One that has scaled to zero is woken; one that is paused is an error. A question that
        fails in a way that may heal is asked again; three failures in a row are survived.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.
            timeout: Seconds for all of it; None waits for ever.
            interval: Seconds between two questions.
            progress: Told ``(info, seconds)`` after every question; what it raises ends the
                waiting. So does cancelling the task.

        Raises:
            EndpointFailedError: It failed, or is paused.
            EndpointTimeoutError: It was not ready in time.
            APIError: It cannot be asked for.
        """
        flow = wait(
            self._core, namespace, name, timeout=timeout, interval=interval, progress=progress
        )
        return AsyncEndpoint(self, await self._run(flow))

    async def hardware(self, namespace: str | None = None) -> List[Hardware]:
        """Return all machines of all regions, with prices; needs no token.

        Args:
            namespace: With it, what that user or organisation may use, with quotas.

        Raises:
            APIError: The exchange failed.
        """
        found: List[Hardware] = await self._run(market.hardware(self._core, namespace))
        return found

    async def catalog(self) -> List[str]:
        """Return the models that :meth:`deploy` can start without further settings.

        Raises:
            APIError: The exchange failed.
        """
        models: List[str] = await self._run(market.catalog(self._core))
        return models

    async def deploy(
        self,
        repository: str,
        *,
        name: str | None = None,
        namespace: str | None = None,
        accelerator: str | None = None,
    ) -> AsyncEndpoint:
        """Create an endpoint as the catalogue recommends; never repeated by itself.

        Args:
            repository: A model of :meth:`catalog`.
            name: Its name; the service makes one up when None.
            namespace: User or organisation; the token's own when None.
            accelerator: ``"cpu"``, ``"gpu"`` or ``"neuron"``.

        Raises:
            APIError: The exchange failed.
        """
        flow = market.deploy(self._core, namespace, repository, name=name, accelerator=accelerator)
        return AsyncEndpoint(self, await self._run(flow))

    async def quotas(self, namespace: str | None = None) -> Any:
        """Return what a namespace may use: the JSON value that the service sends.

        No source describes it; ``hardware(namespace)`` has quotas in a known form.

        Args:
            namespace: User or organisation; the token's own when None.

        Raises:
            APIError: The exchange failed.
        """
        return await self._run(market.quotas(self._core, namespace))

    async def recipes(self) -> Any:
        """Return the newer catalogue: the JSON value that the service sends.

        Known from third parties only; :meth:`catalog` is what the official client uses.

        Raises:
            APIError: The exchange failed.
        """
        return await self._run(market.recipes(self._core))

    async def deploy_recipe(
        self, recipe: str, *, name: str | None = None, namespace: str | None = None
    ) -> Any:
        """Create an endpoint by a recipe of the newer catalogue; never repeated by itself.

        Known from third parties only; :meth:`deploy` is what the official client uses.

        Args:
            recipe: Id in :meth:`recipes`.
            name: Its name; the service makes one up when None.
            namespace: User or organisation; the token's own when None.

        Returns:
            The JSON value that the service sends.

        Raises:
            InvalidSettingError: An argument is impossible; nothing was sent.
            APIError: The exchange failed.
        """
        return await self._run(market.deploy_recipe(self._core, namespace, recipe, name=name))
