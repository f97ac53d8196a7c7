"""The flow of one call of a task: check, find the way, send, read."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from shared_core.config.plain import plain
from shared_core.config.validate import unknown_keyword
from shared_core.errors import APIResponseValidationError, InvalidSettingError, RouterError
from shared_core.flow import Flow
from shared_core.media.output import Media
from shared_core.tasks.generated import Generation
from shared_core.tasks.media_results import Depth, Transcription
from shared_core.tasks.params import options as json_options
from shared_core.tasks.params import with_file
from shared_core.tasks.results import TableAnswer, WrittenText
from shared_core.tasks.spec import CALL_KEYWORDS, Call, CallOptions, Payload, TaskSpec
from shared_core.tasks.unsupported import Ask, forgiving
from shared_core.tasks.ways import choose, elsewhere, find_way, moves
from shared_core.wire import json_text

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.providers.base import Codec, Route
    from shared_core.tasks.ways import Attempt, Send
    from shared_core.wire.messages import WireRequest

R = TypeVar("R")

_NAMED = (Media, Depth, Generation, TableAnswer, Transcription, WrittenText)
"""Results with ``endpoint``; lists and arrays cannot have it."""

_SHOWN = 120
"""Characters of an unusable answer that the text of its error quotes."""


def calling(
    core: Core,
    spec: TaskSpec[..., R],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    known: bool = True,
) -> Flow[R]:
    """Return the flow of one call; everything is checked when it is started.

    Args:
        core: Settings, defaults and the path of the call.
        spec: The task.
        args: Arguments of the task.
        kwargs: Likewise, and the common keywords.
        known: Whether hf-inference must be known to serve the task.

    Raises:
        InvalidSettingError: An argument is refused; nothing was sent.
        UnsupportedTaskError: The provider does not serve the task; nothing was sent.
        APIError: The call failed.
    """
    payload, call, options = prepare(core, spec, args, kwargs)
    model, provider = choose(core, spec.id, call)
    if moves(core, model):
        ask = _anywhere(core, spec.id, call, options, known=known)
    else:
        route, codec = yield from find_way(core, spec.id, model, provider, options, known=known)
        provider = route.provider
        ask = _there(core, route, codec, options)
    payload = yield from with_fetched_file(core, payload, spec.id, model, provider, options)
    if options.drop_unsupported:
        ask = forgiving(core, model, ask)
    route, value = yield from ask(payload)
    try:
        return _answered_by(route.endpoint, spec.result(value))
    except ValueError as exc:
        reason = str(exc)
    shown = core.redact(json_text.excerpt(value))
    raise APIResponseValidationError(
        f"Unusable answer to {spec.id}: {core.redact(reason)} (read from {shown[:_SHOWN]})",
        guidance="The model may be of another task, or its server speaks another form; "
        "client.tasks.call() returns the answer as it came.",
        body=shown,
        operation=spec.id,
        model=route.model or None,
        provider=route.provider,
        url=route.base,
    )


def _there(core: Core, route: Route, codec: Codec, options: CallOptions) -> Ask:
    """Return what asks at one place; it returns the route and the normalised answer."""

    def ask(payload: Payload) -> Flow[tuple[Route, Any]]:
        return route, (yield from codec.flow(core, route, payload, options))

    return ask


def _anywhere(
    core: Core, task: str, call: Mapping[str, Any], options: CallOptions, *, known: bool
) -> Ask:
    """Return what asks at the endpoints of failover."""

    def ask(payload: Payload) -> Flow[tuple[Route, Any]]:
        attempt = beginning(core, payload, options)
        way = elsewhere(core, task, payload, call, options, attempt, known=known)
        route, rest = yield from way
        return route, (yield from _staying(route, rest))

    return ask


def _answered_by(endpoint: str, result: R) -> R:
    """Return *result* with the name of the endpoint, where a result is one object."""
    if endpoint and isinstance(result, _NAMED):
        return replace(result, endpoint=endpoint)
    return result


def beginning(core: Core, payload: Payload, options: CallOptions) -> Attempt:
    """Return the attempt that sends a call to an endpoint of failover.

    It returns the route and the flow of the rest, which stays with that endpoint.
    """

    def attempt(route: Route, codec: Codec, send: Send) -> Flow[Any]:
        def first(request: WireRequest, parse: Callable[[Any], Any]) -> Flow[Any]:
            def begin(answer: Any) -> Flow[Any]:
                return parse(answer)
                yield  # a generator that never suspends

            return send(request, begin)

        rest = yield from codec.begin(core, route, payload, options, first)
        return route, rest

    return attempt


def _staying(route: Route, rest: Flow[Any]) -> Flow[Any]:
    """Run what follows the first answer; errors say why no other endpoint was tried."""
    try:
        return (yield from rest)
    except RouterError as error:
        if error.job is not None:
            error.guidance = (
                f"The endpoint {route.endpoint!r} has taken the job, which may be billed, so no "
                "other was tried: client.providers.resume(error.job) goes on with it. "
                f"{error.guidance or ''}".rstrip()
            )
        raise


def prepare(
    core: Core, spec: TaskSpec[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Payload, dict[str, Any], CallOptions]:
    """Return the payload, the common keywords, and their checked form.

    Raises:
        InvalidSettingError: An argument is refused; it is named.
    """
    own = parameters_of(spec.build)
    for name in kwargs:
        if name not in own and name not in CALL_KEYWORDS:
            raise unknown_keyword(name, own | CALL_KEYWORDS)
    call = {name: value for name, value in kwargs.items() if name in CALL_KEYWORDS - own}
    rest = {name: value for name, value in kwargs.items() if name not in call}
    options = CallOptions.of(call, core.settings)
    payload = spec.build(*args, **rest).with_parameters(call.get("extra_parameters"))
    return payload, call, options


@functools.lru_cache(maxsize=256)
def parameters_of(build: Callable[..., Any]) -> frozenset[str]:
    """Return the names of a build function's own parameters."""
    return frozenset(
        name
        for name, parameter in inspect.signature(build).parameters.items()
        if parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    )


