"""A clock that moves by hand, exchanges without I/O, and both clients over one server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from shared_core import AsyncRouterClient, Callback, Failover, Resilience, RouterClient
from shared_core.core import CallContext
from shared_core.flow import Flow, Sleep
from shared_core.resilience.pipeline import CallInfo, Next, Pipeline, Tools
from shared_core.wire.messages import WireRequest
from tests.helpers.fault_server import FaultServer, json_reply

PATH = "/v1/chat/completions"
MODEL = "acme/flux"


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def upper(_low: float, high: float) -> float:
    return high


def lower(low: float, _high: float) -> float:
    return low


def drive(flow: Flow[Any], clock: Clock) -> Any:
    """Run a flow that only sleeps, on *clock*."""
    try:
        effect = next(flow)
        while True:
            assert isinstance(effect, Sleep), effect
            clock.sleep(effect.seconds)
            effect = flow.send(None)
    except StopIteration as stop:
        return stop.value


def call_of(
    url: str = "https://a.test/v1/chat/completions",
    listeners: tuple[Callback, ...] = (),
    **more: Any,
) -> CallInfo:
    request = WireRequest(url=url, operation="chat", model="a/b", json={"model": "a/b"}, **more)
    return CallInfo(request, CallContext.of(request), listeners)


def scripted(*outcomes: Any, seconds: float = 0.0, clock: Clock | None = None) -> Next:
    """Return an exchange that ends in turn as *outcomes* say; the last one repeats."""
    left = list(outcomes)

    def exchange(call: CallInfo) -> Flow[Any]:
        call.trace.attempts += 1
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if clock is not None:
            clock.now += seconds
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
        yield

    return exchange


def pipeline(policy: Resilience, clock: Clock, uniform: Any = lower, **more: Any) -> Pipeline:
    return Pipeline(policy, Tools(clock=clock, uniform=uniform, **more))


class Recorder(Callback):
    """Notes every event."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def _note(self, event: Any) -> None:
        self.events.append(event)

    on_request = on_response = on_chunk = on_stream_complete = on_error = on_retry = _note
    on_circuit = on_failover = on_rate_limit = _note

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def completion(text: str = "pong") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": "c1", "model": "a/b", "choices": [choice], "usage": usage}


def event(text: str = "", reason: str | None = None) -> dict[str, Any]:
    delta = {"content": text} if text else {}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


GOOD = json_reply(completion())


def failing(status: int = 500, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return json_reply({"error": {"message": "broken"}}, status=status, headers=named)


class Both:
    """The same steps with either client, over one server."""

    def __init__(self, kind: str, server: FaultServer) -> None:
        self.kind = kind
        self.server = server

    def chats(self, count: int = 1, *, pause: float = 0.0, **options: Any) -> Any:
        """Return the results or errors of *count* calls, one after another, and the client."""
        options.setdefault("base_url", self.server.url + "/v1")
        if self.kind == "async":
            return asyncio.run(self._achats(count, pause, options))
        with RouterClient("a/b", **options) as client:
            results = []
            for _ in range(count):
                results.append(self._one(lambda: client.chat.create("ping")))
                time.sleep(pause)
            return results, client

    def _one(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            return error

    async def _achats(self, count: int, pause: float, options: dict[str, Any]) -> Any:
        async with AsyncRouterClient("a/b", **options) as client:
            results: list[Any] = []
            for _ in range(count):
                try:
                    results.append(await client.chat.create("ping"))
                except Exception as error:
                    results.append(error)
                await asyncio.sleep(pause)
            return results, client

    def streams(self, count: int = 1, *, take: int | None = None, **options: Any) -> Any:
        """Return texts or errors of *count* streams; *take* leaves each after so many chunks."""
        options.setdefault("base_url", self.server.url + "/v1")
        if self.kind == "sync":
            with RouterClient("a/b", **options) as client:
                return [self._one(lambda: self._read(client, take)) for _ in range(count)], client
        return asyncio.run(self._astreams(count, take, options))

    def _read(self, client: RouterClient, take: int | None) -> Any:
        with client.chat.stream("ping") as stream:
            if take is None:
                return stream.result()
            return [next(stream) for _ in range(take)]

    async def _astreams(self, count: int, take: int | None, options: dict[str, Any]) -> Any:
        async with AsyncRouterClient("a/b", **options) as client:
            results: list[Any] = []
            for _ in range(count):
                try:
                    async with client.chat.stream("ping") as stream:
                        if take is None:
                            results.append(await stream.result())
                        else:
                            results.append([await anext(stream) for _ in range(take)])
                except Exception as error:
                    results.append(error)
            return results, client


class Caller:
    """The same steps with either client, over one server in the place of the router."""

    def __init__(self, kind: str, server: FaultServer) -> None:
        self.kind = kind
        self.server = server

    def run(self, steps: Callable[[Any], Any], failover: Failover, **options: Any) -> Any:
        """Return what *steps(client)* yields; each thing it yields is awaited if need be."""
        resilience = Resilience(failover=failover, **options)
        how = {
            "api_key": "hf_client_token",
            "base_url": f"{self.server.url}/v1",
            "hub_url": self.server.url,
        }
        if self.kind == "sync":
            with RouterClient(MODEL, resilience=resilience, **how) as client:
                return steps(client)

        async def work() -> Any:
            async with AsyncRouterClient(MODEL, resilience=resilience, **how) as client:
                return await steps(client)

        return asyncio.run(work())

    def stream(self, opens: Callable[[Any], Any], failover: Failover, **options: Any) -> Any:
        """Return the whole of a stream, and the stream."""
        if self.kind == "sync":

            def steps(client: Any) -> Any:
                with opens(client) as stream:
                    return stream.result(), stream

            return self.run(steps, failover, **options)

        async def asteps(client: Any) -> Any:
            async with opens(client) as stream:
                return await stream.result(), stream

        return self.run(asteps, failover, **options)
