"""Everything at once, by chance: afterwards every slot, socket and task is back."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from typing import Any

import pytest

from shared_core.config.settings import Limits, Settings
from shared_core.errors import APIError
from shared_core.wire.http import AsyncHTTPWire, HTTPWire
from shared_core.wire.messages import WireResponse
from tests.helpers.fault_server import FaultServer, drop, hang, json_reply, reset, sse
from tests.shared_core.wire.conftest import TOKEN, request

PATHS = ("/x", "/x", "/s", "/s", "/h", "/r", "/d")
SLOTS = 20


@pytest.fixture
def wild(server: FaultServer) -> FaultServer:
    server.on("/x", json_reply("ok", delay=0.002))
    server.on("/s", sse(*range(10), delay=0.002))
    server.on("/h", hang())
    server.on("/r", reset())
    server.on("/d", drop())
    return server


def settings(server: FaultServer) -> Settings:
    limits = Limits(max_connections=SLOTS)
    return Settings.resolve(api_key=TOKEN, base_url=server.url, env={}, limits=limits)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_tasks(wild: FaultServer, seed: int) -> None:
    chance = random.Random(seed)
    wire = AsyncHTTPWire(settings(wild))

    async def one() -> None:
        path, timeout = chance.choice(PATHS), chance.choice([0.05, 0.2, 1])
        stream = await wire.open(request(wild.url + path, timeout=timeout, stream=True))
        if isinstance(stream, WireResponse):
            return
        left = chance.randrange(12)
        async for _ in stream:
            stream.keep_alive()
            left -= 1
            if left <= 0:
                break
        if chance.random() < 0.3:
            await stream.drain()
        elif chance.random() < 0.5:
            await stream.aclose()

    async def main() -> None:
        tasks = [asyncio.ensure_future(one()) for _ in range(150)]
        for _ in range(60):
            await asyncio.sleep(0.001)
            task = chance.choice(tasks)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        odd = [r for r in results if r and not isinstance(r, APIError | asyncio.CancelledError)]
        assert odd == []
        gc.collect()
        await asyncio.sleep(0.02)
        ((transport, _),) = wire._own.values()
        pool = transport._own
        assert pool._free == SLOTS
        assert len(pool.connections()) == sum(map(len, pool._idle.values()))
        assert len(asyncio.all_tasks()) == 1
        answers = await asyncio.gather(
            *(wire.send(request(wild.url + "/x")) for _ in range(2 * SLOTS))
        )
        assert {answer.status for answer in answers} == {200}

    asyncio.run(main())
    assert wild.wait_open(0, 1)


def test_threads(wild: FaultServer) -> None:
    wire = HTTPWire(settings(wild))
    odd: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(15):
            path, timeout = chance.choice(PATHS), chance.choice([0.02, 0.05, 0.3])
            try:
                stream: Any = wire.open(request(wild.url + path, timeout=timeout, stream=True))
                if isinstance(stream, WireResponse):
                    continue
                left = chance.randrange(12)
                for _ in stream:
                    left -= 1
                    if left <= 0:
                        break
                if chance.random() < 0.3:
                    stream.drain()
                elif chance.random() < 0.5:
                    knot = [stream]
                    knot.append(knot)  # type: ignore[arg-type]
            except APIError:
                continue
            except BaseException as exc:
                odd.append(exc)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert odd == []
    ((transport, _),) = wire._own.values()
    pool: Any = transport._pool
    assert pool._slots.free == SLOTS
    assert len(pool._open) == sum(map(len, pool._idle.values()))
    assert wire.send(request(wild.url + "/x")).status == 200
    wire.close()
    assert wild.wait_open(0, 1)
