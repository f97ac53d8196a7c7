"""structured_predict and its relatives, by native JSON schema and by tools."""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

from llama_index_hfrouter import HFRouter
from shared_core import StructuredOutputError
from tests.llama_index.conftest import Recorder
from tests.llama_index.stub_server import NAME, StubRouter, call, say

pytestmark = pytest.mark.anyio


class Person(BaseModel):
    """A person."""

    name: str
    age: int


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    """A box."""

    content: T


ADA = '{"name": "Ada", "age": 36}'
PROMPT = PromptTemplate("Describe {who}.")
BY_SCHEMA = say(["{", '"name": "A', 'da", "age"', ": 3", "6}"])
BY_TOOL = call(("Person", {"name": "Ada", "age": 36}))
WAYS = [("on", BY_SCHEMA), ("off", BY_TOOL)]


def make(stub: StubRouter, **options: Any) -> HFRouter:
    return HFRouter("org/model", base_url=stub.base_url, **options)


async def four_ways(llm: HFRouter, output_cls: Any = Person, **options: Any) -> list[Any]:
    asked = (output_cls, PROMPT)
    found: list[Any] = [llm.structured_predict(*asked, who="Ada", **options)]
    found.append(await llm.astructured_predict(*asked, who="Ada", **options))
    found.append(list(llm.stream_structured_predict(*asked, who="Ada", **options)))
    stream = await llm.astream_structured_predict(*asked, who="Ada", **options)
    found.append([item async for item in stream])
    return found


@pytest.mark.rule(
    "structured-four-ways",
    "structured-system-prompt",
    "structured-partial",
    "schema-sent",
    "async-system-prompt",
)
@pytest.mark.parametrize(("json_schema", "answer"), WAYS)
async def test_sync_async_and_streams_keep_the_system_prompt(
    json_schema: str, answer: Any, stub: StubRouter
) -> None:
    stub.chat(answer)
    llm = make(stub, json_schema=json_schema, system_prompt="Be exact.")
    whole, awhole, streamed, astreamed = await four_ways(llm)
    ada = Person(name="Ada", age=36)
    assert (whole, awhole, streamed[-1], astreamed[-1]) == (ada, ada, ada, ada)
    assert len(streamed) > 1
    assert getattr(streamed[0], "age", None) is None
    assert len(stub.bodies) == 4
    for body in stub.bodies:
        assert body["messages"] == [
            {"role": "system", "content": "Be exact."},
            {"role": "user", "content": "Describe Ada."},
        ]
        if json_schema == "on":
            form = body["response_format"]
            assert form["json_schema"]["name"] == "Person"
            assert form["json_schema"]["schema"]["required"] == ["name", "age"]
            assert "tools" not in body
        else:
            assert body["tools"][0]["function"]["name"] == "Person"
            assert body["tool_choice"] == "required"


@pytest.mark.rule("llm-kwargs")
@pytest.mark.parametrize(("json_schema", "answer"), WAYS)
async def test_llm_kwargs_are_passed_and_not_changed(
    json_schema: str, answer: Any, stub: StubRouter
) -> None:
    stub.chat(answer)
    llm_kwargs = {"seed": 7, "tool_choice": "auto", "tool_required": False}
    before = dict(llm_kwargs)
    await four_ways(make(stub, json_schema=json_schema), llm_kwargs=llm_kwargs)
    assert llm_kwargs == before
    assert [body["seed"] for body in stub.bodies] == [7] * 4


@pytest.mark.rule("structured-events")
@pytest.mark.parametrize(("json_schema", "answer"), WAYS)
async def test_events_once_per_call(
    json_schema: str, answer: Any, stub: StubRouter, recorder: Recorder
) -> None:
    stub.chat(answer)
    await four_ways(make(stub, json_schema=json_schema))
    names = recorder.names()
    for event in ("LLMStructuredPredictStartEvent", "LLMStructuredPredictEndEvent"):
        assert names.count(event) == 4
    assert names.count("LLMChatStartEvent") == names.count("LLMChatEndEvent") == 4
    assert names.count("LLMStructuredPredictInProgressEvent") >= 4


@pytest.mark.rule("fences-and-think")
@pytest.mark.parametrize(
    "text",
    [
        ADA,
        f"```json\n{ADA}\n```",
        f"```\n{ADA}\n```\n",
        f"<think>Ada was 36</think>\n\n{ADA}",
        f"<think>hm</think>```json\n{ADA}\n```",
        f"Here you are:\n```json\n{ADA}\n```\nAnything else?",
        f"Sure! {ADA} That is all.",
    ],
)
@pytest.mark.parametrize("split_think", [True, False])
async def test_fences_and_think_are_tolerated(
    text: str, split_think: bool, stub: StubRouter
) -> None:
    stub.chat(say([text[at : at + 3] for at in range(0, len(text), 3)]))
    llm = make(stub, json_schema="on", split_think=split_think)
    whole, awhole, streamed, astreamed = await four_ways(llm)
    ada = Person(name="Ada", age=36)
    assert (whole, awhole, streamed[-1], astreamed[-1]) == (ada, ada, ada, ada)


