"""The encoder against the original library's vectors and against broken folders."""

from __future__ import annotations

import json
import math
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import RouterClient
from shared_core.errors import ContextLengthError
from shared_core.local import LocalModelError, LocalModels
from shared_core.local.bert import Encoder, EncoderConfig
from shared_core.local.erf import erf, gelu

REFERENCES = json.loads(
    Path(__file__).with_name("minilm_references.json").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return LocalModels().encoder()


@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=50))
def test_erf_is_that_of_the_math_module(values: list[float]) -> None:
    result = erf(np.array(values, np.float32))
    assert np.abs(result - [math.erf(value) for value in values]).max() < 4e-7


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 200_001])
def test_gelu_covers_every_element_whatever_the_block(size: int) -> None:
    x = np.linspace(-6, 6, size, dtype=np.float32)
    expected = [
        v / 2 * (1 + math.erf(v / math.sqrt(2))) for v in x[:: max(1, size // 500)].tolist()
    ]
    assert np.abs(gelu(x.copy())[:: max(1, size // 500)] - expected).max() < 2e-6


def test_vectors_equal_the_original_library(encoder: Encoder) -> None:
    ours = encoder.encode_texts([row["text"] for row in REFERENCES])
    theirs = np.array([row["vector"] for row in REFERENCES])
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < 1e-5


def test_a_batch_gives_what_each_text_gives_alone(encoder: Encoder) -> None:
    texts = [row["text"] for row in REFERENCES]
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])
    assert np.abs(encoder.encode_texts(texts) - alone).max() < 1e-6


def test_without_normalisation_only_the_length_differs(encoder: Encoder) -> None:
    ids = [encoder.tokens("A cat sits on a mat.")]
    plain = encoder.encode(ids, normalize=False)
    assert np.linalg.norm(plain) > 1.5
    assert np.allclose(plain / np.linalg.norm(plain), encoder.encode(ids), atol=1e-6)


def test_long_texts_are_cut_at_the_models_limit_at_the_chosen_end(encoder: Encoder) -> None:
    text = " ".join(str(number) for number in range(400))
    full = encoder.tokens("0 1")[:1], encoder.tokens("0 1")[-1:]
    right = encoder.tokens(text)
    left = encoder.tokens(text, direction="left")
    assert len(right) == len(left) == encoder.config.max_tokens == 256
    assert (right[:1], right[-1:]) == (left[:1], left[-1:]) == full
    assert right[1:10] == encoder.tokens(text[:60])[1:10]
    assert left[-10:-1] == encoder.tokens(text[-60:])[-10:-1]
    with pytest.raises(ContextLengthError, match="256"):
        encoder.tokens(text, truncate=False)


def test_no_input_gives_an_empty_matrix(encoder: Encoder) -> None:
    assert encoder.encode_texts([]).shape == (0, 384)


def test_threads_share_one_model_and_agree(encoder: Encoder) -> None:
    expected = encoder.encode_texts(["one", "two words"])
    results: list[np.ndarray] = []

    def work() -> None:
        results.append(LocalModels().encoder().encode_texts(["one", "two words"]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(result, expected) for result in results)
    assert LocalModels().encoder() is encoder


@pytest.fixture
def folder(tmp_path: Path, encoder: Encoder) -> Path:
    """A copy of the model folder whose small files can be changed; weights are linked."""
    copy = tmp_path / "model"
    shutil.copytree(
        encoder.folder, copy, ignore=shutil.ignore_patterns("*.safetensors", "vocab.txt")
    )
    (copy / "model.safetensors").symlink_to(encoder.folder / "model.safetensors")
    return copy


def _change(path: Path, **values: object) -> None:
    data = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps(data), encoding="utf-8")


def test_pooling_limit_and_prompts_come_from_the_folder(folder: Path, encoder: Encoder) -> None:
    _change(
        folder / "1_Pooling/config.json",
        pooling_mode_mean_tokens=False,
        pooling_mode_cls_token=True,
    )
    _change(folder / "sentence_bert_config.json", max_seq_length=8)
    _change(folder / "config_sentence_transformers.json", prompts={"query": "query: "})
    other = Encoder.load(folder)
    assert (other.config.pooling, other.config.max_tokens) == ("cls", 8)
    assert other.config.prompts == {"query": "query: "}
    assert len(other.tokens("word " * 50)) == 8
    first, mean = other.encode_texts(["A cat."]), encoder.encode_texts(["A cat."])
    assert first.shape == mean.shape
    assert not np.allclose(first, mean, atol=1e-2)


def test_max_pooling_ignores_padding(folder: Path) -> None:
    _change(
        folder / "1_Pooling/config.json",
        pooling_mode_mean_tokens=False,
        pooling_mode_max_tokens=True,
    )
    model = Encoder.load(folder)
    together = model.encode_texts(["A cat.", "A much longer text about cats and mats."])
    assert np.allclose(together[0], model.encode_texts(["A cat."])[0], atol=1e-6)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("config.json", {"model_type": "t5"}, "'t5'"),
        ("config.json", {"hidden_act": "swish"}, "'swish'"),
        ("config.json", {"hidden_size": None}, "config.json"),
        ("config.json", {"num_hidden_layers": 7}, r"encoder\.layer\.6"),
        ("1_Pooling/config.json", {"pooling_mode_mean_sqrt_len_tokens": True}, "1_Pooling"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(
    folder: Path, file: str, values: dict[str, object], message: str
) -> None:
    _change(folder / file, **values)
    with pytest.raises(LocalModelError, match=message):
        Encoder.load(folder)


def test_a_further_module_is_refused(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    modules.append({"idx": 3, "type": "sentence_transformers.models.Dense", "path": "3_Dense"})
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(LocalModelError, match="Dense"):
        EncoderConfig.read(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_and_broken_files_are_named(folder: Path, file: str) -> None:
    path = folder / file
    path.unlink()
    with pytest.raises(LocalModelError, match=file):
        Encoder.load(folder)
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{broken")
    with pytest.raises(LocalModelError, match=file):
        Encoder.load(folder)


def test_vectors_equal_those_of_a_real_server(encoder: Encoder, llama_embed_url: str) -> None:
    texts = [row["text"] for row in REFERENCES if row["text"] and len(row["text"]) < 500]
    with RouterClient(base_url=f"{llama_embed_url}/v1") as client:
        theirs = client.embeddings.create(texts, model="minilm").vectors
    ours = encoder.encode_texts(texts)
    cosines = np.sum(ours * theirs, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosines.min() > 0.9999
