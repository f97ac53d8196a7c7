"""Where chat is served, given a base URL."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from shared_core.config.validate import is_hf_host


def chat_url(base_url: str) -> str:
    """Return the chat completions URL of *base_url*; its query is kept.

    A full path (``.../chat/completions``) is used as given, ``.../v1`` is completed, and
    anything else is taken for the root of an OpenAI-compatible server (protocol.md 11.1).

    Args:
        base_url: Absolute URL.
    """
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions" if path.endswith("/v1") else "/v1/chat/completions"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def is_router(base_url: str) -> bool:
    """Return whether *base_url* is the router's own chat route, where models are Hub ids.

    On its pass-through routes (``/{provider}/...``) models have the provider's own names.
    """
    parts = urlsplit(base_url)
    routed = parts.path.rstrip("/") in ("", "/v1", "/v1/chat/completions")
    return routed and is_hf_host(parts.hostname) and "router." in (parts.hostname or "")
