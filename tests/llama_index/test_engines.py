"""Chat engines, extractors, selectors and agents of core, in every colour, on the strict stub."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import Document, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.async_utils import asyncio_run
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.extractors import KeywordExtractor, SummaryExtractor, TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.program import LLMTextCompletionProgram
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from llama_index.core.selectors import PydanticSingleSelector

from llama_index_hfrouter import HFRouter, HFRouterEmbedding
from shared_core import RouterError
from tests.helpers.fault_server import json_reply
from tests.llama_index.stub_server import StubRouter, call, say, vector
from tests.llama_index.test_events import CountingLimiter
from tests.llama_index.test_llm import EIGHT, HELLO, make, result_of
from tests.llama_index.test_messages import PNG
from tests.llama_index.test_structured import ADA, PROMPT, Person, four_ways

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:The `__fields(_set)?__` attribute is deprecated"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_(computed_)?fields' attribute"),
    pytest.mark.filterwarnings("ignore:The `json` method is deprecated"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step"),
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset"),
    # Core closes loops of its own without ending what lives in them.
    pytest.mark.filterwarnings("ignore:unclosed (transport )?<:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect what core left unclosed while its warnings are still those of this test."""
    yield
    gc.collect()


def embedding(stub: StubRouter) -> HFRouterEmbedding:
    return HFRouterEmbedding("m", base_url=stub.base_url)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.rule("chat-engines")
@pytest.mark.parametrize(
    "mode", ["simple", "condense_question", "context", "condense_plus_context"]
)
async def test_chat_engines_talk_in_four_ways(mode: Any, stub: StubRouter) -> None:
    stub.chat(say("It is Paris."))
    documents = [Document(text="Paris is the capital.")]
    index = VectorStoreIndex.from_documents(documents, embed_model=embedding(stub))
    llm = make(stub)
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    engine = index.as_chat_engine(llm=llm, chat_mode=mode, memory=memory)
    assert str(engine.chat("Where?")) == "It is Paris."
    assert "".join(engine.stream_chat("And?").response_gen) == "It is Paris."
    assert str(await engine.achat("Where?")) == "It is Paris."
    streamed = await engine.astream_chat("And?")
    assert "".join([text async for text in streamed.async_response_gen()]) == "It is Paris."
    assert len(engine.chat_history) == 8


@pytest.mark.rule("extractors", "nested-async", "ingestion")
async def test_extractors_and_embedding_in_one_pipeline(stub: StubRouter) -> None:
    stub.chat(say("Some words"))
    llm = make(stub)
    pipeline = IngestionPipeline(
        transformations=[
            TokenTextSplitter(chunk_size=64, chunk_overlap=0),
            TitleExtractor(llm=llm, show_progress=False),
            KeywordExtractor(llm=llm, show_progress=False),
            SummaryExtractor(llm=llm, show_progress=False),
            embedding(stub),
        ],
        disable_cache=True,
    )
    documents = [Document(text="one two three " * 30)]
    for nodes in (
        pipeline.run(documents=documents),  # inside this loop
        await asyncio.to_thread(pipeline.run, documents=documents),
        await pipeline.arun(documents=documents),
    ):
        assert len(nodes) == 2
        assert nodes[0].metadata["document_title"] == "Some words"
        assert nodes[0].metadata["excerpt_keywords"] == "Some words"
        assert len(nodes[0].embedding or ()) == 8


@pytest.mark.rule("nested-async", "no-runtime-error")
async def test_cores_helper_runs_our_coroutines_inside_a_loop(stub: StubRouter) -> None:
    stub.chat(say("Hello."))
    llm = make(stub)
    assert asyncio_run(llm.achat(HELLO)).message.content == "Hello."
    stub.chat(json_reply({"error": {"message": "such a pity"}}, 400))
    with pytest.raises(RouterError, match="such a pity"):
        asyncio_run(llm.achat(HELLO))


@pytest.mark.rule("response-synthesis")
def test_a_summary_is_made_asynchronously_of_many_chunks(stub: StubRouter) -> None:
    stub.chat(say("Short."))
    index = SummaryIndex.from_documents([Document(text="one two three " * 300)])
    llm = make(stub, context_window=700, max_tokens=100)
    options: dict[str, Any] = {"response_mode": "tree_summarize", "use_async": True}
    assert str(index.as_query_engine(llm=llm, **options).query("What?")) == "Short."
    assert len(stub.bodies) > 1


@pytest.mark.rule("selectors")
async def test_selectors_choose_by_structured_answers(stub: StubRouter) -> None:
    stub.chat(call(("SingleSelection", {"index": 2, "reason": "r"})))
    selector = PydanticSingleSelector.from_defaults(llm=make(stub))
    assert selector.select(["a", "b"], "q").ind == 1
    assert (await selector.aselect(["a", "b"], "q")).ind == 1


