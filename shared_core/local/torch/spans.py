"""The spans of tokens that answer a question best."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shared_core.local.torch.loading import library

LONGEST_ANSWER = 15
"""Tokens of an answer, when the call does not say: the parameter's default."""


def best_spans(starts: Any, ends: Any, longest: int) -> Iterator[tuple[int, int, float]]:
    """Yield the first and the last token of each span, with its score; the best first.

    Args:
        starts: For each token of the context, the probability that the answer begins there.
        ends: The same for its end.
        longest: Most tokens of an answer.
    """
    numpy = library("numpy")
    scores = numpy.outer(starts, ends)
    allowed = numpy.triu(numpy.tril(numpy.ones_like(scores), longest - 1))
    scores[allowed == 0] = -1.0
    for flat in numpy.argsort(-scores, axis=None, kind="stable"):
        first, last = divmod(int(flat), len(starts))
        if scores[first, last] < 0:
            return
        yield first, last, float(scores[first, last])
