"""The seam between tasks and providers: where a call goes, and who translates it.

A :class:`Route` says where; a :class:`Codec` translates. Each module of this package exports
``CODECS``, a dict from task to codec, and ``registry`` finds them. A codec's flow sends the
payload in the provider's own form and returns the *normalised* answer of
``shared_core.tasks.spec``: the JSON value of hf-inference, or a ``Media`` for a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.core import Core
    from shared_core.flow import Flow
    from shared_core.tasks.spec import CallOptions, Payload
    from shared_core.wire.messages import WireResponse

    Parse = Callable[[WireResponse], Any]
    SendFirst = Callable[[WireRequest, Parse], Flow[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderMapping:
    """What one provider calls a model, as the Hub has it (protocol reference, 7.1).

    Attributes:
        provider: Who serves it, e.g. ``"fal-ai"``.
        provider_id: The provider's own id of the model.
        task: Task that it serves the model for; chat is ``"conversational"``.
        status: ``"live"``, ``"staging"`` (for tests only) or ``"error"`` (the last health
            check failed).
        adapter: ``"lora"`` where the model is a LoRA that the provider loads onto a base model.
        adapter_weights_path: File of the LoRA's weights within the Hub repository.
        model: Hub id, in the list of all models of a provider.
        tags: Tags of the Hub whose models it stands for, in that list; ``model`` is None then.
        raw: The entry as it came.
    """

    provider: str
    provider_id: str
    task: str | None = None
    status: str = "live"
    adapter: str | None = None
    adapter_weights_path: str | None = None
    model: str | None = None
    tags: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a call goes.

    Attributes:
        provider: Who serves it; never ``"auto"``.
        task: Task id.
        model: Hub id, or the address of a server of one's own.
        provider_id: The provider's id of the model.
        base: Address that the provider's paths follow, without a slash at the end: the
            router's ``https://router.huggingface.co/fal-ai``, or the provider's own host.
        direct: Whether ``base`` is the provider's own host, paid with a key of its own.
        mapping: The entry of the Hub, where one was looked up.
        auth_scheme: First word of the ``Authorization`` header.
        settings: Settings that allow the token to go to ``base``; None: the client's do.
        endpoint: Name of the endpoint of failover that it leads to; ``""``: none.
    """

    provider: str
    task: str
    model: str
    provider_id: str
    base: str
    direct: bool = False
    mapping: ProviderMapping | None = None
    auth_scheme: str = "Bearer"
    settings: Settings | None = field(default=None, repr=False, compare=False)
    endpoint: str = ""

    def job(self, **facts: Any) -> Job:
        """Return a job that was sent here.

        Args:
            **facts: What the answer says of it.
        """
        return Job(
            provider=self.provider,
            task=self.task,
            model=self.model,
            provider_id=self.provider_id,
            base=self.base,
            direct=self.direct,
            endpoint=self.endpoint,
            **facts,
        )

    def url(self, path: str) -> str:
        """Return the address of *path*, which begins with a slash, at the provider."""
        return self.base + path

    def request(self, url: str, options: CallOptions, **fields: Any) -> WireRequest:
        """Return a request of this call that carries the token.

        Args:
            url: Where to, below ``base``.
            options: The call's options: timeout.
            **fields: Further fields of the request.
        """
        return WireRequest(
            url=url,
            operation=self.task,
            model=self.model,
            provider=self.provider,
            auth_scheme=self.auth_scheme,
            settings=self.settings,
            endpoint=self.endpoint,
            **{"timeout": options.timeout, **fields},
        )

    def headers(self, options: CallOptions, own: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of a request: the codec's, then the caller's, which win.

        Who pays at Hugging Face is of no concern to a provider that is paid directly.

        Args:
            options: The call's options.
            own: What the codec sends.
        """
        headers = options.headers(own)
        if self.direct:
            headers = {n: value for n, value in headers.items() if n.lower() != "x-hf-bill-to"}
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that a provider has taken on: enough to ask for it again later.

    Errors that happen after it was queued carry it as ``error.job``, and
    ``client.providers.resume(job)`` goes on waiting. Can be pickled.

    Attributes:
        provider: Who runs it.
        task: Task id.
        model: Hub id of the model.
        provider_id: The provider's id of the model.
        id: The provider's id of the job, if it gave one.
        status_url: Where its status is asked for.
        result_url: Where the result is, where that is another address.
        cancel_url: Where it can be cancelled, if the provider said so.
        media_urls: Addresses of the files made, once it is done; often short-lived.
        base: Address that the provider's paths followed.
        direct: Whether that was the provider's own host.
        endpoint: Name of the endpoint of failover that took it on; ``""``: none.
    """

    provider: str
    task: str
    model: str
    provider_id: str
    id: str | None = None
    status_url: str | None = None
    result_url: str | None = None
    cancel_url: str | None = None
    media_urls: tuple[str, ...] = ()
    base: str = ""
    direct: bool = False
    endpoint: str = ""


class Codec(Protocol):
    """Speaks one provider's language for one task."""

    def flow(self, core: Core, route: Route, payload: Payload, options: CallOptions) -> Flow[Any]:
        """Return the flow of one call; it returns the normalised answer.

        Args:
            core: Settings and the path of every exchange.
            route: Where to.
            payload: The checked arguments.
            options: Timeout, polling, further fields and headers.

        Raises:
            InvalidSettingError: The payload has no form in this language; nothing was sent.
            APIError: Sending, waiting or downloading failed.
        """

        def send(request: WireRequest, parse: Parse) -> Flow[Any]:
            return core.exchange(request, parse, callbacks=options.callbacks)

        rest = yield from self.begin(core, route, payload, options, send)
        return (yield from rest)

    def begin(
        self, core: Core, route: Route, payload: Payload, options: CallOptions, send: SendFirst
    ) -> Flow[Flow[Any]]:
        """Return the flow of the request that costs money; it returns the flow of the rest.

        The rest waits for a job and downloads files. It stays with the provider that has
        answered, whatever failover is there.

        Args:
            core: Settings and the path of every further exchange.
            route: Where to.
            payload: The checked arguments.
            options: Timeout, polling, further fields and headers.
            send: Sends the request.

        Raises:
            InvalidSettingError: The payload has no form in this language; nothing was sent.
            APIError: Sending failed.
        """
        ...


@runtime_checkable
class JobCodec(Codec, Protocol):
    """A codec whose calls may be queued at the provider."""

    def resume(self, core: Core, route: Route, job: Job, options: CallOptions) -> Flow[Any]:
        """Return the flow that goes on waiting for *job* and returns the normalised answer.

        Raises:
            APIError: Waiting or downloading failed.
        """
        ...
