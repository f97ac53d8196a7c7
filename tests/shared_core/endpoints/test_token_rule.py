"""Where the token may go: to the control plane, never to somebody's endpoint."""

from __future__ import annotations

import pytest

from shared_core import InvalidSettingError, Settings

OWN = "https://own.endpoints.huggingface.cloud/v1"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://api.endpoints.huggingface.cloud/v2/provider", True),
        ("https://endpoints.huggingface.co/api/catalog/repo-list", True),
        (f"{OWN}/chat/completions", True),
        ("https://evil.us-east-1.aws.endpoints.huggingface.cloud/", False),
        ("http://api.endpoints.huggingface.cloud/v2/provider", False),
        ("https://api.endpoints.huggingface.cloud.evil.example/", False),
    ],
)
def test_token(url: str, sent: bool) -> None:
    settings = Settings.resolve(api_key="hf_x", base_url=OWN, env={})
    assert (settings.token_for(url) is not None) is sent


def test_own_control_plane_gets_it() -> None:
    settings = Settings.resolve(api_key="hf_x", endpoints_url="http://127.0.0.1:9/", env={})
    assert settings.endpoints_url == "http://127.0.0.1:9"
    assert settings.token_for("http://127.0.0.1:9/v2/endpoint/ann") is not None


def test_clear_text_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match="clear text"):
        Settings.resolve(endpoints_url="http://api.endpoints.huggingface.cloud", env={})
