"""What every model of a task has in common: how it is loaded, and how it is asked."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.errors import BadRequestError, UnsupportedFeatureError
from shared_core.local.torch.loading import computing, loading, prepare

if TYPE_CHECKING:
    from shared_core.local.models import LocalModels


@dataclass(frozen=True, slots=True)
class Parts:
    """Loads the parts of one model from its folder.

    Attributes:
        transformers: The library.
        folder: Where the model is.
        device: To compute on; None is the library's own choice.
        reading: Keywords for whatever is read from the folder.
        weights: Further keywords for the weights.
    """

    transformers: Any
    folder: Path
    device: str | None
    reading: Mapping[str, Any]
    weights: Mapping[str, Any]

    def load(self, kind: str) -> Any:
        """Return a tokenizer or another part without weights, e.g. ``"AutoTokenizer"``."""
        return getattr(self.transformers, kind).from_pretrained(self.folder, **self.reading)

    def model(self, kind: str) -> Any:
        """Return the model itself, on the CPU, e.g. ``"AutoModelForMaskedLM"``."""
        found = getattr(self.transformers, kind)
        return found.from_pretrained(self.folder, **self.reading, **self.weights).eval()

    def moved(self, model: Any) -> Any:
        """Return *model* on the device that was asked for."""
        return model if self.device is None else model.to(self.device)

    def pipeline(self, task: str, **parts: Any) -> Any:
        """Return the library's pipeline of *task* with these parts."""
        return self.transformers.pipeline(task, device=self.device, **parts)


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

    _model: Any

    def __init__(self, task: str, folder: Path, models: LocalModels) -> None:
        self._task = task
        transformers, device, reading, weights = prepare("transformers", folder, models)
        with loading(folder, "transformers"):
            self._load(Parts(transformers, folder, device, reading, weights))
        self._lock = threading.Lock()
        own_error = transformers.pipelines.PipelineException  # e.g. a text without a mask
        self._refusals = (ValueError, TypeError, KeyError, own_error)

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._model.device)

    def run(self, inputs: Any, parameters: Mapping[str, Any]) -> Any:
        """Return the answer in hf-inference's form.

        Args:
            inputs: A text, question and context, or the bytes of a file, as the task has it.
            parameters: Those of the task.

        Raises:
            ContextLengthError: The text is too long for the model.
            UnsupportedFeatureError: A parameter is not one that works here.
            BadRequestError: The model cannot do it with this input and these parameters.
            InternalServerError: The model failed, e.g. for want of memory.
        """
        with self._lock, computing("transformers"):
            try:
                return _plain(self._answer(inputs, dict(parameters)))
            except self._refusals as exc:
                raise BadRequestError(
                    f"{self._task} cannot be done with these arguments: {exc}", status_code=400
                ) from exc

    @abstractmethod
    def _load(self, parts: Parts) -> None:
        """Load what the task needs; sets ``_model``."""

    @abstractmethod
    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        """Return the answer, with the numbers of whatever library."""


def check_known(task: str, parameters: Mapping[str, Any], known: Collection[str]) -> None:
    """Check that every parameter has an effect: libraries leave out some in silence.

    Raises:
        UnsupportedFeatureError: One has none.
    """
    for name in parameters:
        if name not in known:
            raise UnsupportedFeatureError(
                f"{task} does not know the parameter {name!r} in this process.",
                status_code=400,
                code="unsupported_in_local_mode",
                param=name,
                guidance=f"Leave it out; it knows {', '.join(sorted(known))}.",
            )


def longest_input(tokenizer: Any, model: Any) -> int:
    """Return the tokens that a model takes; a huge number where nothing says."""
    limit: int = tokenizer.model_max_length
    return min(limit, getattr(model.config, "max_position_embeddings", None) or limit)


def _plain(value: Any) -> Any:
    """Return *value* with Python's numbers in place of NumPy's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
