"""Tasks about text by models of transformers, in the shapes of hf-inference."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.errors import BadRequestError
from shared_core.local.embedder import too_long
from shared_core.local.torch.loading import computing, library, loading, prepare

if TYPE_CHECKING:
    from shared_core.local.models import LocalModels

_CLASSES = {
    "text-classification": "AutoModelForSequenceClassification",
    "zero-shot-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "fill-mask": "AutoModelForMaskedLM",
    "summarization": "AutoModelForSeq2SeqLM",
    "translation": "AutoModelForSeq2SeqLM",
    "text2text-generation": "AutoModelForSeq2SeqLM",
}
_WRITES = {
    "summarization": "summary_text",
    "translation": "translation_text",
    "text2text-generation": "generated_text",
}
"""Tasks that transformers 5 has no pipeline for -> the field of their answer."""


class TaskModel:
    """A loaded model of one task. One call computes at a time.

    Args:
        task: Task id.
        folder: Where the model is.
        models: Device, type of weights, whether its own code may run.

    Raises:
        ImportError: transformers is not installed; names the command.
        LocalModelError: The folder or the device cannot be used.
    """

    def __init__(self, task: str, folder: Path, models: LocalModels) -> None:
        self._task = task
        transformers, device, own, weights = prepare("transformers", folder, models)
        with loading(folder, "transformers"):
            kind = getattr(transformers, _CLASSES[task])
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **own)
            self._model = kind.from_pretrained(folder, **own, **weights).eval()
            if task in _WRITES:
                self._run: Callable[..., Any] = self._write
                if device is not None:
                    self._model = self._model.to(device)
            else:
                self._run = transformers.pipeline(
                    task, model=self._model, tokenizer=self._tokenizer, device=device
                )
        self._lock = threading.Lock()
        own_error = transformers.pipelines.PipelineException  # e.g. a text without a mask
        self._refusals = (ValueError, TypeError, KeyError, own_error)

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._model.device)

    def run(self, text: str, parameters: Mapping[str, Any]) -> Any:
        """Return the answer in hf-inference's form.

        Args:
            text: The input.
            parameters: Those of the task.

        Raises:
            ContextLengthError: The text is too long for the model.
            BadRequestError: The model cannot do it with this text and these parameters.
            InternalServerError: The model failed, e.g. for want of memory.
        """
        given = dict(parameters)
        if self._task == "text-classification":
            given.setdefault("top_k", None)  # all classes, as hf-inference answers
        with self._lock, computing("transformers"):
            if not given.get("truncation") and not given.get("stride"):
                self._check_length(text)
            try:
                return _plain(self._run(text, **given))
            except self._refusals as exc:
                raise BadRequestError(
                    f"{self._task} cannot be done with these arguments: {exc}", status_code=400
                ) from exc

    def _check_length(self, text: str) -> None:
        limit = self._tokenizer.model_max_length  # a huge number where it is not known
        limit = min(limit, getattr(self._model.config, "max_position_embeddings", None) or limit)
        count = len(self._tokenizer(text, truncation=False, verbose=False)["input_ids"])
        if count > limit:
            raise too_long(count, limit)

    def _write(
        self,
        text: str,
        *,
        truncation: Any = False,
        clean_up_tokenization_spaces: bool = False,
        generate_parameters: Mapping[str, Any] | None = None,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
    ) -> list[dict[str, str]]:
        """Turn *text* into another, for tasks that have no pipeline any more."""
        torch = library("torch")
        tokenizer, wanted = self._tokenizer, dict(generate_parameters or {})
        if tgt_lang is not None:
            if not hasattr(tokenizer, "src_lang"):
                raise ValueError("the model translates between two fixed languages")
            tokenizer.src_lang = src_lang
            wanted["forced_bos_token_id"] = tokenizer.convert_tokens_to_ids(tgt_lang)
        cut = {"truncation": truncation} if truncation else {}
        inputs = tokenizer(text, return_tensors="pt", **cut).to(self._model.device)
        inputs.pop("token_type_ids", None)  # of BERT's tokenizers; no such model reads them
        with torch.inference_mode():
            made = self._model.generate(**inputs, **wanted)
        written = tokenizer.decode(
            made[0],
            skip_special_tokens=True,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
        )
        return [{_WRITES[self._task]: written}]


def _plain(value: Any) -> Any:
    """Return *value* with Python's numbers in place of NumPy's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
