"""Calls of the Responses API: parameters, tools, answers, errors; over real sockets."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core import exceptions as lc
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from shared_core import InvalidSettingError, MCPTool, ResponseFailedError
from tests.helpers.fault_server import json_reply
from tests.langchain import script
from tests.langchain.responses_server import (
    BASE,
    METADATA,
    PATH,
    ResponsesStub,
    body,
    call,
    event,
    model_of,
    reasoning,
    refusal,
    sent,
    serving,
    stream,
    text,
    whole,
)
from tests.langchain.script import HEADERS, TOOL, added

pytestmark = pytest.mark.anyio

FLAT = {"type": "function", **TOOL["function"]}
MCP = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.test/sse"}


# --- the switch


@pytest.mark.rule("responses-on-request")
async def test_the_switch_of_the_model_and_of_the_call() -> None:
    with serving(whole(text()), stream(text()), whole(text()), stream(text())) as server:
        server.script(script.CHAT, script.whole(), script.stream(script.event({}, "stop")))
        on, off = model_of(server), model_of(server, use_responses_api=False)
        assert on.invoke("x").text == "Hi."
        assert added(list(on.stream("x"))).text == "Hi."
        assert (await off.bind(use_responses_api=True).ainvoke("x")).text == "Hi."
        assert added([c async for c in off.astream("x", use_responses_api=True)]).text == "Hi."
        assert on.invoke("x", use_responses_api=False).text == "Hi."
        assert added(list(off.stream("x"))).text == ""
        assert [each.path for each in server.requests] == [PATH] * 4 + [script.CHAT] * 2
        assert all("use_responses_api" not in each.json() for each in server.requests)


@pytest.mark.rule("responses-on-request")
def test_the_switch_works_on_a_pinned_provider_and_a_payer() -> None:
    with serving(whole(text())) as server:
        model_of(server, provider="groq", bill_to="acme").invoke("x")
        request = server.requests[0]
    assert request.json()["model"] == "org/m:groq"
    assert request.headers["x-hf-bill-to"] == "acme"


# --- parameters

SENT: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}, {}),
    "sampling": ({"temperature": 0, "top_p": 0.5}, {}, {"temperature": 0, "top_p": 0.5}),
    "limit": ({"max_tokens": 5}, {}, {"max_output_tokens": 5}),
    "limit by its other name": ({"max_completion_tokens": 5}, {}, {"max_output_tokens": 5}),
    "limit by the API's own name": ({"max_output_tokens": 5}, {}, {"max_output_tokens": 5}),
    "limit twice the same": (
        {"max_tokens": 5, "max_completion_tokens": 5},
        {},
        {"max_output_tokens": 5},
    ),
    "limit of the call": ({"max_tokens": 5}, {"max_tokens": 6}, {"max_output_tokens": 6}),
    "limit of the call by its other name": (
        {"max_tokens": 5},
        {"max_completion_tokens": 6},
        {"max_output_tokens": 6},
    ),
    "limit of the call by another name": (
        {"max_completion_tokens": 5},
        {"max_new_tokens": 6},
        {"max_output_tokens": 6},
    ),
    "limit by the API's name": (
        {"max_tokens": 5},
        {"max_output_tokens": 6},
        {"max_output_tokens": 6},
    ),
    "effort": ({"reasoning_effort": "low"}, {}, {"reasoning": {"effort": "low"}}),
    "effort and summary": (
        {"reasoning_effort": "low"},
        {"reasoning_summary": "auto"},
        {"reasoning": {"effort": "low", "summary": "auto"}},
    ),
    "instructions": ({}, {"instructions": "Be kind."}, {"instructions": "Be kind."}),
    "JSON": (
        {},
        {"response_format": {"type": "json_object"}},
        {"text": {"format": {"type": "json_object"}}},
    ),
    "schema": (
        {},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "P", "schema": {"type": "object"}, "strict": True},
            }
        },
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "P",
                    "schema": {"type": "object"},
                    "strict": True,
                }
            }
        },
    ),
    "what is asked anyway": ({"n": 1, "logprobs": False}, {}, {}),
    "further fields": (
        {"extra_body": {"store": False}},
        {"truncation": "auto", "extra_body": {"metadata": {"a": "b"}}},
        {"store": False, "truncation": "auto", "metadata": {"a": "b"}},
    ),
    "lacking, in extra_body": ({"extra_body": {"seed": 1}}, {}, {"seed": 1}),
}


@pytest.mark.rule("responses-parameters")
@pytest.mark.parametrize("case", SENT)
def test_parameters_have_the_names_of_the_api(case: str) -> None:
    options, given, fields = SENT[case]
    with serving(whole(text())) as server:
        model_of(server, **options).invoke("x", **given)
        asked = server.requests[0].json()
    assert asked == {"model": "org/m", "input": [{"role": "user", "content": "x"}], **fields}


LACKING: dict[str, Any] = {
    "stop": ["a"],
    "seed": 1,
    "n": 2,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"1": 1.0},
    "user": "ada",
    "split_think": True,
    "dialect": "tgi",
}


@pytest.mark.rule("responses-lacking")
@pytest.mark.parametrize("name", [*LACKING, "stream_options", "tool_prompt", "parallel_tool_calls"])
async def test_what_the_api_lacks_is_refused_by_name(name: str) -> None:
    with serving(whole(text()), stream(text())) as server:
        value = LACKING.get(name, True)
        bound = model_of(server).bind(**{name: value}, tools=[TOOL])
        if name in LACKING:
            with pytest.raises(InvalidSettingError, match=repr(name)):
                model_of(server, **{name: value}).invoke("x")
        with pytest.raises(lc.ModelInvalidRequestError, match=f"has no '{name}'") as caught:
            bound.invoke("x")
        assert "use_responses_api=False" in str(caught.value)
        with pytest.raises(InvalidSettingError):
            _ = [chunk async for chunk in bound.astream("x")]
        assert server.requests == []


@pytest.mark.rule("responses-lacking")
def test_two_limits_that_differ_are_refused() -> None:
    with serving(whole(text())) as server:
        with pytest.raises(InvalidSettingError, match="max_completion_tokens are one setting"):
            model_of(server, max_tokens=1, max_completion_tokens=2).invoke("x")
        assert server.requests == []


@pytest.mark.rule("responses-lacking")
def test_an_unknown_way_to_echo_is_refused() -> None:
    with serving(whole(text())) as server:
        with pytest.raises(InvalidSettingError, match="reasoning_echo"):
            model_of(server).invoke("x", reasoning_echo="sometimes")
        assert server.requests == []


# --- tools


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


class Multiply(BaseModel):
    """Multiply."""

    a: int


@pytest.mark.rule("responses-tools")
def test_tools_of_every_form_are_flat() -> None:
    tools: list[Any] = [add, Multiply, TOOL | {"function": {**TOOL["function"], "name": "third"}}]
    tools += [{**FLAT, "name": "fourth"}, MCP, MCPTool("wiki", "https://wiki.test/sse")]
    with serving(whole(text())) as server:
        model_of(server).bind_tools(tools, strict=True).invoke("x")
        found = server.requests[0].json()["tools"]
    assert [each.get("name", each.get("server_label")) for each in found] == [
        *("add", "Multiply", "third", "fourth", "docs", "wiki")
    ]
    assert found[0]["strict"] is True
    assert found[0]["parameters"]["properties"].keys() == {"a", "b"}
    assert all("function" not in each for each in found)
    assert found[4] == MCP
    assert found[5] == {**MCP, "server_label": "wiki", "server_url": "https://wiki.test/sse"}


NAMED = {"type": "function", "name": "add"}
CHOICES: dict[str, tuple[list[Any], Any, Any]] = {
    "nothing": ([add], None, None),
    "any": ([add], "any", "required"),
    "required": ([add], "required", "required"),
    "auto": ([add], "auto", "auto"),
    "none": ([add], "none", "none"),
    "the only one": ([add], True, NAMED),
    "one of several": ([add, Multiply], True, "required"),
    "the only server": ([MCP], True, "required"),
    "some server": ([MCP], "any", "required"),
    "name": ([add, MCP], "add", NAMED),
    "chat's dict": ([add], {"type": "function", "function": {"name": "add"}}, NAMED),
    "flat dict": ([add], NAMED, NAMED),
    "Anthropic's dict": ([add], {"type": "tool", "name": "add"}, NAMED),
    "a server": (
        [MCP],
        {"type": "mcp", "server_label": "docs", "name": "search"},
        {"type": "mcp", "server_label": "docs", "name": "search"},
    ),
}


@pytest.mark.rule("responses-tools")
@pytest.mark.parametrize("case", CHOICES)
def test_tool_choices_are_flat(case: str) -> None:
    tools, choice, expected = CHOICES[case]
    with serving(whole(text())) as server:
        model_of(server).bind_tools(tools, tool_choice=choice).invoke("x")
        assert server.requests[0].json().get("tool_choice") == expected


@pytest.mark.rule("responses-tools")
def test_no_tools_send_no_tools() -> None:
    with serving(whole(text())) as server:
        model_of(server).bind_tools([], tool_choice="any").invoke("x")
        assert server.requests[0].json().keys() == {"model", "input"}


# --- answers


@pytest.mark.rule("responses-result")
async def test_an_answer_has_blocks_calls_usage_and_metadata() -> None:
    note = {"type": "url_citation", "url": "https://a.test", "title": "A", "start_index": 0}
    output = (
        reasoning("Hm.", encrypted_content="x1"),
        text("Hi.", annotations=[note, {"type": "other"}]),
        call("add", '{"a": 1}'),
        call("add", '{"a"', id="2"),
    )
    with serving(whole(*output)) as server:
        answers = [model_of(server).invoke("x"), await model_of(server).ainvoke("x")]
    for answer in answers:
        assert answer.content == [
            {
                "type": "reasoning",
                "reasoning": "Hm.",
                "id": "rs_1",
                "extras": {"encrypted_content": "x1"},
            },
            {
                "type": "text",
                "text": "Hi.",
                "annotations": [
                    {
                        "type": "citation",
                        "url": "https://a.test",
                        "title": "A",
                        "start_index": 0,
                    },
                    {"type": "non_standard_annotation", "value": {"type": "other"}},
                ],
            },
        ]
        assert answer.text == "Hi."
        assert answer.tool_calls == [
            {"type": "tool_call", "id": "call_1", "name": "add", "args": {"a": 1}}
        ]
        assert answer.invalid_tool_calls[0]["id"] == "call_2"
        kinds = [block["type"] for block in answer.content_blocks]
        assert kinds == ["reasoning", "text", "tool_call"]
        assert answer.usage_metadata == {
            "input_tokens": 5,
            "output_tokens": 4,
            "total_tokens": 9,
            "input_token_details": {"cache_read": 2},
            "output_token_details": {"reasoning": 3},
        }
        assert answer.response_metadata == {**METADATA, "finish_reason": "tool_calls"}


@pytest.mark.rule("responses-result")
def test_an_incomplete_answer_says_why() -> None:
    why = {"incomplete_details": {"reason": "max_output_tokens"}, "status": "incomplete"}
    with serving(whole(text("Hi"), **why)) as server:
        metadata = model_of(server).invoke("x").response_metadata
    assert (metadata["finish_reason"], metadata["status"]) == ("length", "incomplete")
    assert metadata["incomplete_reason"] == "max_output_tokens"


@pytest.mark.rule("responses-result")
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_a_refusal_is_a_block_and_no_structure(version: str) -> None:
    with serving(whole(refusal("I won't."))) as server:
        model = model_of(server, output_version=version)
        answer = model.invoke("x")
        assert answer.content_blocks == [{"type": "refusal", "refusal": "I won't."}]
        assert answer.additional_kwargs == {"refusal": "I won't."}
        with pytest.raises(lc.ModelError, match="I won't"):
            model.with_structured_output(Multiply, method="json_schema").invoke("x")


@pytest.mark.rule("responses-result")
@pytest.mark.parametrize("output", ["words", [{"type": "output_audio", "data": "x"}]])
def test_content_of_other_forms_is_kept(output: Any) -> None:
    item = {**text(), "content": output}
    with serving(whole(item)) as server:
        answer = model_of(server).invoke("x")
        model_of(server).invoke(["x", answer])
        back = server.requests[1].json()["input"][1]
    if isinstance(output, str):
        assert answer.content == [{"type": "text", "text": "words"}]
    else:
        assert answer.content == [{"type": "non_standard", "value": item}]
        assert back == item


class Talk(BaseModel):
    """Talk about something."""

    topic: str


@pytest.mark.rule("responses-result")
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
async def test_structured_output(method: Any) -> None:
    with ResponsesStub() as stub:
        model = model_of(stub).with_structured_output(Talk, method=method)
        question = "Talk about a 'topic'."
        answers = [model.invoke(question), await model.ainvoke(question)]
        answers += [
            list(model.stream(question))[-1],
            [c async for c in model.astream(question)][-1],
        ]
        form = stub.last.get("text", {}).get("format", {})
        assert ("tools" in stub.last) is (method == "function_calling")
    topic = "A topic about cats." if method == "json_mode" else "topic"
    assert answers == [Talk(topic=topic)] * 4
    assert form.get("type") == {"json_schema": "json_schema", "json_mode": "json_object"}.get(
        method
    )


# --- errors

FAILURE = {"code": "rate_limit_exceeded", "message": "Slow down."}
FAILED = {"status": "failed", "error": FAILURE}


@pytest.mark.rule("responses-failures")
async def test_a_failure_inside_a_200_is_an_error_of_both_families() -> None:
    last = event("failed", response=body(text("Hi"), **FAILED))
    started = event("created", response={**BASE, "status": "in_progress"})
    reported = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."}
    answers = [json_reply(body(**FAILED), headers=HEADERS)] * 2
    answers += [sent(started, last), sent(started, reported)]
    caught: list[Any] = []
    with serving(*answers) as server:
        model = model_of(server)
        with pytest.raises(lc.ModelError) as error:
            model.invoke("x")
        caught.append(error.value)
        with pytest.raises(lc.ModelError) as error:
            await model.ainvoke("x")
        caught.append(error.value)
        with pytest.raises(lc.ModelError) as error:
            list(model.stream("x"))
        caught.append(error.value)
        with pytest.raises(lc.ModelError) as error:
            _ = [chunk async for chunk in model.astream("x")]
        caught.append(error.value)
        assert len(server.requests) == 4
    for each in caught:
        assert isinstance(each, ResponseFailedError)
        assert isinstance(each, lc.ModelRateLimitError)
        assert "Slow down." in str(each)
        assert each.code == "rate_limit_exceeded"
        assert each.response.json()["error"]["message"] == "Slow down."
        assert each.request_id == "req-7"


@pytest.mark.rule("responses-failures")
async def test_statuses_are_those_of_chat() -> None:
    bad = json_reply({"error": {"message": "no", "code": 401}}, 401, HEADERS)
    with serving(bad) as server:
        with pytest.raises(lc.ModelAuthenticationError):
            model_of(server).invoke("x")
        with pytest.raises(lc.ModelAuthenticationError):
            _ = [chunk async for chunk in model_of(server).astream("x")]
        assert len(server.requests) == 2


def test_the_history_may_come_from_chat() -> None:
    """A conversation begun with chat completions goes on here."""
    with serving(whole(text())) as server:
        server.script(
            script.CHAT,
            script.whole("So:", reasoning="Hm.", **script.call(0, "c1", "add", '{"a": 1}')),
        )
        model = model_of(server)
        answer = model.invoke("x", use_responses_api=False)
        assert isinstance(answer, AIMessage)
        model.invoke(["x", answer])
        back = server.requests[1].json()["input"][1:]
    assert [item["type"] for item in back] == ["message", "function_call"]
    assert back[1]["call_id"] == "c1"
