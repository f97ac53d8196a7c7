"""Tasks about images by pipelines of transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared_core.local.torch.image_model import ImageModel
from shared_core.local.torch.loading import library
from shared_core.local.torch.parts import LocalParts
from shared_core.local.torch.pictures import picture
from shared_core.local.torch.task_model import check_known

DESCRIBING = "image-to-text"
_CLASSES = {
    "image-classification": "AutoModelForImageClassification",
    "zero-shot-image-classification": "AutoModelForZeroShotImageClassification",
    "object-detection": "AutoModelForObjectDetection",
    DESCRIBING: "AutoModelForImageTextToText",
}
_PARAMETERS = {
    "image-classification": ("function_to_apply", "top_k"),
    "zero-shot-image-classification": ("candidate_labels", "hypothesis_template"),
    "object-detection": ("threshold",),
    DESCRIBING: ("max_new_tokens", "generation_parameters"),
}
"""What a pipeline does not know it leaves out in silence."""


class ImageTask(ImageModel):
    """A model that says what is in an image."""

    def _load(self, parts: LocalParts) -> None:
        self._model = parts.model(_CLASSES[self._task])
        self._processor = parts.load("AutoImageProcessor")
        if self._task == DESCRIBING:
            self._tokenizer = parts.load("AutoTokenizer")
            self._model = parts.moved(self._model)
            self._run: Callable[..., Any] = self._describe
            return
        others = {"image_processor": self._processor}
        if self._task == "zero-shot-image-classification":
            others["tokenizer"] = parts.load("AutoTokenizer")
        self._run = parts.pipeline(self._task, model=self._model, **others)

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, _PARAMETERS[self._task])
        return self._run(picture(inputs), **parameters)

    def _describe(
        self,
        image: Any,
        *,
        max_new_tokens: int | None = None,
        generation_parameters: Mapping[str, Any] | None = None,
    ) -> list[dict[str, str]]:
        """Write what *image* shows: transformers 5 has no pipeline for that any more."""
        torch = library("torch")
        wanted = dict(generation_parameters or {})
        if max_new_tokens is not None:
            wanted["max_new_tokens"] = max_new_tokens
        pixels = self._processor(images=image, return_tensors="pt")["pixel_values"]
        pixels = pixels.to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            made = self._model.generate(pixel_values=pixels, **wanted)
        return [{"generated_text": self._tokenizer.decode(made[0], skip_special_tokens=True)}]
