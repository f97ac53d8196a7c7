"""One Inference Endpoint for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from shared_core.endpoints.params import EndpointParams
from shared_core.endpoints.types import EndpointInfo
from shared_core.endpoints.waiting import INTERVAL, Progress
from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.chat.resource import AsyncChat
    from shared_core.client import AsyncRouterClient
    from shared_core.embeddings.resource import AsyncEmbeddings
    from shared_core.endpoints.async_resource import AsyncEndpoints
    from shared_core.responses.resource import AsyncResponses
    from shared_core.tasks.resource import AsyncTasks


class AsyncEndpoint:
    """An endpoint to call and to look after, for asyncio.

    ``endpoint.chat``, ``.embeddings``, ``.responses`` and ``.tasks`` call the model that it
    serves; the methods look after the machine. Every method is one request and brings
    :attr:`info` up to date.

    Attributes:
        info: The endpoint as it was when it was last asked for.
    """

    def __init__(self, endpoints: AsyncEndpoints, info: EndpointInfo) -> None:
        self._endpoints = endpoints
        self._client: AsyncRouterClient | None = None
        self.info = info

    @property
    def name(self) -> str:
        """Its name within the namespace."""
        return self.info.name

    @property
    def namespace(self) -> str:
        """User or organisation that owns it."""
        return self.info.namespace

    @property
    def state(self) -> str:
        """Its state when it was last asked for, e.g. ``"running"``."""
        return self.info.state

    @property
    def url(self) -> str | None:
        """Where it answers; None until it is deployed."""
        return self.info.url

    @property
    def client(self) -> AsyncRouterClient:
        """A client of the endpoint, with the options of the one that made this object.

        It has connections of its own, released with its last reference or by closing it.

        Raises:
            InvalidSettingError: The endpoint has no address yet.
        """
        base_url = self.info.base_url
        if base_url is None:
            raise InvalidSettingError(
                f"the endpoint {self.name} has no address yet: its state is {self.state}",
                setting="base_url",
                guidance="Call wait() first; it returns once the endpoint answers.",
            )
        known = self._client
        if known is not None and known.settings.base_url == base_url:
            return known
        made: AsyncRouterClient = self._endpoints._connect(base_url, self.info.repository)
        self._client = made
        return made

    @property
    def chat(self) -> AsyncChat:
        """Chat completions of the endpoint's model."""
        return self.client.chat

    @property
    def embeddings(self) -> AsyncEmbeddings:
        """Embeddings of the endpoint's model."""
        return self.client.embeddings

    @property
    def responses(self) -> AsyncResponses:
        """The Responses API of the endpoint, where its server has one."""
        return self.client.responses

    @property
    def tasks(self) -> AsyncTasks:
        """Tasks of the endpoint's model."""
        return self.client.tasks

    async def refresh(self) -> AsyncEndpoint:
        """Ask for the endpoint anew and return it.

        Raises:
            NotFoundError: It is gone.
            APIError: The exchange failed.
        """
        return self._took(await self._endpoints.get(self.name, namespace=self.namespace))

    async def wait(
        self,
        *,
        timeout: float | None = None,
        interval: float = INTERVAL,
        progress: Progress | None = None,
    ) -> AsyncEndpoint:
        """Wait until it answers; see :meth:`AsyncEndpoints.wait`.

        Args:
            timeout: Seconds for all of it; None waits for ever.
            interval: Seconds between two questions.
            progress: Told ``(info, seconds)`` after every question.

        Raises:
            EndpointFailedError: It failed, or is paused.
            EndpointTimeoutError: It was not ready in time.
            APIError: It cannot be asked for.
        """
        return self._took(
            await self._endpoints.wait(
                self.name,
                namespace=self.namespace,
                timeout=timeout,
                interval=interval,
                progress=progress,
            )
        )

    async def update(self, **changes: Unpack[EndpointParams]) -> AsyncEndpoint:
        """Change some fields; never repeated by itself.

        Args:
            **changes: See :class:`EndpointParams`.

        Raises:
            InvalidSettingError: A field is unknown or impossible; nothing was sent.
            APIError: The exchange failed.
        """
        return self._took(
            await self._endpoints.update(self.name, namespace=self.namespace, **changes)
        )

    async def pause(self) -> AsyncEndpoint:
        """End its machines until :meth:`resume`; never repeated by itself.

        Raises:
            APIError: The exchange failed.
        """
        return self._took(await self._endpoints.pause(self.name, namespace=self.namespace))

    async def resume(self, *, running_ok: bool = True) -> AsyncEndpoint:
        """Start it after a pause; never repeated by itself.

        Args:
            running_ok: Whether it is fine if it runs already.

        Raises:
            APIError: The exchange failed.
        """
        return self._took(
            await self._endpoints.resume(self.name, namespace=self.namespace, running_ok=running_ok)
        )

    async def scale_to_zero(self) -> AsyncEndpoint:
        """End its machines until the next call; never repeated by itself.

        Raises:
            APIError: The exchange failed.
        """
        return self._took(await self._endpoints.scale_to_zero(self.name, namespace=self.namespace))

    async def delete(self) -> None:
        """Delete it for good; never repeated by itself.

        Raises:
            APIError: The exchange failed.
        """
        await self._endpoints.delete(self.name, namespace=self.namespace)

    async def logs(self, *, tail: int | None = None, replica: str | None = None) -> str:
        """Return the last lines of its log.

        Args:
            tail: Lines at most.
            replica: Of one machine only.

        Raises:
            APIError: The exchange failed.
        """
        return await self._endpoints.logs(
            self.name, namespace=self.namespace, tail=tail, replica=replica
        )

    def _took(self, other: AsyncEndpoint) -> AsyncEndpoint:
        self.info = other.info
        return self

    def __repr__(self) -> str:
        return f"<AsyncEndpoint {self.namespace}/{self.name} {self.state}>"
