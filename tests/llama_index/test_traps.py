"""Traps of the framework, each routed around, and what the token must never get into."""

from __future__ import annotations

import asyncio
import logging
import pickle
from typing import Any

import httpx
import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate

from llama_index_hfrouter import HFRouter, HFRouterEmbedding
from shared_core import AuthenticationError, Callback, StreamCompleteEvent
from tests.helpers.fault_server import Received, Reply, json_reply
from tests.llama_index.stub_server import StubRouter, call, say
from tests.llama_index.test_structured import ADA, Person

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:The `__fields(_set)?__` attribute is deprecated"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_(computed_)?fields' attribute"),
    pytest.mark.filterwarnings("ignore:The `json` method is deprecated"),
    pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset"),
]

HELLO = [ChatMessage(role="user", content="Say hello.")]
SECRET = "hf_verysecret"


def make(stub: StubRouter, **options: Any) -> HFRouter:
    return HFRouter("org/model", base_url=stub.base_url, **options)


@pytest.mark.rule("list-of-calls")
async def test_cores_streaming_program_sees_the_calls(stub: StubRouter) -> None:
    # It looks for a list in additional_kwargs, not for blocks, and yields blanks without.
    stub.chat(call(("Person", {"name": "Ada", "age": 36})))
    program: Any = FunctionCallingProgram.from_defaults(
        output_cls=Person, llm=make(stub), prompt=PromptTemplate("x")
    )
    found = list(program.stream_call())
    assert found[-1] == Person(name="Ada", age=36)
    streamed = [item async for item in await program.astream_call()]
    assert streamed[-1] == found[-1]
    assert program() == found[-1]


@pytest.mark.rule("output-class")
async def test_a_query_engine_gives_objects(stub: StubRouter) -> None:
    stub.chat(call(("Person", {"name": "Ada", "age": 36})))
    embedding = HFRouterEmbedding("m", base_url=stub.base_url)
    index = VectorStoreIndex.from_documents([Document(text="Ada is 36.")], embed_model=embedding)
    engine = index.as_query_engine(llm=make(stub), output_cls=Person)
    for response in (engine.query("Who?"), await engine.aquery("Who?")):
        found: Any = response
        assert found.response == Person(name="Ada", age=36)


@pytest.mark.rule("as-structured-llm")
async def test_a_structured_llm_in_a_query_engine(stub: StubRouter) -> None:
    stub.chat(say(ADA))
    embedding = HFRouterEmbedding("m", base_url=stub.base_url)
    index = VectorStoreIndex.from_documents([Document(text="Ada is 36.")], embed_model=embedding)
    structured = make(stub, json_schema="on").as_structured_llm(Person)
    found: Any = index.as_query_engine(llm=structured).query("Who?")
    assert found.response == Person(name="Ada", age=36)


@pytest.mark.rule("agent-output-class")
async def test_an_agent_gives_an_object_at_the_end(stub: StubRouter) -> None:
    stub.chat(say("Ada is 36."), call(("Person", {"name": "Ada", "age": 36})))
    agent = FunctionAgent(name="a", tools=[], llm=make(stub), output_cls=Person)
    result = await AgentWorkflow(agents=[agent], output_cls=Person).run(user_msg="Who?")
    assert result.structured_response == {"name": "Ada", "age": 36}


@pytest.mark.rule("own-http-clients")
async def test_clients_of_the_users_own_are_used(stub: StubRouter) -> None:
    stub.chat(say("Hello."))
    seen: list[str] = []

    async def anote(request: httpx.Request) -> None:
        seen.append(f"async {request.url.path}")

    with httpx.Client(
        event_hooks={"request": [lambda request: seen.append(f"sync {request.url.path}")]}
    ) as mine:
        async with httpx.AsyncClient(event_hooks={"request": [anote]}) as amine:
            llm = make(stub, http_client=mine, http_async_client=amine)
            llm.chat(HELLO)
            list(llm.stream_chat(HELLO))
            await llm.achat(HELLO)
        embedding = HFRouterEmbedding("m", base_url=stub.base_url, http_client=mine)
        embedding.get_text_embedding("x")
    chat = "/v1/chat/completions"
    assert seen == [f"sync {chat}", f"sync {chat}", f"async {chat}", "sync /v1/embeddings"]


@pytest.mark.rule("client-callbacks")
async def test_callbacks_of_the_client_are_told(stub: StubRouter) -> None:
    class Log(Callback):
        def __init__(self) -> None:
            self.tokens: list[int] = []

        def on_stream_complete(self, event: StreamCompleteEvent) -> None:
            self.tokens.append(event.usage.total_tokens if event.usage else 0)

    stub.chat(say("Hello."))
    log = Log()
    llm = make(stub, callbacks=[log])
    list(llm.stream_chat(HELLO))
    async for _ in await llm.astream_chat(HELLO):
        pass
    assert log.tokens == [18, 18]


@pytest.mark.rule("no-secrets-in-errors")
def test_the_token_is_in_no_log_error_or_traceback(
    stub: StubRouter, caplog: pytest.LogCaptureFixture
) -> None:
    def echo(request: Received) -> Reply:
        said = request.headers["authorization"]
        return json_reply({"error": {"message": f"bad key {said}"}}, 401, {"x-echo": said})

    caplog.set_level(logging.DEBUG)
    stub.chat(echo)
    llm = make(stub, api_key=SECRET)
    for run in (
        lambda: llm.chat(HELLO),
        lambda: list(llm.stream_chat(HELLO)),
        lambda: asyncio.run(llm.achat(HELLO)),
    ):
        with pytest.raises(AuthenticationError) as caught:
            run()
        error = caught.value
        for text in (str(error), repr(error), str(error.body), str(error.headers)):
            assert SECRET not in text
        assert SECRET.encode() not in pickle.dumps(error)
    assert SECRET not in caplog.text


@pytest.mark.rule("no-prints")
async def test_nothing_is_printed(stub: StubRouter, capsys: pytest.CaptureFixture[str]) -> None:
    stub.chat(say("Hello."))
    llm = make(stub)
    llm.chat(HELLO)
    await llm.achat(HELLO)
    list(llm.stream_chat(HELLO))
    assert capsys.readouterr() == ("", "")
