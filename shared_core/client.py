"""``RouterClient`` and ``AsyncRouterClient``: what a user holds.

A client is cheap: settings are resolved, nothing is opened until the first call. It survives
fork, pickling, deep copies and any number of event loops, because the wire keeps its
connections per process and per loop and starts empty in every copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from shared_core.client_base import ClientBase
from shared_core.closing import AsyncClosing, Closing
from shared_core.flow import Flow, arun, run

if TYPE_CHECKING:
    from shared_core.chat.resource import AsyncChat, Chat
    from shared_core.embeddings.resource import AsyncEmbeddings, Embeddings
    from shared_core.endpoints.async_resource import AsyncEndpoints
    from shared_core.endpoints.resource import Endpoints
    from shared_core.hub.models import AsyncModels, Models, WhoAmI
    from shared_core.providers.resource import AsyncProviders, Providers
    from shared_core.resilience.health import AsyncHealthChecks, HealthChecks, HealthPolicy
    from shared_core.responses.resource import AsyncResponses, Responses
    from shared_core.servers.resource import AsyncServers, Servers
    from shared_core.tasks.resource import AsyncTasks, Tasks
    from shared_core.wire.messages import AsyncWire, Wire

T = TypeVar("T")


class RouterClient(ClientBase, Closing):
    """Blocking client: ``client.chat.create(...)``, ``client.embeddings.create(...)`` ...

    Safe to share between threads. Use as a context manager, or call :meth:`close`, to
    release connections early; an unclosed client is released with its last reference.
    """

    @property
    def chat(self) -> Chat:
        """Chat completions."""
        from shared_core.chat.resource import Chat

        return Chat(self._core, self._run)

    @property
    def embeddings(self) -> Embeddings:
        """Embeddings."""
        from shared_core.embeddings.resource import Embeddings

        return Embeddings(self._core, self._run)

    @property
    def models(self) -> Models:
        """The router's model list, the status of a model, and search on the Hub."""
        from shared_core.hub.models import Models

        return Models(self._core, self._run)

    @property
    def responses(self) -> Responses:
        """The Responses API."""
        from shared_core.responses.resource import Responses

        return Responses(self._core, self._run)

    @property
    def endpoints(self) -> Endpoints:
        """Inference Endpoints: create, watch, call and end dedicated machines."""
        from shared_core.endpoints.resource import Endpoints

        return Endpoints(self._core, self._run, self._at)

    @property
    def servers(self) -> Servers:
        """What a server of your own is, and what it serves."""
        from shared_core.servers.resource import Servers

        return Servers(self._core, self._run)

    @property
    def tasks(self) -> Tasks:
        """Every other task: classification, speech, images, translation ... one method each."""
        from shared_core.tasks.resource import Tasks

        return Tasks(self._core, self._run)

    @property
    def providers(self) -> Providers:
        """Who serves which task, mappings of models, and jobs that were queued earlier."""
        from shared_core.providers.resource import Providers

        return Providers(self._core, self._run)

    def whoami(self) -> WhoAmI:
        """Return who the token belongs to and what it may do.

        Raises:
            AuthenticationError: The token is wrong.
            MissingTokenError: There is no token.
        """
        return self.models.whoami()

    def health_checks(self, policy: HealthPolicy | None = None) -> HealthChecks:
        """Return the health checks of the failover endpoints; start and stop them explicitly.

        Args:
            policy: How often and how; every 15 s by default.

        Raises:
            InvalidSettingError: The client has no ``resilience.failover``.
        """
        from shared_core.resilience.health import HealthChecks

        if self._health is None or policy is not None:
            if self._health is not None:
                self._health.stop()
            self._health = HealthChecks(self, policy)
        checks: HealthChecks = self._health
        return checks

    def close(self) -> None:
        """Close the connections. The client can be used again afterwards."""
        if self._health is not None:
            self._health.stop()
        if self._wire is not None:
            self._wire.close()

    def _new_wire(self) -> Wire:
        if self._local is not None:
            from shared_core.local import LocalWire

            return LocalWire(self._local, self.settings)
        from shared_core.wire.http import HTTPWire

        return HTTPWire(self.settings, http_client=self._http_client)

    def _run(self, flow: Flow[T]) -> T:
        return run(flow, self._connect())


class AsyncRouterClient(ClientBase, AsyncClosing):
    """The same client for asyncio: ``await client.chat.create(...)`` ...

    One object serves any number of event loops, one after another or at once in different
    threads; each has connections of its own, released with the loop.
    """

    _closes_with = "aclose"

    @property
    def chat(self) -> AsyncChat:
        """Chat completions."""
        from shared_core.chat.resource import AsyncChat

        return AsyncChat(self._core, self._run)

    @property
    def embeddings(self) -> AsyncEmbeddings:
        """Embeddings."""
        from shared_core.embeddings.resource import AsyncEmbeddings

        return AsyncEmbeddings(self._core, self._run)

    @property
    def models(self) -> AsyncModels:
        """The router's model list, the status of a model, and search on the Hub."""
        from shared_core.hub.models import AsyncModels

        return AsyncModels(self._core, self._run)

    @property
    def responses(self) -> AsyncResponses:
        """The Responses API."""
        from shared_core.responses.resource import AsyncResponses

        return AsyncResponses(self._core, self._run)

    @property
    def endpoints(self) -> AsyncEndpoints:
        """Inference Endpoints: create, watch, call and end dedicated machines."""
        from shared_core.endpoints.async_resource import AsyncEndpoints

        return AsyncEndpoints(self._core, self._run, self._at)

    @property
    def servers(self) -> AsyncServers:
        """What a server of your own is, and what it serves."""
        from shared_core.servers.resource import AsyncServers

        return AsyncServers(self._core, self._run)

    @property
    def tasks(self) -> AsyncTasks:
        """Every other task: classification, speech, images, translation ... one method each."""
        from shared_core.tasks.resource import AsyncTasks

        return AsyncTasks(self._core, self._run)

    @property
    def providers(self) -> AsyncProviders:
        """Who serves which task, mappings of models, and jobs that were queued earlier."""
        from shared_core.providers.resource import AsyncProviders

        return AsyncProviders(self._core, self._run)

    async def whoami(self) -> WhoAmI:
        """Return who the token belongs to and what it may do.

        Raises:
            AuthenticationError: The token is wrong.
            MissingTokenError: There is no token.
        """
        return await self.models.whoami()

    def health_checks(self, policy: HealthPolicy | None = None) -> AsyncHealthChecks:
        """Return the health checks of the failover endpoints; start and stop them explicitly.

        Args:
            policy: How often and how; every 15 s by default.

        Raises:
            InvalidSettingError: The client has no ``resilience.failover``.
        """
        from shared_core.resilience.health import AsyncHealthChecks

        if self._health is None or policy is not None:
            if self._health is not None:
                self._health.cancel()
            self._health = AsyncHealthChecks(self, policy)
        checks: AsyncHealthChecks = self._health
        return checks

    async def aclose(self) -> None:
        """Close the running loop's connections. The client can be used again afterwards."""
        if self._health is not None:
            await self._health.stop()
        if self._wire is not None:
            await self._wire.aclose()

    def _new_wire(self) -> AsyncWire:
        if self._local is not None:
            from shared_core.local import AsyncLocalWire

            return AsyncLocalWire(self._local, self.settings)
        from shared_core.wire.http import AsyncHTTPWire

        return AsyncHTTPWire(self.settings, http_client=self._http_client)

    async def _run(self, flow: Flow[T]) -> T:
        return await arun(flow, self._connect())
