"""Embeddings with a key that the provider itself has given out."""

from __future__ import annotations

from typing import Any

import pytest

from shared_core.config.settings import Settings
from shared_core.core import Core
from shared_core.embeddings.request import build
from shared_core.embeddings.resource import _options

OWN = "sk-own-key-1234567890"


def request(params: dict[str, Any], **settings: Any) -> Any:
    core = Core(Settings.resolve(**{"api_key": OWN, "env": {}, **settings}))
    return build(_options(core, {"model": "their/model", **params}), ["a"])


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        ("together", "https://api.together.xyz/v1/embeddings"),
        ("scaleway", "https://api.scaleway.ai/v1/embeddings"),
        ("deepinfra", "https://api.deepinfra.com/v1/openai/embeddings"),
    ],
)
def test_key_goes_to_the_own_host(provider: str, url: str) -> None:
    sent = request({"provider": provider, "bill_to": "acme"}, default_headers={"X-Gateway": "1"})
    assert (sent.url, sent.json["model"]) == (url, "their/model")
    assert sent.settings.token_for(url) is not None
    assert sent.settings.token_for("https://elsewhere.test/") is None
    assert dict(sent.settings.default_headers) == {}
    assert "X-HF-Bill-To" not in sent.headers


@pytest.mark.parametrize(
    ("params", "settings"),
    [
        ({"provider": "together"}, {"api_key": "hf_" + "t" * 34}),
        ({"provider": "together"}, {"base_url": "https://gateway.test/v1"}),
        ({"provider": "together"}, {"api_key": None, "env": {"HF_TOKEN": OWN}}),
        ({"provider": "hf-inference"}, {}),
        ({}, {}),
    ],
)
def test_otherwise_the_base_url_is_called(params: dict[str, Any], settings: dict[str, Any]) -> None:
    sent = request(params, **settings)
    assert sent.settings is None
    assert sent.url.startswith(("https://router.huggingface.co/", "https://gateway.test/"))
