"""What the suites share: the server, the recorder, running coroutines, objects and tools."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, PrivateAttr

from tests.llama_index.stub_server import StubRouter, call

KEY = "hf_conformance_secret"


class Events(BaseEventHandler):
    """Counts events by class name and keeps their JSON."""

    _names: Counter[str] = PrivateAttr(default_factory=Counter)
    _json: list[str] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self._names[type(event).__name__] += 1
        self._json.append(event.model_dump_json())

    def count(self, name: str) -> int:
        return self._names[name]

    def text(self) -> str:
        return "".join(self._json)


class Conformance:
    """Fixtures; subclasses of the suites implement :meth:`make`."""

    def make(self, base_url: str, **options: Any) -> Any:
        """Return the model under test."""
        raise NotImplementedError

    @pytest.fixture
    def stub(self) -> Iterator[StubRouter]:
        with StubRouter(strict=False) as server:
            yield server

    @pytest.fixture
    def events(self) -> Iterator[Events]:
        handler = Events()
        root = get_dispatcher()
        root.add_event_handler(handler)
        try:
            yield handler
        finally:
            root.event_handlers.remove(handler)

    @pytest.fixture
    def model(self, stub: StubRouter) -> Any:
        return self.make(stub.base_url)


def run(make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine in a new event loop, as core does all the time."""
    return asyncio.run(make())


async def collect(opening: Any) -> list[Any]:
    return [item async for item in await opening]


# --- what the checks ask for ---


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def times(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


TOOLS = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(times)]
TWO = call(("add", {"a": 2, "b": 3}), ("times", {"a": 2, "b": 3}))
HELLO = [ChatMessage(role="user", content="Say hello.")]
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
