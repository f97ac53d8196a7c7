"""Fixtures of the whole suite: real servers, a clean environment, no way out.

Servers are started on first use, on free ports of 127.0.0.1, and ended by pid.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.guard import SocketGuard
from tests.helpers.servers import ROOT, LlamaServer, MissingServerError
from tests.helpers.skips import ALLOWED, RefuseSkips, allowed_patterns

#: The product, the Hub's libraries, HTTP and tracing read these; a test sets what it means.
AMBIENT_PREFIXES = ("HF_", "HUGGINGFACE", "HUGGING_FACE_", "LANGSMITH_", "LANGCHAIN_", "HFROUTER_")
AMBIENT_NAMES = {"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"}
TOKEN_NAMES = (
    "HF_TOKEN",
    "HUGGINGFACE_API_KEY",
    "HUGGINGFACEHUB_API_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
)

_guard = SocketGuard()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--refuse-skips``."""
    parser.addoption(
        "--refuse-skips",
        action="store_true",
        help="fail when a test is skipped for a reason not in tests/allowed_skips.txt",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Fix the threads of numeric libraries and register the skip check."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if config.getoption("--refuse-skips"):
        patterns = allowed_patterns(ALLOWED.read_text(encoding="utf-8"), ROOT)
        config.pluginmanager.register(RefuseSkips(patterns), "refuse-skips")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip live tests, which cost money, unless they were asked for and can work.

    Asked for: ``-m live``, or ``HFROUTER_LIVE=1`` in the environment.
    """
    asked = config.option.markexpr == "live" or os.environ.get("HFROUTER_LIVE") == "1"
    if asked and any(map(os.environ.get, TOKEN_NAMES)):
        return
    skip = pytest.mark.skip(reason="live: set HF_TOKEN and pass -m live, or set HFROUTER_LIVE=1")
    for item in items:
        if item.get_closest_marker("live"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests in asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def empty_hf_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder in the place of ``~/.cache/huggingface``."""
    return tmp_path_factory.mktemp("hf_home")


@pytest.fixture(autouse=True)
def clean_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, empty_hf_home: Path
) -> None:
    """Hide the tokens, proxies and settings of whoever runs the tests (not in live tests)."""
    if request.node.get_closest_marker("live"):
        return
    for name in list(os.environ):
        if name.upper().startswith(AMBIENT_PREFIXES) or name.upper() in AMBIENT_NAMES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(empty_hf_home))


@pytest.fixture(autouse=True)
def no_way_out(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that connects to another machine, even if it swallows the error."""
    if request.node.get_closest_marker("live"):
        yield
        return
    with _guard.watch() as refused:
        yield
    if refused:
        pytest.fail(f"the test tried to connect to {', '.join(refused)}")


def _server(mode: str) -> Iterator[LlamaServer]:
    try:
        server = LlamaServer(mode)
    except MissingServerError as reason:
        pytest.skip(str(reason))
    with server:
        yield server


@pytest.fixture(scope="session")
def llama_chat_server() -> Iterator[LlamaServer]:
    """llama.cpp with the taught chat model."""
    yield from _server("chat")


@pytest.fixture(scope="session")
def llama_embed_server() -> Iterator[LlamaServer]:
    """llama.cpp with the true all-MiniLM-L6-v2 weights."""
    yield from _server("embed")


@pytest.fixture(scope="session")
def llama_rerank_server() -> Iterator[LlamaServer]:
    """llama.cpp's rerank endpoints; the scores are noise."""
    yield from _server("rerank")


@pytest.fixture(scope="session")
def llama_chat_url(llama_chat_server: LlamaServer) -> str:
    """``http://127.0.0.1:PORT``; chat is at ``/v1``, the model is called ``taught``."""
    return llama_chat_server.url


@pytest.fixture(scope="session")
def llama_embed_url(llama_embed_server: LlamaServer) -> str:
    """``http://127.0.0.1:PORT``; embeddings are at ``/v1``, the model is called ``minilm``."""
    return llama_embed_server.url


@pytest.fixture(scope="session")
def llama_rerank_url(llama_rerank_server: LlamaServer) -> str:
    """``http://127.0.0.1:PORT``; ``/v1/rerank`` and ``/rerank`` with ``texts``."""
    return llama_rerank_server.url
