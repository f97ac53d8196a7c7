"""From model, task and provider to a route: the mapping, and the router or the provider's host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared_core.config.providers import (
    AUTH_SCHEMES,
    DIRECT,
    direct_settings,
    goes_direct,
    router_root,
)
from shared_core.config.validate import check_model_id, check_route, split_model
from shared_core.error_base import safe_url
from shared_core.errors import InvalidSettingError, UnsupportedTaskError
from shared_core.flow import Flow
from shared_core.providers import mapping as mappings
from shared_core.providers import registry
from shared_core.providers.base import Job, ProviderMapping, Route

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.core import Core

SIMILAR = frozenset({"feature-extraction", "sentence-similarity"})
"""Tasks that models of either may be called for (protocol reference, 7.1)."""


def resolve_route(
    core: Core,
    model: str | None,
    task: str,
    provider: str | None = None,
    *,
    provider_id: str | None = None,
    mapping: ProviderMapping | None = None,
    timeout: float | None = None,
    callbacks: tuple[Any, ...] = (),
    settings: Settings | None = None,
) -> Flow[Route]:
    """Return where a call goes. Nothing is sent unless a mapping has to be looked up.

    Args:
        core: Settings; the path of the lookup.
        model: Hub id. On hf-inference also an address, or None where the base URL names it.
        task: Task id.
        provider: None is hf-inference; ``"auto"`` the first of the model's mapping that serves
            the task, live ones before others.
        provider_id: The provider's id of the model; nothing is looked up.
        mapping: An entry at hand; nothing is looked up.
        timeout: Seconds to wait for the lookup.
        callbacks: Told of the lookup.
        settings: Address and token of the call; None: those of *core*.

    Raises:
        UnsupportedTaskError: The provider does not serve the task, or not with this model;
            names the alternatives.
        InvalidSettingError: Model or provider cannot be.
        APIError: The lookup failed.
    """
    there = settings or core.settings
    own = provider is None or provider == registry.HF_INFERENCE
    if own or (model is not None and "://" in model):
        if own:
            registry.codec(registry.HF_INFERENCE, task)
        base = _base(there, registry.HF_INFERENCE)
        return Route(
            provider=registry.HF_INFERENCE,
            task=task,
            model=model or "",
            provider_id=provider_id or model or "",
            base=base,
            settings=settings,
        )
    named = check_route(provider, None)
    if named is not None:
        registry.codec(named, task)
    hub_id = _hub_id(model, named, provider_id)
    direct = goes_direct(there, named)
    if mapping is None and provider_id is not None:
        if named is None:
            raise InvalidSettingError("provider_id needs provider=", setting="provider_id")
        mapping = ProviderMapping(provider=named, provider_id=provider_id, task=task)
    if mapping is None:
        is_new = mappings.cache_of(core).get(hub_id) is None
        found = yield from mappings.look_up(core, hub_id, timeout=timeout, callbacks=callbacks)
        mapping = choose(found, hub_id, task, named)
        if is_new:
            mappings.warn(mapping, hub_id)
        if mapping.provider == registry.HF_INFERENCE:
            return (yield from resolve_route(core, hub_id, task, None, settings=settings))
    return _route(core, mapping, hub_id, task, direct=direct, settings=settings)


def choose(
    found: Sequence[ProviderMapping], model: str, task: str, provider: str | None
) -> ProviderMapping:
    """Return the entry that a call uses.

    Args:
        found: The model's mapping.
        model: Hub id, for errors.
        task: Task id.
        provider: Provider as asked for; None: the first one that serves the task.

    Raises:
        UnsupportedTaskError: None fits; says what would.
    """
    wanted = {task} | (SIMILAR if task in SIMILAR else set())
    fitting = [entry for entry in found if entry.task in wanted or entry.task is None]
    if provider is not None:
        for entry in fitting:
            if entry.provider == provider:
                return entry
    else:
        callable_ones = [entry for entry in fitting if _has_codec(entry.provider, task)]
        for entry in sorted(callable_ones, key=lambda entry: entry.status != "live"):
            return entry
    raise UnsupportedTaskError(
        f"{provider or 'no provider'} {'does not serve' if provider else 'serves'} {model} "
        f"for {task}",
        guidance=_offers(found, fitting, model),
    )


def _offers(
    found: Sequence[ProviderMapping], fitting: Sequence[ProviderMapping], model: str
) -> str:
    if fitting:
        names = ", ".join(entry.provider for entry in fitting)
        return f"These serve it: {names}. Set provider= to one of them, or to 'auto'."
    if found:
        served = ", ".join(f"{entry.provider} for {entry.task}" for entry in found[:8])
        return f"It is served by {served}. Choose another model or task."
    return (
        f"No provider serves it. https://huggingface.co/models?inference_provider=all lists models "
        f"that are served; provider_id= names the provider's own id of {model}."
    )


def _has_codec(provider: str, task: str) -> bool:
    try:
        registry.codec(provider, task)
    except (UnsupportedTaskError, InvalidSettingError):
        return False
    return True


def _hub_id(model: str | None, provider: str | None, provider_id: str | None) -> str:
    if model is None:
        if provider_id is not None:
            return provider_id  # only named in errors and events then
        raise InvalidSettingError(
            "model is missing: name one in the call or in the client", setting="model"
        )
    name, suffix = split_model(check_model_id(model))
    if suffix is not None and suffix != provider:
        raise InvalidSettingError(
            f"model has the suffix ':{suffix}', which only chat understands",
            setting="model",
            guidance=f"Pass model={name!r} and provider={suffix!r}.",
        )
    return name


def _route(
    core: Core,
    mapping: ProviderMapping,
    model: str,
    task: str,
    *,
    direct: bool,
    settings: Settings | None,
) -> Route:
    name, there = mapping.provider, settings or core.settings
    registry.codec(name, task)
    route = Route(
        provider=name,
        task=task,
        model=model,
        provider_id=_checked_id(mapping.provider_id),
        base=_base(there, name),
        mapping=mapping,
        settings=settings,
    )
    return directed(there, route) if direct else route


def directed(settings: Settings, route: Route) -> Route:
    """Return *route* with the provider's own host, and settings that let its key go there."""
    base = DIRECT[route.provider]
    return replace(
        route,
        base=base,
        direct=True,
        auth_scheme=AUTH_SCHEMES.get(route.provider, "Bearer"),
        settings=direct_settings(settings, base),
    )


