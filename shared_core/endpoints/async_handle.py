"""One Inference Endpoint to call and to look after for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

from shared_core.endpoints.handle import Handle
from shared_core.endpoints.inspection import LogFilter, LogQuery
from shared_core.endpoints.logs import AsyncLogStream
from shared_core.endpoints.params import EndpointParams
from shared_core.endpoints.waiting import INTERVAL, Progress

if TYPE_CHECKING:
    from shared_core.chat.resource import AsyncChat
    from shared_core.client import AsyncRouterClient
    from shared_core.embeddings.resource import AsyncEmbeddings
    from shared_core.endpoints.async_resource import AsyncEndpoints
    from shared_core.responses.resource import AsyncResponses
    from shared_core.tasks.resource import AsyncTasks


class AsyncEndpoint(Handle):
    """An endpoint to call and to look after, for asyncio.

    ``endpoint.chat``, ``.embeddings``, ``.responses`` and ``.tasks`` call the model that it
    serves; the methods look after the machine, as those of ``client.endpoints`` do, which say
    more. Every method is one request; those that return the endpoint bring :attr:`info` up to
    date.

    Attributes:
        info: The endpoint as it was when it was last asked for.
    """

    _endpoints: AsyncEndpoints

    @property
    def client(self) -> AsyncRouterClient:
        """A client of the endpoint, with the options of the one that made this object.

        It has connections of its own, released with its last reference or by closing it.

        Raises:
            InvalidSettingError: The endpoint has no address yet.
        """
        made: AsyncRouterClient = self._connected()
        return made

    @property
    def chat(self) -> AsyncChat:
        """Chat completions of the endpoint's model."""
        return self.client.chat

    @property
    def embeddings(self) -> AsyncEmbeddings:
        """Embeddings of the endpoint's model."""
        embeddings: AsyncEmbeddings = self._for_embeddings()
        return embeddings

    @property
    def responses(self) -> AsyncResponses:
        """The Responses API of the endpoint, where its server has one."""
        return self.client.responses

    @property
    def tasks(self) -> AsyncTasks:
        """Tasks of the endpoint's model, asked for at its own address."""
        tasks: AsyncTasks = self._for_tasks().tasks
        return tasks

    async def refresh(self) -> Self:
        """Ask for the endpoint anew and return it; see :meth:`Endpoint.refresh`."""
        return self._took(await self._endpoints.get(self.name, namespace=self.namespace))

    async def wait(
        self,
        *,
        timeout: float | None = None,
        interval: float = INTERVAL,
        progress: Progress | None = None,
    ) -> Self:
        """Wait until it answers; see :meth:`Endpoint.wait`."""
        return self._took(
            await self._endpoints.wait(
                self.name,
                namespace=self.namespace,
                timeout=timeout,
                interval=interval,
                progress=progress,
            )
        )

    async def update(self, **changes: Unpack[EndpointParams]) -> Self:
        """Change some fields; see :meth:`Endpoint.update`."""
        return self._took(
            await self._endpoints.update(self.name, namespace=self.namespace, **changes)
        )

    async def pause(self) -> Self:
        """End its machines until it is resumed; see :meth:`Endpoint.pause`."""
        return self._took(await self._endpoints.pause(self.name, namespace=self.namespace))

    async def resume(self, *, running_ok: bool = True) -> Self:
        """Start it after a pause; see :meth:`Endpoint.resume`."""
        return self._took(
            await self._endpoints.resume(self.name, namespace=self.namespace, running_ok=running_ok)
        )

    async def scale_to_zero(self) -> Self:
        """End its machines until the next call; see :meth:`Endpoint.scale_to_zero`."""
        return self._took(await self._endpoints.scale_to_zero(self.name, namespace=self.namespace))

    async def delete(self) -> None:
        """Delete it for good; see :meth:`Endpoint.delete`."""
        await self._endpoints.delete(self.name, namespace=self.namespace)

    async def logs(self, *, tail: int | None = None, replica: str | None = None) -> str:
        """Return the last lines of its log; see :meth:`Endpoint.logs`."""
        return await self._endpoints.logs(
            self.name, namespace=self.namespace, tail=tail, replica=replica
        )

    async def follow_logs(
        self, *, tail: int | None = None, replica: str | None = None
    ) -> AsyncLogStream[str]:
        """Return its log as it is written, line by line; see :meth:`Endpoint.follow_logs`."""
        return await self._endpoints.follow_logs(
            self.name, namespace=self.namespace, tail=tail, replica=replica
        )

    async def log_entries(self, **query: Unpack[LogQuery]) -> Any:
        """See :meth:`Endpoint.log_entries`."""
        return await self._endpoints.log_entries(self.name, namespace=self.namespace, **query)

    async def follow_log_entries(self, **query: Unpack[LogFilter]) -> AsyncLogStream[Any]:
        """See :meth:`Endpoint.follow_log_entries`."""
        return await self._endpoints.follow_log_entries(
            self.name, namespace=self.namespace, **query
        )

    async def replicas(self) -> list[dict[str, Any]]:
        """Return its machines, as the service describes them; see :meth:`Endpoint.replicas`."""
        return await self._endpoints.replicas(self.name, namespace=self.namespace)

    async def metrics(
        self, metric: str | None = None, *, params: Mapping[str, Any] | None = None
    ) -> Any:
        """See :meth:`Endpoint.metrics`."""
        return await self._endpoints.metrics(
            self.name, metric, namespace=self.namespace, params=params
        )

    async def open_metrics(self) -> str:
        """Return measurements as text that Prometheus reads; see :meth:`Endpoint.open_metrics`."""
        return await self._endpoints.open_metrics(self.name, namespace=self.namespace)
