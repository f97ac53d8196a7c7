"""Run the command, in this process or as a user does: in one of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared_core.cli import main
from tests.helpers.servers import ROOT

Command = Callable[..., subprocess.CompletedProcess[str]]

DOCS = ROOT / "examples" / "docs"


@pytest.fixture
def hfrouter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Return a function that runs ``hfrouter`` in this process, in an empty folder."""

    def run(
        *arguments: str, stdin: str = "", terminal: bool = False, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        typed = io.StringIO(stdin)
        typed.isatty = lambda: terminal  # type: ignore[method-assign]
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(sys, "stdin", typed)
            for name, value in environ.items():
                patch.setenv(name, value)
            try:
                code = main(arguments)
            except SystemExit as stop:  # raised by argparse
                assert isinstance(stop.code, int)
                code = stop.code
        output, errors = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, output, errors)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Command:
    """Return a function that runs ``hfrouter`` in a process with an empty environment."""

    def run(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", "-m", "shared_core.cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(tmp_path) | environ,
            timeout=180,
        )

    return run


def environment(home: Path) -> dict[str, str]:
    """Return the least that a process needs, without tokens."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
    }