def route_of(core: Core, job: Job) -> Route:
    """Return the route of a job that was queued earlier, maybe by another process.

    Raises:
        InvalidSettingError: It was queued with a provider's own key, and the client has none,
            or the other way round, or at another address than the client's, or at an endpoint
            of failover that the client does not have.
    """
    settings = core.settings_at(job.endpoint) if job.endpoint else core.settings
    if settings is None:
        raise InvalidSettingError(
            f"the job was queued at the endpoint {job.endpoint!r}, which this client does not have",
            setting="resilience.failover",
        )
    direct = goes_direct(settings, job.provider)
    if direct != job.direct:
        key = "your key of the provider" if job.direct else "your Hugging Face token"
        raise InvalidSettingError(
            f"the job was queued with {key}, which this client does not have", setting="api_key"
        )
    route = Route(
        provider=job.provider,
        task=job.task,
        model=job.model,
        provider_id=job.provider_id,
        base=_base(settings, job.provider),
        settings=settings if job.endpoint else None,
        endpoint=job.endpoint,
    )
    if direct:
        return directed(settings, route)
    if job.base != route.base:
        raise InvalidSettingError(
            f"the job was queued at {safe_url(job.base)[:200]}, and this client calls {route.base}",
            setting="base_url",
        )
    return route


def _base(settings: Settings, provider: str) -> str:
    return f"{router_root(settings.base_url)}/{provider}"


def _checked_id(provider_id: str) -> str:
    if not provider_id.isprintable() or " " in provider_id or len(provider_id) > 400:
        raise InvalidSettingError(
            f"provider_id cannot be the name of a model: {provider_id[:100]!r}",
            setting="provider_id",
        )
    return provider_id
