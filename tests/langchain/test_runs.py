"""Models inside runs: alternatives, traces, event streams; and how bodies and schemas look."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents import middleware as middlewares
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.runnables import ConfigurableField
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel

from langchain_hfrouter import ChatHFRouter
from langchain_hfrouter._errors import RefusalError
from tests.helpers.fault_server import json_reply
from tests.langchain.script import TOOL, USAGE, added, call, event, model_of, serving, stream, whole
from tests.langchain.stub_server import StubServer

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]
NEWER = pytest.mark.skipif(
    not hasattr(middlewares, "ModelRefusalMiddleware"),
    reason="middleware: this langchain has none that knows refusals and shortens summaries",
)


class Person(BaseModel):
    """A person."""

    name: str
    age: int | None = None


@pytest.mark.rule("configurable")
async def test_alternatives_are_chosen_by_a_run() -> None:
    with serving(whole()) as server:
        which = ConfigurableField(id="which")
        model = model_of(server).configurable_alternatives(
            which, default_key="usual", other=model_of(server, model="other/m")
        )
        config: Any = {"configurable": {"which": "other"}}
        model.invoke("x", config=config)
        await model.ainvoke("x")
        list(model.stream("x", config=config))
        assert [r.json()["model"] for r in server.requests] == ["other/m", "org/m", "other/m"]


@pytest.mark.rule("middleware", "context-overflow")
@NEWER
def test_a_summary_that_overflows_is_made_smaller() -> None:
    """LangChain's middleware does so for its own error class alone."""
    too_long = {"error": {"message": "too long", "code": "context_length_exceeded"}}
    with serving(json_reply(too_long, 400), whole("Short."), whole("Hi.")) as server:
        model = model_of(server)
        summarise = SummarizationMiddleware(model, trigger=("messages", 3), keep=("messages", 1))
        agent = create_agent(model, middleware=[summarise])
        talk = [("user", "word " * 400), ("assistant", "yes " * 400), ("user", "and?")]
        assert agent.invoke({"messages": talk})["messages"][-1].text == "Hi."
        sizes = [len(request.body) for request in server.requests]
    assert len(sizes) == 3
    assert sizes[1] < sizes[0]


@pytest.mark.rule("refusals-are-blocks", "middleware")
@NEWER
async def test_langchain_knows_our_refusals() -> None:
    refused = stream(event({"refusal": "I "}), event({"refusal": "won't."}), event({}, "stop"))
    with serving(whole(None, refusal="I won't."), whole(None, refusal="I won't."), refused) as s:
        model = model_of(s)
        agent = create_agent(model, middleware=[middlewares.ModelRefusalMiddleware()])
        with pytest.raises(RefusalError, match="I won't"):
            agent.invoke({"messages": [("user", "x")]})
        with pytest.raises(RefusalError, match="I won't"):
            await (model | JsonOutputParser()).ainvoke("x")
        with pytest.raises(RefusalError, match="I won't"):
            JsonOutputParser().invoke(added(list(model.stream("x"))))


@pytest.mark.rule("deterministic-bodies")
async def test_the_same_call_makes_the_same_bytes() -> None:
    with serving(whole()) as server:
        for _ in range(2):
            model = model_of(server, temperature=0.5, extra_body={"b": 1, "a": {"d": 1, "c": 2}})
            bound = model.bind_tools([TOOL, Person], tool_choice="any")
            bound.invoke([HumanMessage("é")], stop=["x"])
            await bound.ainvoke([HumanMessage("é")], stop=["x"])
    assert len({request.body for request in server.requests}) == 1


@pytest.mark.rule("optional-fields")
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_fields_with_defaults_may_be_left_out(method: Any) -> None:
    text = '{"name": "Ada"}'
    function = {"name": "Person", "arguments": text}
    calls = [{"id": "1", "type": "function", "function": function}]
    with serving(whole(text, tool_calls=calls)) as server:
        chain = model_of(server).with_structured_output(Person, method=method)
        assert chain.invoke("x") == Person(name="Ada", age=None)


@pytest.mark.rule("format-for-traces")
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_traces_hear_of_method_and_schema(method: Any, stub: StubServer) -> None:
    heard: list[Any] = []

    class Trace(BaseCallbackHandler):
        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            heard.append(kwargs["options"]["ls_structured_output_format"])

    model = ChatHFRouter(model="a/b", base_url=stub.base_url, api_key="t")
    chain = model.with_structured_output(Person, method=method, include_raw=True)
    chain.invoke("x", config={"callbacks": [Trace()]})
    assert heard[0]["kwargs"]["method"] == method
    assert heard[0]["schema"] == convert_to_json_schema(Person)
    assert "ls_structured_output_format" not in json.dumps(stub.last)


PIECES = [
    event({"reasoning": "hm "}),
    event({"reasoning": "hm"}),
    event({"content": "Let me "}),
    event(call(0, "a", "add", '{"a":')),
    event(call(0, "b", "sub", "")),
    event(call(0, None, None, '{"b": 2}')),
    event(call(0, "a", None, " 1}")),
    event({"content": "see."}),
    event({}, "tool_calls"),
    event(None, usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 2}}),
]
CALLS = [("add", {"a": 1}), ("sub", {"b": 2})]


