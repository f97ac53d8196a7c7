"""Every Python block of README and docs compiles; those marked ``<!-- run -->`` are run.

The mark is a comment on a line of its own before the block:

- ``<!-- run -->`` runs the block as it is, in an empty environment, without network;
- ``<!-- run: server -->`` runs it with ``HUGGINGFACE_BASE_URL`` at the taught model and
  ``MODEL`` replaced by its name.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.servers import ROOT

BLOCK = re.compile(
    r"^(?:<!--\s*run(?P<how>:[^>]*?)?\s*-->\s*\n)?^```python[^\n]*\n(?P<code>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#|mailto:)(?P<target>[^)#\s]+)")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]


@dataclass(frozen=True)
class Block:
    """One fenced block: its code, and how it is run (None: it is not)."""

    page: Path
    line: int
    code: str
    how: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        for match in BLOCK.finditer(text):
            marked = match.group(0).startswith("<!--")
            how = (match.group("how") or "").strip(": ") if marked else None
            line = text.count("\n", 0, match.start("code")) + 1
            found.append(Block(page, line, match.group("code"), how))
    return found


BLOCKS = blocks()


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_compiles(block: Block) -> None:
    compile(block.code, str(block), "exec")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.how is not None], ids=str)
def test_block_runs(block: Block, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    code = block.code
    if block.how == "server":
        server = request.getfixturevalue("llama_chat_server")
        environ = {"HUGGINGFACE_BASE_URL": f"{server.url}/v1", "HF_TOKEN": "hf_not_a_token"}
        code = re.sub(r'"[\w.-]+/[\w.:-]+"', f'"{server.model}"', code)
    done = run_code(code, tmp_path, environ)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.strip(), "an example shows something"


@pytest.mark.parametrize("page", [p for p in PAGES if p.exists()], ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    targets = [m.group("target") for m in LINK.finditer(page.read_text(encoding="utf-8"))]
    missing = [t for t in targets if not (page.parent / t).exists()]
    assert missing == []


def test_readme_has_runnable_programs() -> None:
    runnable = [b for b in BLOCKS if b.page.name == "README.md" and b.how is not None]
    assert len(runnable) >= 3


def run_code(code: str, folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run *code* in a fresh interpreter with *folder* as home and working directory."""
    program = folder / "example.py"
    program.write_text(code, encoding="utf-8")
    (folder / "docs").symlink_to(ROOT / "examples" / "docs")
    base = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::ResourceWarning",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.run(
        [sys.executable, str(program)],
        cwd=folder,
        env=base | environ,
        capture_output=True,
        text=True,
        timeout=90,
    )
