"""Checks that any LlamaIndex provider of an OpenAI-compatible service can be held against."""

from __future__ import annotations

from tests.llama_index.conformance.embedding import EmbeddingConformance
from tests.llama_index.conformance.llm import LLMConformance
from tests.llama_index.conformance.rerank import RerankConformance

__all__ = ["EmbeddingConformance", "LLMConformance", "RerankConformance"]
