"""Copies, pickles, dumps, caches, loops: what a model object survives, and what it never tells."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, load
from langchain_core.messages import HumanMessage

import shared_core
from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from tests.helpers.fault_server import json_reply
from tests.langchain.script import TOOL, USAGE, event, model_of, serving, stream, whole
from tests.langchain.stub_server import StubServer

SECRET = "hf_TopSecretToken0123456789"
HEADER = "header-secret-0123456789"
anyio = pytest.mark.anyio


def secretive(server: Any, **more: Any) -> ChatHFRouter:
    headers = {"x-api-key": HEADER}
    return model_of(server, api_key=SECRET, default_headers=headers, bill_to="acme", **more)


class Everything(BaseCallbackHandler):
    """Keeps all that a tracer sees."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.seen.append(repr((serialized, kwargs)))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.seen.append(repr((response, kwargs)))

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append(repr((error, str(error), kwargs)))


@pytest.mark.rule("secrets")
def test_no_secret_is_told_to_anybody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tracer = Everything()
    config: Any = {"callbacks": [tracer]}
    with serving(whole(), stream(event({"content": "x"}, "stop"))) as server:
        model = secretive(server)
        model.invoke("x", config=config, extra_headers={"x-api-key": HEADER})
        list(model.stream("x", config=config, extra_headers={"x-api-key": HEADER}))
        with pytest.raises(shared_core.APIError):
            secretive(server, base_url=f"{server.url}/nothing").invoke("x", config=config)
    shown = [
        repr(model),
        str(model),
        json.dumps(dumpd(model)),
        dumps(model),
        repr(model.model_dump()),
        repr(model.asdict()),
        repr(model._get_ls_params()),
        repr(model._identifying_params),
        model._get_llm_string(extra_headers={"x-api-key": HEADER}),
        repr(model.bind_tools([TOOL])),
        repr(vars(model)),
        pickle.dumps(model).decode("latin-1"),
        caplog.text,
        *tracer.seen,
    ]
    assert tracer.seen
    for text in shown:
        assert SECRET not in text
        assert HEADER not in text


@pytest.mark.rule("secrets")
def test_traces_and_keys_do_not_say_who_pays() -> None:
    """Trap 20."""
    tracer = Everything()
    with serving(whole()) as server:
        model = secretive(server)
        model.invoke("x", config={"callbacks": [tracer]}, bill_to="other-payer")
    for text in (*tracer.seen, model._get_llm_string(bill_to="other-payer"), dumps(model)):
        assert "acme" not in text
        assert "other-payer" not in text
    assert model.lc_secrets == {"api_key": "HF_TOKEN", "bill_to": "HF_BILL_TO"}
    assert ChatHFRouter(model="a/b").lc_secrets == {"api_key": "HF_TOKEN"}


@pytest.mark.rule("serializable")
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_a_dump_can_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ChatHFRouter(model="a/b", temperature=0, api_key=SECRET, stop=["x"], provider="groq")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    twin = load(
        dumpd(model),
        valid_namespaces=["langchain_hfrouter"],
        allowed_objects="all",
        secrets_from_env=True,
    )
    assert twin.asdict() == model.asdict()
    assert twin.api_key.get_secret_value() == "hf_other"
    assert ChatHFRouter.get_lc_namespace() == ["langchain_hfrouter", "chat_models"]


@pytest.mark.rule("copies-and-pickles")
def test_copies_and_pickles_work_after_use() -> None:
    with serving(whole()) as server:
        model = model_of(server)
        model.invoke("x")
        asyncio.run(model.ainvoke("x"))
        for twin in (
            copy.copy(model),
            copy.deepcopy(model),
            model.model_copy(),
            model.model_copy(deep=True),
        ):
            assert twin.invoke("x").text == "Hi."
        assert {r.headers["authorization"] for r in server.requests} == {"Bearer hf_test"}
        twin = pickle.loads(pickle.dumps(model))
        assert twin == model.model_copy(update={"api_key": None})
        assert twin.invoke("x").text == "Hi."
        assert "authorization" not in server.requests[-1].headers


def give_key() -> str:
    return "hf_given"


@pytest.mark.rule("copies-and-pickles")
def test_a_pickle_keeps_a_function_that_gives_the_key() -> None:
    with serving(whole()) as server:
        twin = pickle.loads(pickle.dumps(model_of(server, api_key=give_key)))
        twin.invoke("x")
        assert server.requests[0].headers["authorization"] == "Bearer hf_given"
        assert pickle.loads(pickle.dumps(model_of(server, api_key=lambda: "x"))).api_key is None


def test_equal_settings_make_equal_models() -> None:
    with serving(whole()) as server:
        one, two = model_of(server), model_of(server)
        one.invoke("x")
        assert one == two
        assert one != model_of(server, temperature=1)
        assert HFRouterEmbeddings(model="a/b") == HFRouterEmbeddings(model="a/b")


