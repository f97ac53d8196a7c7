"""Embeddings in the wire's shapes: bare arrays and the OpenAI list."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from shared_core.local.chat import bad_request, body_of, unknown_model
from shared_core.local.models import MINILM, LocalModels
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.local.bert import Direction, Encoder
    from shared_core.local.erf import Floats

# Names under which the automatically found weights are known elsewhere.
_ALIASES = ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2")


def feature_extraction(models: LocalModels, request: WireRequest) -> list[list[float]]:
    """Answer ``/pipeline/feature-extraction`` and ``/embed``: one row per input."""
    vectors, _ = _embed(models, request, "inputs")
    return cast(list[list[float]], vectors.tolist())


def openai_embeddings(models: LocalModels, request: WireRequest) -> dict[str, Any]:
    """Answer ``/v1/embeddings``: floats, or base64 of little-endian float32."""
    vectors, count = _embed(models, request, "input")
    form = body_of(request).get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise bad_request("encoding_format must be float or base64.", request, "encoding_format")
    rows = (
        [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in vectors]
        if form == "base64"
        else vectors.tolist()
    )
    return {
        "object": "list",
        "model": models.embedding_model,
        "data": [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(rows)
        ],
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }


def sentence_similarity(models: LocalModels, request: WireRequest) -> list[float]:
    """Answer ``/pipeline/sentence-similarity``: one cosine per sentence."""
    inputs = body_of(request).get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {}
    source = inputs.get("source_sentence")
    if not isinstance(source, str):
        raise bad_request("inputs.source_sentence must be a text.", request, "inputs")
    sentences = _texts(inputs.get("sentences"), "inputs.sentences", request)
    _check_model(models, request, {})
    encoder = models.encoder()
    vectors = encoder.encode(
        [encoder.tokens(text) for text in [source, *sentences]], normalize=True
    )
    return cast(list[float], (vectors[1:] @ vectors[0]).tolist())


def _embed(models: LocalModels, request: WireRequest, name: str) -> tuple[Floats, int]:
    body = body_of(request)
    _check_model(models, request, body)
    encoder = models.encoder()
    prompt = _prompt(encoder, body, request)
    truncate = body.get("truncate") is not False
    direction: Direction = "left" if _lower(body, "truncation_direction") == "left" else "right"
    inputs = [
        encoder.tokens(prompt + text, truncate=truncate, direction=direction)
        for text in _texts(body.get(name), name, request)
    ]
    dimensions = body.get("dimensions")
    normalize = body.get("normalize")
    if normalize is None:
        normalize = encoder.config.normalize
    vectors = encoder.encode(inputs, normalize=bool(normalize) and dimensions is None)
    if dimensions is not None:
        vectors = _shorten(vectors, dimensions, request, normalize=bool(normalize))
    return vectors, sum(map(len, inputs))


def _shorten(vectors: Floats, size: Any, request: WireRequest, *, normalize: bool) -> Floats:
    import numpy as np

    width = vectors.shape[1]
    if not isinstance(size, int) or not 1 <= size <= width:
        raise bad_request(f"dimensions must be from 1 to {width}: {size!r}", request, "dimensions")
    vectors = np.ascontiguousarray(vectors[:, :size])
    if normalize:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return vectors


def _check_model(models: LocalModels, request: WireRequest, body: Mapping[str, Any]) -> None:
    path = unquote(urlsplit(request.url).path)
    in_path = re.search(r"/models/(.+)/pipeline/", path)
    asked = body.get("model") or (in_path and in_path[1]) or request.model
    known = [models.embedding_model]
    if models.embedding_model == MINILM:
        known += _ALIASES
    if asked is not None and asked not in known:
        raise unknown_model(str(asked), known[:1], request)


def _prompt(encoder: Encoder, body: Mapping[str, Any], request: WireRequest) -> str:
    prompts = encoder.config.prompts
    name = body.get("prompt_name") or encoder.config.default_prompt
    if name is None:
        return ""
    if name not in prompts:
        known = ", ".join(sorted(prompts)) or "none"
        raise bad_request(
            f"The model has no prompt {name!r}; it has: {known}.", request, "prompt_name"
        )
    return prompts[name]


def _texts(value: Any, name: str, request: WireRequest) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise bad_request(f"{name} must be a text or a list of texts.", request, name)
    return texts


def _lower(body: Mapping[str, Any], name: str) -> str:
    return str(body.get(name) or "").lower()
