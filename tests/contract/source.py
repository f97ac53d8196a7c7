"""Read the packages' source for the contract tests: imports, calls, public names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.helpers.servers import ROOT

PACKAGES = ("shared_core", "langchain_hfrouter", "llama_index_hfrouter")


@dataclass(frozen=True)
class Import:
    """One import of one module: where, what, and whether only type checkers see it."""

    importer: str
    module: str
    names: tuple[str, ...]
    line: int
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.module} {' '.join(self.names)}".strip()


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the packages."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Return every module of the packages by dotted name."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {module_name(file): file for file in sorted(files)}


@cache
def tree(module: str) -> ast.Module:
    """Return the parsed source of *module*."""
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imports(module: str) -> Iterator[Import]:
    """Yield every import in *module*, also those inside functions."""
    yield from _walk(module, tree(module), typing_only=False)


def _walk(module: str, node: ast.AST, *, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(module, alias.name, (), child.lineno, typing_only)
        elif isinstance(child, ast.ImportFrom):
            names = tuple(alias.name for alias in child.names)
            yield Import(module, _absolute(module, child), names, child.lineno, typing_only)
        elif isinstance(child, ast.If) and _is_type_checking(child.test):
            for statement in child.body:
                yield from _walk(module, _wrapped(statement), typing_only=True)
            for statement in child.orelse:
                yield from _walk(module, _wrapped(statement), typing_only=typing_only)
        else:
            yield from _walk(module, child, typing_only=typing_only)


def _wrapped(statement: ast.stmt) -> ast.Module:
    return ast.Module(body=[statement], type_ignores=[])


def _is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_package = modules()[module].name == "__init__.py"
    base = module.split(".")[: None if is_package and node.level == 1 else -node.level]
    return ".".join([*base, node.module] if node.module else base)


def targets(imported: Import) -> list[str]:
    """Return the modules of ours that an import reaches (``from package import module`` too)."""
    if imported.module.split(".")[0] not in PACKAGES:
        return []
    reached = [f"{imported.module}.{n}" for n in imported.names]
    submodules = [name for name in reached if name in modules()]
    return submodules if len(submodules) == len(imported.names) > 0 else [imported.module]


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` for a chain of attributes, or an empty text."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""
