"""Stores keep bytes, bounded, for their time; none of them runs what it reads."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import pickle
import socket
import sqlite3
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared_core import AsyncRouterClient, RouterClient
from shared_core.errors import InvalidSettingError, StoreUnavailableError
from shared_core.resilience.cache import Cache
from shared_core.resilience.cache_redis import RedisStore
from shared_core.resilience.cache_stores import MemoryStore, SQLiteStore
from shared_core.resilience.pipeline import Resilience
from tests.helpers.fault_server import FaultServer
from tests.shared_core.telemetry.replies import CHAT, answer, options

pytestmark = pytest.mark.anyio
SECRET = "hf_" + "s" * 30


class MemoryMachine(RuleBasedStateMachine):
    """The memory store against an ordered dict and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.store = MemoryStore(4, 100, clock=lambda: self.now)
        self.model: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    keys = st.sampled_from("abcdef")

    @rule(key=keys, size=st.integers(0, 120), ttl=st.floats(0.1, 10))
    def set(self, key: str, size: int, ttl: float) -> None:
        value = b"x" * size
        self.store.set(key, value, ttl)
        self.model.pop(key, None)
        if size <= 100:
            self.model[key] = (self.now + ttl, value)
        while len(self.model) > 4 or sum(len(v) for _, v in self.model.values()) > 100:
            self.model.popitem(last=False)

    @rule(key=keys)
    def get(self, key: str) -> None:
        expected = self.model.get(key)
        if expected is not None and expected[0] <= self.now:
            del self.model[key]
            expected = None
        assert self.store.get(key) == (None if expected is None else expected[1])
        if expected is not None:
            self.model.move_to_end(key)

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def bounded(self) -> None:
        assert self.store.size() == (
            len(self.model),
            sum(len(value) for _, value in self.model.values()),
        )


TestMemoryMachine = MemoryMachine.TestCase


def test_threads_keep_the_memory_store_consistent() -> None:
    store = MemoryStore(50, 5000)

    def work(seed: int) -> None:
        for turn in range(400):
            key = str((seed * 7 + turn) % 80)
            store.set(key, key.encode() * 20, 60)
            found = store.get(key)
            assert found is None or found == key.encode() * 20

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries, size = store.size()
    assert entries <= 50
    assert size == sum(len(value) for _, value in store._entries.values()) <= 5000


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (True, 1), ("1", 1)])
def test_sizes_are_checked(sizes: tuple[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError):
        MemoryStore(*sizes)
    with pytest.raises(InvalidSettingError):
        SQLiteStore(tmp_path / "c", *sizes)


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "folder" / "cache.db", 3, 1000)
    yield store
    store.close()


def test_a_file_keeps_entries_for_their_time(tmp_path: Path) -> None:
    now = [1000.0]
    store = SQLiteStore(tmp_path / "cache.db", clock=lambda: now[0])
    store.set("a", b"\x00\xff", 10)
    assert store.get("a") == b"\x00\xff"
    now[0] = 1010.0
    assert store.get("a") is None
    store.set("b", b"1", 10)
    now[0] = 500.0  # the clock was set back: better ask anew than use it for too long
    assert store.get("b") is None
    store.close()


def test_a_file_is_bounded_and_keeps_what_was_used_last(file_store: SQLiteStore) -> None:
    for key in "abc":
        file_store.set(key, key.encode(), 60)
        time.sleep(0.002)
    assert file_store.get("a") == b"a"
    file_store.set("d", b"d", 60)
    assert [file_store.get(key) for key in "abcd"] == [b"a", None, b"c", b"d"]
    file_store.set("big", b"x" * 990, 60)
    assert file_store.size()[1] <= 1000
    file_store.set("huge", b"x" * 1001, 60)
    assert file_store.get("huge") is None
    file_store.clear()
    assert file_store.size() == (0, 0)


def test_a_file_belongs_to_its_owner_and_outlives_the_object(file_store: SQLiteStore) -> None:
    file_store.set("a", b"1", 60)
    assert stat.S_IMODE(file_store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file_store.path.parent.stat().st_mode) == 0o700
    twin = pickle.loads(pickle.dumps(file_store))
    assert twin.get("a") == b"1"
    assert copy.deepcopy(file_store) is file_store
    twin.close()


