"""The soak and the benchmark of the guards work: a short run of each, in a process of its own."""

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


def test_the_benchmark_of_the_guards_measures_all_of_them() -> None:
    script = str(ROOT / "benchmarks" / "guards.py")
    done = subprocess.run(
        [sys.executable, script, "--calls", "20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for name in ("nothing", "retry", "breaker", "rate limiter", "refused by the", "answered by"):
        assert f"\n{name}" in done.stdout
