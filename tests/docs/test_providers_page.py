"""docs/providers.md says what the registry has."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from shared_core.providers import registry
from tests.helpers.servers import ROOT


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    path = ROOT / "scripts" / "providers_doc.py"
    spec = importlib.util.spec_from_file_location("providers_doc", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_up_to_date(writer: ModuleType) -> None:
    assert writer.PAGE.read_text(encoding="utf-8") == writer.page(), (
        "run: python scripts/providers_doc.py"
    )


def test_page_has_a_row_for_every_pair(writer: ModuleType) -> None:
    text = writer.page()
    for row in registry.table():
        if row.task == "conversational":
            assert f"| {row.provider} | `https://" in text
        elif row.provider == registry.HF_INFERENCE:
            assert row.provider in next(
                line for line in text.splitlines() if line.startswith(f"| {row.task} |")
            )
        else:
            assert f"| {row.provider} | {row.task} | `POST " in text
