"""Where inference providers live: behind the router, or under a key of their own. Pure data.

The tables are those of the protocol reference, 7.2 (August 2026).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from shared_core.config.secrets import HiddenHeaders
from shared_core.config.validate import is_hf_host

if TYPE_CHECKING:
    from shared_core.config.settings import Settings

DIRECT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "baseten": "https://inference.baseten.co",
        "cerebras": "https://api.cerebras.ai",
        "cohere": "https://api.cohere.com",
        "deepinfra": "https://api.deepinfra.com",
        "fal-ai": "https://fal.run",
        "featherless-ai": "https://api.featherless.ai",
        "fireworks-ai": "https://api.fireworks.ai",
        "groq": "https://api.groq.com",
        "novita": "https://api.novita.ai",
        "nscale": "https://inference.api.nscale.com",
        "openai": "https://api.openai.com",
        "ovhcloud": "https://oai.endpoints.kepler.ai.cloud.ovh.net",
        "publicai": "https://api.publicai.co",
        "replicate": "https://api.replicate.com",
        "scaleway": "https://api.scaleway.ai",
        "together": "https://api.together.xyz",
        "wavespeed": "https://api.wavespeed.ai",
        "zai-org": "https://api.z.ai",
    }
)
"""Provider -> its own host, for keys that the provider itself has given out."""

CHAT_PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "baseten": "/v1/chat/completions",
        "cerebras": "/v1/chat/completions",
        "cohere": "/compatibility/v1/chat/completions",
        "deepinfra": "/v1/openai/chat/completions",
        "featherless-ai": "/v1/chat/completions",
        "fireworks-ai": "/inference/v1/chat/completions",
        "groq": "/openai/v1/chat/completions",
        "novita": "/v3/openai/chat/completions",
        "nscale": "/v1/chat/completions",
        "openai": "/v1/chat/completions",
        "ovhcloud": "/v1/chat/completions",
        "publicai": "/v1/chat/completions",
        "scaleway": "/v1/chat/completions",
        "together": "/v1/chat/completions",
        "zai-org": "/api/paas/v4/chat/completions",
    }
)
"""Provider -> path of chat on its own host and on the router's pass-through route."""

AUTH_SCHEMES: Final[Mapping[str, str]] = MappingProxyType({"fal-ai": "Key"})
"""Provider -> first word of ``Authorization`` on its own host; ``Bearer`` elsewhere."""

EXTRA_HEADERS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {"zai-org": {"Accept-Language": "en-US,en", "x-source-channel": "hugging_face"}}
)
"""Provider -> headers of every request to it."""


def on_router(base_url: str) -> bool:
    """Return whether *base_url* is the router's own ``/v1`` base, or its bare host.

    Args:
        base_url: Base URL of the settings.
    """
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    bare = not urlsplit(router_root(base_url)).path
    return bare and is_hf_host(host) and host.startswith("router.")


def router_root(base_url: str) -> str:
    """Return the address that provider names are put behind, e.g. the router's bare host.

    Args:
        base_url: Base URL of the settings: the router's, or a gateway's in its place.
    """
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
    return urlunsplit((parts.scheme, parts.netloc, path.rstrip("/"), "", ""))


def goes_direct(settings: Settings, provider: str | None) -> bool:
    """Return whether a call goes straight to *provider*'s own host, with a key of its own.

    Only a key that was given to the client as an argument does, never one that was found in
    the surroundings; only to a provider that the caller named; and only where nothing else
    was named as base_url. Hub tokens (``hf_...``) go to the router (protocol reference, 1.1).

    Args:
        settings: Where the key and the base URL are.
        provider: Provider as asked for.

    Raises:
        InvalidSettingError: The key cannot be sent.
    """
    return provider in DIRECT and has_own_key(settings)


def has_own_key(settings: Settings) -> bool:
    """Return whether the client was given a key that is not Hugging Face's, and no other address.

    Args:
        settings: Where the key and the base URL are.

    Raises:
        InvalidSettingError: The key cannot be sent.
    """
    if not settings.token.is_argument or not on_router(settings.base_url):
        return False
    key = settings.token.get()
    return key is not None and not key.is_hub_token


def direct_settings(settings: Settings, base_url: str) -> Settings:
    """Return settings that send the key to a provider's own host, and nothing else of the client's.

    Who pays at Hugging Face, and headers meant for the router, stay behind.

    Args:
        settings: The client's.
        base_url: The provider's own host, or an address on it.
    """
    return replace(settings, base_url=base_url, bill_to=None, default_headers=HiddenHeaders())