@pytest.mark.rule("structured-without-tools")
async def test_cores_text_program_reads_our_answers(stub: StubRouter) -> None:
    stub.chat(say(ADA))
    program: Any = LLMTextCompletionProgram.from_defaults(
        output_cls=Person, llm=make(stub), prompt_template_str="Describe Ada."
    )
    assert program() == await program.acall() == Person(name="Ada", age=36)


# StructuredLLM of core has no stream_complete.
@pytest.mark.rule("as-structured-llm", "structured-images")
@pytest.mark.parametrize("json_schema", ["on", "off"])
async def test_a_structured_llm_sends_images(json_schema: str, stub: StubRouter) -> None:
    stub.chat(say(ADA))
    structured = make(stub, json_schema=json_schema).as_structured_llm(Person)
    blocks = [TextBlock(text="Who is {this}?"), ImageBlock(image=PNG)]
    asked = [ChatMessage(role="user", blocks=blocks)]
    found: list[Any] = [
        structured.chat(asked),
        await structured.achat(asked),
        list(structured.stream_chat(asked))[-1],
        [item async for item in await structured.astream_chat(asked)][-1],
        structured.complete("Who?"),
        await structured.acomplete("Who?"),
    ]
    assert [one.raw for one in found] == [Person(name="Ada", age=36)] * 6
    for body in stub.bodies[:4]:
        text, image = body["messages"][0]["content"]
        assert text == {"type": "text", "text": "Who is {this}?"}
        assert image["image_url"]["url"].startswith("data:image/png;base64,")


@pytest.mark.rule("limiter-once", "shared-limiter")
async def test_one_acquire_per_structured_answer_and_one_limiter_for_all(stub: StubRouter) -> None:
    stub.chat(say(ADA))
    for json_schema in ("on", "off"):
        counting = CountingLimiter()
        await four_ways(make(stub, json_schema=json_schema, rate_limiter=counting))
        assert counting.asked == ["sync", "async", "sync", "async"]
    limiter = TokenBucketRateLimiter(requests_per_minute=6_000)
    llm = make(stub, rate_limiter=limiter)
    model = HFRouterEmbedding("m", base_url=stub.base_url, rate_limiter=limiter)
    for name, run in EIGHT:
        await result_of(name, run, llm)
    assert model.get_text_embedding("a") == await model.aget_text_embedding("a") == vector("a")
    assert llm.structured_predict(Person, PROMPT, who="Ada").age == 36


@pytest.mark.rule("workflow-from-tools", "parallel-tools", "many-tool-steps")
@pytest.mark.parametrize("kind", ["agent", "workflow"])
@pytest.mark.parametrize("streaming", [True, False])
async def test_three_steps_with_parallel_calls(
    kind: str, streaming: bool, stub: StubRouter
) -> None:
    stub.chat(
        call(("add", {"a": 1, "b": 1}), ("add", {"a": 2, "b": 2}), ("add", {"a": 3, "b": 3})),
        call(("add", {"a": 4, "b": 4})),
        call(("add", {"a": 5, "b": 5}), ("add", {"a": 6, "b": 6})),
        say("Done."),
    )
    llm = make(stub)
    agent: Any = FunctionAgent(name="a", tools=[add], llm=llm, streaming=streaming)
    if kind == "workflow":
        agent = AgentWorkflow.from_tools_or_functions([add], llm=llm, system_prompt="Add.")
    handler = agent.run(user_msg="Add.")
    events = [event async for event in handler.stream_events()]
    assert str(await handler) == "Done."
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert sorted(int(r.tool_output.content) for r in results) == [2, 4, 6, 8, 10, 12]
    roles = [message["role"] for message in stub.last["messages"] if message["role"] != "system"]
    assert roles == ["user"] + ["assistant"] + ["tool"] * 3 + ["assistant", "tool"] + [
        "assistant",
        "tool",
        "tool",
    ]


@pytest.mark.rule("agents-need-the-flag")
async def test_a_model_without_tools_is_refused_by_function_agents(stub: StubRouter) -> None:
    llm = make(stub, is_function_calling_model=False)
    with pytest.raises(ValueError, match="FunctionCallingLLM"):
        await FunctionAgent(tools=[add], llm=llm).run(user_msg="x")
    assert not stub.requests


@pytest.mark.rule("client-stays-open")
def test_async_streams_leave_the_client_open(stub: StubRouter) -> None:
    stub.chat(say("Hello."))
    llm = HFRouter("org/m", base_url=stub.base_url)

    async def main() -> None:
        for name, run in EIGHT[4:]:
            await result_of(name, run, llm)
            await result_of(name, run, llm)

    asyncio.run(main())
    assert stub.accepted == 1
