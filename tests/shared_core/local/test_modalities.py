"""What the list of models says that a chat model reads; nothing is loaded or downloaded for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared_core import LocalModels, RouterClient
from tests.helpers.hub_server import COMMIT


def _write(folder: Path, config: Any, *others: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name in others:
        (folder / name).write_text("{}")
    return folder


def _listed(source: str | Path) -> tuple[str, ...]:
    with RouterClient(local=LocalModels(chat=source)) as client:
        return next(iter(client.models.list())).input_modalities


@pytest.mark.parametrize(
    ("config", "files", "expected"),
    [
        ({"vision_config": {}}, ["preprocessor_config.json"], ("text", "image")),
        ({"audio_config": {}}, ["processor_config.json"], ("text", "audio")),
        (
            {"audio_config": {}, "vision_config": {}},
            ["processor_config.json", "preprocessor_config.json"],
            ("text", "image", "audio"),
        ),
        ({"vision_config": {}}, [], ("text",)),  # no processor makes images ready
        ({"hidden_size": 8}, ["processor_config.json"], ("text",)),
        ("no JSON", ["processor_config.json"], ("text",)),
        ("[]", ["processor_config.json"], ("text",)),
    ],
)
def test_a_folder_says_what_its_model_reads(
    tmp_path: Path, config: Any, files: list[str], expected: tuple[str, ...]
) -> None:
    assert _listed(_write(tmp_path / "model", config, *files)) == expected


def test_a_folder_that_is_not_there_is_no_reason_to_fail(tmp_path: Path) -> None:
    assert _listed(tmp_path / "none") == ("text",)


def test_of_a_hub_id_the_cache_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert _listed("org/sees") == ("text",)
    model = tmp_path / "models--org--sees"
    _write(model / "snapshots" / COMMIT, {"vision_config": {}}, "processor_config.json")
    assert _listed("org/sees") == ("text",)  # no branch leads there
    assert _listed(f"org/sees@{COMMIT}") == ("text", "image")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    assert _listed("org/sees") == ("text", "image")
    assert _listed("org/sees@other") == ("text",)
