"""Embeddings in the wire's shapes: bare arrays and the OpenAI list."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from shared_core.embeddings.similarity import normalize as unit
from shared_core.local.background import within
from shared_core.local.call import LocalCall
from shared_core.local.embedder import prompt_named
from shared_core.local.models import MINILM, names_of

if TYPE_CHECKING:
    from shared_core.local.embedder import Direction
    from shared_core.local.erf import Floats

# Names under which the automatically found weights are known elsewhere.
_ALIASES = ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2")


def feature_extraction(call: LocalCall) -> list[list[float]]:
    """Answer ``/pipeline/feature-extraction`` and ``/embed``: one row per input."""
    vectors, _ = _embed(call, "inputs")
    return cast(list[list[float]], vectors.tolist())


def openai_embeddings(call: LocalCall) -> dict[str, Any]:
    """Answer ``/v1/embeddings``: floats, or base64 of little-endian float32."""
    vectors, count = _embed(call, "input")
    form = call.body().get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise call.bad("encoding_format must be float or base64.", "encoding_format")
    rows = (
        [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in vectors]
        if form == "base64"
        else vectors.tolist()
    )
    return {
        "object": "list",
        "model": call.models.embedding_model,
        "data": [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(rows)
        ],
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }


def sentence_similarity(call: LocalCall) -> list[float]:
    """Answer ``/pipeline/sentence-similarity``: one cosine per sentence."""
    inputs = call.body().get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {}
    source = inputs.get("source_sentence")
    if not isinstance(source, str):
        raise call.bad("inputs.source_sentence must be a text.", "inputs")
    sentences = call.texts(inputs.get("sentences"), "inputs.sentences")
    _check_model(call, {})
    encoder = call.encoder()
    vectors, _ = within(call, encoder.turn, lambda: encoder.embed([source, *sentences]))
    vectors = unit(vectors)
    return cast(list[float], (vectors[1:] @ vectors[0]).tolist())


def _embed(call: LocalCall, name: str) -> tuple[Floats, int]:
    body = call.body()
    _check_model(call, body)
    texts = call.texts(body.get(name), name)
    encoder = call.encoder()
    direction: Direction = "left" if _lower(body, "truncation_direction") == "left" else "right"
    embed = partial(
        encoder.embed,
        texts,
        prompt=prompt_named(encoder.prompts, body.get("prompt_name") or encoder.default_prompt),
        truncate=body.get("truncate") is not False,
        direction=direction,
    )
    vectors, count = within(call, encoder.turn, embed)
    dimensions = body.get("dimensions")
    if dimensions is not None:
        width = vectors.shape[1]
        if not isinstance(dimensions, int) or not 1 <= dimensions <= width:
            reason = f"dimensions must be from 1 to {width}: {dimensions!r}"
            raise call.bad(reason, "dimensions")
        vectors = vectors[:, :dimensions]
    wanted = body.get("normalize")
    if encoder.normalizes if wanted is None else wanted:
        vectors = unit(vectors)
    return vectors, count


def _check_model(call: LocalCall, body: Mapping[str, Any]) -> None:
    path = unquote(urlsplit(call.request.url).path)
    in_path = re.search(r"/models/(.+)/pipeline/", path)
    asked = body.get("model") or (in_path and in_path[1]) or call.request.model
    source = call.models.embeddings
    known = [MINILM, *_ALIASES] if source is None else names_of(source)
    if asked is not None and asked not in known:
        raise call.unknown_model(str(asked), known[:1])


def _lower(body: Mapping[str, Any], name: str) -> str:
    return str(body.get(name) or "").lower()
