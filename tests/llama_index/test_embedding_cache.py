"""The embeddings cache and the ingestion cache: hit when they should be, and no secret in a key."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from llama_index.core import Document
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from llama_index_hfrouter import HFRouterEmbedding
from tests.llama_index.conftest import Recorder
from tests.llama_index.stub_server import StubRouter, vector
from tests.llama_index.test_embedding import TEXTS, make
from tests.llama_index.test_events import CountingLimiter

pytestmark = pytest.mark.anyio


@pytest.mark.rule("queries-apart", "cache-keys")
async def test_queries_and_texts_do_not_collide_in_the_cache(stub: StubRouter) -> None:
    cache = SimpleKVStore()
    model = make(stub, query_instruction="q: ", embeddings_cache=cache)
    assert model.get_text_embedding("a") == vector("a")
    for _ in range(2):
        assert model.get_query_embedding("a") == vector("q: a")
        assert await model.aget_query_embedding("a") == vector("q: a")
        assert model.get_text_embedding("a") == vector("a")
    assert len(stub.bodies) == 2


@pytest.mark.rule("queries-apart")
async def test_queries_and_texts_share_the_cache_when_they_are_the_same(stub: StubRouter) -> None:
    model = make(stub, embeddings_cache=SimpleKVStore())
    model.get_text_embedding("a")
    model.get_query_embedding("a")
    await model.aget_query_embedding("a")
    assert len(stub.bodies) == 1


@pytest.mark.rule("queries-apart")
async def test_cached_queries_have_events_and_limiter_once(
    stub: StubRouter, recorder: Recorder
) -> None:
    limiter = CountingLimiter()
    model = make(
        stub, query_instruction="q: ", embeddings_cache=SimpleKVStore(), rate_limiter=limiter
    )
    model.get_query_embedding("a")
    await model.aget_query_embedding("b")
    model.get_query_embedding("a")
    names = Counter(recorder.names())
    assert names["EmbeddingStartEvent"] == names["EmbeddingEndEvent"] == 3
    assert limiter.asked == ["sync", "async"]


@pytest.mark.rule("embedding-events")
async def test_one_acquire_per_batch_with_and_without_cache(stub: StubRouter) -> None:
    for cache in (None, SimpleKVStore()):
        limiter = CountingLimiter()
        model = make(stub, rate_limiter=limiter, embeddings_cache=cache)
        model.get_text_embedding_batch(TEXTS)
        await model.aget_text_embedding_batch(TEXTS)
        assert limiter.asked == ["sync"] * 3 + ["async"] * 3


def key_of(model: HFRouterEmbedding) -> str:
    return get_transformation_hash([TextNode(text="a", id_="1")], model)


@pytest.mark.rule("ingestion-key")
def test_the_ingestion_key_is_stable_and_free_of_secrets() -> None:
    same: list[dict[str, Any]] = [
        {},
        {"api_key": "hf_one"},
        {"api_key": "hf_two"},
        {"timeout": 1.0, "max_retries": 3, "bill_to": "x"},
        {"connect_timeout": 1.0, "hub_url": "https://hub.example.org", "user_agent": "mine/1"},
        {"num_workers": 4, "max_concurrency": 2},
        {"default_headers": {"X-A": "b"}},
        {"embeddings_cache": SimpleKVStore()},
    ]
    assert len({key_of(HFRouterEmbedding("m", **options)) for options in same}) == 1
    other: list[dict[str, Any]] = [
        {},
        {"text_instruction": "p: "},
        {"normalize": True},
        {"dimensions": 2},
        {"provider": "together"},
    ]
    assert len({key_of(HFRouterEmbedding("m", **options)) for options in other}) == len(other)


@pytest.mark.rule("ingestion-key")
def test_the_ingestion_cache_is_hit_with_another_token(stub: StubRouter) -> None:
    documents = [Document(text=text, id_=text) for text in TEXTS[:3]]
    cache = IngestionCache()
    for key in ("hf_one", "hf_two"):
        pipeline = IngestionPipeline(transformations=[make(stub, api_key=key)], cache=cache)
        nodes = pipeline.run(documents=documents)
        assert [node.embedding for node in nodes] == [vector(text) for text in TEXTS[:3]]
    assert len(stub.bodies) == 1


@pytest.mark.rule("transformation")
async def test_it_is_a_transformation(stub: StubRouter) -> None:
    nodes = [TextNode(text="a"), TextNode(text="b")]
    assert [n.embedding for n in make(stub)(nodes)] == [vector("a"), vector("b")]
    assert [n.embedding for n in await make(stub).acall(nodes)] == [vector("a"), vector("b")]
