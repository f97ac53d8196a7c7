"""Rules for embeddings."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply
from tests.langchain.conformance.base import KEY, run
from tests.langchain.stub_server import vector

MOST_TEXTS = 32
PATHS = ("/v1/embeddings", "/v1")


class EmbeddingServer(FaultServer):
    """OpenAI's form at ``/v1/embeddings``, hf-inference's at ``/v1``; 32 texts at most."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[list[str]] = []
        self.reversed = False
        for path in PATHS:
            self.on(path, self.embed)

    def embed(self, request: Received) -> Reply:
        body = request.json()
        given = body.get("input", body.get("inputs"))
        texts = [given] if isinstance(given, str) else given
        if len(texts) > MOST_TEXTS:
            return json_reply(
                {"error": f"batch size > maximum allowed batch size {MOST_TEXTS}"}, 413
            )
        self.texts.append(texts)
        vectors = [vector(text) for text in texts]
        if "inputs" in body:
            return json_reply(vectors)
        data = [
            {"object": "embedding", "index": at, "embedding": v} for at, v in enumerate(vectors)
        ]
        if self.reversed:
            data.reverse()
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return json_reply({"object": "list", "data": data, "model": "m", "usage": usage})


class EmbeddingConformance:
    """Subclass and implement ``make``."""

    def make(self, base_url: str, **options: Any) -> Any:
        """Return the embeddings under test."""
        raise NotImplementedError

    @pytest.fixture
    def server(self) -> Iterator[EmbeddingServer]:
        with EmbeddingServer() as server:
            yield server

    @pytest.fixture
    def embeddings(self, server: EmbeddingServer) -> Any:
        return self.make(f"{server.url}/v1")

    @pytest.mark.rule("vectors")
    def test_vectors_in_order(self, embeddings: Any) -> None:
        """Vectors are lists of floats in the order of the texts."""
        texts = ["a", "b", "c"]
        expected = [vector(text) for text in texts]
        assert embeddings.embed_documents(texts) == expected
        assert embeddings.embed_query("a") == expected[0]
        assert type(embeddings.embed_query("a")[0]) is float
        assert run(lambda: embeddings.aembed_documents(texts)) == expected

    @pytest.mark.rule("vectors")
    def test_the_index_counts(self, embeddings: Any, server: EmbeddingServer) -> None:
        """Vectors that a server sends in another order are put in that of the texts."""
        server.reversed = True
        assert embeddings.embed_documents(["a", "b"]) == [vector("a"), vector("b")]

    @pytest.mark.rule("batching")
    def test_no_texts_need_no_request(self, embeddings: Any, server: EmbeddingServer) -> None:
        """No texts are no vectors, without a request."""
        assert embeddings.embed_documents([]) == []
        assert server.requests == []

    @pytest.mark.rule("batching")
    def test_many_texts_go_in_batches(self, embeddings: Any) -> None:
        """More texts than a server takes at once are embedded, in order."""
        texts = [str(n) for n in range(70)]
        assert embeddings.embed_documents(texts) == [vector(text) for text in texts]
        assert run(lambda: embeddings.aembed_documents(texts)) == [vector(t) for t in texts]

    @pytest.mark.rule("texts-are-left-alone")
    def test_texts_are_left_alone(self, embeddings: Any, server: EmbeddingServer) -> None:
        """Texts are sent as they are, line feeds included."""
        embeddings.embed_documents(["a\nb  c"])
        embeddings.embed_query("a\nb")
        assert server.texts == [["a\nb  c"], ["a\nb"]]

    @pytest.mark.rule("bounded-concurrency")
    def test_several_event_loops(self, embeddings: Any) -> None:
        """One object serves one event loop after another, many calls at once."""

        async def many() -> list[list[float]]:
            return await asyncio.gather(*(embeddings.aembed_query("a") for _ in range(5)))

        for _ in range(3):
            assert run(many) == [vector("a")] * 5

    @pytest.mark.rule("copies-and-pickles", "secrets")
    def test_copies_after_use(self, server: EmbeddingServer) -> None:
        """Embeddings that were used can be copied and pickled, and tell no secret."""
        embeddings = self.make(f"{server.url}/v1", api_key=KEY)
        embeddings.embed_query("a")
        assert KEY not in repr(embeddings)
        for twin in (copy.deepcopy(embeddings), pickle.loads(pickle.dumps(embeddings))):
            assert twin.embed_query("a") == vector("a")

    @pytest.mark.rule("vector-stores")
    def test_a_vector_store(self, embeddings: Any) -> None:
        """A vector store finds a text again."""
        from langchain_core.vectorstores import InMemoryVectorStore

        store = InMemoryVectorStore.from_texts(["a", "b", "c"], embeddings)
        assert store.similarity_search("b", k=1)[0].page_content == "b"
