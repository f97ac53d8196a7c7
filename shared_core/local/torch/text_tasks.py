"""Tasks about text by models of transformers, in the shapes of hf-inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared_core.local.embedder import too_long
from shared_core.local.torch.loading import library
from shared_core.local.torch.parts import LocalParts
from shared_core.local.torch.task_model import TaskModel, check_known, longest_input

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

_WRITING = ("clean_up_tokenization_spaces", "generate_parameters", "truncation")
_PARAMETERS = {
    "text-classification": ("function_to_apply", "max_length", "top_k", "truncation"),
    "zero-shot-classification": ("candidate_labels", "hypothesis_template", "multi_label"),
    "token-classification": ("aggregation_strategy", "ignore_labels", "stride"),
    "fill-mask": ("targets", "tokenizer_kwargs", "top_k"),
    "summarization": _WRITING,
    "translation": (*_WRITING, "src_lang", "tgt_lang"),
    "text2text-generation": _WRITING,
}
"""Of what it does not know a pipeline leaves out some in silence."""


class TextTask(TaskModel):
    """A model that is given one text."""

    def _load(self, parts: LocalParts) -> None:
        self._tokenizer = parts.load("AutoTokenizer")
        self._model = parts.model(_CLASSES[self._task])
        if self._task in _WRITES:
            self._run: Callable[..., Any] = self._write
            self._model = parts.moved(self._model)
        else:
            self._run = parts.pipeline(self._task, model=self._model, tokenizer=self._tokenizer)

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, _PARAMETERS[self._task])
        if self._task == "text-classification":
            parameters.setdefault("top_k", None)  # all classes, as hf-inference answers
        if not parameters.get("truncation") and not parameters.get("stride"):
            self._check_length(inputs)
        return self._run(inputs, **parameters)

    def _check_length(self, text: str) -> None:
        limit = longest_input(self._tokenizer, self._model)
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
