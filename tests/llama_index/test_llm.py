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
    MessageRole,
    ThinkingBlock,
)
from llama_index.core.callbacks.token_counting import get_tokens_from_response

from llama_index_hfrouter import HFRouter, HFRouterEmbedding
from shared_core import InvalidSettingError
from tests.helpers.fault_server import json_reply
from tests.llama_index.stub_server import StubRouter, call, chunk, say, stream

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


def test_streams_are_generator_objects(stub: StubRouter) -> None:
    stub.chat(say("a b"))
    llm = make(stub)
    for opened in (llm.stream_chat(HELLO), llm.stream_complete("x")):
        assert isinstance(opened, Generator)
        opened.close()


async def test_async_streams_are_coroutines_of_async_generators(stub: StubRouter) -> None:
    stub.chat(say("a b"))
    llm = make(stub)
    for opened in (await llm.astream_chat(HELLO), await llm.astream_complete("x")):
        assert isinstance(opened, AsyncGenerator)
        await opened.aclose()


def test_stream_is_cumulative_and_deltas_add_up(stub: StubRouter) -> None:
    stub.chat(say(["He", "llo", " there"]))
    found = list(make(stub).stream_chat(HELLO))
    assert "".join(r.delta or "" for r in found) == "Hello there"
    texts = [r.message.content or "" for r in found]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert found[-1].raw["choices"] == []
    assert found[-1].message == found[-2].message


# --- what is sent -----------------------------------------------------------------------


def test_nothing_is_sent_that_was_not_asked_for(stub: StubRouter) -> None:
    stub.chat(say("x"))
    make(stub).chat(HELLO)
    assert stub.last.keys() == {"model", "messages"}


def test_streams_ask_for_usage_unless_told_not_to(stub: StubRouter) -> None:
    stub.chat(say("x"))
    list(make(stub).stream_chat(HELLO))
    assert stub.last["stream_options"] == {"include_usage": True}
    list(make(stub, stream_usage=False).stream_chat(HELLO))
    assert "stream_options" not in stub.last


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


def test_call_keywords_win_over_the_constructor(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub, temperature=1, max_tokens=5, additional_kwargs={"seed": 1, "top_p": 0.1})
    llm.chat(HELLO, temperature=0, max_tokens=9, seed=2, stop="END")
    sent = stub.last
    assert (sent["temperature"], sent["max_tokens"], sent["seed"], sent["top_p"]) == (0, 9, 2, 0.1)
    assert sent["stop"] == ["END"]


def test_a_call_keyword_of_none_leaves_the_constructor_in_force(stub: StubRouter) -> None:
    stub.chat(say("x"))
    make(stub, max_tokens=5).chat(HELLO, max_tokens=None, tool_choice=None)
    assert stub.last["max_tokens"] == 5


def test_extra_bodies_are_merged_and_the_call_wins(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub, extra_body={"top_k": 1, "seed": 1})
    llm.chat(HELLO, extra_body={"top_k": 2})
    assert (stub.last["top_k"], stub.last["seed"]) == (2, 1)


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


def test_key_payer_headers_and_user_agent_are_sent(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub, api_key="hf_secret", bill_to="my-org", default_headers={"X-Team": "a"})
    llm.chat(HELLO, extra_headers={"X-Call": "b"})
    headers = stub.requests[-1].headers
    assert headers["authorization"] == "Bearer hf_secret"
    assert headers["x-hf-bill-to"] == "my-org"
    assert (headers["x-team"], headers["x-call"]) == ("a", "b")
    assert headers["user-agent"].startswith("llama-index-hfrouter")


def test_a_callable_key_is_asked_for_every_request(stub: StubRouter) -> None:
    stub.chat(say("x"))
    keys = iter(["hf_one", "hf_two"])
    llm = make(stub, api_key=lambda: next(keys))
    llm.chat(HELLO)
    llm.chat(HELLO)
    sent = [request.headers["authorization"] for request in stub.requests]
    assert sent == ["Bearer hf_one", "Bearer hf_two"]


