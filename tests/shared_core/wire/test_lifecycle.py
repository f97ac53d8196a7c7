"""Streams left behind, cancellation, threads, loops, forks: every socket comes back."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from shared_core.config.settings import Limits, Settings
from shared_core.errors import APIConnectionError, APITimeoutError
from shared_core.wire.http import AsyncHTTPWire, HTTPWire
from tests.helpers.fault_server import FaultServer, Hang, Received, Reply, hang, json_reply, sse
from tests.shared_core.wire.conftest import TOKEN, Caller, request

REPOSITORY = Path(__file__).parents[3]


def settings(server: FaultServer, **more: Any) -> Settings:
    return Settings.resolve(api_key=TOKEN, base_url=server.url, env={}, **more)


@pytest.fixture
def endless(server: FaultServer) -> str:
    server.on("/s", sse({"n": 1}, {"n": 2}, end=Hang(), done=False))
    server.on("/x", lambda got: json_reply(got.json()))
    return server.url + "/s"


def echoes(server: FaultServer, caller_or_wire: Any) -> bool:
    return bool(
        caller_or_wire.send(request(server.url + "/x", json={"n": 7})).content == b'{"n": 7}'
    )


# --- left behind ------------------------------------------------------------------------


def test_streams_dropped_without_close(server: FaultServer, endless: str) -> None:
    wire = HTTPWire(settings(server, limits=Limits(max_connections=5)))
    for _ in range(20):
        for piece in wire.open(request(endless, stream=True)):
            assert piece
            break
    assert server.wait_open(0, 0.5)
    assert wire.send(request(server.url + "/x")).status == 200
    wire.close()


def test_streams_abandoned_in_cycles(server: FaultServer, endless: str) -> None:
    wire = HTTPWire(settings(server, limits=Limits(max_connections=40)))
    gc.disable()
    try:
        for _ in range(20):
            stream = wire.open(request(endless, stream=True))
            next(iter(stream))
            knot: list[Any] = [stream]
            knot.append(knot)
            del stream, knot
        assert server.open_connections == 20
    finally:
        gc.enable()
    gc.collect()
    assert server.wait_open(0, 0.5)
    assert wire.send(request(server.url + "/x")).status == 200
    wire.close()


def test_collection_in_the_middle_of_anything(server: FaultServer, endless: str) -> None:
    """Finalisers run at every allocation; nothing they need may be held by the same thread."""
    wire = HTTPWire(settings(server, limits=Limits(max_connections=3)))
    threshold = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(60):
            stream = wire.open(request(endless, stream=True, timeout=5))
            knot: list[Any] = [stream]
            knot.append(knot)
            del stream, knot
            gc.collect(0)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert server.wait_open(0, 1)
    wire.close()


def test_whole_wire_dropped(server: FaultServer, endless: str) -> None:
    wire = HTTPWire(settings(server))
    stream = wire.open(request(endless, stream=True))
    wire.send(request(server.url + "/x"))
    next(iter(stream))
    assert server.open_connections == 2
    del wire, stream
    gc.collect()
    assert server.wait_open(0, 0.5)


def test_async_streams_left_by_break(server: FaultServer, endless: str) -> None:
    async def main() -> None:
        wire = AsyncHTTPWire(settings(server, limits=Limits(max_connections=5)))
        for _ in range(20):
            async for piece in await wire.open(request(endless, stream=True)):
                assert piece
                break
        await until(lambda: server.open_connections == 0)
        assert (await wire.send(request(server.url + "/x"))).status == 200

    asyncio.run(main())


def test_async_streams_in_cycles_and_other_threads(server: FaultServer, endless: str) -> None:
    async def main() -> None:
        wire = AsyncHTTPWire(settings(server, limits=Limits(max_connections=40)))
        for _ in range(20):
            stream = await wire.open(request(endless, stream=True))
            knot: list[Any] = [stream]
            knot.append(knot)
            del stream, knot
        await asyncio.to_thread(gc.collect)
        await until(lambda: server.open_connections == 0)
        assert (await wire.send(request(server.url + "/x"))).status == 200

    asyncio.run(main())


def test_async_wire_dropped(server: FaultServer, endless: str) -> None:
    async def main() -> None:
        wire = AsyncHTTPWire(settings(server))
        await wire.send(request(server.url + "/x"))
        assert server.open_connections == 1
        del wire
        gc.collect()
        await until(lambda: server.open_connections == 0)

    asyncio.run(main())


async def until(check: Any, seconds: float = 0.5) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)


# --- cancellation -----------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2])
def test_tasks_cancelled_in_mid_stream(server: FaultServer, endless: str, times: int) -> None:
    async def read(wire: AsyncHTTPWire) -> None:
        async for _ in await wire.open(request(endless, stream=True)):
            pass

    async def main() -> None:
        wire = AsyncHTTPWire(settings(server, limits=Limits(max_connections=20)))
        tasks = [asyncio.ensure_future(read(wire)) for _ in range(20)]
        await until(lambda: len(server.requests) == 20, 3)
        for _ in range(times):
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait(tasks)
        await until(lambda: server.open_connections == 0)
        answers = await asyncio.gather(*(wire.send(request(server.url + "/x")) for _ in range(20)))
        assert {answer.status for answer in answers} == {200}

    asyncio.run(main())


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.003, 0.01, 0.05])
def test_wait_for(server: FaultServer, delay: float) -> None:
    server.on("/h", hang())
    server.on("/x", json_reply("ok"))

    async def main() -> None:
        wire = AsyncHTTPWire(settings(server, limits=Limits(max_connections=20)))

        async def call() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wire.send(request(server.url + "/h")), delay)

        await asyncio.gather(*(call() for _ in range(20)))
        await until(lambda: server.open_connections == 0, 1)
        answers = await asyncio.gather(*(wire.send(request(server.url + "/x")) for _ in range(20)))
        assert {answer.status for answer in answers} == {200}

    asyncio.run(main())


def test_cancelled_while_queueing(server: FaultServer) -> None:
    server.on("/x", json_reply("ok", delay=0.02))

    async def main() -> None:
        wire = AsyncHTTPWire(settings(server, limits=Limits(max_connections=5)))
        for _ in range(5):
            tasks = [
                asyncio.ensure_future(wire.send(request(server.url + "/x"))) for _ in range(40)
            ]
            await asyncio.sleep(0.03)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() or task.result().status == 200 for task in tasks)
        answers = await asyncio.gather(*(wire.send(request(server.url + "/x")) for _ in range(10)))
        assert {answer.status for answer in answers} == {200}
        assert server.open_connections <= 5
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_queue_is_fair(server: FaultServer) -> None:
    server.on("/x", lambda got: json_reply(got.json(), delay=0.005))

    async def main() -> list[int]:
        wire = AsyncHTTPWire(settings(server, limits=Limits(max_connections=1)))
        order: list[int] = []

        async def call(number: int) -> None:
            await wire.send(request(server.url + "/x", json=number))
            order.append(number)

        await asyncio.gather(*map(call, range(20)))
        return order

    assert asyncio.run(main()) == list(range(20))


# --- loops, threads, processes ----------------------------------------------------------


def test_one_wire_in_many_loops(server: FaultServer, endless: str) -> None:
    wire = AsyncHTTPWire(settings(server))

    async def main() -> None:
        for number in range(3):
            answer = await wire.send(request(server.url + "/x", json=number))
            assert answer.content == b"%d" % number

    for _ in range(3):
        asyncio.run(main())
        assert server.wait_open(0, 0.5)
    assert server.accepted == 3


def test_loop_that_is_closed_carelessly(server: FaultServer, endless: str) -> None:
    wire = AsyncHTTPWire(settings(server))
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(wire.send(request(server.url + "/x"))).status == 200
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's own, about its transport
        assert asyncio.run(wire.send(request(server.url + "/x"))).status == 200
        assert server.wait_open(0, 0.5)
        del loop
        gc.collect()


def test_one_wire_in_loops_of_several_threads(server: FaultServer, endless: str) -> None:
    wire = AsyncHTTPWire(settings(server))
    problems: list[BaseException] = []

    async def main(base: int) -> None:
        async def call(number: int) -> None:
            answer = await wire.send(request(server.url + "/x", json=number))
            assert answer.content == b"%d" % number

        for _ in range(3):
            await asyncio.gather(*(call(base + n) for n in range(10)))

    def thread(base: int) -> None:
        try:
            asyncio.run(main(base))
        except BaseException as exc:
            problems.append(exc)

    threads = [threading.Thread(target=thread, args=(1000 * n,)) for n in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []
    assert server.wait_open(0, 1)


def test_closing_and_going_on(caller: Caller, server: FaultServer, endless: str) -> None:
    for _ in range(3):
        assert caller.send(server.url + "/x").status == 200
        caller.run(caller.wire.close() if caller.kind == "sync" else caller.wire.aclose())
        assert server.wait_open(0, 0.5)


def test_sixteen_threads(server: FaultServer, endless: str) -> None:
    wire = HTTPWire(settings(server, limits=Limits(max_connections=8)))
    problems: list[Any] = []

    def work(base: int) -> None:
        for number in range(base, base + 20):
            try:
                answer = wire.send(request(server.url + "/x", json=number, timeout=20))
                if answer.content != b"%d" % number:
                    problems.append((number, answer.content))
            except Exception as exc:
                problems.append(exc)

    threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []
    assert server.accepted <= 8
    wire.close()


def test_closing_a_stream_in_another_thread(server: FaultServer, endless: str) -> None:
    wire = HTTPWire(settings(server))
    stream = wire.open(request(endless, stream=True, timeout=30))
    threading.Timer(0.1, stream.close).start()
    started = time.monotonic()
    with contextlib.suppress(APIConnectionError):
        list(stream)
    assert time.monotonic() - started < 2
    assert server.wait_open(0, 0.5)
    wire.close()


def test_copies_and_pickles_start_empty(server: FaultServer, endless: str) -> None:
    for wire in (HTTPWire(settings(server)), AsyncHTTPWire(settings(server))):
        if isinstance(wire, HTTPWire):
            wire.send(request(server.url + "/x"))
        for twin in (copy.deepcopy(wire), copy.copy(wire), pickle.loads(pickle.dumps(wire))):
            assert type(twin) is type(wire)
            assert twin._own == {}
        assert TOKEN.encode() not in pickle.dumps(wire)
        assert TOKEN not in repr(wire) + repr(vars(wire))
        if isinstance(wire, HTTPWire):
            wire.close()


def test_fork(server: FaultServer, endless: str) -> None:
    wire = HTTPWire(settings(server))
    wire.send(request(server.url + "/x", json="parent"))
    left = wire.open(request(endless, stream=True))
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            good = all(
                wire.send(request(server.url + "/x", json=n)).content == b"%d" % n
                for n in range(10)
            )
            del left
            gc.collect()
            code = 0 if good else 2
        os._exit(code)
    for number in range(100, 110):
        answer = wire.send(request(server.url + "/x", json=number))
        assert answer.content == b"%d" % number
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"data:" in next(iter(left)), "the child has not touched the parent's stream"
    left.close()
    wire.close()


def test_fork_of_an_asynchronous_wire(server: FaultServer, endless: str) -> None:
    wire = AsyncHTTPWire(settings(server))

    async def calls(base: int) -> bool:
        for number in range(base, base + 5):
            answer = await wire.send(request(server.url + "/x", json=number))
            if answer.content != b"%d" % number:
                return False
        return True

    with asyncio.Runner() as runner:
        assert runner.run(calls(0))
        pid = os.fork()
        if pid == 0:
            code = 1
            with contextlib.suppress(BaseException):
                asyncio.set_event_loop(None)
                code = 0 if asyncio.new_event_loop().run_until_complete(calls(100)) else 2
            os._exit(code)
        assert runner.run(calls(200))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert runner.run(calls(300))


def test_no_thread_for_parallel_calls(server: FaultServer) -> None:
    server.on("/x", json_reply("ok", delay=0.1))

    async def main() -> int:
        wire = AsyncHTTPWire(settings(server))
        names = (server.url, f"http://localhost:{server.port}")
        calls = [wire.send(request(names[n % 2] + "/x", auth=False)) for n in range(40)]
        gathered = asyncio.gather(*calls)
        await until(lambda: len(server.requests) == 40, 3)
        ours = [t for t in threading.enumerate() if t.name.startswith("asyncio")]
        await gathered
        return len(ours)

    assert asyncio.run(main()) == 0


def test_answers_wait_side_by_side(server: FaultServer) -> None:
    server.on("/x", lambda got: json_reply(got.json(), delay=0.2))

    async def main() -> float:
        wire = AsyncHTTPWire(settings(server))
        started = time.monotonic()
        answers = await asyncio.gather(
            *(wire.send(request(server.url + "/x", json=n)) for n in range(100))
        )
        assert [answer.content for answer in answers] == [b"%d" % n for n in range(100)]
        return time.monotonic() - started

    assert asyncio.run(main()) < 5


# --- leaving ----------------------------------------------------------------------------

LEAVE = """
    import asyncio, sys
    sys.path.insert(0, {root!r})
    from shared_core.config.settings import Settings
    from shared_core.wire.http import AsyncHTTPWire, HTTPWire
    from shared_core.wire.messages import WireRequest
    settings = Settings.resolve(api_key="hf_abcdefghijklmnop", base_url={url!r}, env={{}})
    def ask(path, **more):
        return WireRequest(url={url!r} + path, json=1, timeout=20, **more)
    wire, awire = HTTPWire(settings), AsyncHTTPWire(settings)
