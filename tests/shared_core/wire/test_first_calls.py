"""First calls that meet: threads of one client share its connections from the beginning."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared_core import AsyncRouterClient, RouterClient
from shared_core.config.settings import Settings
from tests.helpers.fault_server import FaultServer, Hang, sse
from tests.shared_core.resilience.helpers import PATH, event

THREADS = 4


class _Meeting:
    """Lets the threads that are about to make their wire wait for each other."""

    meeting: threading.Barrier
    _wire: Any

    @property
    def settings(self) -> Settings:
        if self._wire is None:
            self.meeting.wait(5)
        return super().settings  # type: ignore[misc, no-any-return]


class Client(_Meeting, RouterClient):
    """The blocking client."""


class AsyncClient(_Meeting, AsyncRouterClient):
    """The asynchronous client."""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_closing_ends_the_streams_of_all_threads(kind: str, server: FaultServer) -> None:
    server.on(PATH, sse(event("a"), done=False, end=Hang()))
    options: Any = {"base_url": f"{server.url}/v1", "api_key": "k"}
    client: Any = (Client if kind == "sync" else AsyncClient)("a/b", **options)
    client.meeting = threading.Barrier(THREADS)
    begun, closed = threading.Barrier(THREADS), threading.Barrier(THREADS)

    def use() -> Any:
        with client.chat.stream("ping") as stream:
            assert next(iter(stream))
            begun.wait(5)
            client.close()
            gone = empty(server)
            closed.wait(5)
        return client._connect(), gone

    async def ause() -> Any:
        async with client.chat.stream("ping") as stream:
            assert await anext(aiter(stream))
            begun.wait(5)
            await client.aclose()
            gone = await asyncio.to_thread(empty, server)
            closed.wait(5)
        return client._connect(), gone

    work: Callable[[], Any] = use if kind == "sync" else lambda: asyncio.run(ause())
    with ThreadPoolExecutor(THREADS) as threads:
        done = [one.result() for one in [threads.submit(work) for _ in range(THREADS)]]
    assert server.accepted == THREADS
    assert {id(wire) for wire, _ in done} == {id(client._connect())}
    assert [gone for _, gone in done] == [True] * THREADS


def empty(server: FaultServer) -> bool:
    """Return whether the server has no connection left in a moment."""
    until = time.monotonic() + 5
    while server.open_connections and time.monotonic() < until:
        time.sleep(0.01)
    return not server.open_connections
