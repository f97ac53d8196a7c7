"""The conformance suite on our classes."""

from __future__ import annotations

from typing import Any

from llama_index_hfrouter import HFRouter, HFRouterEmbedding, HFRouterRerank
from tests.llama_index.conformance import (
    EmbeddingConformance,
    LLMConformance,
    RerankConformance,
)


class TestHFRouter(LLMConformance):
    def make(self, base_url: str, **options: Any) -> HFRouter:
        return HFRouter("org/model", base_url=base_url, **options)


class TestHFRouterEmbedding(EmbeddingConformance):
    def make(self, base_url: str, **options: Any) -> HFRouterEmbedding:
        return HFRouterEmbedding("org/embed", base_url=base_url, **options)


class TestHFRouterRerank(RerankConformance):
    def make(self, base_url: str, **options: Any) -> HFRouterRerank:
        return HFRouterRerank(base_url=base_url, **options)
