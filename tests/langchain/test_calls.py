"""Calls: what is sent for which parameter, and what of the answer becomes what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from pydantic import SecretStr, ValidationError

from langchain_hfrouter import ChatHFRouter
from shared_core import InvalidSettingError
from tests.helpers.fault_server import FaultServer
from tests.langchain.script import model_of, serving, whole
from tests.langchain.stub_server import StubServer

pytestmark = pytest.mark.anyio


def sent(server: FaultServer) -> dict[str, Any]:
    return server.requests[-1].json()


@pytest.mark.rule("nothing-unasked")
def test_nothing_is_sent_that_was_not_asked_for() -> None:
    with serving(whole()) as server:
        model_of(server).invoke("Hi")
        assert sent(server) == {"model": "org/m", "messages": [{"role": "user", "content": "Hi"}]}
        assert len(server.requests) == 1


PARAMETERS = {
    "temperature": 0,
    "max_tokens": 7,
    "max_completion_tokens": 7,
    "top_p": 0.5,
    "frequency_penalty": -1.0,
    "presence_penalty": 1.5,
    "stop": ["x"],
    "seed": 3,
    "n": 1,
    "logprobs": True,
    "logit_bias": {"5": 1.0},
    "reasoning_effort": "low",
    "user": "ada",
}


@pytest.mark.rule("parameters-are-sent-as-set", "zero-is-sent")
@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("where", ["constructor", "call", "bind", "stream"])
def test_parameters_are_sent_as_set(name: str, where: str, stub: StubServer) -> None:
    """Pain 7: parameters dropped or truncated elsewhere; temperature 0 stays 0."""
    value = PARAMETERS[name]
    given = {"model": "org/m", "base_url": stub.base_url, "api_key": "t"}
    if where == "constructor":
        ChatHFRouter(**given, **{name: value}).invoke("Hi")
    elif where == "call":
        ChatHFRouter(**given).invoke("Hi", **{name: value})
    elif where == "bind":
        ChatHFRouter(**given).bind(**{name: value}).invoke("Hi")
    else:
        list(ChatHFRouter(**given).stream("Hi", **{name: value}))
    extra = {"stream", "stream_options"} if where == "stream" else set()
    assert stub.last[name] == value
    assert set(stub.last) == {"model", "messages", name} | extra


@pytest.mark.rule("calls-win-over-the-model", "stops-are-sent")
def test_a_call_wins_over_the_model() -> None:
    with serving(whole()) as server:
        model = model_of(server, temperature=1, stop=["a"], extra_body={"top_k": 1, "min_p": 0.1})
        model.invoke("Hi", temperature=0, stop=["b"], model="other/m", top_k=5)
        body = sent(server)
    assert (body["temperature"], body["stop"], body["model"]) == (0, ["b"], "other/m")
    assert (body["top_k"], body["min_p"]) == (5, 0.1)


@pytest.mark.rule("unknown-call-keywords-go-to-the-body")
def test_unknown_keywords_of_a_call_go_into_the_body() -> None:
    with serving(whole()) as server:
        model_of(server).invoke("Hi", top_k=5, extra_body={"min_p": 0.1})
        assert (sent(server)["top_k"], sent(server)["min_p"]) == (5, 0.1)


@pytest.mark.rule("unknown-constructor-keywords-are-refused")
@pytest.mark.parametrize(
    ("name", "near"),
    [("temprature", "temperature"), ("max_token", "max_tokens"), ("apikey", "api_key")],
)
def test_unknown_keywords_of_the_constructor_are_refused(name: str, near: str) -> None:
    """Trap 12: pydantic would ignore them."""
    with pytest.raises(InvalidSettingError, match=near):
        ChatHFRouter(model="org/m", **{name: 1})


@pytest.mark.rule("aliases")
@pytest.mark.parametrize(
    ("alias", "field", "value"),
    [
        ("model_name", "model", "org/m"),
        ("repo_id", "model", "org/m"),
        ("request_timeout", "timeout", 5.0),
        ("stop_sequences", "stop", ["x"]),
        ("max_new_tokens", "max_tokens", 5),
        ("model_kwargs", "extra_body", {"top_k": 1}),
        ("endpoint_url", "base_url", "http://127.0.0.1:1/v1"),
    ],
)
def test_other_names_of_keywords(alias: str, field: str, value: Any) -> None:
    given = {"model": "org/m"} if field != "model" else {}
    assert getattr(ChatHFRouter(**given, **{alias: value}), field) == value


@pytest.mark.rule("aliases")
def test_one_setting_given_twice_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match="given twice"):
        ChatHFRouter(model="a/b", model_name="c/d")


@pytest.mark.rule("timeouts")
@pytest.mark.parametrize("timeout", [60, 60.0, None])
def test_timeouts(timeout: Any) -> None:
    """Trap 16."""
    assert ChatHFRouter(model="a/b", timeout=timeout).timeout == timeout


@pytest.mark.rule("timeouts")
def test_an_httpx_timeout_is_understood() -> None:
    import httpx

    assert ChatHFRouter(model="a/b", timeout=httpx.Timeout(5, read=7)).timeout == 7


@pytest.mark.rule("bad-input-is-not-sent")
@pytest.mark.parametrize(
    ("field", "value"),
    [("base_url", "not a url"), ("timeout", -1), ("base_url", "http://u:p@host/v1")],
)
def test_bad_settings_are_refused_at_once(field: str, value: Any) -> None:
    with pytest.raises((InvalidSettingError, ValidationError)):
        ChatHFRouter(model="a/b", **{field: value})


@pytest.mark.rule("tokens-of-every-kind")
@pytest.mark.parametrize(
    "key",
    ["hf_secret", SecretStr("hf_secret"), lambda: "hf_secret", lambda: SecretStr("hf_secret")],
)
def test_keys_of_every_kind_are_sent(key: Any) -> None:
    with serving(whole()) as server:
        model_of(server, api_key=key).invoke("Hi")
        assert server.requests[0].headers["authorization"] == "Bearer hf_secret"


@pytest.mark.rule("tokens-of-every-kind")
def test_the_environment_is_asked_for_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGGINGFACEHUB_API_TOKEN", "hf_env")
    with serving(whole()) as server:
        model_of(server, api_key=None).invoke("Hi")
        assert server.requests[0].headers["authorization"] == "Bearer hf_env"


@pytest.mark.rule("billing")
def test_bill_to_and_headers_are_sent() -> None:
    """Pain 15."""
    with serving(whole()) as server:
        model = model_of(server, bill_to="acme", default_headers={"x-team": "blue"})
        model.invoke("Hi", extra_headers={"x-run": "1"})
        headers = server.requests[0].headers
    assert (headers["x-hf-bill-to"], headers["x-team"], headers["x-run"]) == ("acme", "blue", "1")


@pytest.mark.rule("billing")
def test_the_environment_says_who_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_BILL_TO", "acme")
    with serving(whole()) as server:
        model_of(server).invoke("Hi")
        model_of(server, bill_to="other").invoke("Hi")
        model_of(server).invoke("Hi", bill_to="third")
        payers = [request.headers["x-hf-bill-to"] for request in server.requests]
    assert payers == ["acme", "other", "third"]


@pytest.mark.rule("routes")
@pytest.mark.parametrize(
    ("model", "call", "asked"),
    [
        ({"model": "a/b:groq"}, {}, "a/b:groq"),
        ({"model": "a/b", "provider": "groq"}, {}, "a/b:groq"),
        ({"model": "a/b", "policy": "cheapest"}, {}, "a/b:cheapest"),
        ({"model": "a/b", "provider": "groq"}, {"provider": "novita"}, "a/b:novita"),
        ({"model": "a/b:groq"}, {"provider": "novita"}, "a/b:novita"),
        ({"model": "a/b", "provider": "groq"}, {"policy": "fastest"}, "a/b:fastest"),
        ({"model": "a/b", "provider": "groq"}, {"model": "c/d"}, "c/d:groq"),
        ({"model": "a/b", "provider": "groq"}, {"model": "c/d:novita"}, "c/d:novita"),
    ],
)
def test_provider_and_policy(model: Any, call: Any, asked: str) -> None:
    with serving(whole()) as server:
        model_of(server, **model).invoke("Hi", **call)
        assert sent(server)["model"] == asked


# --- answers


@pytest.mark.rule("response-metadata", "logprobs")
def test_metadata_of_an_answer() -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1}]}
    reply = whole(top_system_fingerprint="fp")
    with serving(reply) as server:
        message = model_of(server).invoke("Hi")
    assert message.response_metadata == {
        "model_provider": "hfrouter",
        "model_name": "served/m",
        "finish_reason": "stop",
        "id": "c1",
        "created": 1_771_000_000,
        "system_fingerprint": "fp",
        "request_id": "req-7",
        "inference_provider": "groq",
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "logprobs": logprobs}
    with serving(whole(top_choices=[{**choice, "finish_reason": "stop"}])) as server:
        message = model_of(server, logprobs=True).invoke("Hi")
    assert message.response_metadata["logprobs"] == logprobs


@pytest.mark.rule("usage-details")
def test_usage_details_are_whole_numbers() -> None:
    """Trap 4: None and floats break the sum."""
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    with serving(whole(top_usage=usage)) as server:
        message = model_of(server).invoke("Hi")
    assert message.usage_metadata == {
        "input_tokens": 9,
        "output_tokens": 5,
        "total_tokens": 14,
        "input_token_details": {"cache_read": 4},
        "output_token_details": {"reasoning": 2},
    }


def test_an_answer_without_usage() -> None:
    with serving(whole(top_usage=None)) as server:
        assert model_of(server).invoke("Hi").usage_metadata is None


@pytest.mark.rule("reasoning-is-kept", "reasoning-blocks")
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "reasoning_text"])
def test_reasoning_is_kept(field: str) -> None:
    with serving(whole("Yes", **{field: "hm"})) as server:
        message = model_of(server).invoke("Hi")
        v1 = model_of(server, output_version="v1").invoke("Hi")
    assert message.additional_kwargs == {"reasoning_content": "hm"}
    expected = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "Yes"}]
    assert message.content_blocks == expected
    assert v1.content == expected


@pytest.mark.rule("reasoning-blocks")
def test_an_empty_reasoning_makes_no_block() -> None:
    with serving(whole("Yes", reasoning_content="")) as server:
        assert model_of(server).invoke("Hi").content_blocks == [{"type": "text", "text": "Yes"}]


@pytest.mark.rule("think-tags")
def test_thinking_tags_are_split_on_request() -> None:
    with serving(whole("<think>hm</think>\n\nYes")) as server:
        message = model_of(server, split_think=True).invoke("Hi")
        assert (message.text, message.additional_kwargs) == ("Yes", {"reasoning_content": "hm"})
        assert model_of(server).invoke("Hi").text.startswith("<think>")


@pytest.mark.rule("reasoning-echo")
@pytest.mark.parametrize(
    ("echo", "with_call", "without_call"),
    [("auto", True, False), ("always", True, True), (True, True, True), ("never", False, False)],
)
def test_reasoning_is_sent_back_where_wanted(
    echo: Any, with_call: bool, without_call: bool
) -> None:
    """Pain 5: a tool loop without it is a 400."""
    kept = {"reasoning_content": "hm"}
    history = [
        HumanMessage("a"),
        AIMessage("b", additional_kwargs=kept),
        HumanMessage("c"),
        AIMessage("", additional_kwargs=kept, tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
        ToolMessage("d", tool_call_id="1"),
    ]
    with serving(whole()) as server:
        model_of(server, reasoning_echo=echo).invoke(history)
        messages = sent(server)["messages"]
    assert ("reasoning_content" in messages[3]) is with_call
    assert ("reasoning_content" in messages[1]) is without_call


@pytest.mark.rule("reasoning-echo")
def test_models_that_refuse_reasoning_get_none() -> None:
    kept = {"reasoning_content": "hm"}
    call: Any = {"name": "f", "args": {}, "id": "1"}
    answer = AIMessage("", additional_kwargs=kept, tool_calls=[call])
    with serving(whole()) as server:
        for name, echoed in (("google/gemma-3-27b-it", False), ("org/m", True)):
            history = [HumanMessage("a"), answer, ToolMessage("d", tool_call_id="1")]
            model_of(server).invoke(history, model=name)
            assert ("reasoning_content" in sent(server)["messages"][1]) is echoed


@pytest.mark.rule("refusals-are-blocks")
def test_a_refusal_is_a_block() -> None:
    with serving(whole(None, refusal="I won't.")) as server:
        message = model_of(server).invoke("Hi")
    assert message.content_blocks == [{"type": "refusal", "refusal": "I won't."}]


@pytest.mark.rule("several-answers")
def test_several_answers() -> None:
    choices = [
        {"index": at, "message": {"role": "assistant", "content": t}, "finish_reason": "stop"}
        for at, t in enumerate("ab")
    ]
    with serving(whole(top_choices=choices)) as server:
        result = model_of(server, n=2).generate([[HumanMessage("Hi")]])
    assert [generation.text for generation in result.generations[0]] == ["a", "b"]
    usages = [generation.message.usage_metadata for generation in result.generations[0]]  # type: ignore[union-attr]
    assert [usage is not None for usage in usages] == [True, False]


@pytest.mark.rule("batches")
def test_calls_are_one_request_each_in_order() -> None:
    with serving(whole("a"), whole("b")) as server:
        answers = model_of(server).batch(["x", "y"], config={"max_concurrency": 1})
        assert [answer.text for answer in answers] == ["a", "b"]


@pytest.mark.rule("rate-limiter")
def test_a_rate_limiter_is_asked() -> None:
    limiter = InMemoryRateLimiter(requests_per_second=1000, check_every_n_seconds=0.001)
    with serving(whole()) as server:
        assert model_of(server, rate_limiter=limiter).invoke("Hi").text == "Hi."


@pytest.mark.rule("configurable")
def test_fields_can_be_configured_by_a_run() -> None:
    with serving(whole()) as server:
        model = model_of(server).configurable_fields(
            model_name=ConfigurableField(id="m"), temperature=ConfigurableField(id="t")
        )
        model.invoke("Hi", config={"configurable": {"m": "other/m", "t": 0.5}})
        assert (sent(server)["model"], sent(server)["temperature"]) == ("other/m", 0.5)


@pytest.mark.rule("four-native-calls")
async def test_forty_parallel_calls_use_no_thread() -> None:
    """Native async."""
    import threading

    with serving(whole()) as server:
        model = model_of(server)
        await model.ainvoke("warm up")
        names = {thread.name for thread in threading.enumerate()}
        calls = asyncio.gather(*(model.ainvoke("Hi") for _ in range(40)))
        answers = await calls
        new = {t.name for t in threading.enumerate()} - names
    assert len(answers) == 40
    assert not any("executor" in name.lower() or "asyncio" in name.lower() for name in new)
    assert len(server.requests) == 41
