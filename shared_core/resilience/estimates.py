"""How many tokens a call may need, guessed from what is to be sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared_core.wire.messages import WireRequest

CHARACTERS_PER_TOKEN = 3.0
"""For estimates: English has about 4 with usual tokenizers; fewer makes the guard careful."""
MEDIA_TOKENS = 1500
"""For estimates: tokens of one image or other attachment, a large one with usual models."""
ANSWER_TOKENS = 4096
"""For estimates: length of an answer to a call that sets no ``max_tokens``."""

_WITHOUT_ANSWER = ("embeddings", "sparse_embeddings", "token_embeddings")
"""Operations that are billed for their input only."""


def likely_tokens(request: WireRequest, answer_tokens: float) -> tuple[float, float]:
    """Return the likely tokens of prompt and answer, rather too many than too few.

    Args:
        request: What would be sent.
        answer_tokens: Length of an answer where the request sets no limit.
    """
    body = request.json if isinstance(request.json, Mapping) else {}
    put_in = _tokens(body) if body else len(request.content or b"") / CHARACTERS_PER_TOKEN
    if request.operation in _WITHOUT_ANSWER:
        return put_in, 0.0
    asked = _positive(body.get("max_tokens")) or _positive(body.get("max_completion_tokens"))
    count = _positive(body.get("n")) or 1.0
    return put_in, (asked or answer_tokens) * count


def _positive(value: Any) -> float | None:
    """Return a number above 0; None for anything else, e.g. the -1 that means "no limit"."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return float(value) if good and math.isfinite(value) else None


def _tokens(value: Any) -> float:
    """Return a careful guess at the tokens of a body."""
    if isinstance(value, str):
        if value.startswith("data:"):
            return MEDIA_TOKENS
        return len(value) / CHARACTERS_PER_TOKEN
    if isinstance(value, Mapping):
        if isinstance(value.get("image_url"), Mapping):
            return MEDIA_TOKENS
        if isinstance(value.get("input_audio"), Mapping):
            return MEDIA_TOKENS
        return sum(_tokens(item) for item in value.values()) + len(value)
    if isinstance(value, (list, tuple)):
        return sum(_tokens(item) for item in value)
    return 1.0
