"""The default clients understand what real servers said: replayed, no server, no network."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared_core import AsyncRouterClient, RouterClient
from tests.helpers.cassettes import CASSETTES, REPLAY_URL, SECRET_HEADERS, cassette, secrets_in
from tests.helpers.scenarios import EXACT, LLAMA, ROUTER, SCENARIOS, Target, settle
from tests.helpers.servers import LlamaServer

pytestmark = pytest.mark.anyio

TOKEN = "hf_" + "neverwrittentoacassette"
FILES = sorted(CASSETTES.glob("*/*.yaml"))
RECORDED = [
    (target, name)
    for target in (LLAMA, ROUTER)
    for name in SCENARIOS
    if (CASSETTES / target.name / f"{name}.yaml").exists()
]


def ids(value: object) -> str:
    return value.name if isinstance(value, Target) else str(value)


def check(target: Target, name: str, result: Any) -> None:
    SCENARIOS[name].check(result)
    if target is LLAMA and name in EXACT:
        assert result.text == EXACT[name]


@pytest.mark.parametrize(("target", "name"), RECORDED, ids=ids)
def test_blocking_client_understands(target: Target, name: str) -> None:
    with (
        cassette(f"{target.name}/{name}") as tape,
        RouterClient(api_key=TOKEN, base_url=target.chat_url) as client,
    ):
        result = SCENARIOS[name].call(client, target)
    check(target, name, result)
    assert tape.all_played, "a default call is exactly the recorded requests"


@pytest.mark.parametrize(("target", "name"), RECORDED, ids=ids)
async def test_async_client_understands(target: Target, name: str) -> None:
    with cassette(f"{target.name}/{name}") as tape:
        async with AsyncRouterClient(api_key=TOKEN, base_url=target.chat_url) as client:
            result = await settle(SCENARIOS[name].call(client, target))
    check(target, name, result)
    assert tape.all_played


@pytest.mark.parametrize("name", SCENARIOS)
async def test_both_clients_record_alike(
    name: str, tmp_path: Path, llama_chat_server: LlamaServer, llama_embed_server: LlamaServer
) -> None:
    """Recording works through both transports, and writes no token."""
    server = llama_chat_server if SCENARIOS[name].kind == "chat" else llama_embed_server
    url = f"{server.url}/v1"
    target = replace(LLAMA, chat_url=url, embed_url=url)
    with (
        cassette("blocking", folder=tmp_path, record=True),
        RouterClient(api_key=TOKEN, base_url=url) as client,
    ):
        check(LLAMA, name, SCENARIOS[name].call(client, target))
    with cassette("async", folder=tmp_path, record=True):
        async with AsyncRouterClient(api_key=TOKEN, base_url=url) as client:
            check(LLAMA, name, await settle(SCENARIOS[name].call(client, target)))
    blocking, asynchronous = (tmp_path / f"{n}.yaml" for n in ("blocking", "async"))
    assert _requests(blocking) == _requests(asynchronous)
    for path in (blocking, asynchronous):
        text = path.read_text(encoding="utf-8")
        assert TOKEN not in text
        assert secrets_in(text) == []


def test_llama_cassettes_are_complete() -> None:
    assert {name for target, name in RECORDED if target is LLAMA} == set(SCENARIOS)
    assert {path.stem for path in FILES} <= set(SCENARIOS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_cassette_holds_no_secret(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert secrets_in(text) == []
    for interaction in yaml.safe_load(text)["interactions"]:
        for part in ("request", "response"):
            names = {name.lower() for name in interaction[part]["headers"]}
            assert names & set(SECRET_HEADERS) == set()
        assert interaction["request"]["uri"].startswith(f"{REPLAY_URL}/")


def test_the_search_for_secrets_finds_them() -> None:
    assert secrets_in(f"x: {TOKEN}")
    assert secrets_in("Authorization: Bearer abcdefgh12345")
    assert not secrets_in("hf_short, Bearer of news")


def _requests(path: Path) -> list[Any]:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    requests = [interaction["request"] for interaction in data["interactions"]]
    return [(r["method"], re.sub(r"\d+", "", r["uri"]), r["body"]) for r in requests]
