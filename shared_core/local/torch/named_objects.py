"""Finds what is named in an image."""

from __future__ import annotations

from typing import Any

from shared_core.local.failures import LocalModelError
from shared_core.local.torch.image_model import ImageModel
from shared_core.local.torch.parts import LocalParts
from shared_core.local.torch.pictures import picture
from shared_core.local.torch.task_model import check_known

_GROUNDING = ("grounding-dino", "mm-grounding-dino")


class NamedObjects(ImageModel):
    """Looks for each label by itself, by the pipeline of transformers."""

    def _load(self, parts: LocalParts) -> None:
        kind = parts.load("AutoConfig").model_type
        if kind == "omdet-turbo":
            raise LocalModelError(
                f"{parts.folder} is an OmDet-Turbo, which needs torchvision.",
                guidance="Choose an OWL-ViT, OWLv2 or Grounding DINO.",
            )
        self._grounding = kind in _GROUNDING
        self._model = parts.model("AutoModelForZeroShotObjectDetection")
        others = {
            "image_processor": parts.load("AutoImageProcessor"),
            "tokenizer": parts.load("AutoTokenizer"),
        }
        self._run = parts.pipeline(self._task, model=self._model, **others)

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, ("candidate_labels", "threshold", "top_k"))
        labels = parameters.pop("candidate_labels", None)
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ValueError("candidate_labels must be a list of texts")
        texts = {self._text(label): label for label in labels}
        found = self._run(picture(inputs), candidate_labels=list(texts), **parameters)
        return [{**each, "label": texts[each["label"]]} for each in found]

    def _text(self, label: str) -> str:
        """Return *label* as the model was taught: Grounding DINO in small letters, with a dot."""
        return label.strip().lower().removesuffix(".") + "." if self._grounding else label
