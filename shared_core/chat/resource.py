"""``client.chat``: create an answer, or stream one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack, cast

from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.messages import MessageLike
from shared_core.chat.params import ChatParams
from shared_core.chat.request import build, elsewhere
from shared_core.chat.response import Answered, completion_of
from shared_core.chat.resume import How, resuming, resumption
from shared_core.chat.stream import AsyncChatStream, AsyncChatStreamOpening, ChatStream
from shared_core.chat.stream_state import Observers, StreamState
from shared_core.chat.types import ChatCompletion
from shared_core.flow import Flow
from shared_core.streaming.opening import aopen_stream, open_stream, read_ahead
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.callbacks import Callback
    from shared_core.config.settings import Settings
    from shared_core.core import Core
    from shared_core.errors import StreamError

Messages = MessageLike | Sequence[MessageLike]


def _creating(core: Core, messages: Messages, params: ChatParams) -> Flow[ChatCompletion]:
    request = _built(core, messages, params, stream=False)
    split_think = bool(params.get("split_think"))

    def parse(response: WireResponse) -> ChatCompletion:
        answered = _answered(response, request, core)
        if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            return _streamed_anyway(response.content, answered, split_think)
        return completion_of(response.content, answered, split_think=split_think)

    return core.exchange(request, parse, callbacks=_callbacks(params))


def _built(core: Core, messages: Messages, params: ChatParams, *, stream: bool) -> WireRequest:
    """Return the request, able to be made again for another endpoint if that may be needed."""
    request = build(core.settings, messages, params, stream=stream, defaults=core.defaults)
    if core.rebuilds:

        def rebuild(settings: Settings, model: str | None, provider: str | None) -> WireRequest:
            there, defaults = elsewhere(
                params, core.defaults, core.settings, settings, model, provider
            )
            changed = cast("ChatParams", there)
            return build(settings, messages, changed, stream=stream, defaults=defaults)

        request.rebuild = rebuild
    return request


def _streamed_anyway(content: bytes, answered: Answered, split_think: bool) -> ChatCompletion:
    """Return the answer of a server that streams without having been asked to."""
    if content.lstrip()[:1] in (b"{", b"<", b""):
        return completion_of(content, answered, split_think=split_think)
    decoder = ChatStreamDecoder(answered, split_think=split_think, max_event_bytes=len(content) + 1)
    decoder.feed(content)
    decoder.finish()
    if decoder.error is not None:
        raise decoder.error
    return decoder.completion()


def _streaming(
    core: Core,
    messages: Messages,
    params: ChatParams,
    kind: type[ChatStream] | type[AsyncChatStream],
    opened: list[Any],
) -> Flow[Any]:
    """Open a stream of class *kind*.

    With retry, failover or a breaker on, the flow reads up to the first chunk, so that a stream
    that fails before anything was handed over counts as a failed attempt. *opened* gets every
    wire stream of the call: the caller closes those of failed attempts.
    """
    from shared_core.core import CallContext

    request = _built(core, messages, params, stream=True)
    split_think = bool(params.get("split_think"))
    listeners = (*core.callbacks, *_callbacks(params))
    context = CallContext.of(request) if listeners else None
    observers = Observers(listeners, context) if context is not None else None

    def begin(answer: Any) -> Flow[Any]:
        answered = _answered(answer, request, core)
        decoder = ChatStreamDecoder(
            answered,
            split_think=split_think,
            max_event_bytes=core.settings.limits.max_event_bytes,
        )
        if isinstance(answer, WireResponse):
            whole = completion_of(answer.content, answered, split_think=split_think)
            return kind(None, StreamState(answered, decoder, observers, whole))
        opened.append(answer)
        stream = kind(answer, StreamState(answered, decoder, observers))
        if core.reads_ahead:
            yield from read_ahead(stream)
        return stream

    return core.open(request, begin, callbacks=_callbacks(params), context=context)


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


class Chat:
    """Chat completions, blocking."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Any]) -> None:
        self._core = core
        self._run = run

    def create(self, messages: Messages, **params: Unpack[ChatParams]) -> ChatCompletion:
        """Return the model's whole answer; one HTTP request.

        Args:
            messages: Text, one message or a list of messages: :class:`ChatMessage` or dicts.
            **params: See :class:`ChatParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: The call failed; the class says how.
        """
        completion: ChatCompletion = self._run(_creating(self._core, messages, params))
        return completion

    def resume(
        self,
        cut: StreamError | ChatCompletion,
        messages: Messages,
        *,
        how: How = "prefill",
        **params: Unpack[ChatParams],
    ) -> ChatCompletion:
        """Go on with an answer that was cut, and return the whole of it; one HTTP request.

        What arrived is sent back as the assistant's message. The rest is paid for with another
        prompt, and joins where the text stopped; a repetition of the last words is dropped.

        Args:
            cut: The ``StreamError`` that ended the stream, or its ``partial``.
            messages: The conversation as it was sent.
            how: ``"prefill"`` has the model write on in its own message, for servers that know
                vLLM's ``continue_final_message``; others answer anew or refuse. ``"ask"`` asks
                for the continuation in a further message; every chat model takes that, some
                repeat themselves.
            **params: As they were; see :class:`ChatParams`.

        Raises:
            InvalidSettingError: It cannot be resumed: tool calls, several choices, no text,
                ``response_format``, or it is complete. The message says which.
            APIError: The call failed; the class says how.
        """
        work = resumption(cut, messages, params, how)
        completion: ChatCompletion = self._run(resuming(work, partial(_creating, self._core)))
        return completion

    def stream(self, messages: Messages, **params: Unpack[ChatParams]) -> ChatStream:
        """Return the answer as a stream of chunks; one HTTP request.

        Args:
            messages: Text, one message or a list of messages: :class:`ChatMessage` or dicts.
            **params: See :class:`ChatParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: The call failed; the class says how.
        """
        opening = partial(_streaming, self._core, messages, params, ChatStream)
        stream: ChatStream = open_stream(self._run, opening)
        return stream


