"""Tools: what is sent, and what is made of the calls."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool

from llama_index_hfrouter import HFRouter
from tests.llama_index.stub_server import StubRouter, call, say
from tests.llama_index.test_messages import PNG

pytestmark = pytest.mark.anyio


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def now(city: str) -> str:
    """Local time."""
    return f"12:30 in {city}"


TOOLS = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(now)]
TWO = call(("add", {"a": 2, "b": 3}), ("now", {"city": "Paris"}))


@pytest.fixture
def llm(stub: StubRouter) -> HFRouter:
    stub.chat(TWO)
    return HFRouter("org/model", base_url=stub.base_url)


@pytest.mark.rule("no-vendor-extras")
def test_tools_are_sent_without_extras(llm: HFRouter, stub: StubRouter) -> None:
    llm.chat_with_tools(TOOLS, user_msg="2 + 3?")
    sent = stub.last
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["add", "now"]
    assert sent["tools"][0]["function"]["parameters"]["required"] == ["a", "b"]
    assert sent.keys() == {"model", "messages", "tools"}
    assert sent["messages"] == [{"role": "user", "content": "2 + 3?"}]


@pytest.mark.rule("no-tools")
def test_without_tools_nothing_toolish_is_sent(llm: HFRouter, stub: StubRouter) -> None:
    llm.chat_with_tools([], user_msg="hi", tool_required=True, tool_choice="auto")
    assert stub.last.keys() == {"model", "messages"}


@pytest.mark.rule("tool-choice")
@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, None),
        ({"tool_required": True}, "required"),
        ({"tool_choice": "auto"}, "auto"),
        ({"tool_choice": "auto", "tool_required": True}, "auto"),
        ({"tool_choice": "any"}, "required"),
        ({"tool_choice": "none"}, "none"),
        ({"tool_choice": "now"}, {"type": "function", "function": {"name": "now"}}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "add"}}},
            {"type": "function", "function": {"name": "add"}},
        ),
    ],
)
def test_tool_choice(options: Any, sent: Any, llm: HFRouter, stub: StubRouter) -> None:
    llm.chat_with_tools(TOOLS, user_msg="x", **options)
    assert stub.last.get("tool_choice") == sent


@pytest.mark.rule("history-untouched", "user-msg", "tool-keywords-pass")
def test_a_chat_message_follows_the_history_which_is_not_changed(
    llm: HFRouter, stub: StubRouter
) -> None:
    history = [ChatMessage(role="system", content="s")]
    message = ChatMessage(role="user", blocks=[TextBlock(text="x"), ImageBlock(image=PNG)])
    llm.chat_with_tools(TOOLS, user_msg=message, chat_history=history, seed=3)
    assert [m["role"] for m in stub.last["messages"]] == ["system", "user"]
    assert stub.last["messages"][1]["content"][1]["type"] == "image_url"
    assert stub.last["seed"] == 3
    assert len(history) == 1


@pytest.mark.rule("long-descriptions")
def test_a_long_description_is_sent_whole(llm: HFRouter, stub: StubRouter) -> None:
    long = FunctionTool.from_defaults(add, description="word " * 600)
    llm.chat_with_tools([long], user_msg="x")
    assert stub.last["tools"][0]["function"]["description"] == "word " * 600


def names(llm: HFRouter, response: Any) -> list[str]:
    return [found.tool_name for found in llm.get_tool_calls_from_response(response)]


@pytest.mark.rule("parallel-calls")
@pytest.mark.parametrize(("allowed", "expected"), [(True, ["add", "now"]), (False, ["add"])])
async def test_parallel_calls_only_if_allowed(
    allowed: bool, expected: list[str], llm: HFRouter
) -> None:
    options: dict[str, Any] = {"user_msg": "x", "allow_parallel_tool_calls": allowed}
    assert names(llm, llm.chat_with_tools(TOOLS, **options)) == expected
    assert names(llm, await llm.achat_with_tools(TOOLS, **options)) == expected
    assert names(llm, list(llm.stream_chat_with_tools(TOOLS, **options))[-1]) == expected
    streamed = [r async for r in await llm.astream_chat_with_tools(TOOLS, **options)]
    assert names(llm, streamed[-1]) == expected
    listed = streamed[-1].message.additional_kwargs["tool_calls"]
    assert [made["function"]["name"] for made in listed] == expected


@pytest.mark.rule("predict-and-call")
async def test_predict_and_call_runs_the_tool(llm: HFRouter) -> None:
    assert llm.predict_and_call(TOOLS, user_msg="x").response == "5"
    assert (await llm.apredict_and_call(TOOLS, user_msg="x")).response == "5"
    both = llm.predict_and_call(TOOLS, user_msg="x", allow_parallel_tool_calls=True)
    assert both.response == "5\n\n12:30 in Paris"


@pytest.mark.rule("round-trip")
def test_a_tool_conversation_goes_round(llm: HFRouter, stub: StubRouter) -> None:
    stub.chat(TWO, say("5, and half past twelve."))
    history = [ChatMessage(role="user", content="x")]
    answer = llm.chat_with_tools(TOOLS, chat_history=history, allow_parallel_tool_calls=True)
    history.append(answer.message)
    for found in llm.get_tool_calls_from_response(answer):
        history.append(
            ChatMessage(
                role="tool", content="ok", additional_kwargs={"tool_call_id": found.tool_id}
            )
        )
    restored = [ChatMessage.model_validate_json(m.model_dump_json()) for m in history]
    final = llm.chat_with_tools(TOOLS, chat_history=restored)
    assert final.message.content == "5, and half past twelve."
    assistant = stub.last["messages"][1]
    assert assistant["content"] == ""
    assert [made["id"] for made in assistant["tool_calls"]] == ["call_a", "call_b"]
    assert assistant["tool_calls"][0]["function"]["arguments"] == '{"a": 2, "b": 3}'
    assert [m.get("tool_call_id") for m in stub.last["messages"][2:]] == ["call_a", "call_b"]
