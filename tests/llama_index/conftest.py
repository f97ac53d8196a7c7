"""Fixtures of the LlamaIndex tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from pydantic import Field

from tests.llama_index.stub_server import StubRouter


class Recorder(BaseEventHandler):
    """Keeps every instrumentation event, as an object and as JSON."""

    events: list[Any] = Field(default_factory=list)
    dumps: list[str] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Recorder"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self.events.append(event)
        self.dumps.append(event.model_dump_json())

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


@pytest.fixture
def stub() -> Iterator[StubRouter]:
    with StubRouter() as server:
        yield server


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    handler = Recorder()
    root = get_dispatcher()
    root.add_event_handler(handler)
    try:
        yield handler
    finally:
        root.event_handlers.remove(handler)
