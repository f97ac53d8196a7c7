"""Vectors of images: one by sentence-transformers, or what the pipeline of transformers gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared_core.local.torch.pictures import picture
from shared_core.local.torch.pipeline_task import PipelineTask
from shared_core.local.torch.task_model import TaskModel, check_known
from shared_core.media.output import Media

if TYPE_CHECKING:
    from pathlib import Path

    from shared_core.local.models import LocalModels
    from shared_core.local.torch.parts import LocalParts


def image_vectors(task: str, folder: Path, models: LocalModels) -> TaskModel:
    """Return what runs a model: a folder of sentence-transformers has ``modules.json``.

    Args:
        task: Task id.
        folder: Where the model is.
        models: Device, type of weights, whether the model's own code may run.
    """
    own = (folder / "modules.json").is_file()
    return (ImageVectors if own else PipelineTask)(task, folder, models)


class ImageVectors(TaskModel):
    """A model of images and texts, e.g. a CLIP: one vector per image, among those of texts."""

    library = "sentence_transformers"

    def _load(self, parts: LocalParts) -> None:
        self._model = parts.encoder("SentenceTransformer")

    def _refusals(self) -> tuple[type[Exception], ...]:
        return (ValueError, TypeError)

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, ())
        images = inputs if isinstance(inputs, list) else [inputs]
        if not images or not all(isinstance(image, Media) for image in images):
            raise ValueError("the input is no image: pass the file itself")
        vectors = self._model.encode(
            [picture(image.content) for image in images], show_progress_bar=False
        )
        return vectors if isinstance(inputs, list) else vectors[0]
