"""Answers in this process: embeddings in NumPy and an extractive reader, no network, no token.

Chosen explicitly with ``local=True``, ``local=FOLDER`` or ``local=LocalModels(...)`` on a
client or an adapter; never a fallback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared_core.local.custom import LocalTask
    from shared_core.local.failures import LocalModelError
    from shared_core.local.models import LocalModels, resolve
    from shared_core.local.torch.parts import LocalParts
    from shared_core.local.wire import AsyncLocalWire, LocalWire

_HOMES = {
    "AsyncLocalWire": "wire",
    "LocalModelError": "failures",
    "LocalModels": "models",
    "LocalParts": "torch.parts",
    "LocalTask": "custom",
    "LocalWire": "wire",
    "resolve": "models",
}

__all__ = [
    "AsyncLocalWire",
    "LocalModelError",
    "LocalModels",
    "LocalParts",
    "LocalTask",
    "LocalWire",
    "resolve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
