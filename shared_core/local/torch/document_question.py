"""Answers that stand on a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from shared_core.local.embedder import too_long
from shared_core.local.failures import LocalModelError
from shared_core.local.torch.image_model import ImageModel
from shared_core.local.torch.loading import library
from shared_core.local.torch.page_words import Words, given, read_page
from shared_core.local.torch.parts import LocalParts
from shared_core.local.torch.pictures import picture
from shared_core.local.torch.spans import LONGEST_ANSWER, best_spans
from shared_core.local.torch.task_model import check_known, longest_input

LONGEST_STRIDE = 256
"""Tokens that two pieces share, when the call does not say; at most half of a piece."""
_WRITING = "vision-encoder-decoder"


@dataclass(frozen=True, slots=True)
class _Options:
    top_k: int = 1
    doc_stride: int | None = None
    lang: str | None = None
    max_answer_len: int = LONGEST_ANSWER
    max_seq_len: int | None = None
    handle_impossible_answer: bool = False
    word_boxes: list[Any] | None = None


class DocumentQuestion(ImageModel):
    """Finds answers among the words of a page (LayoutLM, LayoutLMv3), or writes one (Donut).

    Donut is asked by the pipeline of transformers. That pipeline does not show the page to a
    LayoutLMv3; here both kinds of LayoutLM are asked directly. The score of an answer is that of
    question answering; an answer that several pieces or tokens give counts once, with its best
    score. Start and end of an answer are its first and its last word.
    """

    def _load(self, parts: LocalParts) -> None:
        self._kind = parts.load("AutoConfig").model_type
        self._tokenizer = parts.load("AutoTokenizer")
        self._processor: Any = None
        if self._kind == _WRITING:
            self._model = parts.model("AutoModelForImageTextToText")
            processor = parts.load("AutoImageProcessor")
            others = {"tokenizer": self._tokenizer, "image_processor": processor}
            self._run = parts.pipeline(self._task, model=self._model, **others)
            return
        if self._kind not in ("layoutlm", "layoutlmv3"):
            raise LocalModelError(
                f"{parts.folder} is a {self._kind}, which cannot be asked about documents here.",
                guidance="Choose a LayoutLM, a LayoutLMv3 or a Donut.",
            )
        self._model = parts.moved(parts.model("AutoModelForDocumentQuestionAnswering"))
        if self._kind == "layoutlmv3":  # the words are read apart from the model
            self._processor = parts.load("AutoImageProcessor", apply_ocr=False)

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        unread = {"lang"} if parameters.get("word_boxes") is not None else set()
        names = {option.name for option in fields(_Options)} - unread
        check_known(self._task, parameters, () if self._kind == _WRITING else names)
        image = picture(inputs["image"])
        if self._kind == _WRITING:
            found = self._run({"image": image, "question": inputs["question"]})
            return [{"answer": each["answer"] or ""} for each in found]
        options = _Options(**parameters)
        boxes = options.word_boxes
        words = given(boxes) if boxes is not None else read_page(image, options.lang)
        return self._found(image, inputs["question"], words, options) if words[0] else []

    def _found(
        self, image: Any, question: str, words: Words, options: _Options
    ) -> list[dict[str, Any]]:
        best: dict[tuple[int, int], float] = {}
        nothing = []
        for places, starts, ends in self._pieces(image, question, words, options):
            nothing.append(float(starts[0] * ends[0]))
            seen = set()
            for first, last, score in best_spans(starts[1:], ends[1:], options.max_answer_len):
                span = (places[first], places[last])
                best[span] = max(score, best.get(span, 0.0))
                seen.add(span)
                if len(seen) == options.top_k:
                    break
        found: list[dict[str, Any]] = [
            {
                "score": score,
                "answer": " ".join(words[0][start : end + 1]),
                "start": start,
                "end": end,
            }
            for (start, end), score in best.items()
        ]
        if options.handle_impossible_answer:
            found.append({"score": min(nothing), "answer": "", "start": 0, "end": 0})
        return sorted(found, key=lambda each: -each["score"])[: options.top_k]

    def _pieces(
        self, image: Any, question: str, words: Words, options: _Options
    ) -> Iterator[tuple[list[int], Any, Any]]:
        """Yield the words of the tokens, and the probabilities: of no answer, then by token."""
        torch = library("torch")
        encoded = self._encoded(
            question,
            words,
            truncation="only_second",
            return_overflowing_tokens=True,
            **self._sizes(question, options),
        )
        shown = {}
        if self._processor is not None:
            shown = self._placed(self._processor(images=image, return_tensors="pt"))
        names = [name for name in self._tokenizer.model_input_names if name in encoded]
        for at, piece in enumerate(encoded.encodings):
            inputs = {name: torch.tensor([encoded[name][at]]) for name in names}
            inputs.setdefault("bbox", torch.tensor([self._boxes(piece, words[1])]))
            with torch.inference_mode():
                made = self._model(**self._placed(inputs), **shown)
            tokens = [place for place, sequence in enumerate(piece.sequence_ids) if sequence == 1]
            allowed = [piece.ids.index(self._tokenizer.cls_token_id), *tokens]
            logits = torch.stack([made.start_logits[0, allowed], made.end_logits[0, allowed]])
            starts, ends = logits.double().softmax(-1).cpu().numpy()
            yield [piece.word_ids[token] for token in tokens], starts, ends

    def _encoded(self, question: str, words: Words, **options: Any) -> Any:
        if self._kind == "layoutlm":
            return self._tokenizer(question.split(), words[0], is_split_into_words=True, **options)
        return self._tokenizer([question], [words[0]], boxes=[words[1]], **options)

    def _boxes(self, piece: Any, boxes: list[list[int]]) -> list[list[int]]:
        """Return the box of each token for a LayoutLM, whose tokenizer knows of none."""
        separator = self._tokenizer.sep_token_id
        return [
            boxes[word] if sequence == 1 else [1000 if token == separator else 0] * 4
            for token, sequence, word in zip(
                piece.ids, piece.sequence_ids, piece.word_ids, strict=True
            )
        ]

    def _sizes(self, question: str, options: _Options) -> dict[str, int]:
        limit = longest_input(self._tokenizer, self._model)
        longest = min(limit, options.max_seq_len or limit)
        (alone,) = self._encoded(question, ([""], [[0, 0, 0, 0]]), verbose=False).encodings
        own = sum(sequence != 1 for sequence in alone.sequence_ids)
        if own >= longest:
            raise too_long(own + 1, longest)
        room = longest - own
        stride = options.doc_stride
        if stride is None:
            stride = min(LONGEST_STRIDE, longest // 2)
            stride = stride if stride < room else room // 2
        if stride >= room:
            raise ValueError(f"doc_stride={stride}, and a piece has room for {room} tokens")
        return {"max_length": longest, "stride": stride}
