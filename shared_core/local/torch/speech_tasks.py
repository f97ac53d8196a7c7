"""Speech, sounds and music made from a text, by the pipeline of transformers."""

from __future__ import annotations

from typing import Any

from shared_core.local.embedder import too_long
from shared_core.local.failures import LocalModelError
from shared_core.local.torch.loading import library
from shared_core.local.torch.parts import LocalParts
from shared_core.local.torch.sound import wav
from shared_core.local.torch.task_model import TaskModel, check_known

VOCODER = "vocoder"
"""Folder in that of a model that makes spectrograms: what makes sound of them."""

_SPEECHT5 = ("threshold", "minlenratio", "maxlenratio")
"""What the generation of SpeechT5 knows; it leaves out all else in silence."""
_BARK_LONGEST = 256
"""Tokens to which the pipeline cuts a text for Bark, where the model names no other number."""

_OWN_WAY = "Or say how it is run: LocalModels(tasks={...: LocalTask(source, load, run)})."


class SpeechTask(TaskModel):
    """A model that makes a recording of a text; the answer is a WAV file."""

    def _load(self, parts: LocalParts) -> None:
        config = parts.load("AutoConfig")
        known = parts.transformers
        vocoder = None
        if type(config) in known.MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING:
            vocoder = _vocoder(parts)
        elif type(config) not in known.MODEL_FOR_TEXT_TO_WAVEFORM_MAPPING:
            raise LocalModelError(
                f"{parts.folder} makes no sound of text: its type is {config.model_type!r}.",
                guidance=f"Choose a model for {self._task}. {_OWN_WAY}",
            )
        others = {} if vocoder is None else {"vocoder": vocoder}
        self._run = parts.pipeline(self._task, **others)
        self._model = self._run.model
        self._kind: str = config.model_type
        if vocoder is not None:
            vocoder.to(self._model.device)
        if not self._run.sampling_rate:
            raise LocalModelError(
                f"{parts.folder} does not say how many samples per second it makes.",
                guidance=_OWN_WAY,
            )

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, self._known())
        self._check_length(inputs)
        given = {
            "generate_kwargs": self._generation(parameters),
            "forward_params": self._speaker(parameters),
            "preprocess_params": self._voice(parameters),
        }
        made = self._run(inputs, **{name: value for name, value in given.items() if value})
        return wav(made["audio"], int(made["sampling_rate"]))

    def _known(self) -> list[str]:
        known = []
        if self._model.can_generate():
            known.append("generation_parameters")
        if self._kind == "speecht5":
            known.append("speaker_embeddings")
        if self._kind == "vits" and self._model.config.num_speakers > 1:
            known.append("speaker_id")
        if self._kind == "bark":
            known.append("voice")
        return known

    def _generation(self, parameters: dict[str, Any]) -> dict[str, Any]:
        wanted = dict(parameters.get("generation_parameters") or {})
        if self._kind == "speecht5":
            check_known(self._task, wanted, _SPEECHT5)
        return wanted

    def _speaker(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if "speaker_id" in parameters:
            return {"speaker_id": parameters["speaker_id"]}
        if self._kind != "speecht5":
            return {}
        torch = library("torch")
        count = self._model.config.speaker_embedding_dim
        found = torch.tensor(parameters.get("speaker_embeddings") or [], dtype=self._model.dtype)
        if found.numel() != count:
            raise ValueError(
                f"the model needs the {count} numbers of a speaker: "
                "extra_parameters={'speaker_embeddings': [...]}"
            )
        return {"speaker_embeddings": found.reshape(1, count)}

    def _voice(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if "voice" not in parameters:
            return {}
        # By name only: the library would read any other text as the path of a file.
        names = self._run.processor.available_voice_presets
        if parameters["voice"] not in names:
            known = ", ".join(sorted(names)) or "none"
            raise ValueError(f"there is no voice {parameters['voice']!r}; it has: {known}")
        return {"voice_preset": parameters["voice"]}

    def _check_length(self, text: str) -> None:
        special = {} if self._kind != "bark" else {"add_special_tokens": False}
        count = len(self._run.tokenizer(text, verbose=False, **special)["input_ids"])
        if not count:
            raise ValueError("the text has nothing that the model can read")
        limit = None
        if self._kind == "speecht5":
            limit = self._model.config.max_text_positions
        if self._kind == "bark":  # which cuts what is longer
            own = getattr(self._model.generation_config, "semantic_config", None)
            limit = getattr(own, "max_input_semantic_length", _BARK_LONGEST)
        if limit is not None and count > limit:
            raise too_long(count, limit)


def _vocoder(parts: LocalParts) -> Any:
    """Return the vocoder of the folder: the pipeline would fetch one that nobody named."""
    if not (parts.folder / VOCODER / "config.json").is_file():
        raise LocalModelError(
            f"{parts.folder} makes spectrograms, and has no vocoder to make sound of them.",
            guidance=f"Put one into its folder {VOCODER!r}: SpeechT5HifiGan.from_pretrained("
            f"'microsoft/speecht5_hifigan').save_pretrained(FOLDER + '/{VOCODER}'). Or load both "
            "yourself. " + _OWN_WAY,
        )
    return parts.model("SpeechT5HifiGan", subfolder=VOCODER)
