"""Where an embedding request goes."""

from __future__ import annotations

import pytest

from shared_core.embeddings.urls import Route, resolve
from shared_core.errors import InvalidSettingError

ROUTER = "https://router.huggingface.co/v1"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
HF_PATH = f"/hf-inference/models/{MINILM}/pipeline/feature-extraction"


@pytest.mark.parametrize(
    ("base", "options", "url", "dialect"),
    [
        (ROUTER, {}, f"https://router.huggingface.co{HF_PATH}", "hf-inference"),
        ("https://router.huggingface.co", {}, f"https://router.huggingface.co{HF_PATH}", None),
        ("http://127.0.0.1:8080", {}, f"http://127.0.0.1:8080{HF_PATH}", "hf-inference"),
        (
            ROUTER,
            {"provider": "hf-inference"},
            f"https://router.huggingface.co{HF_PATH}",
            "hf-inference",
        ),
        (
            "http://mirror/v1",
            {"provider": "hf-inference"},
            f"http://mirror{HF_PATH}",
            "hf-inference",
        ),
        ("http://mirror/v1", {"dialect": "hf-inference"}, f"http://mirror{HF_PATH}", None),
        ("https://gw/hf/v1", {"dialect": "hf-inference"}, f"https://gw/hf{HF_PATH}", None),
        (
            "https://router.huggingface.co/hf-inference",
            {},
            f"https://router.huggingface.co{HF_PATH}",
            "hf-inference",
        ),
        (
            f"https://router.huggingface.co/hf-inference/models/{MINILM}",
            {},
            f"https://router.huggingface.co{HF_PATH}",
            "hf-inference",
        ),
        (
            ROUTER,
            {"provider": "together"},
            "https://router.huggingface.co/together/v1/embeddings",
            "openai",
        ),
        (
            ROUTER,
            {"provider": "scaleway"},
            "https://router.huggingface.co/scaleway/v1/embeddings",
            "openai",
        ),
        (
            ROUTER,
            {"provider": "deepinfra"},
            "https://router.huggingface.co/deepinfra/v1/openai/embeddings",
            "openai",
        ),
        (
            "https://router.huggingface.co/together/v1",
            {},
            "https://router.huggingface.co/together/v1/embeddings",
            "openai",
        ),
        ("http://host:1/v1", {}, "http://host:1/v1/embeddings", "openai"),
        ("http://host:1/v1/chat/completions", {}, "http://host:1/v1/embeddings", "openai"),
        (f"{ROUTER}/chat/completions", {}, f"https://router.huggingface.co{HF_PATH}", None),
        ("http://host:1/v1/", {}, "http://host:1/v1/embeddings", "openai"),
        ("http://host:1", {"dialect": "openai"}, "http://host:1/v1/embeddings", "openai"),
        ("http://host:1", {"dialect": "tei"}, "http://host:1/embed", "tei"),
        ("http://host:1/v1", {"dialect": "tei"}, "http://host:1/embed", "tei"),
        ("http://host:1/embed", {}, "http://host:1/embed", "tei"),
        ("http://host:1/embed_all", {}, "http://host:1/embed_all", "tei"),
        ("http://host:1/embeddings", {}, "http://host:1/embeddings", "openai"),
        ("http://host:1/v1/embeddings", {}, "http://host:1/v1/embeddings", "openai"),
        (f"http://host:1{HF_PATH}", {}, f"http://host:1{HF_PATH}", "hf-inference"),
        ("http://host:1/x/embed?key=1", {}, "http://host:1/x/embed?key=1", "tei"),
        ("http://host:1/v1?v=2", {}, "http://host:1/v1/embeddings?v=2", "openai"),
        ("http://h/embed", {"dialect": "hf-inference"}, "http://h/embed", "hf-inference"),
        (
            "https://abc.us-east-1.aws.endpoints.huggingface.cloud",
            {},
            "https://abc.us-east-1.aws.endpoints.huggingface.cloud/",
            "hf-inference",
        ),
        (
            "https://abc.us-east-1.aws.endpoints.huggingface.cloud/v1",
            {},
            "https://abc.us-east-1.aws.endpoints.huggingface.cloud/v1/embeddings",
            "openai",
        ),
        (ROUTER, {"provider": "auto", "dialect": "auto"}, None, "hf-inference"),
    ],
)
def test_route(base: str, options: dict[str, str], url: str | None, dialect: str | None) -> None:
    route = resolve(base, model=MINILM, **options)
    assert url is None or route.url == url
    assert dialect is None or route.dialect == dialect


def test_pass_through_needs_a_model_and_remembers_the_provider() -> None:
    assert resolve(ROUTER, model="m", provider="scaleway") == Route(
        "https://router.huggingface.co/scaleway/v1/embeddings", "openai", "scaleway", True
    )


@pytest.mark.parametrize(
    "model",
    [
        "../../api/x",
        "a/b/c",
        "a/..",
        "./b",
        "a b",
        "a?b",
        "a#b",
        "a%2fb",
        "a\nb",
        "a/b:together",
        "/b",
        "a/",
        "ä/b",
        "https://host/x",
        "",
        None,
    ],
)
def test_a_model_that_would_leave_its_place_in_the_path_is_refused(model: str | None) -> None:
    with pytest.raises(InvalidSettingError, match="model"):
        resolve(ROUTER, model=model)


def test_a_provider_suffix_is_answered_with_the_keyword() -> None:
    with pytest.raises(InvalidSettingError, match="provider="):
        resolve(ROUTER, model="a/b:together")


@pytest.mark.parametrize(
    ("base", "options", "words"),
    [
        (ROUTER, {"provider": "groq"}, "serves no embeddings"),
        (ROUTER, {"provider": "togehter"}, "did you mean 'together'"),
        (ROUTER, {"dialect": "grpc"}, "dialect must be one of"),
        (ROUTER, {"dialect": "openai"}, "not served by the router"),
        (ROUTER, {"dialect": "tei"}, "not served by the router"),
        (ROUTER, {"dialect": "tei", "provider": "together"}, "OpenAI form only"),
        ("http://host/embed", {"provider": "together"}, "needs the router"),
        ("http://host/some/where", {}, "does not say what the server speaks"),
    ],
)
def test_what_cannot_work_is_refused_with_what_can(
    base: str, options: dict[str, str], words: str
) -> None:
    with pytest.raises(InvalidSettingError, match=words) as caught:
        resolve(base, model=MINILM, **options)
    assert caught.value.setting in ("provider", "dialect", "base_url")


def test_a_server_of_ones_own_needs_no_model() -> None:
    assert resolve("http://host/embed").url == "http://host/embed"
    assert resolve("http://host/v1").url == "http://host/v1/embeddings"
