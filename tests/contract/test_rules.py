"""Every rule of an adapter's rules.toml is named by a test beside it; every named rule exists."""

from __future__ import annotations

import ast
import functools
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.servers import ROOT

LISTS = sorted((ROOT / "tests").rglob("rules.toml"))


def rules() -> dict[str, str]:
    """Return every rule by the folder of its list and its name."""
    found: dict[str, str] = {}
    for file in LISTS:
        for group in tomllib.loads(file.read_text(encoding="utf-8")).values():
            new = {f"{file.parent.name}: {name}": rule for name, rule in group.items()}
            assert not found.keys() & new.keys(), "a name stands twice"
            found.update(new)
    return found


def named(file: Path) -> list[str]:
    """Return the names in every ``pytest.mark.rule(...)`` of *file*."""
    calls = (
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.rule"
    )
    return [ast.literal_eval(argument) for call in calls for argument in call.args]


@functools.cache
def times_named() -> Counter[str]:
    """Return how often each rule is named in the tests of its folder."""
    tests = ROOT / "tests"
    return Counter(
        f"{file.relative_to(tests).parts[0]}: {name}"
        for file in tests.rglob("*.py")
        for name in named(file)
    )


def test_both_adapters_have_a_list() -> None:
    assert {file.parent.name for file in LISTS} == {"langchain", "llama_index"}


@pytest.mark.parametrize("rule", rules())
def test_a_test_names_the_rule(rule: str) -> None:
    assert times_named()[rule], rules()[rule]


def test_no_test_names_a_rule_that_does_not_exist() -> None:
    assert times_named().keys() - rules().keys() == set()


def test_marks_are_found_wherever_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "test_x.py"
    file.write_text(
        "import pytest\n"
        'pytestmark = pytest.mark.rule("of-the-file")\n'
        '@pytest.mark.rule("one", "two")\n'
        'class TestX:\n    @pytest.mark.parametrize("n", [pytest.param(1, '
        'marks=pytest.mark.rule("of-a-case"))])\n    def test_n(self, n): ...\n'
    )
    assert sorted(named(file)) == ["of-a-case", "of-the-file", "one", "two"]
