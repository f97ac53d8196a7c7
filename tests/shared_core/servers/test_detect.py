"""Telling servers apart by what they say (protocol.md 11), through both clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared_core import AsyncRouterClient, RetryPolicy, RouterClient, ServerInfo, errors
from shared_core.servers.detect import root_of
from tests.helpers.fault_server import FaultServer, drop, empty_reply, html_reply, json_reply

TGI = {
    "model_id": "acme/chat-8b",
    "model_sha": "abc",
    "model_pipeline_tag": "text-generation",
    "max_concurrent_requests": 128,
    "max_input_tokens": 4095,
    "max_total_tokens": 4096,
    "max_client_batch_size": 4,
    "router": "text-generation-router",
    "version": "3.3.5",
}
TEI = {
    "model_id": "acme/embed",
    "model_type": {"embedding": {"pooling": "mean"}},
    "max_concurrent_requests": 512,
    "max_input_length": 256,
    "max_client_batch_size": 32,
    "version": "1.8.0",
}


def listing(**entry: Any) -> Any:
    return json_reply({"object": "list", "data": [{"id": "m", "object": "model", **entry}]})


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.on("/health", empty_reply(200))
        yield server


Detect = Callable[..., ServerInfo]


@pytest.fixture(params=["sync", "async"])
def detect(request: pytest.FixtureRequest) -> Detect:
    def blocking(url: str | None, *, client: Any = None, **options: Any) -> ServerInfo:
        with RouterClient(api_key="hf_test", **(client or {})) as sync:
            return sync.servers.detect(url, **options)

    async def awaiting(url: str | None, *, client: Any = None, **options: Any) -> ServerInfo:
        async with AsyncRouterClient(api_key="hf_test", **(client or {})) as asynchronous:
            return await asynchronous.servers.detect(url, **options)

    if request.param == "sync":
        return blocking
    return lambda url, **options: asyncio.run(awaiting(url, **options))


def test_tgi(server: FaultServer, detect: Detect) -> None:
    server.on("/info", json_reply(TGI))
    info = detect(f"{server.url}/v1")
    assert (info.kind, info.dialect, info.model) == ("tgi", "tgi", "acme/chat-8b")
    assert (info.context_length, info.max_input_tokens, info.max_batch_size) == (4096, 4095, 4)
    assert (info.max_concurrent_requests, info.version, info.healthy) == (128, "3.3.5", True)
    assert info.raw["/info"] == TGI
    assert [request.path for request in server.requests] == ["/info", "/health"]
    assert server.requests[0].headers["authorization"] == "Bearer hf_test"


def test_tei(server: FaultServer, detect: Detect) -> None:
    server.on("/info", json_reply(TEI)).on("/health", empty_reply(503))
    info = detect(server.url)
    assert (info.kind, info.model_type, info.embedding_dialect) == ("tei", "embedding", "tei")
    assert (info.max_input_tokens, info.max_batch_size, info.healthy) == (256, 32, False)


def test_vllm(server: FaultServer, detect: Detect) -> None:
    server.on("/v1/models", listing(owned_by="vllm", max_model_len=8192))
    server.on("/version", json_reply({"version": "0.23.0"}))
    info = detect(server.url)
    assert (info.kind, info.model, info.version) == ("vllm", "m", "0.23.0")
    assert (info.context_length, info.dialect) == (8192, "openai")


def test_vllm_with_another_owner(server: FaultServer, detect: Detect) -> None:
    server.on("/v1/models", listing(owned_by="acme"))
    server.on("/version", json_reply({"version": "0.23.0"}))
    assert detect(server.url).kind == "vllm"


def test_sglang(server: FaultServer, detect: Detect) -> None:
    server.on("/v1/models", listing(owned_by="acme", max_model_len=4096))
    server.on("/get_model_info", json_reply({"model_path": "acme/x"}))
    info = detect(server.url)
    assert (info.kind, info.context_length) == ("sglang", 4096)
    server.on("/v1/models", listing(owned_by="sglang"))
    assert detect(server.url).kind == "sglang"


def test_any_other_with_openai_routes(server: FaultServer, detect: Detect) -> None:
    server.on("/health", json_reply({}, 404)).on("/v1/models", listing(owned_by="library"))
    info = detect(server.url)
    assert (info.kind, info.models, info.healthy) == ("openai", ("m",), None)


def test_nothing_of_the_kind(server: FaultServer, detect: Detect) -> None:
    server.on("*", html_reply("<html>hello</html>"))
    with pytest.raises(errors.NotFoundError, match="/v1/models"):
        detect(server.url)


def test_still_loading(server: FaultServer, detect: Detect) -> None:
    loading = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    server.on("*", json_reply(loading, 503))
    with pytest.raises(errors.ServiceUnavailableError):
        detect(server.url)


def test_refused_token(server: FaultServer, detect: Detect) -> None:
    server.on("/info", empty_reply(401))
    with pytest.raises(errors.AuthenticationError):
        detect(server.url)


def test_unreachable(server: FaultServer, detect: Detect) -> None:
    server.on("/info", drop())
    with pytest.raises(errors.APIConnectionError):
        detect(server.url)


def test_retry_holds_for_the_questions(server: FaultServer, detect: Detect) -> None:
    server.script("/info", drop(), json_reply(TGI))
    policy = RetryPolicy(max_retries=1, initial_delay=0.001)
    assert detect(server.url, client={"retry": policy}).kind == "tgi"


def test_address_of_the_client_and_path(server: FaultServer, detect: Detect) -> None:
    server.on("/prefix/info", json_reply(TGI))
    info = detect(None, client={"base_url": f"{server.url}/prefix/v1/chat/completions"})
    assert info.base_url == f"{server.url}/prefix"


@pytest.mark.parametrize(
    ("url", "options"), [("ftp://x", {}), ("http://127.0.0.1:9", {"timeout": 0})]
)
def test_wrong_arguments(detect: Detect, url: str, options: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidSettingError):
        detect(url, **options)


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://h:1", "http://h:1"),
        ("http://h:1/v1", "http://h:1"),
        ("http://h:1/v1/chat/completions?x=1", "http://h:1"),
        ("http://h:1/a/embed", "http://h:1/a"),
        ("http://h:1/a/b/", "http://h:1/a/b"),
    ],
)
def test_root(url: str, root: str) -> None:
    assert root_of(url) == root


def test_real_llama_cpp(llama_chat_url: str, detect: Detect) -> None:
    info = detect(f"{llama_chat_url}/v1")
    assert (info.kind, info.dialect, info.model) == ("llama.cpp", "llama.cpp", "taught")
    assert info.context_length == 4096
    assert info.max_concurrent_requests == 2
    assert info.healthy


def test_real_embedding_server(llama_embed_url: str, detect: Detect) -> None:
    info = detect(llama_embed_url)
    assert (info.kind, info.model, info.healthy) == ("llama.cpp", "minilm", True)
