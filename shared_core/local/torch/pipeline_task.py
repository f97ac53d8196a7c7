"""Runs any task that transformers has a pipeline for, and that has no runner of its own."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from shared_core.errors import UnsupportedFeatureError
from shared_core.local.failures import LocalModelError
from shared_core.local.torch.pictures import picture
from shared_core.local.torch.sound import samples
from shared_core.local.torch.task_model import TaskModel, check_known
from shared_core.media.output import Media

if TYPE_CHECKING:
    from shared_core.local.torch.parts import LocalParts

_FILE_FIELDS = (
    *("image", "images", "audio", "audios", "video", "videos"),
    *("image_url", "audio_url", "video_url", "url", "path", "base64", "assets"),
)
"""Fields of an input that pipelines take for a file, also in messages of a chat."""
_STAGES = ("preprocess", "_forward", "postprocess")


class PipelineTask(TaskModel):
    """A pipeline of transformers, asked with the JSON value of the request.

    Files in it become images and sound in memory. A pipeline that reads files is given no text in
    their place: it would open a path or an address.
    """

    def _load(self, parts: LocalParts) -> None:
        try:
            self._run = parts.pipeline(self._task)
        except KeyError as error:
            raise LocalModelError(
                f"transformers has no pipeline for {self._task}: {error.args[0]}",
                guidance="Name one that it has, or say how the model is run: "
                "LocalModels(tasks={...: LocalTask(source, load, run)}).",
            ) from None
        self._model = self._run.model
        extractor = self._run.feature_extractor
        extractor = extractor or getattr(self._run.processor, "feature_extractor", None)
        self._rate: int | None = getattr(extractor, "sampling_rate", None)
        self._known = _parameters(self._run)
        self._reads_files = bool(
            self._run.image_processor or self._run.feature_extractor or self._run.processor
        )

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, self._known)
        return self._run(self._opened(inputs, file=self._reads_files), **parameters)

    def _opened(self, value: Any, *, file: bool) -> Any:
        """Return *value* with its files opened; *file* says that a text here would be one."""
        if isinstance(value, Media):
            return self._file(value)
        if isinstance(value, dict):
            return {
                name: self._opened(item, file=self._reads_files and name in _FILE_FIELDS)
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self._opened(item, file=file) for item in value]
        if file and isinstance(value, str):
            raise UnsupportedFeatureError(
                f"{self._task} reads files, and none is opened from a path or an address.",
                status_code=400,
                code="unsupported_in_local_mode",
                param="inputs",
                guidance="Pass the file itself: client.tasks.call(..., file=PATH), or a data URL "
                "in inputs.",
            )
        return value

    def _file(self, media: Media) -> Any:
        kind = media.media_type.partition("/")[0]
        if kind == "image":
            return picture(media.content)
        if kind == "audio" and self._rate is not None:
            return samples(media.content, self._rate)
        raise ValueError(f"a file of type {media.media_type} cannot be given to this model")


def _parameters(pipeline: Any) -> list[str]:
    """Return the parameters that have an effect: others a pipeline leaves out in silence.

    They are those that it names when it sorts them to its stages or, where it takes any there,
    those that the stages name, after what one stage hands to the next.
    """
    found = inspect.signature(pipeline._sanitize_parameters).parameters.values()
    named = [each.name for each in found if each.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(named) == len(found):
        return named
    for stage in _STAGES:
        _, *rest = inspect.signature(getattr(pipeline, stage)).parameters.values()
        named += [each.name for each in rest if each.kind is not inspect.Parameter.VAR_KEYWORD]
    return named