def test_a_pickle_finds_the_token_of_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(whole()) as server:
        data = pickle.dumps(model_of(server))
        monkeypatch.setenv("HF_TOKEN", "hf_here")
        pickle.loads(data).invoke("x")
        assert server.requests[0].headers["authorization"] == "Bearer hf_here"


@pytest.mark.rule("own-http-clients")
def test_a_client_of_ones_own_is_shared_by_copies_and_refused_by_pickles() -> None:
    import httpx

    with serving(whole()) as server, httpx.Client() as client:
        model = model_of(server, http_client=client)
        model.invoke("x")
        assert copy.deepcopy(model).http_client is client
        with pytest.raises(TypeError, match="http_client"):
            pickle.dumps(model)
        assert not client.is_closed


@pytest.mark.rule("no-stale-cache-key", "cache-key")
@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.model_copy(update={"model": "other/m"}),
        lambda m: m.model_copy(update={"model_name": "other/m"}),
        lambda m: _set(m, "model", "other/m"),
        lambda m: _set(m, "model_name", "other/m"),
        lambda m: m.bind(model="other/m"),
        lambda m: m.model_copy(update={"temperature": 0.5}),
        lambda m: _set(m, "temperature", 0.5),
        lambda m: m.bind(temperature=0.5),
        lambda m: m.model_copy(update={"provider": "groq"}),
        lambda m: m.model_copy(update={"extra_body": {"top_k": 1}}),
        lambda m: m.bind_tools([TOOL]),
    ],
)
def test_a_changed_model_has_another_cache_key(change: Any) -> None:
    """Trap 11: LangChain keeps a copy of the first key."""
    with serving(whole("one"), whole("two")) as server:
        model = model_of(server, cache=InMemoryCache())
        assert model.invoke("x").text == "one"
        assert model.invoke("x").text == "one"
        assert change(model).invoke("x").text == "two"
        assert len(server.requests) == 2


def _set(model: ChatHFRouter, name: str, value: Any) -> ChatHFRouter:
    setattr(model, name, value)
    return model


@pytest.mark.rule("cache-key")
def test_a_call_with_another_model_is_not_answered_from_the_cache() -> None:
    with serving(whole("one"), whole("two")) as server:
        model = model_of(server, cache=InMemoryCache())
        assert model.invoke("x").text == "one"
        assert model.invoke("x", model="other/m").text == "two"
        assert model.invoke("x").text == "one"


def test_changed_connection_settings_are_used() -> None:
    with serving(whole("one")) as first, serving(whole("two")) as second:
        model = model_of(first)
        assert model.invoke("x").text == "one"
        moved = model.model_copy(update={"base_url": f"{second.url}/v1"})
        assert (moved.invoke("x").text, model.invoke("x").text) == ("two", "one")
        model.base_url = f"{second.url}/v1"
        assert model.invoke("x").text == "two"


def test_copies_refuse_unknown_fields() -> None:
    with pytest.raises(shared_core.InvalidSettingError, match="temperature"):
        ChatHFRouter(model="a/b").model_copy(update={"temprature": 1})


@pytest.mark.rule("event-loops", "bounded-concurrency")
def test_one_object_serves_several_event_loops(stub: StubServer) -> None:
    """Trap 19, pain 11. Peers fail with "Event loop is closed" from the second loop on."""
    model = ChatHFRouter(model="a/b", base_url=stub.base_url, api_key="t")
    embeddings = HFRouterEmbeddings(model="a/b", base_url=stub.base_url, api_key="t")

    async def use() -> str:
        await embeddings.aembed_query("x")
        text = ""
        async for chunk in model.astream("Hello"):
            text += chunk.text
        return text + (await model.ainvoke("Hello")).text

    answers = {asyncio.run(use()) for _ in range(3)}
    assert len(answers) == 1
    assert len(stub.requests) == 9


@pytest.mark.rule("connections")
def test_connections_are_reused_and_can_be_closed() -> None:
    with serving(whole()) as server:
        model = model_of(server)
        for _ in range(5):
            model.invoke("x")
        assert server.accepted == 1
        model.close()
        assert server.wait_open(0)
        assert model.invoke("x").text == "Hi."


@pytest.mark.rule("connections")
@anyio
async def test_connections_can_be_closed_async() -> None:
    with serving(whole()) as server:
        model = model_of(server)
        await model.ainvoke("x")
        await model.aclose()
        assert server.wait_open(0)


@pytest.mark.rule("traces")
def test_langsmith_parameters() -> None:
    model = ChatHFRouter(model="a/b:groq", temperature=0, max_tokens=5, stop="x", api_key=SECRET)
    params = model._get_ls_params(stop=["y"], model="c/d", temperature=0.5)
    assert params == {
        "ls_provider": "hfrouter",
        "ls_model_name": "c/d",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_max_tokens": 5,
        "ls_stop": ["y"],
    }
    assert model._get_ls_params()["ls_stop"] == ["x"]


@pytest.mark.rule("traces")
def test_versions_are_noted_for_traces() -> None:
    versions = (ChatHFRouter(model="a/b").metadata or {})["lc_versions"]
    assert set(versions) >= {"langchain-core", "hfrouter"}


