"""Rules for an LLM class; see README.md."""

from __future__ import annotations

import pytest

from tests.llama_index.conformance.agents import AgentRules
from tests.llama_index.conformance.blocks import BlockRules
from tests.llama_index.conformance.calls import CallRules
from tests.llama_index.conformance.life import LifeRules
from tests.llama_index.conformance.streams import StreamRules
from tests.llama_index.conformance.tools import ToolRules


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class LLMConformance(AgentRules, LifeRules, BlockRules, ToolRules, StreamRules, CallRules):
    """Subclass and implement ``make``. Its checks run in the order of the bases, last first."""
