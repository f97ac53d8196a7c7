"""MCP tools that the service calls: their items, approvals, and secrets that are told nobody."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage

from shared_core import InvalidSettingError, MCPTool
from tests.langchain.responses_server import (
    ASKED,
    CALLED,
    LISTED,
    call,
    model_of,
    serving,
    stream,
    text,
    whole,
)
from tests.langchain.script import TOOL, added
from tests.langchain.test_lifecycle import Everything

SECRET = "mcp_secret_1234567890"
URL = "https://mcp.test/sse"


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def called(id: str, **extras: str) -> dict[str, Any]:
    """The block of a call; *extras* of one whose arguments cannot be read."""
    return {
        "type": "server_tool_call",
        "id": id,
        "name": "search",
        "args": {} if extras else {"query": "install"},
        "extras": {"type": "mcp_call", "server_label": "docs", **extras},
    }


@pytest.mark.rule("responses-mcp-blocks")
@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("streamed", [False, True])
def test_items_of_mcp_are_blocks_and_go_back_as_they_came(version: str, streamed: bool) -> None:
    failed = {**CALLED, "id": "mcp_2", "output": None, "error": {"message": "slow"}}
    waiting = {**CALLED, "id": "mcp_3", "output": None, "arguments": "{oh"}
    output = (LISTED, CALLED, text("So."), failed, waiting, ASKED, {"type": "hologram", "id": "h"})
    answering = stream if streamed else whole
    with serving(answering(*output), whole(text())) as server:
        model = model_of(server, output_version=version)
        answer: Any = added(list(model.stream("x"))) if streamed else model.invoke("x")
        approval = {
            "type": "mcp_approval_response",
            "approval_request_id": ASKED["id"],
            "approve": True,
        }
        model.invoke([HumanMessage("x"), answer, HumanMessage([approval])])
        back = server.requests[1].json()["input"]
    blocks = [{k: v for k, v in block.items() if k != "index"} for block in answer.content_blocks]
    result = {"type": "server_tool_result", "tool_call_id": "mcp_1", "status": "success"}
    error = {"error": {"message": "slow"}}
    assert blocks == [
        {"type": "non_standard", "value": LISTED},
        called("mcp_1"),
        {**result, "output": "Use pip."},
        {"type": "text", "text": "So."},
        called("mcp_2"),
        {**result, "tool_call_id": "mcp_2", "status": "error", "extras": error},
        called("mcp_3", arguments="{oh"),
        {"type": "non_standard", "value": ASKED},
        {"type": "non_standard", "value": {"type": "hologram", "id": "h"}},
    ]
    gone = {"output": None}  # what is null is left out

    def slim(item: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in item.items() if gone.get(key, "") != value}

    said = {"type": "output_text", "text": "So.", "annotations": []}
    assert back[1:-1] == [
        LISTED,
        CALLED,
        {"type": "message", "role": "assistant", "content": [said]},
        slim(failed),
        slim(waiting),
        ASKED,
        {"type": "hologram", "id": "h"},
    ]
    assert back[-1] == approval


TOOLS: dict[str, Any] = {
    "object": MCPTool("docs", URL, headers={"Authorization": f"Bearer {SECRET}"}),
    "dict": {
        "type": "mcp",
        "server_label": "docs",
        "server_url": URL,
        "headers": {"Authorization": f"Bearer {SECRET}"},
    },
    "another dict": {
        "type": "mcp",
        "server_label": "docs",
        "server_url": URL,
        "authorization": SECRET,
    },
}


@pytest.mark.rule("responses-mcp-secrets")
@pytest.mark.parametrize("kind", TOOLS)
def test_credentials_are_sent_and_told_nobody(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tracer = Everything()
    with serving(whole(text()), stream(text()), whole(text())) as server:
        model = model_of(server)
        bound = model.bind_tools([TOOLS[kind], TOOL])
        bound.invoke("x", config={"callbacks": [tracer]})
        list(bound.stream("x", config={"callbacks": [tracer]}))
        model.invoke("x", tools=[TOOLS[kind]], config={"callbacks": [tracer]})
        for request in server.requests:
            (sent, *_) = request.json()["tools"]
            assert SECRET in json.dumps(sent)
            assert sent["server_url"] == URL
        kwargs: dict[str, Any] = dict(bound.kwargs)  # type: ignore[attr-defined]
        shown = [
            repr(bound),
            dumps(bound),
            pickle.dumps(bound).decode("latin-1"),
            model._get_llm_string(**kwargs),
            model._get_llm_string(tools=[TOOLS[kind]]),
            repr(model._get_invocation_params(**kwargs)),
            repr(model._get_ls_params(**kwargs)),
            caplog.text,
            *tracer.seen,
        ]
        assert len(tracer.seen) >= 6
        for told in shown:
            assert SECRET not in told
        assert "docs" in repr(bound)
        for twin in (copy.deepcopy(bound), pickle.loads(pickle.dumps(bound))):
            twin.invoke("x")
        copied, unpickled = (json.dumps(each.json()["tools"]) for each in server.requests[-2:])
    assert SECRET in copied
    assert SECRET not in unpickled
    assert URL in unpickled


@pytest.mark.rule("responses-tools")
def test_an_impossible_server_is_refused_when_it_is_bound() -> None:
    with serving(whole(text())) as server:
        with pytest.raises(InvalidSettingError, match="server_url"):
            model_of(server).bind_tools([MCPTool("docs", "no address")])
        assert server.requests == []


@pytest.mark.rule("responses-tools")
def test_tokens_of_an_mcp_tool_are_counted_without_a_request() -> None:
    with serving(whole(text())) as server:
        model = model_of(server)
        without = model.get_num_tokens_from_messages([HumanMessage("x")])
        assert model.get_num_tokens_from_messages([HumanMessage("x")], [TOOLS["object"]]) > without
        assert server.requests == []


@pytest.mark.rule("responses-agents")
def test_an_agent_may_have_a_server_beside_its_tools() -> None:
    with serving(whole(LISTED, call("add", '{"a": 1, "b": 2}')), whole(text("3."))) as server:
        agent = create_agent(model_of(server), tools=[add, TOOLS["dict"]])
        state = agent.invoke({"messages": [("user", "x")]})
        assert [each.type for each in state["messages"]] == ["human", "ai", "tool", "ai"]
        first, second = (request.json() for request in server.requests)
    assert [each["type"] for each in first["tools"]] == ["function", "mcp"]
    assert [each.get("type") for each in second["input"]] == [
        *(None, "mcp_list_tools", "function_call", "function_call_output")
    ]
    assert second["input"][3]["output"] == "3"
