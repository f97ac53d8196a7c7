"""Question answering: spans of the context, with the probabilities of the library's logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need, write_random

need("torch", "transformers")

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    ContextLengthError,
    LocalModels,
    RouterClient,
    UnsupportedFeatureError,
)

QUESTION = "When does the dome open?"
CONTEXT = "The observatory's dome opens at dusk. Soup is served on Mondays."
LONG = " ".join(f"On day {day} the dome opens at {day % 12} o'clock." for day in range(40))


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("models") / "answerer", "ForQuestionAnswering")


def _client(folder: Path) -> RouterClient:
    return RouterClient(local=LocalModels(tasks={"question-answering": folder}, device="cpu"))


def _every_span(folder: Path, longest: int) -> tuple[list[tuple[float, int, int]], float]:
    """Return each span of tokens with its probability, the best first, and that of none."""
    import torch
    from transformers import AutoTokenizer, BertForQuestionAnswering

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertForQuestionAnswering.from_pretrained(folder).eval()
    encoded = tokenizer(QUESTION, CONTEXT, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        made = model(**encoded)
    places = [at for at, part in enumerate(encoded.encodings[0].sequence_ids) if part == 1]
    start = {at: float(made.start_logits[0, at].exp()) for at in [0, *places]}
    end = {at: float(made.end_logits[0, at].exp()) for at in [0, *places]}
    whole = sum(start.values()) * sum(end.values())
    spans = [
        (start[one] * end[other] / whole, offsets[one][0], offsets[other][1])
        for one in places
        for other in places
        if one <= other < one + longest
    ]
    return sorted(spans, reverse=True), start[0] * end[0] / whole


@pytest.mark.parametrize("longest", [1, 4, 15])
def test_the_best_spans_are_those_of_the_models_logits(answerer: Path, longest: int) -> None:
    expected, _ = _every_span(answerer, longest)
    with _client(answerer) as client:
        found = client.tasks.question_answering(
            QUESTION, CONTEXT, top_k=5, max_answer_len=longest, align_to_words=False
        )
    assert len(found) == 5
    for answer, (score, start, end) in zip(found, expected, strict=False):
        assert (answer.start, answer.end) == (start, end)
        assert answer.score == pytest.approx(score, rel=1e-4)
        assert answer.answer == CONTEXT[start:end]


def test_no_answer_is_one_only_where_it_is_asked_for(answerer: Path) -> None:
    _, nothing = _every_span(answerer, 15)
    with _client(answerer) as client:
        assert len(client.tasks.question_answering(QUESTION, CONTEXT)) == 1
        every = client.tasks.question_answering(QUESTION, CONTEXT, top_k=1000)
        assert all(answer.answer for answer in every)
        more = client.tasks.question_answering(
            QUESTION, CONTEXT, top_k=1000, handle_impossible_answer=True
        )
    empty = [answer for answer in more if not answer.answer]
    assert [(answer.start, answer.end) for answer in empty] == [(0, 0)]
    assert empty[0].score == pytest.approx(nothing, rel=1e-4)
    assert len(more) == len(every) + 1


def test_answers_end_with_words(answerer: Path) -> None:
    context = "Unbelievableness astounds electroencephalographers."
    with _client(answerer) as client:
        whole = client.tasks.question_answering(QUESTION, context, top_k=50)
        parts = client.tasks.question_answering(QUESTION, context, top_k=50, align_to_words=False)
    assert {answer.answer for answer in whole} <= {
        "Unbelievableness",
        "Unbelievableness astounds",
        "Unbelievableness astounds electroencephalographers",
        context,
        "astounds",
        "astounds electroencephalographers",
        "astounds electroencephalographers.",
        "electroencephalographers",
        "electroencephalographers.",
        ".",
    }
    assert len({(answer.start, answer.end) for answer in whole}) == len(whole)
    assert len(parts) > len(whole)


def test_a_long_context_is_read_in_pieces(answerer: Path) -> None:
    with _client(answerer) as client:
        found = client.tasks.question_answering(QUESTION, LONG, top_k=400, doc_stride=10)
        assert all(LONG[answer.start : answer.end] == answer.answer for answer in found)
        assert min(answer.start for answer in found) < 200
        assert max(answer.end for answer in found) > len(LONG) - 200
        small = client.tasks.question_answering(QUESTION, LONG, max_seq_len=20, doc_stride=2)
        assert small[0].answer in LONG
        with pytest.raises(BadRequestError, match="doc_stride=60, and a piece has room for"):
            client.tasks.question_answering(QUESTION, LONG, doc_stride=60)
        with pytest.raises(ContextLengthError, match="the model takes 64"):
            client.tasks.question_answering("word " * 80, CONTEXT)


def test_what_is_not_known_is_refused(answerer: Path) -> None:
    with _client(answerer) as client:
        with pytest.raises(UnsupportedFeatureError, match="'max_question_len'"):
            client.tasks.question_answering(QUESTION, CONTEXT, max_question_len=5)
        body: dict[str, Any] = {"inputs": "only a text"}
        with pytest.raises(BadRequestError, match="question and context"):
            client.tasks.question_answering(QUESTION, CONTEXT, extra_body=body)


@pytest.mark.anyio
async def test_the_async_client_answers_the_same(answerer: Path) -> None:
    with _client(answerer) as client:
        expected = client.tasks.question_answering(QUESTION, CONTEXT, top_k=2)
    models = LocalModels(tasks={"question-answering": answerer}, device="cpu")
    async with AsyncRouterClient(local=models) as client:
        found = await client.tasks.question_answering(QUESTION, CONTEXT, top_k=2)
    assert [answer.answer for answer in found] == [answer.answer for answer in expected]
