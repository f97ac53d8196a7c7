"""The example programs run offline; online they ask for a token."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import environment
from tests.helpers.servers import ROOT

EXAMPLES = {
    "langchain_chain.py": "The dome opens at dusk.",
    "langchain_vector_store.py": "The dome opens at dusk.",
    "llama_index_rag.py": "eighteen months",
    "local_client.py": "55 km/h",
}
ONLINE = sorted(EXAMPLES.keys() - {"local_client.py"})


def _run(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(ROOT / "examples" / name), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(folder) | {"OMP_NUM_THREADS": "1"},
        timeout=90,
    )


def test_every_program_is_tested() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_program_runs_offline(name: str, tmp_path: Path) -> None:
    done = _run(name, tmp_path, "--local")
    assert done.returncode == 0, done.stderr
    assert EXAMPLES[name] in done.stdout


@pytest.mark.parametrize("name", ONLINE)
def test_without_token_a_program_says_what_to_do(name: str, tmp_path: Path) -> None:
    done = _run(name, tmp_path)
    assert done.returncode == 1
    assert "no Hugging Face token" in done.stderr
    assert "local=True" in done.stderr
