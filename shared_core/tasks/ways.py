"""Where a call of a task goes: to its own place, or to an endpoint of failover."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared_core.config.checks import refused
from shared_core.config.providers import router_root
from shared_core.config.validate import check_route, check_url, is_hf_host, split_model
from shared_core.constants import POLICIES
from shared_core.errors import InvalidSettingError, UnsupportedTaskError
from shared_core.flow import Flow
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.core import Core
    from shared_core.providers.base import Codec, Route
    from shared_core.tasks.spec import CallOptions, Payload
    from shared_core.wire.messages import Place

    Send = Callable[[WireRequest, Callable[[Any], Flow[Any]]], Flow[Any]]
    Attempt = Callable[[Route, Codec, Send], Flow[Any]]

HF_INFERENCE = "hf-inference"
_EMBEDDERS = ("feature-extraction", "sentence-similarity")
_COMPARED = (*_EMBEDDERS, "text-ranking")
"""Tasks whose results of two models cannot be compared."""


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
    settings: Settings | None = None,
) -> Flow[tuple[Route, Codec]]:
    """Return where a call goes and who speaks the language there.

    Args:
        core: Settings, and the path of a lookup.
        task: Task id.
        model: Hub id, the address of a server, or None.
        provider: Who serves it.
        options: The call's options.
        known: Whether hf-inference must be known to serve the task.
        settings: Address and token of an endpoint of failover; None: the client's.

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
        address = (settings or core.settings).base_url
        if known and task not in TASKS and not _own_server(address, model):
            raise _not_served(task, registry.providers_of(task))
        name = model or ""
        route = Route(
            provider=HF_INFERENCE,
            task=task,
            model=name,
            provider_id=name,
            base=router_root(address) + f"/{HF_INFERENCE}",
            settings=settings,
        )
        return route, CODEC
    route = yield from resolve_route(
        core,
        model,
        task,
        provider,
        provider_id=options.provider_id,
        timeout=options.timeout,
        callbacks=options.callbacks,
        settings=settings,
    )
    return route, registry.codec(route.provider, task)


def _not_served(task: str, others: Sequence[str]) -> UnsupportedTaskError:
    instead = f"provider= one of {', '.join(others)}, or " if others else ""
    return UnsupportedTaskError(
        f"hf-inference does not serve {task}",
        guidance=f"Pass {instead}model='https://...' of a server of your own.",
    )


def _own_server(base_url: str, model: str | None) -> bool:
    address = model if model and "://" in model else base_url
    return not is_hf_host(urlsplit(address).hostname)


# --- failover ---------------------------------------------------------------------------


def moves(core: Core, model: str | None) -> bool:
    """Return whether a call may go to the endpoints of failover.

    One whose model is the address of a server stays there.
    """
    return core.rebuilds and not (model is not None and "://" in model)


def elsewhere(
    core: Core,
    task: str,
    payload: Payload,
    call: Mapping[str, Any],
    options: CallOptions,
    attempt: Attempt,
    *,
    known: bool = True,
    stream: bool = False,
) -> Flow[Any]:
    """Return what *attempt* gives at the endpoint of failover that answers.

    Args:
        core: Settings, defaults and the path of the call.
        task: Task id.
        payload: The checked arguments.
        call: Keywords of the call.
        options: Their checked form.
        attempt: ``attempt(route, codec, send)`` is the flow of one attempt.
        known: Whether hf-inference must be known to serve the task.
        stream: Whether the answer comes as events.

    Raises:
        NoEndpointAvailableError: No endpoint can do it; ``errors`` has the reason of each.
        APIError: The last failure.
    """
    model, provider = choose(core, task, call)

    def reroute(place: Place, send: Send) -> Flow[Any]:
        try:
            name, there = _at(core, task, call, place)
            same = (name, there) == (model, provider)
            own = options if same else replace(options, provider_id=None)
            way = find_way(core, task, name, there, own, known=known, settings=place.settings)
            route, codec = yield from way
            return (yield from attempt(replace(route, endpoint=place.name), codec, send))
        except InvalidSettingError as error:
            raise UnsupportedTaskError(error.message, guidance=error.guidance) from error

    # Stands for the call until an endpoint is chosen. What comes back depends on who is asked,
    # so it may not be kept under this.
    request = WireRequest(
        url=core.settings.base_url,
        headers={"Cache-Control": "no-store"},
        json={"inputs": payload.inputs, "parameters": payload.parameters},
        timeout=options.timeout,
        stream=stream,
        operation=task,
        model=model,
        provider=provider,
        reroute=reroute,
    )
    return core.open(request, _unanswered, callbacks=options.callbacks)


def _unanswered(answer: Any) -> Flow[Any]:
    raise AssertionError("what stands for a call is never sent")
    yield


def _at(core: Core, task: str, call: Mapping[str, Any], place: Place) -> tuple[str | None, str]:
    """Return the model and the provider of a call at an endpoint.

    An address speaks the form of hf-inference, unless the endpoint names a provider.
    """
    model, provider = choose(core, task, call)
    named, suffix = (None, None) if place.model is None else split_model(place.model)
    if task in _COMPARED and named not in (None, model):
        if not place.own_address:
            raise UnsupportedTaskError(
                f"{named} is another model: its results do not compare with those of {model}"
            )
        named = None  # a server may have a name of its own for the same model
    if place.provider is not None or suffix is not None:
        wish = {"model": place.model if named else model, "provider": place.provider or suffix}
        return choose(core, task, wish)
    return named or model, HF_INFERENCE if place.own_address else provider
