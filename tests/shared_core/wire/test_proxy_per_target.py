"""Each address of a client has its own way: ``NO_PROXY`` and schemes are judged for each."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from shared_core import (
    AsyncRouterClient,
    Failover,
    FailoverEndpoint,
    InvalidSettingError,
    Resilience,
    RouterClient,
)
from shared_core.config.settings import Settings, TLSSettings
from shared_core.wire.messages import WireResponse
from tests.helpers.fault_server import Certificates, FaultServer, ProxyServer, json_reply, redirect
from tests.shared_core.resilience.helpers import GOOD, PATH, failing
from tests.shared_core.wire.conftest import Caller

HERE = "0.0.0.0"  # an address of this machine that no rule takes for it
FAR = "router.test"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def other() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def proxy(server: FaultServer) -> Iterator[ProxyServer]:
    """A proxy that leads to the server, whatever it is asked for."""
    with ProxyServer(connect_to=("127.0.0.1", server.port)) as running:
        yield running


def targets(proxy: ProxyServer) -> list[str]:
    return [one.target for one in proxy.requests]


def answer(response: WireResponse) -> Any:
    return json.loads(response.content)


def environment(proxy: ProxyServer, **more: str) -> dict[str, str]:
    return {"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": HERE, **more}


class Client:
    """Either client, made for one call."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def do(self, call: Callable[[Any], Any], **options: Any) -> Any:
        if self.kind == "sync":
            with RouterClient("a/b", **options) as client:
                return call(client)
        return asyncio.run(self._ado(call, options))

    async def _ado(self, call: Callable[[Any], Awaitable[Any]], options: dict[str, Any]) -> Any:
        async with AsyncRouterClient("a/b", **options) as client:
            return await call(client)


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest) -> Client:
    return Client(request.param)


# --- one wire, several addresses ----------------------------------------------------------


@pytest.mark.parametrize("home", [HERE, FAR])
def test_each_address_is_judged_by_itself(
    caller: Caller, server: FaultServer, other: FaultServer, proxy: ProxyServer, home: str
) -> None:
    port = {HERE: other.port, FAR: server.port}
    server.on("*", json_reply({"from": "far"}))
    other.on("*", json_reply({"from": "here"}))
    caller.configure(base_url=f"http://{home}:{port[home]}/v1", env=environment(proxy))
    for _ in range(2):  # the second time over the connections of the first
        assert answer(caller.send(f"http://{HERE}:{other.port}/x")) == {"from": "here"}
        assert answer(caller.send(f"http://{FAR}:{server.port}/x")) == {"from": "far"}
    assert set(targets(proxy)) == {f"http://{FAR}:{server.port}/x"}
    assert (len(server.requests), len(other.requests)) == (2, 2)
    assert (proxy.accepted, other.accepted) == (1, 1)


def test_a_port_of_no_proxy_is_judged_too(
    caller: Caller, server: FaultServer, other: FaultServer, proxy: ProxyServer
) -> None:
    server.on("*", json_reply({"from": "far"}))
    other.on("*", json_reply({"from": "here"}))
    caller.configure(env=environment(proxy, NO_PROXY=f"{HERE}:{other.port}"))
    assert answer(caller.send(f"http://{HERE}:{other.port}/x")) == {"from": "here"}
    assert answer(caller.send(f"http://{HERE}:{server.port}/x")) == {"from": "far"}
    assert targets(proxy) == [f"http://{HERE}:{server.port}/x"]


def test_each_scheme_has_its_proxy(
    caller: Caller,
    server: FaultServer,
    proxy: ProxyServer,
    certificates: Certificates,
    ca_file: str,
) -> None:
    server.on("*", json_reply({"from": "plain"}))
    with (
        FaultServer(tls=certificates.server(FAR)) as secure,
        ProxyServer(connect_to=("127.0.0.1", secure.port)) as second,
    ):
        secure.on("*", json_reply({"from": "secure"}))
        env = environment(proxy, HTTPS_PROXY=f"http://127.0.0.1:{second.port}")
        caller.configure(env=env, tls=TLSSettings(ca_file=ca_file))
        assert answer(caller.send(f"http://{FAR}:81/x")) == {"from": "plain"}
        assert answer(caller.send(f"https://{FAR}:444/x")) == {"from": "secure"}
        assert targets(proxy) == [f"http://{FAR}:81/x"]
        assert targets(second) == [f"{FAR}:444"]


def test_a_redirect_takes_the_way_of_its_target(
    caller: Caller, server: FaultServer, proxy: ProxyServer
) -> None:
    server.on("/a", redirect(f"http://{HERE}:{server.port}/b"))
    server.on("/b", json_reply({"ok": True}))
    caller.configure(env=environment(proxy))
    assert answer(caller.send(f"http://{FAR}:81/a", method="GET", auth=False)) == {"ok": True}
    assert targets(proxy) == [f"http://{FAR}:81/a"]
    assert server.count("/b") == 1


def test_this_machine_is_never_behind_the_proxy(
    caller: Caller, server: FaultServer, proxy: ProxyServer
) -> None:
    server.on("*", json_reply({"ok": True}))
    caller.configure(base_url=f"http://{FAR}/v1", env=environment(proxy))
    assert answer(caller.send(f"{server.url}/x")) == {"ok": True}
    assert targets(proxy) == []


