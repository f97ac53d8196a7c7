"""Addresses as inputs: passed on, or fetched without the token and not from one's own network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from shared_core.client import AsyncRouterClient, RouterClient
from shared_core.errors import APIResponseValidationError, ConnectFailedError, NotFoundError
from shared_core.wire.transport import route
from tests.helpers.fault_server import (
    FaultServer,
    ProxyServer,
    html_reply,
    json_reply,
    redirect,
    reply,
)

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n...."
LABELS = [{"label": "cat", "score": 0.9}]
TASK = "/hf-inference/models/a/b"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.on(TASK, json_reply(LABELS))
        server.on("/cat", reply(200, PNG, {"content-type": "binary/octet-stream"}))
        yield server


@pytest.fixture
def files() -> Iterator[FaultServer]:
    """A server of files on another host than the service."""
    with FaultServer(host="127.0.0.2") as files:
        files.on("/cat", reply(200, PNG, {"content-type": "image/png"}))
        yield files


def client_of(server: FaultServer, **options: Any) -> RouterClient:
    return RouterClient(
        api_key="hf_test_token",
        base_url=server.url,
        default_headers={"x-mine": "1"},
        **options,
    )


def test_an_address_is_passed_on(server: FaultServer) -> None:
    address = "https://pictures.example/cat.png?signed=1"
    with client_of(server) as client:
        client.tasks.image_classification(address, model="a/b")
    assert server.requests[0].json() == {"inputs": address}


def test_fetched_on_request_without_the_token(server: FaultServer) -> None:
    with client_of(server) as client:
        found = client.tasks.image_classification(f"{server.url}/cat", model="a/b", fetch_urls=True)
    assert found[0].label == "cat"
    download, call = server.requests
    assert download.method == "GET"
    assert "authorization" not in download.headers
    assert "x-mine" not in download.headers
    assert call.body == PNG
    assert call.headers["content-type"] == "image/png"
    assert call.headers["authorization"] == "Bearer hf_test_token"


async def test_fetched_for_asyncio(server: FaultServer) -> None:
    async with AsyncRouterClient(api_key="hf_test_token", base_url=server.url) as client:
        found = await client.tasks.image_classification(
            f"{server.url}/cat", model="a/b", fetch_urls=True
        )
    assert found[0].label == "cat"
    assert "authorization" not in server.requests[0].headers


def test_private_addresses_are_refused_unless_allowed(
    server: FaultServer, files: FaultServer
) -> None:
    address = f"{files.origin}/cat"
    with client_of(server) as client:
        with pytest.raises(ConnectFailedError, match="is private") as caught:
            client.tasks.image_classification(address, model="a/b", fetch_urls=True)
        assert "allow_private_urls" in str(caught.value)
        assert (files.accepted, server.requests) == (0, [])
        client.tasks.image_classification(
            address, model="a/b", fetch_urls=True, allow_private_urls=True
        )
    assert server.requests[0].body == PNG


async def test_private_addresses_are_refused_for_asyncio(
    server: FaultServer, files: FaultServer
) -> None:
    async with AsyncRouterClient(api_key="hf_test_token", base_url=server.url) as client:
        with pytest.raises(ConnectFailedError, match="is private"):
            await client.tasks.image_classification(
                f"{files.origin}/cat", model="a/b", fetch_urls=True
            )
        # A connection that was allowed is not used for what is not.
        await client.tasks.image_classification(
            f"{files.origin}/cat", model="a/b", fetch_urls=True, allow_private_urls=True
        )
        with pytest.raises(ConnectFailedError, match="is private"):
            await client.tasks.image_classification(
                f"{files.origin}/cat", model="a/b", fetch_urls=True
            )
    assert len(files.requests) == 1


def resolving(name: str, address: str) -> Any:
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        return real(address if host == name else host, port, *rest, **more)

    return getaddrinfo


async def test_a_name_that_leads_to_a_private_address_is_refused(
    server: FaultServer, files: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving("pictures.example", "127.0.0.2"))
    address = f"http://pictures.example:{files.port}/cat"
    with client_of(server) as client:
        with pytest.raises(ConnectFailedError, match=r"127\.0\.0\.2 is private"):
            client.tasks.image_classification(address, model="a/b", fetch_urls=True)
    async with AsyncRouterClient(api_key="hf_test_token", base_url=server.url) as aclient:
        with pytest.raises(ConnectFailedError, match=r"127\.0\.0\.2 is private"):
            await aclient.tasks.image_classification(address, model="a/b", fetch_urls=True)
    assert files.accepted == 0


def test_a_redirect_to_a_private_address_is_refused(
    server: FaultServer, files: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = route.is_public
    monkeypatch.setattr(route, "is_public", lambda ip: ip == "127.0.0.2" or known(ip))
    with FaultServer() as inner:
        inner.on("/secret", reply(200, PNG))
        files.on("/moved", redirect(f"{inner.origin}/secret", 302))
        with client_of(server) as client:
            client.tasks.image_classification(f"{files.origin}/cat", model="a/b", fetch_urls=True)
            with pytest.raises(ConnectFailedError, match=r"127\.0\.0\.1 is private"):
                client.tasks.image_classification(
                    f"{files.origin}/moved", model="a/b", fetch_urls=True
                )
        assert inner.accepted == 0


async def test_a_literal_private_address_is_refused_behind_a_proxy(files: FaultServer) -> None:
    with ProxyServer() as proxy:
        settings: Any = {
            "api_key": "hf_t",
            "base_url": "http://service.example",
            "proxy": proxy.url,
        }
        with RouterClient(**settings) as client:
            with pytest.raises(ConnectFailedError, match="is private"):
                client.tasks.image_classification(
                    f"{files.origin}/cat", model="a/b", fetch_urls=True
                )
        async with AsyncRouterClient(**settings) as aclient:
            with pytest.raises(ConnectFailedError, match="is private"):
                await aclient.tasks.image_classification(
                    f"{files.origin}/cat", model="a/b", fetch_urls=True
                )
        assert proxy.requests == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("2002:0a00:0001::", False),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::8.8.8.8", True),
    ],
)
def test_what_is_public(address: str, public: bool) -> None:
    assert ipaddress.ip_address(address.partition("%")[0])
    assert route.is_public(address) is public


def test_downloads_that_fail(server: FaultServer) -> None:
    server.on("/page", html_reply("<html>log in</html>"))
    server.on("/empty", reply(200, b"", {"content-type": "image/png"}))
    server.on("/gone", reply(404))
    expected: dict[str, type[Exception]] = {
        "/page": APIResponseValidationError,
        "/empty": APIResponseValidationError,
        "/gone": NotFoundError,
    }
    with client_of(server) as client:
        for path, kind in expected.items():
            with pytest.raises(kind) as caught:
                client.tasks.image_classification(
                    f"{server.url}{path}?signature=hidden", model="a/b", fetch_urls=True
                )
            assert "hidden" not in str(caught.value)
    assert [each.method for each in server.requests] == ["GET"] * 3  # the task was not called
