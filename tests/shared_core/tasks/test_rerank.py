"""``client.tasks.rerank`` and ``text_ranking``: forms, batches, the fallback, refusals."""

from __future__ import annotations

from typing import Any

import pytest

import shared_core
from shared_core import AsyncRouterClient, RouterClient
from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply

pytestmark = pytest.mark.anyio
TEXTS = [f"text {n}" for n in range(7)]


def score(text: str) -> float:
    return int(text.rpartition(" ")[2]) / 10


def tei(request: Received) -> Reply:
    texts = request.json()["texts"]
    rows = [{"index": at, "score": score(text)} for at, text in enumerate(texts)]
    return json_reply(sorted(rows, key=lambda row: -row["score"]))


def cohere(request: Received) -> Reply:
    body = request.json()
    rows = [{"index": n, "relevance_score": score(t)} for n, t in enumerate(body["documents"])]
    if body.get("return_documents"):
        rows = [{**row, "document": {"text": body["documents"][row["index"]]}} for row in rows]
    return json_reply({"model": "m", "results": rows})


async def test_batches_are_one_list() -> None:
    with FaultServer() as server:
        server.on("/rerank", tei)
        client = RouterClient(base_url=server.url, api_key="t")
        found = client.tasks.rerank("q", TEXTS, batch_size=3, raw_scores=True)
        assert [(item.index, item.score) for item in found] == [
            (n, n / 10) for n in range(6, -1, -1)
        ]
        bodies = [request.json() for request in server.requests]
        assert [body["texts"] for body in bodies] == [TEXTS[:3], TEXTS[3:6], TEXTS[6:]]
        assert all(body["raw_scores"] is True and body["query"] == "q" for body in bodies)
        async with AsyncRouterClient(base_url=server.url, api_key="t") as other:
            again = await other.tasks.rerank("q", TEXTS, batch_size=2, concurrency=3, top_n=2)
        assert [item.index for item in again] == [6, 5]
        assert client.tasks.rerank("q", []) == []
        assert len(server.requests) == 7


def test_the_form_of_documents_is_spoken_at_v1_rerank() -> None:
    with FaultServer() as server:
        server.on("/v1/rerank", cohere)
        client = RouterClient("BAAI/m", base_url=f"{server.url}/v1/rerank", api_key="t")
        found = client.tasks.text_ranking("q", TEXTS[:2], return_text=True)
        assert [(item.index, item.score, item.text) for item in found] == [
            (1, 0.1, "text 1"),
            (0, 0.0, "text 0"),
        ]
        assert server.requests[0].json() == {
            "model": "BAAI/m",
            "query": "q",
            "documents": TEXTS[:2],
            "return_documents": True,
        }
        client.tasks.text_ranking("q", TEXTS[:1], model=f"{server.url}/v1/rerank")
        assert "model" not in server.requests[1].json()
        with pytest.raises(shared_core.InvalidSettingError, match="truncate"):
            client.tasks.text_ranking("q", TEXTS[:2], truncate=True)


@pytest.mark.parametrize(
    "answer",
    [
        [{"index": 2, "score": 1.0}],
        [{"index": 0, "score": 1.0}, {"index": 0, "score": 0.5}],
        [{"index": -1, "score": 1.0}],
        [{"index": 1, "score": 1.0}],
        [{"index": 0, "score": float("nan")}, {"index": 1, "score": 0.5}],
        [{"index": 0, "score": 0.5}, {"index": 1, "score": float("inf")}],
        {"results": "none"},
    ],
)
def test_wrong_answers_are_refused(answer: Any) -> None:
    with FaultServer() as server:
        server.on("/rerank", json_reply(answer))
        client = RouterClient(base_url=server.url, api_key="t")
        with pytest.raises(shared_core.APIResponseValidationError, match="text-ranking"):
            client.tasks.rerank("q", ["a", "b"])


def test_a_server_may_rank_fewer_texts_only_when_told_so() -> None:
    with FaultServer() as server:
        server.on("/v1/rerank", json_reply({"results": [{"index": 1, "relevance_score": 1.0}]}))
        client = RouterClient(base_url=f"{server.url}/v1/rerank", api_key="t")
        (best,) = client.tasks.rerank("q", ["a", "b"], extra_body={"top_n": 1})
        assert best.index == 1


def test_the_router_has_no_ranking_and_says_so_before_anything_is_sent() -> None:
    with pytest.raises(shared_core.UnsupportedTaskError):
        RouterClient("BAAI/m", api_key="t").tasks.rerank("q", ["a"])


@pytest.mark.parametrize(
    ("keywords", "name"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"top_n": 0}, "top_n"),
        ({"concurrency": 0}, "concurrency"),
        ({"method": "guess"}, "method"),
        ({"query": ""}, "query"),
        ({"texts": "one"}, "texts"),
        ({"method": "sentence-similarity", "raw_scores": True}, "raw_scores"),
    ],
)
def test_arguments_are_checked(keywords: dict[str, Any], name: str) -> None:
    client = RouterClient("a/b", api_key="t")
    with pytest.raises(shared_core.InvalidSettingError, match=name):
        client.tasks.rerank(**{"query": "q", "texts": ["a"], **keywords})


def test_similarity_on_request_only() -> None:
    path = "/hf-inference/models/org/m/pipeline/sentence-similarity"
    with FaultServer() as server:
        server.on(path, json_reply([0.2, 0.9]))
        client = RouterClient("org/m", base_url=server.url, api_key="t")
        found = client.tasks.rerank("q", ["a", "b"], method="sentence-similarity")
        assert [(item.index, item.score) for item in found] == [(1, 0.9), (0, 0.2)]
        with pytest.raises(shared_core.APIResponseValidationError, match="2 scores for 3"):
            client.tasks.rerank("q", ["a", "b", "c"], method="sentence-similarity")


def test_similarity_in_this_process() -> None:
    client = RouterClient(local=True)
    texts = ["Cats sleep a lot.", "Choose 'forgot password' to get a new one."]
    found = client.tasks.rerank("How do I reset my password?", texts, method="sentence-similarity")
    assert [item.index for item in found] == [1, 0]
    assert found[0].score > 0.5 > found[1].score
    same = client.tasks.sentence_similarity("A dog.", ["A dog.", "The stock market fell."])
    assert same[0] == pytest.approx(1, abs=1e-5)
    with pytest.raises(shared_core.APIStatusError, match="sentence"):
        client.tasks.call(
            "sentence-similarity", {"source_sentence": 1}, model="local/all-MiniLM-L6-v2"
        )


@pytest.mark.parametrize("path", ["", "/rerank", "/v1/rerank"])
def test_a_real_server(llama_rerank_url: str, path: str) -> None:
    client = RouterClient(base_url=llama_rerank_url + path, api_key="t")
    found = client.tasks.rerank("q", ["a", "b c", "d"], batch_size=2)
    assert sorted(item.index for item in found) == [0, 1, 2]
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