class AsyncChat:
    """Chat completions for asyncio."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Coroutine[Any, Any, Any]]) -> None:
        self._core = core
        self._run = run

    async def create(self, messages: Messages, **params: Unpack[ChatParams]) -> ChatCompletion:
        """Return the model's whole answer; one HTTP request.

        Args:
            messages: Text, one message or a list of messages: :class:`ChatMessage` or dicts.
            **params: See :class:`ChatParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: The call failed; the class says how.
        """
        completion: ChatCompletion = await self._run(_creating(self._core, messages, params))
        return completion

    async def resume(
        self,
        cut: StreamError | ChatCompletion,
        messages: Messages,
        *,
        how: How = "prefill",
        **params: Unpack[ChatParams],
    ) -> ChatCompletion:
        """Go on with an answer that was cut, and return the whole of it; one HTTP request.

        What arrived is sent back as the assistant's message. The rest is paid for with another
        prompt, and joins where the text stopped; a repetition of the last words is dropped.

        Args:
            cut: The ``StreamError`` that ended the stream, or its ``partial``.
            messages: The conversation as it was sent.
            how: ``"prefill"`` has the model write on in its own message, for servers that know
                vLLM's ``continue_final_message``; others answer anew or refuse. ``"ask"`` asks
                for the continuation in a further message; every chat model takes that, some
                repeat themselves.
            **params: As they were; see :class:`ChatParams`.

        Raises:
            InvalidSettingError: It cannot be resumed: tool calls, several choices, no text,
                ``response_format``, or it is complete. The message says which.
            APIError: The call failed; the class says how.
        """
        work = resumption(cut, messages, params, how)
        completion: ChatCompletion = await self._run(resuming(work, partial(_creating, self._core)))
        return completion

    def stream(self, messages: Messages, **params: Unpack[ChatParams]) -> AsyncChatStreamOpening:
        """Open a stream of chunks; one HTTP request, sent when it is awaited or entered.

        Both work: ``stream = await client.chat.stream(...)`` and
        ``async with client.chat.stream(...) as stream:``.

        Args:
            messages: Text, one message or a list of messages: :class:`ChatMessage` or dicts.
            **params: See :class:`ChatParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: The call failed; the class says how.
        """
        opening = partial(_streaming, self._core, messages, params, AsyncChatStream)
        return AsyncChatStreamOpening(partial(aopen_stream, self._run, opening))
