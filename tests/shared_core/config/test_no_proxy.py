"""Which hosts are reached without the proxy of the environment."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import AsyncRouterClient, NameResolutionError, ProxyError, RouterClient
from shared_core.config.no_proxy import bypasses_proxy
from shared_core.config.settings import Settings
from tests.helpers.fault_server import ProxyServer
from tests.shared_core.resilience.helpers import PATH

DIRECT = [
    ("10.1.2.3", "10.0.0.0/8"),
    ("10.1.2.3", "10.1.2.3"),
    ("10.1.2.3", "10.1.2.3/32"),
    ("10.1.2.3", "10.1.9.9/16"),  # bits behind the block count for nothing
    ("10.1.2.3", "0.0.0.0/0"),
    ("10.1.2.3", "10.1.2.3:8080"),
    ("10.1.2.3", "192.168.0.0/16, 10.0.0.0/8"),
    ("10.1.2.3", "192.168.0.0/16 10.0.0.0/8"),
    ("10.1.2.3", "*"),
    ("fd00::1", "fd00::/8"),
    ("fd00::1", "[fd00::]/8"),
    ("fd00::1", "fd00::1/128"),
    ("fd00::1", "fd00::1"),
    ("fd00::1", "[fd00::1]"),
    ("fd00::1", "[FD00::1]:8080"),
    ("fd00::1", "fd00:0:0:0:0:0:0:1"),
    ("gpu.corp.test", "corp.test"),
    ("gpu.corp.test", ".corp.test"),
    ("gpu.corp.test", "corp.test."),
    ("corp.test", ".corp.test"),
    ("gpu.corp.test", "Corp.Test:8080"),
    ("gpu.corp.test", "other.test,*"),
    # This machine, whatever is set.
    ("localhost", ""),
    ("127.0.0.1", ""),
    ("127.1", ""),
    ("127.9.9.9", "other.test"),
    ("::1", ""),
]
PROXIED = [
    ("10.1.2.3", ""),
    ("10.1.2.3", "11.0.0.0/8"),
    ("10.1.2.3", "1.2.3"),  # the end of an address is no domain
    ("10.1.2.3", ".2.3"),
    ("10.1.2.3", "10."),
    ("10.1.2.3", "10.1.2.3:80"),
    ("10.1.2.3", "10.0.0.0/33"),
    ("10.1.2.3", "10.0.0.0/"),
    ("10.1.2.3", "10.0.0.0/255.0.0.0"),
    ("10.1.2.3", "10.0.0.0/x"),
    ("10.1.2.3", "fd00::/8"),
    ("10.1.2.3", "::/0"),
    ("fd00::1", "0.0.0.0/0"),
    ("fd00::1", "fe00::/8"),
    ("fd00::1", "[fd00::1]:80"),
    ("fd00::1", "::1"),
    ("gpu.corp.test", "0.0.0.0/0"),
    ("gpu.corp.test", "10.0.0.0/8"),
    ("gpu.corp.test", "orp.test"),
    ("gpu.corp.test", "corp.test:80"),
    ("gpu.corp.test", "*.corp.test"),  # neither curl nor requests has such patterns
    ("gpu.corp.test", "."),
    ("gpu.corp.test", ","),
    ("127.corp.test", ""),
    ("1270.0.0.1", ""),
]


@pytest.mark.parametrize(("host", "value"), DIRECT)
def test_reached_directly(host: str, value: str) -> None:
    assert bypasses_proxy(host, 8080, value)


@pytest.mark.parametrize(("host", "value"), PROXIED)
def test_reached_through_the_proxy(host: str, value: str) -> None:
    assert not bypasses_proxy(host, 8080, value)


@given(st.text(alphabet="0123456789abcdef:.[]/*,% -", max_size=40), st.text(max_size=20))
def test_whatever_the_variable_says_nothing_breaks(value: str, host: str) -> None:
    assert bypasses_proxy(host, None, value) in (True, False)
    assert bypasses_proxy("10.1.2.3", None, f"{value},10.1.2.3")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("host", "exempt", "error"),
    [
        ("192.0.2.7", "10.0.0.0/8, .2.7", ProxyError),  # of no network (RFC 5737)
        ("nowhere.invalid", "0.0.0.0/0", ProxyError),
        ("nowhere.invalid", "10.0.0.0/8, .invalid", NameResolutionError),
    ],
)
def test_a_client_asks_the_proxy_or_does_not(
    kind: str, host: str, exempt: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProxyServer(refuse=407) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", exempt)

        async def achat() -> None:
            async with AsyncRouterClient("a/b", base_url=f"http://{host}/v1") as client:
                await client.chat.create("ping")

        def chat() -> None:
            with RouterClient("a/b", base_url=f"http://{host}/v1") as client:
                client.chat.create("ping")

        with pytest.raises(error):
            asyncio.run(achat()) if kind == "async" else chat()
        asked = [] if error is NameResolutionError else [f"http://{host}{PATH}"]
        assert [one.target for one in proxy.requests] == asked


@pytest.mark.parametrize(
    ("exempt", "proxied"), [("192.0.2.0/24", False), ("192.0.2.7:81", True), ("*", False)]
)
def test_the_settings_know(exempt: str, proxied: bool) -> None:
    env = {"HTTP_PROXY": "http://p:1", "NO_PROXY": exempt}
    settings = Settings.resolve(base_url="http://192.0.2.7/v1", env=env)
    assert (settings.proxy is not None) == proxied
