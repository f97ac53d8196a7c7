"""The Hugging Face router as a Python client: chat, streaming, embeddings, models.

Names are loaded on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared_core.callbacks import Callback as Callback
    from shared_core.callbacks import ChunkEvent as ChunkEvent
    from shared_core.callbacks import ErrorEvent as ErrorEvent
    from shared_core.callbacks import RequestEvent as RequestEvent
    from shared_core.callbacks import ResponseEvent as ResponseEvent
    from shared_core.callbacks import RetryEvent as RetryEvent
    from shared_core.callbacks import StreamCompleteEvent as StreamCompleteEvent
    from shared_core.chat.types import AudioPart as AudioPart
    from shared_core.chat.types import ChatChunk as ChatChunk
    from shared_core.chat.types import ChatCompletion as ChatCompletion
    from shared_core.chat.types import ChatMessage as ChatMessage
    from shared_core.chat.types import Choice as Choice
    from shared_core.chat.types import FilePart as FilePart
    from shared_core.chat.types import ImagePart as ImagePart
    from shared_core.chat.types import RawPart as RawPart
    from shared_core.chat.types import TextPart as TextPart
    from shared_core.chat.types import ToolCall as ToolCall
    from shared_core.chat.types import ToolCallDelta as ToolCallDelta
    from shared_core.chat.types import Usage as Usage
    from shared_core.chat.types import VideoPart as VideoPart
    from shared_core.client import AsyncRouterClient as AsyncRouterClient
    from shared_core.client import RouterClient as RouterClient
    from shared_core.resilience.retry import RetryPolicy as RetryPolicy

__version__ = "0.1.0"

# Module -> the public names that it defines. The imports above say the same to type
# checkers; a test keeps the two equal.
_HOMES: dict[str, tuple[str, ...]] = {
    "shared_core.callbacks": (
        "Callback",
        "ChunkEvent",
        "ErrorEvent",
        "RequestEvent",
        "ResponseEvent",
        "RetryEvent",
        "StreamCompleteEvent",
    ),
    "shared_core.chat.types": (
        "AudioPart",
        "ChatChunk",
        "ChatCompletion",
        "ChatMessage",
        "Choice",
        "FilePart",
        "ImagePart",
        "RawPart",
        "TextPart",
        "ToolCall",
        "ToolCallDelta",
        "Usage",
        "VideoPart",
    ),
    "shared_core.client": ("AsyncRouterClient", "RouterClient"),
    "shared_core.resilience.retry": ("RetryPolicy",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__"])  # noqa: PLE0605 - a plain list at run time


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
