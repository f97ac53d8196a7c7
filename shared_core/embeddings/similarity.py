"""Similarity of vectors: cosine, dot product, Euclidean distance, and the best matches.

Each measure takes vectors or matrices on either side and answers in the obvious shape:

| left     | right    | answer   |
|----------|----------|----------|
| ``(d,)`` | ``(d,)`` | float    |
| ``(d,)`` | ``(n,d)``| ``(n,)`` |
| ``(n,d)``| ``(d,)`` | ``(n,)`` |
| ``(n,d)``| ``(m,d)``| ``(n,m)`` pairwise |

Input may be anything that ``numpy.asarray`` understands; work is done in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared_core.errors import InvalidSettingError

Floats: TypeAlias = NDArray[np.float32]
Metric = Literal["cosine", "dot", "euclidean"]

_BLOCK = 1024
"""Rows per step of the Euclidean distance: bounds its float64 copies to a few MB."""


class Match(NamedTuple):
    """One candidate: its position (from 0) and how similar it is (higher is more similar)."""

    position: int
    score: float


def normalize(vectors: ArrayLike) -> Floats:
    """Return the vector or the rows scaled to length 1; zero vectors stay zero.

    Args:
        vectors: ``(d,)`` or ``(n, d)``.
    """
    array = _as_array(vectors, "vectors")
    if array.size == 0:
        return array.copy()
    # Scaling by the largest component first keeps tiny and huge values inside float32.
    peak = np.abs(array).max(axis=-1, keepdims=True)
    scaled = np.divide(array, peak, out=np.zeros_like(array), where=peak > 0)
    length = np.sqrt(np.einsum("...i,...i->...", scaled, scaled))[..., None]
    unit: Floats = np.divide(scaled, length, out=scaled, where=length > 0)
    return unit


def cosine(left: ArrayLike, right: ArrayLike) -> Any:
    """Return cosine similarity, from -1 to 1; 0 where a vector is zero.

    Args:
        left: Vector or matrix.
        right: Vector or matrix with vectors of the same length.

    Raises:
        InvalidSettingError: The shapes do not fit; the message names both.
    """
    a, b = _pair(left, right)
    return _scalar(np.clip(normalize(a) @ normalize(b).T, -1.0, 1.0))


def dot(left: ArrayLike, right: ArrayLike) -> Any:
    """Return the dot product.

    Args:
        left: Vector or matrix.
        right: Vector or matrix with vectors of the same length.

    Raises:
        InvalidSettingError: The shapes do not fit; the message names both.
    """
    a, b = _pair(left, right)
    return _scalar(a @ b.T)


def euclidean(left: ArrayLike, right: ArrayLike) -> Any:
    """Return the Euclidean distance, 0 or more; smaller is more similar.

    Args:
        left: Vector or matrix.
        right: Vector or matrix with vectors of the same length.

    Raises:
        InvalidSettingError: The shapes do not fit; the message names both.
    """
    a, b = _pair(left, right)
    if a.ndim == 1:
        return _scalar(_distances(a, b))
    if b.ndim == 1:
        return _distances(b, a)
    result = np.empty((len(a), len(b)), dtype=np.float32)
    for row, vector in enumerate(a):
        result[row] = _distances(vector, b)
    return result


def _distances(vector: Floats, rows: Floats) -> Any:
    """Return distances by difference: exact for near vectors, where the dot trick is not."""
    if rows.ndim == 1:
        return np.float32(np.linalg.norm(vector.astype(np.float64) - rows))
    wide = vector.astype(np.float64)
    result = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        difference = rows[start : start + _BLOCK] - wide
        result[start : start + _BLOCK] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return result


def scores(query: ArrayLike, candidates: ArrayLike, metric: Metric = "cosine") -> Any:
    """Return how similar each candidate is; higher is more similar for every metric.

    Args:
        query: ``(d,)``, or ``(n, d)`` for several queries.
        candidates: ``(m, d)``.
        metric: ``"cosine"``, ``"dot"``, or ``"euclidean"`` (the negated distance).

    Returns:
        ``(m,)``, or ``(n, m)`` for several queries.

    Raises:
        InvalidSettingError: Unknown metric, or shapes that do not fit.
    """
    return _measure(metric)(query, candidates)


def top_k(values: ArrayLike, k: int) -> list[Match]:
    """Return the *k* highest values, best first; equal values in order of position.

    Args:
        values: One score per candidate. NaN counts as worst.
        k: How many at most, 1 or more.

    Raises:
        InvalidSettingError: *k* is not a whole number of at least 1, or *values* not a vector.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InvalidSettingError(f"k must be a whole number of at least 1: {k!r}", setting="k")
    array = np.asarray(values, dtype=np.float32)
    if array.ndim != 1:
        raise InvalidSettingError(f"scores must have shape (n,), not {array.shape}")
    ranked = np.where(np.isnan(array), np.float32(-np.inf), array)
    positions = np.arange(len(ranked))
    if k < len(ranked):
        # All that tie with the k-th stay in, so that position alone decides between them.
        limit = np.partition(ranked, len(ranked) - k)[len(ranked) - k]
        positions = np.flatnonzero(ranked >= limit)
    order = positions[np.argsort(-ranked[positions], kind="stable")][:k]
    return [Match(int(row), float(array[row])) for row in order]


