"""Runs a conformance suite on our classes and the installed peers; the outcomes as Markdown."""

from __future__ import annotations

import contextlib
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import pytest

Found = dict[str, dict[str, bool]]
"""Class -> check -> whether it passed."""


class Outcomes:
    """A pytest plugin that keeps the outcome of every check by class."""

    def __init__(self) -> None:
        self.found: Found = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            _, kind, check = report.nodeid.split("::")
            name = kind.removeprefix("Test")
            passed = self.found[name].get(check, True) and report.passed
            self.found[name][check] = passed


def of(peers: Path) -> Found:
    """Run the checks of *peers* and return their outcomes.

    Args:
        peers: A file with a test class for each class that is compared.
    """
    outcomes = Outcomes()
    quiet = io.StringIO()
    options = [
        "-q",
        "-o",
        "filterwarnings=default",
        "-p",
        "no:cacheprovider",
        "--timeout=60",
        "--tb=no",
    ]
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        pytest.main([*options, str(peers)], plugins=[outcomes])
    return outcomes.found


def table(found: Found, names: Sequence[str], *, grouped: bool = False) -> str:
    """Return a table with a line for each check and a column for each class, sums first.

    Args:
        found: Outcomes.
        names: The classes, ours first.
        grouped: One line for all cases of a check: yes, no, or how many of them passed.
    """
    checks = list(found.get(names[0], {}))
    passed = [sum(found[name].get(check, False) for check in checks) for name in names]
    sums = [f"**{number}/{len(checks)}**" for number in passed]
    lines = [
        f"| check | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        f"| **passed** | {' | '.join(sums)} |",
    ]
    lines += [
        f"| {line} | {' | '.join(_mark(found[name], cases) for name in names)} |"
        for line, cases in _lines(checks, grouped=grouped).items()
    ]
    return "\n".join(lines)


def _lines(checks: Iterable[str], *, grouped: bool) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    for check in checks:
        name = check.removeprefix("test_")
        lines.setdefault(name.partition("[")[0] if grouped else name, []).append(check)
    return lines


def _mark(outcomes: dict[str, bool], cases: list[str]) -> str:
    passed = sum(outcomes.get(case, False) for case in cases)
    if passed in (0, len(cases)):
        return "yes" if passed else "no"
    return f"{passed}/{len(cases)}"


def versions(packages: Iterable[str], prefix: str) -> str:
    """Return names and versions of what was compared, and of Python.

    Args:
        packages: Names of distributions; those that are not installed are left out.
        prefix: Taken off the names.
    """
    found = []
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{package.removeprefix(prefix)} {metadata.version(package)}")
    python = ".".join(map(str, sys.version_info[:2]))
    return f"Versions: {', '.join(found)}, Python {python}."
