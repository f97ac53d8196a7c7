"""Reranking and other tasks: the libraries' own numbers, as typed results."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need, write_random, write_writer

need("torch", "transformers", "sentence_transformers")

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    ContextLengthError,
    LocalModelError,
    LocalModels,
    ModelNotFoundError,
    RouterClient,
    UnsupportedFeatureError,
)

TEXTS = ["The dome opens at dusk.", "Soup is served on Mondays.", "Cats sleep."]
LONG = "word " * 80


def _client(**tasks: Path) -> RouterClient:
    named = {task.replace("_", "-"): folder for task, folder in tasks.items()}
    return RouterClient(local=LocalModels(tasks=named, device="cpu"))


def test_reranking_equals_the_cross_encoder(ranker: Path) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    own = CrossEncoder(str(ranker), device="cpu")
    pairs = [("When?", text) for text in TEXTS]
    raw = own.predict(pairs, activation_fn=torch.nn.Identity())
    with _client(text_ranking=ranker) as client:
        ranked = client.tasks.rerank("When?", TEXTS, raw_scores=True, return_text=True)
        assert [item.text for item in ranked] == [TEXTS[item.index] for item in ranked]
        for item in ranked:
            assert item.score == pytest.approx(float(raw[item.index]), abs=1e-5)
        assert [item.score for item in ranked] == sorted(map(float, raw), reverse=True)
        squeezed = client.tasks.rerank("When?", TEXTS, top_n=2, batch_size=1)
        assert [item.index for item in squeezed] == [item.index for item in ranked[:2]]
        expected = float(torch.sigmoid(torch.tensor(ranked[0].score)))
        assert squeezed[0].score == pytest.approx(expected, abs=1e-5)
        direct = client.tasks.text_ranking("When?", TEXTS)
        assert direct[0].index == ranked[0].index


def test_what_is_too_long_for_a_reranker(ranker: Path) -> None:
    text = "dome " + LONG + " soup"
    with _client(text_ranking=ranker) as client:
        right = client.tasks.text_ranking("When?", [text])[0].score
        left = client.tasks.text_ranking("When?", [text], truncation_direction="left")[0].score
        assert left != pytest.approx(right, abs=1e-6)
        assert client.tasks.text_ranking("When?", [text])[0].score == pytest.approx(right)
        with pytest.raises(ContextLengthError, match="the model takes 64"):
            client.tasks.text_ranking("When?", [text], truncate=False)


def test_a_classifier_is_no_reranker(classifier: Path) -> None:
    with _client(text_ranking=classifier) as client:
        with pytest.raises(LocalModelError, match="tells 3 classes apart"):
            client.tasks.rerank("When?", TEXTS)


def test_text_classification_equals_the_pipeline(classifier: Path) -> None:
    from transformers import pipeline

    own = pipeline("text-classification", model=str(classifier), device="cpu")
    expected = own(TEXTS[0], top_k=None)
    with _client(text_classification=classifier) as client:
        labels = client.tasks.text_classification(TEXTS[0])
        assert [label.label for label in labels] == [each["label"] for each in expected]
        for label, each in zip(labels, expected, strict=True):
            assert label.score == pytest.approx(each["score"], abs=1e-6)
        assert len(client.tasks.text_classification(TEXTS[0], top_k=1)) == 1
        raw = client.tasks.text_classification(TEXTS[0], function_to_apply="none")
        assert sum(label.score for label in raw) != pytest.approx(1.0, abs=1e-3)
        with pytest.raises(ContextLengthError, match="the model takes 64"):
            client.tasks.text_classification(LONG)


def test_zero_shot_classification(classifier: Path) -> None:
    with _client(zero_shot_classification=classifier) as client:
        labels = client.tasks.zero_shot_classification(TEXTS[1], ["food", "stars"])
        assert {label.label for label in labels} == {"food", "stars"}
        assert sum(label.score for label in labels) == pytest.approx(1.0, abs=1e-5)
        both = client.tasks.zero_shot_classification(
            TEXTS[1], ["food", "stars"], multi_label=True, hypothesis_template="It is {}."
        )
        assert all(0 <= label.score <= 1 for label in both)


def test_token_classification(tmp_path: Path) -> None:
    folder = write_random(
        tmp_path / "tags", "ForTokenClassification", id2label={0: "O", 1: "B-PER", 2: "I-PER"}
    )
    with _client(token_classification=folder) as client:
        entities = client.tasks.token_classification("Ada lives in Paris", ignore_labels=[])
        assert [entity.word for entity in entities] == ["ada", "lives", "in", "paris"]
        assert (entities[3].start, entities[3].end) == (13, 18)
        merged = client.tasks.token_classification(
            "Ada lives in Paris", aggregation_strategy="simple", ignore_labels=[]
        )
        assert all(entity.label in ("O", "PER") for entity in merged)


def test_fill_mask(tmp_path: Path) -> None:
    folder = write_random(tmp_path / "masked", "ForMaskedLM")
    with _client(fill_mask=folder) as client:
        found = client.tasks.fill_mask("The [MASK] opens.", top_k=3)
        assert len(found) == 3
        assert found[0].score >= found[1].score
        assert found[0].text in found[0].sequence
        two = client.tasks.fill_mask("The [MASK] [MASK].", top_k=2)
        assert [filling.mask for filling in two] == [0, 0, 1, 1]
        with pytest.raises(BadRequestError, match="mask") as caught:
            client.tasks.fill_mask("Nothing to fill.")
        assert caught.value.model == "local/masked"


def test_writing_tasks_equal_the_models_own_words(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, BartForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(write_writer(tmp_path))
    model = BartForConditionalGeneration.from_pretrained(tmp_path).eval()
    made = model.generate(tokenizer(TEXTS[0], return_tensors="pt")["input_ids"], max_length=9)
    expected = tokenizer.decode(made[0], skip_special_tokens=True)
    options: dict[str, Any] = {"generate_parameters": {"max_length": 9}}
    names = ("summarization", "translation", "text2text-generation")
    with RouterClient(local=LocalModels(tasks=dict.fromkeys(names, tmp_path))) as client:
        for method in ("summarization", "translation", "text2text_generation"):
            assert getattr(client.tasks, method)(TEXTS[0], **options).text == expected
        with pytest.raises(BadRequestError, match="two fixed languages"):
            client.tasks.translation(TEXTS[0], src_lang="en_XX", tgt_lang="fr_XX")


def test_what_has_no_model_is_refused_with_the_way_to_name_one(classifier: Path) -> None:
    with _client(text_classification=classifier) as client:
        with pytest.raises(UnsupportedFeatureError, match=r"tasks=\{'fill-mask'"):
            client.tasks.fill_mask("a [MASK]")
        with pytest.raises(UnsupportedFeatureError, match=r"tasks=\{'text-ranking'"):
            client.tasks.rerank("a", ["b"])
        with pytest.raises(ModelNotFoundError, match="it has local/classifier"):
            client.tasks.text_classification("a", model="org/other")
        assert client.tasks.text_classification("a", model="local/classifier")


@pytest.mark.anyio
async def test_the_async_client_does_the_same(classifier: Path, ranker: Path) -> None:
    tasks = {"text-classification": classifier, "text-ranking": ranker}
    async with AsyncRouterClient(local=LocalModels(tasks=tasks)) as client:
        one, other = await asyncio.gather(
            client.tasks.text_classification(TEXTS[0]), client.tasks.rerank("When?", TEXTS)
        )
    assert len(one) == len(other) == 3
