"""Answers that stand in a text: transformers 5 has the models, and no pipeline any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from shared_core.local.embedder import too_long
from shared_core.local.failures import LocalModelError
from shared_core.local.torch.loading import library
from shared_core.local.torch.parts import LocalParts
from shared_core.local.torch.spans import LONGEST_ANSWER, best_spans
from shared_core.local.torch.task_model import TaskModel, check_known, longest_input

LONGEST_PIECE = 384
"""Tokens of a piece with its question, when neither model nor call says less (SQuAD's custom)."""
LONGEST_STRIDE = 128
"""Tokens that two pieces share, when the call does not say; at most half of a piece."""


@dataclass(frozen=True, slots=True)
class _Options:
    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int = LONGEST_ANSWER
    max_seq_len: int | None = None
    handle_impossible_answer: bool = False
    align_to_words: bool = True


class QuestionAnswering(TaskModel):
    """Finds the spans of a context that answer a question.

    The score of a span is the probability that it begins at its first token, times the one that
    it ends at its last. Both are spread over the tokens of the context and the token of the class,
    which stands for "no answer"; each piece of a long context by itself. A span that several
    pieces or pairs of tokens give counts once, with its best score.
    """

    def _load(self, parts: LocalParts) -> None:
        self._tokenizer = parts.load("AutoTokenizer")
        self._model = parts.moved(parts.model("AutoModelForQuestionAnswering"))
        if not self._tokenizer.is_fast:
            raise LocalModelError(
                f"The tokenizer of {parts.folder} does not say where its tokens stand in the text.",
                guidance="Choose a model with tokenizer.json.",
            )

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, [known.name for known in fields(_Options)])
        options = _Options(**parameters)
        context = inputs["context"]
        best: dict[tuple[int, int], float] = {}
        nothing = []
        for piece, starts, ends in self._pieces(inputs["question"], context, options):
            nothing.append(float(starts[0] * ends[0]))
            for span, score in _spans(piece, starts[1:], ends[1:], options):
                best[span] = max(score, best.get(span, 0.0))
        found = [
            {"score": score, "start": start, "end": end, "answer": context[start:end]}
            for (start, end), score in best.items()
        ]
        if options.handle_impossible_answer:
            found.append({"score": min(nothing), "start": 0, "end": 0, "answer": ""})
        found = sorted(found, key=lambda each: -each["score"])[: options.top_k]
        return found[0] if options.top_k == 1 and found else found

    def _pieces(
        self, question: str, context: str, options: _Options
    ) -> Iterator[tuple[Any, Any, Any]]:
        """Yield pieces with the probabilities of start and end: of no answer, then by token."""
        torch = library("torch")
        encoded = self._tokenizer(
            question,
            context,
            truncation="only_second",
            return_overflowing_tokens=True,
            **self._sizes(question, options),
        )
        names = [name for name in self._tokenizer.model_input_names if name in encoded]
        for at, piece in enumerate(encoded.encodings):
            rows = {name: torch.tensor([encoded[name][at]]) for name in names}
            inputs = {name: row.to(self._model.device) for name, row in rows.items()}
            with torch.inference_mode():
                made = self._model(**inputs)
            allowed = [self._no_answer(piece.ids), *_context(piece)]
            logits = torch.stack([made.start_logits[0, allowed], made.end_logits[0, allowed]])
            starts, ends = logits.double().softmax(-1).cpu().numpy()
            yield piece, starts, ends

    def _sizes(self, question: str, options: _Options) -> dict[str, int]:
        limit = longest_input(self._tokenizer, self._model)
        longest = min(limit, options.max_seq_len or LONGEST_PIECE)
        own = len(self._tokenizer(question, add_special_tokens=False, verbose=False)["input_ids"])
        own += self._tokenizer.num_special_tokens_to_add(pair=True)
        if own >= longest:
            raise too_long(own + 1, longest)
        room = longest - own
        stride = options.doc_stride
        if stride is None:
            stride = min(LONGEST_STRIDE, room // 2)
        if stride >= room:
            raise ValueError(f"doc_stride={stride}, and a piece has room for {room} tokens")
        return {"max_length": longest, "stride": stride}

    def _no_answer(self, ids: list[int]) -> int:
        cls = self._tokenizer.cls_token_id
        return ids.index(cls) if cls in ids else 0


def _context(piece: Any) -> list[int]:
    """Return the places of the tokens of the context."""
    return [at for at, sequence in enumerate(piece.sequence_ids) if sequence == 1]


def _spans(
    piece: Any, starts: Any, ends: Any, options: _Options
) -> Iterator[tuple[tuple[int, int], float]]:
    """Yield the best spans of one piece as (start, end) in characters, with their scores."""
    tokens = _context(piece)
    seen: set[tuple[int, int]] = set()
    for first, last, score in best_spans(starts, ends, options.max_answer_len):
        if len(seen) == options.top_k:
            return
        span = (
            _bounds(piece, tokens[first], options.align_to_words)[0],
            _bounds(piece, tokens[last], options.align_to_words)[1],
        )
        if span not in seen:
            seen.add(span)
            yield span, score


def _bounds(piece: Any, token: int, align: bool) -> tuple[int, int]:
    """Return where a token, or the word that it belongs to, begins and ends in the context."""
    word = piece.token_to_word(token) if align else None
    found: tuple[int, int] | None = None
    if word is not None:
        found = piece.word_to_chars(word, 1)
    return found or piece.offsets[token]
