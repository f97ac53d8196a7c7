"""What an embedding answer says."""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_core.embeddings import response, vectors
from shared_core.embeddings.types import EmbeddingUsage
from shared_core.errors import APIResponseValidationError, APIStatusError, IncompleteResponseError
from shared_core.wire.messages import Headers, WireRequest, WireResponse

REQUEST = WireRequest(url="http://host/embed", operation="embeddings", model="a/b")
READERS = ["fast", "plain"] if vectors._simdjson is not None else ["plain"]


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to read numbers: with pysimdjson, and as if it were not installed."""
    if request.param == "plain":
        monkeypatch.setattr(vectors, "_simdjson", None)
    return str(request.param)


def read(
    value: Any, count: int, pooling: str | None = None, headers: dict[str, str] | None = None
) -> response.Batch:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    answer = WireResponse(status=200, headers=Headers(headers or {}), content=content)
    return response.parse(answer, request=REQUEST, count=count, pooling=pooling)


def listed(rows: list[Any], order: list[int] | None = None, **more: Any) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": index, "embedding": rows[index]}
        for index in (order or range(len(rows)))
    ]
    return {"object": "list", "data": data, **more}


@pytest.mark.parametrize(
    ("value", "count", "rows"),
    [
        ([1, 2.5], 1, [[1, 2.5]]),
        ([[1, 2.5]], 1, [[1, 2.5]]),
        ([[1, 2], [3, 4], [5, 6]], 3, [[1, 2], [3, 4], [5, 6]]),
        ([[7]], 1, [[7]]),
        ([7], 1, [[7]]),
        (listed([[1, 2], [3, 4]]), 2, [[1, 2], [3, 4]]),
        (listed([[1, 2], [3, 4], [5, 6]], [2, 0, 1]), 3, [[1, 2], [3, 4], [5, 6]]),
    ],
)
def test_one_row_per_text(reader: str, value: Any, count: int, rows: list[list[float]]) -> None:
    matrix = read(value, count).matrix
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert matrix.tolist() == rows


TOKENS = [[1.0, 2.0], [3.0, 6.0]]
MEAN, CLS = [2.0, 4.0], [1.0, 2.0]


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (TOKENS, 1),
        ([TOKENS], 1),
        ([[TOKENS]], 1),
        ([TOKENS, [[5.0, 5.0]]], 2),
        ([[TOKENS], [[[5.0, 5.0]]]], 2),
        (listed([TOKENS, [[5.0, 5.0]]], [1, 0]), 2),
    ],
)
def test_token_vectors_are_pooled_only_when_asked(reader: str, value: Any, count: int) -> None:
    rest = [[5.0, 5.0]] * (count - 1)
    assert read(value, count, "mean").matrix.tolist() == [MEAN, *rest]
    assert read(value, count, "cls").matrix.tolist() == [CLS, *rest]
    with pytest.raises(APIResponseValidationError, match="one vector per token") as caught:
        read(value, count)
    assert "pooling='mean'" in str(caught.value)


def test_pooling_does_not_touch_sentence_vectors(reader: str) -> None:
    assert read([[1, 2], [3, 4]], 2, "mean").matrix.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("value", "count", "words"),
    [
        ([[1, 2]], 2, "1 vectors for 2 texts"),
        ([1, 2], 2, "2 vectors|not a vector"),
        ([], 1, "0 vectors for 1 text"),
        ([[1, 2], [3]], 2, "different lengths: 1 and 2"),
        ([[1, 2], []], 2, "different lengths: 0 and 2"),
        ([[], []], 2, "vectors are empty"),
        ([[1, None]], 1, "not a number"),
        ([[1, "2"]], 1, "not a number"),
        ([["1", "2"]], 1, "not a number|base64"),
        ([[1, {}]], 1, "not a number"),
        ([[1, [2]], [3, 4]], 2, "not a number|different lengths"),
        ([[1, [2]], [[3], 4]], 2, "not a number|vector|token"),
        ([[True, False]], 1, "not a number"),
        ([None, [1]], 2, "not a vector"),
        ([{"index": 0, "score": 1}], 1, "not a number"),
        ([[[[[1]]]]], 1, "not a vector"),
        ([[[]]], 1, "token"),
        (None, 1, "no vectors"),
        (3, 1, "no vectors"),
        ("text", 1, "no vectors"),
        ({}, 1, "without a list 'data'"),
        ({"data": None}, 1, "without a list 'data'"),
        ({"data": []}, 1, "0 vectors for 1 text"),
        ({"data": [{"embedding": [1]}]}, 1, "no index from 0 to 0"),
        ({"data": [{"index": True, "embedding": [1]}]}, 1, "no index from 0 to 0"),
        ({"data": [{"index": "0", "embedding": [1]}]}, 1, "no index from 0 to 0"),
        ({"data": [{"index": 1, "embedding": [1]}]}, 1, "no index from 0 to 0"),
        ({"data": [{"index": -1, "embedding": [1]}]}, 1, "no index from 0 to 0"),
        ({"data": [[1]]}, 1, "no index"),
        (listed([[1], [2]], [0, 0]), 2, "two embeddings have the index 0"),
        ({"data": [{"index": 0}]}, 1, "not a vector"),
        (b"", 1, "body is empty"),
        (b"  \n", 1, "body is empty"),
        (b"<html>login</html>", 1, "web page, not JSON"),
        (b"[[1,2],[3,4", 2, "JSON ends in the middle"),
        (b"[[1,2],[3,4]] x", 2, "not JSON"),
        (b"\xff\xfe", 1, "not JSON"),
        (b"[" * 200_000 + b"]" * 200_000, 1, "not JSON"),
        (b"[[1" + b"0" * 6000 + b"]]", 1, "not JSON|not a number|NaN or infinite"),
        (b"[[NaN, 1]]", 1, "text 0 of the request holds NaN"),
        (b"[[1, 2], [3, Infinity]]", 2, "text 1 of the request holds NaN"),
        (b"[[1, 2], [3, 1e39]]", 2, "text 1 of the request holds NaN"),
        (b"[[1, 1e400]]", 1, "NaN or infinite"),
        (listed(["AAAA"]), 1, "3 bytes is not a row of float32"),
        (listed(["*not base64*"]), 1, "not valid base64"),
        (listed([""]), 1, "vectors are empty"),
    ],
)
def test_what_is_no_answer_is_refused(reader: str, value: Any, count: int, words: str) -> None:
    with pytest.raises(APIResponseValidationError, match=words) as caught:
        read(value, count)
    assert caught.value.operation == "embeddings"
    assert caught.value.model == "a/b"
    assert len(str(caught.value)) <= 700


def test_the_refusal_carries_evidence(reader: str) -> None:
    headers = {"content-type": "text/html", "x-request-id": "r1"}
    with pytest.raises(APIResponseValidationError) as caught:
        read(b"<html>please log in</html>", 1, headers=headers)
    error = caught.value
    assert (error.status_code, error.content_type, error.request_id) == (200, "text/html", "r1")
    assert "please log in" in error.body


def test_a_cut_answer_may_be_asked_for_again(reader: str) -> None:
    whole = json.dumps(listed([[1.0, 2.0], [3.0, 4.0]])).encode()
    for end in range(1, len(whole) - 1):
        with pytest.raises(IncompleteResponseError) as caught:
            read(whole[:end], 2)
        assert caught.value.retryable
    assert read(b"\xef\xbb\xbf" + whole, 2).matrix.tolist() == [[1, 2], [3, 4]]


def test_the_old_error_object_of_vllm(reader: str) -> None:
    with pytest.raises(APIStatusError, match="no such model"):
        read({"object": "error", "message": "no such model", "code": 404}, 1)


def test_an_error_object_in_a_200_is_that_error(reader: str) -> None:
    with pytest.raises(APIStatusError, match="Model overloaded"):
        read({"error": "Model overloaded", "error_type": "overloaded"}, 1)


def test_base64_is_little_endian_float32(reader: str) -> None:
    rows = [[1.5, -2.0, 3.25e-5], [0.0, 1.0, -1e30]]
    texts = [base64.b64encode(struct.pack("<3f", *row)).decode() for row in rows]
    expected = np.array(rows, dtype=np.float32)
    assert np.array_equal(read(listed(texts, [1, 0]), 2).matrix, expected)
    assert np.array_equal(read(texts, 2).matrix, expected)
    assert np.array_equal(read(texts[:1], 1).matrix, expected[:1])


def test_facts_beside_the_vectors(reader: str) -> None:
    headers = {
        "x-request-id": "r-1",
        "x-amzn-trace-id": "t-1",
        "X-Inference-Provider": "scaleway",
        "x-compute-tokens": "99",
    }
    value = listed([[1.0]], model="served", usage={"prompt_tokens": 4, "total_tokens": 5})
    batch = read(value, 1, headers=headers)
    assert batch.model == "served"
    assert batch.usage == EmbeddingUsage(4, 5)
    assert batch.request_id == "r-1"
    assert batch.provider == "scaleway"
    assert batch.headers["x-compute-tokens"] == "99"


@pytest.mark.parametrize(
    ("usage", "headers", "expected"),
    [
        ({"prompt_tokens": -3, "total_tokens": 10**400}, {}, None),
        ({"prompt_tokens": 4, "total_tokens": 10**400}, {}, EmbeddingUsage(4, 4)),
        ({"prompt_tokens": 3}, {}, EmbeddingUsage(3, 3)),
        ({"total_tokens": 3}, {}, EmbeddingUsage(3, 3)),
        ({"prompt_tokens": None, "total_tokens": "x"}, {}, None),
        (None, {"x-compute-tokens": "12"}, EmbeddingUsage(12, 12)),
        (None, {"x-compute-tokens": "-1"}, None),
        (None, {"x-compute-tokens": ""}, None),
        ([], {}, None),
    ],
)
def test_usage(
    reader: str, usage: Any, headers: dict[str, str], expected: EmbeddingUsage | None
) -> None:
    assert read(listed([[1.0]], usage=usage), 1, headers=headers).usage == expected


def test_request_id_falls_back() -> None:
    assert read([[1]], 1, headers={"x-amz-cf-id": "c", "X-Amzn-Trace-Id": "t"}).request_id == "t"
    assert read([[1]], 1).request_id is None


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def matrices(draw: st.DrawFn) -> list[list[float]]:
    rows, width = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    return draw(
        st.lists(st.lists(finite, min_size=width, max_size=width), min_size=rows, max_size=rows)
    )


@settings(deadline=None)
@given(matrices(), st.randoms(use_true_random=False), st.sampled_from(["bare", "list", "base64"]))
def test_any_matrix_comes_back_exactly(rows: list[list[float]], rnd: Any, form: str) -> None:
    order = list(range(len(rows)))
    rnd.shuffle(order)
    value: Any = rows
    if form == "list":
        value = listed(rows, order)
    elif form == "base64":
        packed = [base64.b64encode(struct.pack(f"<{len(r)}f", *r)).decode() for r in rows]
        value = listed(packed, order)
    assert np.array_equal(read(value, len(rows)).matrix, np.array(rows, dtype=np.float32))


json_values = st.recursive(
    st.none() | st.booleans() | finite | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "index", "embedding", "error"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


def outcome(value: Any, count: int) -> Any:
    try:
        return read(value, count).matrix.tolist()
    except (APIResponseValidationError, APIStatusError) as exc:
        return type(exc), exc.message


@settings(deadline=None, max_examples=300)
@given(json_values | matrices(), st.integers(1, 3))
def test_any_json_gives_a_matrix_or_our_error(value: Any, count: int) -> None:
    """And the two ways to read agree on which."""
    found = outcome(value, count)
    if isinstance(found, list):
        assert len(found) == count
        assert all(math.isfinite(number) for row in found for number in row)
    kept, vectors._simdjson = vectors._simdjson, None
    try:
        assert outcome(value, count) == found
    finally:
        vectors._simdjson = kept


def test_without_the_fast_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simdjson", None)  # as if it were not installed
    assert vectors._load_simdjson() is None


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2, 3], [4]],
        {"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}]},
        {"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [2, 3]}]},
        {"data": [{"index": 0, "embedding": [1]}], "more": [1]},
        {"error": "x", "data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [2]}]},
    ],
)
def test_what_is_odd_is_left_to_the_plain_reader(value: Any) -> None:
    assert vectors.read_fast(json.dumps(value).encode(), 2) is None


def test_the_fast_reader_really_answers_for_ordinary_bodies() -> None:
    """Where its library is there; elsewhere it leaves everything to the plain reader."""
    there = vectors._simdjson is not None
    for value in ([[1.0, 2.0], [3.0, 4.0]], listed([[1.0], [2.0]], [1, 0])):
        assert (vectors.read_fast(json.dumps(value).encode(), 2) is not None) == there
    nested = json.dumps(listed([[1.0]], model="has [brackets]")).encode()
    assert vectors.read_fast(nested, 1) is None
    assert read(nested, 1).model == "has [brackets]"
