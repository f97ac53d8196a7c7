"""Model ids, suffixes and keywords."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.config.validate import (
    check_model_id,
    check_route,
    is_hf_host,
    join_model,
    origin_of,
    split_model,
    unknown_keyword,
)
from shared_core.errors import InvalidSettingError


@pytest.mark.parametrize(
    "model",
    [
        "gpt2",
        "org/name",
        "org/na-me_1.5",
        "org/name:groq",
        "org/name:fastest",
        "local/reader",
        "0/1",
    ],
)
def test_hub_ids(model: str) -> None:
    assert check_model_id(model) == model


@pytest.mark.parametrize(
    "model",
    [
        *("", "../../api/x", "/etc/passwd", "a/../b", "a//b", "a/b/c", "a b", "a/b\n", "a/b?x=1"),
        *("a/b#c", "a/b%2e", ".hidden", "a/b:", "ä/b", "a\\b", None, 5, b"a/b"),
    ],
)
def test_what_is_no_hub_id(model: Any) -> None:
    with pytest.raises(InvalidSettingError, match="model") as caught:
        check_model_id(model)
    assert caught.value.setting == "model"


@pytest.mark.parametrize(
    "model", ["/models/x.gguf", "accounts/fireworks/models/m", "llama3:8b", "My Model"]
)
def test_own_servers_may_use_other_names(model: str) -> None:
    assert check_model_id(model, strict=False) == model


@pytest.mark.parametrize("model", ["", " a", "a\n", "a\x00b", "a" * 500, None])
def test_but_not_any(model: Any) -> None:
    with pytest.raises(InvalidSettingError):
        check_model_id(model, strict=False)


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("org/m", ("org/m", None)),
        ("org/m:groq", ("org/m", "groq")),
        ("llama3:8b", ("llama3", "8b")),
        ("http://h/m", ("http://h/m", None)),
        ("org/m:", ("org/m", None)),
        (":x", (":x", None)),
    ],
)
def test_split(model: str, parts: tuple[str, str | None]) -> None:
    assert split_model(model) == parts


def test_join() -> None:
    assert join_model("org/m") == "org/m"
    assert join_model("org/m:groq") == "org/m:groq"
    assert join_model("org/m", "groq") == "org/m:groq"
    assert join_model("org/m", policy="cheapest") == "org/m:cheapest"
    assert join_model("org/m:groq", "groq") == "org/m:groq"
    assert join_model("org/m", "auto") == "org/m"


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"provider": "groq", "policy": "fastest"}, "exclude each other"),
        ({"policy": "best"}, "fastest, cheapest, preferred"),
        ({"provider": "gr oq"}, "provider"),
        ({"provider": "a/b"}, "provider"),
        ({"provider": 5}, "provider"),
    ],
)
def test_bad_routes(given_: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSettingError, match=words):
        check_route(given_.get("provider"), given_.get("policy"))


def test_contradicting_suffix() -> None:
    with pytest.raises(InvalidSettingError, match="already has the suffix ':groq'") as caught:
        join_model("org/m:groq", "novita")
    assert "provider=" in caught.value.guidance
    with pytest.raises(InvalidSettingError, match="policy='fastest'"):
        join_model("org/m:groq", policy="fastest")


@given(st.from_regex(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", fullmatch=True).filter(str.isascii))
def test_join_then_split(model: str) -> None:
    assert split_model(join_model(model, "groq")) == (model, "groq")


@pytest.mark.parametrize(
    ("name", "near"),
    [("temprature", "temperature"), ("maxTokens", "max_tokens"), ("Model", "model"), ("zzz", None)],
)
def test_unknown_keyword(name: str, near: str | None) -> None:
    error = unknown_keyword(name, {"temperature", "max_tokens", "model"})
    assert name in str(error)
    assert error.setting == name
    assert (f"did you mean {near!r}" in str(error)) is (near is not None)
    assert "extra_body" in str(error)


def test_origins() -> None:
    assert origin_of("HTTPS://Host/x") == ("https", "host", 443) == origin_of("https://host.:443")
    assert origin_of("http://h:8080") == ("http", "h", 8080)
    assert origin_of("http://h:bad") == ("", "", 0)
    assert is_hf_host("router.huggingface.co")
    assert not is_hf_host("nothuggingface.co")
    assert not is_hf_host(None)
