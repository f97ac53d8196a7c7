"""Sparse vectors and token vectors of a TEI server, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from shared_core import Failover, FailoverEndpoint, Resilience
from shared_core.client import AsyncRouterClient, RouterClient
from shared_core.embeddings import SparseVector
from shared_core.embeddings.tei import SPARSE, TOKENS, address
from shared_core.errors import (
    APIResponseValidationError,
    APIStatusError,
    InvalidSettingError,
    UnsupportedTaskError,
)
from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply

pytestmark = pytest.mark.anyio

ENDPOINT = "https://a.endpoints.huggingface.cloud"
TEXTS = ["a", "bb", "ccc"]


def _texts(request: Received) -> list[str]:
    inputs = request.json()["inputs"]
    return [inputs] if isinstance(inputs, str) else inputs


def _too_many(count: int) -> Reply:
    message = f"batch size {count} > maximum allowed batch size 2"
    return json_reply({"error": message, "error_type": "Validation"}, 422)


def answer_sparse(request: Received) -> Reply:
    texts = _texts(request)
    if len(texts) > 2:
        return _too_many(len(texts))
    entries = [[{"index": len(t), "value": 0.5}, {"index": 900, "value": 2}] for t in texts]
    return json_reply(entries)


def answer_tokens(request: Received) -> Reply:
    texts = _texts(request)
    if len(texts) > 2:
        return _too_many(len(texts))
    return json_reply([[[float(at), 1.0] for at in range(len(text))] for text in texts])


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.on("/embed_sparse", answer_sparse)
        server.on("/embed_all", answer_tokens)
        yield server


def _client(server: FaultServer, path: str = "") -> RouterClient:
    return RouterClient("org/m", api_key="hf_test_token", base_url=server.url + path)


def test_sparse_vectors(server: FaultServer) -> None:
    with _client(server, "/embed") as client:
        found = client.embeddings.sparse(TEXTS)
        one = client.embeddings.sparse("bb", truncate=True, truncation_direction="left")
        assert client.embeddings.sparse([]) == []
    assert [vector.todict() for vector in found] == [{n: 0.5, 900: 2.0} for n in (1, 2, 3)]
    assert (found[0].indices.dtype, found[0].values.dtype) == (np.int64, np.float32)
    assert len(found[0]) == 2
    assert found[0].dot(found[1]) == 4.0
    assert one[0].todict() == found[1].todict()
    bodies = [request.json() for request in server.requests]
    assert (
        bodies
        == [
            {"inputs": TEXTS},
            {"inputs": TEXTS[:2]},  # the server named its limit
            {"inputs": TEXTS[2:]},
            {"inputs": "bb", "truncate": True, "truncation_direction": "Left"},
        ]
    )
    assert {request.path for request in server.requests} == {"/embed_sparse"}


def test_token_vectors(server: FaultServer) -> None:
    seen = []
    with _client(server, "/v1") as client:
        found = client.embeddings.tokens(
            TEXTS,
            batch_size=2,
            prompt_name="query",
            progress=lambda done, total: seen.append((done, total)),
        )
    assert [matrix.shape for matrix in found] == [(1, 2), (2, 2), (3, 2)]
    assert found[2].tolist() == [[0, 1], [1, 1], [2, 1]]
    assert found[0].dtype == np.float32
    assert seen == [(2, 3), (3, 3)]
    assert server.requests[0].json() == {"inputs": TEXTS[:2], "prompt_name": "query"}


async def test_async_equals_sync(server: FaultServer) -> None:
    with _client(server) as client:
        sparse, tokens = client.embeddings.sparse(TEXTS), client.embeddings.tokens(TEXTS)
    async with AsyncRouterClient(api_key="x", base_url=server.url) as other:
        same = await other.embeddings.sparse(TEXTS, concurrency=2, batch_size=1)
        matrices = await other.embeddings.tokens(TEXTS)
    assert [vector.todict() for vector in same] == [vector.todict() for vector in sparse]
    assert [matrix.tolist() for matrix in matrices] == [matrix.tolist() for matrix in tokens]


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://h", "http://h/embed_sparse"),
        ("http://h/embed_sparse?k=1", "http://h/embed_sparse?k=1"),
        ("http://h/embed_all", "http://h/embed_sparse"),
        ("http://h/tei/v1/", "http://h/tei/embed_sparse"),
        ("http://h/v1/embeddings", "http://h/embed_sparse"),
        ("http://h/v1/chat/completions", "http://h/embed_sparse"),
        (
            "https://a.endpoints.huggingface.cloud",
            "https://a.endpoints.huggingface.cloud/embed_sparse",
        ),
    ],
)
def test_it_is_beside_the_other_services(base_url: str, expected: str) -> None:
    assert address(base_url, SPARSE).url == expected
    assert address(base_url, TOKENS).url == expected.replace("embed_sparse", "embed_all")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"vectors": []}, "not a list with an entry per text"),
        ([[], []], "2 entries for 1 text"),
        ([[0.5]], "not a list of objects"),
        ([[{"index": 1.5, "value": 1}]], "indices"),
        ([[{"index": -1, "value": 1}]], "indices"),
        ([[{"index": 1, "value": 1}, {"index": 1, "value": 2}]], "indices"),
        ([[{"index": 1, "value": "x"}]], "not a number"),
        ([[{"index": 1}]], "not a number"),
        ([[{"index": 1, "value": 1e99}]], "infinite"),
    ],
)
def test_sparse_vectors_of_another_shape(server: FaultServer, value: Any, words: str) -> None:
    server.on("/embed_sparse", json_reply(value))
    with (
        _client(server) as client,
        pytest.raises(APIResponseValidationError, match=words) as caught,
    ):
        client.embeddings.sparse("a")
    assert caught.value.operation == "sparse_embeddings"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[0.5, 1.0]], "not a vector per token"),
        ([[[]]], "not a vector per token"),
        ([[[1.0], [1.0, 2.0]]], "different lengths"),
        ([[[1e99]]], "infinite"),
    ],
)
def test_token_vectors_of_another_shape(server: FaultServer, value: Any, words: str) -> None:
    server.on("/embed_all", json_reply(value))
    with (
        _client(server) as client,
        pytest.raises(APIResponseValidationError, match=words) as caught,
    ):
        client.embeddings.tokens("a")
    assert caught.value.operation == "token_embeddings"


def test_a_text_without_tokens_has_an_empty_sparse_vector(server: FaultServer) -> None:
    server.on("/embed_sparse", json_reply([[]]))
    with _client(server) as client:
        (empty,) = client.embeddings.sparse("")
    assert (len(empty), empty.todict()) == (0, {})
    assert empty.dot(SparseVector(np.array([1]), np.array([2], np.float32))) == 0.0


def test_what_arrived_is_kept_when_a_request_fails(server: FaultServer) -> None:
    ok = json_reply([[{"index": 1, "value": 1}]])
    server.script("/embed_sparse", ok, json_reply({"error": "x", "error_type": "Backend"}, 424))
    with _client(server) as client, pytest.raises(APIStatusError) as caught:
        client.embeddings.sparse(TEXTS, batch_size=1)
    assert caught.value.texts == (1, 2)
    assert caught.value.partial is not None
    assert caught.value.partial[0].todict() == {1: 1.0}


def test_nothing_is_sent_where_it_does_not_exist(server: FaultServer) -> None:
    with RouterClient(api_key="hf_x") as router:
        with pytest.raises(UnsupportedTaskError, match="text-embeddings-inference only"):
            router.embeddings.sparse(["a"])
    with _client(server) as client:
        with pytest.raises(InvalidSettingError, match="dimensions"):
            client.embeddings.tokens(["a"], dimensions=3)  # type: ignore[call-arg]
        with pytest.raises(InvalidSettingError, match="batch_size"):
            client.embeddings.sparse(["a"], batch_size=0)
        with pytest.raises(InvalidSettingError, match=r"texts\[0\]"):
            client.embeddings.sparse([1])  # type: ignore[list-item]
    assert server.requests == []


def test_failover_asks_the_same_route_elsewhere(server: FaultServer) -> None:
    with FaultServer() as broken:
        broken.on("/embed_sparse", json_reply({"error": "x"}, 503))
        others = [FailoverEndpoint(broken.url), FailoverEndpoint(server.url + "/v1", name="second")]
        resilience = Resilience(failover=Failover(others))
        with RouterClient(
            "org/m", base_url=broken.url, api_key="a", resilience=resilience
        ) as client:
            (found,) = client.embeddings.sparse("a")
        assert len(broken.requests) == 1
    assert found.todict() == {1: 0.5, 900: 2.0}
    assert server.requests[0].path == "/embed_sparse"
