"""Tasks that say something about every pixel of an image, or make more of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from shared_core.errors import UnsupportedFeatureError
from shared_core.local.failures import LocalModelError
from shared_core.local.torch.image_model import ImageModel
from shared_core.local.torch.loading import library
from shared_core.local.torch.parts import LocalParts
from shared_core.local.torch.pictures import picture, pillow
from shared_core.local.torch.task_model import check_known

_SEGMENTING = (
    "AutoModelForSemanticSegmentation",
    "AutoModelForUniversalSegmentation",
    "AutoModelForInstanceSegmentation",
)
_SUBTASKS = ("panoptic", "instance", "semantic")
"""The first that a model can do is done where the call names none."""
_THRESHOLDS = ("threshold", "mask_threshold", "overlap_mask_area_threshold")


class Segmentation(ImageModel):
    """Divides images into parts, by the pipeline of transformers."""

    def _load(self, parts: LocalParts) -> None:
        config = parts.load("AutoConfig")
        if config.model_type == "oneformer":
            raise LocalModelError(
                f"{parts.folder} is a OneFormer, which fetches a further file from the Hub when "
                "it is loaded.",
                guidance="Choose another model, such as a Mask2Former.",
            )
        found = [
            kind
            for kind in _SEGMENTING
            if type(config) in getattr(parts.transformers, kind)._model_mapping
        ]
        # Without one, the library's error lists the models that it knows.
        self._model = parts.model((found or _SEGMENTING)[0])
        processor = parts.load("AutoImageProcessor")
        self._subtasks = [
            name for name in _SUBTASKS if hasattr(processor, f"post_process_{name}_segmentation")
        ]
        self._run = parts.pipeline(self._task, model=self._model, image_processor=processor)

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        subtask = parameters.setdefault("subtask", self._subtasks[0])
        if subtask not in self._subtasks:
            raise UnsupportedFeatureError(
                f"The model does not do {subtask} segmentation.",
                status_code=400,
                code="unsupported_in_local_mode",
                param="subtask",
                guidance=f"It does {' and '.join(self._subtasks)}.",
            )
        check_known(f"{subtask} segmentation", parameters, ("subtask", *self._thresholds(subtask)))
        return self._run(picture(inputs), **parameters)

    def _thresholds(self, subtask: str) -> Collection[str]:
        """Return the thresholds that the library looks at."""
        if subtask == "semantic":
            return ()
        # Only a DETR's single objects are put into one picture, as in panoptic segmentation.
        whole = subtask == "panoptic" or self._model.config.model_type == "detr"
        return _THRESHOLDS if whole else _THRESHOLDS[:1]


class DepthEstimation(ImageModel):
    """Says how far each pixel of an image is.

    As the pipeline of transformers does it, which knows neither bfloat16 nor an even depth.
    """

    def _load(self, parts: LocalParts) -> None:
        self._model = parts.moved(parts.model("AutoModelForDepthEstimation"))
        self._processor = parts.load("AutoImageProcessor")

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, ())
        image = picture(inputs)
        pixels = self._placed(self._processor(images=image, return_tensors="pt"))
        with library("torch").inference_mode():
            made = self._model(**pixels)
            made.predicted_depth = made.predicted_depth.float()
            # By place: it is the size of the source for one processor, of the target for others.
            found = self._processor.post_process_depth_estimation(
                made, [(image.height, image.width)]
            )[0]["predicted_depth"]
            span = found.max() - found.min()
            grey = (found - found.min()) / span if span else found * 0
        shades = (grey.cpu().numpy() * 255).astype("uint8")
        return {"predicted_depth": found, "depth": pillow().fromarray(shades)}


class SuperResolution(ImageModel):
    """Makes images larger; the library has the model, and no pipeline any more.

    What the processor adds at the right and below, so that windows fit, is cut off again.
    """

    def _load(self, parts: LocalParts) -> None:
        if (parts.folder / "model_index.json").exists():
            raise LocalModelError(
                f"{parts.folder} is a diffusion model, which transformers does not run.",
                guidance="Say how it is run: LocalModels(tasks={'image-to-image': "
                "LocalTask(source, load, run)}).",
            )
        self._model = parts.moved(parts.model("AutoModelForImageToImage"))
        self._processor = parts.load("AutoImageProcessor")

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, ())
        image = picture(inputs)
        pixels = self._placed(self._processor(images=image, return_tensors="pt"))
        with library("torch").inference_mode():
            made = self._model(**pixels).reconstruction[0].float().clamp(0, 1)
        factor = made.shape[-1] // pixels["pixel_values"].shape[-1]
        made = made[:, : image.height * factor, : image.width * factor]
        numbers = (made * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return pillow().fromarray(numbers)
