"""Run the suite on ``HFRouter`` and the installed peers and print a table.

``python -m tests.llama_index.conformance.compare``
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from pathlib import Path

import pytest

OUR_OWN = ("HFRouter", "HFRouterEmbedding")


class Outcomes:
    """A pytest plugin that keeps the outcome of every check by class."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, bool]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            _, kind, check = report.nodeid.split("::")
            name = kind.removeprefix("Test")
            passed = self.found[name].get(check, True) and report.passed
            self.found[name][check] = passed


def table(found: dict[str, dict[str, bool]]) -> str:
    """Return the outcomes as Markdown: one table per suite, sums first."""
    lines = []
    for ours in OUR_OWN:
        checks = list(found.get(ours, {}))
        embeds = ours.endswith("Embedding")
        names = [name for name in found if name.endswith("Embedding") is embeds]
        if not checks:
            continue
        lines.append(f"| check | {' | '.join(names)} |")
        lines.append(f"|---|{'---|' * len(names)}")
        sums = [f"**{sum(found[name].values())}/{len(checks)}**" for name in names]
        lines.append(f"| **passed** | {' | '.join(sums)} |")
        for check in checks:
            marks = ["yes" if found[name].get(check) else "no" for name in names]
            lines.append(f"| {check.removeprefix('test_')} | {' | '.join(marks)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Run and print."""
    outcomes = Outcomes()
    suite = str(Path(__file__).with_name("peers.py"))
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        pytest.main(
            [
                "-q",
                "-o",
                "filterwarnings=default",
                "-p",
                "no:cacheprovider",
                "--timeout=60",
                "--tb=no",
                suite,
            ],
            plugins=[outcomes],
        )
    print(table(outcomes.found))


if __name__ == "__main__":
    main()
