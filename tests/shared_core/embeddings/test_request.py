"""What an embedding request says."""

from __future__ import annotations

from typing import Any

import pytest

from shared_core.embeddings.request import build, check_texts, options
from shared_core.errors import InvalidSettingError

ROUTER = "https://router.huggingface.co/v1"
BASES = {
    "hf-inference": (ROUTER, None),
    "tei": ("http://host/embed", None),
    "openai": ("http://host/v1", None),
    "together": (ROUTER, "together"),
}


def body(kind: str, texts: list[str], *, single: bool = False, **given: Any) -> Any:
    base, provider = BASES[kind]
    chosen = options(base, provider=provider, dialect=None, **{"model": "a/b", **given})
    return build(chosen, texts, single=single).json


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    assert body("hf-inference", ["x", "y"]) == {"inputs": ["x", "y"]}
    assert body("tei", ["x"]) == {"inputs": ["x"]}
    assert body("openai", ["x"]) == {"model": "a/b", "input": ["x"]}
    assert body("openai", ["x"], model=None) == {"input": ["x"]}
    assert body("together", ["x"]) == {"model": "a/b", "input": ["x"]}


def test_one_bare_string_stays_one() -> None:
    assert body("hf-inference", ["x"], single=True) == {"inputs": "x"}
    assert body("openai", ["x"], single=True) == {"model": "a/b", "input": "x"}


def test_parameters_sit_at_the_root() -> None:
    given = {
        "normalize": False,
        "truncate": True,
        "truncation_direction": "Left",
        "prompt_name": "query",
        "dimensions": 256,
    }
    assert body("hf-inference", ["x"], encoding_format="float", **given) == {
        "inputs": ["x"],
        "normalize": False,
        "truncate": True,
        "truncation_direction": "left",
        "prompt_name": "query",
        "dimensions": 256,
        "encoding_format": "float",
    }
    assert body("tei", ["x"], **given) == {
        "inputs": ["x"],
        "normalize": False,
        "truncate": True,
        "truncation_direction": "Left",
        "prompt_name": "query",
        "dimensions": 256,
    }
    assert body("openai", ["x"], dimensions=8, encoding_format="base64") == {
        "model": "a/b",
        "input": ["x"],
        "dimensions": 8,
        "encoding_format": "base64",
    }


def test_texts_go_out_as_they_are() -> None:
    texts = ["", " two\nlines\r\n ", "\u2028", "naïve 🤗"]
    assert body("tei", texts)["inputs"] == texts
    assert body("tei", texts, prompt="query: \n")["inputs"] == ["query: \n" + t for t in texts]


def test_extra_body_wins() -> None:
    sent = body("openai", ["x"], extra_body={"user": "u", "model": "other"})
    assert sent == {"model": "other", "input": ["x"], "user": "u"}


def test_request_frame() -> None:
    given = options(
        ROUTER,
        provider="scaleway",
        dialect=None,
        model="bge",
        timeout=3.0,
        headers={"X-A": "b"},
    )
    request = build(given, ["x"])
    assert (request.method, request.operation, request.model) == ("POST", "embeddings", "bge")
    assert request.provider == "scaleway"
    assert request.timeout == 3.0
    assert request.headers == {"Accept": "application/json", "X-A": "b"}
    assert not request.stream
    assert not request.idempotent


@pytest.mark.parametrize("kind", ["openai", "together"])
@pytest.mark.parametrize(
    "given",
    [
        {"normalize": True},
        {"truncate": False},
        {"truncation_direction": "left"},
        {"prompt_name": "query"},
    ],
)
def test_openai_form_cannot_carry(kind: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingError, match="no place in the openai form") as caught:
        body(kind, ["x"], **given)
    wanted = "dialect='tei'" if kind == "openai" else "provider='hf-inference'"
    assert wanted in str(caught.value)
    assert caught.value.setting in given
    assert body(kind, ["x"], extra_body=given) == {"model": "a/b", "input": ["x"], **given}


def test_tei_cannot_carry_base64_and_says_who_can() -> None:
    with pytest.raises(InvalidSettingError, match="dialect='openai'"):
        body("tei", ["x"], encoding_format="base64")
    assert body("tei", ["x"], encoding_format="float") == {"inputs": ["x"]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"normalize": 1}, "normalize must be True or False"),
        ({"truncate": "yes"}, "truncate must be True or False"),
        ({"truncation_direction": "up"}, "truncation_direction must be one of"),
        ({"truncation_direction": 3}, "truncation_direction must be one of"),
        ({"dimensions": 0}, "dimensions must be a whole number"),
        ({"dimensions": True}, "dimensions must be a whole number"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"batch_size": 2.0}, "batch_size must be"),
        ({"concurrency": -1}, "concurrency must be"),
        ({"pooling": "max"}, "pooling must be one of mean, cls"),
        ({"encoding_format": "int8"}, "encoding_format must be one of"),
        ({"prompt_name": ""}, "prompt_name must not be empty"),
        ({"prompt": 3}, "prompt must be a string"),
        ({"prompt": "a", "prompt_name": "b"}, "exclude each other"),
        ({"extra_body": [1]}, "extra_body must be a mapping"),
        ({"model": 3}, "model must be a string"),
        ({"model": " "}, "model must not be empty"),
    ],
)
def test_bad_values_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSettingError, match=words):
        body("hf-inference", ["x"], **given)


def test_control_characters_in_a_model_name_are_refused() -> None:
    with pytest.raises(InvalidSettingError, match="control characters"):
        body("openai", ["x"], model="a\nb")


def test_pass_through_without_a_model() -> None:
    with pytest.raises(InvalidSettingError, match="no embedding model"):
        options(ROUTER, provider="together", dialect=None)


def test_texts() -> None:
    assert check_texts("one") == ["one"]
    assert check_texts(("a", "")) == ["a", ""]
    assert check_texts([]) == []
    assert check_texts(text for text in "ab") == ["a", "b"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["a", None], r"texts\[1\] must be a string, not NoneType"),
        ([["a"]], r"texts\[0\] must be a string, not list"),
        (b"a", "texts must be a string or strings, not bytes"),
        ({"a": 1}, "not dict"),
        (7, "not int"),
        (["a", "\ud800"], r"texts\[1\] holds half a surrogate pair"),
    ],
)
def test_what_is_no_text_is_refused(texts: Any, words: str) -> None:
    with pytest.raises(InvalidSettingError, match=words):
        check_texts(texts)


def test_headers_of_a_call_are_not_shown() -> None:
    headers = {"X-Gateway-Key": "secret-1"}
    given = options(ROUTER, provider=None, dialect=None, model="a/b", headers=headers)
    assert given.headers["X-Gateway-Key"] == "secret-1"
    assert "secret-1" not in repr(given)
