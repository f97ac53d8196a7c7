"""The standard suites of ``langchain-tests`` on ``HFRouterEmbeddings``."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_hfrouter import HFRouterEmbeddings
from tests.langchain.stub_server import StubServer

pytestmark = pytest.mark.anyio


@pytest.mark.rule("embedding-suite")
class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return HFRouterEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "BAAI/bge-small-en-v1.5"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        params = self.embedding_model_params
        return {"HF_TOKEN": "hf_from_env"}, params, {"api_key": "hf_from_env"}


@pytest.mark.rule("embedding-suite")
class TestIntegration(EmbeddingsIntegrationTests):
    server: StubServer

    @pytest.fixture(autouse=True)
    def _serve(self, stub_session: StubServer) -> None:
        self.server = stub_session

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return HFRouterEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "m", "base_url": self.server.base_url, "api_key": "test"}