def with_fetched_file(
    core: Core,
    payload: Payload,
    task: str,
    model: str | None,
    provider: str,
    options: CallOptions,
) -> Flow[Payload]:
    """Return *payload* with the bytes of its file, if that is to be downloaded first.

    Raises:
        APIError: The download failed, or its address is private.
    """
    if payload.url is None or not options.fetch_urls:
        return payload
    from shared_core.media.fetch import fetching

    media = yield from fetching(
        core,
        payload.url,
        operation=task,
        timeout=options.timeout,
        model=model,
        provider=provider,
        allow_private=options.allow_private_urls,
        callbacks=options.callbacks,
    )
    return payload.with_file(media.content, media.media_type)


# --- tasks without a row ----------------------------------------------------------------


def generic(
    inputs: Any = None,
    parameters: Mapping[str, Any] | None = None,
    file: Any = None,
    **call: Unpack[Call],
) -> Payload:
    """Call a task in hf-inference's general form.

    Args:
        inputs: JSON value.
        parameters: JSON object.
        file: A file.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = {} if parameters is None else json_options("parameters", parameters)
    inputs = plain(inputs, "inputs")
    if file is not None:
        return with_file(file, "file", "file", inputs=inputs, given=given)
    if inputs is None:
        raise InvalidSettingError("inputs is missing: pass inputs or file", setting="inputs")
    return Payload(inputs=inputs, parameters=given)


def typed_result(kind: Any) -> Callable[[Any], Any]:
    """Return a reader that checks an answer against a type; None takes it as it comes.

    Args:
        kind: Anything that pydantic can validate.

    Raises:
        InvalidSettingError: It cannot.
    """
    if kind is None:
        return lambda value: value
    import pydantic

    from shared_core.config.typed_dicts import modern

    try:
        adapter = pydantic.TypeAdapter(modern(kind))
    except pydantic.PydanticUserError:
        raise InvalidSettingError(
            f"result must be a type that pydantic can check, not {kind!r:.80}", setting="result"
        ) from None

    def read(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except pydantic.ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{place or 'the answer'}: {first['msg']}") from None

    return read
