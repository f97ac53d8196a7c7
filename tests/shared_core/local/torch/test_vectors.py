"""Sparse vectors, token vectors and vectors of images: those of sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need, write_random

need("torch", "sentence_transformers")

import numpy as np  # noqa: E402

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    ContextLengthError,
    LocalModels,
    RouterClient,
    UnsupportedFeatureError,
)
from tests.helpers import media_models, text_models  # noqa: E402

SPARSE, TOKENS, IMAGES = "embed-sparse", "embed-all", "image-feature-extraction"
TEXTS = ["a cat", "the stock market falls", ""]
LONG = "first " + "word " * 80 + "last"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("vectors")
    return {
        "splade": text_models.write_splade(folder / "splade"),
        "plain": write_random(folder / "plain", "Model"),
        "colbert": text_models.write_colbert(folder / "colbert"),
        "clip": text_models.write_clip_encoder(folder / "clip"),
    }


def _client(task: str, folder: Path) -> RouterClient:
    return RouterClient(local=LocalModels(tasks={task: folder}, device="cpu"))


def _dense(entries: list[dict[str, Any]], width: int) -> Any:
    row = np.zeros(width, np.float32)
    for entry in entries:
        assert entry["value"] != 0
        row[entry["index"]] = entry["value"]
    return row


def test_sparse_vectors_equal_the_library(models: dict[str, Path]) -> None:
    from sentence_transformers import SparseEncoder

    own = SparseEncoder(str(models["splade"]), device="cpu")
    expected = own.encode(TEXTS, convert_to_sparse_tensor=False).numpy()
    with _client(SPARSE, models["splade"]) as client:
        found = client.tasks.call(SPARSE, TEXTS)
        rows = [_dense(entries, expected.shape[1]) for entries in found]
        assert np.abs(np.stack(rows) - expected).max() < 1e-5
        assert client.tasks.call(SPARSE, TEXTS[0]) == [found[0]]  # a bare text is one
        prompted = client.tasks.call(SPARSE, TEXTS, extra_body={"prompt_name": "find"})
        row = own.encode(TEXTS, prompt_name="find", convert_to_sparse_tensor=False).numpy()[0]
        assert np.abs(_dense(prompted[0], len(row)) - row).max() < 1e-5
        assert prompted[0] != found[0]


def test_token_vectors_equal_the_library(models: dict[str, Path]) -> None:
    from sentence_transformers import SentenceTransformer

    own = SentenceTransformer(str(models["plain"]), device="cpu")
    expected = own.encode(TEXTS, output_value="token_embeddings")
    with _client(TOKENS, models["plain"]) as client:
        found = client.tasks.call(TOKENS, TEXTS)
    assert [len(rows) for rows in found] == [4, 6, 2]  # with [CLS] and [SEP]
    for rows, tensor in zip(found, expected, strict=True):
        assert np.abs(np.array(rows) - tensor.numpy()).max() < 1e-5


def test_a_late_interaction_model_reads_queries_in_its_way(models: dict[str, Path]) -> None:
    from sentence_transformers import MultiVectorEncoder

    own = MultiVectorEncoder(str(models["colbert"]), device="cpu")
    cases = {None: own.encode, "query": own.encode_query, "document": own.encode_document}
    with _client(TOKENS, models["colbert"]) as client:
        for name, encode in cases.items():
            found = client.tasks.call(TOKENS, TEXTS, extra_body={"prompt_name": name})
            for rows, tensor in zip(found, encode(TEXTS), strict=True):
                assert np.abs(np.array(rows) - tensor.numpy()).max() < 1e-5
                assert np.linalg.norm(rows[0]) == pytest.approx(1, abs=1e-5)
        assert len(client.tasks.call(TOKENS, "a", extra_body={"prompt_name": "query"})[0]) == 5


@pytest.mark.parametrize(("task", "name"), [(SPARSE, "splade"), (TOKENS, "plain")])
def test_what_is_too_long_or_unknown(models: dict[str, Path], task: str, name: str) -> None:
    with _client(task, models[name]) as client:
        right = client.tasks.call(task, LONG)
        left = client.tasks.call(task, LONG, extra_body={"truncation_direction": "Left"})
        assert left != right
        assert client.tasks.call(task, LONG) == right  # the tokenizer is as before
        with pytest.raises(ContextLengthError, match="the model takes 64"):
            client.tasks.call(task, LONG, extra_body={"truncate": False})
        with pytest.raises(UnsupportedFeatureError, match="'normalize'"):
            client.tasks.call(task, "a", extra_body={"normalize": True})
        with pytest.raises(UnsupportedFeatureError, match="'top_k'"):
            client.tasks.call(task, "a", {"top_k": 3})
        with pytest.raises(BadRequestError, match="no prompt 'passage'"):
            client.tasks.call(task, "a", extra_body={"prompt_name": "passage"})
        with pytest.raises(BadRequestError, match="a text or a list"):
            client.tasks.call(task, [1])
        with pytest.raises(BadRequestError, match="reads JSON"):
            client.tasks.call(task, file=b"RIFF")


def test_images_and_texts_share_a_space(models: dict[str, Path]) -> None:
    from PIL import Image
    from sentence_transformers import SentenceTransformer

    own = SentenceTransformer(str(models["clip"]), device="cpu")
    image = Image.radial_gradient("L").resize((48, 40)).convert("RGB")
    local = LocalModels(
        models["clip"],
        backend="sentence-transformers",
        tasks={IMAGES: models["clip"]},
        device="cpu",
    )
    with RouterClient(local=local) as client:
        found = np.array(client.tasks.call(IMAGES, file=image))
        texts = client.embeddings.create(TEXTS[:2]).vectors
        with pytest.raises(UnsupportedFeatureError, match="'pool'"):
            client.tasks.call(IMAGES, file=image, parameters={"pool": True})
        with pytest.raises(BadRequestError, match="is no image"):
            client.tasks.call(IMAGES, "a cat")
        assert [model.input_modalities for model in client.models.list()][-1] == ("image",)
    assert np.abs(found - own.encode(image)).max() < 1e-5
    assert np.abs(texts - own.encode(TEXTS[:2])).max() < 1e-5
    assert found.shape == texts[0].shape
    scores = own.similarity(own.encode(TEXTS[:2]), own.encode(image)).numpy().ravel()
    assert texts @ found == pytest.approx(scores, abs=1e-5)


def test_other_models_of_images_are_run_by_the_pipeline(tmp_path: Path) -> None:
    from PIL import Image
    from transformers import pipeline

    folder = media_models.write_image_classifier(tmp_path / "vit")
    own = pipeline(IMAGES, model=str(folder), device="cpu")
    image = Image.radial_gradient("L").convert("RGB")
    with _client(IMAGES, folder) as client:
        found = client.tasks.call(IMAGES, file=image)
        pooled = client.tasks.call(IMAGES, file=image, parameters={"return_tensors": False})
    assert np.abs(np.array(found) - np.array(own(image))).max() < 1e-5
    assert pooled == found


@pytest.mark.anyio
async def test_the_async_client_does_the_same(models: dict[str, Path]) -> None:
    with _client(SPARSE, models["splade"]) as client:
        expected = client.tasks.call(SPARSE, TEXTS)
    local = LocalModels(tasks={SPARSE: models["splade"]}, device="cpu")
    async with AsyncRouterClient(local=local) as client:
        assert await client.tasks.call(SPARSE, TEXTS) == expected


@pytest.mark.anyio
async def test_the_typed_methods_give_the_same(models: dict[str, Path]) -> None:
    tasks = {SPARSE: models["splade"], TOKENS: models["plain"]}
    local = LocalModels(tasks=tasks, device="cpu")
    with RouterClient(local=local) as client:
        sparse = client.embeddings.sparse(TEXTS, batch_size=2)
        tokens = client.embeddings.tokens(TEXTS)
        for vector, entries in zip(sparse, client.tasks.call(SPARSE, TEXTS), strict=True):
            expected = {entry["index"]: entry["value"] for entry in entries}
            assert vector.todict() == pytest.approx(expected, abs=1e-5)
        for matrix, rows in zip(tokens, client.tasks.call(TOKENS, TEXTS), strict=True):
            assert matrix == pytest.approx(np.array(rows), abs=1e-5)
        prompted = client.embeddings.sparse("a cat", prompt="find: ")[0]
        same = client.embeddings.sparse("a cat", prompt_name="find")[0]
        assert prompted.todict() == pytest.approx(same.todict(), abs=1e-5)
        with pytest.raises(ContextLengthError):
            client.embeddings.tokens([LONG], truncate=False)
    async with AsyncRouterClient(local=local) as other:
        assert [v.todict() for v in await other.embeddings.sparse(TEXTS, batch_size=2)] == [
            vector.todict() for vector in sparse
        ]
        assert (await other.embeddings.tokens("a cat"))[0] == pytest.approx(tokens[0], abs=1e-5)
    with RouterClient(local=LocalModels(tasks={SPARSE: models["splade"]})) as client:
        with pytest.raises(UnsupportedFeatureError, match=r"tasks=\{'embed-all'"):
            client.embeddings.tokens("a")