@pytest.mark.rule("wrong-structure")
async def test_arguments_of_another_tool_are_no_answer(stub: StubRouter) -> None:
    other = {"name": "get_person", "arguments": '{"name": "Ada", "age": 36}'}
    stub.chat(say(calls=[{"id": "c", "type": "function", "function": other}]))
    llm = make(stub, json_schema="off")
    refused = pytest.raises(StructuredOutputError, match="'get_person' instead of 'Person'")
    with refused:
        llm.structured_predict(Person, PROMPT, who="Ada")
    with refused:
        await llm.astructured_predict(Person, PROMPT, who="Ada")
    with refused:
        list(llm.stream_structured_predict(Person, PROMPT, who="Ada"))


CUT_CALL = {
    "id": "c",
    "type": "function",
    "function": {"name": "Person", "arguments": '{"name": "Ada", '},
}


@pytest.mark.rule("truncation-named")
@pytest.mark.parametrize(
    ("json_schema", "answer"),
    [
        ("on", say(['{"name": ', '"Ada", "ag'], finish="length")),
        ("off", say(calls=[CUT_CALL], finish="length")),
    ],
)
async def test_truncation_is_named(json_schema: str, answer: Any, stub: StubRouter) -> None:
    stub.chat(answer)
    llm = make(stub, json_schema=json_schema)
    for run in (
        lambda: llm.structured_predict(Person, PROMPT, who="Ada"),
        lambda: list(llm.stream_structured_predict(Person, PROMPT, who="Ada")),
    ):
        with pytest.raises(StructuredOutputError, match=r"cut off .*length") as caught:
            run()
        assert "max_tokens" in str(caught.value)
        assert caught.value.text.startswith('{"name"')
    with pytest.raises(ValueError, match="cut off"):
        await llm.astructured_predict(Person, PROMPT, who="Ada")


@pytest.mark.rule("truncation-named")
@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize("json_schema", ["on", "off"])
async def test_an_object_of_defaults_is_not_made_of_a_cut_answer(
    json_schema: str, reason: str, stub: StubRouter
) -> None:
    class Options(BaseModel):
        """Options."""

        depth: int = 3

    nothing = {"id": "c", "type": "function", "function": {"name": "Options", "arguments": ""}}
    stub.chat(say(calls=[nothing] if json_schema == "off" else [], finish=reason))
    llm = make(stub, json_schema=json_schema)
    with pytest.raises(StructuredOutputError, match=f"cut off .*{reason}"):
        llm.structured_predict(Options, PROMPT, who="Ada")
    with pytest.raises(StructuredOutputError, match="cut off"):
        await llm.astructured_predict(Options, PROMPT, who="Ada")
    with pytest.raises(StructuredOutputError, match="cut off"):
        list(llm.stream_structured_predict(Options, PROMPT, who="Ada"))


@pytest.mark.rule("wrong-structure")
@pytest.mark.parametrize("text", ["I would rather not.", '{"name": "Ada"}', "[]", ""])
async def test_other_answers_are_refused_with_their_text(text: str, stub: StubRouter) -> None:
    stub.chat(say(text))
    llm = make(stub, json_schema="on")
    with pytest.raises(StructuredOutputError, match="is no Person") as caught:
        llm.structured_predict(Person, PROMPT, who="Ada")
    assert caught.value.text == text
    stream = await llm.astream_structured_predict(Person, PROMPT, who="Ada")
    with pytest.raises(StructuredOutputError):
        assert [item async for item in stream]


@pytest.mark.rule("text-for-a-call")
def test_json_written_instead_of_the_tool_call_is_taken(stub: StubRouter) -> None:
    stub.chat(say(f"```json\n{ADA}\n```"))
    assert make(stub).structured_predict(Person, PROMPT, who="Ada").name == "Ada"


@pytest.mark.rule("structured-by-router")
def test_the_switch_takes_booleans() -> None:
    assert HFRouter("a/b", json_schema=True).json_schema == "on"
    assert HFRouter("a/b", json_schema=False).json_schema == "off"


@pytest.mark.rule("structured-by-router")
def test_auto_uses_the_schema_only_when_the_router_says_so(stub: StubRouter) -> None:
    stub.chat(BY_TOOL, BY_SCHEMA)
    make(stub).structured_predict(Person, PROMPT, who="Ada")
    assert "tools" in stub.last
    make(stub, supports_json_schema=True).structured_predict(Person, PROMPT, who="Ada")
    assert "response_format" in stub.last


