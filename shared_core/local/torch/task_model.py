"""What every model of a task has in common: how it is loaded, and how it is asked."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.errors import BadRequestError, UnsupportedFeatureError
from shared_core.local.torch.answers import answer
from shared_core.local.torch.loading import computing, library, loading, prepare
from shared_core.local.torch.parts import LocalParts

if TYPE_CHECKING:
    from shared_core.local.models import LocalModels


_RUN_CODE = ("custom_generate", "trust_remote_code")
"""Arguments of ``generate`` that run code from elsewhere."""


class TaskModel(ABC):
    """A loaded model of one task. One call computes at a time.

    Args:
        task: Task id.
        folder: Where the model is.
        models: Device, type of weights, whether its own code may run.

    Raises:
        ImportError: A library is not installed; names the command.
        LocalModelError: The folder or the device cannot be used.
    """

    library = "transformers"
    """What loads and runs it."""
    _model: Any

    def __init__(self, task: str, folder: Path, models: LocalModels) -> None:
        self._task = task
        _, device, reading, weights = prepare(self.library, folder, models)
        with loading(folder, self._package()):
            self._load(LocalParts(folder, device, reading, weights))
        self.turn = threading.RLock()  # a task of the caller's own may ask itself

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._model.device)

    def run(self, inputs: Any, parameters: Mapping[str, Any]) -> Any:
        """Return the answer in hf-inference's form: a JSON value, or a ``Media``.

        Args:
            inputs: A text, question and context, or the bytes of a file, as the task has it.
            parameters: Those of the task.

        Raises:
            ContextLengthError: The text is too long for the model.
            UnsupportedFeatureError: A parameter is not one that works here.
            BadRequestError: The model cannot do it with this input and these parameters.
            InternalServerError: The model failed, e.g. for want of memory.
        """
        with self.turn, computing(self._package()):
            try:
                found = self._answer(inputs, dict(parameters))
            except self._refusals() as exc:
                raise BadRequestError(
                    f"{self._task} cannot be done with these arguments: {exc}", status_code=400
                ) from exc
            return answer(found)

    def _package(self) -> str:
        return self.library.replace("_", "-")

    @abstractmethod
    def _load(self, parts: LocalParts) -> None:
        """Load what the task needs; sets ``_model``."""

    def _refusals(self) -> tuple[type[Exception], ...]:
        """Return the errors by which the library refuses an input or a parameter."""
        own = library("transformers").pipelines.PipelineException  # e.g. a text without a mask
        return (ValueError, TypeError, KeyError, own)

    @abstractmethod
    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        """Return the answer, with the numbers of whatever library."""


def check_known(task: str, parameters: Mapping[str, Any], known: Collection[str]) -> None:
    """Check that every parameter has an effect: libraries leave out some in silence.

    Raises:
        UnsupportedFeatureError: One has none, or would run code from elsewhere.
    """
    _refuse_code(task, parameters)
    for name in parameters:
        if name not in known:
            raise UnsupportedFeatureError(
                f"{task} does not know the parameter {name!r} in this process.",
                status_code=400,
                code="unsupported_in_local_mode",
                param=name,
                guidance=f"Leave it out; it knows {', '.join(sorted(known)) or 'no parameters'}.",
            )


def _refuse_code(task: str, value: Any) -> None:
    """Refuse what lets ``generate`` of transformers run code from a folder or from the Hub."""
    if isinstance(value, list):
        for item in value:
            _refuse_code(task, item)
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        if name in _RUN_CODE:
            raise UnsupportedFeatureError(
                f"{task} does not take {name} in a call: it would run code from elsewhere.",
                status_code=400,
                code="unsupported_in_local_mode",
                param=name,
                guidance="Leave it out. Code of the model itself runs with "
                "LocalModels(trust_remote_code=True).",
            )
        _refuse_code(task, item)


def longest_input(tokenizer: Any, model: Any) -> int:
    """Return the tokens that a model takes; a huge number where nothing says."""
    limit: int = tokenizer.model_max_length
    return min(limit, getattr(model.config, "max_position_embeddings", None) or limit)
