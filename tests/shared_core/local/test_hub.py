"""Models of the Hub: the official client against a Hub on loopback."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from shared_core import (
    AsyncRouterClient,
    GatedModelError,
    LocalModelError,
    LocalModels,
    ModelNotFoundError,
    NotFoundError,
    RouterClient,
)
from shared_core.local.hub import download, is_hub_id
from tests.helpers.hub_server import COMMIT, HubServer

TOKEN = "hf_" + "s3cret" * 6


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of eight numbers, with files beside it that nobody needs."""
    folder = tmp_path_factory.mktemp("tiny")
    random = np.random.default_rng(0)
    size, layer = 8, "encoder.layer.0."
    shapes = {
        "embeddings.word_embeddings": (5, size),
        "embeddings.position_embeddings": (16, size),
        "embeddings.token_type_embeddings": (2, size),
        **{f"{layer}attention.self.{name}": (size, size) for name in ("query", "key", "value")},
        f"{layer}attention.output.dense": (size, size),
        f"{layer}output.dense": (size, size),
        f"{layer}intermediate.dense": (size, size),
    }
    norms = ["embeddings", f"{layer}attention.output", f"{layer}output"]
    weights = {f"{name}.weight": random.normal(size=shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": np.zeros(size) for name in shapes if name.startswith("encoder")}
    for norm in norms:
        weights[f"{norm}.LayerNorm.weight"] = np.ones(size)
        weights[f"{norm}.LayerNorm.bias"] = np.zeros(size)
    save_file(
        {name: value.astype(np.float32) for name, value in weights.items()},
        folder / "model.safetensors",
    )
    config = {
        "model_type": "bert",
        "hidden_size": size,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
    }
    (folder / "config.json").write_text(json.dumps(config))
    words = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "cat": 3, "dog": 4}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling_tiny.py").write_text("raise SystemExit('must not run')")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    return folder


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with HubServer({"org/tiny": tiny}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_a_hub_id_is_downloaded_once_and_runs(hub: HubServer, tiny: Path, tmp_path: Path) -> None:
    with RouterClient(local="org/tiny") as client:
        assert hub.paths == []  # not before a call needs it
        result = client.embeddings.create(["cat", "dog"])
        asked = len(hub.paths)
        again = client.embeddings.create(["cat"], model="org/tiny")
    with RouterClient(local=tiny) as client:
        expected = client.embeddings.create(["cat", "dog"])
    assert result.model == "local/tiny"
    assert np.array_equal(result.vectors, expected.vectors)
    assert again.vectors[0] == pytest.approx(result.vectors[0], abs=1e-6)  # one row, not of two
    assert len(hub.paths) == asked
    assert (tmp_path / "hf/hub/models--org--tiny/snapshots" / COMMIT / "config.json").exists()


def test_neither_pickles_nor_code_nor_copies_are_fetched(hub: HubServer) -> None:
    folder = download("org/tiny")
    assert hub.files() == {"config.json", "model.safetensors", "tokenizer.json"}
    assert not (folder / "pytorch_model.bin").exists()
    assert (download("org/tiny", code=True) / "modeling_tiny.py").exists()


def test_a_revision_is_pinned(hub: HubServer) -> None:
    with RouterClient(local=f"org/tiny@{COMMIT}") as client:
        assert client.embeddings.create(["cat"]).model == "local/tiny"
    assert not any(path.endswith("/main") for path in hub.paths)
    with RouterClient(local="org/tiny@v9") as client:
        with pytest.raises(NotFoundError, match="no revision 'v9'"):
            client.embeddings.create(["cat"])


def test_offline_takes_what_is_in_the_cache(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LocalModelError, match="HF_HUB_OFFLINE is set") as caught:
        download("org/tiny")
    assert str(tmp_path / "hf") in str(caught.value)
    assert hub.paths == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    folder = download("org/tiny", settings=RouterClient().settings)
    asked = len(hub.paths)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert download("org/tiny") == folder
    assert len(hub.paths) == asked


def test_a_hub_that_is_gone_leaves_the_cache(
    hub: HubServer, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = download("org/tiny", settings=RouterClient().settings)
    hub.broken.add("org/tiny")
    assert download("org/tiny", settings=RouterClient().settings) == folder
    settings = RouterClient(hub_url="http://127.0.0.1:9").settings
    with pytest.raises(LocalModelError, match="the Hub cannot be reached"):
        download("org/other", settings=settings)


@pytest.mark.usefixtures("hub")
def test_an_unknown_model_is_not_found() -> None:
    with RouterClient(local="org/none") as client:
        with pytest.raises(ModelNotFoundError, match="no model org/none") as caught:
            client.embeddings.create(["cat"])
    assert "no folder 'org/none'" in str(caught.value)


def test_a_gated_model_says_where_to_accept(hub: HubServer) -> None:
    hub.gated.add("org/tiny")
    with RouterClient(local="org/tiny", api_key=TOKEN) as client:
        with pytest.raises(GatedModelError, match=r"https://huggingface\.co/org/tiny"):
            client.embeddings.create(["cat"])


def test_the_token_goes_to_the_hub_and_is_shown_nowhere(
    hub: HubServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.token = TOKEN
    with RouterClient(local="org/tiny") as client, pytest.raises(ModelNotFoundError):
        client.embeddings.create(["cat"])
    assert set(hub.authorizations) == {None}
    with RouterClient(local="org/tiny", api_key="hf_" + "wrong0" * 6) as client:
        with pytest.raises(ModelNotFoundError) as caught:
            client.embeddings.create(["cat"])
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    with RouterClient(local="org/tiny", api_key=TOKEN) as client:
        assert len(client.embeddings.create(["cat"])) == 1
        shown += repr(client) + repr(client.settings)
    assert hub.authorizations[-1] == f"Bearer {TOKEN}"
    assert not any(TOKEN in path for path in hub.paths)
    for secret in (TOKEN, "wrong0"):
        assert secret not in shown + caplog.text


@pytest.mark.anyio
@pytest.mark.usefixtures("hub")
async def test_the_async_client_downloads_too() -> None:
    async with AsyncRouterClient(local=LocalModels(f"org/tiny@{COMMIT}")) as client:
        assert (await client.embeddings.create(["dog"])).dimensions == 8


def test_without_the_library_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with RouterClient(local="org/elsewhere") as client:
        with pytest.raises(ImportError, match=r'pip install "hfrouter\[hub\]"'):
            client.embeddings.create(["cat"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("BAAI/bge-m3", True),
        ("org/name@refs/pr/3", True),
        ("org/name@5617a9f", True),
        ("bge-m3", False),
        ("./org/name", False),
        ("../org", False),
        ("/org/name", False),
        ("~/name", False),
        ("a/b/c", False),
        ("C:\\models\\x", False),
        ("org/na me", False),
        ("https://x/y", False),
    ],
)
def test_what_counts_as_a_hub_id(source: str, expected: bool) -> None:
    assert is_hub_id(source) is expected


def test_a_folder_goes_before_a_hub_id(
    hub: HubServer, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "tiny").symlink_to(tiny)
    monkeypatch.chdir(tmp_path)
    with RouterClient(local="org/tiny") as client:
        assert client.embeddings.create(["cat"]).dimensions == 8
    assert hub.paths == []