@pytest.mark.rule("v3-events", "interleaved-calls")
@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_blocks_of_events_start_and_finish_once(version: str) -> None:
    with serving(stream(*PIECES)) as server:
        model = model_of(server, output_version=version)
        events: list[Any] = list(model.stream_events("x", version="v3"))
        later = [e async for e in await model.astream_events("x", version="v3")]
    for found in (events, later):
        started = [e["index"] for e in found if e["event"] == "content-block-start"]
        finished = {e["index"]: e["content"] for e in found if e["event"] == "content-block-finish"}
        assert len(set(started)) == len(started) == 4
        assert set(started) == set(finished)
        kinds = [block["type"] for _, block in sorted(finished.items())]
        assert kinds == ["reasoning", "text", "tool_call", "tool_call"]
        assert found[0]["event"] == "message-start"
        assert found[-1]["event"] == "message-finish"
        assert found[-1]["usage"]["total_tokens"] == 9
        assert found[-1]["usage"]["input_token_details"] == {"cache_read": 2}


@pytest.mark.rule("v3-projections")
async def test_parts_of_an_event_stream_are_complete() -> None:
    with serving(stream(*PIECES)) as server:
        model = model_of(server)
        opened: Any = model.stream_events("x", version="v3")
        assert "".join(opened.text) == "Let me see."
        assert "".join(opened.reasoning) == "hm hm"
        assert [(c["name"], c["args"]) for c in opened.output.tool_calls] == CALLS
        awaited: Any = await model.astream_events("x", version="v3")
        assert await awaited.text == "Let me see."
        assert await awaited.reasoning == "hm hm"
        output = await awaited.output
    assert [(c["name"], c["args"]) for c in output.tool_calls] == CALLS
    assert output.usage_metadata["total_tokens"] == 9
    assert output.response_metadata["request_id"] == "req-7"


@pytest.mark.rule("tokens-are-told-once")
async def test_tokens_are_told_once_async_and_by_events() -> None:
    class Tokens(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[Any] = []

        def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            self.tokens.append(token)

    texts = [event({"content": "Hel"}), event({"content": "lo"}), event({}, "stop")]
    with serving(stream(*texts)) as server:
        model, plain, by_events = model_of(server), Tokens(), Tokens()
        async for _ in model.astream("x", config={"callbacks": [plain]}):
            pass
        list(model.stream_events("x", version="v3", config={"callbacks": [by_events]}))
        kinds = [e["event"] async for e in model.astream_events("x", version="v2")]
    assert plain.tokens == ["Hel", "lo", ""]
    assert by_events.tokens == []  # LangChain tells of events instead
    assert kinds.count("on_chat_model_stream") == 3


@pytest.mark.rule("v1-block-indexes", "text-beside-calls")
def test_blocks_of_v1_chunks_have_indexes_of_their_own() -> None:
    with serving(stream(*PIECES)) as server:
        chunks = list(model_of(server, output_version="v1").stream("x"))
    indexes: dict[str, set[str]] = {}
    for chunk in chunks:
        for block in chunk.content:
            assert isinstance(block, dict)
            indexes.setdefault(block["index"], set()).add(block["type"])
    assert sorted(map(sorted, indexes.values())) == [
        ["reasoning"],
        ["text"],
        ["tool_call_chunk"],
        ["tool_call_chunk"],
    ]
    assert all(index.startswith("lc_") for index in indexes)


@pytest.mark.rule("reasoning-is-sent-back")
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_reasoning_goes_back_whichever_way_it_came(version: str) -> None:
    function = {"name": "add", "arguments": '{"a": 1}'}
    reply = whole(
        None,
        finish="tool_calls",
        reasoning="hm",
        tool_calls=[{"id": "a", "type": "function", "function": function}],
    )
    pieces = stream(
        event({"reasoning": "hm"}), event(call(0, "a", "add", '{"a": 1}')), event({}, "tool_calls")
    )
    with serving(reply, pieces, pieces, whole()) as server:
        model = model_of(server, output_version=version)
        answers: list[Any] = [model.invoke("x"), added(list(model.stream("x")))]
        answers.append(model.stream_events("x", version="v3").output)
        for answer in answers:
            result = ToolMessage("2", tool_call_id=answer.tool_calls[0]["id"])
            model.invoke([HumanMessage("x"), answer, result])
            back = server.requests[-1].json()["messages"][1]
            assert back["reasoning_content"] == "hm"
            assert set(back) == {"role", "content", "tool_calls", "reasoning_content"}


@pytest.mark.rule("reasoning-is-kept")
@pytest.mark.parametrize("thought", ["hm", [{"type": "text", "text": "hm"}]])
def test_reasoning_among_the_parts_of_a_content_is_kept(thought: Any) -> None:
    parts: list[Any] = [{"type": "thinking", "thinking": thought}]
    text = {"type": "text", "text": "Yes"}
    pieces = [event({"content": parts}), event({"content": [text]}), event({}, "stop")]
    with serving(whole([*parts, text]), stream(*pieces)) as server:
        model = model_of(server)
        for message in (model.invoke("x"), added(list(model.stream("x")))):
            assert message.text == "Yes"
            assert message.additional_kwargs == {"reasoning_content": "hm"}
