"""What it costs to turn embedding answers into a float32 matrix.

    python benchmarks/vectors.py [--texts 10000] [--dimensions 1024]

Part 1 reads one body of 64 vectors with every reader that is installed: CPU per 1,000 vectors, and
the ratio to the plainest one (``json`` and lists). Part 2 runs the whole client against a server
in another process: client CPU per 1,000 texts and the growth of peak memory, with a raw socket
and ``pydantic_core`` as the floor. Readers alternate, so that a busy machine disturbs all alike;
ratios carry over to other machines, figures do not. Each row of part 2 has a process of its own.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pydantic_core

from shared_core.embeddings import response, vectors
from shared_core.wire.messages import Headers, WireRequest, WireResponse

BATCH = 64
ROUNDS = 15
REQUEST = WireRequest(url="http://host/v1/embeddings", operation="embeddings")


def bodies(dimensions: int) -> dict[str, bytes]:
    """The same vectors in each form that a server may choose."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((BATCH, dimensions)).astype(np.float32)
    rows = matrix.astype(float).tolist()  # 17 digits, as servers in Python print float32

    def listed(values: list[Any]) -> bytes:
        data = [{"object": "embedding", "index": n, "embedding": v} for n, v in enumerate(values)]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return json.dumps({"object": "list", "data": data, "model": "m", "usage": usage}).encode()

    packed = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in matrix]
    return {
        "matrix": json.dumps(rows).encode(),
        "openai": listed(rows),
        "base64": listed(packed),
    }


def ours(content: bytes, *, fast: bool) -> Callable[[], Any]:
    """Our whole parser: reading, order, count, dimensions, finiteness."""
    answer = WireResponse(status=200, headers=Headers({}), content=content)
    library = vectors._simdjson

    def read() -> Any:
        vectors._simdjson = library if fast else None
        try:
            return response.parse(answer, request=REQUEST, count=BATCH).matrix
        finally:
            vectors._simdjson = library

    return read


def readers(content: bytes) -> dict[str, Callable[[], Any]]:
    """Every way to read a bare matrix; only the first two check it."""
    found: dict[str, Callable[[], Any]] = {
        "ours, plain (pydantic_core + numpy.array)": ours(content, fast=False),
        "json.loads, lists": lambda: json.loads(content),
        "json.loads + numpy.array": lambda: np.array(json.loads(content), dtype=np.float32),
        "pydantic_core.from_json, lists": lambda: pydantic_core.from_json(content),
        "numpy.fromstring(sep=',')": lambda: np.fromstring(
            content.translate(None, b"[]").decode(), sep=",", dtype=np.float32
        ).reshape(BATCH, -1),
    }
    if vectors._simdjson is not None:
        found["ours, fast (pysimdjson buffer)"] = ours(content, fast=True)
    try:
        orjson = importlib.import_module("orjson")
    except ImportError:
        print("(orjson is not installed)")
    else:
        found["orjson + numpy.array"] = lambda: np.array(orjson.loads(content), dtype=np.float32)
    return found


