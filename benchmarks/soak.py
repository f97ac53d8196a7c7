"""Soak of the whole stack: many calls and streams at once against a server that keeps failing.

    python benchmarks/soak.py --seconds 180 --concurrency 1000 --faults 0.2

Prints a report and ends with status 1 unless: every call ended with its right answer or a typed
error of ours, at least 99.9 % of what may be repeated was done, nothing is left (sockets, tasks,
threads, calls in flight, reserved money), the metrics counted what the workers counted, and memory
stayed flat. The server runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import math
import multiprocessing
import os
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from shared_core import (
    AsyncRouterClient,
    BreakerPolicy,
    Budget,
    Cache,
    Failover,
    FailoverEndpoint,
    HealthPolicy,
    Metrics,
    Price,
    Prices,
    RateLimit,
    Resilience,
    RetryPolicy,
    RouterError,
    StreamError,
)

MOST_GROWTH_MB = 20.0
FAULTS = ("503", "429", "500", "reset", "drop", "half", "first-event", "no-event", "cut-stream")


# --- the server ---------------------------------------------------------------------------


def serve(ready: Any, share: float, ports: int) -> None:
    """Run the servers until the process is ended."""

    async def main() -> None:
        dice = random.Random(7)
        servers = []
        for _ in range(ports):
            server = await asyncio.start_server(
                lambda reader, writer: _connection(reader, writer, dice, share),
                "127.0.0.1",
                0,
                backlog=2048,
            )
            servers.append(server)
        ready.send([one.sockets[0].getsockname()[1] for one in servers])
        await asyncio.gather(*[one.serve_forever() for one in servers])

    asyncio.run(main())


async def _connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dice: random.Random, share: float
) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            if head.startswith(b"GET"):  # a health check
                writer.write(_head("200 OK", "application/json", 11) + b'{"data":[]}')
                continue
            (length,) = [int(one[15:]) for one in lines if one.startswith(b"content-length:")]
            body = json.loads(await reader.readexactly(length))
            fault = dice.choice(FAULTS) if dice.random() < share else ""
            await asyncio.sleep(dice.uniform(0.005, 0.05))
            if not await _answer(writer, body, fault):
                break
    writer.close()


async def _answer(writer: asyncio.StreamWriter, body: dict[str, Any], fault: str) -> bool:
    """Answer one request; return whether the connection stays open."""
    text = body["messages"][0]["content"]
    if fault == "reset":
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if fault == "drop":
        return False
    if fault.isdigit():
        error = json.dumps({"error": {"message": "as scripted"}}).encode()
        writer.write(_head(f"{fault} Scripted", "application/json", len(error)) + error)
    elif body.get("stream"):
        return await _stream(writer, text, fault)
    else:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        whole = json.dumps({"id": "x", "model": "a/b", "choices": [choice]}).encode()
        if fault:
            whole = whole[: len(whole) // 2]
        writer.write(_head("200 OK", "application/json", len(whole)) + whole)
    await writer.drain()
    return True


async def _stream(writer: asyncio.StreamWriter, text: str, fault: str) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
    writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
    if fault in ("no-event", "half"):
        return False
    if fault == "first-event":
        writer.write(_event({"error": {"message": "upstream died", "code": 502}}))
    else:
        for at, letter in enumerate(text):
            if fault == "cut-stream" and at == 3:
                await writer.drain()
                return False
            choice = {"index": 0, "delta": {"content": letter}, "finish_reason": None}
            writer.write(_event({"choices": [choice]}))
            await asyncio.sleep(0.001)
        writer.write(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        writer.write(_chunk(b"data: [DONE]\n\n"))
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def _event(value: Any) -> bytes:
    return _chunk(b"data: " + json.dumps(value).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


def _head(status: str, kind: str, length: int) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


# --- the work -----------------------------------------------------------------------------


class Tally:
    """What became of the calls."""

    def __init__(self) -> None:
        self.done = 0
        self.cut_after_text = 0
        self.lost: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.memory: list[float] = []

    @property
    def calls(self) -> int:
        """All calls."""
        return self.repeatable + self.cut_after_text

    @property
    def repeatable(self) -> int:
        """Calls that could be done: all but streams that were cut after their first text."""
        return self.done + self.lost.total() + self.wrong.total()


async def worker(client: AsyncRouterClient, number: int, end: float, tally: Tally) -> None:
    """Call again and again until *end*."""
    turn = 0
    while time.monotonic() < end:
        turn += 1
        # Every third call is one that others make too: the cache, and its single flight.
        text = f"{number}-{turn}-ping" if turn % 3 else f"shared-{turn % 60}-ping"
        try:
            if turn % 3 == 0:
                answer = await client.chat.create(text, temperature=0)
            elif turn % 2:
                answer = await client.chat.create(text)
            else:
                async with client.chat.stream(text) as stream:
                    answer = await stream.result()
        except StreamError as error:
            if error.partial is not None and error.partial.text:
                tally.cut_after_text += 1
            else:
                tally.lost[type(error).__name__] += 1
        except RouterError as error:
            tally.lost[type(error).__name__] += 1
        except Exception as error:  # noqa: BLE001 - what must not happen is counted
            tally.wrong[repr(error)[:100]] += 1
        else:
            if answer.text == text:
                tally.done += 1
            else:
                tally.wrong["another call's answer"] += 1


async def watch(end: float, tally: Tally) -> None:
    """Note the memory once a second."""
    while time.monotonic() < end:
        await asyncio.sleep(1)
        tally.memory.append(resident_mb())


def resident_mb() -> float:
    """Return the resident memory of this process in MB (0 where /proc is missing)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_sockets() -> int:
    """Return the sockets that this process holds (0 where /proc is missing)."""
    count = 0
    for entry in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):
            count += str(entry.readlink()).startswith("socket:")
    return count


