"""TLS and proxies: each failure says what, where and what to do."""

from __future__ import annotations

import socket

import pytest

from shared_core.config.settings import TLSSettings
from shared_core.errors import APITimeoutError, InvalidSettingError, ProxyError, TLSError
from tests.helpers.fault_server import (
    Certificates,
    FaultServer,
    ProxyServer,
    hang,
    json_reply,
    sse,
)
from tests.shared_core.wire.conftest import Caller
from tests.shared_core.wire.test_connections import free_port


@pytest.fixture
def trusting(caller: Caller, ca_file: str) -> Caller:
    return caller.configure(tls=TLSSettings(ca_file=ca_file))


def test_trusted(trusting: Caller, certificates: Certificates) -> None:
    with FaultServer(tls=certificates.server()) as server:
        trusting.configure(base_url=server.url)
        server.on("/x", json_reply("x" * 300_000))
        server.on("/s", sse({"a": 1}, {"b": 2}, delay=0.02))
        for _ in range(20):
            assert len(trusting.send(server.url + "/x").content) == 300_002
        assert b"".join(trusting.stream(server.url + "/s")).count(b"data:") == 3
        assert server.accepted == 1
        assert server.requests[0].headers["authorization"].startswith("Bearer ")
        big = trusting.send(server.url + "/x", content=b"x" * 3_000_000, json=None)
        assert big.status == 200
        assert server.requests[-1].body == b"x" * 3_000_000


