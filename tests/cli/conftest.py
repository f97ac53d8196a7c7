"""Run the command as a user does: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.servers import ROOT

Command = Callable[..., subprocess.CompletedProcess[str]]

DOCS = ROOT / "examples" / "docs"


@pytest.fixture
def hfrouter(tmp_path: Path) -> Command:
    """Return a function that runs ``hfrouter`` in an empty folder with an empty environment."""

    def run(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", "-m", "shared_core.cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(tmp_path) | environ,
            timeout=60,
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
