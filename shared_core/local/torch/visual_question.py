"""Answers to questions about images: transformers 5 has the models, and no pipeline any more."""

from __future__ import annotations

from typing import Any

from shared_core.local.embedder import too_long
from shared_core.local.failures import LocalModelError
from shared_core.local.torch.image_model import ImageModel
from shared_core.local.torch.loading import library
from shared_core.local.torch.parts import LocalParts
from shared_core.local.torch.pictures import picture
from shared_core.local.torch.task_model import check_known, longest_input

_ANSWERS = 5
"""Answers of a model that knows a fixed set of them, when the call does not say."""
_LONGEST = 20
"""New tokens of an answer that is written: the library's default."""


class VisualQuestion(ImageModel):
    """Chooses among the answers that it knows (ViLT), or writes one (BLIP)."""

    def _load(self, parts: LocalParts) -> None:
        kind = parts.load("AutoConfig").model_type
        if kind == "blip-2":
            raise LocalModelError(
                f"{parts.folder} is a BLIP-2, which wants a prompt and no bare question.",
                guidance="Choose a ViLT or a BLIP that was made for visual-question-answering.",
            )
        self._model = parts.moved(parts.model("AutoModelForVisualQuestionAnswering"))
        self._processor = parts.load("AutoProcessor")
        self._writes = kind == "blip"

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, () if self._writes else ("top_k",))
        self._check_length(inputs["question"])
        encoded = self._placed(
            self._processor(
                images=picture(inputs["image"]), text=inputs["question"], return_tensors="pt"
            )
        )
        with library("torch").inference_mode():
            if self._writes:
                made = self._model.generate(**encoded, max_new_tokens=_LONGEST)
                text = self._processor.tokenizer.decode(made[0], skip_special_tokens=True)
                return [{"answer": text}]
            chances = self._model(**encoded).logits[0].float().sigmoid()
        best = chances.topk(min(parameters.get("top_k", _ANSWERS), len(chances)))
        names = self._model.config.id2label
        return [
            {"score": score, "answer": names[at]}
            for score, at in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def _check_length(self, question: str) -> None:
        tokenizer = self._processor.tokenizer
        config = getattr(self._model.config, "text_config", self._model.config)
        limit = min(longest_input(tokenizer, self._model), config.max_position_embeddings)
        count = len(tokenizer(question, truncation=False, verbose=False)["input_ids"])
        if count > limit:
            raise too_long(count, limit)
