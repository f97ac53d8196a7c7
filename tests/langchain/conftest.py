"""Fixtures of the LangChain tests: the stub server, local media, recordings kept aside."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.langchain.stub_server import StubServer


@pytest.fixture(scope="session")
def stub_session() -> Iterator[StubServer]:
    """One stub server for the standard suites."""
    with StubServer() as server:
        yield server


@pytest.fixture
def stub() -> Iterator[StubServer]:
    """A stub server of the test's own."""
    with StubServer() as server:
        yield server


def png() -> bytes:
    """Return a PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\x00\x00")
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def wav() -> bytes:
    """Return a WAV file with eight silent samples."""
    data = bytes(16)
    form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
    body += struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
PNG_BASE64 = base64.b64encode(png()).decode()
WAV_BASE64 = base64.b64encode(wav()).decode()
PDF_BASE64 = base64.b64encode(PDF).decode()


@pytest.fixture
def local_media(monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> None:
    """Serve the files that langchain-tests downloads from this process."""
    media = {"pdf": PDF, "wav": wav(), "png": png()}

    def get(url: str, **_: Any) -> httpx.Response:
        return httpx.Response(200, content=media[url.rpartition(".")[2]])

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "hfrouter tests")


@pytest.fixture(scope="session")
def vcr_config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Record next to nothing that is kept: the stub answers in every run."""
    folder: Path = tmp_path_factory.mktemp("cassettes")
    return {
        "record_mode": "all",
        "cassette_library_dir": str(folder),
        "filter_headers": [("authorization", "PLACEHOLDER"), ("x-hf-bill-to", "PLACEHOLDER")],
    }


@pytest.fixture(scope="session")
def record_mode() -> str:
    """Let the recording plugin pass requests on."""
    return "all"