@pytest.mark.rule("structured-without-tools")
@pytest.mark.parametrize(
    "options",
    [{"is_function_calling_model": False}, {"pydantic_program_mode": PydanticProgramMode.LLM}],
)
async def test_without_tools_json_is_asked_for_in_words(options: Any, stub: StubRouter) -> None:
    stub.chat(BY_SCHEMA)
    ada, llm = Person(name="Ada", age=36), make(stub, system_prompt="s", **options)
    whole, awhole, streamed, astreamed = await four_ways(llm, llm_kwargs={"seed": 7})
    assert (whole, awhole, streamed[-1], astreamed[-1]) == (ada, ada, ada, ada)
    assert len(streamed) > 1
    for body in stub.bodies:
        assert body.keys() - {"stream", "stream_options"} == {"model", "messages", "seed"}
        system, asked = body["messages"]
        assert system["content"] == "s"
        assert asked["content"].startswith("Describe Ada.\n")
        assert json.dumps(Person.model_json_schema()) in asked["content"]
    cut = say(['{"name": ', '"Ada", "ag'], finish="length")
    for answer, words in ((cut, "cut off"), (say("I would rather not."), "is no Person")):
        stub.chat(answer)
        with pytest.raises(StructuredOutputError, match=words):
            llm.structured_predict(Person, PROMPT, who="Ada")
        with pytest.raises(StructuredOutputError, match=words):
            await llm.astructured_predict(Person, PROMPT, who="Ada")
        with pytest.raises(StructuredOutputError, match=words):
            list(llm.stream_structured_predict(Person, PROMPT, who="Ada"))


async def test_what_is_asked_in_words_changes_no_message_of_the_caller(stub: StubRouter) -> None:
    stub.chat(say(ADA))
    structured = make(stub, is_function_calling_model=False).as_structured_llm(Person)
    asked = [ChatMessage(role="user", content="Who?")]
    before = [message.model_dump_json() for message in asked]
    for _ in range(2):
        assert structured.chat(asked).raw == Person(name="Ada", age=36)
        assert (await structured.achat(asked)).raw == Person(name="Ada", age=36)
    assert [message.model_dump_json() for message in asked] == before
    assert len({body["messages"][0]["content"] for body in stub.bodies}) == 1


@pytest.mark.rule("structured-spans")
@pytest.mark.parametrize(
    "options", [{"json_schema": "on"}, {"json_schema": "off"}, {"is_function_calling_model": False}]
)
async def test_a_structured_call_is_one_span(options: Any, stub: StubRouter) -> None:
    stub.chat(say(ADA))
    handler, root = SimpleSpanHandler(), get_dispatcher()
    root.add_span_handler(handler)
    try:
        await four_ways(make(stub, **options))
    finally:
        root.span_handlers.remove(handler)
    names = [span.id_.partition("-")[0] for span in handler.completed_spans]
    for name in ("structured_predict", "stream_structured_predict"):
        assert names.count(f"HFRouter.{name}") == names.count(f"HFRouter.a{name}") == 1
    assert not handler.open_spans


@pytest.mark.rule("schema-sent")
async def test_long_and_foreign_names_are_made_acceptable(stub: StubRouter) -> None:
    for name in ("Über_" + "x" * 80, "a b"):
        named = type(name, (Person,), {})
        for json_schema in ("on", "off"):
            stub.chat(say(ADA))
            found = await four_ways(make(stub, json_schema=json_schema), output_cls=named)
            assert [type(one) for one in found[:2]] == [named, named]
            for body in stub.bodies[-4:]:
                sent = (
                    body.get("response_format", {}).get("json_schema")
                    or body["tools"][0]["function"]
                )
                assert NAME.fullmatch(sent["name"])


@pytest.mark.rule("schema-sent")
def test_names_of_schemas_are_made_acceptable(stub: StubRouter) -> None:
    stub.chat(say('{"content": 1}'), call(("Box_int_", {"content": 1})))
    for json_schema in ("on", "off"):
        llm = make(stub, json_schema=json_schema)
        assert llm.structured_predict(Box[int], PROMPT, who="x").content == 1


# StructuredLLM of core calls the deprecated pydantic method.
@pytest.mark.rule("as-structured-llm", "structured-images")
@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")
async def test_as_structured_llm_keeps_images_and_braces(stub: StubRouter) -> None:
    stub.chat(BY_TOOL)
    structured = make(stub).as_structured_llm(Person)
    message = ChatMessage(role="user", content='Use {"name": ...} please')
    found = structured.chat([message])
    assert found.raw == Person(name="Ada", age=36)
    assert stub.last["messages"][0]["content"] == 'Use {"name": ...} please'
    assert (await structured.achat([message])).raw == found.raw
    last = [r async for r in await structured.astream_chat([message])][-1]
    assert last.raw == found.raw


@pytest.mark.rule("chat-prompts")
def test_chat_prompts_are_formatted(stub: StubRouter) -> None:
    stub.chat(BY_TOOL)
    prompt = ChatPromptTemplate.from_messages([("system", "Be {how}."), ("user", "{who}?")])
    make(stub).structured_predict(Person, prompt, how="kind", who="Ada")  # type: ignore[arg-type]
    assert [m["content"] for m in stub.last["messages"]] == ["Be kind.", "Ada?"]
