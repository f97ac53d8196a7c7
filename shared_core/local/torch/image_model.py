"""What models of images have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.local.torch.pictures import pillow
from shared_core.local.torch.task_model import TaskModel

if TYPE_CHECKING:
    from shared_core.local.models import LocalModels


class ImageModel(TaskModel):
    """A model that is given the bytes of an image, in any format that Pillow reads."""

    def __init__(self, task: str, folder: Path, models: LocalModels) -> None:
        pillow()  # before anything is loaded
        super().__init__(task, folder, models)

    def _placed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return tensors where the model computes, numbers of the type of its weights."""
        model = self._model
        return {
            name: value.to(model.device, model.dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
        }
