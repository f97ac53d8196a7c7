"""Run the suite on our classes and the installed peers and print the outcomes as Markdown.

``python -m tests.llama_index.conformance.compare``; ``scripts/compare_peers.py`` runs it in an
environment made for it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.helpers import comparison

OUR_OWN = ("HFRouter", "HFRouterEmbedding", "HFRouterRerank")
PACKAGES = (
    "llama-index-core",
    "llama-index-llms-openai-like",
    "llama-index-llms-huggingface-api",
    "llama-index-embeddings-openai-like",
    "llama-index-embeddings-huggingface-api",
    "llama-index-embeddings-text-embeddings-inference",
    "llama-index-postprocessor-tei-rerank",
    "pydantic",
)


def kind(name: str) -> str:
    """Return the one of our classes that *name* is compared with."""
    suffix = next((end for end in ("Embedding", "Rerank") if name.endswith(end)), "")
    return f"HFRouter{suffix}"


def main() -> int:
    """Run and print; 1 if one of our own classes fails a check."""
    found = comparison.of(Path(__file__).with_name("peers.py"))
    tables = []
    for ours in OUR_OWN:
        names = [ours, *(name for name in found if kind(name) == ours and name != ours)]
        tables.append(comparison.table(found, names))
    print(comparison.versions(PACKAGES, "llama-index-"), *tables, sep="\n\n")
    return int(not all(all(found[name].values()) for name in OUR_OWN))


if __name__ == "__main__":
    sys.exit(main())
