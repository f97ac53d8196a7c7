"""The same classes in this process: no network, no token."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage, ImageBlock
from llama_index.core.tools import FunctionTool

from llama_index_hfrouter import HFRouter, HFRouterEmbedding
from shared_core import RouterError
from tests.llama_index.test_messages import PNG

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset"),
]

DOCUMENTS = [
    Document(text="The observatory opens at nine in the evening. Entry is free."),
    Document(text="Bread is baked from flour, water, salt and yeast."),
]
QUESTION = "When does the observatory open?"


def test_the_model_needs_no_name() -> None:
    llm = HFRouter(local=True)
    assert llm.metadata.model_name == "local/extractive-reader"
    assert not llm.metadata.is_function_calling_model
    assert HFRouterEmbedding(local=True).model_name == "local/all-MiniLM-L6-v2"


@pytest.mark.rule("local")
async def test_a_query_engine_answers_with_a_sentence_of_the_documents() -> None:
    llm, embedding = HFRouter(local=True), HFRouterEmbedding(local=True)
    index = VectorStoreIndex.from_documents(DOCUMENTS, embed_model=embedding)
    options: dict[str, Any] = {"similarity_top_k": 1}
    engine = index.as_query_engine(llm=llm, **options)
    assert "nine in the evening" in str(engine.query(QUESTION))
    assert "nine in the evening" in str(await engine.aquery(QUESTION))
    streaming: Any = index.as_query_engine(llm=llm, streaming=True, **options)
    assert "nine in the evening" in "".join(streaming.query(QUESTION).response_gen)


def test_copies_answer_as_well() -> None:
    embedding = HFRouterEmbedding(local=True)
    vector = embedding.get_query_embedding("bread")
    for twin in (copy.deepcopy(embedding), pickle.loads(pickle.dumps(embedding))):
        assert asyncio.run(twin.aget_query_embedding("bread")) == pytest.approx(vector)


@pytest.mark.rule("local")
def test_what_it_cannot_do_is_refused() -> None:
    llm = HFRouter(local=True)
    with pytest.raises(RouterError):
        llm.chat([ChatMessage(role="user", blocks=[ImageBlock(image=PNG)])])
    with pytest.raises(RouterError):
        llm.chat_with_tools([FunctionTool.from_defaults(lambda x: x, name="f")], user_msg="x")
