"""A client that follows a store: the next call sees the change, calls in flight do not."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared_core import AsyncRouterClient, InvalidSettingError, RouterClient
from shared_core.config.dynamic import ClientConfig
from shared_core.config.store import ConfigStore
from shared_core.errors import ServiceUnavailableError
from shared_core.resilience.circuit_breaker import BreakerPolicy
from shared_core.resilience.pipeline import Resilience
from shared_core.resilience.retry import RetryPolicy
from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply
from tests.shared_core.telemetry.replies import CHAT, answer, options

pytestmark = pytest.mark.anyio


def echo(request: Received) -> Reply:
    return answer(request.json()["model"], delay=0.02)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(CHAT, echo)
        yield running


@pytest.mark.parametrize(
    "values",
    [
        {"model": ""},
        {"provider": "groq", "policy": "fastest"},
        {"policy": "slowest"},
        {"base_url": "ftp://h"},
        {"base_url": "https://user:pass-word@h"},
        {"timeout": 0},
        {"max_retries": -1},
        {"bill_to": "a\r\nb"},
        {"resilience": {"deadline": 5}},
        {"resilience": Resilience},
        {"resilience": Resilience(retry=RetryPolicy(max_retries=1)), "max_retries": 2},
    ],
)
def test_wrong_values_are_refused_when_the_configuration_is_made(values: Any) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        ClientConfig(**values)
    assert "pass-word" not in str(caught.value)
    store = ConfigStore(ClientConfig(model="org/a"))
    with pytest.raises(InvalidSettingError):
        store.update(**values)
    assert store.value == ClientConfig(model="org/a")


@pytest.mark.evidence("configuration", "sync")
def test_the_next_call_sees_a_change_and_rollback_takes_it_back(server: FaultServer) -> None:
    store = ConfigStore(ClientConfig())
    with RouterClient(**options(server, config=store)) as client:
        assert client.chat.create("Hello").text == "org/m"
        store.update(model="org/new", bill_to="acme")
        assert client.chat.create("Hello").text == "org/new"
        assert server.requests[-1].headers["x-hf-bill-to"] == "acme"
        assert server.requests[-1].headers["authorization"].startswith("Bearer hf_")
        store.rollback(1)
        assert client.chat.create("Hello").text == "org/m"
        assert "x-hf-bill-to" not in server.requests[-1].headers
        assert client.settings.bill_to is None
    assert server.accepted == 1  # the connection is kept


def test_another_server_gets_the_next_call(server: FaultServer) -> None:
    store = ConfigStore(ClientConfig())
    with FaultServer() as other, RouterClient(**options(server, config=store)) as client:
        other.on(CHAT, answer("other"))
        store.update(base_url=f"{other.url}/v1")
        assert client.chat.create("Hello").text == "other"
    assert server.requests == []


@pytest.mark.evidence("configuration", "async")
async def test_asynchronous_calls_in_flight_keep_what_they_began_with(server: FaultServer) -> None:
    store = ConfigStore(ClientConfig(model="org/v0"))
    async with AsyncRouterClient(**options(server, config=store)) as client:
        texts = []

        async def call() -> None:
            texts.append((await client.chat.create("Hello")).text)

        async def change() -> None:
            for number in range(1, 20):
                store.update(model=f"org/v{number}")
                await asyncio.sleep(0.005)

        await asyncio.gather(change(), *(call() for _ in range(60)))
        assert (await client.chat.create("Hello")).text == "org/v19"
    assert len(texts) == 60
    assert {text.startswith("org/v") for text in texts} == {True}


@pytest.mark.evidence("configuration", "threads")
def test_threads_call_while_the_configuration_changes(server: FaultServer) -> None:
    server.on(CHAT, lambda request: answer(request.json()["model"]))
    store = ConfigStore(ClientConfig(model="org/v0", bill_to="team-0"))
    wrong: list[object] = []
    with RouterClient(**options(server, config=store)) as client:

        def work() -> None:
            for _ in range(25):
                try:
                    client.chat.create("Hello")
                except Exception as error:
                    wrong.append(error)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for number in range(1, 60):
            store.update(model=f"org/v{number}", bill_to=f"team-{number}")
        for thread in threads:
            thread.join()
    assert wrong == []
    for request in server.requests:  # never a mixture of two versions
        model = request.json()["model"].removeprefix("org/v")
        assert request.headers["x-hf-bill-to"] == f"team-{model}"


@pytest.mark.evidence("configuration", "tasks")
async def test_a_thousand_calls_in_flight_see_one_version_each(server: FaultServer) -> None:
    held = threading.Event()

    def wait(request: Received) -> Reply:
        held.wait(30)
        return answer(request.json()["model"])

    server.on(CHAT, wait)
    store = ConfigStore(ClientConfig(model="org/v0", bill_to="team-0"))
    async with AsyncRouterClient(**options(server, config=store)) as client:
        tasks = []
        for number in range(1000):
            if number % 100 == 0:
                store.update(model=f"org/v{number}", bill_to=f"team-{number}")
            tasks.append(asyncio.create_task(client.chat.create("Hello")))
            if number % 100 == 99:
                await asyncio.sleep(0)  # those begin with this version, and wait for the server
        store.update(model="org/after", bill_to="team-after")
        held.set()
        texts = [found.text for found in await asyncio.gather(*tasks)]
        assert (await client.chat.create("Hello")).text == "org/after"
    assert texts == [f"org/v{number - number % 100}" for number in range(1000)]
    for request in server.requests:
        model = request.json()["model"].removeprefix("org/v").removeprefix("org/")
        assert request.headers["x-hf-bill-to"] == f"team-{model}"


def test_a_file_sets_options_and_says_that_it_cannot_hold_policies(
    server: FaultServer, tmp_path: Path
) -> None:
    file = tmp_path / "options.toml"
    file.write_text('model = "org/file"\nmax_retries = 1\n', encoding="utf-8")
    store = ConfigStore(ClientConfig())
    with RouterClient(**options(server, config=store)) as client:
        store.load(file)
        assert client.chat.create("Hello").text == "org/file"
        file.write_text("[resilience]\ndeadline = 5\n", encoding="utf-8")
        with pytest.raises(InvalidSettingError, match="resilience must be a Resilience") as caught:
            store.load(file)
        assert "max_retries can stand in a file" in str(caught.value)
        assert client.chat.create("Hello").text == "org/file"


def test_threads_that_meet_a_new_version_share_its_state(
    server: FaultServer, eager_threads: None
) -> None:
    server.on(CHAT, answer("fine"))
    for turn in range(10):
        store = ConfigStore(ClientConfig())
        with RouterClient(**options(server, config=store)) as client:
            store.update(resilience=Resilience(breaker=BreakerPolicy(minimum_calls=turn + 1)))
            start = threading.Barrier(6)
            seen: list[Any] = []

            def work(
                client: RouterClient = client,
                start: threading.Barrier = start,
                seen: list[Any] = seen,
            ) -> None:
                start.wait()
                seen.append(client.resilience)

            threads = [threading.Thread(target=work) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len({id(one) for one in seen}) == 1


def test_policies_change_and_their_state_survives_a_change_of_model(server: FaultServer) -> None:
    server.on(CHAT, json_reply({"error": "down"}, 503))
    breaker = Resilience(breaker=BreakerPolicy())
    store = ConfigStore(ClientConfig(resilience=breaker))
    with RouterClient(**options(server, config=store)) as client:
        pipeline = client.resilience
        assert pipeline is not None
        store.update(model="org/new")
        assert client.resilience is pipeline
        store.update(resilience=None, max_retries=2)
        assert client.resilience is not pipeline
        with pytest.raises(ServiceUnavailableError) as caught:
            client.chat.create("Hello")
        assert caught.value.attempts == 3


def test_what_does_not_fit_the_client_is_reported_and_not_used(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = ConfigStore(ClientConfig())
    policy = Resilience(retry=RetryPolicy(max_retries=1))
    with RouterClient(**options(server, config=store, resilience=policy)) as client:
        store.update(max_retries=3, model="org/new")  # retry would be set twice
        with caplog.at_level(logging.WARNING, "hfrouter"):
            assert [client.chat.create("Hello").text for _ in range(2)] == ["org/m"] * 2
        assert caplog.text.count("version 2 does not fit this client") == 1
        store.rollback()
        store.update(model="org/new")
        assert client.chat.create("Hello").text == "org/new"
    with pytest.raises(InvalidSettingError, match="ConfigStore"):
        RouterClient(**options(server, config={"model": "org/x"}))


def test_copies_follow_and_provider_and_policy_take_turns(server: FaultServer) -> None:
    store = ConfigStore(ClientConfig(provider="groq"))
    client = RouterClient("org/m", policy="fastest", api_key="hf_x", config=store)
    assert client._core.defaults.provider == "groq"
    assert client._core.defaults.policy is None
    twin = copy.deepcopy(client)
    derived = client.with_options(model="org/other")
    store.update(provider="together")
    assert [one._core.defaults.provider for one in (client, twin, derived)] == ["together"] * 3
    assert derived._core.defaults.model == "org/other"
    apart = pickle.loads(pickle.dumps(client))
    store.update(provider="novita")
    assert apart._core.defaults.provider == "together"
