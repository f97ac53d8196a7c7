"""Retrieval over real servers: true MiniLM vectors, llama.cpp's chat with the taught model.

The taught model answers known prompts only, so the prompts here hold the question alone;
that the context is passed on is tested against the strict stub.
"""

from __future__ import annotations

import copy
import gc
from typing import Any

import pytest
from llama_index.core import Document, Settings, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.prompts import PromptTemplate

from llama_index_hfrouter import HFRouter, HFRouterEmbedding
from tests.llama_index.stub_server import StubRouter, say

pytestmark = [
    pytest.mark.anyio,
    # Core imports langchain-community's models if it is installed.
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset"),
]

FACTS = {
    "france": "Paris is the capital city of France, on the river Seine.",
    "bread": "Bread is baked from flour, water, salt and yeast.",
    "router": "A router forwards packets between computer networks.",
    "cat": "The cat is a small domesticated carnivore that likes to sleep.",
    "prime": "A prime number has exactly two divisors: one and itself.",
}
DOCUMENTS = [Document(text=text, id_=name) for name, text in FACTS.items()]
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
PLAIN = PromptTemplate("{query_str}")


@pytest.fixture(scope="session")
def embedding(llama_embed_url: str) -> HFRouterEmbedding:
    return HFRouterEmbedding("minilm", base_url=f"{llama_embed_url}/v1", embed_batch_size=2)


@pytest.fixture(scope="session")
def llm(llama_chat_url: str) -> HFRouter:
    return HFRouter("taught", base_url=f"{llama_chat_url}/v1", temperature=0, max_tokens=300)


@pytest.fixture
def index(embedding: HFRouterEmbedding) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(DOCUMENTS, embed_model=embedding)


def best(nodes: list[Any]) -> str:
    return str(nodes[0].node.ref_doc_id)


@pytest.mark.rule("retrieval")
@pytest.mark.parametrize(
    ("query", "name"),
    [
        (QUESTION, "france"),
        ("How do I make a loaf?", "bread"),
        ("networking hardware", "router"),
        ("a sleepy pet", "cat"),
        ("number theory", "prime"),
    ],
)
async def test_retrieval_finds_the_right_document(
    query: str, name: str, index: VectorStoreIndex
) -> None:
    retriever = index.as_retriever(similarity_top_k=2)
    assert best(retriever.retrieve(query)) == name
    assert best(await retriever.aretrieve(query)) == name


# Core runs ``use_async`` in a loop that it closes without ending what lives in it.
@pytest.mark.rule("index-beyond-a-batch")
@pytest.mark.filterwarnings("ignore:unclosed (transport )?<:ResourceWarning")
async def test_an_index_is_built_in_every_way(embedding: HFRouterEmbedding) -> None:
    plain = VectorStoreIndex.from_documents(DOCUMENTS, embed_model=embedding)
    in_threads = VectorStoreIndex.from_documents(
        DOCUMENTS, embed_model=embedding.model_copy(update={"num_workers": 2})
    )
    asynchronous = VectorStoreIndex.from_documents(
        DOCUMENTS, embed_model=copy.deepcopy(embedding), use_async=True
    )
    scores = []
    for built in (plain, in_threads, asynchronous):
        found = built.as_retriever(similarity_top_k=5).retrieve(QUESTION)
        scores.append([(n.node.ref_doc_id, round(n.score or 0, 4)) for n in found])
    assert scores[0] == scores[1] == scores[2]
    assert scores[0][0][0] == "france"
    del built, asynchronous
    gc.collect()


@pytest.mark.rule("query-engine")
async def test_query_engine_plain_and_streaming(index: VectorStoreIndex, llm: HFRouter) -> None:
    options: dict[str, Any] = {"similarity_top_k": 2, "text_qa_template": PLAIN}
    engine = index.as_query_engine(llm=llm, **options)
    for response in (engine.query(QUESTION), await engine.aquery(QUESTION)):
        assert str(response) == ANSWER
        assert best(response.source_nodes) == "france"
    streaming: Any = index.as_query_engine(llm=llm, streaming=True, **options)
    assert "".join(streaming.query(QUESTION).response_gen) == ANSWER
    found = await streaming.aquery(QUESTION)
    assert "".join([text async for text in found.async_response_gen()]) == ANSWER


@pytest.mark.rule("chat-engines")
async def test_chat_engines(index: VectorStoreIndex, llm: HFRouter) -> None:
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    simple = index.as_chat_engine(llm=llm, chat_mode="simple", memory=memory)
    assert str(simple.chat("Say hello.")) == "Hello! How can I help you today?"
    simple.reset()
    assert str(await simple.achat("Say hello.")) == "Hello! How can I help you today?"
    simple.reset()
    assert "".join(simple.stream_chat("Hello").response_gen) == "Hello! How can I help you today?"
    simple.reset()
    streamed = await simple.astream_chat("Hello")
    texts = [text async for text in streamed.async_response_gen()]
    assert "".join(texts) == "Hello! How can I help you today?"


