"""Tasks on servers with real models: the answers must be right, not only well formed.

The server here is a small HTTP server around all-MiniLM-L6-v2 that validates as hf-inference and
TEI do; the other is llama.cpp. The models are those of the other real-server tests.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from shared_core import AsyncRouterClient, BadRequestError, LocalModels, RouterClient

pytestmark = pytest.mark.anyio

TEXTS = ["The stock market fell today.", "A feline sleeps on the sofa.", "I like to cook."]
QUERY = "Where is the cat?"
ENCODER = LocalModels().encoder


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            status, value = 200, self.answer(sent)
        except KeyError as missing:
            status, value = 400, {"error": [f"Error in `{missing.args[0]}`: field required"]}
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answer(self, sent: dict[str, Any]) -> Any:
        if self.path == "/rerank":
            scores = similarities(sent["query"], sent["texts"])
            found = [{"index": at, "score": score} for at, score in enumerate(scores)]
            return sorted(found, key=lambda item: -item["score"])
        if self.path.endswith("/pipeline/sentence-similarity"):
            return similarities(sent["inputs"]["source_sentence"], sent["inputs"]["sentences"])
        vectors = ENCODER().encode_texts([sent["inputs"]])
        return vectors.tolist()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def similarities(source: str, others: list[str]) -> list[float]:
    vectors = ENCODER().encode_texts([source, *others])
    return [float(score) for score in vectors[1:] @ vectors[0]]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_sentence_similarity_orders_pairs(url: str) -> None:
    with RouterClient(api_key="hf_t", base_url=url) as client:
        scores = client.tasks.sentence_similarity(QUERY, TEXTS, model="a/b")
    assert int(np.argmax(scores)) == 1
    assert scores[1] > scores[0] + 0.2
    async with AsyncRouterClient(api_key="hf_t", base_url=url) as other:
        again = await other.tasks.sentence_similarity(QUERY, TEXTS, model="a/b")
    assert again == pytest.approx(scores)


def test_ranking_orders_documents(url: str) -> None:
    with RouterClient(api_key="hf_t") as client:
        found = client.tasks.text_ranking(QUERY, TEXTS, model=url)
    assert TEXTS[found[0].index].startswith("A feline")
    assert [item.score for item in found] == sorted((i.score for i in found), reverse=True)


def test_features_are_those_of_the_model(url: str) -> None:
    with RouterClient(api_key="hf_t", base_url=url) as client:
        features = client.tasks.feature_extraction(QUERY, model="a/b")
    assert features.shape == (1, 384)
    assert np.allclose(features, ENCODER().encode_texts([QUERY]), atol=1e-6)


def test_what_the_server_validates(url: str) -> None:
    with RouterClient(api_key="hf_t", base_url=url) as client:
        with pytest.raises(BadRequestError, match="source_sentence"):
            client.tasks.call("sentence-similarity", {"sentences": ["a"]}, model="a/b")


def test_tasks_in_this_process() -> None:
    with RouterClient(local=True) as client:
        scores = client.tasks.sentence_similarity(QUERY, TEXTS)
        assert scores == pytest.approx(similarities(QUERY, TEXTS), abs=1e-6)
        features = client.tasks.feature_extraction(QUERY)
    assert np.allclose(features, ENCODER().encode_texts([QUERY]), atol=1e-6)


async def test_ranking_by_llama_cpp(llama_rerank_url: str) -> None:
    async with AsyncRouterClient(api_key="hf_t", base_url=llama_rerank_url) as client:
        found = await client.tasks.text_ranking(QUERY, TEXTS, return_text=True)
    assert sorted(item.index for item in found) == [0, 1, 2]
    for item in found:
        assert item.text in (None, TEXTS[item.index])
