"""Similarity of vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shared_core.embeddings.similarity import (
    Match,
    cosine,
    dot,
    euclidean,
    most_similar,
    most_similar_many,
    normalize,
    scores,
    top_k,
)
from shared_core.errors import InvalidSettingError

A = [[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]]


def test_shapes() -> None:
    for measure in (cosine, dot, euclidean):
        one = measure([1, 2], [3, 4])
        assert isinstance(one, float)
        assert measure([1, 2], A).shape == (3,)
        assert measure(A, [1, 2]).shape == (3,)
        assert measure(A, A[:2]).shape == (3, 2)
        assert measure(A, A[:2]).dtype == np.float32
        assert measure(np.empty((0, 2)), A).shape == (0, 3)


def test_values() -> None:
    assert cosine([1, 0], [1, 0]) == 1.0
    assert cosine([1, 0], [-2, 0]) == -1.0
    assert cosine([3, 4], [4, 3]) == pytest.approx(0.96)
    assert dot([1, 2], [3, 4]) == 11.0
    assert euclidean([0, 0], [3, 4]) == 5.0
    assert cosine(A, A)[2].tolist() == pytest.approx([0.6, 0.8, 1.0])
    assert euclidean(A, A).diagonal().tolist() == [0, 0, 0]


def test_zero_vectors_are_similar_to_nothing() -> None:
    assert cosine([0, 0], [1, 1]) == 0.0
    assert cosine([0, 0], [0, 0]) == 0.0
    assert normalize([[0, 0], [3, 4]]).tolist() == [
        [0, 0],
        [pytest.approx(0.6), pytest.approx(0.8)],
    ]


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e19, 1e38])
def test_tiny_and_huge_values_do_not_overflow(scale: float) -> None:
    assert cosine([scale, 0], [scale, scale]) == pytest.approx(math.sqrt(0.5), rel=1e-3)


def test_distances_of_near_vectors_are_exact() -> None:
    base = np.full(384, 100.0, dtype=np.float32)
    near = base.copy()
    near[0] += 0.001
    true = float(near[0]) - 100.0
    assert euclidean(base, near) == pytest.approx(true, rel=1e-5)
    assert euclidean([base], [near])[0, 0] == pytest.approx(true, rel=1e-5)


@pytest.mark.parametrize("measure", [cosine, dot, euclidean])
def test_vectors_of_different_length(measure: Any) -> None:
    with pytest.raises(
        InvalidSettingError, match=r"left has shape \(2,\), right has shape \(1, 3\)"
    ):
        measure([1, 2], [[1, 2, 3]])


@pytest.mark.parametrize("bad", [[[1, 2], [3]], ["a"], 5, [[[1]]], [None, {}]])
def test_what_is_no_vector(bad: Any) -> None:
    with pytest.raises(InvalidSettingError, match="left must"):
        dot(bad, [1])


def test_top_k_is_stable() -> None:
    assert top_k([1, 3, 3, 2, 3], 2) == [Match(1, 3.0), Match(2, 3.0)]
    assert top_k([1, 3], 9) == [Match(1, 3.0), Match(0, 1.0)]
    assert top_k([], 3) == []
    assert [m.position for m in top_k([math.nan, 1.0, -math.inf], 3)] == [1, 0, 2]


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "2", None])
def test_bad_k(k: Any) -> None:
    with pytest.raises(InvalidSettingError, match="k must be"):
        most_similar([1, 0], A, k)
    with pytest.raises(InvalidSettingError, match="k must be"):
        most_similar([1, 0], [], k)


def test_scores_must_be_a_row() -> None:
    with pytest.raises(InvalidSettingError, match=r"not \(1, 1\)"):
        top_k([[1.0]], 1)


def test_most_similar() -> None:
    found = most_similar([2, 0], A, 2)
    assert [match.position for match in found] == [0, 2]
    assert found[0].score == pytest.approx(1.0)
    position, score = found[1]
    assert (position, score) == (2, pytest.approx(0.6))
    assert [m.position for m in most_similar([0, 1], A, 3, metric="dot")] == [2, 1, 0]
    near = most_similar([0, 2], A, 1, metric="euclidean")
    assert near == [Match(1, 0.0)]
    assert most_similar([1, 2], []) == []
    assert most_similar_many([[1, 0], [0, 1]], A, 1) == [[Match(0, 1.0)], [Match(1, 1.0)]]


def test_several_queries_need_the_other_function() -> None:
    with pytest.raises(InvalidSettingError, match=r"query must have shape \(d,\)") as caught:
        most_similar([[1, 0]], A)
    assert "most_similar_many" in str(caught.value)


def test_a_list_of_vectors_is_not_one_vector() -> None:
    with pytest.raises(InvalidSettingError, match=r"queries must have shape \(n, d\), not \(2,\)"):
        most_similar_many([1, 0], A)
    with pytest.raises(InvalidSettingError, match=r"candidates must have shape \(n, d\)"):
        most_similar([1, 0], [1, 0])
    assert most_similar_many([], A) == []
    assert most_similar_many([[1, 0]], []) == [[]]


def test_unknown_metric() -> None:
    for call in (most_similar, scores):
        with pytest.raises(InvalidSettingError, match="metric must be one of cosine, dot, euclid"):
            call([1, 0], A, metric="manhattan")  # type: ignore[arg-type]
    assert scores([1, 0], A, "dot").tolist() == [1, 0, 3]
    assert scores([1, 0], A, "euclidean")[0] == 0.0


values = st.floats(-100, 100, width=32)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(3)), elements=values),
    hnp.arrays(np.float32, 3, elements=values),
    st.integers(1, 25),
)
def test_best_matches_are_those_of_a_plain_sort(known: Any, query: Any, k: int) -> None:
    for metric in ("cosine", "dot", "euclidean"):
        found = most_similar(query, known, k, metric=metric)  # type: ignore[arg-type]
        row = scores(query[None, :], known, metric)[0]  # type: ignore[arg-type]
        order = sorted(range(len(known)), key=lambda index: (-row[index], index))[:k]
        assert [match.position for match in found] == order


@settings(deadline=None)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=values))
def test_pairwise_equals_pair_by_pair(matrix: Any) -> None:
    for measure in (cosine, dot, euclidean):
        pairs = [[measure(a, b) for b in matrix] for a in matrix]
        assert np.allclose(measure(matrix, matrix), pairs, rtol=1e-4, atol=1e-2)
    assert (np.abs(cosine(matrix, matrix)) <= 1).all()


def test_large_distance_tables_are_computed_in_blocks() -> None:
    rng = np.random.default_rng(0)
    many = rng.standard_normal((3000, 8)).astype(np.float32)
    expected = np.linalg.norm(many.astype(np.float64) - many[5], axis=1)
    assert np.allclose(euclidean(many[5], many), expected, atol=1e-5)