"""


def run_script(server: FaultServer, body: str) -> subprocess.Popen[str]:
    script = textwrap.dedent(LEAVE.format(root=str(REPOSITORY), url=server.url))
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script + textwrap.dedent(body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "body",
    [
        "wire.send(ask('/x'))\nstream = wire.open(ask('/s', stream=True))\nnext(iter(stream))",
        """
        async def main():
            global stream
            await awire.send(ask('/x'))
            stream = await awire.open(ask('/s', stream=True))
            print(len(await anext(aiter(stream))))
        asyncio.run(main())
        """,
        """
        async def main():
            return await awire.send(ask('/x'))
        asyncio.run(main())
        asyncio.run(main())
        wire.send(ask('/x'))
        """,
    ],
    ids=["sync", "async stream", "both"],
)
def test_unclosed_client_leaves_silently(server: FaultServer, endless: str, body: str) -> None:
    process = run_script(server, body)
    _, errors = process.communicate(timeout=30)
    assert errors == ""
    assert process.returncode == 0


def test_ctrl_c(server: FaultServer, endless: str) -> None:
    process = run_script(
        server,
        """
        try:
            for piece in wire.open(ask('/s', stream=True)):
                print("began", flush=True)
        except KeyboardInterrupt:
            pass
        print(wire.send(ask('/x')).status, flush=True)
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    time.sleep(0.1)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert output.split()[-1] == "200"
    assert errors == ""
    assert time.monotonic() - started < 2


def test_timeout_releases(caller: Caller, server: FaultServer) -> None:
    caller.configure(limits=Limits(max_connections=1))
    server.on("/h", hang())
    server.on("/x", json_reply("ok"))
    for _ in range(3):
        with pytest.raises(APITimeoutError):
            caller.send(server.url + "/h", timeout=0.1)
    assert caller.send(server.url + "/x").status == 200


def test_requests_do_not_mix_after_an_error_inside_a_body(
    caller: Caller, server: FaultServer
) -> None:
    def answer(got: Received) -> Reply:
        return json_reply(got.json())

    server.on("/x", answer)
    server.on("/h", Reply((b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n12", Hang())))
    with pytest.raises(APITimeoutError):
        caller.send(server.url + "/h", timeout=0.1)
    assert caller.send(server.url + "/x", json=5).content == b"5"
