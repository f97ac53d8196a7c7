"""``client.tasks.call`` without the file, or without the object, that the form of a task needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from shared_core import AsyncRouterClient, RouterClient
from shared_core.errors import InvalidSettingError
from tests.helpers.fault_server import FaultServer, json_reply

PNG = b"\x89PNG\r\n\x1a\n...."
QUESTION = {"question": "what?"}
ANSWER = [{"answer": "a cat", "score": 0.9}]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.on("*", json_reply(ANSWER))
        yield server


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def call(kind: str, server: FaultServer, *args: Any, **options: Any) -> Any:
    how = {"api_key": "k", "base_url": server.url}
    options.setdefault("model", "a/b")
    if kind == "sync":
        with RouterClient(**how) as client:
            return client.tasks.call(*args, **options)

    async def work() -> Any:
        async with AsyncRouterClient(**how) as client:
            return await client.tasks.call(*args, **options)

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("task", "provider"),
    [
        ("visual-question-answering", None),
        ("image-to-image", "fal-ai"),
        ("image-to-image", "replicate"),
        ("image-to-image", "wavespeed"),
        ("image-to-video", "fal-ai"),
        ("image-segmentation", "fal-ai"),
        ("automatic-speech-recognition", "fal-ai"),
        ("automatic-speech-recognition", "together"),
        ("image-to-text", "zai-org"),
    ],
)
def test_a_missing_file_is_named(
    kind: str, server: FaultServer, task: str, provider: str | None
) -> None:
    more = {} if provider is None else {"provider": provider, "provider_id": "x/y"}
    with pytest.raises(InvalidSettingError, match=r"^file is missing") as caught:
        call(kind, server, task, QUESTION, **more)
    assert caught.value.setting == "file"
    assert "Pass file=" in str(caught.value)
    assert "fetch_urls" not in str(caught.value)
    assert server.requests == []


def test_an_address_where_bytes_are_wanted_is_still_named(kind: str, server: FaultServer) -> None:
    with pytest.raises(InvalidSettingError, match="fetch_urls=True") as caught:
        call(
            kind,
            server,
            "automatic-speech-recognition",
            file="https://media.test/a.wav",
            provider="together",
            provider_id="x/y",
        )
    assert caught.value.setting == "fetch_urls"


@pytest.mark.parametrize("inputs", [None, "what?", ["what?"], 5])
def test_a_question_without_its_object_is_refused(
    kind: str, server: FaultServer, inputs: Any
) -> None:
    with pytest.raises(InvalidSettingError, match="inputs must be an object") as caught:
        call(kind, server, "visual-question-answering", inputs, file=PNG)
    assert caught.value.setting == "inputs"
    assert server.requests == []


def test_a_question_with_its_file_is_asked(kind: str, server: FaultServer) -> None:
    assert call(kind, server, "visual-question-answering", QUESTION, file=PNG) == ANSWER
    assert server.requests[0].json()["question"] == "what?"
