"""The parts of one model, loaded from its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared_core.local.failures import LocalModelError
from shared_core.local.torch.loading import library


def settings_in(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a model, an empty one where there is none.

    Args:
        path: The file; what is wrong with it, a library says when it reads it.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class LocalParts:
    """Loads the parts of one model from its folder, in transformers or another library.

    Nothing is asked of the Hub, weights are taken in safetensors only, and the settings of
    ``LocalModels`` (device, type of weights, ``trust_remote_code``) hold.

    Attributes:
        folder: Where the model is.
        device: To compute on, e.g. ``"cuda:0"``; None is the library's own choice.
        reading: Keywords for whatever ``from_pretrained`` reads from the folder.
        weights: Further keywords for the weights.
    """

    folder: Path
    device: str | None
    reading: Mapping[str, Any]
    weights: Mapping[str, Any]

    @property
    def transformers(self) -> Any:
        """The library.

        Raises:
            ImportError: It is not installed; names the command.
        """
        return library("transformers")

    def load(self, kind: str, **options: Any) -> Any:
        """Return a tokenizer or another part without weights.

        Args:
            kind: Name of a class of transformers, e.g. ``"AutoTokenizer"``.
            **options: For its ``from_pretrained``.
        """
        reading = {**self.reading, **options}
        return getattr(self.transformers, kind).from_pretrained(self.folder, **reading)

    def model(self, kind: str, **options: Any) -> Any:
        """Return the model itself, on the CPU, set to compute and not to learn.

        Args:
            kind: Name of a class of transformers, e.g. ``"AutoModelForMaskedLM"``.
            **options: For its ``from_pretrained``.
        """
        found = getattr(self.transformers, kind)
        reading = {**self.reading, **self.weights, **options}
        return found.from_pretrained(self.folder, **reading).eval()

    def moved(self, model: Any) -> Any:
        """Return *model* on the device that was asked for."""
        return model if self.device is None else model.to(self.device)

    def pipeline(self, task: str, **options: Any) -> Any:
        """Return the pipeline of transformers for *task*.

        Args:
            task: Its name.
            **options: Parts that are loaded already, e.g. ``model=``; else those of the folder.

        Raises:
            LocalModelError: The folder has an adapter only.
        """
        if "model" not in options:
            self._refuse_adapter()
            options = {
                "model": str(self.folder),  # a folder, so nothing is asked of the Hub
                "trust_remote_code": self.reading.get("trust_remote_code"),
                "model_kwargs": dict(self.weights),
                **options,
            }
        return self.transformers.pipeline(task, device=self.device, **options)

    def encoder(self, kind: str) -> Any:
        """Return a model of sentence-transformers, on its device.

        Args:
            kind: Name of a class of that library, e.g. ``"SentenceTransformer"``.

        Raises:
            ImportError: It is not installed; names the command.
        """
        found = getattr(library("sentence_transformers"), kind)
        weights = dict(self.weights)
        return found(str(self.folder), device=self.device, model_kwargs=weights, **self.reading)

    def _refuse_adapter(self) -> None:
        if (self.folder / "adapter_config.json").exists():
            raise LocalModelError(
                f"{self.folder} is an adapter, whose own model would be downloaded.",
                guidance="Merge it into its model (merge_and_unload of peft), and save that.",
            )