def test_ssl_cert_file(
    caller: Caller, certificates: Certificates, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    with FaultServer(tls=certificates.server()) as server:
        server.on("/x", json_reply("ok"))
        assert caller.send(server.url + "/x").status == 200


def test_self_signed(trusting: Caller) -> None:
    with FaultServer(tls=Certificates.self_signed()) as server:
        with pytest.raises(TLSError, match="certificate verify failed") as caught:
            trusting.send(server.url + "/x")
        assert not caught.value.retryable
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        assert "ca_file" in str(caught.value)
        assert server.requests == []


def test_other_host(trusting: Caller, certificates: Certificates) -> None:
    with FaultServer(tls=certificates.server("other.test")) as server:
        with pytest.raises(TLSError, match=r"not valid for '127\.0\.0\.1'"):
            trusting.send(server.url + "/x")


def test_expired(trusting: Caller, certificates: Certificates) -> None:
    with FaultServer(tls=certificates.server(expired=True)) as server:
        with pytest.raises(TLSError, match="expired"):
            trusting.send(server.url + "/x")
        assert server.accepted == 1


def test_old_version(trusting: Caller, certificates: Certificates) -> None:
    with FaultServer(tls=certificates.server(old=True)) as server:
        with pytest.raises(TLSError, match=r"TLS 1\.2 or higher is required"):
            trusting.send(server.url + "/x")


def test_plain_http_on_the_tls_port(trusting: Caller, server: FaultServer) -> None:
    server.on("*", json_reply("plain", 400))
    with FaultServer(greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as other:
        with pytest.raises(TLSError, match="plain HTTP on this port"):
            trusting.send(f"https://127.0.0.1:{other.port}/x")


def test_handshake_that_never_ends(trusting: Caller) -> None:
    trusting.configure(connect_timeout=0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(APITimeoutError) as caught:
            trusting.send(f"https://127.0.0.1:{listener.getsockname()[1]}/x")
        assert caught.value.phase == "connect"
        assert trusting.seconds < 1.5


def test_timeout_over_tls(trusting: Caller, certificates: Certificates) -> None:
    with FaultServer(tls=certificates.server()) as server:
        server.on("/x", hang())
        with pytest.raises(APITimeoutError):
            trusting.send(server.url + "/x", timeout=0.3)
        assert trusting.seconds < 1.5
        assert server.wait_open(0)


def test_missing_ca_file(caller: Caller, tmp_path: object) -> None:
    caller.configure(tls=TLSSettings(ca_file=f"{tmp_path}/none.pem"))
    with pytest.raises(InvalidSettingError, match=r"tls\.ca_file"):
        caller.send("https://127.0.0.1:1/x")


# --- proxies ----------------------------------------------------------------------------


def test_plain_http_through_a_proxy(caller: Caller, server: FaultServer) -> None:
    server.on("/x", json_reply("ok"))
    with ProxyServer(auth=("me", "pass-word")) as proxy:
        caller.configure(proxy=f"http://me:pass-word@127.0.0.1:{proxy.port}")
        assert caller.send(server.url + "/x").content == b'"ok"'
        assert proxy.requests[0].target == server.url + "/x"
    assert "proxy-authorization" in proxy.requests[0].headers


def test_tunnel(trusting: Caller, certificates: Certificates) -> None:
    with FaultServer(tls=certificates.server()) as server, ProxyServer(auth=("me", "p w")) as proxy:
        server.on("/x", json_reply("ok"))
        trusting.configure(base_url=server.url, proxy=f"http://me:p%20w@127.0.0.1:{proxy.port}")
        for _ in range(3):
            assert trusting.send(server.url + "/x").content == b'"ok"'
        assert proxy.tunnels == [f"127.0.0.1:{server.port}"]
        assert "authorization" not in proxy.requests[0].headers
        assert "proxy-authorization" not in server.requests[0].headers


def test_tunnel_by_name(trusting: Caller, certificates: Certificates) -> None:
    """The proxy resolves the name, and the certificate must name it."""
    with FaultServer(tls=certificates.server("router.test")) as server:
        with ProxyServer(connect_to=("127.0.0.1", server.port)) as proxy:
            server.on("/x", json_reply("ok"))
            trusting.configure(proxy=f"http://127.0.0.1:{proxy.port}")
            assert trusting.send("https://router.test/x").content == b'"ok"'
            assert proxy.tunnels == ["router.test:443"]


def test_dead_proxy(caller: Caller, server: FaultServer) -> None:
    port = free_port()
    caller.configure(proxy=f"http://me:pass-word@127.0.0.1:{port}")
    for scheme in ("http", "https"):
        with pytest.raises(ProxyError, match=f"the proxy 127.0.0.1:{port} did not") as caught:
            caller.send(f"{scheme}://127.0.0.1:{server.port}/x")
        assert "pass-word" not in str(caught.value) + repr(caught.value.__dict__)
        assert "Connection refused" in str(caught.value)
    assert server.accepted == 0


def test_proxy_wants_other_credentials(caller: Caller, server: FaultServer) -> None:
    with ProxyServer(auth=("me", "right")) as proxy:
        caller.configure(proxy=f"http://me:pass-word@127.0.0.1:{proxy.port}")
        for scheme in ("http", "https"):
            with pytest.raises(ProxyError, match="407") as caught:
                caller.send(f"{scheme}://127.0.0.1:{server.port}/x")
            assert "pass-word" not in str(caught.value)
            assert f"127.0.0.1:{proxy.port}" in str(caught.value)
            assert "user and password" in str(caught.value)
    assert server.accepted == 0


def test_proxy_refuses_the_tunnel(caller: Caller) -> None:
    with ProxyServer(refuse=403) as proxy:
        caller.configure(proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(ProxyError, match="it answered 403"):
            caller.send("https://router.test/x")


def test_proxy_refuses_a_password_as_tinyproxy_does(caller: Caller) -> None:
    with ProxyServer(refuse=401) as proxy:
        caller.configure(proxy=f"http://me:pass-word@127.0.0.1:{proxy.port}")
        with pytest.raises(ProxyError, match=r"it wants other credentials \(401\)") as caught:
            caller.send("https://router.test/x")
        assert "user and password" in str(caught.value)
        assert "pass-word" not in str(caught.value)


def test_proxy_of_another_kind(caller: Caller, server: FaultServer) -> None:
    with pytest.raises(InvalidSettingError, match="socks5"):
        caller.configure(proxy="socks5://127.0.0.1:1080").send(server.url + "/x")