def test_a_broken_file_is_reported_as_such(tmp_path: Path) -> None:
    file = tmp_path / "cache.db"
    file.write_bytes(b"this is no database" * 100)
    store = SQLiteStore(file)
    with pytest.raises(StoreUnavailableError, match="cannot be used"):
        store.get("a")
    with pytest.raises(StoreUnavailableError):
        SQLiteStore(tmp_path).set("a", b"1", 60)


def _child(path: str, results: Any) -> None:
    store = SQLiteStore(path)
    for turn in range(20):
        store.set(f"child {turn}", b"c", 60)
    results.put(store.get("parent"))


def test_processes_share_a_file(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "cache.db")
    store.set("parent", b"p", 60)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=_child, args=(str(store.path), results))
    child.start()
    assert results.get(timeout=30) == b"p"
    child.join(10)
    assert store.get("child 19") == b"c"
    store.close()


def test_a_file_serves_clients_and_holds_neither_token_nor_prompt(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "cache.db")
    with FaultServer() as server:
        server.on(CHAT, answer("Fine."))
        for _ in range(2):  # the second client finds what the first one left
            policy = Resilience(cache=Cache(store))
            with RouterClient(**options(server, api_key=SECRET, resilience=policy)) as client:
                assert client.chat.create("my prompt", temperature=0).text == "Fine."

        async def again() -> None:
            policy = Resilience(cache=Cache(store))
            made = options(server, api_key=SECRET, resilience=policy)
            async with AsyncRouterClient(**made) as client:
                assert (await client.chat.create("my prompt", temperature=0)).text == "Fine."

        asyncio.run(again())
        assert len(server.requests) == 1
    store.close()
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Fine." in everything
    assert SECRET.encode() not in everything
    assert b"my prompt" not in everything
    with sqlite3.connect(tmp_path / "cache.db") as connection:
        assert [len(key) for (key,) in connection.execute("SELECT key FROM entries")] == [64]
    connection.close()


async def test_redis_keeps_entries_for_their_time(redis_url: str) -> None:
    store = RedisStore(redis_url, prefix="t1:")
    store.set("a", b"\x00\xff", 60)
    store.set("short", b"1", 0.05)
    assert store.get("a") == await store.aget("a") == b"\x00\xff"
    await store.aset("b", b"2", 60)
    assert store.get("b") == b"2"
    await asyncio.sleep(0.08)
    assert store.get("short") is None
    other = RedisStore(redis_url, prefix="t2:")
    other.set("a", b"other", 60)
    store.clear()
    assert store.get("a") is None
    assert other.get("a") == b"other"
    assert store.size() == (-1, -1)
    for each in (store, other):
        each.close()
        await each.aclose()


async def test_redis_serves_both_clients_in_every_loop(redis_url: str) -> None:
    store = RedisStore(redis_url, prefix="t3:")
    with FaultServer() as server:
        server.on(CHAT, answer("Fine."))
        made = options(server, resilience=Resilience(cache=Cache(store)))
        with RouterClient(**made) as client:
            client.chat.create("Hello", temperature=0)

        async def ask() -> None:
            async with AsyncRouterClient(**made) as client:
                calls = (client.chat.create("Hello", temperature=0) for _ in range(10))
                assert {found.text for found in await asyncio.gather(*calls)} == {"Fine."}
            await store.aclose()

        await ask()
        await asyncio.to_thread(lambda: asyncio.run(ask()))
        assert len(server.requests) == 1
    store.close()


def test_a_redis_that_is_gone_breaks_no_call_and_shows_no_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = RedisStore(f"redis://:pass-word@127.0.0.1:{port}/0", timeout=0.2)
    with FaultServer() as server:
        server.on(CHAT, answer("Fine."))
        made = options(server, resilience=Resilience(cache=Cache(store)))
        with RouterClient(**made) as client:
            assert client.chat.create("Hello", temperature=0).text == "Fine."
    with pytest.raises(StoreUnavailableError) as caught:
        store.get("a")
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(store)
    assert "pass-word" not in caplog.text + str(caught.value) + repr(store)
    with pytest.raises(InvalidSettingError):
        RedisStore("localhost")
    store.close()
