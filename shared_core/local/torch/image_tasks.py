"""Tasks about images by pipelines of transformers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.local.failures import INSTALL_MEDIA, missing_extra
from shared_core.local.torch.task_model import Parts, TaskModel, check_known

if TYPE_CHECKING:
    from shared_core.local.models import LocalModels

_CLASSES = {
    "image-classification": "AutoModelForImageClassification",
    "zero-shot-image-classification": "AutoModelForZeroShotImageClassification",
    "object-detection": "AutoModelForObjectDetection",
}
_PARAMETERS = {
    "image-classification": ("function_to_apply", "top_k"),
    "zero-shot-image-classification": ("candidate_labels", "hypothesis_template"),
    "object-detection": ("threshold",),
}
"""What a pipeline does not know it leaves out in silence."""


class ImageTask(TaskModel):
    """A model that is given the bytes of an image, in any format that Pillow reads."""

    def __init__(self, task: str, folder: Path, models: LocalModels) -> None:
        _pillow()  # before anything is loaded
        super().__init__(task, folder, models)

    def _load(self, parts: Parts) -> None:
        self._model = parts.model(_CLASSES[self._task])
        others = {"image_processor": parts.load("AutoImageProcessor")}
        if self._task == "zero-shot-image-classification":
            others["tokenizer"] = parts.load("AutoTokenizer")
        self._run = parts.pipeline(self._task, model=self._model, **others)

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, _PARAMETERS[self._task])
        return self._run(_image(inputs), **parameters)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as exc:
        raise missing_extra(exc, INSTALL_MEDIA) from None
    return Image


def _image(content: bytes) -> Any:
    """Return the image, decoded.

    Raises:
        ValueError: It is none that Pillow can read.
    """
    pillow = _pillow()
    try:
        image = pillow.open(io.BytesIO(content))
        image.load()
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise ValueError(
            f"the image cannot be read by Pillow ({len(content)} bytes): {type(error).__name__}"
        ) from None
    return image
