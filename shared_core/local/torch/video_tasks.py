"""Says what videos show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.local.torch.image_model import ImageModel
from shared_core.local.torch.loading import library
from shared_core.local.torch.parts import LocalParts
from shared_core.local.torch.task_model import check_known
from shared_core.local.torch.videos import av, frames

if TYPE_CHECKING:
    from shared_core.local.models import LocalModels

_CLASSES = 5
"""Classes of an answer, when the call does not say: the parameter's default."""
_PARAMETERS = ("frame_sampling_rate", "function_to_apply", "num_frames", "top_k")
_FUNCTIONS = {"regression": "none", "multi_label_classification": "sigmoid"}
"""Kind of problem -> what makes scores of the model's numbers; softmax elsewhere."""


class VideoClassification(ImageModel):
    """A model of single frames: VideoMAE, TimeSformer or ViViT.

    The pipeline of transformers opens paths and addresses; here the frames of the bytes are read.
    """

    def __init__(self, task: str, folder: Path, models: LocalModels) -> None:
        av()  # before anything is loaded
        super().__init__(task, folder, models)

    def _load(self, parts: LocalParts) -> None:
        self._model = parts.moved(parts.model("AutoModelForVideoClassification"))
        self._processor = parts.load("AutoImageProcessor")

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, _PARAMETERS)
        config = self._model.config
        function = parameters.get("function_to_apply") or _FUNCTIONS.get(
            config.problem_type, "softmax"
        )
        if function not in ("softmax", "sigmoid", "none"):
            raise ValueError(f"function_to_apply must be softmax, sigmoid or none: {function!r}")
        numbers = self._numbers(
            inputs,
            parameters.get("num_frames", config.num_frames),
            parameters.get("frame_sampling_rate", 1),
        )
        if function == "softmax":
            numbers = numbers.softmax(-1)
        elif function == "sigmoid":
            numbers = numbers.sigmoid()
        best = numbers.topk(min(parameters.get("top_k", _CLASSES), len(numbers)))
        return [
            {"score": score, "label": config.id2label[at]}
            for score, at in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def _numbers(self, content: bytes, count: int, every: int) -> Any:
        taken = self._processor(frames(content, count, every), return_tensors="pt")
        try:
            with library("torch").inference_mode():
                return self._model(**self._placed(taken)).logits[0].float()
        except RuntimeError as error:
            if count == self._model.config.num_frames:
                raise
            raise ValueError(
                f"the model takes {self._model.config.num_frames} frames, not {count}"
            ) from error
