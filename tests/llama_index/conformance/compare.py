"""Run the suite on our classes and the installed peers and print the outcomes as Markdown.

``python -m tests.llama_index.conformance.compare``; ``scripts/compare_peers.py`` runs it in an
environment made for it.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import defaultdict
from importlib import metadata
from pathlib import Path

import pytest

OUR_OWN = ("HFRouter", "HFRouterEmbedding", "HFRouterRerank")
PACKAGES = (
    "llama-index-core",
    "llama-index-llms-openai-like",
    "llama-index-llms-huggingface-api",
    "llama-index-embeddings-openai-like",
    "llama-index-embeddings-huggingface-api",
    "llama-index-embeddings-text-embeddings-inference",
    "llama-index-postprocessor-tei-rerank",
    "pydantic",
)


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


def kind(name: str) -> str:
    """Return the one of our classes that *name* is compared with."""
    suffix = next((end for end in ("Embedding", "Rerank") if name.endswith(end)), "")
    return f"HFRouter{suffix}"


def table(found: dict[str, dict[str, bool]]) -> str:
    """Return the outcomes as Markdown: one table per suite, sums first."""
    parts = []
    for ours in OUR_OWN:
        checks = list(found.get(ours, {}))
        names = [ours, *(name for name in found if kind(name) == ours and name != ours)]
        if not checks:
            continue
        sums = [f"**{sum(found[name].values())}/{len(checks)}**" for name in names]
        lines = [
            f"| check | {' | '.join(names)} |",
            f"|---|{'---|' * len(names)}",
            f"| **passed** | {' | '.join(sums)} |",
        ]
        for check in checks:
            marks = ["yes" if found[name].get(check) else "no" for name in names]
            lines.append(f"| {check.removeprefix('test_')} | {' | '.join(marks)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def versions() -> str:
    """Return the names and versions of what was compared."""
    found = []
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{package.removeprefix('llama-index-')} {metadata.version(package)}")
    return ", ".join(found)


def main() -> int:
    """Run and print; 1 if one of our own classes fails a check."""
    outcomes = Outcomes()
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
                str(Path(__file__).with_name("peers.py")),
            ],
            plugins=[outcomes],
        )
    python = ".".join(map(str, sys.version_info[:2]))
    print(f"Versions: {versions()}, Python {python}.\n\n{table(outcomes.found)}")
    return int(not all(all(outcomes.found[name].values()) for name in OUR_OWN))


if __name__ == "__main__":
    sys.exit(main())