@pytest.mark.rule("cheap-import")
def test_nothing_is_asked_of_the_network_to_build_one(stub: StubServer) -> None:
    for _ in range(3):
        ChatHFRouter(model="openai/gpt-oss-120b:groq", base_url=stub.base_url)
        HFRouterEmbeddings(model="a/b", base_url=stub.base_url)
    assert stub.accepted == 0


def test_generate_takes_several_prompts() -> None:
    with serving(whole()) as server:
        result = model_of(server).generate([[HumanMessage("a")], [HumanMessage("b")]])
        assert len(result.generations) == 2


@pytest.mark.rule("own-http-clients")
@anyio
async def test_http_clients_of_ones_own_are_used_and_left_open() -> None:
    import httpx

    used: list[str] = []

    async def note(request: httpx.Request) -> None:
        used.append("async")

    with serving(whole()) as server:
        hooks: Any = {"request": [lambda request: used.append("sync")]}
        async with httpx.AsyncClient(event_hooks={"request": [note]}) as theirs:
            with httpx.Client(event_hooks=hooks) as ours:
                model = model_of(server, http_client=ours, http_async_client=theirs)
                model.invoke("x")
                await model.ainvoke("x")
                assert used == ["sync", "async"]
                assert not ours.is_closed
                assert not theirs.is_closed


@pytest.mark.rule("usage-callbacks")
def test_usage_is_collected_by_langchains_own_counter() -> None:
    from langchain_core.callbacks import get_usage_metadata_callback

    with serving(whole(), stream(event({"content": "x"}, "stop"), event(None, usage=USAGE))) as s:
        model = model_of(s)
        with get_usage_metadata_callback() as counted:
            model.invoke("x")
            list(model.stream("x"))
    assert counted.usage_metadata["served/m"]["total_tokens"] == 18


@pytest.mark.rule("batches")
@anyio
async def test_several_prompts_at_once_raise_the_first_error() -> None:
    """Trap 15."""
    bad = json_reply({"error": {"message": "no", "code": 400}}, 400)
    with serving(bad, whole()) as server:
        with pytest.raises(shared_core.BadRequestError):
            await model_of(server).agenerate([[HumanMessage("a")], [HumanMessage("b")]])
        assert len(server.requests) == 2


def test_our_own_callbacks_hear_of_calls() -> None:
    class Heard(shared_core.Callback):
        def __init__(self) -> None:
            self.models: list[str | None] = []

        def on_request(self, event: Any) -> None:
            self.models.append(event.model)

    heard = Heard()
    with serving(whole()) as server:
        model = model_of(server, event_callbacks=[heard])
        copy.deepcopy(model).invoke("x")
    assert heard.models == ["org/m"]


@pytest.mark.parametrize("name", ["ChatHFRouter", "HFRouterEmbeddings", "register"])
def test_the_package_is_lazy_and_complete(name: str) -> None:
    import langchain_hfrouter

    assert name in dir(langchain_hfrouter)
    assert getattr(langchain_hfrouter, name).__doc__
    with pytest.raises(AttributeError, match="nothing"):
        _ = langchain_hfrouter.nothing  # type: ignore[attr-defined]


@pytest.mark.rule("cached-answers-replay")
def test_a_cached_answer_replays_as_events() -> None:
    """Trap 7: a replay from the cache shows text and calls."""
    calls = [{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]
    with serving(whole("Hi.", tool_calls=calls, finish="tool_calls")) as server:
        model = model_of(server, cache=InMemoryCache())
        first, second = model.invoke("x"), model.invoke("x")
        assert len(server.requests) == 1
    assert first.content_blocks == second.content_blocks
    assert [block["type"] for block in second.content_blocks] == ["text", "tool_call"]


@pytest.mark.rule("tokens-of-every-kind", "secrets")
@pytest.mark.parametrize("kind", [ChatHFRouter, HFRouterEmbeddings])
@pytest.mark.parametrize("wrap", [lambda secret: {"token": secret}, lambda secret: [secret]])
def test_a_token_of_the_wrong_type_is_refused_unseen(kind: Any, wrap: Any) -> None:
    secret = "hf_NobodyShouldSeeThis"
    with pytest.raises(ValueError, match="api_key") as caught:
        kind(model="a/b", api_key=wrap(secret))
    assert secret not in str(caught.value) + repr(caught.value)


def test_layers_of_the_core_are_passed_on_and_survive_copies() -> None:
    from shared_core import Resilience, RetryPolicy

    policy = Resilience(retry=RetryPolicy(max_retries=1, initial_delay=0.01))
    with serving(json_reply({"error": "busy"}, 503), whole("at last")) as server:
        model = copy.deepcopy(model_of(server, resilience=policy, connect_timeout=3.0))
        assert model.invoke("hello").content == "at last"
    assert len(server.requests) == 2
    assert model.sync_client().settings.connect_timeout == 3.0
    assert pickle.loads(pickle.dumps(model)).resilience == policy
