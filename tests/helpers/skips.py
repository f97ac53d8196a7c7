"""``--refuse-skips``: a skip whose reason is not on the written list fails the session.

The list is ``tests/allowed_skips.txt``: one pattern per line (``fnmatch``, matched with the
whole reason), ``#`` starts a comment. A line ``PATTERN unless PATH`` holds only where that
path, seen from the repository, does not exist. Expected failures (xfail) count as skips.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pytest

ALLOWED = Path(__file__).resolve().parents[1] / "allowed_skips.txt"


def allowed_patterns(text: str, root: Path) -> list[str]:
    """Return the patterns of an ``allowed_skips.txt`` that hold in the repository *root*."""
    patterns = []
    for line in text.splitlines():
        pattern, _, path = line.partition("#")[0].strip().partition(" unless ")
        if pattern and not (path and (root / path.strip()).exists()):
            patterns.append(pattern)
    return patterns


def is_allowed(reason: str, patterns: list[str]) -> bool:
    """Tell whether *reason* matches one of *patterns*."""
    return any(fnmatch.fnmatchcase(reason, pattern) for pattern in patterns)


class RefuseSkips:
    """Collects skip reasons and fails the session over unlisted ones."""

    def __init__(self, patterns: list[str]) -> None:
        self.patterns = patterns
        self.unlisted: list[str] = []

    def _note(self, where: str, reason: str) -> None:
        if not is_allowed(reason, self.patterns):
            self.unlisted.append(f"{where}: {reason}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note modules that skip themselves while being collected."""
        if report.skipped:
            self._note(report.nodeid, _reason(report))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note skipped tests and expected failures."""
        if report.skipped:
            self._note(report.nodeid, getattr(report, "wasxfail", None) or _reason(report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn an otherwise good session into a failed one."""
        if self.unlisted and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which skips were refused."""
        if self.unlisted:
            terminalreporter.section("refused skips (not in tests/allowed_skips.txt)", red=True)
            for line in self.unlisted:
                terminalreporter.line(line)


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    text = report.longrepr
    text = text[2] if isinstance(text, tuple) else str(text)
    return text.removeprefix("Skipped: ")
