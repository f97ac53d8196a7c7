"""``HFRouterLLM``: text completion whole and streamed, parameters, secrets, refusals."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelInvalidRequestError, ModelRateLimitError
from langchain_core.load import dumpd, load

import shared_core
from langchain_hfrouter import HFRouterLLM
from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply, sse

pytestmark = pytest.mark.anyio
PATH = "/v1/completions"
SECRET = "hf_TopSecretToken0123456789"


def piece(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text, "finish_reason": reason}]}


def complete(request: Received) -> Reply:
    body = request.json()
    text = f"{body['prompt']}!"
    if body.get("stream"):
        return sse(piece(text[:1]), piece(text[1:]), piece("", "stop"))
    return json_reply({**piece(text, "stop"), "usage": {"completion_tokens": 2}})


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.on(PATH, complete)
        yield server


def of(server: FaultServer, **options: Any) -> HFRouterLLM:
    given = {"model": "org/m", "base_url": f"{server.url}/v1", "api_key": "t"}
    return HFRouterLLM(**{**given, **options})


def last(server: FaultServer) -> Any:
    return server.requests[-1].json()


@pytest.mark.rule("completion-calls")
async def test_waiting_for_an_endpoint_is_asked_by_header(server: FaultServer) -> None:
    llm = of(server)
    llm.invoke("a", scale_up_timeout=600)
    _ = [text async for text in llm.astream("a", scale_up_timeout=600)]
    assert [r.headers["x-scale-up-timeout"] for r in server.requests] == ["600"] * 2
    assert all("scale_up_timeout" not in request.json() for request in server.requests)


@pytest.mark.rule("completion-calls")
async def test_the_four_ways(server: FaultServer) -> None:
    llm = of(server)
    assert llm.invoke("a") == "a!"
    assert await llm.ainvoke("a") == "a!"
    assert list(llm.stream("ab")) == ["a", "b!", ""]
    assert [text async for text in llm.astream("ab")] == ["a", "b!", ""]
    assert llm.batch(["a", "b"]) == ["a!", "b!"]
    assert await llm.abatch(["a", "b", "c"]) == ["a!", "b!", "c!"]


async def test_what_came_besides(server: FaultServer) -> None:
    for result in (of(server).generate(["a", "b"]), await of(server).agenerate(["a", "b"])):
        assert [row[0].text for row in result.generations] == ["a!", "b!"]
        assert result.generations[0][0].generation_info == {"finish_reason": "stop"}
        assert result.llm_output == {"token_usage": {"completion_tokens": 4}, "model_name": "org/m"}


@pytest.mark.rule("completion-parameters")
def test_nothing_is_sent_that_was_not_set(server: FaultServer) -> None:
    of(server).invoke("a")
    assert last(server) == {"model": "org/m", "prompt": "a"}


@pytest.mark.rule("completion-parameters", "settings-are-not-sent")
def test_parameters_of_the_model_and_of_the_call(server: FaultServer) -> None:
    llm = of(server, max_new_tokens=5, temperature=0, stop="x", top_k=3, extra_body={"min_p": 0.1})
    llm.invoke("a")
    assert last(server) == {
        "model": "org/m",
        "prompt": "a",
        "max_tokens": 5,
        "temperature": 0,
        "top_k": 3,
        "stop": ["x"],
        "min_p": 0.1,
    }
    llm.invoke("a", stop=["y"], max_tokens=1, model="org/other", seed=4, best_of=2)
    sent = last(server)
    assert (sent["stop"], sent["max_tokens"], sent["model"]) == (["y"], 1, "org/other")
    assert (sent["seed"], sent["best_of"]) == (4, 2)
    llm.bind(temperature=1).invoke("a")
    assert last(server)["temperature"] == 1
    for name in ("bill_to", "extra_headers", "api_key", "hf_token", "base_url", "max_retries"):
        with pytest.raises(shared_core.InvalidSettingError, match=name):
            llm.invoke("a", **{name: "x"})


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.tokens.append(token)


@pytest.mark.rule("completion-tokens")
async def test_each_token_is_told_once(server: FaultServer) -> None:
    seen = Tokens()
    list(of(server).stream("ab", config={"callbacks": [seen]}))
    assert seen.tokens == ["a", "b!", ""]
    async for _ in of(server).astream("ab", config={"callbacks": [seen]}):
        pass
    assert seen.tokens == ["a", "b!", ""] * 2


@pytest.mark.rule("completion-tokens")
def test_leaving_a_stream_closes_its_connection(server: FaultServer) -> None:
    stream = of(server).stream("ab")
    next(stream)
    stream.close()
    assert server.wait_open(0)


async def test_errors_are_of_both_families(server: FaultServer) -> None:
    server.on(PATH, json_reply({"error": "slow down"}, 429))
    with pytest.raises(ModelRateLimitError) as raised:
        of(server).invoke("a")
    assert isinstance(raised.value, shared_core.RateLimitError)
    with pytest.raises(ModelRateLimitError):
        await of(server).abatch(["a", "b"])
    with pytest.raises(ModelRateLimitError):
        list(of(server).stream("a"))
    server.on(PATH, sse(piece("a"), done=False))
    with pytest.raises(shared_core.StreamInterruptedError):
        list(of(server).stream("a"))


@pytest.mark.rule("completion-providers")
@pytest.mark.parametrize("provider", ["groq", "cerebras"])
def test_providers_that_only_chat_are_refused_by_name(provider: str) -> None:
    llm = HFRouterLLM(model="a/b", provider=provider, provider_id="x", api_key="hf_t")
    with pytest.raises(ModelInvalidRequestError, match="text-generation") as raised:
        llm.invoke("a")
    assert isinstance(raised.value, shared_core.UnsupportedTaskError)


@pytest.mark.rule("right-class-is-named")
def test_a_model_that_only_chats_names_the_right_class(server: FaultServer) -> None:
    message = "Model a/b is not supported for task text-generation. Supported task: conversational."
    server.on(PATH, json_reply({"error": {"message": message, "code": 400}}, 400))
    for use in (lambda llm: llm.invoke("a"), lambda llm: list(llm.stream("a"))):
        with pytest.raises(ModelInvalidRequestError, match="ChatHFRouter"):
            use(of(server))


def test_a_provider_behind_the_router() -> None:
    with FaultServer() as server:
        server.on("/together/v1/completions", complete)
        llm = HFRouterLLM(
            model="a/b", provider="together", provider_id="x", api_key="hf_t", base_url=server.url
        )
        assert llm.invoke("a") == "a!"
        assert "".join(llm.stream("ab")) == "ab!"
        assert last(server)["model"] == "x"


@pytest.mark.rule("completion-identity")
def test_the_cache_knows_models_and_parameters_apart(server: FaultServer) -> None:
    cache = InMemoryCache()
    of(server, cache=cache).invoke("a")
    of(server, cache=cache).invoke("a")
    assert len(server.requests) == 1
    of(server, cache=cache, model="org/n").invoke("a")
    of(server, cache=cache, temperature=1).invoke("a")
    assert len(server.requests) == 3


@pytest.mark.rule("completion-identity")
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_dumps_copies_and_pickles_tell_no_secret(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = of(server, api_key=SECRET, bill_to="acme", default_headers={"x-key": SECRET})
    llm.invoke("a")
    data = pickle.dumps(llm)
    texts = [repr(llm), repr(llm.model_dump()), json.dumps(dumpd(llm)), data.decode("latin-1")]
    texts += [repr(llm._identifying_params), repr(llm._get_ls_params())]
    assert [text for text in texts if SECRET in text or "acme" in repr(dumpd(llm))] == []
    for twin in (pickle.loads(data), copy.deepcopy(llm), llm.model_copy()):
        assert twin.invoke("a") == "a!"
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    loaded = load(
        dumpd(of(server)),
        valid_namespaces=["langchain_hfrouter"],
        allowed_objects="all",
        secrets_from_env=True,
    )
    assert loaded.model == "org/m"
    assert llm._get_ls_params()["ls_model_name"] == "org/m"
    assert llm._get_ls_params()["ls_provider"] == "hfrouter"


async def test_a_real_server(llama_chat_url: str) -> None:
    llm = HFRouterLLM(base_url=f"{llama_chat_url}/v1", api_key="t", max_tokens=4, temperature=0)
    whole = llm.invoke("The capital of France is")
    assert whole
    assert "".join([text async for text in llm.astream("The capital of France is")]) == whole
