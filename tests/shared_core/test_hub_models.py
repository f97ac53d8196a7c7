"""Models, status, search and whoami, through both clients against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared_core import AsyncRouterClient, RouterClient, errors
from shared_core.config.settings import Settings
from shared_core.core import Core
from shared_core.flow import All, Send
from shared_core.hub import flows
from shared_core.hub.models import Models
from shared_core.wire.messages import Headers, WireRequest, WireResponse
from tests.helpers.fault_server import FaultServer, html_reply, json_reply, reply

pytestmark = pytest.mark.anyio

BIG = {
    "id": "acme/big-model",
    "object": "model",
    "created": 1770000000,
    "owned_by": "acme",
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    "new_field": {"kept": True},
    "providers": [
        {
            "provider": "together",
            "status": "live",
            "context_length": 131072,
            "pricing": {"input": 0.6, "output": 1.7},
            "supports_tools": True,
            "supports_structured_output": False,
            "first_token_latency_ms": 512,
            "throughput": 88.4,
            "is_model_author": False,
        },
        {"provider": "groq", "status": "live", "context_length": 32768, "is_free": True},
        {"provider": "novita", "status": "error", "context_length": 8, "is_model_author": True},
    ],
}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def client(server: FaultServer) -> Iterator[RouterClient]:
    with RouterClient(
        api_key="hf_test", base_url=f"{server.origin}/v1", hub_url=server.origin
    ) as client:
        yield client


class TestRouterList:
    def test_reads_every_field(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/v1/models", json_reply({"object": "list", "data": [BIG, "junk", {"id": 5}]}))
        (model,) = client.models.list()
        assert model.id == "acme/big-model"
        assert model.input_modalities == ("text", "image")
        assert model.context_length == 32768  # the smallest of the live ones
        assert [p.name for p in model.live_providers] == ["together", "groq"]
        assert (model.supports_tools, model.supports_structured_output) == (True, False)
        assert model.is_free is True
        together = model.provider("together")
        assert together is not None
        assert (together.input_price, together.output_price) == (0.6, 1.7)
        assert (together.first_token_latency_ms, together.throughput) == (512.0, 88.4)
        groq = model.provider("groq")
        assert groq is not None
        assert (groq.supports_tools, groq.input_price, groq.is_free) == (None, None, True)
        assert model.provider("none") is None
        assert model.raw["new_field"] == {"kept": True}
        (request,) = server.requests
        assert request.method == "GET"
        assert request.headers["accept"] == "application/json"

    def test_own_servers_tell_their_context(
        self, server: FaultServer, client: RouterClient
    ) -> None:
        data = [
            {"id": "served", "max_model_len": 4096},
            {"id": "cpp", "meta": {"n_ctx_train": 512}},
        ]
        server.on("/v1/models", json_reply({"data": [*data, {"id": "bare", "meta": None}]}))
        assert [model.context_length for model in client.models.list()] == [4096, 512, None]

    @pytest.mark.parametrize("length", [-1, 0, float("nan"), 10**300, "8192"])
    def test_a_context_without_bounds_is_unknown(
        self, server: FaultServer, client: RouterClient, length: Any
    ) -> None:
        offers = [
            {"provider": "groq", "status": "live", "context_length": length},
            {"provider": "novita", "status": "live", "context_length": 4096},
        ]
        entry = {"id": "a/b", "max_model_len": length, "context_length": length}
        data = [{**entry, "providers": offers}, {**entry, "id": "c/d", "meta": {"n_ctx": length}}]
        server.on("/v1/models", json_reply({"data": data}))
        assert [model.context_length for model in client.models.list()] == [4096, None]

    def test_is_kept_only_on_request(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/v1/models", json_reply({"data": [BIG]}))
        client.models.list()
        client.models.list()
        assert server.count("/v1/models") == 2
        client.models.list(max_age=300)
        client.models.list(max_age=300)[:] = []
        assert len(client.models.list(max_age=300)) == 1
        assert server.count("/v1/models") == 3
        client.models.list(max_age=0)
        assert server.count("/v1/models") == 4

    def test_one_model_of_an_own_server(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/v1/models", json_reply({"data": [BIG, {"id": "/models/x.gguf"}]}))
        assert client.models.get("acme/big-model").owned_by == "acme"
        assert client.models.get("/models/x.gguf").providers == ()
        with pytest.raises(errors.ModelNotFoundError, match="it serves: acme/big-model"):
            client.models.get("a/b")
        assert {request.path for request in server.requests} == {"/v1/models"}

    def test_one_model_of_the_router(self) -> None:
        answers: dict[str, WireResponse | Exception] = {"/v1/models/acme/big-model": ok(BIG)}
        model = through(answers, lambda models: models.get("acme/big-model:groq"))
        assert model.owned_by == "acme"
        answers = {"/v1/models/a/b": ok(MISSING, 404)}
        with pytest.raises(errors.ModelNotFoundError, match="no"):
            through(answers, lambda models: models.get("a/b"))

    @pytest.mark.parametrize("bad", ["../../api/x", "a/b?c", "", "a b"])
    def test_bad_ids_never_leave(self, server: FaultServer, client: RouterClient, bad: str) -> None:
        with pytest.raises(errors.InvalidSettingError, match="model"):
            client.models.info(bad)
        assert server.requests == []
        for name in ("get", "info", "status"):
            with pytest.raises(errors.InvalidSettingError, match="model"):
                through({}, lambda models, name=name: getattr(models, name)(bad))

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (html_reply("<html><title>Log in</title>"), "not JSON"),
            (json_reply(None), "no list"),
            (json_reply({"data": "x"}), "no list"),
            (reply(200, b"[" * 100_000, {"content-type": "application/json"}), "not JSON"),
            (json_reply([{"x": 1}]), r"'id'.*\[\{\"x\": ?1\}\]"),
            (json_reply({"data": ["a/b", None]}), r"'id'.*a/b"),
            (reply(200, b"", {}), "empty"),
        ],
    )
    def test_answers_of_another_shape(
        self, server: FaultServer, client: RouterClient, answer: Any, words: str
    ) -> None:
        server.on("/v1/models", answer)
        with pytest.raises(errors.APIResponseValidationError, match=words) as caught:
            client.models.list()
        assert caught.value.status_code == 200
        assert "base_url" in str(caught.value)

    def test_one_odd_entry_does_not_hide_the_others(
        self, server: FaultServer, client: RouterClient
    ) -> None:
        server.on("/v1/models", json_reply({"data": [{"x": 1}, BIG, None]}))
        assert [model.id for model in client.models.list()] == [BIG["id"]]

    def test_half_an_answer_is_repeated(self, server: FaultServer) -> None:
        half = reply(200, b'{"data": [{"id": "a/', {"content-type": "application/json"})
        given = {"api_key": "hf_test", "base_url": f"{server.url}/v1", "hub_url": server.origin}
        for path in ("/v1/models", "/api/whoami-v2"):
            server.script(path, half, half, json_reply({"data": [BIG], "name": "ann"}))
        with RouterClient(**given) as client:
            with pytest.raises(errors.IncompleteResponseError, match="ends in the middle"):
                client.models.list()
            with pytest.raises(errors.IncompleteResponseError, match='"id": "a/'):
                client.whoami()
        with RouterClient(**given, max_retries=1) as client:
            assert [model.id for model in client.models.list()] == [BIG["id"]]
            assert client.whoami().name == "ann"
        assert len(server.requests) == 6

    def test_error_object_with_status_200(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/v1/models", json_reply({"error": {"message": "slow down", "code": 429}}))
        with pytest.raises(errors.RateLimitError, match="slow down"):
            client.models.list()

    async def test_async(self, server: FaultServer) -> None:
        server.on("/v1/models", json_reply({"data": [BIG]}))
        async with AsyncRouterClient(base_url=f"{server.origin}/v1") as client:
            assert (await client.models.list())[0].id == "acme/big-model"
            assert (await client.models.get("acme/big-model")).created == 1770000000


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://router.huggingface.co/v1", "https://router.huggingface.co/v1/models"),
        ("http://h:1", "http://h:1/v1/models"),
        ("http://h:1/v1/chat/completions", "http://h:1/v1/models"),
        ("http://h:1/x/v1/embeddings", "http://h:1/x/v1/models"),
        ("http://h:1/chat/completions", "http://h:1/v1/models"),
        ("http://h:1/embed", "http://h:1/v1/models"),
        ("http://h:1/m", "http://h:1/m/v1/models"),
        ("http://h:1/openai/v1?api-version=2", "http://h:1/openai/v1/models?api-version=2"),
    ],
)
def test_address_of_the_model_list(base: str, url: str) -> None:
    assert flows.models_url(base) == url
    assert flows.models_url(base, "a/b") == url.replace("/models", "/models/a/b")


HUB_DICT = {
    "id": "acme/m",
    "pipeline_tag": "feature-extraction",
    "inference": "warm",
    "inferenceProviderMapping": {
        "hf-inference": {"status": "live", "providerId": "acme/m", "task": "feature-extraction"},
        "novita": {"status": "error", "providerId": "m-1", "task": "conversational"},
    },
}
HUB_LIST = {
    "id": "acme/m",
    "pipeline_tag": "feature-extraction",
    "inferenceProviderMapping": [
        {"provider": "hf-inference", "providerId": "acme/m", "status": "live"},
        {"provider": "novita", "providerId": "m-1", "status": "error", "task": "conversational"},
    ],
}


def through(answers: dict[str, WireResponse | Exception], call: Callable[[Models], Any]) -> Any:
    """Run a call against the real router's settings, with scripted answers by path."""

    def drive(flow: Any) -> Any:
        try:
            effect = next(flow)
            while True:
                try:
                    effect = flow.send(perform(effect))
                except StopIteration:
                    raise
                except Exception as exc:
                    effect = flow.throw(exc)
        except StopIteration as stop:
            return stop.value

    def perform(effect: Any) -> Any:
        if isinstance(effect, All):
            return [drive(flow) for flow in effect.flows]
        assert isinstance(effect, Send)
        answer = answers[urlsplit(effect.request.url).path]
        if isinstance(answer, Exception):
            raise answer
        answer.url = effect.request.url
        return answer

    return call(Models(Core(Settings.resolve(api_key="hf_x", env={})), drive))


