"""Work in other threads: order, errors, timeouts, and an end when nobody waits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from shared_core.errors import APITimeoutError, InternalServerError
from shared_core.local import LocalModels
from shared_core.local.background import Made, in_thread
from shared_core.local.call import LocalCall
from shared_core.local.wire import AsyncLocalStream, LocalStream
from shared_core.wire.messages import WireRequest
from tests.helpers.servers import ROOT

Put = Callable[[bytes], None]


def _call(timeout: float | None = 10.0) -> LocalCall:
    request = WireRequest(url="http://localhost/x", timeout=timeout, operation="chat")
    return LocalCall(LocalModels(), request)


def _two(put: Put) -> None:
    put(b"one")
    time.sleep(0.02)
    put(b"two")


def _fails(put: Put) -> None:
    put(b"one")
    raise InternalServerError("out of memory", status_code=500)


def _until_cancelled(call: LocalCall, put: Put) -> None:
    put(b"begun")
    assert call.cancelled.wait(10)


def test_pieces_come_in_order_and_end() -> None:
    call = _call()
    stream = LocalStream(Made(call, _two), call)
    assert list(stream) == [b"one", b"two"]
    assert list(stream) == []


def test_what_fails_is_raised_after_what_was_made() -> None:
    source = Made(_call(), _fails)
    assert source.take() == b"one"
    with pytest.raises(InternalServerError, match="out of memory"):
        source.take()
    assert source.take() is None


def test_silence_beyond_the_timeout_is_an_error_and_ends_the_work() -> None:
    call = _call(0.05)
    source = Made(call, lambda put: _until_cancelled(call, put))
    assert source.take() == b"begun"
    with pytest.raises(APITimeoutError, match=r"within 0\.05 s"):
        source.take()
    assert call.cancelled.is_set()
    assert source.take() is None


@pytest.mark.parametrize("how", ["close", "drop"])
def test_a_stream_that_nobody_reads_ends_the_work(how: str) -> None:
    call = _call(None)
    stream = LocalStream(Made(call, lambda put: _until_cancelled(call, put)), call)
    assert next(stream) == b"begun"
    assert not call.cancelled.is_set()
    if how == "close":
        stream.close()
        stream.close()
        assert list(stream) == []
    else:
        del stream
    assert call.cancelled.wait(5)


@pytest.mark.anyio
async def test_the_same_for_asyncio() -> None:
    call = _call()
    stream = AsyncLocalStream(Made(call, _two), call)
    assert [piece async for piece in stream] == [b"one", b"two"]
    assert [piece async for piece in stream] == []
    failing = Made(_call(), _fails)
    assert await failing.atake() == b"one"
    with pytest.raises(InternalServerError):
        await failing.atake()
    assert await failing.atake() is None


@pytest.mark.anyio
async def test_silence_and_an_early_end_for_asyncio() -> None:
    slow = _call(0.05)
    source = Made(slow, lambda put: _until_cancelled(slow, put))
    assert await source.atake() == b"begun"
    with pytest.raises(APITimeoutError):
        await source.atake()
    assert slow.cancelled.is_set()
    call = _call(None)
    stream = AsyncLocalStream(Made(call, lambda put: _until_cancelled(call, put)), call)
    assert await anext(stream) == b"begun"
    await stream.aclose()
    assert call.cancelled.is_set()
    assert [piece async for piece in stream] == []


@pytest.mark.anyio
async def test_a_result_or_an_error_of_another_thread() -> None:
    here = threading.current_thread()
    assert await in_thread(_call(), lambda: threading.current_thread() is here) is False

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await in_thread(_call(), fail)


@pytest.mark.anyio
async def test_a_cancelled_caller_is_told_to_the_work() -> None:
    call = _call()
    task = asyncio.create_task(in_thread(call, lambda: call.cancelled.wait(10)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.cancelled.is_set()


def test_the_end_of_the_program_does_not_wait_for_the_work() -> None:
    script = (
        "from tests.shared_core.local.test_background import *\n"
        "from tests.shared_core.local.test_background import _call\n"
        "call = _call(None)\n"
        "def work(put):\n"
        "    put(b'begun')\n"
        "    call.cancelled.wait(60)\n"
        "    print('told')\n"
        "source = Made(call, work)\n"
        "source.take()\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "told\n"
