"""Devices, pickles, code that comes with a model, and what is imported when."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "sentence_transformers")

from shared_core import (  # noqa: E402
    InternalServerError,
    InvalidSettingError,
    LocalModelError,
    LocalModels,
    RouterClient,
)


def _models(minilm: Path, **options: str) -> LocalModels:
    return LocalModels(minilm, backend="sentence-transformers", **options)  # type: ignore[arg-type]


def test_torch_is_imported_by_the_first_call_only(minilm: Path) -> None:
    script = (
        "import sys; from shared_core import LocalModels, RouterClient;"
        f"models = LocalModels({str(minilm)!r}, backend='sentence-transformers', chat='x',"
        " tasks={'fill-mask': 'y'}, device='cuda');"
        "client = RouterClient(local=models); list(client.models.list());"
        "loaded = {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules);"
        "RouterClient(local=True).embeddings.create('a');"
        "loaded |= {'torch', 'transformers'} & set(sys.modules);"
        "sys.exit(str(loaded) if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_device_that_is_not_there_is_an_error_of_ours(
    minilm: Path, taught: Path, ranker: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.fail("this machine has CUDA: test what is not there with another device")
    tasks = {"text-ranking": ranker, "text-classification": ranker}
    models = LocalModels(
        minilm, backend="sentence-transformers", chat=taught, tasks=tasks, device="cuda"
    )
    with RouterClient(local=models) as client:
        for call in (
            lambda: client.embeddings.create(["a"]),
            lambda: client.chat.create("Hello"),
            lambda: client.tasks.rerank("a", ["b"]),
            lambda: client.tasks.text_classification("a"),
        ):
            with pytest.raises(LocalModelError, match=r"device='cuda' cannot be used") as caught:
                call()
            assert "It sees cpu" in str(caught.value)
    with RouterClient(local=_models(minilm, device="gpu")) as client:
        with pytest.raises(InvalidSettingError, match="not one that PyTorch knows: 'gpu'"):
            client.embeddings.create(["a"])


def test_the_device_is_said(minilm: Path) -> None:
    for device in ("auto", "cpu"):
        with RouterClient(local=_models(minilm, device=device)) as client:
            assert client.embeddings.create(["a"]).headers["x-local-device"] == "cpu"


@pytest.mark.parametrize("kind", ["embeddings", "chat", "tasks"])
def test_pickles_are_refused(kind: str, taught: Path, tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(taught, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save({}, folder / "pytorch_model.bin")
    models = {
        "embeddings": LocalModels(folder, backend="sentence-transformers"),
        "chat": LocalModels(chat=folder),
        "tasks": LocalModels(tasks={"fill-mask": folder}),
    }[kind]
    with RouterClient(local=models) as client, pytest.raises(LocalModelError, match="is a pickle"):
        if kind == "embeddings":
            client.embeddings.create(["a"])
        elif kind == "chat":
            client.chat.create("a")
        else:
            client.tasks.fill_mask("a [MASK]")


@pytest.mark.parametrize(
    ("name", "message"),
    [("model-1.bin", "is a pickle"), ("x.pt", "is a pickle"), ("../a.safetensors", "outside")],
)
def test_an_index_lists_safetensors_of_its_own_folder(
    taught: Path, tmp_path: Path, name: str, message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(taught, folder)
    (folder / "model.safetensors").rename(folder / name)
    index = json.dumps({"weight_map": {"lm_head.weight": name}})
    (folder / "model.safetensors.index.json").write_text(index)
    with RouterClient(local=LocalModels(chat=folder)) as client:
        with pytest.raises(LocalModelError, match=message):
            client.chat.create("a")


def test_safetensors_of_another_name_excuse_no_pickle(taught: Path, tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "model"
    shutil.copytree(taught, folder)
    (folder / "2_Dense").mkdir()
    torch.save({}, folder / "2_Dense" / "pytorch_model.bin")
    (folder / "2_Dense" / "other.safetensors").touch()
    with RouterClient(local=_models(folder)) as client:
        with pytest.raises(LocalModelError, match=r"2_Dense/pytorch_model\.bin is a pickle"):
            client.embeddings.create("a")


def test_code_of_a_model_runs_only_when_it_is_trusted(taught: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(taught, folder)
    (folder / "modeling_own.py").write_text(
        "from pathlib import Path\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n"
        "from transformers import Qwen3Config, Qwen3ForCausalLM\n"
        "class OwnConfig(Qwen3Config):\n"
        "    model_type = 'own'\n"
        "class Own(Qwen3ForCausalLM):\n"
        "    config_class = OwnConfig\n"
    )
    config = (folder / "config.json").read_text()
    own = '"model_type": "own", "auto_map": {"AutoConfig": "modeling_own.OwnConfig", '
    own += '"AutoModelForCausalLM": "modeling_own.Own"}'
    (folder / "config.json").write_text(config.replace('"model_type": "qwen3"', own))
    with RouterClient(local=LocalModels(chat=folder)) as client:
        with pytest.raises(LocalModelError, match="trust_remote_code=True"):
            client.chat.create("Say hello.")
    assert not (tmp_path / "ran").exists()
    with RouterClient(local=LocalModels(chat=folder, trust_remote_code=True)) as client:
        answer = client.chat.create("Say hello.", temperature=0)
    assert answer.text == "Hello! How can I help you today?"
    assert (tmp_path / "ran").exists()


def test_what_fails_inside_a_model_is_an_error_of_ours(taught: Path) -> None:
    with RouterClient(local=LocalModels(chat=taught)) as client:
        with pytest.raises(InternalServerError, match="failed in this process") as caught:
            client.chat.create("a", temperature=1, extra_body={"repetition_penalty": -1})
        assert (caught.value.operation, caught.value.model) == ("chat", "local/taught")
        assert "provider" not in str(caught.value.guidance)
        with pytest.raises(InternalServerError, match="failed in this process"):
            client.chat.stream("a", temperature=1, extra_body={"repetition_penalty": -1}).result()
        assert client.chat.create("Hello", temperature=0, max_tokens=2).text == "Hello!"


def test_a_model_is_loaded_once(minilm: Path) -> None:
    assert _models(minilm).encoder() is _models(minilm).encoder()
    assert _models(minilm).encoder() is not _models(minilm, dtype="float32").encoder()
    assert LocalModels(minilm).encoder() is not _models(minilm).encoder()


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("sentence_transformers", r"hfrouter\[sentence-transformers\]"),
        ("transformers", r"hfrouter\[transformers\]"),
        ("torch", r"hfrouter\[transformers\]"),
    ],
)
def test_a_missing_library_names_the_command(
    package: str, command: str, ranker: Path, taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    models = LocalModels(chat=taught, tasks={"text-ranking": ranker}, dtype=f"no-{package}")
    with RouterClient(local=models) as client, pytest.raises(ImportError, match=command):
        if package == "sentence_transformers":
            client.tasks.rerank("a", ["b"])
        else:
            client.chat.create("a")
