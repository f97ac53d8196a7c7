"""The conformance suite on our classes."""

from __future__ import annotations

from typing import Any

from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from tests.langchain.conformance import ChatConformance, EmbeddingConformance


class TestChatHFRouter(ChatConformance):
    def make(self, base_url: str, **options: Any) -> ChatHFRouter:
        given = {"model": "org/m", "api_key": "k", **options}
        return ChatHFRouter(base_url=base_url, **given)


class TestHFRouterEmbeddings(EmbeddingConformance):
    def make(self, base_url: str, **options: Any) -> HFRouterEmbeddings:
        given = {"model": "org/m", "api_key": "k", **options}
        return HFRouterEmbeddings(base_url=base_url, **given)
