"""Models that are loaded and asked from several threads, and from inside a task."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need, write_random

need("torch", "transformers", "sentence_transformers")

from shared_core import (  # noqa: E402
    InvalidSettingError,
    LocalModelError,
    LocalModels,
    LocalParts,
    LocalTask,
    RouterClient,
)

SECONDS = 60
"""After which a call that waits for itself is taken for one."""


def test_models_are_loaded_one_at_a_time(
    tmp_path: Path, ranker: Path, classifier: Path, taught: Path
) -> None:
    masker = write_random(tmp_path / "masker", "ForMaskedLM")
    embedder = write_random(tmp_path / "embedder", "Model")
    for _ in range(3):
        tasks = {"fill-mask": masker, "text-classification": classifier, "text-ranking": ranker}
        local = LocalModels(
            embedder, backend="sentence-transformers", chat=taught, tasks=tasks, device="cpu"
        )
        client = RouterClient(local=local)
        calls: list[Callable[[], Any]] = [
            lambda client=client: client.tasks.fill_mask("a [MASK] b"),
            lambda client=client: client.tasks.text_classification("a"),
            lambda client=client: client.tasks.rerank("a", ["b"]),
            lambda client=client: client.embeddings.create("a"),
            lambda client=client: client.chat.create("Hello", max_tokens=1),
        ]
        begin = threading.Barrier(len(calls))

        def ask(call: Callable[[], Any], begin: threading.Barrier = begin) -> Any:
            begin.wait(SECONDS)
            return call()

        with client, ThreadPoolExecutor(len(calls)) as pool:
            assert all(pool.map(ask, calls))
        _forget()


def _forget() -> None:
    from shared_core.local import loading

    loading._slots.clear()


def _in_time(call: Callable[[], Any]) -> Any:
    """Return what *call* returns; fails if it waits for itself."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert found, "it waits for itself"
    return found[0]


def _load(parts: LocalParts) -> Any:
    return parts.folder.name


def test_a_task_may_ask_itself(classifier: Path) -> None:
    def run(loaded: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
        return inputs if inputs < 1 else client.tasks.call("own", inputs - 1)

    client = RouterClient(local=LocalModels(tasks={"own": LocalTask(classifier, _load, run)}))
    assert _in_time(lambda: client.tasks.call("own", 2)) == 0


def test_load_asks_no_model_that_is_not_loaded(classifier: Path) -> None:
    def load(parts: LocalParts) -> Any:
        return client.tasks.call(asked[0], "a")

    def run(loaded: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
        return str(loaded)

    tasks = {"own": LocalTask(classifier, load, run), "text-classification": classifier}
    client = RouterClient(local=LocalModels(tasks=tasks))
    asked = ["own"]
    for asked[0] in tasks:
        error = _in_time(lambda: client.tasks.call("own", "a"))
        assert isinstance(error, LocalModelError)
        assert f"A model for {asked[0]} is asked while another is loaded" in str(error)
    client.tasks.text_classification("a")
    assert "entailment" in client.tasks.call("own", "a")


async def _run(loaded: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
    return inputs


async def _aload(parts: LocalParts) -> Any:
    return parts


def _pieces(loaded: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
    yield inputs


@pytest.mark.parametrize(("load", "run"), [(_load, _run), (_aload, _run), (_load, _pieces)])
def test_functions_that_return_no_answer_are_refused(load: Any, run: Any) -> None:
    with pytest.raises(InvalidSettingError, match="LocalTask must be a plain function"):
        LocalTask("folder", load, run)
