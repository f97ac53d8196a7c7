"""The programs in ``examples/llama_index`` run, word for word, against real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.gateway import gateway
from tests.helpers.servers import ROOT

FOLDER = ROOT / "examples" / "llama_index"
EXPECTED = {
    "agent": ["[get_weather", "[get_time", "It is 21 degrees and 12:30 in Paris."],
    "chat": ["Hello! How can I help you today?", "7 has no divisor", "Yes, 7 is prime.", "tokens"],
    "embeddings": ["loaf? -> Bread", "theory -> A prime"],
    "errors": ["temperature"],
    "parallel": ["France? The capital of France is Paris.", "Say hello. Hello!"],
    "structured": ["Ada is 36", "{'name': 'Ada', 'age': 36}"],
}


def test_every_program_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_program_is_short_and_runs(
    name: str, llama_chat_url: str, llama_embed_url: str, tmp_path: Path
) -> None:
    program = FOLDER / f"{name}.py"
    assert len(program.read_text(encoding="utf-8").splitlines()) < 40
    with gateway(llama_chat_url, llama_embed_url) as (url, _):
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "HUGGINGFACE_BASE_URL": f"{url}/v1",
            "HF_TOKEN": "hf_not_a_token",
        }
        done = subprocess.run(
            [sys.executable, str(program)],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    for text in EXPECTED[name]:
        assert text in done.stdout, done.stdout
