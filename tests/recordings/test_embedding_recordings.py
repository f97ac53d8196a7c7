"""Every recorded embedding and sentence similarity, asked for and read by our client.

The recorded body is served on loopback at the address that our client uses today; the texts are
those of the recorded request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from shared_core.client import RouterClient
from shared_core.errors import APIResponseValidationError
from tests.helpers.fault_server import FaultServer, reply
from tests.recordings.exchanges import ABSENT, FOLDER, Exchange
from tests.recordings.kinds import of_kind

TASKS = ("feature-extraction", "sentence-similarity")
FOUND = [each for each in of_kind("task answer") if any(task in each.url for task in TASKS)]
VECTORS = [each for each in FOUND if "feature-extraction" in each.url and each.sent]
SCORES = [each for each in FOUND if "sentence-similarity" in each.url]

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)


def named(found: list[Exchange]) -> Any:
    # Without recordings one skipped test stays, with the reason.
    return pytest.mark.parametrize(
        "exchange", found or [None], ids=[each.name for each in found] or ["absent"]
    )


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def serve(server: FaultServer, exchange: Exchange) -> None:
    kept = {"content-type": exchange.headers.get("content-type", "")}
    if "x-request-id" in exchange.headers:
        kept["x-request-id"] = exchange.headers["x-request-id"]
    server.on("*", reply(exchange.status, exchange.body, kept))


def test_some_were_found() -> None:
    assert len(VECTORS) >= 6
    assert len(SCORES) >= 3


@named(VECTORS)
def test_feature_extraction(server: FaultServer, exchange: Exchange) -> None:
    serve(server, exchange)
    texts = exchange.sent["inputs"]
    value = json.loads(exchange.body)
    count = 1 if isinstance(texts, str) else len(texts)
    with RouterClient(api_key="hf_test_token", base_url=server.url) as client:
        if not isinstance(value[0], list):  # a model that pools itself
            result = client.embeddings.create(texts, model="a/b")
            assert np.allclose(result.vectors, [value])
        else:
            with pytest.raises(APIResponseValidationError, match="one vector per token") as caught:
                client.embeddings.create(texts, model="a/b")
            assert caught.value.request_id == exchange.headers.get("x-request-id")
            result = client.embeddings.create(texts, model="a/b", pooling="mean")
            tokens = [each[0] for each in value] if isinstance(texts, list) else value
            expected = [np.mean(rows, axis=0) for rows in tokens]
            assert np.allclose(result.vectors, expected, atol=1e-6)
            first = client.embeddings.create(texts, model="a/b", pooling="cls")
            assert np.allclose(first.vectors, [rows[0] for rows in tokens])
    assert result.vectors.shape == (count, result.dimensions)
    assert result.dimensions in (384, 768)
    assert server.requests[0].json() == {"inputs": texts}


@named(SCORES)
def test_sentence_similarity(server: FaultServer, exchange: Exchange) -> None:
    serve(server, exchange)
    sent = exchange.sent or {}
    inputs = sent.get("inputs") or sent
    source = inputs.get("source_sentence", "a")
    sentences = inputs.get("sentences", ["b", "c", "d"])
    with RouterClient(api_key="hf_test_token", base_url=server.url) as client:
        scores = client.embeddings.similarity(source, sentences, model="a/b")
    assert np.allclose(scores, json.loads(exchange.body))
    assert server.requests[0].path.endswith("/a/b/pipeline/sentence-similarity")
    assert server.requests[0].json() == {
        "inputs": {"source_sentence": source, "sentences": sentences}
    }
