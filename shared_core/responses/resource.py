"""``client.responses``: create a response, or stream one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack, cast

from shared_core.chat.request import elsewhere
from shared_core.chat.response import Answered
from shared_core.chat.stream_state import Observers, StreamState
from shared_core.flow import Flow
from shared_core.responses.decoder import ResponseDecoder
from shared_core.responses.params import ResponseParams
from shared_core.responses.request import Input, build, check_key
from shared_core.responses.response import response_of
from shared_core.responses.stream import (
    AsyncResponseStream,
    AsyncResponseStreamOpening,
    ResponseStream,
)
from shared_core.responses.types import Response
from shared_core.streaming.opening import aopen_stream, open_stream, read_ahead
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.callbacks import Callback
    from shared_core.config.settings import Settings
    from shared_core.core import Core


def _built(
    core: Core, given: Input | Sequence[Input], params: ResponseParams, *, stream: bool
) -> WireRequest:
    """Return the request, able to be made again for another endpoint if that may be needed."""
    request = build(core.settings, given, params, stream=stream, defaults=core.defaults)
    if core.rebuilds:

        def rebuild(settings: Settings, model: str | None, provider: str | None) -> WireRequest:
            there, defaults = elsewhere(
                params, core.defaults, core.settings, settings, model, provider
            )
            check_key(settings, there, defaults)
            changed = cast("ResponseParams", there)
            return build(settings, given, changed, stream=stream, defaults=defaults)

        request.rebuild = rebuild
    else:
        check_key(core.settings, params, core.defaults)
    return request


def _creating(core: Core, given: Input | Sequence[Input], params: ResponseParams) -> Flow[Response]:
    request = _built(core, given, params, stream=False)

    def parse(response: WireResponse) -> Response:
        answered = _answered(response, request, core)
        if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            return _streamed_anyway(response.content, answered)
        return response_of(response.content, answered)

    return core.exchange(request, parse, callbacks=_callbacks(params))


def _streamed_anyway(content: bytes, answered: Answered) -> Response:
    """Return the answer of a server that streams unless told not to, as transformers' does."""
    if content.lstrip()[:1] in (b"{", b"<", b""):
        return response_of(content, answered)
    decoder = ResponseDecoder(answered, max_event_bytes=len(content) + 1)
    decoder.feed(content)
    decoder.finish()
    if decoder.error is not None:
        raise decoder.error
    return decoder.completion()


def _streaming(
    core: Core,
    given: Input | Sequence[Input],
    params: ResponseParams,
    kind: type[ResponseStream] | type[AsyncResponseStream],
    opened: list[Any],
) -> Flow[Any]:
    """Open a stream of class *kind*; *opened* gets every wire stream of the call.

    With retry, failover or a breaker on, the flow reads up to the first event, so that a stream
    that fails before anything was handed over counts as a failed attempt.
    """
    from shared_core.core import CallContext

    request = _built(core, given, params, stream=True)
    listeners = (*core.callbacks, *_callbacks(params))
    context = CallContext.of(request) if listeners else None
    observers = Observers(listeners, context) if context is not None else None

    def begin(answer: Any) -> Flow[Any]:
        answered = _answered(answer, request, core)
        decoder = ResponseDecoder(
            answered, max_event_bytes=core.settings.limits.max_event_bytes + len(_whole(answer))
        )
        state: Any = StreamState(answered, cast("Any", decoder), observers)
        if isinstance(answer, WireResponse):
            whole = response_of(answer.content, answered)  # raises what is wrong with it
            state.packet(_as_event(answer.content, whole.status))
            return kind(None, state)
        opened.append(answer)
        stream = kind(answer, state)
        if core.reads_ahead:
            yield from read_ahead(stream)
        return stream

    return core.open(request, begin, callbacks=_callbacks(params), context=context)


def _whole(answer: Any) -> bytes:
    return answer.content if isinstance(answer, WireResponse) else b""


def _as_event(body: bytes, status: str) -> bytes:
    """Return a whole response as the last event of a stream, for a server that does not stream."""
    kind = b"response.incomplete" if status == "incomplete" else b"response.completed"
    line = body.replace(b"\r", b" ").replace(b"\n", b" ")
    return b'data: {"type":"' + kind + b'","response":' + line + b"}\n\n"


def _answered(answer: Any, request: WireRequest, core: Core) -> Answered:
    return Answered(
        answer.status,
        answer.headers,
        answer.url or request.url,
        request.operation,
        request.model,
        request.provider,
        hide=core.redact,
    )


def _callbacks(params: Mapping[str, Any]) -> Sequence[Callback]:
    return tuple(params.get("callbacks") or ())


class Responses:
    """The Responses API, blocking."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Any]) -> None:
        self._core = core
        self._run = run

    def create(self, input: Input | Sequence[Input], **params: Unpack[ResponseParams]) -> Response:
        """Return the whole response; one HTTP request.

        Args:
            input: Text, a message, an item, or a list of them. The service keeps no state:
                send the whole history, e.g. ``[*history, *response.to_input(), "And now?"]``.
            **params: See :class:`ResponseParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            UnsupportedTaskError: The key is a provider's own; nothing was sent.
            ResponseFailedError: The service says that it failed; what arrived is in ``partial``.
            APIError: The call failed; the class says how.
        """
        response: Response = self._run(_creating(self._core, input, params))
        return response

    def stream(
        self, input: Input | Sequence[Input], **params: Unpack[ResponseParams]
    ) -> ResponseStream:
        """Return the response as a stream of events; one HTTP request.

        Args:
            input: Text, a message, an item, or a list of them.
            **params: See :class:`ResponseParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            UnsupportedTaskError: The key is a provider's own; nothing was sent.
            APIError: The call failed; the class says how.
        """
        opening = partial(_streaming, self._core, input, params, ResponseStream)
        stream: ResponseStream = open_stream(self._run, opening)
        return stream


class AsyncResponses:
    """The Responses API for asyncio."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Coroutine[Any, Any, Any]]) -> None:
        self._core = core
        self._run = run

    async def create(
        self, input: Input | Sequence[Input], **params: Unpack[ResponseParams]
    ) -> Response:
        """Return the whole response; one HTTP request.

        Args:
            input: Text, a message, an item, or a list of them. The service keeps no state:
                send the whole history, e.g. ``[*history, *response.to_input(), "And now?"]``.
            **params: See :class:`ResponseParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            UnsupportedTaskError: The key is a provider's own; nothing was sent.
            ResponseFailedError: The service says that it failed; what arrived is in ``partial``.
            APIError: The call failed; the class says how.
        """
        response: Response = await self._run(_creating(self._core, input, params))
        return response

    def stream(
        self, input: Input | Sequence[Input], **params: Unpack[ResponseParams]
    ) -> AsyncResponseStreamOpening:
        """Open a stream of events; one HTTP request, sent when it is awaited or entered.

        Both work: ``stream = await client.responses.stream(...)`` and
        ``async with client.responses.stream(...) as stream:``.

        Args:
            input: Text, a message, an item, or a list of them.
            **params: See :class:`ResponseParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            UnsupportedTaskError: The key is a provider's own; nothing was sent.
            APIError: The call failed; the class says how.
        """
        opening = partial(_streaming, self._core, input, params, AsyncResponseStream)
        return AsyncResponseStreamOpening(partial(aopen_stream, self._run, opening))
