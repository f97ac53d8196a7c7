"""What may run in this process, as far as it shows without PyTorch."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from shared_core import (
    InvalidSettingError,
    LocalModelError,
    LocalModels,
    LocalTask,
    ModelNotFoundError,
    RouterClient,
    UnsupportedFeatureError,
)
from shared_core.local.torch.loading import refuse_pickles


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "onnx"}, "backend must be one of numpy, sentence-transformers: 'onnx'"),
        ({"tasks": {"text-to-image": "x"}}, r"no pipeline: say how by LocalTask\(source, load"),
        ({"tasks": {"text-generation": "x"}}, "name its model by chat=: 'text-generation'"),
        ({"tasks": {"sentence-similarity": "x"}}, "name its model by embeddings="),
        ({"tasks": {"Fill Mask": "x"}}, "must name tasks of the Hub, such as 'fill-mask'"),
        ({"tasks": {"text-ranking": LocalTask("x", str, str)}}, "takes a folder or a Hub id"),
        ({"tasks": {"pose": LocalTask("", str, str)}}, r"tasks\['pose'\] must be a folder or a"),
        ({"tasks": "text-ranking"}, "must be a dict"),
        ({"tasks": {"text-ranking": 3}}, r"tasks\['text-ranking'\] must be a folder or a Hub id"),
        ({"chat": ""}, "chat must be a folder or a Hub id"),
        ({"embeddings": 3}, "embeddings must be a folder or a Hub id"),
        ({"device": 0}, "device must be a name"),
        ({"device": "cuda"}, "device has no effect"),
        ({"dtype": "float16"}, "dtype has no effect"),
        ({"trust_remote_code": True}, "trust_remote_code has no effect"),
        ({"chat": "x", "trust_remote_code": "yes"}, "must be True or False"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        LocalModels(**options)


def test_the_whole_choice_pickles_and_compares(tmp_path: Path) -> None:
    tasks = {"text-ranking": tmp_path}
    choice = LocalModels("org/name", chat=tmp_path, tasks=tasks, device="cpu", dtype="auto")
    assert pickle.loads(pickle.dumps(choice)) == choice
    assert {choice: 1}[choice] == 1
    tasks.clear()
    assert choice.tasks == {"text-ranking": str(tmp_path)}


def test_names_are_those_of_folder_or_hub_id(tmp_path: Path) -> None:
    choice = LocalModels("org/name.v2@main", chat=tmp_path / "my model")
    assert choice.embedding_model == "local/name.v2"
    assert choice.chat_model == "local/my-model"
    tasks = {"text-ranking": "org/ranker"}
    with RouterClient(local=LocalModels(chat="org/chat", tasks=tasks)) as client:
        names = [model.id for model in client.models.list()]
        assert client.models.get("local/ranker").id == "local/ranker"
    assert names == ["local/chat", "local/all-MiniLM-L6-v2", "local/ranker"]


def test_what_has_no_model_is_refused_with_the_way_to_name_one() -> None:
    with RouterClient(local=True) as client:
        with pytest.raises(UnsupportedFeatureError, match=r"LocalModels\(chat="):
            client.tasks.text_generation("Once")
        with pytest.raises(UnsupportedFeatureError, match=r"tasks=\{'fill-mask'"):
            client.tasks.fill_mask("a [MASK]")
        with pytest.raises(UnsupportedFeatureError, match=r"tasks=\{'text-ranking'"):
            client.tasks.rerank("a", ["b"])
        with pytest.raises(UnsupportedFeatureError, match="Local mode cannot do this"):
            client.responses.create("Hello")
        with pytest.raises(UnsupportedFeatureError, match=r"'text-to-image': LocalTask\(source"):
            client.tasks.text_to_image("A lighthouse")
        with pytest.raises(UnsupportedFeatureError, match=r"tasks=\{'mask-generation': FOLDER"):
            client.tasks.call("mask-generation", file=b"\x89PNG\r\n\x1a\n")
        with pytest.raises(UnsupportedFeatureError, match=r"tasks=\{'image-classification'"):
            client.tasks.image_classification(b"\x89PNG\r\n\x1a\n")
        assert client.tasks.rerank("cat", ["feline", "stock"], method="sentence-similarity")


def test_a_request_is_refused_before_anything_is_loaded() -> None:
    models = LocalModels(chat="/nowhere", tasks={"text-ranking": "/nowhere"})
    with RouterClient(local=models) as client:
        with pytest.raises(UnsupportedFeatureError) as caught:
            client.chat.create("Hello", n=2)
        assert caught.value.param == "n"
        with pytest.raises(ModelNotFoundError, match="it has local/nowhere"):
            client.chat.create("Hello", model="org/other")
        with pytest.raises(UnsupportedFeatureError, match="best_of"):
            client.tasks.text_generation("Hello", best_of=2)
        with pytest.raises(ModelNotFoundError, match="it has local/nowhere"):
            client.tasks.text_ranking("a", ["b"], model="http://localhost/other")


@pytest.mark.parametrize(
    ("options", "package", "extra"),
    [
        ({"backend": "sentence-transformers"}, "sentence_transformers", "sentence-transformers"),
        ({"chat": "FOLDER"}, "torch", "transformers"),
        ({"tasks": {"fill-mask": "FOLDER"}}, "transformers", "transformers"),
        (
            {"tasks": {"text-ranking": "FOLDER"}},
            "sentence_transformers",
            "sentence-transformers",
        ),
    ],
)
def test_a_missing_library_names_the_command(
    options: dict[str, Any],
    package: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    given = {
        name: {task: str(tmp_path) for task in value}
        if isinstance(value, dict)
        else value.replace("FOLDER", str(tmp_path))
        for name, value in options.items()
    }
    with RouterClient(local=LocalModels(dtype="float32", **given)) as client:
        with pytest.raises(ImportError, match=rf'pip install "hfrouter\[{extra}\]"'):
            if "chat" in given:
                client.chat.create("Hello")
            elif "backend" in given:
                client.embeddings.create(["a"])
            elif "fill-mask" in given["tasks"]:
                client.tasks.fill_mask("a [MASK]")
            else:
                client.tasks.rerank("a", ["b"])


def test_weights_that_are_only_a_pickle_are_refused(tmp_path: Path) -> None:
    refuse_pickles(tmp_path)
    dense = tmp_path / "2_Dense"
    dense.mkdir()
    (dense / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(LocalModelError, match="2_Dense"):
        refuse_pickles(tmp_path)
    (dense / "model.safetensors").write_bytes(b"")
    refuse_pickles(tmp_path)


def test_the_environments_server_does_not_change_what_local_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HUGGINGFACE_BASE_URL", "http://127.0.0.1:9/v1")
    with RouterClient(local=True) as client:
        # A server at /v1 has no normalize; this process does.
        assert client.embeddings.create(["a"], normalize=False).dimensions == 384
        online = client.with_options(local=None)
    assert online.settings.base_url == "http://127.0.0.1:9/v1"


def test_the_reader_does_without_meaning_only_if_none_was_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    models = LocalModels(backend="sentence-transformers", dtype="float64")
    with RouterClient(local=models) as client, pytest.raises(ImportError, match="pip install"):
        client.chat.create("The dome opens at dusk. When does the dome open?")


class _Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, parts: Any) -> Any:
        return parts


def test_a_task_of_ones_own_needs_two_functions() -> None:
    with pytest.raises(InvalidSettingError, match="run of a LocalTask must be a function"):
        LocalTask("org/name", str, "run")  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError, match="load of a LocalTask must be hashable"):
        LocalTask("org/name", _Unhashable(), str)
    task = LocalTask("org/name@main", str, str)
    with RouterClient(local=LocalModels(tasks={"pose-estimation": task})) as client:
        assert [model.id for model in client.models.list()][-1] == "local/name"


def test_a_model_may_have_the_name_of_a_route(tmp_path: Path) -> None:
    folder = tmp_path / "similarity"
    with RouterClient(local=LocalModels(tasks={"fill-mask": folder})) as client:
        with pytest.raises(LocalModelError, match="There is no model folder"):
            client.tasks.fill_mask("a [MASK]", model="local/similarity")
