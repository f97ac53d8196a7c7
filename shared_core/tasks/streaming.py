"""The flow that opens a streamed text generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from shared_core.errors import APIResponseValidationError
from shared_core.flow import Flow
from shared_core.streaming.opening import read_ahead
from shared_core.tasks.calls import prepare
from shared_core.tasks.generated import Generation, generation
from shared_core.tasks.spec import TaskSpec
from shared_core.tasks.stream import AsyncTextStream, TextStream
from shared_core.tasks.stream_state import StreamState
from shared_core.tasks.ways import HF_INFERENCE, choose, elsewhere, find_way, moves
from shared_core.wire.messages import WireResponse

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.providers.base import Codec, Route
    from shared_core.tasks.ways import Send
    from shared_core.wire.messages import WireRequest


def streaming(
    core: Core,
    spec: TaskSpec[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    kind: type[TextStream] | type[AsyncTextStream],
    opened: list[Any],
) -> Flow[Any]:
    """Return the flow that opens a stream of class *kind*.

    With retry, failover or a breaker on, it reads up to the first token, so that a stream that
    fails before anything was handed over counts as a failed attempt.

    Args:
        core: Settings, defaults and the path of the call.
        spec: The task.
        args: Arguments of the task.
        kwargs: Likewise, and the common keywords.
        kind: Class of the stream.
        opened: Gets every wire stream of the call: the caller closes those of failed attempts.

    Raises:
        InvalidSettingError: An argument is refused; nothing was sent.
        UnsupportedTaskError: The provider streams in another form; nothing was sent.
        APIError: The call failed.
    """
    from shared_core.providers import hf_inference, openai_like

    payload, call, options = prepare(core, spec, args, kwargs)
    model, provider = choose(core, spec.id, call)

    def attempt(route: Route, codec: Codec, send: Send) -> Flow[Any]:
        if route.provider == HF_INFERENCE:
            request = hf_inference.build(core, route, payload, options, stream=True)
        else:
            request = openai_like.streamed(codec, route, payload, options)

        def begin(answer: Any) -> Flow[Any]:
            if isinstance(answer, WireResponse):
                whole = _whole(core, request, answer)
                return kind(None, StreamState(core, request, answer, whole))
            opened.append(answer)
            stream = kind(answer, StreamState(core, request, answer))
            if core.reads_ahead:
                yield from read_ahead(stream)
            return stream

        return send(request, begin)

    if moves(core, model):
        return (yield from elsewhere(core, spec.id, payload, call, options, attempt, stream=True))
    route, codec = yield from find_way(core, spec.id, model, provider, options)
    return (yield from attempt(route, codec, partial(core.open, callbacks=options.callbacks)))


def _whole(core: Core, request: WireRequest, answer: WireResponse) -> Generation:
    """Return the text of a server that answers at once where a stream was asked for."""
    from shared_core.providers import hf_inference
    from shared_core.providers.answers import read

    value = read(request, lambda found: hf_inference.normalise("text-generation", found), core)(
        answer
    )
    try:
        return generation(value)
    except ValueError as exc:
        reason = str(exc)
    raise APIResponseValidationError(
        f"Unusable answer to text-generation: {core.redact(reason)}",
        operation=request.operation,
        model=request.model,
        provider=request.provider,
        url=request.url,
    )
