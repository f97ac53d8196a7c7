"""Clients that the user brings, recorders that patch httpx: the promises still hold."""

from __future__ import annotations

import asyncio
import copy
import gzip
import pickle
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import vcr

from shared_core.config.settings import Settings
from shared_core.errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectFailedError,
    ConnectionLostError,
    NameResolutionError,
    RedirectRefusedError,
    TLSError,
)
from shared_core.wire.http import AsyncHTTPWire, HTTPWire
from tests.helpers.fault_server import (
    Certificates,
    FaultServer,
    Fin,
    Hang,
    Reply,
    drop,
    gzip_bomb,
    hang,
    head,
    huge_header,
    json_reply,
    redirect,
    slow_body,
    sse,
)
from tests.shared_core.wire.conftest import PROMPT, TOKEN, Caller, request
from tests.shared_core.wire.test_connections import free_port


@pytest.fixture
def injected(caller: Caller) -> Any:
    """The caller, with plain httpx clients underneath."""
    settings = Settings.resolve(**caller.options)
    if caller.kind == "sync":
        with httpx.Client() as client:
            caller._wire = HTTPWire(settings, http_client=client)
            yield caller
            caller._wire.close()
            assert not client.is_closed, "an injected client is never closed"
    else:
        client_a = httpx.AsyncClient()
        caller._wire = AsyncHTTPWire(settings, http_client=client_a)
        yield caller
        caller.run(caller._wire.aclose())
        assert not client_a.is_closed
        caller.run(client_a.aclose())


def test_answers_and_streams(injected: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply({"a": 1}, compress=True))
    server.on("/s", sse({"n": 1}, delay=0.01))
    assert injected.send(server.url + "/x").content == b'{"a": 1}'
    assert b"".join(injected.stream(server.url + "/s")).endswith(b"data: [DONE]\n\n")
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


def test_deadline(injected: Caller, server: FaultServer) -> None:
    server.on("/h", hang())
    server.on("/d", slow_body(0.02))
    for path in ("/h", "/d"):
        with pytest.raises(APITimeoutError):
            injected.send(server.url + path, timeout=0.3)
        assert injected.seconds < 1.5


def test_limits_redirects_and_losses(injected: Caller, server: FaultServer) -> None:
    server.on("/b", gzip_bomb(status=500))
    answer = injected.send(server.url + "/b")
    assert (answer.status, answer.truncated) == (500, True)
    server.on("/r", redirect("http://127.0.0.2:9/"))
    with pytest.raises(RedirectRefusedError):
        injected.send(server.url + "/r")
    server.on("/d", drop())
    with pytest.raises(ConnectionLostError) as caught:
        injected.send(server.url + "/d")
    assert caught.value.__context__ is None


def test_broken_answers_are_called_what_they_are(injected: Caller, server: FaultServer) -> None:
    server.on("/h", huge_header())
    with pytest.raises(APIConnectionError, match=r"does not answer in HTTP/1\.1") as caught:
        injected.send(server.url + "/h")
    assert not isinstance(caught.value, ConnectionLostError)
    server.on("/b", Reply((head(200, {"content-length": "99"}) + b"{", Fin())))
    with pytest.raises(ConnectionLostError, match="in the middle of the answer"):
        injected.send(server.url + "/b")
    server.on("/s", sse({"n": 1}, end=Hang()))
    with pytest.raises(APITimeoutError) as late:
        injected.stream(server.url + "/s", timeout=0.3)
    assert late.value.phase == "stream"


def test_places_that_cannot_be_reached(injected: Caller, certificates: Certificates) -> None:
    with pytest.raises(ConnectFailedError):
        injected.send(f"http://127.0.0.1:{free_port()}/x")
    with pytest.raises(NameResolutionError):
        injected.send("http://no-such-host.invalid/x")
    with FaultServer(tls=certificates.server()) as other, pytest.raises(TLSError):
        injected.send(other.url + "/x")


