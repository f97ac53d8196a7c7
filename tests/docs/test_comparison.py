"""The tables that compare us with other packages are of the checks that exist."""

from __future__ import annotations

import datetime
import importlib.util
import re
import sys
from typing import Any

import pytest

from tests.helpers.comparison import table
from tests.helpers.servers import ROOT
from tests.langchain.conformance import ChatConformance
from tests.langchain.conformance import EmbeddingConformance as LangChainEmbeddings
from tests.llama_index.conformance import (
    EmbeddingConformance,
    LLMConformance,
    RerankConformance,
)

FILE = ROOT / "scripts" / "compare_peers.py"
SUITES: dict[str, tuple[type, ...]] = {
    "langchain": (ChatConformance, LangChainEmbeddings),
    "llama-index": (LLMConformance, EmbeddingConformance, RerankConformance),
}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(FILE.parent), *sys.path])
    spec = importlib.util.spec_from_file_location("compare_peers", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compare_peers", module)  # its dataclass looks there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("framework", SUITES)
def test_the_page_has_every_check_and_no_other(framework: str, script: Any) -> None:
    page = script.COMPARISONS[framework].page.read_text(encoding="utf-8")
    tables = page.partition(script.BEGIN)[2].partition(script.END)[0]
    shown = set(re.findall(r"^\| (\w+)(?:\[.*?\])? \| (?:yes|no) \|", tables, re.MULTILINE))
    checks = {name for suite in SUITES[framework] for name in dir(suite) if name[:5] == "test_"}
    assert shown == {name.removeprefix("test_") for name in checks}, (
        f"run: python scripts/compare_peers.py {framework}"
    )
    assert re.search(r"Made on 20\d\d-\d\d-\d\d\. Versions: \S*core ", tables)


def test_every_framework_has_a_page_and_a_suite(script: Any) -> None:
    assert script.COMPARISONS.keys() == SUITES.keys()
    for comparison in script.COMPARISONS.values():
        assert importlib.util.find_spec(comparison.module) is not None


def test_writing_replaces_what_is_between_the_marks(script: Any) -> None:
    page = f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n"
    day = datetime.date(2030, 1, 2)
    once = script.written(page, "| new |\n", day)
    assert once == (
        f"before\n{script.BEGIN}\n\nMade on 2030-01-02. | new |\n\n{script.END}\nafter\n"
    )
    assert script.written(once, "| new |", day) == once
    with pytest.raises(script.SetupError):
        script.written("no marks", "x", day)


def test_cases_of_a_check_can_share_a_line() -> None:
    found = {
        "Ours": {"test_a[x]": True, "test_a[y]": True, "test_b": True},
        "Theirs": {"test_a[x]": True, "test_a[y]": False, "test_b": False},
    }
    assert table(found, ["Ours", "Theirs"]).splitlines()[2:] == [
        "| **passed** | **3/3** | **1/3** |",
        "| a[x] | yes | yes |",
        "| a[y] | yes | no |",
        "| b | yes | no |",
    ]
    assert table(found, ["Ours", "Theirs"], grouped=True).splitlines()[3:] == [
        "| a | yes | 1/2 |",
        "| b | yes | no |",
    ]
