#!/usr/bin/env python3
"""Make the comparisons with other packages in the documentation anew. Not part of CI.

python3 scripts/compare_peers.py [langchain] [llama-index] [--print] [--folder FOLDER]

Makes a throwaway environment with this package and the newest releases of the packages that are
compared, runs the conformance suite there (README.md in tests/*/conformance) and writes the
tables, the versions and the day between the two marks in docs/langchain.md and
docs/llama-index.md. ``--print`` leaves the pages alone; ``--folder`` keeps the environments
there, for the next run. Needs a package index, and no model, key or other network.
"""

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _environment import ROOT, SetupError, pip_settings_for_uv

BEGIN, END = "<!-- comparison: scripts/compare_peers.py -->", "<!-- end of comparison -->"
NEEDED = ("pytest>=8.3", "pytest-timeout>=2.3", "trustme>=1.1", "anyio")


@dataclass(frozen=True)
class Comparison:
    """What is compared for one framework.

    Attributes:
        page: Where the tables are written.
        module: Prints them.
        extra: Of this package.
        peers: Distributions that are installed besides.
    """

    page: Path
    module: str
    extra: str
    peers: tuple[str, ...]


COMPARISONS = {
    "langchain": Comparison(
        ROOT / "docs" / "langchain.md",
        "tests.langchain.conformance.compare",
        "langchain",
        (
            "langchain",
            "langchain-huggingface",
            "langchain-openai",
            "langchain-deepseek",
            "langchain-openrouter",
            "numpy",  # langchain-huggingface's embeddings need it
        ),
    ),
    "llama-index": Comparison(
        ROOT / "docs" / "llama-index.md",
        "tests.llama_index.conformance.compare",
        "llama-index",
        (
            "llama-index-llms-openai-like",
            "llama-index-llms-huggingface-api",
            "llama-index-embeddings-openai-like",
            "llama-index-embeddings-huggingface-api",
            "llama-index-embeddings-text-embeddings-inference",
            "llama-index-postprocessor-tei-rerank",
        ),
    ),
}


def prepared(folder: Path, comparison: Comparison) -> Path:
    """Return the Python of an environment with everything that is compared.

    Raises:
        SetupError: It cannot be set up.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "-q", "uv"])
    environ = os.environ | pip_settings_for_uv(str(python)) | {"UV_LINK_MODE": "copy"}
    wanted = ["-e", f"{ROOT}[{comparison.extra}]", *NEEDED, *comparison.peers]
    install = ["uv", "pip", "install", "-q", "-U", "--python", str(python), *wanted]
    _run([str(python), "-m", *install], environ)
    return python


def compared(python: Path, comparison: Comparison) -> str:
    """Return the tables, as Markdown.

    Raises:
        SetupError: They could not be made, or one of our own classes failed a check.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return _run([str(python), "-m", comparison.module], environ)


def written(page: str, tables: str, day: datetime.date) -> str:
    """Return *page* with the tables between the marks.

    Args:
        page: The page as it was.
        tables: What :func:`compared` returned.
        day: When it did.

    Raises:
        SetupError: The marks are not there.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SetupError(f"the page has no marks {BEGIN} and {END}")
    return f"{before}{begin}\n\nMade on {day.isoformat()}. {tables.strip()}\n\n{end}{after}"


def _run(command: list[str], environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    if done.returncode:
        raise SetupError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"[-4000:])
    return done.stdout


def main() -> int:
    """Make the environments, run the suites, write the pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("framework", nargs="*", help=f"{' or '.join(COMPARISONS)}; both by default")
    parser.add_argument("--print", action="store_true", help="print the tables only")
    parser.add_argument("--folder", type=Path, help="keep the environments in this folder")
    given = parser.parse_args()
    unknown = set(given.framework) - COMPARISONS.keys()
    if unknown:
        parser.error(f"there is no comparison for {', '.join(sorted(unknown))}")
    for name in given.framework or COMPARISONS:
        comparison = COMPARISONS[name]
        with tempfile.TemporaryDirectory(prefix="hfrouter-peers-") as passing:
            folder = (given.folder or Path(passing)).absolute() / name
            tables = compared(prepared(folder, comparison), comparison)
        if given.print:
            print(tables)
            continue
        day = datetime.datetime.now(datetime.UTC).date()
        page = comparison.page.read_text(encoding="utf-8")
        comparison.page.write_text(written(page, tables, day), encoding="utf-8")
        print(f"wrote {comparison.page.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetupError as problem:
        sys.exit(f"error: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
