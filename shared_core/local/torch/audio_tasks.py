"""Tasks about sound by pipelines of transformers."""

from __future__ import annotations

from typing import Any

from shared_core.local.torch.parts import LocalParts
from shared_core.local.torch.sound import samples
from shared_core.local.torch.task_model import TaskModel, check_known

RECOGNITION = "automatic-speech-recognition"
_PARAMETERS: dict[str, tuple[str, ...]] = {
    "audio-classification": ("function_to_apply", "top_k"),
    RECOGNITION: ("return_timestamps", "generation_parameters"),
}
_CLASSES = 5
"""Classes of an answer, when the call does not say: as hf-inference answers."""


class AudioTask(TaskModel):
    """A model that is given the bytes of a recording; see :mod:`~shared_core.local.torch.sound`."""

    def _load(self, parts: LocalParts) -> None:
        self._extractor = parts.load("AutoFeatureExtractor")
        others = {"feature_extractor": self._extractor}
        self._known = _PARAMETERS[self._task]
        if self._task == RECOGNITION:
            others["tokenizer"] = parts.load("AutoTokenizer")
            letters = type(parts.load("AutoConfig")) in parts.transformers.MODEL_FOR_CTC_MAPPING
            kind = "AutoModelForCTC" if letters else "AutoModelForSpeechSeq2Seq"
            if letters:  # such a model generates nothing
                self._known = ("return_timestamps",)
        else:
            kind = "AutoModelForAudioClassification"
        self._model = parts.model(kind)
        self._run = parts.pipeline(self._task, model=self._model, **others)

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, self._known)
        sound = samples(inputs, self._extractor.sampling_rate)
        if self._task != RECOGNITION:
            return self._run(sound, **{"top_k": _CLASSES, **parameters})
        if "generation_parameters" in parameters:
            parameters["generate_kwargs"] = parameters.pop("generation_parameters")
        if parameters.get("return_timestamps") is False:
            del parameters["return_timestamps"]  # of which CTC knows only "word" and "char"
        return self._run(sound, **parameters)