def test_the_proxy_of_the_caller_holds_for_all(
    caller: Caller, server: FaultServer, proxy: ProxyServer
) -> None:
    server.on("*", json_reply({"ok": True}))
    with ProxyServer(refuse=407) as unused:
        caller.configure(proxy=f"http://127.0.0.1:{proxy.port}", env=environment(unused))
        asked = [f"http://{host}:81/x" for host in (HERE, FAR, "127.0.0.1")]
        for url in asked:
            assert answer(caller.send(url)) == {"ok": True}
        assert targets(unused) == []
    assert targets(proxy) == asked


@pytest.mark.parametrize("value", ["socks5://p:1", "socks://ann:s3cret@p:1", "http://:x"])
def test_a_proxy_that_cannot_be_used_is_refused_where_it_is_needed(
    caller: Caller, server: FaultServer, value: str
) -> None:
    server.on("*", json_reply({"ok": True}))
    caller.configure(env={"ALL_PROXY": value})
    assert answer(caller.send(f"{server.url}/x")) == {"ok": True}
    for _ in range(2):
        with pytest.raises(InvalidSettingError, match="environment variable ALL_PROXY") as caught:
            caller.send(f"http://{FAR}/x")
        assert caught.value.setting == "proxy"
        assert "s3cret" not in str(caught.value) + repr(caller.wire.settings)
    assert answer(caller.send(f"{server.url}/x")) == {"ok": True}


# --- what a client calls besides base_url --------------------------------------------------


@pytest.mark.parametrize("home", [HERE, FAR])
def test_failover_endpoints(
    client: Client,
    server: FaultServer,
    other: FaultServer,
    proxy: ProxyServer,
    monkeypatch: pytest.MonkeyPatch,
    home: str,
) -> None:
    for name, value in environment(proxy).items():
        monkeypatch.setenv(name, value)
    here = FailoverEndpoint(f"http://{HERE}:{other.port}/v1", api_key="k", name=HERE)
    far = FailoverEndpoint(f"http://{FAR}:{server.port}/v1", api_key="k", name=FAR)
    first, second = (here, far) if home == HERE else (far, here)
    (other if home == HERE else server).on(PATH, failing(503))
    (server if home == HERE else other).on(PATH, GOOD)
    completion = client.do(
        lambda one: one.chat.create("ping"),
        base_url=first.base_url,
        api_key="k",
        resilience=Resilience(failover=Failover([first, second])),
    )
    assert completion.endpoint == second.name
    assert targets(proxy) == [f"http://{FAR}:{server.port}{PATH}"]
    assert (server.count(PATH), other.count(PATH)) == (1, 1)


@pytest.mark.parametrize("home", [HERE, FAR])
def test_the_hub(
    client: Client,
    server: FaultServer,
    proxy: ProxyServer,
    monkeypatch: pytest.MonkeyPatch,
    home: str,
) -> None:
    for name, value in environment(proxy).items():
        monkeypatch.setenv(name, value)
    server.on("/api/whoami-v2", json_reply({"type": "user", "name": "ann", "auth": {}}))
    hub = FAR if home == HERE else HERE
    found = client.do(
        lambda one: one.whoami(),
        base_url=f"http://{home}:{server.port}/v1",
        hub_url=f"http://{hub}:{server.port}",
        api_key="k",
    )
    assert found.name == "ann"
    through = [] if hub == HERE else [f"http://{FAR}:{server.port}/api/whoami-v2"]
    assert targets(proxy) == through


@pytest.mark.parametrize("at", [HERE, FAR])
def test_a_model_given_by_its_address(
    client: Client,
    server: FaultServer,
    proxy: ProxyServer,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    for name, value in environment(proxy).items():
        monkeypatch.setenv(name, value)
    server.on("*", json_reply([[{"label": "good", "score": 0.9}]]))
    home = FAR if at == HERE else HERE
    labels = client.do(
        lambda one: one.tasks.text_classification(
            "fine", model=f"http://{at}:{server.port}/classify"
        ),
        base_url=f"http://{home}:{server.port}/v1",
        api_key="k",
    )
    assert labels[0].label == "good"
    assert len(targets(proxy)) == (at == FAR)


# --- what the settings say ------------------------------------------------------------------


def test_the_settings_name_the_variables_and_hide_the_passwords() -> None:
    env = {"HTTP_PROXY": "http://ann:s3cret@p:1", "HTTPS_PROXY": "bob:hunter2@q:2"}
    settings = Settings.resolve(env=env)
    assert settings.sources["proxy"] == "environment variables HTTP_PROXY and HTTPS_PROXY"
    assert str(settings.proxy) == "http://q:2"
    assert settings.redact("ann:s3cret bob:hunter2") == "*** ***"
    for shown in (repr(settings), repr(pickle.dumps(settings))):
        assert "s3cret" not in shown
        assert "hunter2" not in shown
    copy = pickle.loads(pickle.dumps(settings))
    assert str(copy.proxies.toward("http", FAR, 80).url) == "http://p:1"
    assert Settings.resolve(env={"ALL_PROXY": "p:1"}).sources["proxy"] == (
        "environment variable ALL_PROXY"
    )
    assert not Settings.resolve(env={"NO_PROXY": "*"}).proxies
