"""How much our wire costs beside plain httpx: CPU of this process for the same work.

Run: ``python benchmarks/transport.py [--quick]``. The server is a process of its own. Every
row is the best of several interleaved runs; the ratio (ours over httpx) is what carries over to
other machines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from shared_core.config.settings import Settings
from shared_core.wire.http import AsyncHTTPWire, HTTPWire
from shared_core.wire.messages import WireRequest

BODY = {"model": "a/b", "messages": [{"role": "user", "content": "hello"}]}
HEADERS = {"authorization": "Bearer hf_benchmark0000"}


@dataclass
class Result:
    """Cost of one run."""

    cpu: float  # seconds of CPU
    wall: float  # seconds
    failed: int = 0


def measure(work: Callable[[], int]) -> Result:
    before, started = time.process_time(), time.perf_counter()
    failed = work()
    return Result(time.process_time() - before, time.perf_counter() - started, failed)


class Work:
    """The same jobs for our wire and for httpx."""

    def __init__(self, url: str, calls: int, parallel: int) -> None:
        self.url, self.calls, self.parallel = url, calls, parallel
        self.settings = Settings.resolve(api_key="hf_benchmark0000", base_url=url, env={})

    def request(self, path: str, **more: Any) -> WireRequest:
        return WireRequest(url=self.url + path, json=BODY, timeout=60, **more)

    # sequential, blocking
    def small_ours(self) -> int:
        wire = HTTPWire(self.settings)
        for _ in range(self.calls):
            json.loads(wire.send(self.request("/small")).content)
        wire.close()
        return 0

    def small_httpx(self) -> int:
        with httpx.Client(timeout=60, headers=HEADERS) as client:
            for _ in range(self.calls):
                client.post(self.url + "/small", json=BODY).json()
        return 0

    # sequential, asynchronous
    def asmall_ours(self) -> int:
        async def main() -> int:
            wire = AsyncHTTPWire(self.settings)
            for _ in range(self.calls):
                json.loads((await wire.send(self.request("/small"))).content)
            return 0

        return asyncio.run(main())

    def asmall_httpx(self) -> int:
        async def main() -> int:
            async with httpx.AsyncClient(timeout=60, headers=HEADERS) as client:
                for _ in range(self.calls):
                    (await client.post(self.url + "/small", json=BODY)).json()
            return 0

        return asyncio.run(main())

    # chunks of a burst
    def burst_ours(self) -> int:
        wire = HTTPWire(self.settings)
        for _ in range(self.calls // 100):
            count = sum(p.count(b"\n\n") for p in wire.open(self.request("/burst", stream=True)))
            assert count == 2000
        wire.close()
        return 0

    def burst_httpx(self) -> int:
        with httpx.Client(timeout=60, headers=HEADERS) as client:
            for _ in range(self.calls // 100):
                with client.stream("POST", self.url + "/burst", json=BODY) as response:
                    assert sum(p.count(b"\n\n") for p in response.iter_raw()) == 2000
        return 0

    # many at once
    def parallel_ours(self) -> int:
        async def main() -> int:
            wire = AsyncHTTPWire(self.settings)
            return await gathered(
                lambda: wire.send(self.request("/slow")), self.parallel, lambda a: a.status
            )

        return asyncio.run(main())

    def parallel_httpx(self) -> int:
        async def main() -> int:
            limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
            async with httpx.AsyncClient(timeout=60, headers=HEADERS, limits=limits) as client:
                return await gathered(
                    lambda: client.post(self.url + "/slow", json=BODY),
                    self.parallel,
                    lambda a: a.status_code,
                )

        return asyncio.run(main())

    def streams_ours(self) -> int:
        async def main() -> int:
            wire = AsyncHTTPWire(self.settings)

            async def one() -> int:
                count = 0
                async for piece in await wire.open(self.request("/paced", stream=True)):
                    count += piece.count(b"\n\n")
                return 200 if count == 50 else 0

            return await gathered(one, self.parallel, lambda status: status)

        return asyncio.run(main())

    def streams_httpx(self) -> int:
        async def main() -> int:
            limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
            async with httpx.AsyncClient(timeout=60, headers=HEADERS, limits=limits) as client:

                async def one() -> int:
                    count = 0
                    async with client.stream("POST", self.url + "/paced", json=BODY) as response:
                        async for piece in response.aiter_raw():
                            count += piece.count(b"\n\n")
                    return 200 if count == 50 else 0

                return await gathered(one, self.parallel, lambda status: status)

        return asyncio.run(main())


async def gathered(make: Callable[[], Any], count: int, status: Callable[[Any], int]) -> int:
    """Run *count* calls at once; return how many failed."""
    answers = await asyncio.gather(*(make() for _ in range(count)), return_exceptions=True)
    return sum(isinstance(a, BaseException) or status(a) != 200 for a in answers)


ROWS = (
    ("sequential calls, sync", "small", "calls", "us/call"),
    ("sequential calls, async", "asmall", "calls", "us/call"),
    ("chunks of a burst, sync", "burst", "chunks", "us/chunk"),
    ("{n} calls at once", "parallel", "parallel", "us/call"),
    ("{n} streams at once", "streams", "parallel", "us/stream"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one run each")
    parser.add_argument("--only", help="name of one row, e.g. small")
    parser.add_argument("--ours", action="store_true", help="skip httpx")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("transport_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None and server.stdin is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    calls, parallel, runs = (200, 100, 1) if options.quick else (2000, 1000, 3)
    work = Work(url, calls, parallel)
    units = {"calls": calls, "chunks": calls // 100 * 2000, "parallel": parallel}
    print(f"{'':28}{'ours':>12}{'httpx':>12}{'ratio':>8}{'wall ours':>11}{'httpx':>8}  failed")
    for title, name, unit, label in ROWS:
        if options.only and options.only != name:
            continue
        best: dict[str, Result] = {}
        for _ in range(runs):
            for who in ("ours",) if options.ours else ("ours", "httpx"):
                result = measure(getattr(work, f"{name}_{who}"))
                if who not in best or result.cpu < best[who].cpu:
                    best[who] = result
        ours, other = best["ours"], best.get("httpx", Result(float("nan"), float("nan")))
        cost = [result.cpu / units[unit] * 1e6 for result in (ours, other)]
        print(
            f"{title.format(n=parallel):28}{cost[0]:>12.1f}{cost[1]:>12.1f}"
            f"{cost[0] / cost[1]:>8.2f}{ours.wall:>10.2f}s{other.wall:>7.2f}s  "
            f"{ours.failed} / {other.failed}   {label}",
            flush=True,
        )
    server.stdin.close()
    server.wait()


if __name__ == "__main__":
    main()
