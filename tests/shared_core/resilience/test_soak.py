"""The soak script works: a short run of it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from tests.helpers.servers import ROOT


def test_a_short_soak_loses_nothing() -> None:
    script = str(ROOT / "benchmarks" / "soak.py")
    done = subprocess.run(
        [sys.executable, script, "--seconds", "1", "--concurrency", "40"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "wrong or untyped        {}" in done.stdout
    assert done.stdout.strip().endswith("GOOD")