def most_similar(
    query: ArrayLike, candidates: ArrayLike, k: int = 5, *, metric: Metric = "cosine"
) -> list[Match]:
    """Return the *k* candidates most similar to *query*, best first, ties by position.

    Args:
        query: ``(d,)``.
        candidates: ``(n, d)``; an empty list gives an empty answer.
        k: How many at most, 1 or more.
        metric: ``"cosine"``, ``"dot"``, or ``"euclidean"`` (score is the negated distance).

    Raises:
        InvalidSettingError: Shapes, *k* or *metric* do not fit.
    """
    wanted = _as_array(query, "query")
    if wanted.ndim != 1:
        raise InvalidSettingError(
            f"query must have shape (d,), not {wanted.shape}",
            guidance="Use most_similar_many for several queries.",
            setting="query",
        )
    return most_similar_many(wanted[None, :], candidates, k, metric=metric)[0]


def most_similar_many(
    queries: ArrayLike, candidates: ArrayLike, k: int = 5, *, metric: Metric = "cosine"
) -> list[list[Match]]:
    """Return the best *k* candidates for each of several queries, with one matrix product.

    Args:
        queries: ``(n, d)``.
        candidates: ``(m, d)``.
        k: How many at most per query, 1 or more.
        metric: As for :func:`most_similar`.

    Raises:
        InvalidSettingError: Shapes, *k* or *metric* do not fit.
    """
    measure = _measure(metric)
    wanted = _as_array(queries, "queries")
    known = _as_array(candidates, "candidates")
    for name, array in (("queries", wanted), ("candidates", known)):
        if array.ndim != 2 and array.size:
            raise InvalidSettingError(
                f"{name} must have shape (n, d), not {array.shape}", setting=name
            )
    top_k([], k)  # k is checked even where there is nothing to choose from
    if wanted.size == 0 or known.size == 0:
        return [[] for _ in range(len(wanted))]
    return [top_k(row, k) for row in measure(wanted, known)]


def _nearness(left: ArrayLike, right: ArrayLike) -> Any:
    return -euclidean(left, right)


_METRICS: dict[str, Callable[[ArrayLike, ArrayLike], Any]] = {
    "cosine": cosine,
    "dot": dot,
    "euclidean": _nearness,
}


def _measure(metric: str) -> Callable[[ArrayLike, ArrayLike], Any]:
    known = _METRICS.get(metric) if isinstance(metric, str) else None
    if known is None:
        raise InvalidSettingError(
            f"metric must be one of {', '.join(_METRICS)}: {metric!r}", setting="metric"
        )
    return known


def _as_array(value: ArrayLike, name: str) -> Floats:
    try:
        array = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        raise InvalidSettingError(
            f"{name} must be a vector or a matrix of numbers with rows of one length", setting=name
        ) from None
    if array.ndim not in (1, 2):
        raise InvalidSettingError(
            f"{name} must have shape (d,) or (n, d), not {array.shape}", setting=name
        )
    return array


def _pair(left: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    a, b = _as_array(left, "left"), _as_array(right, "right")
    if a.shape[-1] != b.shape[-1]:
        raise InvalidSettingError(
            f"vectors of different length cannot be compared: left has shape {a.shape}, right "
            f"has shape {b.shape}",
            guidance="Embed both sides with the same model and the same dimensions.",
        )
    return a, b


def _scalar(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value