def ok(value: Any, status: int = 200, **headers: str) -> WireResponse:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return WireResponse(status=status, headers=Headers(named), content=json.dumps(value).encode())


MISSING = {"error": {"message": "no", "code": "model_not_found"}}


class TestStatusOnTheRouter:
    def status(self, router: WireResponse | Exception, hub: WireResponse | Exception) -> Any:
        answers = {"/v1/models/acme/m": router, "/api/models/acme/m": hub}
        return through(answers, lambda models: models.status("acme/m:groq"))

    def test_chat_model_is_loaded(self) -> None:
        status = self.status(ok({**BIG, "id": "acme/m"}), ok(HUB_DICT))
        assert (status.state, status.is_available) == ("loaded", True)
        names = [provider.name for provider in status.providers]
        assert names == ["hf-inference", "together", "groq", "novita"]
        novita = status.providers[-1]
        assert (novita.provider_id, novita.task, novita.context_length) == (
            "m-1",
            "conversational",
            8,
        )
        assert status.task == "feature-extraction"
        assert status.router.id == "acme/m"

    @pytest.mark.parametrize("hub", [HUB_DICT, HUB_LIST])
    def test_embedding_model_is_warm(self, hub: dict[str, Any]) -> None:
        status = self.status(ok(MISSING, 404), ok(hub))
        assert (status.state, status.is_available) == ("warm", True)
        assert [provider.name for provider in status.providers] == ["hf-inference", "novita"]
        assert status.providers[0].is_live

    @pytest.mark.parametrize(
        ("mapping", "state"),
        [
            ({"x": {"status": "staging"}}, "loading"),
            ({"x": {"status": "error"}}, "unavailable"),
            *(({}, "unavailable"), (None, "unavailable"), ("junk", "unavailable")),
        ],
    )
    def test_not_served(self, mapping: Any, state: str) -> None:
        hub = {"id": "acme/m", "inferenceProviderMapping": mapping}
        status = self.status(ok(MISSING, 400), ok(hub))
        assert (status.state, status.is_available) == (state, False)

    def test_all_providers_down(self) -> None:
        down = {**BIG, "providers": [{"provider": "groq", "status": "error"}]}
        assert self.status(ok(down), ok({"id": "acme/m"})).state == "unavailable"

    def test_unknown_everywhere(self) -> None:
        hub = ok({"error": "Repository not found"}, 401, x_error_code="RepoNotFound")
        with pytest.raises(errors.ModelNotFoundError, match="Repository not found"):
            self.status(ok(MISSING, 404), hub)

    def test_hub_out_of_reach(self) -> None:
        gone = errors.ConnectFailedError("refused")
        assert self.status(ok({**BIG, "id": "acme/m"}), gone).state == "loaded"
        with pytest.raises(errors.ConnectFailedError):
            self.status(ok(MISSING, 404), gone)

    def test_other_failures_are_raised(self) -> None:
        with pytest.raises(errors.RateLimitError):
            self.status(ok({}, 429), ok(HUB_DICT))


