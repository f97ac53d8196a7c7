"""Cards, providers, tasks and rate limits of the Hub, through both clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared_core import AsyncRouterClient, HubRateLimit, RouterClient, WhoAmI, errors
from tests.helpers.fault_server import FaultServer, json_reply

LIMIT = {
    "RateLimit": '"api";r=999;t=295',
    "RateLimit-Policy": '"fixed window";"api";q=1000;w=300',
}
ENTRY: dict[str, Any] = {
    "_id": "67c3",
    "id": "acme/chat-27b",
    "pipeline_tag": "text-generation",
    "tags": ["transformers"],
    "library_name": "transformers",
    "gated": "auto",
    "sha": "abc",
    "safetensors": {"total": 27_000_000_000},
    "cardData": {
        "license": "apache-2.0",
        "language": ["en", "de", 5],
        "base_model": "acme/base-27b",
        "datasets": ["squad"],
    },
    "config": {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "tokenizer_config": {"chat_template": "{{ messages }}"},
    },
    "inferenceProviderMapping": [
        {"provider": "groq", "providerId": "chat-27b", "status": "live", "task": "conversational"}
    ],
}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


Ask = Callable[[Callable[[Any], Any]], Any]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, server: FaultServer) -> Ask:
    options: dict[str, Any] = {"api_key": "hf_test", "hub_url": server.url, "base_url": server.url}

    def blocking(work: Callable[[Any], Any]) -> Any:
        with RouterClient(**options) as client:
            return work(client.models)

    async def awaiting(work: Callable[[Any], Any]) -> Any:
        async with AsyncRouterClient(**options) as client:
            return await work(client.models)

    return blocking if request.param == "sync" else lambda work: asyncio.run(awaiting(work))


def test_card(server: FaultServer, ask: Ask) -> None:
    server.on("/api/models/acme/chat-27b", json_reply(ENTRY))
    card = ask(lambda models: models.card("acme/chat-27b:groq"))
    assert (card.license, card.languages) == ("apache-2.0", ("en", "de"))
    assert (card.base_models, card.datasets) == (("acme/base-27b",), ("squad",))
    assert (card.model_type, card.architectures) == ("qwen3", ("Qwen3ForCausalLM",))
    assert (card.parameters, card.gated, card.sha) == (27_000_000_000, "auto", "abc")
    assert card.can_chat
    assert "expand%5B%5D=cardData" in server.requests[0].target


def test_card_of_an_empty_entry(server: FaultServer, ask: Ask) -> None:
    server.on("/api/models/acme/x", json_reply({"id": "acme/x", "cardData": None, "config": 1}))
    card = ask(lambda models: models.card("acme/x"))
    assert (card.license, card.languages, card.can_chat) == (None, (), False)


def test_template_of_a_list_and_of_gguf(server: FaultServer, ask: Ask) -> None:
    templates = [{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]
    entry = {"id": "a/b", "config": {"tokenizer_config": {"chat_template": templates}}}
    gguf = {"total": 5, "architecture": "llama", "chat_template": "g"}
    server.on("/api/models/a/b", json_reply(entry))
    server.on("/api/models/a/c", json_reply({"id": "a/c", "gguf": gguf}))
    assert ask(lambda models: models.card("a/b")).chat_template == "d"
    card = ask(lambda models: models.card("a/c"))
    assert (card.chat_template, card.model_type, card.parameters) == ("g", "llama", 5)


def test_providers(server: FaultServer, ask: Ask) -> None:
    server.on("/api/models/acme/chat-27b", json_reply(ENTRY))
    (offer,) = ask(lambda models: models.providers("acme/chat-27b"))
    assert (offer.name, offer.provider_id, offer.is_live) == ("groq", "chat-27b", True)


def test_models_of_a_provider(server: FaultServer, ask: Ask) -> None:
    listing = {
        "text-to-image": {
            "acme/flux": {"providerId": "fal-ai/flux", "status": "live"},
            "tag-filter=lora": {"providerId": "x", "adapterType": "lora"},
        },
        "junk": [],
    }
    server.on("/api/partners/fal-ai/models", json_reply(listing))
    first, second = ask(lambda models: models.of_provider("fal-ai"))
    assert (first.task, first.model, first.provider_id) == (
        "text-to-image",
        "acme/flux",
        "fal-ai/flux",
    )
    assert second.adapter_type == "lora"
    assert server.requests[0].target.endswith("?status=live")


@pytest.mark.parametrize(
    "work",
    [
        lambda models: models.of_provider("a/b"),
        lambda models: models.of_provider("auto"),
        lambda models: models.of_provider("groq", status="dead"),
    ],
)
def test_wrong_arguments(server: FaultServer, ask: Ask, work: Any) -> None:
    with pytest.raises(errors.InvalidSettingError):
        ask(work)
    assert server.requests == []


def test_tasks(server: FaultServer, ask: Ask) -> None:
    entry = {"label": "Fill", "models": [{"id": "a/b"}, {}], "libraries": ["transformers"]}
    server.on("/api/tasks", json_reply({"fill-mask": entry, "junk": None}))
    (task,) = ask(lambda models: models.tasks())
    assert (task.id, task.label, task.models) == ("fill-mask", "Fill", ("a/b",))
    assert task.libraries == ("transformers",)
    server.on("/api/tasks", json_reply([]))
    with pytest.raises(errors.APIResponseValidationError):
        ask(lambda models: models.tasks())


def test_rate_limit_is_known_after_a_call(server: FaultServer) -> None:
    server.on("/api/tasks", json_reply({}, headers=LIMIT))
    server.on("/api/models/a/b", json_reply({"error": "slow down"}, 429, LIMIT))
    with RouterClient(hub_url=server.url, base_url=server.url) as client:
        assert client.models.rate_limit is None
        client.models.tasks()
        assert client.models.rate_limit == HubRateLimit("api", 999, 295, 1000, 300)
        with pytest.raises(errors.RateLimitError) as caught:
            client.models.card("a/b")
    assert HubRateLimit.of(caught.value.headers) == HubRateLimit("api", 999, 295, 1000, 300)


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ({}, None),
        ({"ratelimit": "junk"}, None),
        ({"ratelimit": '"pages";r=0;t=55'}, HubRateLimit("pages", 0, 55)),
        (
            {"ratelimit": '"api";r=1;t=2', "ratelimit-policy": '"fixed window";"pages";q=1;w=2'},
            HubRateLimit("api", 1, 2),
        ),
    ],
)
def test_rate_limit_headers(headers: dict[str, str], limit: HubRateLimit | None) -> None:
    assert HubRateLimit.of(headers) == limit


def _who(role: str | None, grants: Any = None) -> WhoAmI:
    token = {"role": role, "fineGrained": grants}
    return WhoAmI("ann", token_role=role, raw={"auth": {"accessToken": token}})


FINE = {"global": ["discussion.write"], "scoped": [{"permissions": ["inference.endpoints.write"]}]}


@pytest.mark.parametrize(
    ("who", "permission", "allowed"),
    [
        (_who("write"), "inference.endpoints.write", True),
        (_who("read"), "inference.endpoints.write", False),
        (_who("read"), "inference.serverless.write", True),
        (_who("fineGrained", FINE), "inference.endpoints.write", True),
        (_who("fineGrained", FINE), "discussion.write", True),
        (_who("fineGrained", FINE), "inference.serverless.write", False),
        (_who("fineGrained"), "inference.serverless.write", None),
        (WhoAmI("ann"), "inference.serverless.write", None),
    ],
)
def test_permissions(who: WhoAmI, permission: str, allowed: bool | None) -> None:
    assert who.permits(permission) is allowed


def test_facts_of_a_revision(server: FaultServer, ask: Ask) -> None:
    path = "/api/models/acme/chat-27b/revision/refs%2Fpr%2F1"
    server.on(path, json_reply(ENTRY))
    found = ask(lambda models: models.info("acme/chat-27b", revision="refs/pr/1"))
    assert found.id == "acme/chat-27b"
    assert ask(lambda models: models.card("acme/chat-27b", revision="refs/pr/1")).sha == "abc"
    with pytest.raises(errors.InvalidSettingError, match="revision"):
        ask(lambda models: models.info("acme/chat-27b", revision=""))


def test_limit_that_is_used_up_is_known(server: FaultServer) -> None:
    gone = {"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": LIMIT["RateLimit-Policy"]}
    server.on("/api/models/acme/x", json_reply({"error": "slow down"}, 429, gone))
    with RouterClient(api_key="hf_test", hub_url=server.url) as client:
        with pytest.raises(errors.RateLimitError) as caught:
            client.models.info("acme/x")
        assert caught.value.retry_after in (55, 56)  # a second more is fine
        assert client.models.rate_limit == HubRateLimit("api", 0, 55, 1000, 300)


def test_warnings_of_the_hub_are_logged_once_per_topic(
    server: FaultServer, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    topic = f"Topic {id(server)}"
    said = f"{topic}; Old, and going away, {topic} b; Other"
    server.on("/api/models/acme/x", json_reply({"id": "acme/x"}, 200, {"X-HF-Warning": said}))
    for _ in range(2):
        ask(lambda models: models.info("acme/x"))
    assert [record.getMessage() for record in caplog.records if topic in record.getMessage()] == [
        f"the Hub says ({topic}): Old, and going away",
        f"the Hub says ({topic} b): Other",
    ]
