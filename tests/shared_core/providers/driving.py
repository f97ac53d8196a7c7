"""Drives flows by hand: no server, no clock, no event loop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared_core.config.settings import Settings
from shared_core.core import Core
from shared_core.flow import Flow, Send, Sleep
from shared_core.tasks.spec import CallOptions, Payload
from shared_core.wire.messages import Headers, WireRequest, WireResponse

TOKEN = "hf_" + "t" * 34
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
ROUTER = "https://router.huggingface.co"


def core(**settings: Any) -> Core:
    return Core(Settings.resolve(**{"api_key": TOKEN, "env": {}, **settings}))


def answer(value: Any, status: int = 200, **headers: str) -> WireResponse:
    """A JSON answer."""
    fields = {"content-type": "application/json", **headers}
    return WireResponse(status=status, headers=Headers(fields), content=json.dumps(value).encode())


def file(content: bytes = PNG, kind: str | None = "image/png", status: int = 200) -> WireResponse:
    fields = {} if kind is None else {"content-type": kind}
    return WireResponse(status=status, headers=Headers(fields), content=content)


@dataclass
class Clock:
    """Seconds that pass only while a flow sleeps, or as scripted."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Drive:
    """What a driven flow did."""

    clock: Clock = field(default_factory=Clock)
    requests: list[WireRequest] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    result: Any = None
    unused: list[Any] = field(default_factory=list)

    def run(self, flow: Flow[Any], answers: Sequence[WireResponse | Exception]) -> Any:
        """Answer every ``Send`` with the next of *answers*; an exception is thrown in."""
        script = list(answers)
        self.unused = script
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Sleep):
                    self.sleeps.append(effect.seconds)
                    self.clock.now += effect.seconds
                    effect = flow.send(None)
                    continue
                assert isinstance(effect, Send)
                self.requests.append(effect.request)
                assert script, (
                    f"an unexpected request: {effect.request.method} {effect.request.url}"
                )
                reply = script.pop(0)
                effect = flow.throw(reply) if isinstance(reply, Exception) else flow.send(reply)
        except StopIteration as stop:
            self.result = stop.value
            return stop.value


def drive(flow: Flow[Any], *answers: WireResponse | Exception) -> Drive:
    """Drive *flow* to its end; every scripted answer must be asked for."""
    driven = Drive()
    driven.run(flow, answers)
    assert driven.unused == []
    return driven


def text(prompt: str = "a cat", **parameters: Any) -> Payload:
    return Payload(inputs=prompt, parameters=parameters)


def picture(**parameters: Any) -> Payload:
    return Payload(parameters=parameters, binary=PNG, media_type="image/png")


def options(**given: Any) -> CallOptions:
    return CallOptions(**{"timeout": 30.0, **given})
