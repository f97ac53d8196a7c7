"""The engine room of a client: settings, defaults and the one path that every call takes.

``exchange`` and ``open`` are flows: events, status to error, parsing, and the opt-in layers
of ``shared_core.resilience`` around all of it. Domain packages (chat, embeddings, hub) build a
request, hand it over and get a result; they never see a socket.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from shared_core.callbacks import (
    Callback,
    ErrorEvent,
    RequestEvent,
    ResponseEvent,
    dispatch,
)
from shared_core.config.secrets import HiddenHeaders
from shared_core.errors import APIError, RouterError, from_response
from shared_core.flow import Flow, Send
from shared_core.wire.messages import (
    ENDPOINT_HEADER,
    AsyncWireStream,
    WireRequest,
    WireResponse,
    WireStream,
)

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.resilience.pipeline import CallInfo, Pipeline, Resilience

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a call uses when it does not say.

    Attributes:
        model: Chat model id, maybe with a suffix.
        embedding_model: Embedding model id.
        provider: Serving provider, e.g. ``"groq"``; exclusive with ``policy``.
        policy: ``"fastest"``, ``"cheapest"`` or ``"preferred"``.
    """

    model: str | None = None
    embedding_model: str | None = None
    provider: str | None = None
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class CallContext:
    """Identifies one call in events: the same id on its request, retries, response and error."""

    call_id: str
    operation: str
    model: str | None
    provider: str | None
    url: str

    @classmethod
    def of(cls, request: WireRequest) -> CallContext:
        """Return a fresh context for *request*."""
        return cls(
            uuid.uuid4().hex, request.operation, request.model, request.provider, request.url
        )


