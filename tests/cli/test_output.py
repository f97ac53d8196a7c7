"""What is printed where."""

from __future__ import annotations

import sys

import pytest

from shared_core.cli.ask import _framework
from shared_core.cli.output import Progress, UsageError, complain, table, write_pieces


def test_progress_without_tqdm_is_a_line_per_tenth(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with Progress("Indexing", 43) as progress:
        for _ in range(43):
            progress.advance(1)
    output, errors = capsys.readouterr()
    lines = errors.splitlines()
    assert output == ""
    assert len(lines) == 10
    assert lines[-1] == "Indexing: 43/43 passages"


def test_tables_are_aligned() -> None:
    assert table(("A", "B"), [("long", "x"), ("s", "yy")]).splitlines() == [
        "A     B",
        "long  x",
        "s     yy",
    ]


def test_an_answer_ends_with_one_line_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert write_pieces(["a", "b"]) == "ab"
    assert write_pieces(["c\n"]) == "c\n"
    assert capsys.readouterr().out == "ab\nc\n"


def test_an_error_is_indented_below_its_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain("What happened.\nWhat to do.")
    assert capsys.readouterr().err == "hfrouter: What happened.\n  What to do.\n"


def test_a_missing_framework_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "hfrouter\[llama-index\]"'):
        _framework("llama-index")
    with pytest.raises(UsageError, match=r"\[langchain\].* or .*\[llama-index\]"):
        _framework(None)