def test_the_token_comes_from_the_environment(
    stub: StubRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    stub.chat(say("x"))
    make(stub).chat(HELLO)
    assert stub.requests[-1].headers["authorization"] == "Bearer hf_env"


def test_a_changed_attribute_is_honoured_at_once(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub)
    llm.chat(HELLO)
    llm.model, llm.bill_to, llm.temperature = "other/m", "payer", 0.5
    llm.chat(HELLO)
    assert (stub.last["model"], stub.last["temperature"]) == ("other/m", 0.5)
    assert stub.requests[-1].headers["x-hf-bill-to"] == "payer"


def test_a_completion_prompt_is_formatted_once(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub, completion_to_prompt=lambda prompt: f"<{prompt}>")
    llm.complete("a")
    assert stub.last["messages"][0]["content"] == "<a>"
    llm.complete("a", formatted=True)
    assert stub.last["messages"][0]["content"] == "a"


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


def test_a_think_end_without_beginning_is_put_right_at_the_end(stub: StubRouter) -> None:
    stub.chat(say(["hm", " hm</think>", "Four."]))
    last = list(make(stub).stream_chat(HELLO))[-1]
    assert last.message.content == "Four."
    assert isinstance(last.message.blocks[0], ThinkingBlock)
    assert last.message.blocks[0].content == "hm hm"
    assert get_tokens_from_response(last) == (11, 7)


def test_reasoning_is_sent_back_only_on_request(stub: StubRouter) -> None:
    stub.chat(say("Four.", reasoning="hm"))
    answer = make(stub).chat(HELLO).message
    again = [*HELLO, answer, *HELLO]
    make(stub).chat(again)
    assert stub.last["messages"][1] == {"role": "assistant", "content": "Four."}
    make(stub, send_reasoning=True).chat(again)
    assert stub.last["messages"][1]["reasoning_content"] == "hm"


# --- answers that peers get wrong -------------------------------------------------------


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


def test_line_separators_inside_a_delta_survive(stub: StubRouter) -> None:
    text = "a\u2028b\u2029c\u0085d"
    stub.chat(stream({"content": text}))
    assert list(make(stub).stream_chat(HELLO))[-1].message.content == text


def test_a_server_that_does_not_stream_is_understood(stub: StubRouter) -> None:
    whole = {
        "choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    stub.chat(json_reply(whole))
    found = list(make(stub).stream_chat(HELLO))
    assert found[-1].message.content == "Hi."
    assert get_tokens_from_response(found[-1]) == (1, 2)


def test_usage_in_the_finish_chunk_counts(stub: StubRouter) -> None:
    from tests.helpers.fault_server import sse

    last = {**chunk({}, "stop"), "usage": {"prompt_tokens": 5, "completion_tokens": 6}}
    stub.chat(sse(chunk({"content": "a"}), last))
    assert get_tokens_from_response(list(make(stub).stream_chat(HELLO))[-1]) == (5, 6)


# --- settings ---------------------------------------------------------------------------


def test_metadata_needs_no_io_and_has_a_large_window(stub: StubRouter) -> None:
    metadata = make(stub).metadata
    assert metadata.context_window == 32_768
    assert metadata.num_output == -1
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model
    assert metadata.model_name == "org/model"
    assert metadata.system_role is MessageRole.SYSTEM
    assert make(stub, context_window=1000, max_tokens=50).metadata.num_output == 50
    assert make(stub, context_window=1000).metadata.context_window == 1000
    assert stub.accepted == 0


def test_construction_needs_no_token_and_opens_nothing() -> None:
    assert HFRouter(model="a/b").metadata.model_name == "a/b"


@pytest.mark.parametrize(
    ("name", "nearest"), [("temprature", "temperature"), ("basurl", "base_url")]
)
def test_unknown_constructor_keywords_name_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(InvalidSettingError, match=nearest):
        HFRouter("a/b", **{name: 1})


def test_keywords_as_other_packages_call_them(stub: StubRouter) -> None:
    llm = HFRouter(
        model_name="a/b", token="t-1", api_base=stub.base_url, headers={"x-team": "blue"}
    )
    assert llm.model == "a/b"
    assert llm.base_url == stub.base_url
    assert llm.default_headers == {"x-team": "blue"}
    assert llm.api_key is not None and "t-1" not in repr(llm)
    embedding = HFRouterEmbedding(model_name="a/b", token="t-1", api_base=stub.base_url)
    assert embedding.base_url == stub.base_url


@pytest.mark.parametrize("twice", [{"token": "a", "api_key": "b"}, {"model_name": "c/d"}])
def test_one_setting_by_two_names_is_refused(twice: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingError, match=r"given twice|model_name"):
        HFRouter("a/b", **twice)


@pytest.mark.parametrize("options", [{}, {"model": ""}, {"temperature": 0}])
def test_a_model_is_needed(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingError, match="model is missing"):
        HFRouter(**options)


def test_unknown_call_keywords_name_the_nearest(stub: StubRouter) -> None:
    with pytest.raises(InvalidSettingError, match="max_tokens"):
        make(stub).chat(HELLO, max_token=1)
    assert stub.accepted == 0


def test_base_fields_are_accepted() -> None:
    llm = HFRouter("a/b", callback_manager=None, system_prompt="s", rate_limiter=None)
    assert llm.system_prompt == "s"
    assert llm.callback_manager is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("top_p", 1.5),
        ("max_tokens", 0),
        ("timeout", 0),
        ("connect_timeout", -1),
        ("max_retries", -1),
        ("context_window", 0),
        ("policy", "quickest"),
    ],
)
def test_values_out_of_range_are_refused_early(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        HFRouter("a/b", **{name: value})


# --- what the router knows --------------------------------------------------------------

MODEL_LIST = {
    "data": [
        {
            "id": "org/model",
            "providers": [
                {
                    "provider": "big",
                    "status": "live",
                    "context_length": 131072,
                    "supports_tools": True,
                    "supports_structured_output": True,
                },
                {
                    "provider": "small",
                    "status": "live",
                    "context_length": 40960,
                    "supports_tools": False,
                    "supports_structured_output": False,
                },
            ],
        }
    ]
}


@pytest.mark.parametrize(
    ("options", "window", "tools", "schema"),
    [
        ({}, 40960, True, False),
        ({"provider": "big"}, 131072, True, True),
        ({"provider": "small"}, 40960, False, False),
    ],
)
async def test_model_info_is_loaded_on_request_only(
    options: dict[str, Any], window: int, tools: bool, schema: bool, stub: StubRouter
) -> None:
    stub.on("/v1/models", json_reply(MODEL_LIST))
    for asynchronous in (False, True):
        llm = make(stub, **options)
        info = await llm.aload_model_info() if asynchronous else llm.load_model_info()
        assert info.id == "org/model"
        assert llm.metadata.context_window == window
        assert llm.metadata.is_function_calling_model is tools
        assert llm.supports_json_schema is schema


def test_call_helper_of_the_stub_streams_calls(stub: StubRouter) -> None:
    stub.chat(call(("add", {"a": 2, "b": 3}), text="Let me see."))
    last = list(make(stub).stream_chat(HELLO))[-1]
    assert last.message.content == "Let me see."
    assert last.additional_kwargs["finish_reason"] == "tool_calls"
