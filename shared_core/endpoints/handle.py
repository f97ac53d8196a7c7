"""One Inference Endpoint to call and to look after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack

from shared_core.endpoints.inspection import LogFilter, LogQuery
from shared_core.endpoints.logs import LogStream
from shared_core.endpoints.params import EndpointParams
from shared_core.endpoints.types import OPENAI_IMAGES, SELF_SERVICE, EndpointInfo
from shared_core.endpoints.waiting import INTERVAL, Progress
from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.chat.resource import Chat
    from shared_core.client import RouterClient
    from shared_core.embeddings.resource import Embeddings
    from shared_core.endpoints.resource import Endpoints
    from shared_core.responses.resource import Responses
    from shared_core.tasks.resource import Tasks


class Handle:
    """What both kinds of endpoint objects have: the facts, and a client of the endpoint.

    Attributes:
        info: The endpoint as it was when it was last asked for.
    """

    def __init__(self, endpoints: Any, info: EndpointInfo) -> None:
        self._endpoints = endpoints
        self._client: Any = None
        self._root: Any = None
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

    def _connected(self) -> Any:
        base_url = self.info.base_url
        if base_url is None:
            raise InvalidSettingError(
                f"the endpoint {self.name} has no address yet: its state is {self.state}",
                setting="base_url",
                guidance="Call wait() first; it returns once the endpoint answers.",
            )
        if self._client is None or self._client.settings.base_url != base_url:
            self._client = self._endpoints._connect(base_url, self.info.repository)
        return self._client

    def _for_tasks(self) -> Any:
        """Return the client whose tasks go to the endpoint's own address, in hf-inference's form.

        A server with OpenAI's routes only has none there: it completes prompts at ``/v1``.
        """
        client, url = self._connected(), self.info.url
        if self.info.image in OPENAI_IMAGES:
            return client
        if self._root is None or self._root.settings.base_url != url:
            self._root = client.with_options(base_url=url, model=url, embedding_model=url)
        return self._root

    def _for_embeddings(self) -> Any:
        """Return the embeddings of the endpoint, asked for where its container answers."""
        client = self._connected()
        service = client.embeddings
        return type(service)(client._core, client._run, root=self.info.image in SELF_SERVICE)

    def _took(self, other: Handle) -> Self:
        self.info = other.info
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.namespace}/{self.name} {self.state}>"


class Endpoint(Handle):
    """An endpoint to call and to look after.

    ``endpoint.chat``, ``.embeddings``, ``.responses`` and ``.tasks`` call the model that it
    serves; the methods look after the machine, as those of ``client.endpoints`` do, which say
    more. Every method is one request; those that return the endpoint bring :attr:`info` up to
    date.

    Attributes:
        info: The endpoint as it was when it was last asked for.
    """

    _endpoints: Endpoints

    @property
    def client(self) -> RouterClient:
        """A client of the endpoint, with the options of the one that made this object.

        It has connections of its own, released with its last reference or by closing it.

        Raises:
            InvalidSettingError: The endpoint has no address yet.
        """
        made: RouterClient = self._connected()
        return made

    @property
    def chat(self) -> Chat:
        """Chat completions of the endpoint's model."""
        return self.client.chat

    @property
    def embeddings(self) -> Embeddings:
        """Embeddings of the endpoint's model."""
        embeddings: Embeddings = self._for_embeddings()
        return embeddings

    @property
    def responses(self) -> Responses:
        """The Responses API of the endpoint, where its server has one."""
        return self.client.responses

    @property
    def tasks(self) -> Tasks:
        """Tasks of the endpoint's model, asked for at its own address."""
        tasks: Tasks = self._for_tasks().tasks
        return tasks

    def refresh(self) -> Self:
        """Ask for the endpoint anew and return it.

        Raises:
            NotFoundError: It is gone.
            APIError: The exchange failed.
        """
        return self._took(self._endpoints.get(self.name, namespace=self.namespace))

    def wait(
        self,
        *,
        timeout: float | None = None,
        interval: float = INTERVAL,
        progress: Progress | None = None,
    ) -> Self:
        """Wait until it answers; see :meth:`Endpoints.wait`.

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
            self._endpoints.wait(
                self.name,
                namespace=self.namespace,
                timeout=timeout,
                interval=interval,
                progress=progress,
            )
        )

    def update(self, **changes: Unpack[EndpointParams]) -> Self:
        """Change some fields; never repeated by itself.

        Args:
            **changes: See :class:`EndpointParams`.

        Raises:
            InvalidSettingError: A field is unknown or impossible; nothing was sent.
            APIError: The exchange failed.
        """
        return self._took(self._endpoints.update(self.name, namespace=self.namespace, **changes))

    def pause(self) -> Self:
        """End its machines until :meth:`resume`; never repeated by itself.

        Raises:
            APIError: The exchange failed.
        """
        return self._took(self._endpoints.pause(self.name, namespace=self.namespace))

    def resume(self, *, running_ok: bool = True) -> Self:
        """Start it after a pause; never repeated by itself.

        Args:
            running_ok: Whether it is fine if it runs already.

        Raises:
            APIError: The exchange failed.
        """
        return self._took(
            self._endpoints.resume(self.name, namespace=self.namespace, running_ok=running_ok)
        )

    def scale_to_zero(self) -> Self:
        """End its machines until the next call; never repeated by itself.

        Raises:
            APIError: The exchange failed.
        """
        return self._took(self._endpoints.scale_to_zero(self.name, namespace=self.namespace))

    def delete(self) -> None:
        """Delete it for good; never repeated by itself.

        Raises:
            APIError: The exchange failed.
        """
        self._endpoints.delete(self.name, namespace=self.namespace)

    def logs(self, *, tail: int | None = None, replica: str | None = None) -> str:
        """Return the last lines of its log.

        Args:
            tail: Lines at most.
            replica: Of one machine only.

        Raises:
            APIError: The exchange failed.
        """
        return self._endpoints.logs(self.name, namespace=self.namespace, tail=tail, replica=replica)

    def follow_logs(self, *, tail: int | None = None, replica: str | None = None) -> LogStream[str]:
        """Return its log as it is written, line by line.

        Args:
            tail: Lines at most that were written before.
            replica: Of one machine only.

        Raises:
            APIError: The exchange failed.
        """
        return self._endpoints.follow_logs(
            self.name, namespace=self.namespace, tail=tail, replica=replica
        )

    def log_entries(self, **query: Unpack[LogQuery]) -> Any:
        """Return its structured log, the JSON value that the service sends.

        Args:
            **query: See :class:`LogQuery`.

        Raises:
            APIError: The exchange failed; 501 where there is none.
        """
        return self._endpoints.log_entries(self.name, namespace=self.namespace, **query)

    def follow_log_entries(self, **query: Unpack[LogFilter]) -> LogStream[Any]:
        """Return its structured log as it is written, entry by entry.

        Args:
            **query: See :class:`LogFilter`.

        Raises:
            APIError: The exchange failed; 501 where there is none.
        """
        return self._endpoints.follow_log_entries(self.name, namespace=self.namespace, **query)

    def replicas(self) -> list[dict[str, Any]]:
        """Return its machines, as the service describes them.

        Raises:
            APIError: The exchange failed.
        """
        return self._endpoints.replicas(self.name, namespace=self.namespace)

    def metrics(self, metric: str | None = None, *, params: Mapping[str, Any] | None = None) -> Any:
        """Return measurements, the JSON value that the service sends.

        Args:
            metric: One measurement, e.g. ``"hardware-cpu"``.
            params: Body of the question, sent as it is.

        Raises:
            APIError: The exchange failed.
        """
        return self._endpoints.metrics(self.name, metric, namespace=self.namespace, params=params)

    def open_metrics(self) -> str:
        """Return measurements as text that Prometheus reads.

        Raises:
            APIError: The exchange failed.
        """
        return self._endpoints.open_metrics(self.name, namespace=self.namespace)