async def soak(ports: list[int], seconds: float, concurrency: int) -> tuple[Tally, dict[str, int]]:
    """Run the work; return what became of it and what is left over afterwards."""
    metrics, budget = Metrics(), Budget(prices=Prices({}, default=Price(1.0, 1.0)))
    endpoints = [
        FailoverEndpoint(f"http://127.0.0.1:{port}/v1", name=str(port), api_key="soak-key")
        for port in ports
    ]
    policy = Resilience(
        deadline=60,
        retry=RetryPolicy(max_retries=4, initial_delay=0.05),
        failover=Failover(endpoints),
        breaker=BreakerPolicy(failure_ratio=0.6, minimum_calls=50),
        rate_limit=RateLimit(per_second=100_000),
        cache=Cache(ttl=2.0),
        budget=budget,
        metrics=metrics,
    )
    tally = Tally()
    sockets, tasks = open_sockets(), len(asyncio.all_tasks())
    threads = threading.active_count()
    client = AsyncRouterClient(
        "a/b", base_url=f"http://127.0.0.1:{ports[0]}/v1", resilience=policy, timeout=30
    )
    async with client:
        end = time.monotonic() + seconds
        work = [worker(client, number, end, tally) for number in range(concurrency)]
        async with client.health_checks(HealthPolicy(interval=1.0)):
            await asyncio.gather(watch(end, tally), *work)
    await asyncio.sleep(0.5)
    gc.collect()
    left = {
        "sockets": open_sockets() - sockets,
        "tasks": sum(not task.done() for task in asyncio.all_tasks()) - tasks,
        "threads": threading.active_count() - threads,
        "in flight": metrics.snapshot().in_flight,
        "reserved": math.ceil(budget.report().reserved),
        "not counted": abs(metrics.snapshot().total.calls - tally.calls),
    }
    return tally, left


def growth(memory: list[float]) -> float:
    """Return how much the memory grew from the second quarter of the run to the last, in MB."""
    quarter = len(memory) // 4
    if not quarter:
        return 0.0
    early, late = memory[quarter : 2 * quarter], memory[-quarter:]
    return sum(late) / quarter - sum(early) / quarter


def main() -> int:
    """Run the soak and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--concurrency", type=int, default=1000)
    parser.add_argument("--faults", type=float, default=0.2)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, options.faults, 2), daemon=True)
    server.start()
    ports = ours.recv()
    started = time.monotonic()
    try:
        tally, left = asyncio.run(soak(ports, options.seconds, options.concurrency))
    finally:
        server.terminate()
        server.join()
    elapsed = time.monotonic() - started
    share = tally.done / max(tally.repeatable, 1)
    grown = growth(tally.memory)
    print(f"{options.concurrency} at once, {options.faults:.0%} faults, {elapsed:.0f} s")
    print(f"done                    {tally.done} ({tally.done / elapsed:.0f}/s)")
    print(f"of what may be repeated {share:.4%}")
    print(f"cut after text (typed)  {tally.cut_after_text}")
    print(f"lost (typed)            {dict(tally.lost)}")
    print(f"wrong or untyped        {dict(tally.wrong)}")
    print(f"left over               {left}")
    print(f"memory                  {max(tally.memory, default=0):.0f} MB, grew {grown:+.1f} MB")
    good = not tally.wrong and share >= 0.999 and max(left.values()) <= 0 and grown < MOST_GROWTH_MB
    print("GOOD" if good else "NOT GOOD")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
