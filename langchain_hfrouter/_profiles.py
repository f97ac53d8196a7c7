"""Model profiles: what a model, at a provider, can do.

The shipped snapshot knows models; only the router's list knows providers. The list is read on
request (:meth:`ChatHFRouter.refresh_profile`), never while a model is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.language_models.model_profile import ModelProfile

if TYPE_CHECKING:
    from collections.abc import Mapping

Method = Literal["function_calling", "json_schema", "json_mode"]

_POLICIES = ("fastest", "cheapest", "preferred", "auto")


def _entry(context: int | None, traits: str) -> ModelProfile:
    has = traits.split()
    facts: dict[str, Any] = {
        "text_inputs": True,
        "text_outputs": True,
        "open_weights": True,
        "tool_calling": True,
        "reasoning_output": "reasoning" in has,
        "image_inputs": "image" in has,
    }
    if "video" in has:  # without it nobody has said that there is none
        facts["video_inputs"] = True
    if context is not None:
        facts["max_input_tokens"] = context
    return cast("ModelProfile", facts)


class Derived(dict[str, Any]):
    """A profile that we looked up, not one that the user gave.

    Attributes:
        route: Model and provider that it is of: another one needs another profile.
    """

    route: tuple[str, str | None]


def derived(
    facts: Mapping[str, Any] | None, model: str, provider: str | None
) -> ModelProfile | None:
    """Return *facts* marked as looked up for *model* at *provider*; None stays None.

    Args:
        facts: The profile.
        model: Hub id, maybe with a suffix.
        provider: Serving provider, if chosen by argument.
    """
    if facts is None:
        return None
    marked = Derived(facts)
    marked.route = (model, provider)
    return cast("ModelProfile", marked)


def is_stale(profile: object, model: object, provider: object) -> bool:
    """Whether *profile* was looked up for another model or provider.

    Args:
        profile: Of a model object.
        model: Its model now.
        provider: Its provider now.
    """
    return isinstance(profile, Derived) and profile.route != (model, provider)


def model_id(model: str) -> str:
    """Return the Hub id without the suffix.

    Args:
        model: Hub id, maybe with ``:provider`` or ``:policy``.
    """
    return _split(model)[0]


def _split(model: str) -> tuple[str, str | None]:
    name, colon, suffix = model.rpartition(":")
    return (name, suffix) if colon and name and "/" not in suffix else (model, None)


def snapshot(model: str, provider: str | None) -> ModelProfile | None:
    """Return the shipped profile, or None for a model that is not in it.

    Args:
        model: Hub id, maybe with a suffix.
        provider: Serving provider, if chosen by argument. The snapshot does not know providers.
    """
    from langchain_hfrouter._profile_snapshot import FACTS

    known = FACTS.get(model_id(model))
    return _entry(*known) if known is not None else None


def of_entry(entry: Any, model: str, provider: str | None) -> ModelProfile:
    """Return the profile that the router's list gives.

    With a pinned provider it is that provider's offer. Without, it is what every live
    provider offers: automatic routing may choose any of them.

    Args:
        entry: The model in the router's list.
        model: Hub id, maybe with a suffix.
        provider: Serving provider, if chosen by argument.
    """
    suffix = _split(model)[1]
    pinned = provider or (suffix if suffix not in _POLICIES else None)
    offer = entry.provider(pinned) if pinned else None
    offers = [offer] if offer is not None else list(entry.live_providers)
    facts: dict[str, Any] = dict(snapshot(model, provider) or {})
    if entry.input_modalities:
        for kind in ("text", "image", "audio", "video"):
            facts[f"{kind}_inputs"] = kind in entry.input_modalities
    if entry.output_modalities:
        for kind in ("text", "image", "audio", "video"):
            facts[f"{kind}_outputs"] = kind in entry.output_modalities
    context = offer.context_length if offer is not None else entry.context_length
    if context:
        facts["max_input_tokens"] = context
    for fact, attribute in (
        ("tool_calling", "supports_tools"),
        ("structured_output", "supports_structured_output"),
    ):
        claims = [getattr(each, attribute) for each in offers]
        if claims and all(claim is not None for claim in claims):
            facts[fact] = all(claims)
        elif any(claim is False for claim in claims):
            facts[fact] = False
    return cast("ModelProfile", facts)


def best_method(profile: Mapping[str, Any] | None) -> Method:
    """Return how to ask for a structure.

    Args:
        profile: What is known of the model, or None.
    """
    known = profile or {}
    if known.get("structured_output"):
        return "json_schema"
    if known.get("tool_calling") is False:
        return "json_mode" if known.get("structured_output") is False else "json_schema"
    return "function_calling"
