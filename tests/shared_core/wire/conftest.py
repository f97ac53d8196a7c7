"""One caller for both wires, so that every rule is tried blocking and asynchronous."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared_core.config.settings import Settings
from shared_core.wire.http import AsyncHTTPWire, HTTPWire
from shared_core.wire.messages import WireRequest, WireResponse
from tests.helpers.fault_server import Certificates, FaultServer

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
PROMPT = "the-prompt-nobody-may-see"


class Caller:
    """Sends requests through one kind of wire and keeps the wire between calls."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.runner = asyncio.Runner() if kind == "async" else None
        self.options: dict[str, Any] = {"api_key": TOKEN, "env": {}}
        self._wire: Any = None
        self.seconds = 0.0

    def configure(self, **options: Any) -> Caller:
        self.options.update(options)
        return self

    @property
    def wire(self) -> Any:
        if self._wire is None:
            settings = Settings.resolve(**self.options)
            self._wire = (HTTPWire if self.kind == "sync" else AsyncHTTPWire)(settings)
        return self._wire

    def run(self, awaitable_or_value: Any) -> Any:
        return self.runner.run(awaitable_or_value) if self.runner else awaitable_or_value

    def send(self, url: str, **fields: Any) -> WireResponse:
        started = time.monotonic()
        try:
            answer: WireResponse = self.run(self.wire.send(request(url, **fields)))
            return answer
        finally:
            self.seconds = time.monotonic() - started

    def open(self, url: str, **fields: Any) -> Any:
        return self.run(self.wire.open(request(url, stream=True, **fields)))

    def stream(self, url: str, *, drain: bool = False, **fields: Any) -> list[bytes]:
        """Open a stream and read it to its end (or to [DONE], then drain)."""
        started = time.monotonic()
        try:
            if self.kind == "sync":
                stream = self.wire.open(request(url, stream=True, **fields))
                pieces = []
                for piece in stream:
                    pieces.append(piece)
                    if drain and b"[DONE]" in piece:
                        stream.drain()
                        break
                return pieces
            return self.run(self._astream(url, drain, fields))
        finally:
            self.seconds = time.monotonic() - started

    async def _astream(self, url: str, drain: bool, fields: Any) -> list[bytes]:
        stream = await self.wire.open(request(url, stream=True, **fields))
        pieces = []
        async for piece in stream:
            pieces.append(piece)
            if drain and b"[DONE]" in piece:
                await stream.drain()
                break
        return pieces

    def close(self) -> None:
        if self._wire is not None:
            if self.kind == "sync":
                self._wire.close()
            else:
                self.run(self._wire.aclose())
        if self.runner is not None:
            self.runner.close()


def request(url: str, **fields: Any) -> WireRequest:
    values: dict[str, Any] = {
        "url": url,
        "json": {"model": "a/b", "prompt": PROMPT},
        "timeout": 5.0,
        "operation": "chat",
        "model": "a/b",
    }
    if fields.get("method") in ("GET", "HEAD"):
        values["json"] = None
    return WireRequest(**{**values, **fields})


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, server: FaultServer) -> Iterator[Caller]:
    made = Caller(request.param).configure(base_url=server.url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(scope="session")
def ca_file(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> str:
    return certificates.ca_file(Path(tmp_path_factory.mktemp("ca")))
