"""What type checkers see of the public surface; checked by mypy --strict, never run.

``assert_type`` holds the inferred types. An ignored line that stopped being an error is one
itself (``warn_unused_ignores``), so the ignores here prove that mistakes are refused.
"""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from shared_core import (
    AsyncRouterClient,
    AsyncTextStream,
    ChatChunk,
    ChatCompletion,
    ChatMessage,
    Filling,
    Label,
    Media,
    RateLimitError,
    RouterClient,
    TextStream,
    ToolCall,
    Transcription,
    Usage,
)
from shared_core.chat.stream import AsyncChatStream, ChatStream
from shared_core.embeddings.types import EmbeddingResult
from shared_core.hub.types import RouterModel, WhoAmI


def blocking() -> None:
    with RouterClient("openai/gpt-oss-120b", provider="groq", timeout=30) as client:
        assert_type(client, RouterClient)
        answer = client.chat.create("Hello", temperature=0.5, max_tokens=10)
        assert_type(answer, ChatCompletion)
        assert_type(answer.text, str)
        assert_type(answer.usage, Usage | None)
        assert_type(answer.tool_calls, list[ToolCall])
        assert_type(answer.provider, str | None)
        with client.chat.stream([ChatMessage("user", "Hello")]) as stream:
            assert_type(stream, ChatStream)
            for chunk in stream:
                assert_type(chunk, ChatChunk)
            assert_type(stream.result(), ChatCompletion)
        vectors = client.embeddings.create(["a", "b"], batch_size=2)
        assert_type(vectors, EmbeddingResult)
        assert_type(vectors.vectors, NDArray[np.float32])
        assert_type(client.embeddings.embed_one("a"), NDArray[np.float32])
        assert_type(client.models.list(), list[RouterModel])
        assert_type(client.whoami(), WhoAmI)
        assert_type(client.with_options(model="x/y"), RouterClient)


async def asynchronous() -> None:
    async with AsyncRouterClient("openai/gpt-oss-120b") as client:
        assert_type(client, AsyncRouterClient)
        assert_type(await client.chat.create("Hello"), ChatCompletion)
        async with client.chat.stream("Hello") as stream:
            assert_type(stream, AsyncChatStream)
            async for chunk in stream:
                assert_type(chunk, ChatChunk)
        awaited = await client.chat.stream("Hello")
        assert_type(awaited, AsyncChatStream)
        assert_type(await awaited.result(), ChatCompletion)
        assert_type(await client.embeddings.create("a"), EmbeddingResult)
        assert_type(await client.models.list(), list[RouterModel])
        assert_type(await client.whoami(), WhoAmI)


def errors(error: RateLimitError) -> None:
    assert_type(error.retry_after, float | None)
    assert_type(error.status_code, int)
    assert_type(error.guidance, str)
    assert_type(error.request_id, str | None)


def mistakes(client: RouterClient) -> None:
    client.chat.create("Hello", temprature=1)  # type: ignore[call-arg]
    client.chat.create("Hello", temperature="hot")  # type: ignore[arg-type]
    client.chat.create(12)  # type: ignore[arg-type]
    client.embeddings.create("a", batchsize=1)  # type: ignore[call-arg]
    client.chat.stream("Hello").no_such_method()  # type: ignore[attr-defined]
    RouterClient(modle="x")  # type: ignore[call-arg]
    AsyncRouterClient(timeout=3, max_retries="1")  # type: ignore[arg-type]


def adapters() -> None:
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.llms.function_calling import FunctionCallingLLM

    from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
    from llama_index_hfrouter import HFRouter, HFRouterEmbedding

    model: BaseChatModel = ChatHFRouter(model="openai/gpt-oss-120b", temperature=0)
    assert_type(model.invoke("Hello"), AIMessage)
    embeddings: Embeddings = HFRouterEmbeddings(model="x/y")
    assert_type(embeddings.embed_query("a"), list[float])
    llm: FunctionCallingLLM = HFRouter(model="openai/gpt-oss-120b")
    assert_type(llm.complete("Hello").text, str)
    embedding: BaseEmbedding = HFRouterEmbedding(model="x/y")
    vector: Any = embedding.get_text_embedding("a")
    assert vector


def tasks() -> None:
    with RouterClient() as client:
        found = client.tasks.text_classification("x", top_k=2, model="a/b", timeout=5)
        assert_type(found, list[Label])
        image = client.tasks.text_to_image("x", width=64, provider="fal-ai")
        assert_type(image, Media)
        assert_type(client.tasks.text_generation_stream("x", seed=1), TextStream)
        assert_type(client.tasks.automatic_speech_recognition(b"x"), Transcription)
        assert_type(client.tasks.call("new", 1, result=list[Label]), list[Label])
        assert_type(client.tasks.call("new", {"a": 1}), Any)
        client.tasks.text_to_image("x", wdth=64)  # type: ignore[call-arg]
        client.tasks.text_to_image("x", width="64")  # type: ignore[arg-type]
        client.tasks.fill_mask("x", provider=4)  # type: ignore[arg-type]
        client.tasks.object_detection(7)  # type: ignore[arg-type]


async def awaited_tasks() -> None:
    async with AsyncRouterClient() as client:
        assert_type(await client.tasks.fill_mask("x", top_k=2), list[Filling])
        assert_type(await client.tasks.text_to_image("x"), Media)
        assert_type(await client.tasks.text_generation_stream("x"), AsyncTextStream)
        assert_type(await client.tasks.call("new", 1, result=Label), Label)
        await client.tasks.text_to_image("x", wdth=64)  # type: ignore[call-arg]
