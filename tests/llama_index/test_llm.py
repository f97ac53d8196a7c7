"""The eight calls and their twins: what is sent, what comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Generator
from itertools import pairwise
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    VideoBlock,
)
from llama_index.core.callbacks.token_counting import get_tokens_from_response

from llama_index_hfrouter import HFRouter
from shared_core import InvalidSettingError
from tests.helpers.fault_server import json_reply
from tests.llama_index.stub_server import CHAT, StubRouter, call, chunk, say, stream

pytestmark = pytest.mark.anyio

HELLO = [ChatMessage(role="user", content="Say hello.")]


def make(stub: StubRouter, **options: Any) -> HFRouter:
    return HFRouter("org/model", base_url=stub.base_url, **options)


async def last_of(stream: AsyncGenerator[Any, None]) -> Any:
    return [item async for item in stream][-1]


EIGHT: list[tuple[str, Callable[[HFRouter], Any]]] = [
    ("chat", lambda llm: llm.chat(HELLO)),
    ("complete", lambda llm: llm.complete("Say hello.")),
    ("stream_chat", lambda llm: list(llm.stream_chat(HELLO))[-1]),
    ("stream_complete", lambda llm: list(llm.stream_complete("Say hello."))[-1]),
    ("achat", lambda llm: llm.achat(HELLO)),
    ("acomplete", lambda llm: llm.acomplete("Say hello.")),
    ("astream_chat", lambda llm: llm.astream_chat(HELLO)),
    ("astream_complete", lambda llm: llm.astream_complete("Say hello.")),
]


async def result_of(name: str, run: Callable[[HFRouter], Any], llm: HFRouter) -> Any:
    found = run(llm)
    if name.startswith("a"):
        found = await found
    return await last_of(found) if name.startswith("astream") else found


@pytest.mark.rule("eight-calls", "complete-is-a-chat", "raw-is-json", "usage")
@pytest.mark.parametrize(("name", "run"), EIGHT, ids=[name for name, _ in EIGHT])
async def test_each_of_the_eight_calls_answers(name: str, run: Any, stub: StubRouter) -> None:
    stub.chat(say("Hello to you."))
    found = await result_of(name, run, make(stub))
    assert isinstance(found, CompletionResponse if "complete" in name else ChatResponse)
    text = found.text if isinstance(found, CompletionResponse) else found.message.content
    assert text == "Hello to you."
    assert isinstance(found.raw, dict)
    assert json.loads(json.dumps(found.raw)) == found.raw
    assert get_tokens_from_response(found) == (11, 7)
    assert found.additional_kwargs["prompt_tokens"] == 11
    assert found.additional_kwargs["total_tokens"] == 18
    assert found.additional_kwargs["finish_reason"] == "stop"
    assert len(stub.bodies) == 1
    assert stub.last["messages"] == [{"role": "user", "content": "Say hello."}]


@pytest.mark.rule("generator-objects")
def test_streams_are_generator_objects(stub: StubRouter) -> None:
    stub.chat(say("a b"))
    llm = make(stub)
    for opened in (llm.stream_chat(HELLO), llm.stream_complete("x")):
        assert isinstance(opened, Generator)
        opened.close()


@pytest.mark.rule("generator-objects")
async def test_async_streams_are_coroutines_of_async_generators(stub: StubRouter) -> None:
    stub.chat(say("a b"))
    llm = make(stub)
    for opened in (await llm.astream_chat(HELLO), await llm.astream_complete("x")):
        assert isinstance(opened, AsyncGenerator)
        await opened.aclose()


@pytest.mark.rule("cumulative")
def test_stream_is_cumulative_and_deltas_add_up(stub: StubRouter) -> None:
    stub.chat(say(["He", "llo", " there"]))
    found = list(make(stub).stream_chat(HELLO))
    assert "".join(r.delta or "" for r in found) == "Hello there"
    texts = [r.message.content or "" for r in found]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert found[-1].raw["choices"] == []
    assert found[-1].message == found[-2].message


# --- what is sent -----------------------------------------------------------------------


@pytest.mark.rule("nothing-unasked")
def test_nothing_is_sent_that_was_not_asked_for(stub: StubRouter) -> None:
    stub.chat(say("x"))
    make(stub).chat(HELLO)
    assert stub.last.keys() == {"model", "messages"}


@pytest.mark.rule("usage-asked-for")
def test_streams_ask_for_usage_unless_told_not_to(stub: StubRouter) -> None:
    stub.chat(say("x"))
    list(make(stub).stream_chat(HELLO))
    assert stub.last["stream_options"] == {"include_usage": True}
    list(make(stub, stream_usage=False).stream_chat(HELLO))
    assert "stream_options" not in stub.last


@pytest.mark.rule("zero-temperature", "parameters-sent", "reasoning-effort")
def test_constructor_parameters_are_sent(stub: StubRouter) -> None:
    stub.chat(say("x"))
    given = {
        "temperature": 0,
        "max_tokens": 5,
        "top_p": 0.5,
        "frequency_penalty": 1,
        "presence_penalty": -1,
        "stop": ["END"],
        "seed": 7,
        "reasoning_effort": "low",
    }
    make(stub, **given).chat(HELLO)
    assert {name: stub.last[name] for name in given} == given


@pytest.mark.rule("call-wins")
def test_call_keywords_win_over_the_constructor(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub, temperature=1, max_tokens=5, additional_kwargs={"seed": 1, "top_p": 0.1})
    llm.chat(HELLO, temperature=0, max_tokens=9, seed=2, stop="END")
    sent = stub.last
    assert (sent["temperature"], sent["max_tokens"], sent["seed"], sent["top_p"]) == (0, 9, 2, 0.1)
    assert sent["stop"] == ["END"]


@pytest.mark.rule("call-wins")
def test_a_call_keyword_of_none_leaves_the_constructor_in_force(stub: StubRouter) -> None:
    stub.chat(say("x"))
    make(stub, max_tokens=5).chat(HELLO, max_tokens=None, tool_choice=None)
    assert stub.last["max_tokens"] == 5


@pytest.mark.rule("no-fetching")
async def test_addresses_in_blocks_are_handed_on_and_not_fetched(stub: StubRouter) -> None:
    stub.chat(say("x"))
    blocks = [ImageBlock(url=f"{stub.url}/a.png"), VideoBlock(url=f"{stub.url}/v.mp4")]
    asked = [ChatMessage(role="user", blocks=[TextBlock(text="Look."), *blocks])]
    llm = make(stub)
    llm.chat(asked)
    await llm.achat(asked)
    with pytest.raises(InvalidSettingError, match="not fetched"):
        llm.chat([ChatMessage(role="user", blocks=[DocumentBlock(url=f"{stub.url}/a.pdf")])])
    _, image, video = stub.last["messages"][0]["content"]
    assert image["image_url"]["url"] == f"{stub.url}/a.png"
    assert video["video_url"]["url"] == f"{stub.url}/v.mp4"
    assert [request.path for request in stub.requests] == [CHAT] * 2


@pytest.mark.rule("extra-body")
def test_extra_bodies_are_merged_and_the_call_wins(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub, extra_body={"top_k": 1, "seed": 1})
    llm.chat(HELLO, extra_body={"top_k": 2})
    assert (stub.last["top_k"], stub.last["seed"]) == (2, 1)


@pytest.mark.rule("provider", "policy")
@pytest.mark.parametrize(
    ("options", "call_options", "model"),
    [
        ({"provider": "groq"}, {}, "org/model:groq"),
        ({"policy": "cheapest"}, {}, "org/model:cheapest"),
        ({"provider": "groq"}, {"policy": "fastest"}, "org/model:fastest"),
        ({}, {"provider": "together"}, "org/model:together"),
        ({}, {"model": "other/m"}, "other/m"),
    ],
)
def test_provider_and_policy_become_the_model_suffix(
    options: Any, call_options: Any, model: str, stub: StubRouter
) -> None:
    stub.chat(say("x"))
    make(stub, **options).chat(HELLO, **call_options)
    assert stub.last["model"] == model


@pytest.mark.rule("bill-to", "extra-headers", "user-agent")
def test_key_payer_headers_and_user_agent_are_sent(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub, api_key="hf_secret", bill_to="my-org", default_headers={"X-Team": "a"})
    llm.chat(HELLO, extra_headers={"X-Call": "b"})
    headers = stub.requests[-1].headers
    assert headers["authorization"] == "Bearer hf_secret"
    assert headers["x-hf-bill-to"] == "my-org"
    assert (headers["x-team"], headers["x-call"]) == ("a", "b")
    assert headers["user-agent"].startswith("llama-index-hfrouter")


@pytest.mark.rule("extra-headers")
def test_waiting_for_an_endpoint_is_asked_by_header(stub: StubRouter) -> None:
    stub.chat(say("x"))
    make(stub).chat(HELLO, scale_up_timeout=600)
    list(make(stub, additional_kwargs={"scale_up_timeout": 600}).stream_chat(HELLO))
    make(stub, default_headers={"X-Scale-Up-Timeout": "600"}).complete("x")
    assert [r.headers["x-scale-up-timeout"] for r in stub.requests] == ["600"] * 3
    assert all("scale_up_timeout" not in body for body in stub.bodies)


@pytest.mark.rule("callable-keys")
def test_a_callable_key_is_asked_for_every_request(stub: StubRouter) -> None:
    stub.chat(say("x"))
    keys = iter(["hf_one", "hf_two"])
    llm = make(stub, api_key=lambda: next(keys))
    llm.chat(HELLO)
    llm.chat(HELLO)
    sent = [request.headers["authorization"] for request in stub.requests]
    assert sent == ["Bearer hf_one", "Bearer hf_two"]


@pytest.mark.rule("token-sources", "no-foreign-keys")
def test_the_token_comes_from_the_environment(
    stub: StubRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    stub.chat(say("x"))
    make(stub).chat(HELLO)
    assert stub.requests[-1].headers["authorization"] == "Bearer hf_env"


@pytest.mark.rule("changes-hold")
def test_a_changed_attribute_is_honoured_at_once(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub)
    llm.chat(HELLO)
    llm.model, llm.bill_to, llm.temperature = "other/m", "payer", 0.5
    llm.chat(HELLO)
    assert (stub.last["model"], stub.last["temperature"]) == ("other/m", 0.5)
    assert stub.requests[-1].headers["x-hf-bill-to"] == "payer"


@pytest.mark.rule("prompt-formatted-once")
def test_a_completion_prompt_is_formatted_once(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub, completion_to_prompt=lambda prompt: f"<{prompt}>")
    llm.complete("a")
    assert stub.last["messages"][0]["content"] == "<a>"
    llm.complete("a", formatted=True)
    assert stub.last["messages"][0]["content"] == "a"


@pytest.mark.rule("system-prompt")
def test_predict_puts_the_system_prompt_first(stub: StubRouter) -> None:
    from llama_index.core.prompts import PromptTemplate

    stub.chat(say("yes"))
    llm = make(stub, system_prompt="Be brief.")
    assert llm.predict(PromptTemplate("Is {x} prime?"), x=7) == "yes"
    assert stub.last["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is 7 prime?"},
    ]
    assert "".join(llm.stream(PromptTemplate("Is {x} prime?"), x=7)) == "yes"


# --- reasoning --------------------------------------------------------------------------


@pytest.mark.rule("reasoning-fields", "thinking-tokens")
@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_reasoning_of_both_names_becomes_a_thinking_block(
    name: str, stub: StubRouter
) -> None:
    usage = {
        "prompt_tokens": 1,
        "completion_tokens": 9,
        "total_tokens": 10,
        "completion_tokens_details": {"reasoning_tokens": 6},
    }
    stub.chat(say("Four.", reasoning=["two and ", "two"], reasoning_field=name, usage=usage))
    llm = make(stub)
    found = [llm.chat(HELLO), list(llm.stream_chat(HELLO))[-1]]
    found.append(await last_of(await llm.astream_chat(HELLO)))
    for response in found:
        block = response.message.blocks[0]
        assert isinstance(block, ThinkingBlock)
        assert (block.content, block.num_tokens) == ("two and two", 6)
        assert response.message.content == "Four."
    deltas = [r.additional_kwargs.get("thinking_delta", "") for r in llm.stream_chat(HELLO)]
    assert "".join(deltas) == "two and two"


@pytest.mark.rule("inline-think")
def test_inline_think_is_split_off_unless_told_not_to(stub: StubRouter) -> None:
    stub.chat(say(["<th", "ink>hm", "</thi", "nk>\n\nFour."]))
    whole = make(stub).chat(HELLO)
    streamed = list(make(stub).stream_chat(HELLO))
    for response in (whole, streamed[-1]):
        block = response.message.blocks[0]
        assert isinstance(block, ThinkingBlock)
        assert (block.content, response.message.content) == ("hm", "Four.")
    assert "".join(r.delta or "" for r in streamed) == "Four."
    kept = make(stub, split_think=False).chat(HELLO)
    assert kept.message.content == "<think>hm</think>\n\nFour."


@pytest.mark.rule("late-think-end")
def test_a_think_end_without_beginning_is_put_right_at_the_end(stub: StubRouter) -> None:
    stub.chat(say(["hm", " hm</think>", "Four."]))
    last = list(make(stub).stream_chat(HELLO))[-1]
    assert last.message.content == "Four."
    assert isinstance(last.message.blocks[0], ThinkingBlock)
    assert last.message.blocks[0].content == "hm hm"
    assert get_tokens_from_response(last) == (11, 7)


@pytest.mark.rule("send-reasoning")
def test_reasoning_is_sent_back_only_on_request(stub: StubRouter) -> None:
    stub.chat(say("Four.", reasoning="hm"))
    answer = make(stub).chat(HELLO).message
    again = [*HELLO, answer, *HELLO]
    make(stub).chat(again)
    assert stub.last["messages"][1] == {"role": "assistant", "content": "Four."}
    make(stub, send_reasoning=True).chat(again)
    assert stub.last["messages"][1]["reasoning_content"] == "hm"


# --- answers that peers get wrong -------------------------------------------------------


@pytest.mark.rule("call-assembly", "odd-arguments")
def test_every_tool_call_quirk_of_streams(stub: StubRouter) -> None:
    def piece(index: Any, call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
        function = {"arguments": arguments} | ({"name": name} if name else {})
        made = {"function": function} | ({"id": call_id} if call_id else {})
        return made | ({"index": index} if index is not None else {})

    two = [piece(0, "a", "f", '{"x":'), piece(1, "b", "g", '{"y":')]
    rest = [piece(1, None, None, "2}"), piece(0, None, None, "1}")]
    reused = [piece(0, "c", "h", ""), piece(0, None, None, '{"z": 3}')]
    as_object = [piece(None, "d", "k", {"w": 4})]
    stub.chat(
        stream({"tool_calls": two}, {"tool_calls": rest}, finish="tool_calls"),
        stream(
            {"tool_calls": two[:1]},
            {"tool_calls": rest[1:]},
            *[{"tool_calls": [p]} for p in reused],
        ),
        stream({"tool_calls": as_object}),
    )
    llm = make(stub)
    expected = [
        [("a", "f", {"x": 1}), ("b", "g", {"y": 2})],
        [("a", "f", {"x": 1}), ("c", "h", {"z": 3})],
        [("d", "k", {"w": 4})],
    ]
    for wanted in expected:
        last = list(llm.stream_chat(HELLO))[-1]
        calls = llm.get_tool_calls_from_response(last)
        assert [(c.tool_id, c.tool_name, c.tool_kwargs) for c in calls] == wanted


@pytest.mark.rule("line-separators")
def test_line_separators_inside_a_delta_survive(stub: StubRouter) -> None:
    text = "a\u2028b\u2029c\u0085d"
    stub.chat(stream({"content": text}))
    assert list(make(stub).stream_chat(HELLO))[-1].message.content == text


@pytest.mark.rule("whole-answer-to-a-stream")
def test_a_server_that_does_not_stream_is_understood(stub: StubRouter) -> None:
    whole = {
        "choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    stub.chat(json_reply(whole))
    found = list(make(stub).stream_chat(HELLO))
    assert found[-1].message.content == "Hi."
    assert get_tokens_from_response(found[-1]) == (1, 2)


@pytest.mark.rule("usage-last")
def test_usage_in_the_finish_chunk_counts(stub: StubRouter) -> None:
    from tests.helpers.fault_server import sse

    last = {**chunk({}, "stop"), "usage": {"prompt_tokens": 5, "completion_tokens": 6}}
    stub.chat(sse(chunk({"content": "a"}), last))
    assert get_tokens_from_response(list(make(stub).stream_chat(HELLO))[-1]) == (5, 6)


@pytest.mark.rule("tools-streamed")
def test_call_helper_of_the_stub_streams_calls(stub: StubRouter) -> None:
    stub.chat(call(("add", {"a": 2, "b": 3}), text="Let me see."))
    last = list(make(stub).stream_chat(HELLO))[-1]
    assert last.message.content == "Let me see."
    assert last.additional_kwargs["finish_reason"] == "tool_calls"
