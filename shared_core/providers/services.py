"""Providers whose every task has the OpenAI form: nothing but paths (protocol reference, 7.2)."""

from __future__ import annotations

from shared_core.providers.base import Codec
from shared_core.providers.openai_like import (
    completions,
    embeddings,
    images,
    speech,
    transcriptions,
)

PROVIDERS: dict[str, dict[str, Codec]] = {
    "deepinfra": {
        "automatic-speech-recognition": transcriptions("/v1/openai/audio/transcriptions"),
        "feature-extraction": embeddings("/v1/openai/embeddings"),
        "text-generation": completions("/v1/openai/completions"),
        "text-to-speech": speech("/v1/openai/audio/speech"),
    },
    "featherless-ai": {"text-generation": completions("/v1/completions")},
    "nscale": {
        "text-to-image": images(
            "/v1/images/generations",
            response_format="b64_json",
            size="size",
            drop=("num_inference_steps", "guidance_scale"),
        )
    },
    "ovhcloud": {"text-generation": completions("/v1/completions")},
    "scaleway": {
        "feature-extraction": embeddings("/v1/embeddings"),
        "text-generation": completions("/v1/completions"),
    },
}
