"""The flow of one call of a task: check, find the way, send, read."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack
from urllib.parse import urlsplit

from shared_core.config.checks import refused
from shared_core.config.plain import plain
from shared_core.config.providers import router_root
from shared_core.config.validate import (
    check_route,
    check_url,
    is_hf_host,
    split_model,
    unknown_keyword,
)
from shared_core.constants import POLICIES
from shared_core.errors import (
    APIResponseValidationError,
    InvalidSettingError,
    UnsupportedTaskError,
)
from shared_core.flow import Flow
from shared_core.tasks.params import options as json_options
from shared_core.tasks.params import with_file
from shared_core.tasks.spec import CALL_KEYWORDS, Call, CallOptions, Payload, TaskSpec
from shared_core.tasks.unsupported import forgiving

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.providers.base import Codec, Route

R = TypeVar("R")

HF_INFERENCE = "hf-inference"
_EMBEDDERS = ("feature-extraction", "sentence-similarity")


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
    route, codec = yield from find_way(core, spec.id, model, provider, options, known=known)
    payload = yield from with_fetched_file(core, payload, route, options)
    if options.drop_unsupported:
        value = yield from forgiving(core, codec, route, payload, options)
    else:
        value = yield from codec.flow(core, route, payload, options)
    try:
        return spec.result(value)
    except ValueError as exc:
        reason = str(exc)
    raise APIResponseValidationError(
        f"Unusable answer to {spec.id}: {core.redact(reason)}",
        guidance="The model may be of another task, or its server speaks another form; "
        "client.tasks.call() returns the answer as it came.",
        operation=spec.id,
        model=route.model or None,
        provider=route.provider,
        url=route.base,
    )


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


def choose(core: Core, task: str, call: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the model and the provider of a call.

    What the call says wins over the client's defaults; a suffix of the model names the provider.

    Raises:
        InvalidSettingError: Model and provider contradict each other, or one is not a name.
    """
    defaults = core.defaults
    model, provider = call.get("model"), call.get("provider")
    own = model is not None
    if model is None:
        model = (defaults.embedding_model if task in _EMBEDDERS else None) or defaults.model
    if model is not None and not (isinstance(model, str) and model.strip() == model and model):
        raise refused("model", "a Hub id such as 'org/name', or a URL", model)
    if provider is not None and provider != "auto":
        check_route(provider, None)
    if model is not None and "://" in model:
        return _server(model, provider)
    suffix = None
    if model is not None:
        model, suffix = split_model(model)
    if suffix in POLICIES:
        raise InvalidSettingError(
            f"model has the suffix ':{suffix}', which is for chat only",
            setting="model",
            guidance="Leave it out, or name a provider: provider='auto' takes the first one.",
        )
    if own and provider is not None and suffix not in (None, provider):
        raise InvalidSettingError(
            f"model has the suffix ':{suffix}', which contradicts provider={provider!r}",
            setting="provider",
        )
    return model, provider or suffix or defaults.provider or HF_INFERENCE


def _server(model: str, provider: str | None) -> tuple[str, str]:
    check_url(model, setting="model")
    if provider not in (None, "auto", HF_INFERENCE):
        raise InvalidSettingError(
            f"provider={provider!r} needs a Hub id, but model is the address of a server",
            setting="provider",
        )
    return model, HF_INFERENCE


def find_way(
    core: Core,
    task: str,
    model: str | None,
    provider: str,
    options: CallOptions,
    *,
    known: bool = True,
) -> Flow[tuple[Route, Codec]]:
    """Return where a call goes and who speaks the language there.

    Raises:
        UnsupportedTaskError: The provider does not serve the task; nothing was sent.
        APIError: Looking the provider's model id up failed.
    """
    from shared_core.providers import registry
    from shared_core.providers.base import Route
    from shared_core.providers.routing import resolve_route

    if provider == HF_INFERENCE:
        from shared_core.providers.hf_inference import CODEC, TASKS

        if options.provider_id is not None:
            raise InvalidSettingError(
                "provider_id names a model at another provider: name that one as well",
                setting="provider_id",
                guidance="Pass provider=..., or for hf-inference the Hub id as model=.",
            )
        if known and task not in TASKS and not _own_server(core, model):
            raise _not_served(task, registry.providers_of(task))
        base = router_root(core.settings.base_url) + f"/{HF_INFERENCE}"
        name = model or ""
        route = Route(provider=HF_INFERENCE, task=task, model=name, provider_id=name, base=base)
        return route, CODEC
    route = yield from resolve_route(
        core,
        model,
        task,
        provider,
        provider_id=options.provider_id,
        timeout=options.timeout,
        callbacks=options.callbacks,
    )
    return route, registry.codec(route.provider, task)


def _not_served(task: str, others: Sequence[str]) -> UnsupportedTaskError:
    instead = f"provider= one of {', '.join(others)}, or " if others else ""
    return UnsupportedTaskError(
        f"hf-inference does not serve {task}",
        guidance=f"Pass {instead}model='https://...' of a server of your own.",
    )


def _own_server(core: Core, model: str | None) -> bool:
    address = model if model and "://" in model else core.settings.base_url
    return not is_hf_host(urlsplit(address).hostname)


def with_fetched_file(
    core: Core, payload: Payload, route: Route, options: CallOptions
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
        operation=route.task,
        timeout=options.timeout,
        model=route.model or None,
        provider=route.provider,
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