@pytest.mark.rule("chat-engines")
async def test_context_chat_engine_passes_the_right_context(
    embedding: HFRouterEmbedding, stub: StubRouter
) -> None:
    stub.chat(say("It is Paris."))
    llm = HFRouter("org/model", base_url=stub.base_url, system_prompt="Be brief.")
    index = VectorStoreIndex.from_documents(DOCUMENTS, embed_model=embedding)
    options: dict[str, Any] = {"llm": llm, "similarity_top_k": 1}
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    engine = index.as_chat_engine(chat_mode="context", memory=memory, **options)
    assert str(engine.chat(QUESTION)) == "It is Paris."
    sent = stub.last["messages"]
    assert sent[0] == {"role": "system", "content": "Be brief."}
    assert FACTS["france"] in str(sent[1:])
    assert FACTS["cat"] not in str(sent)
    assert sent[-1] == {"role": "user", "content": QUESTION}
    assert "".join(engine.stream_chat("And?").response_gen) == "It is Paris."
    assert [m["content"] for m in stub.last["messages"][2:]] == [QUESTION, "It is Paris.", "And?"]
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    condensed = index.as_chat_engine(chat_mode="condense_plus_context", memory=memory, **options)
    assert str(await condensed.achat(QUESTION)) == "It is Paris."


@pytest.mark.rule("response-synthesis")
@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "simple_summarize"])
async def test_response_modes(mode: Any, index: VectorStoreIndex, stub: StubRouter) -> None:
    stub.chat(say("It is Paris."))
    llm = HFRouter("org/model", base_url=stub.base_url)
    engine = index.as_query_engine(llm=llm, response_mode=mode, similarity_top_k=2)
    assert str(engine.query(QUESTION)) == "It is Paris."
    assert str(await engine.aquery(QUESTION)) == "It is Paris."
    assert FACTS["france"] in str(stub.bodies[0]["messages"])


@pytest.mark.rule("ingestion")
async def test_ingestion_pipeline(embedding: HFRouterEmbedding) -> None:
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0), embedding],
        cache=IngestionCache(),
    )
    nodes = pipeline.run(documents=DOCUMENTS)
    assert len(nodes) == len(FACTS)
    assert all(len(node.embedding or ()) == 384 for node in nodes)
    again = await pipeline.arun(documents=DOCUMENTS)
    assert [node.embedding for node in again] == [node.embedding for node in nodes]
    index = VectorStoreIndex(list(nodes), embed_model=embedding)
    assert best(index.as_retriever(similarity_top_k=1).retrieve("a loaf")) == "bread"


@pytest.mark.rule("persisted-index")
def test_an_index_survives_its_store(
    embedding: HFRouterEmbedding, index: VectorStoreIndex, tmp_path: Any
) -> None:
    from llama_index.core import load_index_from_storage

    index.storage_context.persist(str(tmp_path))
    restored: Any = load_index_from_storage(
        StorageContext.from_defaults(persist_dir=str(tmp_path)), embed_model=embedding
    )
    assert best(restored.as_retriever(similarity_top_k=1).retrieve("a sleepy pet")) == "cat"


@pytest.mark.rule("settings")
def test_global_settings_and_postprocessors(
    embedding: HFRouterEmbedding, llm: HFRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "_llm", None)
    monkeypatch.setattr(Settings, "_embed_model", None)
    Settings.llm, Settings.embed_model = llm, embedding
    engine = VectorStoreIndex.from_documents(DOCUMENTS).as_query_engine(
        similarity_top_k=5,
        text_qa_template=PLAIN,
        node_postprocessors=[SimilarityPostprocessor(similarity_cutoff=0.5)],
    )
    response = engine.query(QUESTION)
    assert str(response) == ANSWER
    assert [node.node.ref_doc_id for node in response.source_nodes] == ["france"]


async def test_the_real_server_streams_thinking_unicode_and_usage(llm: HFRouter) -> None:
    from llama_index.core.base.llms.types import ThinkingBlock
    from llama_index.core.callbacks.token_counting import get_tokens_from_response

    last = list(llm.stream_complete("Write unicode."))[-1]
    assert last.text.endswith("emoji: 👩‍👩‍👧‍👦.")
    assert min(get_tokens_from_response(last)) > 0
    whole = llm.chat(asked("Think: is 7 prime?"))
    assert whole.message.content == "Yes, 7 is prime."
    assert isinstance(whole.message.blocks[0], ThinkingBlock)
    stream = await llm.astream_chat(asked("Think: is 7 prime?"))
    found = [response async for response in stream]
    thought = "".join(r.additional_kwargs.get("thinking_delta", "") for r in found)
    assert thought.strip() == "7 has no divisor but 1 and 7."
    assert found[-1].message.content == "Yes, 7 is prime."


def asked(text: str) -> list[Any]:
    from llama_index.core.base.llms.types import ChatMessage

    return [ChatMessage(role="user", content=text)]
