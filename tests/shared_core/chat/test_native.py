"""Chat at providers themselves: own keys, pass-through routes, their form of structure."""

from __future__ import annotations

from typing import Any

import pytest

from shared_core.chat.native import native_format, provider_at
from shared_core.chat.request import build
from shared_core.config.providers import CHAT_PATHS, DIRECT
from shared_core.config.settings import Settings
from shared_core.core import Defaults
from shared_core.wire.messages import WireRequest

OWN = "sk-own-key-1234567890"
HUB = "hf_" + "t" * 34
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
WANTED = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}


def request(
    params: dict[str, Any],
    *,
    defaults: Defaults | None = None,
    api_key: Any = OWN,
    **settings: Any,
) -> WireRequest:
    resolved = Settings.resolve(api_key=api_key, env={}, **settings)
    return build(resolved, "Hi", params, stream=False, defaults=defaults or Defaults())  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", sorted(CHAT_PATHS))
def test_own_key_goes_to_the_providers_chat(provider: str) -> None:
    sent = request(
        {"model": "their/model:v1", "provider": provider},
        bill_to="acme",
        default_headers={"X-Gateway-Key": "for the gateway only"},
    )
    assert sent.url == DIRECT[provider] + CHAT_PATHS[provider]
    assert sent.json["model"] == "their/model:v1"  # the provider's own name, nothing pinned
    assert sent.provider == provider
    assert sent.settings is not None
    assert sent.settings.bill_to is None
    assert dict(sent.settings.default_headers) == {}
    assert sent.settings.token_for(sent.url) is not None
    assert sent.settings.token_for("https://elsewhere.test/") is None


def test_who_pays_at_hugging_face_is_no_concern_of_the_provider() -> None:
    sent = request({"model": "m", "provider": "groq", "bill_to": "acme"})
    assert "X-HF-Bill-To" not in sent.headers


def test_client_may_name_the_provider() -> None:
    defaults = Defaults(model="their-model", provider="groq")
    sent = request({}, defaults=defaults)
    assert (sent.url, sent.json["model"]) == (
        "https://api.groq.com/openai/v1/chat/completions",
        "their-model",
    )
    routed = request({"policy": "fastest"}, defaults=Defaults(model="a/b", provider="groq"))
    assert routed.url.startswith("https://router.huggingface.co/")


@pytest.mark.parametrize(
    ("params", "settings"),
    [
        ({"provider": "groq"}, {"api_key": HUB}),
        ({"provider": "auto"}, {}),
        ({}, {}),
        ({"model": "a/b:groq"}, {}),
        ({"provider": "groq"}, {"base_url": "https://gateway.test/v1"}),
        ({"provider": "unheard-of"}, {}),
        ({"provider": "fal-ai"}, {}),
    ],
)
def test_everything_else_goes_to_the_base_url(
    params: dict[str, Any], settings: dict[str, Any]
) -> None:
    sent = request({"model": "a/b", **params}, **settings)
    assert sent.settings is None
    base = settings.get("base_url", "https://router.huggingface.co/v1")
    assert sent.url == f"{base}/chat/completions"


def test_key_that_lay_around_goes_to_the_router() -> None:
    resolved = Settings.resolve(env={"HF_TOKEN": OWN})
    params: Any = {"model": "a/b", "provider": "groq"}
    sent = build(resolved, "Hi", params, stream=False, defaults=Defaults())
    assert sent.url == "https://router.huggingface.co/v1/chat/completions"
    assert sent.json["model"] == "a/b:groq"


@pytest.mark.parametrize(
    ("base_url", "provider"),
    [
        ("https://router.huggingface.co/v1", None),
        ("https://router.huggingface.co/together/v1", "together"),
        ("https://router.huggingface.co/fireworks-ai/inference/v1", "fireworks-ai"),
        ("https://router.huggingface.co/hf-inference/models/a/b/v1", "hf-inference"),
        ("https://api.cohere.com/compatibility/v1", "cohere"),
        ("https://gateway.test/together/v1", None),
        ("http://127.0.0.1:8080/v1", None),
    ],
)
def test_whose_form_is_spoken(base_url: str, provider: str | None) -> None:
    assert provider_at(base_url) == provider


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (None, WANTED),
        ("groq", WANTED),
        ("together", {"type": "json_schema", "schema": SCHEMA}),
        ("cohere", {"type": "json_object", "schema": SCHEMA}),
        ("fireworks-ai", {"type": "json_object", "schema": SCHEMA}),
        ("hf-inference", {"type": "json_object", "value": SCHEMA}),
    ],
)
def test_structured_output_in_the_providers_form(
    provider: str | None, expected: dict[str, Any]
) -> None:
    assert native_format(provider, WANTED) == expected
    assert native_format(provider, {"type": "json_object"}) == {"type": "json_object"}


def test_structure_is_rewritten_where_it_is_native() -> None:
    params = {"model": "m", "response_format": WANTED}
    base = "https://router.huggingface.co/together/v1"
    native = request(params, api_key=HUB, base_url=base).json["response_format"]
    assert native == {"type": "json_schema", "schema": SCHEMA}
    direct = request({**params, "provider": "together"}).json["response_format"]
    assert direct == native
    routed = request({"model": "a/b:together", "response_format": WANTED}, api_key=HUB)
    assert routed.json["response_format"] == WANTED


def test_zai_org_gets_its_headers() -> None:
    named = {"model": "glm-4.6", "provider": "zai-org"}
    sent = request(named)
    assert sent.headers["Accept-Language"] == "en-US,en"
    assert sent.headers["x-source-channel"] == "hugging_face"
    passed = request(
        {"model": "glm-4.6"},
        api_key=HUB,
        base_url="https://router.huggingface.co/zai-org/api/paas/v4",
    )
    assert passed.headers["x-source-channel"] == "hugging_face"
    own = request({**named, "extra_headers": {"accept-language": "zh"}})
    assert own.headers["accept-language"] == "zh"
    assert "Accept-Language" not in own.headers
    for params in ({**named, "provider": "groq"}, {"model": "zai-org/GLM-4.6:zai-org"}):
        assert "x-source-channel" not in request(params).headers
