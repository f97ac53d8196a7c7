"""The tables that compare us with other packages are of the checks that exist."""

from __future__ import annotations

import datetime
import importlib.util
import re
import sys

import pytest

from tests.helpers.servers import ROOT
from tests.llama_index.conformance import (
    EmbeddingConformance,
    LLMConformance,
    RerankConformance,
)

FILE = ROOT / "scripts" / "compare_peers.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "path", [str(FILE.parent), *sys.path])
    spec = importlib.util.spec_from_file_location("compare_peers", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_every_check_and_no_other(script) -> None:  # type: ignore[no-untyped-def]
    page = script.PAGE.read_text(encoding="utf-8")
    tables = page.partition(script.BEGIN)[2].partition(script.END)[0]
    shown = set(re.findall(r"^\| (\w+)(?:\[.*?\])? \| (?:yes|no) \|", tables, re.MULTILINE))
    suites = (LLMConformance, EmbeddingConformance, RerankConformance)
    checks = {name for suite in suites for name in vars(suite) if name.startswith("test_")}
    assert shown == {name.removeprefix("test_") for name in checks}, (
        "run: python scripts/compare_peers.py"
    )
    assert "Made on 20" in tables
    assert "Versions: core " in tables


def test_writing_replaces_what_is_between_the_marks(script) -> None:  # type: ignore[no-untyped-def]
    page = f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n"
    day = datetime.date(2030, 1, 2)
    once = script.written(page, "| new |\n", day)
    assert once == (
        f"before\n{script.BEGIN}\n\nMade on 2030-01-02. | new |\n\n{script.END}\nafter\n"
    )
    assert script.written(once, "| new |", day) == once
    with pytest.raises(script.SetupError):
        script.written("no marks", "x", day)
