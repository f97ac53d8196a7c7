"""The parts without I/O: framing, inflating, slots."""

from __future__ import annotations

import gzip
import itertools
import threading
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared_core.errors import InvalidSettingError
from shared_core.wire.deadline import Deadline
from shared_core.wire.inflate import PIECE, DecompressionError, Inflater, inflater_for
from shared_core.wire.transport.http1 import Exchange
from shared_core.wire.transport.route import literal_addresses, parse_proxy
from shared_core.wire.transport.slots import Slots
from tests.helpers.fault_server import END_CHUNK, chunk, head


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places) if a < b]


CUTS = st.lists(st.integers(0, 10_000), max_size=30)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=10), CUTS, st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_chunked_bodies_survive_any_split(parts: list[bytes], cuts: list[int], extra: bool) -> None:
    wire = head(200, {"transfer-encoding": "chunked"}) + b"".join(map(chunk, parts)) + END_CHUNK
    exchange = Exchange(65536)
    exchange.request(b"GET", b"/", [(b"host", b"x")], b"")
    got = b""
    for piece in pieces_of(wire, cuts):
        assert not exchange.complete
        exchange.receive(piece)
        got += exchange.take()
    assert exchange.failure is None
    assert got == b"".join(parts)
    assert exchange.complete
    assert exchange.reusable
    if extra:
        exchange.receive(b"H")
        assert not exchange.reusable


@given(st.binary(max_size=500), CUTS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_counted_bodies_survive_any_split(body: bytes, cuts: list[int]) -> None:
    wire = head(200, {"content-length": str(len(body))}) + body
    exchange = Exchange(65536)
    exchange.request(b"GET", b"/", [(b"host", b"x")], b"")
    got = b""
    for piece in pieces_of(wire, cuts):
        exchange.receive(piece)
        got += exchange.take()
    assert got == body
    assert exchange.complete


@given(st.binary(max_size=200), CUTS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_in_a_chunked_body_only_fails_as_itself(data: bytes, cuts: list[int]) -> None:
    exchange = Exchange(65536)
    exchange.request(b"GET", b"/", [(b"host", b"x")], b"")
    exchange.receive(head(200, {"transfer-encoding": "chunked"}))
    for piece in pieces_of(data, cuts):
        exchange.receive(piece)
        if exchange.failure is not None:
            break
    exchange.receive(b"")
    assert exchange.complete or exchange.failure is not None
    assert not exchange.reusable


@given(st.binary(max_size=5000), CUTS, st.sampled_from([31, 15, -15]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_inflating_any_split(data: bytes, cuts: list[int], bits: int) -> None:
    packer = zlib.compressobj(wbits=bits)
    packed = packer.compress(data) + packer.flush()
    inflater = Inflater("gzip" if bits == 31 else "deflate")
    got = b"".join(p for piece in pieces_of(packed, cuts) for p in inflater.feed(piece))
    assert got == data
    assert inflater.complete


def test_inflating_members_and_padding() -> None:
    inflater = Inflater("gzip")
    packed = gzip.compress(b"one") + gzip.compress(b"two") + b"\0\0"
    assert b"".join(inflater.feed(packed)) == b"onetwo"


def test_inflating_is_bounded() -> None:
    sizes = [len(piece) for piece in Inflater("gzip").feed(gzip.compress(b" " * 5_000_000))]
    assert sum(sizes) == 5_000_000
    assert max(sizes) <= PIECE


def test_inflating_garbage() -> None:
    with pytest.raises(DecompressionError):
        list(Inflater("gzip").feed(b"garbage"))
    with pytest.raises(DecompressionError):
        list(Inflater("deflate").feed(b"\xff\xff\xff\xff"))
    assert inflater_for("") is None
    assert inflater_for("identity") is None
    assert not Inflater("gzip").complete or list(Inflater("gzip").feed(b"")) == []


def test_deadline() -> None:
    assert Deadline(None).remaining() is None
    assert not Deadline(None).expired()
    assert Deadline(None).at_most(3) == 3
    assert Deadline(1e12).remaining() is None
    assert Deadline(float("inf")).remaining() is None
    assert Deadline(0).expired()
    deadline = Deadline(100)
    assert 99 < (deadline.remaining() or 0) <= 100
    assert deadline.at_most(3) == 3
    deadline.expires = 0.0
    assert deadline.expired()
    deadline.restart()
    assert not deadline.expired()


def test_slots_are_fair_and_none_is_lost() -> None:
    slots = Slots(2)
    assert slots.acquire(0)
    assert slots.acquire(0)
    assert not slots.acquire(0.01)
    order: list[int] = []

    def wait(number: int) -> None:
        assert slots.acquire(5)
        order.append(number)
        slots.release()

    threads = []
    for number in range(5):
        thread = threading.Thread(target=wait, args=(number,))
        thread.start()
        threads.append(thread)
        while len(slots._waiting) <= number:
            pass
    slots.release()
    for thread in threads:
        thread.join(5)
    assert order == list(range(5))
    slots.release()
    assert slots.free == 2


def test_slots_under_pressure() -> None:
    slots = Slots(3)
    inside = [0]
    worst = [0]

    def work() -> None:
        for _ in range(200):
            if slots.acquire(0.002):
                inside[0] += 1
                worst[0] = max(worst[0], inside[0])
                inside[0] -= 1
                slots.release()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst[0] <= 3
    assert slots.free == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost"])
def test_no_lookup_for(host: str) -> None:
    assert literal_addresses(host, 80)


def test_lookup_for() -> None:
    assert literal_addresses("router.huggingface.co", 443) is None


def test_proxies() -> None:
    proxy = parse_proxy("http://me:p%20w@proxy.test:3128")
    assert proxy is not None
    assert (proxy.label, proxy.authorization) == ("proxy.test:3128", b"Basic bWU6cCB3")
    assert "bWU6" not in repr(proxy)
    assert parse_proxy(None) is None
    for url in ("socks5://x:1", "https://x:1", "http://", "x"):
        with pytest.raises(InvalidSettingError):
            parse_proxy(url)
    with pytest.raises(InvalidSettingError, match="environment variable ALL_PROXY"):
        parse_proxy("socks5://x:1", "environment variable ALL_PROXY")
