"""Stores keep bytes, bounded, for their time; none of them runs what it reads."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import socket
import sqlite3
import stat
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared_core import AsyncRouterClient, RouterClient
from shared_core.errors import InvalidSettingError, StoreUnavailableError
from shared_core.resilience import cache_redis, cache_stores
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


TestMemoryMachine = pytest.mark.evidence("cache", "property")(MemoryMachine.TestCase)


@pytest.mark.evidence("cache", "threads")
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


@pytest.mark.evidence("sqlite-store", "model")
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


@pytest.mark.evidence("sqlite-store", "sync", "async")
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_opens_a_connection_of_its_own_and_leaves_the_parents_alone(
    file_store: SQLiteStore,
) -> None:
    file_store.set("parent", b"p", 60)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # no assertion may leave the child: it ends here
        file_store.set("child", b"c", 60)
        inherited = len(cache_stores._INHERITED)
        os.write(write, (file_store.get("parent") or b"-") + str(inherited).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"p1"
    os.close(read)
    os.close(write)
    assert file_store.get("child") == b"c"
    assert cache_stores._INHERITED == []


class FileMachine(RuleBasedStateMachine):
    """The file store against a dict and a clock; two objects share the file."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "cache.db"
        self.stores = [SQLiteStore(path, 4, 100, clock=lambda: self.now) for _ in range(2)]
        self.model: dict[str, tuple[float, bytes]] = {}

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    keys = st.sampled_from("abcdef")

    @rule(key=keys, value=st.binary(max_size=120), ttl=st.floats(0.1, 10), at=st.integers(0, 1))
    def set(self, key: str, value: bytes, ttl: float, at: int) -> None:
        self.now += 0.001
        self.stores[at].set(key, value, ttl)
        if len(value) <= 100:
            self.model[key] = (self.now + ttl, value)

    @rule(key=keys, at=st.integers(0, 1))
    def get(self, key: str, at: int) -> None:
        self.now += 0.001
        found = self.stores[at].get(key)
        expires, value = self.model.get(key, (0.0, b""))
        assert found in (None, value)
        assert found is None or expires > self.now

    @rule(key=keys, value=st.binary(max_size=100))
    def what_was_just_kept_is_there(self, key: str, value: bytes) -> None:
        self.set(key, value, 5.0, 0)
        assert self.stores[1].get(key) == value

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def bounded(self) -> None:
        entries, size = self.stores[0].size()
        assert entries <= 4
        assert size <= 100


FileMachine.TestCase.settings = hypothesis_settings(
    max_examples=15, stateful_step_count=15, deadline=None
)
TestFileMachine = pytest.mark.evidence("sqlite-store", "property")(FileMachine.TestCase)


@pytest.mark.evidence("sqlite-store", "threads", "tasks")
def test_threads_and_tasks_share_a_file(file_store: SQLiteStore) -> None:
    wrong: list[object] = []

    def work(seed: int) -> None:
        try:
            for turn in range(20):
                key = str((seed + turn) % 3)
                file_store.set(key, key.encode() * 10, 60)
                found = file_store.get(key)
                if found not in (None, key.encode() * 10):
                    wrong.append(found)
        except StoreUnavailableError as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

    async def share() -> list[bytes | None]:
        await asyncio.gather(*[file_store.aset(str(n % 3), b"task", 60) for n in range(12)])
        return await asyncio.gather(*[file_store.aget(str(n)) for n in range(3)])

    assert asyncio.run(share()) == [b"task"] * 3


@pytest.mark.evidence("redis-store", "property")
@given(entries=st.dictionaries(st.text("abcdef0123456789", min_size=1), st.binary(), max_size=8))
@hypothesis_settings(max_examples=20, deadline=None)
def test_redis_gives_back_any_bytes(redis_url: str, entries: dict[str, bytes]) -> None:
    store = RedisStore(redis_url, prefix="any:")
    store.clear()
    for key, value in entries.items():
        store.set(key, value, 60)
    assert {key: store.get(key) for key in entries} == entries
    assert store.get("never") is None
    store.clear()
    assert [store.get(key) for key in entries] == [None] * len(entries)
    store.close()


@pytest.mark.evidence("redis-store", "model")
@pytest.mark.parametrize(("ttl", "kept"), [(1.5, 1500), (0.0001, 1), (3600, 3_600_000)])
def test_times_in_redis_are_whole_milliseconds_and_never_none(ttl: float, kept: int) -> None:
    assert cache_redis._milliseconds(ttl) == kept


def test_a_store_in_redis_shows_no_password_and_cannot_be_pickled() -> None:
    store = RedisStore("redis://:pass-word@localhost:6379/0", prefix="p:")
    assert "pass-word" not in repr(store) + repr(vars(store))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(store)
    assert copy.deepcopy(store) is store
    with pytest.raises(InvalidSettingError):
        RedisStore("localhost")


def test_a_redis_that_is_full_or_slow_is_a_store_that_is_not_there(redis_url: str) -> None:
    import redis

    store = RedisStore(redis_url, timeout=0.2)
    with redis.Redis.from_url(redis_url) as operator:
        operator.config_set("maxmemory", "1")
        with pytest.raises(StoreUnavailableError, match="OutOfMemoryError"):
            store.set("key", b"value", 60)
        operator.config_set("maxmemory", "0")
        operator.execute_command("CLIENT", "PAUSE", "500")
        with pytest.raises(StoreUnavailableError, match="TimeoutError"):
            store.get("key")
    store.close()


@pytest.mark.evidence("redis-store", "threads", "tasks")
async def test_threads_and_tasks_share_one_redis(redis_url: str) -> None:
    store = RedisStore(redis_url, prefix="t4:")
    wrong: list[object] = []

    def work(seed: int) -> None:
        for turn in range(30):
            key = str((seed + turn) % 5)
            store.set(key, key.encode() * 20, 60)
            if store.get(key) != key.encode() * 20:
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(5)]
    for thread in threads:
        thread.start()
    tasks = [asyncio.create_task(store.aget(str(n % 5))) for n in range(30)]
    tasks[0].cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    assert wrong == []
    assert isinstance(ends[0], asyncio.CancelledError)
    # A command that was cancelled leaves no answer behind for another one.
    for n, found in enumerate(ends[1:], 1):
        assert found in (None, str(n % 5).encode() * 20)
    store.close()
    await store.aclose()


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


@pytest.mark.evidence("redis-store", "sync", "async")
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
    assert "pass-word" not in caplog.text + str(caught.value)
    store.close()
