"""What else the Hub knows: the card of a model, its providers, a provider's models, tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared_core.config.checks import refused
from shared_core.config.validate import check_route
from shared_core.flow import Flow
from shared_core.hub import flows, parsing
from shared_core.hub.types import ProviderInfo
from shared_core.wire import fields
from shared_core.wire.messages import WireResponse

if TYPE_CHECKING:
    from shared_core.core import Core

CARD_FIELDS = (
    "cardData",
    "config",
    "gated",
    "gguf",
    "lastModified",
    "library_name",
    "mask_token",
    "pipeline_tag",
    "safetensors",
    "sha",
    "tags",
    "transformersInfo",
)
"""What is asked for to fill a :class:`ModelCard` (protocol.md 8.1)."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model's card and configuration say.

    Attributes:
        id: ``org/name``.
        license: e.g. ``"apache-2.0"``.
        languages: e.g. ``("en", "de")``.
        base_models: Models that it was made from.
        datasets: Data that it was trained on.
        library: e.g. ``"transformers"``.
        pipeline_tag: Task.
        tags: Tags.
        gated: False, ``"auto"`` or ``"manual"``.
        model_type: e.g. ``"qwen3"``.
        architectures: Classes of transformers.
        chat_template: Jinja template of chats, if it has one.
        mask_token: Of fill-mask models.
        parameters: Number of weights.
        sha: Commit.
        last_modified: ISO 8601.
        raw: The entry as it came.
    """

    id: str
    license: str | None = None
    languages: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    library: str | None = None
    pipeline_tag: str | None = None
    tags: tuple[str, ...] = ()
    gated: bool | str = False
    model_type: str | None = None
    architectures: tuple[str, ...] = ()
    chat_template: str | None = field(default=None, repr=False)
    mask_token: str | None = None
    parameters: int | None = None
    sha: str | None = None
    last_modified: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def can_chat(self) -> bool:
        """Whether the model says that it can chat: a template or the tag ``conversational``."""
        return self.chat_template is not None or "conversational" in self.tags


@dataclass(frozen=True, slots=True)
class PartnerModel:
    """A model in a provider's list on the Hub.

    Attributes:
        task: e.g. ``"text-to-image"``.
        model: Hub id, or ``"tag-filter=..."`` for all models with these tags.
        provider_id: The provider's own name of it.
        status: ``"live"`` or ``"staging"``.
        adapter_type: e.g. ``"lora"``.
    """

    task: str
    model: str
    provider_id: str | None = None
    status: str | None = None
    adapter_type: str | None = None


@dataclass(frozen=True, slots=True)
class HubTask:
    """A task that the Hub knows.

    Attributes:
        id: e.g. ``"text-classification"``.
        label: e.g. ``"Text Classification"``.
        models: Models that the Hub recommends for it.
        libraries: Libraries that do it.
        raw: The entry as it came.
    """

    id: str
    label: str | None = None
    models: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


def card(core: Core, model: str, revision: str | None) -> Flow[ModelCard]:
    """Return what the card and configuration of *model* say, as of a revision or now."""
    entry = yield from flows.hub_model(core, model, CARD_FIELDS, revision)
    return read_card(entry.id, entry.raw)


def read_card(model: str, item: Mapping[str, Any]) -> ModelCard:
    """Return the facts of an entry of the Hub with the fields :data:`CARD_FIELDS`.

    Args:
        model: Its id.
        item: JSON object.
    """
    data, config = fields.mapping(item.get("cardData")), fields.mapping(item.get("config"))
    tokenizer, weights = (
        fields.mapping(config.get("tokenizer_config")),
        fields.mapping(item.get("safetensors")),
    )
    gguf = fields.mapping(item.get("gguf"))
    template = tokenizer.get("chat_template") or gguf.get("chat_template")
    total, gated = weights.get("total") or gguf.get("total"), item.get("gated")
    return ModelCard(
        id=model,
        license=fields.text(data.get("license")),
        languages=_texts(data.get("language")),
        base_models=_texts(data.get("base_model")),
        datasets=_texts(data.get("datasets")),
        library=fields.text(item.get("library_name")) or fields.text(data.get("library_name")),
        pipeline_tag=fields.text(item.get("pipeline_tag")) or fields.text(data.get("pipeline_tag")),
        tags=_texts(item.get("tags")),
        gated=gated if isinstance(gated, bool | str) else False,
        model_type=fields.text(config.get("model_type")) or fields.text(gguf.get("architecture")),
        architectures=_texts(config.get("architectures")),
        chat_template=_template(template),
        mask_token=fields.text(item.get("mask_token")),
        parameters=total if type(total) is int else None,
        sha=fields.text(item.get("sha")),
        last_modified=fields.text(item.get("lastModified")),
        raw=dict(item),
    )


def _template(value: Any) -> str | None:
    """Return a chat template: text, or the default one of several."""
    if isinstance(value, list):
        named = {str(item.get("name")): item for item in value if isinstance(item, dict)}
        chosen = named.get("default") or next(iter(named.values()), {})
        return fields.text(chosen.get("template"))
    return fields.text(value)


def providers(core: Core, model: str) -> Flow[tuple[ProviderInfo, ...]]:
    """Return who serves *model*, in the order of the user's settings."""
    entry = yield from flows.hub_model(core, model, ["inferenceProviderMapping"])
    return entry.providers


def partner(core: Core, provider: str, status: str) -> Flow[list[PartnerModel]]:
    """Return what *provider* serves."""
    if check_route(provider, None) is None:
        raise refused("provider", "a name such as 'groq'", provider)
    if status not in ("live", "staging"):
        raise refused("status", "'live' or 'staging'", status)
    url = f"{core.settings.hub_url}/api/partners/{quote(provider)}/models?status={status}"
    request = flows.get(core, url, "models.partner")

    def read(value: Any, response: WireResponse) -> list[PartnerModel]:
        if not isinstance(value, dict):
            raise ValueError("the provider's list is not an object")
        return [
            PartnerModel(
                task,
                model,
                fields.text(entry.get("providerId")),
                fields.text(entry.get("status")),
                fields.text(entry.get("adapterType")),
            )
            for task, models in value.items()
            for model, entry in fields.mapping(models).items()
            if isinstance(entry, dict)
        ]

    return (yield from flows.asked(core, request, parsing.reader(request, read)))


def tasks(core: Core) -> Flow[list[HubTask]]:
    """Return the tasks that the Hub knows."""
    request = flows.get(core, f"{core.settings.hub_url}/api/tasks", "models.tasks")

    def read(value: Any, response: WireResponse) -> list[HubTask]:
        if not isinstance(value, dict):
            raise ValueError("the list of tasks is not an object")
        return [
            HubTask(
                name,
                fields.text(entry.get("label")),
                tuple(
                    str(model["id"])
                    for model in fields.sequence(entry.get("models"))
                    if isinstance(model, dict) and fields.text(model.get("id"))
                ),
                _texts(entry.get("libraries")),
                entry,
            )
            for name, entry in value.items()
            if isinstance(entry, dict)
        ]

    return (yield from flows.asked(core, request, parsing.reader(request, read)))


def _texts(value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else fields.sequence(value)
    return tuple(item for item in items if isinstance(item, str))
