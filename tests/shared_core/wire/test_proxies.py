"""Proxies: which failures pass, which are final, and how many requests a call makes."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest

from shared_core import (
    APIStatusError,
    AsyncRouterClient,
    BreakerPolicy,
    Failover,
    FailoverEndpoint,
    ProxyError,
    ProxyUnavailableError,
    Resilience,
    RetryPolicy,
    RoundRobin,
    RouterClient,
    RouterError,
)
from shared_core.config.settings import TLSSettings
from shared_core.error_intermediary import intermediary_of
from shared_core.errors import from_response
from tests.helpers.fault_server import Certificates, FaultServer, ProxyServer, head
from tests.shared_core.resilience.helpers import GOOD, PATH, failing
from tests.shared_core.wire.conftest import Caller
from tests.shared_core.wire.test_connections import free_port

QUICK = RetryPolicy(max_retries=2, initial_delay=0.001)


def refusal(status: int, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return head(status, {"content-length": "0", **named})


PASSING = {
    "502": refusal(502),
    "503": refusal(503),
    "504": refusal(504),
    "500": refusal(500),
    "429": refusal(429),
    "dropped": b"",
    "cut": b"HTTP/1.1 200 Conn",
}
FINAL = {
    "403": refusal(403),
    "404": refusal(404),
    "407": refusal(407, proxy_authenticate='Basic realm="p"'),
    "501": refusal(501),
    "302": refusal(302, location="http://login.test/"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
}


class Asked:
    """One chat through a proxy, with either client; to a TLS server if not said otherwise."""

    def __init__(self, kind: str, server: FaultServer, ca_file: str | None = None) -> None:
        self.kind = kind
        self.options: dict[str, Any] = {
            "base_url": f"https://router.test:{server.port}/v1",
            "api_key": "k",
            "tls": TLSSettings(ca_file=ca_file),
        }

    def chat(self, proxy: ProxyServer, **options: Any) -> Any:
        """Return the answer or the error of one call."""
        how = {**self.options, "proxy": f"http://127.0.0.1:{proxy.port}", **options}
        if self.kind == "async":
            return asyncio.run(self._achat(how))
        with RouterClient("a/b", **how) as client:
            try:
                return client.chat.create("ping")
            except Exception as error:
                return error

    def breakers(self, port: int, calls: int, **options: Any) -> list[str]:
        """Return the states of the breakers of two endpoints behind one proxy, after calls."""
        urls = [f"https://{name}.test:1/v1" for name in ("one", "two")]
        endpoints = [FailoverEndpoint(url, api_key="k", name=url) for url in urls]
        policy = Resilience(
            breaker=BreakerPolicy(minimum_calls=1),
            failover=Failover(endpoints, selector=RoundRobin()),
        )
        how = {**self.options, "proxy": f"http://127.0.0.1:{port}", "resilience": policy, **options}
        client: Any = (AsyncRouterClient if self.kind == "async" else RouterClient)("a/b", **how)
        made: Any = self._achats(client, calls) if self.kind == "async" else None
        errors = asyncio.run(made) if made else [_error_of(client) for _ in range(calls)]
        assert isinstance(errors[0], ProxyError)
        if self.kind == "sync":
            client.close()
        return [client.resilience.breakers[url].state for url in urls]

    async def _achats(self, client: AsyncRouterClient, calls: int) -> list[Exception]:
        errors = []
        async with client:
            for _ in range(calls):
                with pytest.raises(RouterError) as caught:
                    await client.chat.create("ping")
                errors.append(caught.value)
        return errors

    async def _achat(self, how: dict[str, Any]) -> Any:
        async with AsyncRouterClient("a/b", **how) as client:
            try:
                return await client.chat.create("ping")
            except Exception as error:
                return error


def _error_of(client: RouterClient) -> Exception:
    with pytest.raises(RouterError) as caught:
        client.chat.create("ping")
    return caught.value


@pytest.fixture
def secure(certificates: Certificates) -> Any:
    with FaultServer(tls=certificates.server("router.test")) as server:
        server.on(PATH, GOOD)
        yield server


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def asked(kind: str, secure: FaultServer, ca_file: str) -> Asked:
    return Asked(kind, secure, ca_file)


def through(server: FaultServer, *faults: bytes) -> ProxyServer:
    return ProxyServer(connect_to=("127.0.0.1", server.port), faults=faults)


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_repeated_if_asked_for(
    asked: Asked, secure: FaultServer, fault: str
) -> None:
    with through(secure, PASSING[fault], PASSING[fault]) as proxy:
        assert asked.chat(proxy, retry=QUICK).text == "pong"
        assert len(proxy.requests) == 3
    assert len(secure.requests) == 1


@pytest.mark.parametrize("fault", PASSING)
def test_a_default_client_asks_once(asked: Asked, secure: FaultServer, fault: str) -> None:
    with through(secure, PASSING[fault]) as proxy:
        error = asked.chat(proxy)
        assert len(proxy.requests) == 1
    assert type(error) is ProxyUnavailableError
    assert error.proxy_status == (int(fault) if fault.isdigit() else None)
    assert error.retryable
    assert f"the proxy 127.0.0.1:{proxy.port}" in str(error)
    assert secure.accepted == 0


@pytest.mark.parametrize("fault", FINAL)
def test_a_refusal_is_final(asked: Asked, secure: FaultServer, fault: str) -> None:
    elsewhere = FailoverEndpoint("https://other.test/v1", api_key="k")
    here = FailoverEndpoint(asked.options["base_url"], api_key="k")
    policy = Resilience(retry=QUICK, failover=Failover([here, elsewhere]))
    with through(secure, FINAL[fault]) as proxy:
        error = asked.chat(proxy, resilience=policy)
        assert len(proxy.requests) == 1
    assert type(error) is ProxyError
    assert error.proxy_status == (int(fault) if fault.isdigit() else None)
    assert secure.accepted == 0


def test_another_endpoint_is_tried(asked: Asked, secure: FaultServer) -> None:
    here = asked.options["base_url"]
    endpoints = [
        FailoverEndpoint("https://down.test/v1", api_key="k", name="first"),
        FailoverEndpoint(here, api_key="k", name="second"),
    ]
    for rule in ("unreachable", "unavailable"):
        with through(secure, refusal(503)) as proxy:
            policy = Resilience(failover=Failover(endpoints, rule=rule))
            assert asked.chat(proxy, resilience=policy).endpoint == "second"
            assert proxy.requests[0].target == "down.test:443"


OUT_OF_REACH = {"502", "503", "504", "dropped", "cut"}
"""What a proxy says, or does, that cannot reach the server."""


@pytest.mark.parametrize("fault", [*PASSING, *FINAL])
def test_a_breaker_counts_what_the_proxy_says_of_the_endpoint(
    asked: Asked, secure: FaultServer, fault: str
) -> None:
    said = {**PASSING, **FINAL}[fault]
    with through(secure, *[said] * 4) as proxy:
        assert asked.breakers(proxy.port, 2) == ["open" if fault in OUT_OF_REACH else "closed"] * 2
    assert secure.accepted == 0


def test_a_proxy_that_is_away_opens_no_breaker(asked: Asked) -> None:
    assert asked.breakers(free_port(), 4) == ["closed", "closed"]


def test_a_silent_proxy_may_wait_for_the_endpoint(asked: Asked) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert asked.breakers(port, 2, connect_timeout=0.2) == ["open", "open"]


def test_the_wait_that_the_proxy_asks_for(asked: Asked, secure: FaultServer) -> None:
    with through(secure, refusal(503, retry_after="86400")) as proxy:
        error = asked.chat(proxy, retry=QUICK)
        assert len(proxy.requests) == 1
    assert error.retry_after == 86400
    assert "86400 s" in str(error)
    with through(secure, refusal(503, retry_after="0.2")) as proxy:
        assert asked.chat(proxy, retry=QUICK).text == "pong"
        assert len(proxy.requests) == 2
    with through(secure, refusal(503, retry_after="1e400")) as proxy:
        assert asked.chat(proxy).retry_after is None


def test_careful_retries_repeat_too(asked: Asked, secure: FaultServer) -> None:
    """Nothing reached the server, so no answer can have been lost."""
    careful = RetryPolicy(max_retries=1, initial_delay=0.001, repeat_lost_answers=False)
    with through(secure, refusal(504)) as proxy:
        assert asked.chat(proxy, retry=careful).text == "pong"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_away_may_come_back(caller: Caller, scheme: str) -> None:
    caller.configure(proxy=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ProxyUnavailableError, match="Connection refused") as caught:
        caller.send(f"{scheme}://router.test/x")
    assert caught.value.proxy_status is None


def test_a_silent_proxy_may_answer_later(caller: Caller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        caller.configure(proxy=f"http://127.0.0.1:{port}", connect_timeout=0.2)
        with pytest.raises(ProxyUnavailableError, match="timed out"):
            caller.send("https://router.test/x")
    assert caller.seconds < 2


@pytest.mark.parametrize(("status", "wanted"), [(503, ProxyUnavailableError), (403, ProxyError)])
def test_the_status_is_known_through_a_client_of_the_users(
    secure: FaultServer, status: int, wanted: type[ProxyError]
) -> None:
    with ProxyServer(refuse=status) as proxy:
        with httpx.Client(proxy=f"http://127.0.0.1:{proxy.port}") as own:
            client = RouterClient("a/b", base_url="https://router.test/v1", http_client=own)
            with pytest.raises(ProxyError) as caught:
                client.chat.create("ping")
    assert type(caught.value) is wanted
    assert caught.value.proxy_status == status


# --- answers that a proxy makes itself, to plain http -------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "maker", "reason"),
    [
        (503, {"proxy_status": "squid.corp; error=connection_refused"}, "squid.corp", "refused"),
        (504, {"proxy_status": '"my proxy"; error=connection_timeout'}, "my proxy", "timeout"),
        (403, {"proxy_status": "p; error=http_request_denied"}, "p", "http_request_denied"),
        (503, {"x_squid_error": "ERR_CONNECT_FAIL 111"}, "Squid", "ERR_CONNECT_FAIL"),
    ],
)
def test_the_answer_of_a_proxy_is_called_so(
    kind: str, server: FaultServer, status: int, headers: dict[str, str], maker: str, reason: str
) -> None:
    with ProxyServer(faults=[refusal(status, **headers)]) as proxy:
        asked = Asked(kind, server)
        error = asked.chat(proxy, base_url=f"http://router.test:{server.port}/v1")
    assert isinstance(error, APIStatusError)
    assert (error.status_code, error.intermediary) == (status, maker)
    assert f"made by the proxy or gateway {maker}" in str(error)
    assert reason in str(error)
    assert "check proxy=" in str(error)
    assert "token" not in str(error)


@pytest.mark.parametrize(
    "headers",
    [
        {"proxy_status": "cdn; received-status=503; error=http_response_incomplete"},
        {"proxy_status": "cdn; error=connection_refused; received-status=503"},
        {"proxy_status": "cdn; error=http_protocol_error"},
        {"proxy_status": "cdn; next-hop=origin.test"},
        {"proxy_status": "=; error=connection_refused"},
        {"proxy_status": "p; error=connection_refused " * 200},
        {"via": "1.1 squid", "server": "squid/6.14", "x_cache": "MISS from squid"},
        {"x_squid_error": "whatever"},
    ],
)
def test_nobody_else_is_blamed_for_the_answer_of_a_server(
    kind: str, server: FaultServer, headers: dict[str, str]
) -> None:
    server.on(PATH, lambda _: failing(503, **headers))
    with through(server) as proxy:
        error = Asked(kind, server).chat(proxy, base_url=f"http://router.test:{server.port}/v1")
    assert (error.status_code, error.intermediary) == (503, None)
    assert "gateway" not in str(error)


@pytest.mark.parametrize(
    ("field", "maker"),
    [
        ("origin-cdn; error=connection_timeout, near; next-hop=a.test", "origin-cdn"),
        ("far; error=dns_error, near; error=proxy_internal_error", "near"),
        (
            r'"a \"b\", c"; details="x, y; error=z"; error=tls_alert_received;alert-id=40',
            'a "b", c',
        ),
        ("p;error=http_response_timeout", "p"),
        ("p; error=dns_error, ???", "p"),
        ("", None),
    ],
)
def test_members_of_proxy_status(field: str, maker: str | None) -> None:
    found = intermediary_of({"proxy-status": field})
    assert (found and found.name) == maker


def test_a_proxy_that_repeats_the_token_shows_nothing() -> None:
    error = from_response(
        status=503,
        headers={"Proxy-Status": f'"hf_{"a" * 20}"; error=connection_refused'},
        content=b"",
        operation="chat",
        url="http://router.test/v1",
    )
    assert "aaaa" not in str(error) + repr(error.__dict__)
