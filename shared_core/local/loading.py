"""Loads models, each once per process, and keeps them."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from shared_core.local.failures import LocalModelError
from shared_core.local.hub import download, hub_url, is_hub_id
from shared_core.local.models import LocalModels, folder_of, source_of
from shared_core.local.task_table import RANKING, TaskRow

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.local.embedder import Embedder
    from shared_core.local.torch.language_model import LanguageModel
    from shared_core.local.torch.reranker import Reranker
    from shared_core.local.torch.task_model import TaskModel

T = TypeVar("T")


class _Slot:
    """Holds one model; its lock lets others be downloaded meanwhile."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.model: Any = None


_slots: dict[tuple[Any, ...], _Slot] = {}
_lock = threading.Lock()
_in_torch = threading.Lock()
"""Libraries change settings of the whole process while they load: one model at a time."""
_here = threading.local()
"""Whether this thread is loading."""


def _forget_locks() -> None:
    """In a forked child, where other threads of the parent may have held them."""
    global _lock, _in_torch
    _lock, _in_torch = threading.Lock(), threading.Lock()
    for slot in _slots.values():
        slot.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


def _once(key: tuple[Any, ...], load: Callable[[], T]) -> T:
    with _lock:
        slot = _slots.setdefault(key, _Slot())
    if slot.model is None and getattr(_here, "loading", False):
        raise LocalModelError(
            f"A model for {key[0]} is asked while another is loaded, which it would wait for.",
            guidance="Ask it in run of the LocalTask, not in load, or before load is called.",
        )
    with slot.lock:
        if slot.model is None:
            _here.loading = True
            try:
                slot.model = load()
            finally:
                _here.loading = False
        model: T = slot.model
        return model


def _key(kind: str, source: str, models: LocalModels, settings: Settings | None) -> tuple[Any, ...]:
    options = (models.device, models.dtype, models.trust_remote_code)
    if is_hub_id(source):  # by name: asking the Hub for every call would be a request each
        return (kind, source, hub_url(settings), *options)
    return (kind, Path(source).expanduser().resolve(), *options)


def _folder(source: str, models: LocalModels, settings: Settings | None) -> Path:
    if is_hub_id(source):
        return download(source, settings=settings, code=models.trust_remote_code)
    return folder_of(source).resolve()


def encoder(models: LocalModels, settings: Settings | None = None) -> Embedder:
    """Return the embedding model.

    Args:
        models: Which one, and what runs it.
        settings: Of the client: the Hub's address and the token for it.

    Raises:
        LocalModelError: It was not found or cannot be used.
        ImportError: An optional dependency is missing; names the install command.
        APIError: The Hub refused to hand it over.
    """
    source = str(models.embeddings or models.find())
    key = _key(models.backend, source, models, settings)

    def load() -> Embedder:
        folder = _folder(source, models, settings)
        if models.backend == "numpy":
            from shared_core.local.bert import Encoder

            return Encoder.load(folder)
        with _in_torch:
            from shared_core.local.torch.sentence_encoder import SentenceEncoder

            return SentenceEncoder(folder, models)

    return _once(key, load)


def language_model(
    models: LocalModels, source: str, settings: Settings | None = None
) -> LanguageModel:
    """Return the language model *source*; arguments and errors as for :func:`encoder`."""

    def load() -> LanguageModel:
        folder = _folder(source, models, settings)
        with _in_torch:
            from shared_core.local.torch.kinds import load_language_model

            return load_language_model(folder, models)

    return _once(_key("chat", source, models, settings), load)


def reranker(models: LocalModels, settings: Settings | None = None) -> Reranker:
    """Return the model of text-ranking; arguments and errors as for :func:`encoder`."""
    source = source_of(models.tasks[RANKING])

    def load() -> Reranker:
        folder = _folder(source, models, settings)
        with _in_torch:
            from shared_core.local.torch.reranker import Reranker

            return Reranker(folder, models)

    return _once(_key(RANKING, source, models, settings), load)


def task_model(
    models: LocalModels, task: str, row: TaskRow, settings: Settings | None = None
) -> TaskModel:
    """Return the model of *task*, run as *row* says; the rest as for :func:`encoder`."""
    source = source_of(models.tasks[task])

    def load() -> TaskModel:
        folder = _folder(source, models, settings)
        module, _, name = row.runner.partition(":")
        with _in_torch:
            runner: Callable[[str, Path, LocalModels], TaskModel] = getattr(
                importlib.import_module(f"shared_core.local.torch.{module}"), name
            )
            return runner(task, folder, models)

    # A task of the caller's own is another one with other functions.
    return _once((*_key(task, source, models, settings), models.tasks[task]), load)
