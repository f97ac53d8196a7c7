"""Checks that any LangChain provider of an OpenAI-compatible service can be held against."""

from __future__ import annotations

import pytest

from tests.langchain.conformance.calls import CallRules
from tests.langchain.conformance.embedding import EmbeddingConformance
from tests.langchain.conformance.life import LifeRules
from tests.langchain.conformance.streams import StreamRules
from tests.langchain.conformance.structured import StructuredRules
from tests.langchain.conformance.tools import ToolRules


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
class ChatConformance(CallRules, ToolRules, StreamRules, StructuredRules, LifeRules):
    """Subclass and implement ``make``."""


__all__ = ["ChatConformance", "EmbeddingConformance"]
