"""The cache: what may be kept, keys without secrets, single flight, over sockets."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import AsyncRouterClient, RateLimitError, RouterClient
from shared_core.config.settings import Settings
from shared_core.errors import APITimeoutError, InvalidSettingError, StoreUnavailableError
from shared_core.resilience.cache import CACHE_HEADER, Cache, CacheStats, decode, encode
from shared_core.resilience.cache_stores import MemoryStore
from shared_core.resilience.pipeline import Resilience
from shared_core.resilience.retry import RetryPolicy
from shared_core.telemetry.metrics import Metrics
from shared_core.wire.messages import Headers, WireRequest, WireResponse
from tests.helpers.fault_server import FaultServer, json_reply
from tests.shared_core.telemetry.replies import CHAT, answer, options, streamed

pytestmark = pytest.mark.anyio
TOKEN = "hf_" + "s" * 30
SURE: dict[str, Any] = {"temperature": 0}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(CHAT, answer())
        yield running


def cached(server: FaultServer, cache: Cache, **more: Any) -> dict[str, Any]:
    policy = Resilience(cache=cache, **more.pop("policies", {}))
    return options(server, resilience=policy, **more)


def chat(**body: Any) -> WireRequest:
    return WireRequest(
        url="https://h.test/v1/chat/completions",
        json={"model": "org/m", "messages": [{"role": "user", "content": "my secret"}], **body},
        operation="chat",
    )


@pytest.mark.evidence("cache", "model")
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (chat(temperature=0), True),
        (chat(temperature=0.0), True),
        (chat(), False),
        (chat(temperature=0.1), False),
        (chat(temperature=0, tools=[{"type": "function"}]), False),
        (WireRequest(url="https://h", json={"input": "x"}, operation="embeddings"), True),
        (WireRequest(url="https://h", content=b"x", operation="embeddings"), False),
        (WireRequest(url="https://h", json={}, operation="models.list"), False),
        (WireRequest(url="https://h", json={}, operation="embeddings", stream=True), False),
        (
            WireRequest(
                url="https://h",
                json={},
                operation="embeddings",
                headers={"cache-control": "no-store"},
            ),
            False,
        ),
    ],
)
def test_only_deterministic_calls_are_kept(request_: WireRequest, expected: bool) -> None:
    assert Cache().cacheable(request_) is expected


def test_more_is_kept_on_request() -> None:
    assert Cache(any_temperature=True).cacheable(chat(temperature=1))
    assert Cache(tool_calls=True).cacheable(chat(temperature=0, tools=[1]))
    assert not Cache(tool_calls=True).cacheable(chat(tools=[1]))
    assert Cache(operations=["models.list"]).cacheable(
        WireRequest(url="https://h", json={}, operation="models.list")
    )
    with pytest.raises(InvalidSettingError, match="not one text"):
        Cache(operations="chat")
    with pytest.raises(InvalidSettingError, match="ttl"):
        Cache(ttl=0)


def settings(token: str = TOKEN, **more: Any) -> Settings:
    return Settings.resolve(api_key=token, base_url="https://h.test/v1", env={}, **more)


def test_keys_differ_by_all_that_changes_the_answer_and_show_nothing() -> None:
    cache, plain = Cache(), settings()
    key = cache.key(chat(temperature=0), plain)
    assert key == cache.key(chat(temperature=0), settings())
    others = [
        cache.key(chat(temperature=0, seed=1), plain),
        cache.key(chat(temperature=0, model="org/n"), plain),
        cache.key(chat(temperature=0), settings("hf_" + "o" * 30)),
        cache.key(chat(temperature=0), settings(bill_to="acme")),
        cache.key(chat(temperature=0), settings(default_headers={"X-Tenant": "a"})),
    ]
    elsewhere = chat(temperature=0)
    elsewhere.url = "https://other.test/v1/chat/completions"
    headed = chat(temperature=0)
    headed.headers = {"X-Route": "a"}
    others += [cache.key(elsewhere, plain), cache.key(headed, plain)]
    assert len({key, *others}) == len(others) + 1
    assert len(key) == 64
    assert int(key, 16) >= 0


@pytest.mark.evidence("cache", "property")
@given(
    st.integers(200, 299),
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["X-A", "content-type", "Set-Cookie"]), st.text(max_size=20)),
)
def test_entries_come_back_as_they_were_without_cookies(
    status: int, content: bytes, headers: dict[str, str]
) -> None:
    kept = decode(
        encode(WireResponse(status=status, headers=Headers(headers), content=content, url="u"))
    )
    assert kept is not None
    assert (kept.status, kept.content, kept.url) == (status, content, "u")
    assert "set-cookie" not in kept.headers
    assert all(kept.headers[name] == headers[name] for name in headers if name != "Set-Cookie")


@given(st.binary(max_size=60))
def test_foreign_bytes_are_no_answer(entry: bytes) -> None:
    for data in (entry, b"hfr1" + entry, b"hfr1[200, 5, []]\n" + entry):
        assert decode(data) is None or isinstance(decode(data), WireResponse)


@pytest.mark.evidence("cache", "sync")
def test_hit_miss_and_statistics_blocking(server: FaultServer) -> None:
    cache, metrics = Cache(), Metrics()
    with RouterClient(**cached(server, cache, callbacks=[metrics])) as client:
        first = client.chat.create("Hello", **SURE)
        again = client.chat.create("Hello", **SURE)
        client.chat.create("Hello", temperature=0.5)
        client.chat.create("Other", **SURE)
    assert first.text == again.text == "Yes."
    assert first is not again
    assert again.headers[CACHE_HEADER] == "hit"
    assert CACHE_HEADER not in first.headers
    assert len(server.requests) == 3
    stats = cache.stats
    assert (stats.hits, stats.misses, stats.bypassed, stats.stores) == (1, 2, 1, 2)
    assert (stats.entries, stats.hit_rate) == (2, pytest.approx(1 / 3))
    assert stats.bytes > 0
    total = metrics.snapshot().total
    assert (total.calls, total.attempts, total.cached) == (4, 3, 1)
    assert metrics.snapshot().cache == {"miss": 2, "store": 2, "hit": 1}
    cache.clear()
    assert cache.stats.entries == 0


@pytest.mark.evidence("cache", "async")
async def test_hit_miss_and_statistics_asynchronous(server: FaultServer) -> None:
    cache = Cache()
    async with AsyncRouterClient(**cached(server, cache)) as client:
        first = await client.chat.create("Hello", **SURE)
        again = await client.chat.create("Hello", **SURE)
    assert first.text == again.text
    assert len(server.requests) == 1
    assert (cache.stats.hits, cache.stats.misses) == (1, 1)


def test_a_callers_change_does_not_reach_the_next(server: FaultServer) -> None:
    with RouterClient(**cached(server, Cache())) as client:
        client.chat.create("Hello", **SURE)
        client.chat.create("Hello", **SURE).message.content = "changed"
        assert client.chat.create("Hello", **SURE).text == "Yes."


def test_entries_expire_on_the_monotonic_clock(server: FaultServer) -> None:
    now = [0.0]
    cache = Cache(MemoryStore(clock=lambda: now[0]), ttl=10)
    with RouterClient(**cached(server, cache)) as client:
        client.chat.create("Hello", **SURE)
        now[0] = 9.99
        client.chat.create("Hello", **SURE)
        now[0] = 10.0
        client.chat.create("Hello", **SURE)
    assert len(server.requests) == 2


def test_errors_and_streams_are_never_kept(server: FaultServer) -> None:
    cache = Cache()
    server.script(CHAT, json_reply({"error": "slow"}, 429), answer())
    with RouterClient(**cached(server, cache)) as client:
        with pytest.raises(RateLimitError):
            client.chat.create("Hello", **SURE)
        assert client.chat.create("Hello", **SURE).text == "Yes."
        server.script(CHAT, streamed("a"), streamed("b"))
        texts = [client.chat.stream("Hello", **SURE).result().text for _ in range(2)]
    assert texts == ["a", "b"]
    assert cache.stats.stores == 1


def test_one_call_can_be_exempt_or_ask_anew(server: FaultServer) -> None:
    cache = Cache()
    server.script(CHAT, answer("1"), answer("2"), answer("3"))
    with RouterClient(**cached(server, cache)) as client:

        def ask(control: str | None = None) -> str:
            headers = {"Cache-Control": control} if control else {}
            return client.chat.create("Hello", extra_headers=headers, **SURE).text

        assert [ask(), ask("no-store"), ask(), ask("no-cache"), ask()] == ["1", "2", "1", "3", "3"]


def test_tokens_do_not_share_answers(server: FaultServer) -> None:
    cache = Cache()
    for token in (TOKEN, "hf_" + "o" * 30):
        with RouterClient(**cached(server, cache, api_key=token)) as client:
            client.chat.create("Hello", **SURE)
    assert len(server.requests) == 2


@pytest.mark.evidence("cache", "threads")
@pytest.mark.evidence("single-flight", "sync")
def test_equal_calls_of_threads_make_one_request(server: FaultServer) -> None:
    server.on(CHAT, answer(delay=0.15))
    cache = Cache()
    texts: list[str] = []
    gate = threading.Barrier(20)
    with RouterClient(**cached(server, cache)) as client:

        def ask() -> None:
            gate.wait()
            texts.append(client.chat.create("Hello", **SURE).text)

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert texts == ["Yes."] * 20
    assert len(server.requests) == 1
    stats = cache.stats
    assert stats.misses == 1
    assert stats.hits + stats.joined == 19
    assert len(cache._flights) == 0


@pytest.mark.evidence("cache", "tasks")
@pytest.mark.evidence("single-flight", "async")
async def test_equal_calls_of_tasks_make_one_request(server: FaultServer) -> None:
    server.on(CHAT, answer(delay=0.1))
    cache = Cache()
    async with AsyncRouterClient(**cached(server, cache)) as client:
        answers = await asyncio.gather(*(client.chat.create("Hello", **SURE) for _ in range(20)))
    assert len(server.requests) == 1
    assert {found.headers.get(CACHE_HEADER) for found in answers} == {None, "joined"}
    assert cache.stats.joined == 19


async def test_a_failure_is_shared_by_those_who_waited_and_not_kept(server: FaultServer) -> None:
    server.script(CHAT, json_reply({"error": "slow"}, 429, delay=0.1), answer())
    cache = Cache()
    async with AsyncRouterClient(**cached(server, cache)) as client:
        calls = [client.chat.create("Hello", **SURE) for _ in range(5)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in errors] == [RateLimitError] * 5
        assert len({id(error) for error in errors}) == 5
        assert len(server.requests) == 1
        assert (await client.chat.create("Hello", **SURE)).text == "Yes."


async def test_when_the_leader_is_cancelled_another_one_leads(server: FaultServer) -> None:
    server.script(CHAT, answer("late", delay=5.0), answer("soon"))
    cache = Cache()
    async with AsyncRouterClient(**cached(server, cache)) as client:
        leader = asyncio.ensure_future(client.chat.create("Hello", **SURE))
        for _ in range(500):
            if server.requests:
                break
            await asyncio.sleep(0.01)
        followers = [asyncio.ensure_future(client.chat.create("Hello", **SURE)) for _ in range(4)]
        await asyncio.sleep(0)
        followers[0].cancel()
        leader.cancel()
        ends = await asyncio.gather(leader, *followers, return_exceptions=True)
    assert [type(end) for end in ends[:2]] == [asyncio.CancelledError] * 2
    assert [end.text for end in ends[2:] if not isinstance(end, BaseException)] == ["soon"] * 3
    assert len(server.requests) == 2
    assert len(cache._flights) == 0


async def test_waiting_for_an_equal_call_ends_with_the_timeout(server: FaultServer) -> None:
    server.on(CHAT, answer(delay=3.0))
    cache = Cache()
    async with AsyncRouterClient(**cached(server, cache)) as client:
        leader = asyncio.ensure_future(client.chat.create("Hello", **SURE))
        await asyncio.sleep(0.05)
        with pytest.raises(APITimeoutError, match="equal call"):
            await client.chat.create("Hello", timeout=0.1, **SURE)
        leader.cancel()
        await asyncio.gather(leader, return_exceptions=True)


def test_single_flight_can_be_off(server: FaultServer) -> None:
    server.on(CHAT, answer(delay=0.1))
    with RouterClient(**cached(server, Cache(single_flight=False))) as client:
        threads = [
            threading.Thread(target=client.chat.create, args=("Hello",), kwargs=SURE)
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.requests) == 3


def test_a_hit_takes_part_in_nothing_inside(server: FaultServer) -> None:
    server.script(CHAT, answer(), json_reply({"error": "down"}, 503))
    policies = {"retry": RetryPolicy(max_retries=2, initial_delay=0.001)}
    with RouterClient(**cached(server, Cache(), policies=policies)) as client:
        client.chat.create("Hello", **SURE)
        client.chat.create("Hello", **SURE)
    assert len(server.requests) == 1


class Unreachable(MemoryStore):
    def __init__(self, instant: bool) -> None:
        super().__init__()
        self.instant = instant

    def get(self, key: str) -> bytes | None:
        raise StoreUnavailableError("gone")

    def size(self) -> tuple[int, int]:
        raise StoreUnavailableError("gone")

    def set(self, key: str, value: bytes, ttl: float) -> None:
        raise StoreUnavailableError("gone")


@pytest.mark.parametrize("instant", [True, False])
def test_an_unreachable_store_breaks_no_call(
    server: FaultServer, instant: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(Unreachable(instant))
    with RouterClient(**cached(server, cache)) as client:
        assert client.chat.create("Hello", **SURE).text == "Yes."
        assert client.chat.create("Hello", **SURE).text == "Yes."
    assert cache.stats.failures >= 4
    assert (cache.stats.stores, cache.stats.entries) == (0, -1)
    assert "going on without the cache" in caplog.text


def test_an_answer_that_is_too_large_is_not_kept(server: FaultServer) -> None:
    cache = Cache(max_answer_bytes=10)
    with RouterClient(**cached(server, cache)) as client:
        client.chat.create("Hello", **SURE)
    assert cache.stats.stores == 0


def test_copies_share_answers_and_pickles_the_policy(server: FaultServer) -> None:
    cache = Cache(ttl=5, tool_calls=True, max_entries=7)
    assert copy.deepcopy(cache) is cache
    twin = pickle.loads(pickle.dumps(cache))
    assert (twin.ttl, twin.tool_calls, twin.store.max_entries) == (5, True, 7)
    assert twin.stats == CacheStats()
    shown = repr(cache)
    assert "MemoryStore(max_entries=7, max_bytes=67108864), ttl=5" in shown
    assert "tool_calls=True" in shown


def test_a_hit_is_quick(server: FaultServer) -> None:
    with RouterClient(**cached(server, Cache())) as client:
        client.chat.create("Hello", **SURE)
        started = time.perf_counter()
        for _ in range(200):
            client.chat.create("Hello", **SURE)
        assert (time.perf_counter() - started) / 200 < 0.01
    assert len(server.requests) == 1
