"""Copies, dumps and pickles: whole, and without secrets."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from pydantic import SecretStr

from llama_index_hfrouter import HFRouter, HFRouterEmbedding, HFRouterRerank
from shared_core import InvalidSettingError
from tests.llama_index.stub_server import StubRouter, say

SECRET = "hf_verysecret"
HELLO = [ChatMessage(role="user", content="Say hello.")]

OPTIONS: dict[str, Any] = {
    "base_url": "http://127.0.0.1:1/v1",
    "provider": "groq",
    "bill_to": "org",
    "timeout": 12.0,
    "max_retries": 2,
    "extra_body": {"top_k": 3},
}


def llm_and_embedding(**extra: Any) -> list[Any]:
    return [
        HFRouter("a/b", temperature=0.5, stop=["x"], context_window=9, **OPTIONS, **extra),
        HFRouterEmbedding("a/e", query_instruction="q: ", normalize=True, **OPTIONS, **extra),
    ]


@pytest.mark.rule("no-secrets-in-dumps")
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("key", [SECRET, SecretStr(SECRET), lambda: SECRET])
def test_the_key_is_in_no_dump_repr_or_pickle(index: int, key: Any) -> None:
    headers = {"X-S": SECRET, "X-Use-Cache": "false"}
    model = llm_and_embedding(api_key=key, default_headers=headers)[index]
    dumps = [
        str(model.to_dict()),
        model.to_json(),
        model.model_dump_json(),
        str(model.model_dump()),
        repr(model),
        str(model),
        str(model.to_payload()),
        repr(pickle.dumps(model)),
    ]
    for dump in dumps:
        assert SECRET not in dump
    restored = pickle.loads(pickle.dumps(model))
    assert restored.default_headers == {"X-Use-Cache": "false"}
    assert restored.api_key is None


@pytest.mark.rule("no-secrets-in-dumps")
def test_every_setting_of_the_client_is_taken_and_no_secret_dumped() -> None:
    from shared_core import Limits, RetryPolicy, TLSSettings

    options: dict[str, Any] = {
        "connect_timeout": 3.0,
        "retry": RetryPolicy(max_retries=2),
        "hub_url": "https://hub.example.org",
        "user_agent": "mine/1",
        "proxy": "http://user:proxypass@127.0.0.1:9",
        "tls": TLSSettings(),
        "limits": Limits(max_connections=5),
    }
    for kind in (HFRouter, HFRouterEmbedding):
        model = kind("a/b", **options)
        for one in (model, copy.deepcopy(model)):
            settings = one._client().settings
            assert settings.limits.max_connections == 5
            assert settings.user_agent.startswith("mine/1 llama-index-hfrouter")
        for dump in (model.to_json(), repr(model), repr(pickle.dumps(model))):
            assert "proxypass" not in dump
        assert pickle.loads(pickle.dumps(model)).hub_url == "https://hub.example.org"


@pytest.mark.rule("dump-round-trip", "class-names")
def test_from_dict_of_to_dict_is_the_same_model() -> None:
    llm = llm_and_embedding()[0]
    for again in (HFRouter.from_dict(llm.to_dict()), HFRouter.from_json(llm.to_json())):
        assert again.to_dict() == llm.to_dict()
        assert (again.timeout, again.stop, again.extra_body) == (12.0, ["x"], {"top_k": 3})
    assert json.loads(llm.to_json())["class_name"] == "HFRouter"
    assert HFRouter.class_name() == "HFRouter"


@pytest.mark.rule("dump-round-trip", "class-names")
def test_from_dict_of_to_dict_is_the_same_embedding() -> None:
    embedding = llm_and_embedding()[1]
    again = HFRouterEmbedding.from_dict(embedding.to_dict())
    assert again.to_dict() == embedding.to_dict()
    assert again.embed_batch_size == embedding.embed_batch_size
    assert again.query_instruction == "q: "
    assert HFRouterEmbedding.class_name() == "HFRouterEmbedding"


@pytest.mark.rule("dump-round-trip")
def test_connection_settings_that_are_no_secret_survive_a_dump() -> None:
    llm = HFRouter("a/b", connect_timeout=3.0, hub_url="https://hub.example.org", user_agent="m/1")
    again = HFRouter.from_dict(llm.to_dict())
    assert (again.connect_timeout, again.user_agent) == (3.0, "m/1")
    assert again.hub_url == "https://hub.example.org"


@pytest.mark.rule("no-password-in-addresses")
@pytest.mark.parametrize("kind", [HFRouter, HFRouterEmbedding, HFRouterRerank])
@pytest.mark.parametrize("name", ["base_url", "hub_url"])
def test_an_address_with_a_password_is_refused_unseen(kind: Any, name: str) -> None:
    with pytest.raises(InvalidSettingError, match="user name or password") as caught:
        kind("a/b", **{name: f"https://user:{SECRET}@127.0.0.1/v1"})
    assert SECRET not in str(caught.value)
    kind("a/b", **{name: "https://127.0.0.1/@org/v1"})
    with pytest.raises(InvalidSettingError, match="user name or password"):
        kind(f"https://user:{SECRET}@127.0.0.1")


def use(llm: HFRouter) -> None:
    llm.chat(HELLO)
    list(llm.stream_chat(HELLO))

    async def asynchronously() -> None:
        await llm.achat(HELLO)
        async for _ in await llm.astream_chat(HELLO):
            pass

    asyncio.run(asynchronously())


@pytest.mark.rule("copies-after-use")
def test_deepcopy_and_pickle_after_use(stub: StubRouter) -> None:
    stub.chat(say("Hello."))
    llm = HFRouter("a/b", base_url=stub.base_url, api_key=SECRET, max_tokens=7)
    use(llm)
    twin = copy.deepcopy(llm)
    use(twin)
    assert stub.requests[-1].headers["authorization"] == f"Bearer {SECRET}"
    restored = pickle.loads(pickle.dumps(llm))
    use(restored)
    assert stub.last["max_tokens"] == 7
    assert "authorization" not in stub.requests[-1].headers
    assert (twin.to_dict(), restored.to_dict()) == (llm.to_dict(), llm.to_dict())
    use(llm)


@pytest.mark.rule("copies-after-use")
def test_deepcopy_and_pickle_of_the_embedding_after_use(stub: StubRouter) -> None:
    embedding = HFRouterEmbedding("m", base_url=stub.base_url)
    expected = embedding.get_text_embedding("x")
    asyncio.run(embedding.aget_text_embedding("x"))
    for twin in (copy.deepcopy(embedding), pickle.loads(pickle.dumps(embedding))):
        assert twin.get_text_embedding("x") == expected
        assert asyncio.run(twin.aget_text_embedding("x")) == expected


@pytest.mark.rule("copies-are-apart")
def test_copies_do_not_share_what_is_changed(stub: StubRouter) -> None:
    stub.chat(say("x"))
    llm = HFRouter("a/b", base_url=stub.base_url, extra_body={"top_k": 1})
    llm.chat(HELLO)
    deep = copy.deepcopy(llm)
    assert deep.extra_body is not None
    deep.extra_body["top_k"] = 2
    changed = llm.model_copy(update={"bill_to": "payer"})
    deep.chat(HELLO)
    assert stub.last["top_k"] == 2
    changed.chat(HELLO)
    assert stub.requests[-1].headers["x-hf-bill-to"] == "payer"
    llm.chat(HELLO)
    assert stub.last["top_k"] == 1
    assert "x-hf-bill-to" not in stub.requests[-1].headers


@pytest.mark.rule("living-object-whole")
def test_pickling_leaves_the_living_object_whole(stub: StubRouter) -> None:
    limiter = TokenBucketRateLimiter(requests_per_minute=600)
    stub.chat(say("x"))
    llm = HFRouter("a/b", base_url=stub.base_url, rate_limiter=limiter, api_key=SECRET)
    pickle.loads(pickle.dumps(llm)).chat(HELLO)
    assert llm.rate_limiter is limiter
    llm.chat(HELLO)
    assert stub.requests[-1].headers["authorization"] == f"Bearer {SECRET}"
    assert copy.deepcopy(llm).rate_limiter is limiter


@pytest.mark.rule("unpickling")
def test_unpickling_runs_the_strict_constructor_with_all_base_fields() -> None:
    llm = HFRouter("a/b", system_prompt="s", messages_to_prompt=str, callback_manager=None)
    restored = pickle.loads(pickle.dumps(llm))
    assert restored.system_prompt == "s"
    assert restored.messages_to_prompt is str
    assert restored._clients is not llm._clients


@pytest.mark.rule("no-secrets-in-errors")
@pytest.mark.parametrize("kind", [HFRouter, HFRouterEmbedding])
@pytest.mark.parametrize(
    "options",
    [
        {"api_key": {"token": SECRET}},
        {"api_key": [SECRET]},
        {"default_headers": [("authorization", SECRET)]},
        {"default_headers": {"authorization": [SECRET]}},
    ],
)
def test_a_secret_of_the_wrong_type_is_refused_unseen(kind: Any, options: dict[str, Any]) -> None:
    errors = (ValueError, InvalidSettingError)
    with pytest.raises(errors, match=r"api_key|default_headers") as caught:
        kind("a/b", **options)
    assert SECRET not in str(caught.value) + repr(caught.value)
