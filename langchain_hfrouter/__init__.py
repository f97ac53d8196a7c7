"""LangChain on the Hugging Face router: ``ChatHFRouter`` and ``HFRouterEmbeddings``.

Names are loaded on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_hfrouter._register import register as register
    from langchain_hfrouter.chat_models import ChatHFRouter as ChatHFRouter
    from langchain_hfrouter.embeddings import HFRouterEmbeddings as HFRouterEmbeddings

_HOME_OF = {
    "ChatHFRouter": "langchain_hfrouter.chat_models",
    "HFRouterEmbeddings": "langchain_hfrouter.embeddings",
    "register": "langchain_hfrouter._register",
}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "langchain_core":
            raise
        raise ImportError(
            "langchain_hfrouter needs langchain-core: pip install 'hfrouter[langchain]'"
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
