"""The request of a chat call: what is sent, and what is refused before sending."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic
import pytest

from shared_core.chat.params import PARAMETERS, SENT
from shared_core.chat.request import build
from shared_core.chat.urls import chat_url
from shared_core.config.settings import Settings
from shared_core.core import Defaults
from shared_core.errors import InvalidSettingError
from shared_core.wire.messages import WireRequest

ROUTER = "https://router.huggingface.co/v1"
LOCAL = "http://127.0.0.1:8080/v1"


def request(
    messages: Any = "ping",
    *,
    stream: bool = False,
    base_url: str = ROUTER,
    defaults: Defaults | None = None,
    **params: Any,
) -> WireRequest:
    settings = Settings.resolve(base_url=base_url, env={}, timeout=30)
    if defaults is None:
        defaults = Defaults("a/b")
    return build(settings, messages, params, stream=stream, defaults=defaults)  # type: ignore[arg-type]


def body(**options: Any) -> dict[str, Any]:
    return dict(request(**options).json)


def refusal(**options: Any) -> str:
    with pytest.raises(InvalidSettingError) as caught:
        request(**options)
    return str(caught.value)


def test_a_plain_call_says_nothing_that_was_not_asked_for() -> None:
    wire = request()
    assert wire.json == {"model": "a/b", "messages": [{"role": "user", "content": "ping"}]}
    assert (wire.method, wire.url) == ("POST", f"{ROUTER}/chat/completions")
    assert wire.headers == {"Accept": "application/json", "Content-Type": "application/json"}
    assert (wire.operation, wire.model, wire.provider) == ("chat", "a/b", None)
    assert (wire.timeout, wire.stream, wire.idempotent) == (30, False, False)
    assert wire.body() == b'{"model":"a/b","messages":[{"role":"user","content":"ping"}]}'


def test_none_is_not_given() -> None:
    assert request(**dict.fromkeys(PARAMETERS - {"timeout"})).json == request().json


def test_a_stream() -> None:
    wire = request(stream=True)
    assert wire.json["stream"] is True and "stream_options" not in wire.json
    assert wire.stream and wire.headers["Accept"].startswith("text/event-stream")
    assert body(stream=True, include_usage=True)["stream_options"] == {"include_usage": True}
    assert body(stream=True, include_usage=False)["stream_options"] == {"include_usage": False}
    assert body(stream=True, stream_options={"x": 1}, include_usage=True)["stream_options"] == {
        "x": 1,
        "include_usage": True,
    }
    assert "stream_options" not in body(include_usage=True)


GIVEN: dict[str, tuple[Any, Any]] = {
    "max_tokens": (16, 16),
    "temperature": (0, 0),
    "top_p": (0.5, 0.5),
    "frequency_penalty": (-2, -2),
    "presence_penalty": (2.0, 2.0),
    "stop": ("END", ["END"]),
    "seed": (-7, -7),
    "n": (2, 2),
    "logprobs": (True, True),
    "top_logprobs": (20, 20),
    "logit_bias": ({5: -100, "6": 1.5}, {"5": -100, "6": 1.5}),
    "tool_prompt": ("use them", "use them"),
    "response_format": ("json_object", {"type": "json_object"}),
    "reasoning_effort": ("xhigh", "xhigh"),
    "user": ("u-1", "u-1"),
}


def test_every_field() -> None:
    wire = body(**{name: given for name, (given, _) in GIVEN.items()})
    assert {name: wire[name] for name in GIVEN} == {name: s for name, (_, s) in GIVEN.items()}
    assert list(wire)[:2] == ["model", "messages"]
    assert type(wire["temperature"]) is int
    assert set(SENT) == {*GIVEN, "max_completion_tokens"}
    assert body(max_completion_tokens=5)["max_completion_tokens"] == 5


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("temperature", 0.0, 0.0),
        ("temperature", 2, 2),
        ("temperature", np.float32(0.5), 0.5),
        ("max_tokens", np.int64(5), 5),
        ("stop", ("a", "b", "c", "d"), ["a", "b", "c", "d"]),
        ("stop", [], None),
        ("logprobs", False, False),
        ("seed", 2**63 - 1, 2**63 - 1),
    ],
)
def test_accepted(name: str, value: Any, sent: Any) -> None:
    assert body(**{name: value}).get(name) == sent


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("temperature", -0.1, "0 to 2, not -0.1"),
        ("temperature", 2.1, "0 to 2, not 2.1"),
        ("temperature", float("nan"), "nan"),
        ("temperature", float("inf"), "inf"),
        ("temperature", "hot", "'hot'"),
        ("temperature", True, "True"),
        ("temperature", 1j, "1j"),
        ("top_p", 1.1, "0 to 1"),
        ("top_p", -1, "0 to 1"),
        ("frequency_penalty", 2.5, "-2 to 2"),
        ("presence_penalty", -2.5, "-2 to 2"),
        ("max_tokens", 0, "at least 1, not 0"),
        ("max_tokens", -5, "at least 1"),
        ("max_tokens", 1.5, "1.5"),
        ("max_tokens", True, "True"),
        ("max_tokens", "9", "'9'"),
        ("max_completion_tokens", 0, "at least 1"),
        ("n", 0, "at least 1"),
        ("seed", 1.0, "whole number"),
        ("seed", False, "whole number"),
        ("seed", 2**63, "whole number"),
        ("top_logprobs", 21, "0 to 20"),
        ("top_logprobs", -1, "0 to 20"),
        ("logprobs", 1, "True or False"),
        ("logit_bias", [1], "a dict"),
        ("logit_bias", {"1": 101}, "-100 to 100"),
        ("stop", ["a"] * 5, "at most 4"),
        ("stop", ["a", ""], "stop[1]"),
        ("stop", "", "stop[0]"),
        ("stop", 5, "text or a list"),
        ("stop", [5], "stop[0]"),
        ("user", "", "not empty"),
        ("user", 5, "text"),
        ("tool_prompt", "", "text"),
        ("reasoning_effort", 3, "text"),
        ("response_format", {}, "type"),
        ("response_format", "yaml", "response_format"),
        ("response_format", {"type": "json_schema", "json_schema": {"schema": {}}}, "name"),
        ("tools", "f", "list"),
        ("tools", [5], "tools[0]"),
        ("tools", {"type": "function"}, "list"),
        ("parallel_tool_calls", 1, "True or False"),
        ("include_usage", "yes", "True or False"),
        ("stream_options", [1], "dict"),
        ("extra_body", [1], "dict"),
        ("extra_body", {"x": float("nan")}, "extra_body.x"),
        ("extra_body", {"x": object()}, "extra_body.x"),
        ("extra_body", {"stream": True}, "stream"),
        ("extra_body", {"model": None}, "model"),
        ("extra_body", {"model": []}, "model"),
        ("extra_body", {"messages": "hi"}, "messages"),
        ("extra_headers", "x", "dict"),
        ("extra_headers", {"X-A": "b\r\nX-C: d"}, "extra_headers"),
        ("extra_headers", {"X A": "b"}, "extra_headers"),
        ("extra_headers", {"Authorization": "Bearer x"}, "api_key"),
        ("extra_headers", {"x-hf-bill-to": "x"}, "bill_to"),
        ("timeout", 0, "timeout"),
        ("timeout", "soon", "timeout"),
        ("bill_to", "acme\r\nX: y", "bill_to"),
        ("split_think", "yes", "split_think"),
        ("reasoning_echo", "yes", "reasoning_echo"),
        ("model", "", "model"),
        ("model", 5, "model"),
        ("model", "../../api/x", "model"),
        ("model", "https://example.org", "base_url"),
        ("provider", "gr oq", "provider"),
        ("policy", "best", "fastest"),
    ],
)
def test_refused(name: str, value: Any, words: str) -> None:
    text = refusal(**{name: value})
    assert words in text
    assert name in text


def test_texts_of_the_user_are_not_quoted() -> None:
    assert "secret" not in refusal(messages=[{"role": "user", "content": {"secret": 1}}])
    assert "secret" not in refusal(stop=["secret" * 3, ""])
    assert "secret" not in refusal(extra_headers={"X-Key": "secret\n"})
    assert "secret" not in refusal(bill_to="secret\n")


def test_exclusive_parameters() -> None:
    assert "exclude each other" in refusal(max_tokens=5, max_completion_tokens=6)
    assert "exclude each other" in refusal(provider="groq", policy="fastest")
    assert "needs logprobs=True" in refusal(top_logprobs=3)
    assert "needs logprobs=True" in refusal(top_logprobs=3, logprobs=False)
    assert "contradicts" in refusal(
        stream=True, include_usage=True, stream_options={"include_usage": False}
    )
    assert "chat.stream()" in refusal(stream_options={"include_usage": True})


@pytest.mark.parametrize(
    ("name", "near"),
    [("temprature", "temperature"), ("max_token", "max_tokens"), ("topP", "top_p")],
)
def test_unknown_parameters_name_the_nearest(name: str, near: str) -> None:
    text = refusal(**{name: 1})
    assert name in text and near in text and "extra_body" in text


# --- model, provider, policy ------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "defaults", "model", "provider"),
    [
        ({}, Defaults("a/b"), "a/b", None),
        ({"model": "c/d"}, Defaults("a/b"), "c/d", None),
        ({}, Defaults("a/b:groq"), "a/b:groq", "groq"),
        ({"provider": "groq"}, Defaults("a/b"), "a/b:groq", "groq"),
        ({"provider": "auto"}, Defaults("a/b"), "a/b", None),
        ({"policy": "cheapest"}, Defaults("a/b"), "a/b:cheapest", None),
        ({}, Defaults("a/b", provider="groq"), "a/b:groq", "groq"),
        ({}, Defaults("a/b", policy="fastest"), "a/b:fastest", None),
        ({"provider": "novita"}, Defaults("a/b", provider="groq"), "a/b:novita", "novita"),
        ({"policy": "fastest"}, Defaults("a/b", provider="groq"), "a/b:fastest", None),
        ({"model": "c/d:x"}, Defaults("a/b", provider="groq"), "c/d:x", "x"),
        ({"model": "c/d"}, Defaults("a/b", provider="groq"), "c/d:groq", "groq"),
        ({"provider": "novita"}, Defaults("a/b:groq"), "a/b:novita", "novita"),
        ({"model": "a/b:groq", "provider": "groq"}, Defaults(), "a/b:groq", "groq"),
    ],
)
def test_routing(
    options: dict[str, Any], defaults: Defaults, model: str, provider: str | None
) -> None:
    wire = request(defaults=defaults, **options)
    assert wire.json["model"] == wire.model == model
    if provider is not None:
        assert wire.provider == provider


def test_contradicting_routes_are_refused() -> None:
    assert "contradicts" in refusal(model="a/b:groq", provider="novita")
    assert "contradicts" in refusal(model="a/b:groq", policy="fastest")


@pytest.mark.parametrize("base_url", [ROUTER, LOCAL])
def test_a_model_is_needed_everywhere(base_url: str) -> None:
    assert "model is missing" in refusal(defaults=Defaults(), base_url=base_url)


@pytest.mark.parametrize(
    "model", ["llama3:8b", "/models/x.gguf", "accounts/fireworks/models/llama", "Name of Mine"]
)
def test_servers_of_ones_own_take_any_name(model: str) -> None:
    assert body(model=model, base_url=LOCAL)["model"] == model
    pass_through = "https://router.huggingface.co/fireworks-ai/inference/v1"
    assert body(model=model, base_url=pass_through)["model"] == model


@pytest.mark.parametrize("model", [" a", "a\n", "a\x00b", "x" * 500])
def test_names_that_no_server_has(model: str) -> None:
    assert "model" in refusal(model=model, base_url=LOCAL)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://h.example", "https://h.example/v1/chat/completions"),
        ("https://h.example/", "https://h.example/v1/chat/completions"),
        ("https://h.example/v1", "https://h.example/v1/chat/completions"),
        ("https://h.example/v1/", "https://h.example/v1/chat/completions"),
        ("https://h.example/x", "https://h.example/x/v1/chat/completions"),
        (
            "https://h.example/novita/v3/openai",
            "https://h.example/novita/v3/openai/v1/chat/completions",
        ),
        ("https://h.example/v3/chat/completions", "https://h.example/v3/chat/completions"),
        ("https://h.example/chat/completions/", "https://h.example/chat/completions"),
        ("https://h.example/v1?a=b&c=d", "https://h.example/v1/chat/completions?a=b&c=d"),
        ("https://h.example?a=b", "https://h.example/v1/chat/completions?a=b"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/chat/completions"),
        ("http://[::1]:8080", "http://[::1]:8080/v1/chat/completions"),
    ],
)
def test_urls(base_url: str, url: str) -> None:
    assert chat_url(base_url) == url
    assert request(base_url=base_url).url == url


# --- extras -----------------------------------------------------------------------------


def test_extra_body_wins_and_none_takes_out() -> None:
    wire = body(
        temperature=1,
        max_tokens=5,
        extra_body={"temperature": 0.3, "max_tokens": None, "top_k": 4, "nested": {"x": None}},
    )
    assert wire["temperature"] == 0.3
    assert "max_tokens" not in wire
    assert wire["top_k"] == 4
    assert wire["nested"] == {"x": None}
    assert list(body(extra_body={"z": 1, "model": "c/d"})) == ["model", "messages", "z"]
    assert request(extra_body={"model": "c/d"}).model == "c/d"


def test_extra_body_is_not_changed() -> None:
    extra = {"a": {"b": [1]}}
    wire = body(extra_body=extra)
    wire["a"]["b"].append(2)
    assert extra == {"a": {"b": [1]}}


def test_a_body_that_refers_to_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    assert "nested too deeply" in refusal(extra_body=loop)


def test_headers() -> None:
    wire = request(extra_headers={"X-Trace": "t", "accept": "application/x"}, bill_to="acme")
    assert wire.headers == {
        "Content-Type": "application/json",
        "X-Trace": "t",
        "accept": "application/x",
        "X-HF-Bill-To": "acme",
    }


def test_timeouts() -> None:
    import httpx

    assert request(timeout=5).timeout == 5.0
    assert request(timeout=None).timeout is None
    assert request(timeout=httpx.Timeout(7.0, connect=1.0)).timeout == 7.0


# --- tools and formats ------------------------------------------------------------------

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def test_tools() -> None:
    wire = body(tools=[TOOL], tool_choice=True, parallel_tool_calls=False)
    assert wire["tools"] == [TOOL]
    assert wire["tool_choice"] == "required"
    assert wire["parallel_tool_calls"] is False


def test_nothing_of_tools_is_sent_without_tools() -> None:
    for choice in ("auto", "none", False):
        wire = body(tools=[], tool_choice=choice, parallel_tool_calls=True)
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & wire.keys()
    assert "tool_choice" in refusal(tools=[], tool_choice="required")
    assert "tool_choice" in refusal(tool_choice="f")
    assert body(tool_choice="required", extra_body={"tools": [TOOL]})["tool_choice"] == "required"


def test_formats() -> None:
    class Answer(pydantic.BaseModel):
        number: int | None = None

    wire = body(response_format=Answer)["response_format"]
    assert wire["json_schema"]["name"] == "Answer"
    assert "strict" not in wire["json_schema"]
    assert wire["json_schema"]["schema"]["properties"]["number"]["default"] is None
    grammar = {"type": "regex", "value": "a+"}
    assert body(response_format=grammar)["response_format"] == grammar
