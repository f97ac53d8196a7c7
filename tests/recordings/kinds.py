"""What sorts of recorded exchanges there are. Each is played by one of the test modules here.

docs/recordings.md has the same table; ``test_coverage`` compares them, and lets no recording go
without a kind.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from tests.recordings.exchanges import Exchange, exchanges

HF_INFERENCE = (
    "https://api-inference.huggingface.co/",
    "https://router.huggingface.co/hf-inference/",
)
ROUTER = "https://router.huggingface.co/"


def _model_page(item: Exchange) -> bool:
    parts = urlsplit(item.url)
    return (
        item.method == "GET"
        and parts.hostname == "huggingface.co"
        and parts.path.startswith("/api/models/")
    )


def _task(item: Exchange) -> bool:
    return item.method == "POST" and not item.is_chat and item.url.startswith(HF_INFERENCE)


def _provider(item: Exchange) -> bool:
    elsewhere = item.url.startswith(ROUTER) and not item.url.startswith(HF_INFERENCE)
    return item.method == "POST" and not item.is_chat and elsewhere


def _elsewhere(item: Exchange) -> bool:
    host = urlsplit(item.url).hostname or ""
    return item.method == "GET" and not host.endswith("huggingface.co")


KINDS: dict[str, Callable[[Exchange], bool]] = {
    "model page": lambda item: _model_page(item) and item.status == 200,
    "moved model page": lambda item: _model_page(item) and item.status == 307,
    "chat answer": lambda item: item.is_chat and item.status == 200 and not item.is_stream,
    "chat stream": lambda item: item.is_chat and item.status == 200 and item.is_stream,
    "chat error": lambda item: item.is_chat and item.status >= 400,
    "task answer": lambda item: _task(item) and item.status == 200,
    "task error": lambda item: _task(item) and item.status >= 400,
    "provider's answer": lambda item: _provider(item) and item.status < 400,
    "state of a job": lambda item: _elsewhere(item) and not item.is_file,
    "file made": lambda item: _elsewhere(item) and item.is_file,
}
"""Kind -> what belongs to it."""


def kinds_of(item: Exchange) -> list[str]:
    """Return the kinds that *item* belongs to; there should be one."""
    return [name for name, belongs in KINDS.items() if belongs(item)]


def of_kind(name: str) -> list[Exchange]:
    """Return the recorded exchanges of a kind."""
    return [item for item in exchanges() if KINDS[name](item)]
