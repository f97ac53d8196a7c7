"""Flows: both drivers do the same thing with the same effects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from shared_core.flow import All, Flow, Receive, Send, Sleep, arun, run
from shared_core.wire.messages import Headers, WireRequest, WireResponse


def answer(request: WireRequest) -> WireResponse:
    return WireResponse(status=200, headers=Headers(), content=request.url.encode())


class ScriptedWire:
    """Answers with the URL; raises what it is told to; counts what is under way."""

    def __init__(self, fail: dict[str, Exception] | None = None) -> None:
        self.fail = fail or {}
        self.sent: list[str] = []
        self.active = 0
        self.most = 0

    def send(self, request: WireRequest) -> WireResponse:
        self.sent.append(request.url)
        if request.url in self.fail:
            raise self.fail[request.url]
        return answer(request)

    def open(self, request: WireRequest) -> WireResponse:
        return self.send(request)

    def close(self) -> None:
        self.sent.clear()


class AsyncScriptedWire(ScriptedWire):
    async def send(self, request: WireRequest) -> WireResponse:  # type: ignore[override]
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            await asyncio.sleep(0.01)
            return ScriptedWire.send(self, request)
        finally:
            self.active -= 1

    async def open(self, request: WireRequest) -> WireResponse:  # type: ignore[override]
        return await self.send(request)

    async def aclose(self) -> None:
        self.sent.clear()


Driver = Callable[[Flow[Any], dict[str, Exception]], tuple[Any, list[str]]]


def drive_sync(flow: Flow[Any], fail: dict[str, Exception]) -> tuple[Any, list[str]]:
    wire = ScriptedWire(fail)
    return run(flow, wire), wire.sent


def drive_async(flow: Flow[Any], fail: dict[str, Exception]) -> tuple[Any, list[str]]:
    wire = AsyncScriptedWire(fail)
    return asyncio.run(arun(flow, wire)), wire.sent


both = pytest.mark.parametrize("drive", [drive_sync, drive_async])


def fetch(url: str) -> Flow[str]:
    response = yield Send(WireRequest(url=url))
    return str(response.content.decode())


@both
def test_result_of_the_flow_is_returned(drive: Driver) -> None:
    assert drive(fetch("a"), {}) == ("a", ["a"])


@both
def test_flow_that_never_suspends(drive: Driver) -> None:
    def nothing() -> Flow[int]:
        return 7
        yield

    assert drive(nothing(), {}) == (7, [])


@both
def test_flow_can_catch_and_go_on(drive: Driver) -> None:
    def patient() -> Flow[str]:
        try:
            return (yield from fetch("bad"))
        except LookupError:
            yield Sleep(0)
            return (yield from fetch("good"))

    assert drive(patient(), {"bad": LookupError()}) == ("good", ["bad", "good"])


@both
def test_all_keeps_order(drive: Driver) -> None:
    def many() -> Flow[list[str]]:
        return (yield All([fetch(str(n)) for n in range(9)], limit=4))

    result, sent = drive(many(), {})
    assert result == [str(n) for n in range(9)]
    assert sorted(sent) == sorted(result)


@both
def test_all_raises_the_error_itself(drive: Driver) -> None:
    def many() -> Flow[list[str]]:
        return (yield All([fetch(str(n)) for n in range(4)], limit=2))

    with pytest.raises(KeyError, match="boom"):
        drive(many(), {"1": KeyError("boom")})


@both
def test_all_of_nothing(drive: Driver) -> None:
    def none() -> Flow[list[str]]:
        return (yield All([], limit=3))

    assert drive(none(), {}) == ([], [])


@both
def test_finally_runs_when_the_wire_fails(drive: Driver) -> None:
    released = []

    def careful() -> Flow[str]:
        try:
            return (yield from fetch("bad"))
        finally:
            released.append(True)

    with pytest.raises(OSError):
        drive(careful(), {"bad": OSError()})
    assert released == [True]


@pytest.mark.anyio
async def test_all_is_bounded() -> None:
    wire = AsyncScriptedWire()

    def many() -> Flow[list[str]]:
        return (yield All([fetch(str(n)) for n in range(20)], limit=3))

    await arun(many(), wire)
    assert wire.most == 3


@pytest.mark.anyio
async def test_first_error_ends_the_other_flows() -> None:
    wire = AsyncScriptedWire({"0": OSError()})

    def many() -> Flow[list[str]]:
        return (yield All([fetch(str(n)) for n in range(50)], limit=2))

    with pytest.raises(OSError):
        await arun(many(), wire)
    assert len(wire.sent) < 5
    assert wire.active == 0


@pytest.mark.anyio
async def test_cancellation_passes_through_and_releases() -> None:
    released = []

    def slow() -> Flow[None]:
        try:
            yield Sleep(30)
        finally:
            released.append(True)

    task = asyncio.ensure_future(arun(slow(), AsyncScriptedWire()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert released == [True]


def take_two(source: Any) -> Flow[list[bytes | None]]:
    first = yield Receive(source)
    second = yield Receive(source)
    third = yield Receive(source)
    return [first, second, third]


def test_receive_reads_pieces_until_none() -> None:
    pieces: Iterator[bytes] = iter([b"a", b"b"])
    assert run(take_two(pieces), ScriptedWire()) == [b"a", b"b", None]


@pytest.mark.anyio
async def test_receive_reads_an_asynchronous_stream() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    assert await arun(take_two(pieces()), AsyncScriptedWire()) == [b"a", b"b", None]
