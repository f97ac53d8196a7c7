"""Model folders, each made once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import chat_models, torch_models


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def taught(folders: Path) -> Path:
    """The chat model that knows the conversations of tests/assets/README.md."""
    return torch_models.write_taught(folders / "taught")


@pytest.fixture(scope="session")
def seeing(folders: Path) -> Path:
    """A chat model that was taught the colours of images."""
    return chat_models.write_llava(folders / "seeing")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The true all-MiniLM-L6-v2."""
    return torch_models.minilm_folder()


@pytest.fixture(scope="session")
def ranker(folders: Path) -> Path:
    """A cross-encoder with random weights."""
    return torch_models.write_random(folders / "ranker", "ForSequenceClassification", num_labels=1)


@pytest.fixture(scope="session")
def classifier(folders: Path) -> Path:
    """A classifier with random weights that can also be asked whether one text entails another."""
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    return torch_models.write_random(
        folders / "classifier",
        "ForSequenceClassification",
        id2label=labels,
        label2id={label: number for number, label in labels.items()},
    )
