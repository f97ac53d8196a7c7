"""Every Python block of README and docs compiles; those marked ``<!-- runnable: NAME -->`` run.

They run offline, as the README says they can: each class of ours gets ``local=True`` in the
place of its other arguments. Those of the README also run word for word against real servers
behind one address, as a user with a token runs them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.gateway import gateway
from tests.helpers.servers import ROOT

BLOCK = re.compile(
    r"^(?:<!--\s*runnable:\s*(?P<name>[\w-]+)\s*-->\s*\n)?^```python[^\n]*\n(?P<code>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
OURS = re.compile(
    r"\b((?:ChatHFRouter|HFRouterEmbeddings?|HFRouter|(?:Async)?RouterClient)\()[^()]*\)"
)
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#|mailto:)(?P<target>[^)#\s]+)")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]


@dataclass(frozen=True)
class Block:
    """One fenced block; it runs if it has a name."""

    page: Path
    line: int
    code: str
    name: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.name or self.line}"


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("code")) + 1
            found.append(Block(page, line, match.group("code"), match.group("name")))
    return found


BLOCKS = blocks()


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_compiles(block: Block) -> None:
    compile(block.code, str(block), "exec")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.name], ids=str)
def test_block_runs(block: Block, tmp_path: Path) -> None:
    done = run_code(OURS.sub(r"\1local=True)", block.code), tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.strip(), "an example shows something"


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.name and b.page.name == "README.md"], ids=str
)
def test_readme_block_runs_as_it_is(
    block: Block, tmp_path: Path, llama_chat_url: str, llama_embed_url: str
) -> None:
    with gateway(llama_chat_url, llama_embed_url) as (url, bodies):
        environ = {"HUGGINGFACE_BASE_URL": f"{url}/v1", "HF_TOKEN": "hf_not_a_token"}
        done = run_code(block.code, tmp_path, environ)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.strip()
    asked = set(re.findall(r'"([\w.-]+/[\w.-]+)"', block.code)) - {"examples/docs"}
    assert {body["model"].partition(":")[0] for body in bodies} == asked


@pytest.mark.parametrize("page", [p for p in PAGES if p.exists()], ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    targets = [m.group("target") for m in LINK.finditer(page.read_text(encoding="utf-8"))]
    missing = [t for t in targets if not (page.parent / t).exists()]
    assert missing == []


def test_readme_has_runnable_programs() -> None:
    runnable = [b for b in BLOCKS if b.page.name == "README.md" and b.name]
    assert len(runnable) >= 3


def run_code(
    code: str, folder: Path, settings: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run *code* in a fresh interpreter with *folder* as home and working directory."""
    program = folder / "example.py"
    program.write_text(code, encoding="utf-8")
    (folder / "examples").symlink_to(ROOT / "examples")
    environ = {
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
        env=environ | (settings or {}),
        capture_output=True,
        text=True,
        timeout=90,
    )