def test_mock_transport() -> None:
    """What users have in their own tests: answers that are read already."""

    def handler(got: httpx.Request) -> httpx.Response:
        if got.url.path == "/s":
            return httpx.Response(
                200, headers={"content-type": "text/event-stream"}, text="data: 1"
            )
        body = gzip.compress(b'{"a": 1}')
        return httpx.Response(200, headers={"content-encoding": "gzip"}, content=body)

    settings = Settings.resolve(api_key=TOKEN, base_url="http://x.test", env={})
    wire = HTTPWire(settings, http_client=httpx.Client(transport=httpx.MockTransport(handler)))
    assert wire.send(request("http://x.test/a")).content == b'{"a": 1}'
    assert list(wire.open(request("http://x.test/s", stream=True))) == [b"data: 1"]

    async def main() -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        awire = AsyncHTTPWire(settings, http_client=client)
        assert (await awire.send(request("http://x.test/a"))).content == b'{"a": 1}'
        stream = await awire.open(request("http://x.test/s", stream=True))
        assert [piece async for piece in stream] == [b"data: 1"]

    asyncio.run(main())


def test_copies_share_the_injected_client() -> None:
    settings = Settings.resolve(api_key=TOKEN, env={})
    with httpx.Client() as client:
        wire = HTTPWire(settings, http_client=client)
        assert copy.deepcopy(wire)._client is client
        with pytest.raises(TypeError, match="http_client="):
            pickle.dumps(wire)
    with pytest.raises(TypeError, match="http_async_client="):
        pickle.dumps(AsyncHTTPWire(settings, http_client=httpx.AsyncClient()))


# --- cassettes --------------------------------------------------------------------------


def test_cassettes_record_and_replay(caller: Caller, server: FaultServer, tmp_path: Path) -> None:
    server.on("/x", json_reply({"answer": 42}, compress=True))
    server.on("/s", sse({"n": 1}, {"n": 2}))
    recorder = vcr.VCR(filter_headers=["authorization"])
    file = tmp_path / "cassette.yaml"

    def calls() -> tuple[bytes, bytes]:
        whole = caller.send(server.url + "/x").content
        return whole, b"".join(caller.stream(server.url + "/s"))

    with recorder.use_cassette(str(file), record_mode="once") as tape:
        first = calls()
        assert len(tape) == 2
    assert first[0] == b'{"answer": 42}'
    assert first[1].count(b"data:") == 3
    text = file.read_text()
    assert TOKEN not in text
    assert PROMPT in text
    assert len(server.requests) == 2
    with recorder.use_cassette(str(file), record_mode="none") as tape:
        assert calls() == first
        assert tape.all_played
    assert len(server.requests) == 2
    assert caller.send(server.url + "/x").content == first[0], "the connection is still good"


def test_recording_releases_connections(
    caller: Caller, server: FaultServer, tmp_path: Path
) -> None:
    server.on("/x", json_reply(1))
    with vcr.use_cassette(str(tmp_path / "c.yaml"), record_mode="all"):
        for _ in range(5):
            caller.send(server.url + "/x")
    assert server.accepted == 1


def test_patching_the_transport_is_seen(
    caller: Caller, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instrumentation wraps these two methods."""
    seen: list[str] = []
    server.on("/x", json_reply(1))
    whole, whole_async = (
        httpx.HTTPTransport.handle_request,
        httpx.AsyncHTTPTransport.handle_async_request,
    )

    def handle(self: Any, got: httpx.Request) -> httpx.Response:
        seen.append(str(got.url))
        return whole(self, got)

    async def ahandle(self: Any, got: httpx.Request) -> httpx.Response:
        seen.append(str(got.url))
        return await whole_async(self, got)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", ahandle)
    caller.send(server.url + "/x")
    assert seen == [server.url + "/x"]


def test_transport_works_under_a_plain_client(server: FaultServer) -> None:
    from shared_core.wire.http import pool_options
    from shared_core.wire.transport.sync_pool import HTTPTransport

    server.on("/x", json_reply({"a": 1}, compress=True))
    server.on("/h", hang())
    settings = Settings.resolve(env={})
    with httpx.Client(transport=HTTPTransport(pool_options(settings)), timeout=0.3) as client:
        assert client.post(server.url + "/x", json=1).json() == {"a": 1}
        started = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            client.get(server.url + "/h")
        assert time.monotonic() - started < 2
    assert server.wait_open(0)
