"""Run the suite on our classes and the installed peers and print the outcomes as Markdown.

``python -m tests.langchain.conformance.compare``; ``scripts/compare_peers.py`` runs it in an
environment made for it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.helpers import comparison

OUR_OWN = ("ChatHFRouter", "HFRouterEmbeddings")
PACKAGES = (
    "langchain-core",
    "langchain",
    "langchain-huggingface",
    "langchain-openai",
    "langchain-deepseek",
    "langchain-openrouter",
    "openai",
    "huggingface-hub",
    "pydantic",
)


def main() -> int:
    """Run and print; 1 if one of our own classes fails a check."""
    found = comparison.of(Path(__file__).with_name("peers.py"))
    tables = []
    for ours in OUR_OWN:
        ending = "Embeddings" if ours.endswith("Embeddings") else ""
        peers = [n for n in found if n != ours and n.endswith("Embeddings") == bool(ending)]
        tables.append(comparison.table(found, [ours, *peers], grouped=True))
    print(comparison.versions(PACKAGES, ""), *tables, sep="\n\n")
    return int(not all(all(found[name].values()) for name in OUR_OWN))


if __name__ == "__main__":
    sys.exit(main())
