"""Embeddings of the true all-MiniLM-L6-v2, served by llama.cpp."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from shared_core.client import AsyncRouterClient, RouterClient
from shared_core.embeddings.search import SemanticIndex
from shared_core.embeddings.similarity import cosine

pytestmark = pytest.mark.anyio

FACTS = [
    "The Eiffel Tower stands in Paris.",
    "Photosynthesis turns light into sugar.",
    "To reset your password, open the account settings.",
    "The central bank raised its interest rate.",
]


@pytest.fixture
def router(llama_embed_url: str) -> Any:
    with RouterClient(api_key="none", base_url=f"{llama_embed_url}/v1") as client:
        yield client


def test_meaning(router: RouterClient) -> None:
    result = router.embeddings.create(["cat", "feline", "stock market"])
    assert result.vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(result.vectors, axis=1), 1.0, atol=1e-5)
    close, far = cosine(result[0], result[1:])
    assert close > 0.5 > 0.3 > far
    assert result.usage is not None
    assert result.usage.prompt_tokens > 0


def test_base64_carries_the_same_vectors(router: RouterClient) -> None:
    texts = ["one", "deux", "три", "四", "🙂 five", ""]
    plain = router.embeddings.create(texts[:5])
    packed = router.embeddings.create(texts[:5], encoding_format="base64")
    assert np.allclose(plain.vectors, packed.vectors, atol=1e-6)


def test_batches_give_what_single_calls_give(router: RouterClient) -> None:
    texts = [f"{fact} {n}" for n in range(5) for fact in FACTS]
    batched = router.embeddings.create(texts, batch_size=8)
    for index in (0, 7, 8, 19):
        alone = router.embeddings.embed_one(texts[index])
        assert cosine(alone, batched[index]) > 0.9999


def test_search(router: RouterClient) -> None:
    index = SemanticIndex(router.embeddings)
    index.add(FACTS, [{"line": n} for n in range(4)])
    hits = index.search("I forgot my login credentials", k=2)
    assert hits[0].metadata == {"line": 2}
    assert hits[0].score > hits[1].score
    many = index.search_many(["Where is the Eiffel Tower?", "monetary policy"], k=1)
    assert [hits[0].id for hits in many] == ["0", "3"]


def test_search_in_two_event_loops(llama_embed_url: str) -> None:
    client = AsyncRouterClient(api_key="none", base_url=f"{llama_embed_url}/v1")
    index = SemanticIndex(client.embeddings)

    async def fill() -> None:
        await index.aadd(FACTS)

    async def ask() -> str:
        return (await index.asearch("How do plants make food?", 1))[0].text

    asyncio.run(fill())
    assert asyncio.run(ask()) == FACTS[1]


async def test_many_at_once(llama_embed_url: str) -> None:
    texts = [f"{FACTS[n % 4]} {n}" for n in range(40)]
    async with AsyncRouterClient(api_key="none", base_url=f"{llama_embed_url}/v1") as client:
        result = await client.embeddings.create(texts, batch_size=5, concurrency=4)
        again = await client.embeddings.create(texts, batch_size=5)
    assert np.allclose(result.vectors, again.vectors, atol=1e-5)
