"""What the suites share: a strict server with prepared answers, and the model under test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.helpers.fault_server import Answer, FaultServer, Received, Reply, json_reply
from tests.langchain.script import CHAT, HEADERS, USAGE, event, stream, whole
from tests.langchain.stub_server import Refused, check

KEY = "hf_ConformanceSecret0123456789"


class StrictServer(FaultServer):
    """Answers chat calls as told, and refuses with 400 what a strict server would refuse.

    Attributes:
        bodies: Of every call that was not refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[dict[str, Any]] = []
        self._answers: list[Answer] = [say("Hi.")]
        self.on(CHAT, self._answer)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def last(self) -> dict[str, Any]:
        return self.bodies[-1]

    def answers(self, *answers: Answer) -> None:
        """Give these answers, one after another; the last one again and again."""
        self._answers = list(answers)

    def _answer(self, request: Received) -> Reply:
        body = request.json()
        try:
            check(_usual(body))
        except Refused as refusal:
            error = {"message": f"refused: {refusal}", "type": "invalid_request_error"}
            return json_reply({"error": error}, 400, HEADERS)
        self.bodies.append(body)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(request) if callable(answer) else answer


def _usual(body: dict[str, Any]) -> dict[str, Any]:
    """Let pass what most servers let pass: any order, null and lists of texts as content."""
    messages = []
    for message in body.get("messages", ()):
        content = message.get("content")
        if content is None and message.get("tool_calls"):
            content = ""
        texts = content if isinstance(content, list) and message.get("role") != "user" else []
        if texts and all(part.get("type") == "text" for part in texts):
            content = "".join(part["text"] for part in texts)
        messages.append({**message, "content": content})
    return {"model": body.get("model"), **body, "messages": messages}


def say(text: str | None = "Hi.", finish: str = "stop", **more: Any) -> Callable[[Received], Reply]:
    """An answer, streamed if asked for: keys of the message, ``top_*`` of the body."""
    # Some packages refuse answers without a fingerprint.
    top: dict[str, Any] = {"top_system_fingerprint": "fp"}
    top |= {key: more.pop(key) for key in list(more) if key.startswith("top_")}

    def answer(request: Received) -> Reply:
        if not request.json().get("stream"):
            return whole(text, finish=finish, **more, **top)
        calls = [{"index": at, **call} for at, call in enumerate(more.get("tool_calls", ()))]
        delta = {**more, **({"tool_calls": calls} if calls else {})}
        pieces = [event({"role": "assistant", **({"content": text} if text else {}), **delta})]
        usage = top.get("top_usage", USAGE)
        return stream(*pieces, event({}, finish), event(None, usage=usage))

    return answer


def started(*events: Any) -> Reply:
    """A stream that begins, as most do, with the role."""
    return stream(event({"role": "assistant", "content": ""}), *events)


def wire_call(name: str, arguments: Any, id: str = "call_1") -> dict[str, Any]:
    """A tool call as servers send it."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


class Conformance:
    """Fixtures; users of the suites implement :meth:`make`."""

    def make(self, base_url: str, **options: Any) -> Any:
        """Return the model under test, for the model ``org/m`` unless *options* name another."""
        raise NotImplementedError

    @pytest.fixture
    def server(self) -> Iterator[StrictServer]:
        with StrictServer() as server:
            yield server

    @pytest.fixture
    def model(self, server: StrictServer) -> Any:
        return self.make(server.base_url)


def run(make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine in an event loop of its own."""
    return asyncio.run(make())


def total(chunks: list[Any]) -> Any:
    """Return the sum of streamed chunks."""
    whole_message = chunks[0]
    for chunk in chunks[1:]:
        whole_message = whole_message + chunk
    return whole_message


async def collected(items: Any) -> list[Any]:
    """Return the items of an asynchronous iterator."""
    return [item async for item in items]
