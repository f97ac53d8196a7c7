"""The suite on other packages, as far as they are installed. Not part of the tests."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tests.langchain.conformance import ChatConformance, EmbeddingConformance
from tests.langchain.conformance.test_hfrouter import TestChatHFRouter, TestHFRouterEmbeddings

__all__ = ["TestChatHFRouter", "TestHFRouterEmbeddings"]


def installed(module: str) -> bool:
    """Tell whether *module* can be imported."""
    return find_spec(module) is not None


if installed("langchain_huggingface"):

    class TestChatHuggingFace(ChatConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            package = import_module("langchain_huggingface")
            model = options.pop("model", "org/m")
            of_endpoint = {"huggingfacehub_api_token": options.pop("api_key", "k")}
            if "timeout" in options:
                of_endpoint["timeout"] = options.pop("timeout")
            endpoint = package.HuggingFaceEndpoint(endpoint_url=base_url, **of_endpoint)
            return package.ChatHuggingFace(llm=endpoint, model_id=model, **options)

    class TestHuggingFaceEndpointEmbeddings(EmbeddingConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            package = import_module("langchain_huggingface")
            token = options.pop("api_key", "k")
            # It takes no address; what it makes of a model's name can be replaced afterwards.
            made = package.HuggingFaceEndpointEmbeddings(
                model="org/m", huggingfacehub_api_token=token, **options
            )
            for client in (made.client, made.async_client):
                client.model = base_url
            made.model = base_url
            return made


if installed("langchain_openai"):

    class TestChatOpenAI(ChatConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            package = import_module("langchain_openai")
            given = {"model": "org/m", "api_key": "k", **options}
            return package.ChatOpenAI(base_url=base_url, **given)

    class TestOpenAIEmbeddings(EmbeddingConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            package = import_module("langchain_openai")
            given = {"model": "org/m", "api_key": "k", **options}
            # What its documentation tells for servers other than OpenAI's.
            return package.OpenAIEmbeddings(
                base_url=base_url, check_embedding_ctx_length=False, **given
            )


if installed("langchain_deepseek"):

    class TestChatDeepSeek(ChatConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            package = import_module("langchain_deepseek")
            given = {"model": "org/m", "api_key": "k", **options}
            return package.ChatDeepSeek(base_url=base_url, **given)


if installed("langchain_openrouter"):

    class TestChatOpenRouter(ChatConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            package = import_module("langchain_openrouter")
            given = {"model": "org/m", "api_key": "k", **options}
            if isinstance(given.get("timeout"), int | float):
                given["timeout"] = int(given["timeout"] * 1000)  # it counts milliseconds
            return package.ChatOpenRouter(base_url=base_url, **given)