def measure(found: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the median CPU milliseconds per 1,000 vectors of each, measured in turn."""
    spent: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(ROUNDS):
        for name, read in found.items():
            start = time.process_time()
            read()
            spent[name].append(time.process_time() - start)
    return {name: statistics.median(each) * 1e6 / BATCH for name, each in spent.items()}


def part_one(dimensions: int) -> None:
    made = bodies(dimensions)
    found = readers(made["matrix"])
    for form in ("openai", "base64"):
        found[f"ours, plain, {form} form"] = ours(made[form], fast=False)
        if form == "openai" and vectors._simdjson is not None:
            found["ours, fast, openai form"] = ours(made[form], fast=True)
    costs = measure(found)
    base = costs["json.loads, lists"]
    print(f"\nReading {BATCH} x {dimensions}; CPU ms per 1,000 vectors; ratio to json.loads")
    for name, cost in sorted(costs.items(), key=lambda item: -item[1]):
        print(f"  {name:44} {cost:8.1f} {cost / base:6.2f}")


# --- the whole client -------------------------------------------------------------------


def serve(form: str, dimensions: int) -> None:
    """Answer every request with one precomputed body; runs in a process of its own."""
    import socket
    import threading

    body = bodies(dimensions)[form]
    kind = b"content-type: application/json\r\n"
    answer = b"HTTP/1.1 200 OK\r\n" + kind + b"content-length: %d\r\n\r\n" % len(body) + body

    def talk(peer: socket.socket) -> None:
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                got = peer.recv(65536)
                if not got:
                    return
                pending += got
            head, _, pending = pending.partition(b"\r\n\r\n")
            size = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            while len(pending) < size:
                pending += peer.recv(65536)
            pending = pending[size:]
            peer.sendall(answer)

    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=talk, args=(peer,), daemon=True).start()


def run_client(kind: str, port: int, count: int) -> None:
    """Embed *count* texts and print CPU seconds and kilobytes of peak growth."""
    texts = [f"text {n}" for n in range(count)]
    if kind == "floor":
        work = floor(port)
    else:
        from shared_core.client import RouterClient

        if kind == "plain":
            vectors._simdjson = None
        client = RouterClient(api_key="none", base_url=f"http://127.0.0.1:{port}/v1")

        def work(batch: list[str]) -> Any:
            return client.embeddings.create(batch, batch_size=BATCH).vectors

    work(texts[:BATCH])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, wall = time.process_time(), time.perf_counter()
    kept = work(texts)
    cpu, wall = time.process_time() - start, time.perf_counter() - wall
    assert len(kept) == count
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps([cpu * 1e6 / count, wall * 1e6 / count, growth / 1024]))


def floor(port: int) -> Callable[[list[str]], Any]:
    """A raw socket and one JSON library, lists kept as most SDKs do."""
    import socket

    peer = socket.create_connection(("127.0.0.1", port))
    stream = peer.makefile("rb")

    def work(texts: list[str]) -> Any:
        rows: list[Any] = []
        for first in range(0, len(texts), BATCH):
            body = json.dumps({"input": texts[first : first + BATCH]}).encode()
            peer.sendall(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            size = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            found = pydantic_core.from_json(stream.read(size))
            rows += found if isinstance(found, list) else [d["embedding"] for d in found["data"]]
        return rows[: len(texts)]

    return work


def part_two(count: int, dimensions: int) -> None:
    count -= count % BATCH
    print(f"\nThe whole client, {count} texts, {BATCH} a request; per 1,000 texts")
    print(f"  {'':44} {'CPU ms':>8} {'wall ms':>8} {'peak +MB':>9}")
    rows = [
        ("raw socket + pydantic_core, lists", "floor", "openai"),
        ("client, plain, openai form", "plain", "openai"),
        ("client, fast, openai form", "fast", "openai"),
        ("client, base64", "plain", "base64"),
    ]
    here = [sys.executable, __file__, "--dimensions", str(dimensions)]
    for name, kind, form in rows:
        if kind == "fast" and vectors._simdjson is None:
            print(f"  {name:44} (pysimdjson is not installed)")
            continue
        server = subprocess.Popen([*here, "--serve", form], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            results = []
            for _ in range(3):
                done = subprocess.run(
                    [*here, "--client", kind, "--port", port, "--texts", str(count)],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                results.append(json.loads(done.stdout))
            cpu, wall, growth = (statistics.median(each) for each in zip(*results, strict=True))
            print(f"  {name:44} {cpu:8.1f} {wall:8.1f} {growth:9.1f}")
        finally:
            server.kill()
            server.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.dimensions)
    elif given.client:
        run_client(given.client, given.port, given.texts)
    else:
        warnings.simplefilter("ignore", DeprecationWarning)
        part_one(given.dimensions)
        part_two(given.texts, given.dimensions)


if __name__ == "__main__":
    main()
