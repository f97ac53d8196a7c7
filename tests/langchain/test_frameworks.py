"""On real models: chains, agents, vector stores, retrievers, LangGraph. llama.cpp answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.documents import Document
from langchain_core.exceptions import ContextOverflowError, ModelAuthenticationError
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from pydantic import BaseModel

from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from tests.helpers.fault_server import json_reply
from tests.langchain.conformance.base import wire_call
from tests.langchain.script import added, call, event, model_of, serving, stream, whole
from tests.langchain.stub_server import StubServer

pytestmark = pytest.mark.anyio

TEXTS = [
    "Cats sleep for most of the day.",
    "The stock market fell sharply on Monday.",
    "To reset your password, open the account page.",
]


@pytest.fixture
def chat(llama_chat_url: str) -> ChatHFRouter:
    return ChatHFRouter(
        model="taught", base_url=f"{llama_chat_url}/v1", api_key="t", temperature=0, max_tokens=200
    )


@pytest.fixture
def embeddings(llama_embed_url: str) -> HFRouterEmbeddings:
    return HFRouterEmbeddings(model="minilm", base_url=f"{llama_embed_url}/v1", api_key="t")


# The taught model knows these by name, description and order.
def get_weather(city: str) -> str:
    """Current weather of a city"""
    assert city == "Paris"
    return '{"temp_c": 21}'


def get_time(city: str) -> str:
    """Local time of a city"""
    assert city == "Paris"
    return "12:30"


def schema(name: str, description: str) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


WEATHER = tool(args_schema=schema("get_weather", "")["function"]["parameters"])(get_weather)
TIME = tool(args_schema=schema("get_time", "")["function"]["parameters"])(get_time)


async def test_a_chain(chat: ChatHFRouter) -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "What is the capital of {country}?")])
    chain = prompt | chat | StrOutputParser()
    answer = "The capital of France is Paris."
    assert chain.invoke({"country": "France"}) == answer
    assert await chain.ainvoke({"country": "France"}) == answer
    assert "".join(chain.stream({"country": "France"})) == answer
    pieces = [piece async for piece in chain.astream({"country": "France"})]
    assert len(pieces) > 3
    assert "".join(pieces) == answer
    assert chain.batch([{"country": "France"}] * 3) == [answer] * 3


@pytest.mark.rule("usage-in-streams", "last-chunk")
def test_real_streams_have_usage_metadata_and_unicode(chat: ChatHFRouter) -> None:
    total = added(list(chat.stream("Write unicode.")))
    assert "世界 🌍🚀" in total.text
    assert "👩‍👩‍👧‍👦" in total.text
    assert total.usage_metadata is not None
    assert total.usage_metadata["output_tokens"] > 20
    assert total.response_metadata["finish_reason"] == "stop"
    assert total.chunk_position == "last"


@pytest.mark.rule("reasoning-blocks")
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_real_reasoning(chat: ChatHFRouter) -> None:
    message = chat.invoke("Think: is 7 prime?")
    total = added(list(chat.stream("Think: is 7 prime?")))
    events = chat.stream_events("Think: is 7 prime?", version="v3").output
    for answer in (message, total, events):
        kinds = [block["type"] for block in answer.content_blocks]
        assert kinds == ["reasoning", "text"]
        assert answer.text.strip() == "Yes, 7 is prime."


@pytest.mark.rule("parallel-calls")
@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_real_tool_calls(chat: ChatHFRouter, version: str) -> None:
    model = chat.model_copy(update={"output_version": version})
    bound = model.bind_tools([WEATHER, TIME])
    expected = [("get_weather", {"city": "Paris"}), ("get_time", {"city": "Paris"})]
    question = "Weather and time in Paris?"
    answers: list[AIMessage] = [
        bound.invoke(question),
        await bound.ainvoke(question),
        added(list(bound.stream(question))),
        added([chunk async for chunk in bound.astream(question)]),
    ]
    for answer in answers:
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == expected
        blocks = [block for block in answer.content_blocks if block["type"] == "tool_call"]
        assert [(block["name"], block["args"]) for block in blocks] == expected


@pytest.mark.rule("agents-call-tools")
async def test_an_agent_calls_two_tools_and_answers(chat: ChatHFRouter) -> None:
    agent = create_agent(chat, tools=[WEATHER, TIME])
    question: Any = {"messages": [("user", "Weather and time in Paris?")]}
    for state in (agent.invoke(question), await agent.ainvoke(question)):
        kinds = [message.type for message in state["messages"]]
        assert kinds == ["human", "ai", "tool", "tool", "ai"]
        assert state["messages"][-1].text == "It is 21 degrees and 12:30 in Paris."


@pytest.mark.rule("langgraph-messages")
async def test_an_agent_streams_its_messages(chat: ChatHFRouter) -> None:
    agent = create_agent(chat, tools=[WEATHER])
    question: Any = {"messages": [("user", "What is the weather in Paris?")]}
    pieces = [part async for part, _ in agent.astream(question, stream_mode="messages")]
    text = "".join(part.text for part in pieces if isinstance(part, AIMessageChunk))
    assert text.strip() == "It is 21 degrees in Paris."
    assert sum(isinstance(part, ToolMessage) for part in pieces) == 1
    assert len(pieces) > 5


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@pytest.mark.rule("agents-with-structure")
@pytest.mark.parametrize("kind", ["provider", "tool", "automatic"])
@pytest.mark.parametrize("profile", [None, {"structured_output": True}])
@pytest.mark.parametrize("with_tools", [False, True])
def test_an_agent_answers_with_a_structure(
    kind: str, profile: Any, with_tools: bool, stub: StubServer
) -> None:
    """Both strategies of ``create_agent``, with and without tools beside."""

    @tool
    def unrelated(x: int) -> int:
        """Do something else."""
        return x

    model = ChatHFRouter(model="a/b", base_url=stub.base_url, api_key="t", profile=profile)
    wanted: Any = {"provider": ProviderStrategy(Person), "tool": ToolStrategy(Person)}.get(
        kind, Person
    )
    agent = create_agent(model, tools=[unrelated] if with_tools else [], response_format=wanted)
    state = agent.invoke({"messages": [("user", "Make a person: 'Ada', 36")]})
    assert state["structured_response"] == Person(name="Ada", age=36)
    native = kind == "provider" or (kind == "automatic" and profile is not None)
    assert ("response_format" in stub.last) is native
    assert ("tools" in stub.last) is (with_tools or not native)


@pytest.mark.rule("middleware", "retryable")
def test_middleware_reads_our_errors_and_profiles() -> None:
    bad = json_reply({"error": {"message": "no", "code": 401}}, 401)
    with serving(bad, whole()) as server:
        agent = create_agent(
            model_of(server), middleware=[ModelRetryMiddleware(max_retries=2, initial_delay=0)]
        )
        with pytest.raises(ModelAuthenticationError):
            agent.invoke({"messages": [("user", "x")]})
        assert len(server.requests) == 1, "a wrong token is not worth a second try"
    slow = json_reply({"error": {"message": "slow", "code": 429}}, 429)
    with serving(slow, whole()) as server:
        agent = create_agent(
            model_of(server), middleware=[ModelRetryMiddleware(max_retries=2, initial_delay=0)]
        )
        assert agent.invoke({"messages": [("user", "x")]})["messages"][-1].text == "Hi."
    with serving(whole("Summary."), whole("Hi.")) as server:
        model = model_of(server, profile={"max_input_tokens": 100})
        summarise = SummarizationMiddleware(model, trigger=("fraction", 0.5), keep=("messages", 1))
        agent = create_agent(model, middleware=[summarise])
        long = [("user", "word " * 100), ("assistant", "yes " * 100), ("user", "and?")]
        agent.invoke({"messages": long})
        assert len(server.requests) == 2


def in_memory(embeddings: HFRouterEmbeddings) -> VectorStore:
    return InMemoryVectorStore.from_texts(TEXTS, embeddings)


def faiss(embeddings: HFRouterEmbeddings) -> VectorStore:
    import faiss as library
    from langchain_community.docstore.in_memory import InMemoryDocstore
    from langchain_community.vectorstores import FAISS

    index = library.IndexFlatL2(len(embeddings.embed_query("x")))
    store = FAISS(embeddings, index, InMemoryDocstore(), {})
    store.add_texts(TEXTS)
    return store


def qdrant(embeddings: HFRouterEmbeddings) -> VectorStore:
    from langchain_qdrant import QdrantVectorStore

    return QdrantVectorStore.from_texts(
        TEXTS, embeddings, location=":memory:", collection_name="texts"
    )


@pytest.mark.rule("vector-stores")
@pytest.mark.filterwarnings("ignore")  # of the stores' own code
@pytest.mark.parametrize("make", [in_memory, faiss, qdrant])
def test_vector_stores(
    make: Callable[[HFRouterEmbeddings], VectorStore], embeddings: HFRouterEmbeddings
) -> None:
    store = make(embeddings)
    for query, text in (
        ("What do felines do?", TEXTS[0]),
        ("What happened to shares?", TEXTS[1]),
        ("I forgot my credentials.", TEXTS[2]),
    ):
        (found,) = store.similarity_search(query, k=1)
        assert found.page_content == text
        (found,) = store.as_retriever(search_kwargs={"k": 1}).invoke(query)
        assert found.page_content == text


async def test_retrieval_with_sources_async(
    chat: ChatHFRouter, embeddings: HFRouterEmbeddings
) -> None:
    store = await InMemoryVectorStore.afrom_texts(TEXTS, embeddings)
    retriever = store.as_retriever(search_kwargs={"k": 1})

    def keep(documents: list[Document]) -> str:
        assert documents[0].page_content == TEXTS[0]
        return "France"

    prompt = ChatPromptTemplate.from_template("What is the capital of {country}?")
    chain: Any = {"country": retriever | keep, "q": RunnablePassthrough()} | prompt | chat
    assert (await chain.ainvoke("What do felines do?")).text == "The capital of France is Paris."


async def test_real_parallel_calls(chat: ChatHFRouter) -> None:
    answers = await asyncio.gather(*(chat.ainvoke("Say hello.") for _ in range(20)))
    assert {answer.text for answer in answers} == {"Hello! How can I help you today?"}


@pytest.mark.rule("context-overflow")
def test_context_overflow_of_a_real_server(chat: ChatHFRouter) -> None:
    with pytest.raises(ContextOverflowError):
        chat.invoke("word " * 20_000)


@pytest.mark.rule("langgraph-messages", "reasoning-is-sent-back")
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_event_streams_of_an_agent_and_reasoning_sent_back() -> None:
    first = [event({"content": "Let me see. "}), event({"reasoning": "hm"})]
    first += [
        event(call(0, "a", "get_weather", '{"city":')),
        event(call(0, None, None, '"Paris"}')),
    ]
    second = [event({"content": "It is "}), event({"content": "21."}), event({}, "stop")]
    with serving(stream(*first, event({}, "tool_calls")), stream(*second)) as server:
        agent = create_agent(model_of(server), tools=[WEATHER])
        run: Any = agent.stream_events({"messages": [("user", "x")]}, version="v3")
        messages = [message.output for message in run.messages]
        history = server.requests[1].json()["messages"]
    assert [message.text for message in messages] == ["Let me see. ", "It is 21."]
    assert messages[0].tool_calls[0]["args"] == {"city": "Paris"}
    assert [message["role"] for message in history] == ["user", "assistant", "tool"]
    assert history[1]["content"] == "Let me see. "
    assert history[1]["reasoning_content"] == "hm"


@pytest.mark.rule("agents-call-tools", "broken-calls-are-invalid")
@pytest.mark.parametrize("arguments", ['{"city": "Par', "Paris", '{"city": "Paris"] <broken off>'])
async def test_a_broken_call_in_the_history_is_no_end(chat: ChatHFRouter, arguments: str) -> None:
    """llama.cpp answers 500, and vLLM 400, to a history with arguments that are no JSON."""
    bad = {"name": "get_weather", "args": arguments, "id": "1", "error": "no JSON"}
    told = AIMessage("", invalid_tool_calls=[{"type": "invalid_tool_call", **bad}])
    history = ["What is the weather in Paris?", told, ToolMessage("Malformed.", tool_call_id="1")]
    for model in (chat, chat.model_copy(update={"use_responses_api": True})):
        bound = model.bind_tools([WEATHER])
        for answer in (bound.invoke(history), await bound.ainvoke(history)):
            assert answer.text or answer.tool_calls


async def test_an_agent_goes_on_after_a_broken_call() -> None:
    """One call of two is malformed: LangChain says so to the model, and asks it again."""
    calls = [wire_call("get_weather", '{"city": "Paris"}', "1"), wire_call("rm", '{"a": 1', "2")]
    with serving(whole(None, finish="tool_calls", tool_calls=calls), whole("Done.")) as server:
        agent = create_agent(model_of(server), [WEATHER])
        answer = await agent.ainvoke({"messages": [("user", "x")]})
        sent = server.requests[1].json()["messages"]
    assert answer["messages"][-1].text == "Done."
    assert [each["function"]["arguments"] for each in sent[1]["tool_calls"]] == [
        '{"city": "Paris"}',
        '{"malformed_arguments": "{\\"a\\": 1"}',
    ]
    # The oldest LangChain answers only the call that it has run.
    assert {each["tool_call_id"] for each in sent[2:]} >= {"1"}
