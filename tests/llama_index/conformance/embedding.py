"""Rules for an embedding class; see README.md.

The server speaks OpenAI's ``/v1/embeddings``, TEI's ``/v1/embed`` and, at
``/v1/feature-extraction``, hf-inference's form.
"""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.ingestion import IngestionCache, IngestionPipeline

from tests.helpers.fault_server import Received, Reply
from tests.llama_index.conformance.base import KEY, Conformance, Events, run
from tests.llama_index.stub_server import StubRouter, vector

TEXTS = [f"text {number}" for number in range(25)]
VECTORS = [vector(text) for text in TEXTS]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class EmbeddingConformance(Conformance):
    """Subclass and implement ``make``.

    Options: ``embed_batch_size``, ``num_workers`` and ``api_key``.
    """

    @pytest.mark.rule("embedding-calls")
    def test_calls_give_lists_of_floats(self, model: Any) -> None:
        """All calls give plain lists of floats."""
        found = [
            model.get_query_embedding("a"),
            model.get_text_embedding("a"),
            run(lambda: model.aget_query_embedding("a")),
            run(lambda: model.aget_text_embedding("a")),
        ]
        for one in found:
            assert one == pytest.approx(vector("a"))
            assert type(one) is list
            assert type(one[0]) is float

    @pytest.mark.rule("embedding-batches")
    def test_batches_are_one_request_each(self, stub: StubRouter) -> None:
        """A batch of texts is one request, in order."""
        model = self.make(stub.base_url, embed_batch_size=10)
        assert model.get_text_embedding_batch(TEXTS) == VECTORS
        assert len(stub.bodies) == 3
        assert run(lambda: model.aget_text_embedding_batch(TEXTS)) == VECTORS
        assert len(stub.bodies) == 6

    @pytest.mark.rule("verbatim")
    def test_texts_are_verbatim(self, model: Any, stub: StubRouter) -> None:
        """Texts are sent as they are, line feeds included."""
        model.get_text_embedding("  two\nlines ")
        sent = stub.last.get("input", stub.last.get("inputs"))
        assert sent in ("  two\nlines ", ["  two\nlines "])

    @pytest.mark.rule("bounded-async")
    def test_async_is_bounded(self, stub: StubRouter) -> None:
        """A large asynchronous job of 50 batches has at most 16 under way."""
        inner, lock, now, most = stub.checked_embed(), threading.Lock(), 0, 0
        crowd = threading.Event()  # never set: every request takes a while

        def counted(request: Received) -> Reply:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            crowd.wait(0.1)
            with lock:
                now -= 1
            return inner(request)

        stub.on_embed(counted)
        model = self.make(stub.base_url, embed_batch_size=1)
        run(lambda: model.aget_text_embedding_batch(TEXTS * 2))
        assert most <= 16

    @pytest.mark.rule("embedding-events")
    def test_events_once_per_batch(self, stub: StubRouter, events: Events) -> None:
        """One start and one end event per batch, with and without workers."""
        for workers in (None, 3):
            self.make(
                stub.base_url, embed_batch_size=10, num_workers=workers
            ).get_text_embedding_batch(TEXTS)
        assert events.count("EmbeddingStartEvent") == events.count("EmbeddingEndEvent") == 6

    @pytest.mark.rule("new-loops", "sync-in-a-loop")
    def test_new_loops_and_running_loops(self, model: Any) -> None:
        """Any number of loops, and sync calls inside one."""

        async def main() -> bool:
            again: list[float] = await model.aget_text_embedding("a")
            return bool(model.get_text_embedding("a") == again)

        assert all(run(main) for _ in range(3))

    @pytest.mark.rule("copies-after-use")
    def test_copies_after_use(self, model: Any) -> None:
        """Deep copies and pickles work after use."""
        expected = model.get_text_embedding("a")
        run(lambda: model.aget_text_embedding("a"))
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert twin.get_text_embedding("a") == expected

    @pytest.mark.rule("no-secrets-in-dumps")
    def test_no_secret_in_dumps(self, stub: StubRouter) -> None:
        """The key is in no dump."""
        model = self.make(stub.base_url, api_key=KEY)
        for dump in (model.to_dict(), repr(model), model.to_payload()):
            assert KEY not in str(dump)

    @pytest.mark.rule("ingestion-key")
    def test_the_ingestion_cache_ignores_the_key(self, stub: StubRouter) -> None:
        """Another token does not embed everything again."""
        documents = [Document(text=text, id_=text) for text in TEXTS[:3]]
        cache = IngestionCache()
        for key in (KEY, KEY + "2"):
            model = self.make(stub.base_url, api_key=key)
            IngestionPipeline(transformations=[model], cache=cache).run(documents=documents)
        assert len(stub.bodies) == 1

    @pytest.mark.rule("index-beyond-a-batch")
    def test_an_index_over_more_than_one_batch(self, stub: StubRouter) -> None:
        """A VectorStoreIndex is built and queried."""
        model = self.make(stub.base_url, embed_batch_size=2)
        documents = [Document(text=text, id_=text) for text in TEXTS[:7]]
        index = VectorStoreIndex.from_documents(documents, embed_model=model)
        (best,) = index.as_retriever(similarity_top_k=1).retrieve("text 4")
        assert best.node.ref_doc_id == "text 4"
