"""Addresses, names of variables and popular models."""

from __future__ import annotations

from typing import Final

ROUTER_URL: Final = "https://router.huggingface.co/v1"
"""Where chat is served (protocol.md 0)."""

LOCAL_URL: Final = "http://localhost"
"""In the place of the router in local mode: a server of one's own, which may have every task."""

ENDPOINTS_URL: Final = "https://api.endpoints.huggingface.cloud"
"""Control plane of Inference Endpoints (protocol.md 10)."""

HUB_URL: Final = "https://huggingface.co"
"""The Hub (protocol.md 0)."""

CUT_REASONS: Final = frozenset({"length", "content_filter"})
"""Finish reasons of answers that lack their last words, as OpenAI's API defines them."""

TOKEN_PAGE: Final = (
    "https://huggingface.co/settings/tokens/new?"
    "ownUserPermissions=inference.serverless.write&tokenType=fineGrained"
)
"""Creates a token that may call Inference Providers (protocol.md 1.1)."""

INFERENCE_PERMISSION: Final = "inference.serverless.write"
"""What a fine-grained token needs to call Inference Providers (protocol.md 1.1)."""

TOKEN_VARIABLES: Final = (
    "HF_TOKEN",
    "HUGGINGFACE_API_KEY",
    "HUGGINGFACEHUB_API_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
)
"""Environment variables that may hold the token, the first one that is not empty wins."""

BASE_URL_VARIABLE: Final = "HUGGINGFACE_BASE_URL"
HUB_URL_VARIABLE: Final = "HF_ENDPOINT"
BILL_TO_VARIABLE: Final = "HF_BILL_TO"
NO_IMPLICIT_TOKEN_VARIABLE: Final = "HF_HUB_DISABLE_IMPLICIT_TOKEN"

POLICIES: Final = ("fastest", "cheapest", "preferred")
"""Model suffixes that choose a provider by rule (protocol.md 2.3)."""

PROVIDERS: Final = (
    "baseten",
    "cerebras",
    "cohere",
    "deepinfra",
    "fal-ai",
    "featherless-ai",
    "fireworks-ai",
    "groq",
    "hf-inference",
    "novita",
    "nscale",
    "ovhcloud",
    "publicai",
    "replicate",
    "scaleway",
    "together",
    "wavespeed",
    "zai-org",
)
"""Providers known in August 2026 (protocol.md 7); any other name is passed on as well."""


class ChatModels:
    """Popular chat models on the router (ids of the Hub; who serves them changes daily)."""

    GPT_OSS_120B: Final = "openai/gpt-oss-120b"
    GPT_OSS_20B: Final = "openai/gpt-oss-20b"
    LLAMA_3_3_70B: Final = "meta-llama/Llama-3.3-70B-Instruct"
    LLAMA_3_1_8B: Final = "meta-llama/Llama-3.1-8B-Instruct"
    QWEN3_235B: Final = "Qwen/Qwen3-235B-A22B-Instruct-2507"
    QWEN3_32B: Final = "Qwen/Qwen3-32B"
    QWEN2_5_VL_72B: Final = "Qwen/Qwen2.5-VL-72B-Instruct"
    DEEPSEEK_R1: Final = "deepseek-ai/DeepSeek-R1"
    DEEPSEEK_V3: Final = "deepseek-ai/DeepSeek-V3-0324"
    GEMMA_3_27B: Final = "google/gemma-3-27b-it"
    KIMI_K2: Final = "moonshotai/Kimi-K2-Instruct"
    GLM_4_5: Final = "zai-org/GLM-4.5"


class EmbeddingModels:
    """Popular embedding models (served by hf-inference, or by a TEI server of your own)."""

    MINILM_L6: Final = "sentence-transformers/all-MiniLM-L6-v2"
    MPNET_BASE: Final = "sentence-transformers/all-mpnet-base-v2"
    BGE_SMALL: Final = "BAAI/bge-small-en-v1.5"
    BGE_BASE: Final = "BAAI/bge-base-en-v1.5"
    BGE_LARGE: Final = "BAAI/bge-large-en-v1.5"
    BGE_M3: Final = "BAAI/bge-m3"
    E5_LARGE_MULTILINGUAL: Final = "intfloat/multilingual-e5-large"
    QWEN3_8B: Final = "Qwen/Qwen3-Embedding-8B"
