"""Where requests go and who pays: tokens, providers, addresses, defaults, for all three classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import MessageRole
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_hfrouter import HFRouter, HFRouterEmbedding, HFRouterRerank
from shared_core import InvalidSettingError, MissingTokenError
from tests.helpers.fault_server import json_reply
from tests.llama_index.stub_server import CHAT, StubRouter, say
from tests.llama_index.test_llm import EIGHT, HELLO, make, result_of

pytestmark = pytest.mark.anyio

NODES = [NodeWithScore(node=TextNode(text="red"))]
USES: list[Callable[..., Any]] = [
    lambda stub, **given: HFRouter("org/m", base_url=stub.base_url, **given).chat(HELLO),
    lambda stub, **given: HFRouterEmbedding(
        "org/m", base_url=stub.base_url, **given
    ).get_query_embedding("a"),
    lambda stub, **given: HFRouterRerank(base_url=stub.url, **given).postprocess_nodes(
        NODES, query_str="red"
    ),
]
KINDS = ["llm", "embedding", "rerank"]


@pytest.mark.rule("base-classes", "own-wire")
def test_the_classes_stand_on_cores_own_bases() -> None:
    assert issubclass(HFRouter, FunctionCallingLLM)
    assert not issubclass(HFRouter, CustomLLM)
    assert issubclass(HFRouterEmbedding, BaseEmbedding)
    assert issubclass(HFRouterRerank, BaseNodePostprocessor)
    ours = ("llama_index_hfrouter", "llama_index.core", "llama_index_instrumentation")
    for kind in (HFRouter, HFRouterEmbedding, HFRouterRerank):
        others = {base.__module__ for base in kind.__mro__ if not base.__module__.startswith(ours)}
        assert {name.partition(".")[0] for name in others} <= {"pydantic", "abc", "builtins"}


# --- tokens -----------------------------------------------------------------------------


@pytest.mark.rule("token-sources", "no-foreign-keys", "embedding-token")
@pytest.mark.parametrize("use", USES, ids=KINDS)
def test_the_token_is_the_argument_else_the_environment_else_the_login(
    use: Callable[..., Any], stub: StubRouter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stub.chat(say("x"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:1/v1")
    use(stub)
    assert "authorization" not in stub.requests[-1].headers
    (tmp_path / "token").write_text("hf_login\n", encoding="utf-8")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    use(stub)
    assert stub.requests[-1].headers["authorization"] == "Bearer hf_login"
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    use(stub)
    assert stub.requests[-1].headers["authorization"] == "Bearer hf_env"
    use(stub, api_key="hf_given")
    assert stub.requests[-1].headers["authorization"] == "Bearer hf_given"


@pytest.mark.rule("clear-error-without-token")
async def test_without_a_token_the_router_is_not_asked() -> None:
    llm = HFRouter("org/m")
    for name, run in EIGHT:
        with pytest.raises(MissingTokenError, match="HF_TOKEN"):
            await result_of(name, run, llm)
    embedding = HFRouterEmbedding("org/m")
    with pytest.raises(MissingTokenError, match="HF_TOKEN"):
        embedding.get_text_embedding("a")
    with pytest.raises(MissingTokenError, match="HF_TOKEN"):
        await embedding.aget_text_embedding("a")


@pytest.mark.rule("bill-to", "extra-headers", "user-agent")
@pytest.mark.parametrize("use", USES, ids=KINDS)
def test_payer_headers_and_name_of_the_package_are_sent(
    use: Callable[..., Any], stub: StubRouter
) -> None:
    stub.chat(say("x"))
    use(stub, bill_to="my-org", default_headers={"X-Team": "a"})
    headers = stub.requests[-1].headers
    assert (headers["x-hf-bill-to"], headers["x-team"]) == ("my-org", "a")
    assert "llama-index-hfrouter" in headers["user-agent"]


@pytest.mark.rule("header-injection")
@pytest.mark.parametrize("use", USES, ids=KINDS)
@pytest.mark.parametrize(
    "options", [{"bill_to": "a\r\nX-B: c"}, {"default_headers": {"X-A": "a\r\nX-B: c"}}]
)
def test_a_line_break_in_a_header_is_refused(
    options: dict[str, Any], use: Callable[..., Any], stub: StubRouter
) -> None:
    with pytest.raises(InvalidSettingError, match="line break"):
        use(stub, **options)
    assert stub.accepted == 0


# --- where to ---------------------------------------------------------------------------


@pytest.mark.rule("complete-is-a-chat", "one-route")
@pytest.mark.parametrize("is_chat_model", [True, False])
async def test_every_call_goes_to_chat_completions(is_chat_model: bool, stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = make(stub, is_chat_model=is_chat_model)
    for name, run in EIGHT:
        await result_of(name, run, llm)
    assert llm.predict(PromptTemplate("x")) == "x"
    assert {request.path for request in stub.requests} == {CHAT}
    assert len(stub.bodies) == 9


@pytest.mark.rule("policy", "provider")
@pytest.mark.parametrize("name", ["fastest", "cheapest", "preferred", "groq"])
@pytest.mark.parametrize("as_keyword", [True, False])
async def test_a_policy_may_be_given_as_provider_and_in_the_call(
    name: str, as_keyword: bool, stub: StubRouter
) -> None:
    stub.chat(say("x"))
    llm = make(stub) if as_keyword else make(stub, provider=name)
    given = {"provider": name} if as_keyword else {}
    llm.chat(HELLO, **given)
    await llm.achat(HELLO, **given)
    assert [body["model"] for body in stub.bodies] == [f"org/model:{name}"] * 2


@pytest.mark.rule("provider-or-policy")
@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("org/m", {"provider": "groq", "policy": "fastest"}),
        ("org/m:groq", {"provider": "together"}),
        ("org/m:groq", {"policy": "cheapest"}),
    ],
)
async def test_two_answers_to_who_serves_are_refused(
    model: str, options: dict[str, Any], stub: StubRouter
) -> None:
    llm = HFRouter(model, base_url=stub.base_url, **options)
    for name, run in EIGHT:
        with pytest.raises(InvalidSettingError):
            await result_of(name, run, llm)
    assert stub.accepted == 0


@pytest.mark.rule("base-url-of-the-environment")
def test_the_address_of_the_environment_is_used(
    stub: StubRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.chat(say("Hello."))
    monkeypatch.setenv("HUGGINGFACE_BASE_URL", stub.base_url)
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    assert HFRouter("org/m").chat(HELLO).message.content == "Hello."


@pytest.mark.rule("finite-timeout")
@pytest.mark.parametrize("kind", [HFRouter, HFRouterEmbedding, HFRouterRerank])
def test_the_default_timeout_is_finite(kind: Any) -> None:
    timeout = kind("org/m").timeout
    assert 0 < timeout < math.inf
    assert kind("org/m", timeout=None).timeout is None


@pytest.mark.rule("no-io-at-construction", "one-client-per-loop")
@pytest.mark.parametrize("kind", [HFRouter, HFRouterEmbedding, HFRouterRerank])
def test_no_client_is_made_before_the_first_call(kind: Any) -> None:
    assert kind("org/m")._clients._made == {}


# --- settings ---------------------------------------------------------------------------


@pytest.mark.rule("metadata", "metadata-no-io", "context-window-default")
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


@pytest.mark.rule("no-io-at-construction")
def test_construction_needs_no_token_and_opens_nothing() -> None:
    assert HFRouter(model="a/b").metadata.model_name == "a/b"


@pytest.mark.rule("unknown-keywords")
@pytest.mark.parametrize(
    ("name", "nearest"), [("temprature", "temperature"), ("basurl", "base_url")]
)
def test_unknown_constructor_keywords_name_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(InvalidSettingError, match=nearest):
        HFRouter("a/b", **{name: 1})


@pytest.mark.rule("other-names")
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


@pytest.mark.rule("other-names")
@pytest.mark.parametrize("twice", [{"token": "a", "api_key": "b"}, {"model_name": "c/d"}])
def test_one_setting_by_two_names_is_refused(twice: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingError, match=r"given twice|model_name"):
        HFRouter("a/b", **twice)


@pytest.mark.rule("checked-early")
@pytest.mark.parametrize("options", [{}, {"model": ""}, {"temperature": 0}])
def test_a_model_is_needed(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingError, match="model is missing"):
        HFRouter(**options)


@pytest.mark.rule("unknown-keywords")
def test_unknown_call_keywords_name_the_nearest(stub: StubRouter) -> None:
    with pytest.raises(InvalidSettingError, match="max_tokens"):
        make(stub).chat(HELLO, max_token=1)
    assert stub.accepted == 0


@pytest.mark.rule("settings")
def test_base_fields_are_accepted() -> None:
    llm = HFRouter("a/b", callback_manager=None, system_prompt="s", rate_limiter=None)
    assert llm.system_prompt == "s"
    assert llm.callback_manager is not None


@pytest.mark.rule("checked-early")
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


@pytest.mark.rule("model-info")
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