class Core:
    """Settings, defaults, callbacks and policies of one client. Does no I/O itself."""

    def __init__(
        self,
        settings: Settings,
        defaults: Defaults | None = None,
        *,
        callbacks: Sequence[Callback] = (),
        resilience: Resilience | None = None,
    ) -> None:
        self.settings = settings
        self.defaults = defaults or Defaults()
        self.callbacks = tuple(callbacks)
        self.live = False  # whether requests carry these settings: the wire has older ones
        self.pipeline: Pipeline | None = None
        if resilience is not None:
            from shared_core.resilience.pipeline import Pipeline, Tools

            self.callbacks = resilience.listeners(self.callbacks)
            self.pipeline = Pipeline(resilience, Tools(settings, self.callbacks))

    @property
    def reads_ahead(self) -> bool:
        """Whether a stream counts as opened only when its first event is here."""
        return self.pipeline is not None and self.pipeline.reads_ahead

    @property
    def rebuilds(self) -> bool:
        """Whether requests may have to be made again for another endpoint."""
        return self.pipeline is not None and self.pipeline.rebuilds

    def settings_at(self, endpoint: str) -> Settings | None:
        """Return the settings that hold at an endpoint of failover; None: there is none."""
        pool = None if self.pipeline is None else self.pipeline.pool
        return None if pool is None else pool.settings_of(endpoint)

    def redact(self, text: str) -> str:
        """Return *text* without any secret of this client."""
        return self.settings.redact(text) if self.pipeline is None else self.pipeline.redact(text)

    def exchange(
        self,
        request: WireRequest,
        parse: Callable[[WireResponse], T],
        *,
        callbacks: Sequence[Callback] = (),
    ) -> Flow[T]:
        """Send *request* and return ``parse(response)``.

        Args:
            request: What to send.
            parse: Turns a successful answer into the result; may raise our errors.
            callbacks: Told of this call in addition to the client's own.

        Raises:
            APIError: The exchange failed, the status says so, or *parse* refused the body.
            RejectedError: A layer of the client refused; nothing was sent.
        """

        def begin(answer: WireResponse | WireStream | AsyncWireStream) -> Flow[T]:
            assert isinstance(answer, WireResponse)
            return parse(answer)
            yield  # a generator that never suspends

        return self.open(request, begin, callbacks=callbacks)

    def open(
        self,
        request: WireRequest,
        begin: Callable[[Any], Flow[T]],
        *,
        callbacks: Sequence[Callback] = (),
        context: CallContext | None = None,
    ) -> Flow[T]:
        """Send *request* and return what the flow *begin(answer)* makes of the answer.

        Whatever *begin* raises counts as a failure of the attempt: with retry on, reading a
        stream up to its first event inside *begin* lets a broken start be retried.

        Args:
            request: What to send.
            begin: Gets the ``WireResponse``, or the opened stream if one was asked for.
            callbacks: Told of this call in addition to the client's own.
            context: Names the call in events; made up when None.

        Raises:
            APIError: The exchange failed, the status says so, or *begin* failed.
            RejectedError: A layer of the client refused; nothing was sent.
        """
        if self.live and request.settings is None:
            request.settings = self.settings
        listeners = (*self.callbacks, *callbacks)
        if not listeners and self.pipeline is None:
            return self._attempt(request, begin)
        return self._observed(request, begin, listeners, context or CallContext.of(request))

    def _attempt(self, request: WireRequest, begin: Callable[[Any], Flow[T]]) -> Flow[T]:
        answer = yield Send(request)
        if isinstance(answer, WireResponse) and answer.status >= 400:
            raise error_of(answer, request, request.settings or self.settings)
        try:
            return (yield from begin(answer))
        except APIError as error:
            # A server may echo what it was sent: hide it, and let go of the parser's frames,
            # whose locals would show it in a traceback.
            error.hide(lambda text: HiddenHeaders(request.headers).redact(self.redact(text)))
            raise error.with_traceback(None) from error.__cause__

    def _observed(
        self,
        request: WireRequest,
        begin: Callable[[Any], Flow[T]],
        listeners: tuple[Callback, ...],
        context: CallContext,
    ) -> Flow[T]:
        from shared_core.resilience.observe import Observation
        from shared_core.resilience.pipeline import CallInfo

        call = CallInfo(request, context, listeners, begin, endpoint=request.endpoint)
        observation = Observation(call)
        observation.start()
        try:
            if self.pipeline is None:
                result: T = yield from self._announced(call)
            else:
                result = yield from self.pipeline.flow(call, self._announced)
            observation.returned(result)
            return result
        except RouterError as error:
            call.tell("on_error", ErrorEvent, error=error)
            observation.failed(error)
            raise
        finally:
            observation.left()

    def _announced(self, call: CallInfo) -> Flow[Any]:
        """Make one attempt and tell the listeners of it."""
        begin = call.begin
        assert begin is not None
        call.trace.attempts += 1
        call.tell(
            "on_request", RequestEvent, stream=call.request.stream, attempt=call.trace.attempts
        )
        started = time.monotonic()

        def announced(answer: Any) -> Flow[Any]:
            if call.endpoint:
                answer.headers = answer.headers.with_header(ENDPOINT_HEADER, call.endpoint)
            result = yield from begin(answer)
            if call.listeners:
                provider = answer.headers.get("x-inference-provider") or call.context.provider
                event = ResponseEvent(
                    call_id=call.context.call_id,
                    operation=call.context.operation,
                    model=call.context.model,
                    provider=provider,
                    url=call.request.url,
                    status=answer.status,
                    request_id=answer.headers.get("x-request-id"),
                    elapsed=time.monotonic() - started,
                    usage=getattr(result, "usage", None),
                    endpoint=call.endpoint,
                    headers=answer.headers,
                )
                dispatch(call.listeners, "on_response", event)
            return result

        result: Any = yield from self._attempt(call.request, announced)
        return result


def error_of(response: WireResponse, request: WireRequest, settings: Settings) -> APIError:
    """Return the error that an answer with a failing status stands for."""
    error = from_response(
        status=response.status,
        headers=response.headers,
        content=response.content,
        truncated=response.truncated,
        operation=request.operation,
        model=request.model,
        provider=request.provider,
        url=response.url or request.url,
        hide=settings.redact,
        sources=settings.describe_sources(),
    )
    error.elapsed = response.elapsed
    return error
