"""Chat at a provider itself: with a key of its own, or on the router's pass-through routes.

There models have the provider's own names, nothing is pinned, and structured output has the
provider's own form. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared_core.config.providers import CHAT_PATHS, DIRECT, direct_settings, goes_direct
from shared_core.config.validate import is_hf_host

if TYPE_CHECKING:
    from shared_core.chat.request import ChatDefaults
    from shared_core.config.settings import Settings

_HOSTS = {host.removeprefix("https://"): provider for provider, host in DIRECT.items()}


@dataclass(frozen=True, slots=True)
class OwnHost:
    """A provider that is called directly.

    Attributes:
        provider: Its name.
        settings: Settings with its chat address, where the key may go.
    """

    provider: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Bare:
    """Defaults that pin nothing."""

    model: str | None
    provider: str | None = None
    policy: str | None = None


def own_host(
    settings: Settings, given: Mapping[str, Any], defaults: ChatDefaults
) -> OwnHost | None:
    """Return the provider that a call goes to directly, or None for ``base_url``.

    Args:
        settings: Where the key is.
        given: The parameters of the call.
        defaults: The client's.

    Raises:
        InvalidSettingError: The key cannot be sent.
    """
    provider = pinned_provider(given, defaults)
    if provider is None or provider not in CHAT_PATHS or not goes_direct(settings, provider):
        return None
    address = DIRECT[provider] + CHAT_PATHS[provider]
    return OwnHost(provider, direct_settings(settings, address))


def pinned_provider(given: Mapping[str, Any], defaults: ChatDefaults) -> str | None:
    """Return the provider that a call names, or the client for it; no suffix of a model counts.

    Args:
        given: The parameters of the call.
        defaults: The client's.
    """
    provider = given.get("provider")
    if provider is None and given.get("policy") is None:
        provider = defaults.provider
    return provider if isinstance(provider, str) else None


def provider_at(base_url: str) -> str | None:
    """Return the provider whose own form is spoken at *base_url*, if that is known.

    Args:
        base_url: Base URL, or the full address of its chat.
    """
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    if is_hf_host(host) and host.startswith("router."):
        first = parts.path.strip("/").partition("/")[0]
        return first if first in CHAT_PATHS or first == "hf-inference" else None
    return _HOSTS.get(host)


def native_format(provider: str | None, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return ``response_format`` in the provider's form (protocol reference, 2.5).

    Args:
        provider: Whose form; None leaves it as it is.
        wanted: In the OpenAI form.
    """
    inner = wanted.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    if wanted.get("type") != "json_schema" or schema is None:
        return wanted
    if provider == "hf-inference":
        return {"type": "json_object", "value": schema}
    if provider == "together":
        return {"type": "json_schema", "schema": schema}
    if provider in ("cohere", "fireworks-ai"):
        return {"type": "json_object", "schema": schema}
    return wanted
