"""Embeddings: requests, answers, similarity and search in memory.

Names are loaded on first use; NumPy with the first that needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared_core.embeddings.resource import AsyncEmbeddings as AsyncEmbeddings
    from shared_core.embeddings.resource import Embeddings as Embeddings
    from shared_core.embeddings.search import SearchHit as SearchHit
    from shared_core.embeddings.search import SemanticIndex as SemanticIndex
    from shared_core.embeddings.similarity import Match as Match
    from shared_core.embeddings.similarity import cosine as cosine
    from shared_core.embeddings.similarity import dot as dot
    from shared_core.embeddings.similarity import euclidean as euclidean
    from shared_core.embeddings.similarity import most_similar as most_similar
    from shared_core.embeddings.similarity import most_similar_many as most_similar_many
    from shared_core.embeddings.similarity import normalize as normalize
    from shared_core.embeddings.similarity import top_k as top_k
    from shared_core.embeddings.types import EmbeddingResult as EmbeddingResult
    from shared_core.embeddings.types import EmbeddingUsage as EmbeddingUsage
    from shared_core.embeddings.types import SparseVector as SparseVector

_HOMES = {
    "resource": ("AsyncEmbeddings", "Embeddings"),
    "search": ("SearchHit", "SemanticIndex"),
    "similarity": (
        "Match",
        "cosine",
        "dot",
        "euclidean",
        "most_similar",
        "most_similar_many",
        "normalize",
        "top_k",
    ),
    "types": ("EmbeddingResult", "EmbeddingUsage", "SparseVector"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AsyncEmbeddings",
    "EmbeddingResult",
    "EmbeddingUsage",
    "Embeddings",
    "Match",
    "SearchHit",
    "SemanticIndex",
    "SparseVector",
    "cosine",
    "dot",
    "euclidean",
    "most_similar",
    "most_similar_many",
    "normalize",
    "top_k",
]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
