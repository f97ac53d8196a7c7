"""docs/tasks.md says what the code does, and its examples run."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from shared_core import RouterClient
from tests.helpers.fault_server import FaultServer, json_reply, reply
from tests.helpers.servers import ROOT

SCRIPTS = ROOT / "scripts"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # tasks_doc imports its neighbour
    spec.loader.exec_module(module)
    return module


EXAMPLES = loaded("_task_examples")
WRITER = loaded("tasks_doc")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def test_page_is_up_to_date() -> None:
    assert WRITER.PAGE.read_text(encoding="utf-8") == WRITER.page(), (
        "run: python scripts/tasks_doc.py"
    )


def test_every_row_has_an_example_and_says_what_its_parameters_are() -> None:
    names = [name for name, _ in WRITER.rows()]
    assert list(EXAMPLES.EXAMPLES.keys() - set(names)) == []
    assert [name for name in names if name not in EXAMPLES.EXAMPLES] == []
    page = WRITER.page()
    assert [name for name in names if f"\n### {name}\n" not in page] == []


@pytest.mark.parametrize("name", EXAMPLES.EXAMPLES)
def test_examples_run(
    name: str,
    server: FaultServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    example = EXAMPLES.EXAMPLES[name]
    if isinstance(example.answer, bytes):
        server.on("*", reply(200, example.answer, {"content-type": example.media_type}))
    else:
        server.on("*", json_reply(example.answer))
    monkeypatch.chdir(tmp_path)
    for file in ("cat.png", "page.png"):
        Path(file).write_bytes(EXAMPLES.PIXEL)
    Path("clip.mp4").write_bytes(b"....ftypisom")
    Path("speech.flac").write_bytes(b"fLaC....")
    before = set(tmp_path.iterdir())
    code = re.sub(r"https://my-[a-z]+\.example", server.url, example.code)
    with RouterClient(api_key="hf_test_token", base_url=server.url) as client:
        exec(compile(code, name, "exec"), {"client": client})
    assert capsys.readouterr().out.strip("\n") == example.prints
    assert len(server.requests) == 1
    if not example.prints:
        (made,) = set(tmp_path.iterdir()) - before
        assert made.stat().st_size > 0
