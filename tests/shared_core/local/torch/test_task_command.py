"""``hfrouter task NAME --local``: what it prints and the files that it writes."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "pandas")

from shared_core.cli import main  # noqa: E402
from tests.helpers import speech_models, text_models  # noqa: E402

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a task: exit code, output, messages."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # the command sets what is not set

    def run(task: str, *arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(("task", task, *arguments, "--local", "--device", "cpu"))
        return (code, *capsys.readouterr())

    return run


def test_speech_becomes_a_file(run: Run, tmp_path: Path) -> None:
    folder = str(speech_models.write_vits(tmp_path / "vits"))
    out = str(tmp_path / "said")
    code, shown, told = run("text-to-speech", "the dome", "--model", folder, "--out", out)
    assert code == 0, told
    facts = json.loads(shown)
    assert facts["file"] == f"{out}.wav"
    assert facts["media_type"] == "audio/wav"
    with wave.open(facts["file"]) as file:
        assert file.getframerate() == speech_models.RATE
        assert file.getnframes() > 50
    code, _, told = run(
        *("text-to-speech", "the dome", "--model", folder, "--out", out, "--voice", "anna")
    )
    assert code == 1
    assert "does not know the parameter 'voice'" in told


def test_music_is_made_as_long_as_is_asked(run: Run, tmp_path: Path) -> None:
    folder = str(speech_models.write_musicgen(tmp_path / "musicgen"))
    lengths = []
    for count in ("6", "12"):
        out = tmp_path / f"{count}.wav"
        told = run(
            *("text-to-audio", "a song", "--model", folder, "--out", str(out)),
            *("--max-new-tokens", count),
        )
        assert told[0] == 0, told
        with wave.open(str(out)) as file:
            lengths.append(file.getnframes())
    assert lengths[1] > lengths[0] > 0


def test_a_table_is_read_from_a_file(run: Run, tmp_path: Path) -> None:
    folder = str(text_models.write_tapas(tmp_path / "tapas"))
    table = tmp_path / "ages.csv"
    table.write_text("Name,Age\nAda,36\nBob,41\nCid,7\n")
    code, shown, told = run(
        "table-question-answering", "How old is Ada?", str(table), "--model", folder
    )
    assert code == 0, told
    found = json.loads(shown)
    assert found["aggregator"] in ("NONE", "SUM", "AVERAGE", "COUNT")
    assert found["cells"]
    assert set(found["cells"]) <= {"Ada", "Bob", "Cid", "36", "41", "7"}
