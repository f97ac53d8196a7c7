"""Rules that hold for every source file."""

from __future__ import annotations

import ast

import pytest

from tests.contract.source import modules, tree
from tests.helpers.servers import ROOT

MOST_LINES = 450


@pytest.mark.parametrize("module", list(modules()))
def test_file_is_short_and_says_what_it_is(module: str) -> None:
    text = modules()[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    parsed = tree(module)
    assert ast.get_docstring(parsed), "a module docstring is missing"
    statements = parsed.body[1:]
    if statements:
        first = statements[0]
        assert isinstance(first, ast.ImportFrom)
        assert first.module == "__future__", "from __future__ import annotations is missing"


def test_scripts_are_short() -> None:
    scripts = list(ROOT.glob("scripts/*.py"))
    long = {f.name for f in scripts if len(f.read_text("utf-8").splitlines()) > MOST_LINES}
    assert scripts
    assert long == set()


@pytest.mark.parametrize("module", list(modules()))
def test_public_functions_name_their_keywords(module: str) -> None:
    # `**kwargs: Any` hides misspelt names; TypedDict keywords (Unpack) do not.
    wrong = [
        f"{module}.{function.name}"
        for function in _public_functions(tree(module))
        if (extra := function.args.kwarg) is not None and extra.annotation is None
    ]
    assert wrong == []


def _public_functions(node: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    found: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            found += _public_functions(child)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            found += [] if child.name.startswith("_") else [child]
    return found
