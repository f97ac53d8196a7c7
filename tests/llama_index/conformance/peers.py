"""The suite on other packages, as far as they are installed. Not part of the tests."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tests.llama_index.conformance import (
    EmbeddingConformance,
    LLMConformance,
    RerankConformance,
)
from tests.llama_index.conformance.test_hfrouter import (
    TestHFRouter,
    TestHFRouterEmbedding,
    TestHFRouterRerank,
)

__all__ = ["TestHFRouter", "TestHFRouterEmbedding", "TestHFRouterRerank"]


def installed(module: str) -> bool:
    """Tell whether *module* can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if installed("llama_index.llms.openai_like"):

    class TestOpenAILike(LLMConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            module = import_module("llama_index.llms.openai_like")
            given = {"api_key": "k", "is_chat_model": True, "is_function_calling_model": True}
            return module.OpenAILike(model="org/model", api_base=base_url, **{**given, **options})


if installed("llama_index.llms.huggingface_api"):

    class TestHuggingFaceInferenceAPI(LLMConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            module = import_module("llama_index.llms.huggingface_api")
            options["num_output"] = options.pop("max_tokens", 256)
            options["token"] = options.pop("api_key", "k")
            return module.HuggingFaceInferenceAPI(model=base_url, **options)


if installed("llama_index.embeddings.openai_like"):

    class TestOpenAILikeEmbedding(EmbeddingConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            module = import_module("llama_index.embeddings.openai_like")
            given = {"api_key": "k", **options}
            return module.OpenAILikeEmbedding(model_name="org/embed", api_base=base_url, **given)


if installed("llama_index.embeddings.huggingface_api"):

    class TestHuggingFaceInferenceAPIEmbedding(EmbeddingConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            module = import_module("llama_index.embeddings.huggingface_api")
            options["token"] = options.pop("api_key", "k")
            model = f"{base_url}/feature-extraction"
            return module.HuggingFaceInferenceAPIEmbedding(model_name=model, **options)


if installed("llama_index.embeddings.text_embeddings_inference"):

    class TestTextEmbeddingsInferenceEmbedding(EmbeddingConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            module = import_module("llama_index.embeddings.text_embeddings_inference")
            workers = options.pop("num_workers", None)  # a field that its constructor lacks
            options["auth_token"] = options.pop("api_key", "k")
            made = module.TextEmbeddingsInference(model_name="m", base_url=base_url, **options)
            made.num_workers = workers
            return made


if installed("llama_index.postprocessor.tei_rerank"):

    class TestTextEmbeddingInferenceRerank(RerankConformance):
        def make(self, base_url: str, **options: Any) -> Any:
            module = import_module("llama_index.postprocessor.tei_rerank")
            manager = options.pop("callback_manager", None)  # likewise
            options["auth_token"] = options.pop("api_key", "k")
            made = module.TextEmbeddingInference(base_url=base_url, **options)
            made.callback_manager = manager or made.callback_manager
            return made