class TestStatusOfAnOwnServer:
    def test_asks_the_server_only(self, server: FaultServer, client: RouterClient) -> None:
        server.on("/v1/models", json_reply({"data": [{"id": "served"}]}))
        assert client.models.status("served").state == "loaded"
        assert client.models.status("other").state == "unavailable"
        assert {request.path for request in server.requests} == {"/v1/models"}

    def test_loading(self, server: FaultServer, client: RouterClient) -> None:
        body = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
        server.on("/v1/models", json_reply(body, 503))
        status = client.models.status("served")
        assert (status.state, status.is_available) == ("loading", False)
        server.on("/v1/models", json_reply({"error": "loading", "estimated_time": 9}, 503))
        assert client.models.status("served").estimated_time == 9.0

    async def test_async(self, server: FaultServer) -> None:
        server.on("/v1/models", json_reply({"data": [{"id": "served"}]}))
        async with AsyncRouterClient(base_url=server.origin) as client:
            assert (await client.models.status("served")).is_available


def test_requests_are_repeatable_gets() -> None:
    core = Core(Settings.resolve(api_key="hf_x", env={}, timeout=9))
    effect = next(flows.list_models(core, max_age=None, now=lambda: 0.0))
    assert isinstance(effect, Send)
    request: WireRequest = effect.request
    assert (request.method, request.idempotent, request.timeout) == ("GET", True, 9.0)
    assert request.operation == "models.list"
