"""How long a call of a local model may take, and what happens to those that waited in vain."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need, write_random

need("torch", "transformers", "sentence_transformers")

from shared_core import (  # noqa: E402
    APITimeoutError,
    AsyncRouterClient,
    InvalidSettingError,
    LocalModels,
    LocalTask,
    RouterClient,
)
from shared_core.local import loading  # noqa: E402

begun: list[str] = []
started, free = threading.Event(), threading.Event()


def _load(parts: Any) -> Any:
    return parts.folder


def _run(loaded: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
    begun.append(inputs)
    started.set()
    assert free.wait(30)
    return inputs


@pytest.fixture
def models(tmp_path: Path) -> LocalModels:
    begun.clear()
    started.clear()
    free.clear()
    return LocalModels(tasks={"own": LocalTask(tmp_path, _load, _run)})


def test_a_task_is_given_up_and_the_next_one_has_its_turn(models: LocalModels) -> None:
    with RouterClient(local=models) as client:
        with pytest.raises(APITimeoutError, match=r"did not answer within 0\.2 s") as caught:
            client.tasks.call("own", "first", timeout=0.2)
        assert caught.value.operation == "own"
        with pytest.raises(APITimeoutError):
            client.tasks.call("own", "waits in vain", timeout=0.2)
        free.set()
        assert client.tasks.call("own", "third") == "third"
    assert begun == ["first", "third"]  # the first went on; the second never began


@pytest.mark.anyio
async def test_async_calls_neither_hold_up_others_nor_the_end(models: LocalModels) -> None:
    async with AsyncRouterClient(local=models) as client:
        calls = [asyncio.create_task(client.tasks.call("own", str(at))) for at in range(40)]
        assert await asyncio.to_thread(started.wait, 10)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "other work"), 5) == "other work"
        with pytest.raises(APITimeoutError):
            await client.tasks.call("own", "waits in vain", timeout=0.2)
        for call in calls:
            call.cancel()
        assert all(
            isinstance(each, asyncio.CancelledError)
            for each in await asyncio.gather(*calls, return_exceptions=True)
        )
        free.set()
        assert await client.tasks.call("own", "last") == "last"
    assert len(begun) == 2  # what was cancelled before its turn never began


@pytest.mark.parametrize("kind", ["embeddings", "text-ranking"])
def test_the_wait_for_a_turn_counts(kind: str, minilm: Path, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"embeddings": minilm, "backend": "sentence-transformers"}
    ask: Callable[..., Any] = lambda client, **how: client.embeddings.create(["a"], **how)  # noqa: E731
    if kind == "text-ranking":
        folder = write_random(tmp_path / "ranker", "ForSequenceClassification", num_labels=1)
        chosen = {"tasks": {kind: folder}}
        ask = lambda client, **how: client.tasks.rerank("a", ["b"], **how)  # noqa: E731
    models = LocalModels(device="cpu", **chosen)
    with RouterClient(local=models) as client:
        assert ask(client)
        model = loading.encoder(models) if kind == "embeddings" else loading.reranker(models)
        with model.turn:
            began = time.monotonic()
            with pytest.raises(APITimeoutError):
                ask(client, timeout=0.2)
            assert time.monotonic() - began < 20
        assert ask(client, timeout=30)


def test_a_task_that_asks_another_has_one_limit_for_both(tmp_path: Path) -> None:
    def run(loaded: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
        return client.tasks.call("own", inputs - 1, timeout=5) + 1 if inputs else 0

    client = RouterClient(local=LocalModels(tasks={"own": LocalTask(tmp_path, _load, run)}))
    assert client.tasks.call("own", 3) == 3
    assert client.tasks.call("own", 3, timeout=5) == 3
    assert client.tasks.call("own", 3, timeout=None) == 3


def test_a_type_of_weights_that_there_is_not(tmp_path: Path) -> None:
    folder = write_random(tmp_path / "masked", "ForMaskedLM")
    models = LocalModels(tasks={"fill-mask": folder}, dtype="floaty")
    with RouterClient(local=models) as client:
        with pytest.raises(InvalidSettingError, match=r"dtype is not one .*: 'floaty'") as caught:
            client.tasks.fill_mask("a [MASK]")
    assert caught.value.setting == "dtype"
