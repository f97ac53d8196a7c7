"""Embeddings by sentence-transformers: the same calls, the same numbers as in NumPy."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.torch_models import need, write_random

need("torch", "sentence_transformers")

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    ContextLengthError,
    LocalModelError,
    LocalModels,
    RouterClient,
)
from tests.helpers.servers import ROOT  # noqa: E402

REFERENCES = ROOT / "tests" / "shared_core" / "local" / "minilm_references.json"
TEXTS = [row["text"] for row in json.loads(REFERENCES.read_text(encoding="utf-8"))[:-1]]
NUMBERS = " ".join(map(str, range(400)))


@pytest.fixture(scope="module")
def client(minilm: Path) -> RouterClient:
    return RouterClient(local=LocalModels(minilm, backend="sentence-transformers", device="cpu"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalize": False},
        {"dimensions": 64},
        {"dimensions": 64, "normalize": False},
        {"prompt_name": "query"},
        {"prompt": "search: "},
        {"truncation_direction": "left"},
    ],
)
def test_it_equals_numpy(client: RouterClient, minilm: Path, options: dict[str, Any]) -> None:
    texts = [*TEXTS, NUMBERS] if options.keys() & {"truncation_direction", "prompt"} else TEXTS
    with RouterClient(local=LocalModels(minilm)) as other:
        if "prompt_name" in options:  # sentence-transformers adds two empty prompts of its own
            expected = other.embeddings.create(texts)
        else:
            expected = other.embeddings.create(texts, **options)
    result = client.embeddings.create(texts, **options)
    assert result.vectors.dtype == np.float32
    assert np.abs(result.vectors - expected.vectors).max() < 1e-5
    assert result.model == expected.model
    assert result.provider == "local"
    assert result.headers["x-local-device"] == "cpu"


def test_without_a_name_it_runs_the_weights_that_are_found() -> None:
    with RouterClient(local=LocalModels(backend="sentence-transformers")) as client:
        assert client.embeddings.create(["a"]).model == "local/all-MiniLM-L6-v2"


def test_both_wire_forms_and_usage(client: RouterClient, minilm: Path) -> None:
    models = LocalModels(minilm, backend="sentence-transformers", device="cpu")
    numpy = LocalModels(minilm)
    url = "http://127.0.0.1:9/v1"
    texts = ["a cat", "the stock market"]
    with (
        RouterClient(local=models, base_url=url) as ours,
        RouterClient(local=numpy, base_url=url) as other,
    ):
        for form in ("float", "base64"):
            result = ours.embeddings.create(texts, encoding_format=form)
            expected = other.embeddings.create(texts, encoding_format=form)
            assert result.usage == expected.usage
            assert np.abs(result.vectors - expected.vectors).max() < 1e-5


def test_similarity_and_search(client: RouterClient) -> None:
    scores = client.embeddings.similarity("a cat", ["a feline", "the stock market"])
    assert scores[0] > scores[1] + 0.3
    assert client.tasks.sentence_similarity("a cat", ["a feline"])[0] == pytest.approx(
        scores[0], abs=1e-5
    )


def test_a_text_that_may_not_be_cut_is_refused(client: RouterClient) -> None:
    with pytest.raises(ContextLengthError, match="the model takes 256"):
        client.embeddings.create([NUMBERS], truncate=False)
    assert len(client.embeddings.create(["short"], truncate=False)) == 1
    with pytest.raises(BadRequestError, match="no prompt 'passage'"):
        client.embeddings.create(["a"], prompt_name="passage")
    with pytest.raises(BadRequestError, match="dimensions must be from 1 to 384"):
        client.embeddings.create(["a"], dimensions=385)


def test_cutting_at_the_left_leaves_the_tokenizer_as_it_was(client: RouterClient) -> None:
    before = client.embeddings.embed_one(NUMBERS)
    left = client.embeddings.embed_one(NUMBERS, truncation_direction="left")
    assert np.abs(left - before).max() > 1e-2
    assert np.abs(client.embeddings.embed_one(NUMBERS) - before).max() < 1e-6


def test_one_model_serves_many_threads(client: RouterClient) -> None:
    expected = client.embeddings.create(TEXTS).vectors
    wrong: list[object] = []

    def work(number: int) -> None:
        try:
            part = TEXTS[number % 4 :]
            found = client.embeddings.create(part, truncation_direction="right").vectors
            if np.abs(found - expected[number % 4 :]).max() > 1e-5:
                wrong.append(number)
        except Exception as exc:  # a thread must not die in silence
            wrong.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.anyio
async def test_the_async_client_does_the_same(client: RouterClient, minilm: Path) -> None:
    models = LocalModels(minilm, backend="sentence-transformers", device="cpu")
    async with AsyncRouterClient(local=models) as other:
        result = await other.embeddings.create(TEXTS, batch_size=2, concurrency=3)
    assert np.abs(result.vectors - client.embeddings.create(TEXTS).vectors).max() < 1e-5


def test_a_bare_model_of_transformers_gets_mean_pooling(tmp_path: Path) -> None:
    folder = write_random(tmp_path / "bare", "Model")
    with RouterClient(local=LocalModels(folder, backend="sentence-transformers")) as client:
        result = client.embeddings.create(["one", "two words"])
    with RouterClient(local=folder) as client:
        expected = client.embeddings.create(["one", "two words"], normalize=False)
    assert result.model == "local/bare"
    assert result.dimensions == 32
    assert np.abs(result.vectors - expected.vectors).max() < 1e-5


def test_half_precision_is_passed_on(minilm: Path) -> None:
    models = LocalModels(minilm, backend="sentence-transformers", dtype="bfloat16")
    with RouterClient(local=models) as half, RouterClient(local=True) as whole:
        difference = np.abs(half.embeddings.embed_one("cat") - whole.embeddings.embed_one("cat"))
    assert 1e-6 < difference.max() < 0.05


def test_a_folder_without_a_model_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with RouterClient(local=LocalModels(tmp_path, backend="sentence-transformers")) as client:
        with pytest.raises(LocalModelError, match="sentence-transformers cannot load"):
            client.embeddings.create(["a"])
