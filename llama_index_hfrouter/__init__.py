"""LlamaIndex classes for the Hugging Face router: an LLM, embeddings and a reranker.

Names are loaded on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_index_hfrouter.embedding import HFRouterEmbedding as HFRouterEmbedding
    from llama_index_hfrouter.llm import HFRouter as HFRouter
    from llama_index_hfrouter.rerank import HFRouterRerank as HFRouterRerank

_HOME_OF = {
    "HFRouter": "llama_index_hfrouter.llm",
    "HFRouterEmbedding": "llama_index_hfrouter.embedding",
    "HFRouterRerank": "llama_index_hfrouter.rerank",
}

__all__ = ["HFRouter", "HFRouterEmbedding", "HFRouterRerank"]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "llama_index":
            raise
        raise ImportError(
            f"{name} needs llama-index-core: pip install 'hfrouter[llama-index]'"
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
