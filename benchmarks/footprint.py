"""What importing the adapters costs over the core of their frameworks, beside other packages.

Run ``python benchmarks/footprint.py [--runs 7] [--only WORD]`` with any Python that has them;
packages that are not installed are left out. Every run is a fresh interpreter that first imports
the framework's own base classes, then the statement. Printed per statement: modules added,
top-level packages among them that are neither the framework's nor the package's own, and CPU
seconds (user and system), the best of the runs. The framework's objects are kept out of garbage
collection, else a turn of it (60 ms with LlamaIndex) falls on whoever comes next, by chance.
Ends with 1 if one of ours is over 20 modules or 0.05 s, or brings a package.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_MODULES = 20
MOST_SECONDS = 0.05
OURS = frozenset({"shared_core", "langchain_hfrouter", "llama_index_hfrouter"})

LANGCHAIN = (
    "import langchain_core.language_models.chat_models, langchain_core.embeddings, "
    "langchain_core.tools, langchain_core.output_parsers, langchain_core.documents.compressor, "
    "langchain_core.callbacks"
)
LLAMA_INDEX = "import llama_index.core"

STATEMENTS = (
    (LANGCHAIN, "import langchain_hfrouter"),
    (LANGCHAIN, "from langchain_hfrouter import ChatHFRouter"),
    (LANGCHAIN, "from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings"),
    (LANGCHAIN, "from langchain_openai import ChatOpenAI, OpenAIEmbeddings"),
    (LANGCHAIN, "from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint"),
    (LLAMA_INDEX, "import llama_index_hfrouter"),
    (LLAMA_INDEX, "from llama_index_hfrouter import HFRouter"),
    (LLAMA_INDEX, "from llama_index_hfrouter import HFRouter, HFRouterEmbedding, HFRouterRerank"),
    (LLAMA_INDEX, "from llama_index.llms.openai_like import OpenAILike"),
    (
        LLAMA_INDEX,
        "from llama_index.llms.openai_like import OpenAILike\n"
        "from llama_index.embeddings.openai_like import OpenAILikeEmbedding",
    ),
    (
        LLAMA_INDEX,
        "from llama_index.llms.huggingface_api import HuggingFaceInferenceAPI\n"
        "from llama_index.embeddings.huggingface_api import HuggingFaceInferenceAPIEmbedding",
    ),
    (
        LLAMA_INDEX,
        "from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference\n"
        "from llama_index.postprocessor.tei_rerank import TextEmbeddingInference",
    ),
)

PROBE = """
import gc, json, sys, time
{framework}
gc.collect()
gc.freeze()
before, started = set(sys.modules), time.process_time()
{statement}
seconds = time.process_time() - started
print(json.dumps([sorted(set(sys.modules) - before), seconds]))
"""


@dataclass(frozen=True)
class Cost:
    """What one statement costs.

    Attributes:
        modules: Modules added.
        packages: Top-level packages among them that come from elsewhere.
        seconds: CPU seconds, the best of all runs.
    """

    modules: int
    packages: tuple[str, ...]
    seconds: float

    @property
    def is_small(self) -> bool:
        return self.modules <= MOST_MODULES and self.seconds <= MOST_SECONDS and not self.packages


def measured(framework: str, statement: str, runs: int) -> Cost | None:
    """Return the cost of *statement* after *framework*, None if something is not installed."""
    code = PROBE.format(framework=framework, statement=statement)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    names: list[str] = []
    best = float("inf")
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            text=True,
            env=environ,
            cwd=ROOT,
        )
        if done.returncode:
            if "ModuleNotFoundError" in done.stderr or "pip install" in done.stderr:
                return None
            raise SystemExit(f"{statement}:\n{done.stderr}")
        names, seconds = json.loads(done.stdout.splitlines()[-1])
        best = min(best, seconds)
    return Cost(len(names), foreign(names, statement), best)


def foreign(names: list[str], statement: str) -> tuple[str, ...]:
    """Return the top-level packages of *names* that are installed and not the statement's own."""
    own = OURS | {line.split()[1].partition(".")[0] for line in statement.splitlines()}
    own |= {"langchain_core", "llama_index"}
    tops = {name.partition(".")[0] for name in names} - own - set(sys.stdlib_module_names)
    return tuple(sorted(top for top in tops if not top.startswith("_")))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", default="", help="statements with this word, e.g. llama_index")
    given = parser.parse_args()
    print("| statement | modules | packages of others | CPU s |\n|---|---|---|---|")
    too_much = 0
    for framework, statement in STATEMENTS:
        if given.only not in statement:
            continue
        cost = measured(framework, statement, given.runs)
        if cost is None:
            continue
        text = statement.replace("\n", "; ")
        print(f"| `{text}` | {cost.modules} | {len(cost.packages)} | {cost.seconds:.3f} |")
        if "hfrouter" in statement and not cost.is_small:
            too_much += 1
            print(f"too much: {cost}", file=sys.stderr)
    return int(too_much > 0)


if __name__ == "__main__":
    sys.exit(main())
