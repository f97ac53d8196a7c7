"""Which provider serves which task, and who speaks its language."""

from __future__ import annotations

import difflib
import importlib
from typing import Final, NamedTuple

from shared_core.config.providers import CHAT_PATHS
from shared_core.errors import InvalidSettingError, UnsupportedTaskError
from shared_core.providers.base import Codec

CHAT_TASKS: Final = ("conversational", "image-text-to-text")
"""Tasks that are ``client.chat``, not a codec."""

_MODULES: Final = {
    "fal-ai": "fal_ai",
    "novita": "novita",
    "replicate": "replicate",
    "together": "together",
    "wavespeed": "wavespeed",
    "zai-org": "zai_org",
}
HF_INFERENCE: Final = "hf-inference"
"""Hugging Face's own service; it needs no mapping."""

_SERVICES: Final = ("deepinfra", "featherless-ai", "nscale", "ovhcloud", "scaleway")
WITHDRAWN: Final = ("black-forest-labs", "hyperbolic", "nebius", "sambanova")
"""Providers that no model of the Hub is mapped to any more."""

WITH_TASKS: Final = tuple(sorted((HF_INFERENCE, *_MODULES, *_SERVICES)))
"""Providers that serve tasks besides chat."""


class Row(NamedTuple):
    """One pair of the table.

    Attributes:
        provider: Provider.
        task: Task id; ``"conversational"`` stands for ``client.chat``.
        queued: Whether the call waits for a job.
    """

    provider: str
    task: str
    queued: bool = False


def codec(provider: str, task: str) -> Codec:
    """Return the codec of *provider* for *task*. No I/O.

    Args:
        provider: Name, not ``"auto"``.
        task: Task id.

    Raises:
        UnsupportedTaskError: The provider does not serve the task; names those that do.
        InvalidSettingError: There is no such provider; names the nearest.
    """
    found = codecs(provider).get(task)
    if found is not None:
        return found
    if task in CHAT_TASKS:
        raise UnsupportedTaskError(
            f"{task} is not a call of its own",
            guidance=f"Use client.chat.create(..., provider={provider!r}).",
        )
    can = ", ".join(codecs(provider)) or "nothing but chat"
    raise UnsupportedTaskError(
        f"{provider} does not serve {task}; it serves {can}", guidance=_instead(task)
    )


def _instead(task: str) -> str:
    others = providers_of(task)
    if not others:
        return "No provider serves this task; a server of your own may: pass its URL as model=."
    return f"Set provider= to one that serves {task}: {', '.join(others)}."


def codecs(provider: str) -> dict[str, Codec]:
    """Return task -> codec of *provider*; empty for one that only chats.

    Raises:
        InvalidSettingError: There is no such provider; names the nearest.
    """
    if provider == HF_INFERENCE:
        from shared_core.providers import hf_inference

        return dict.fromkeys(sorted(hf_inference.TASKS), hf_inference.CODEC)
    if provider in _MODULES:
        module = importlib.import_module(f"shared_core.providers.{_MODULES[provider]}")
        return dict(module.CODECS)
    if provider in _SERVICES:
        from shared_core.providers.services import PROVIDERS

        return PROVIDERS[provider]
    if provider in WITHDRAWN:
        from shared_core.providers.withdrawn import PROVIDERS as GONE

        return GONE[provider]
    if provider in CHAT_PATHS:
        return {}
    known = sorted({*WITH_TASKS, *CHAT_PATHS})
    near = difflib.get_close_matches(str(provider), known, n=1)
    raise InvalidSettingError(
        f"there is no provider {str(provider)[:60]!r}"
        + (f": did you mean {near[0]!r}?" if near else ""),
        guidance=f"Providers: {', '.join(known)}.",
        setting="provider",
    )


def providers_of(task: str) -> list[str]:
    """Return the providers that serve *task*, those that the Hub has withdrawn left out."""
    return [provider for provider in WITH_TASKS if task in codecs(provider)]


def table() -> list[Row]:
    """Return every pair, sorted by provider and task, chat included."""
    from shared_core.providers.base import JobCodec

    rows = [Row(provider, "conversational") for provider in CHAT_PATHS]
    rows += [
        Row(provider, task, isinstance(found, JobCodec))
        for provider in (*WITH_TASKS, *WITHDRAWN)
        for task, found in codecs(provider).items()
    ]
    return sorted(rows)
