#!/usr/bin/env python3
"""From a fresh clone to answers from real documents: one command, no token, no PyTorch.

Makes ``.venv``, installs hfrouter with both frameworks and the MiniLM weights, and asks the
documents in ``examples/docs`` a question offline, through LangChain and through LlamaIndex.

    python3 scripts/quickstart.py [--docs FOLDER] [question]
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _environment import ROOT, Environment, SetupError

QUESTION = "At what wind speed must the dome be closed?"


def main() -> int:
    """Set up, ask through both frameworks, say how to go on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("--docs", default=str(ROOT / "examples" / "docs"), metavar="FOLDER")
    options = parser.parse_args()
    docs = str(Path(options.docs).absolute())
    started = time.monotonic()
    environment = Environment()
    environment.prepare()
    for framework in ("langchain", "llama-index"):
        print(f"\n--- {framework} ---", flush=True)
        command = [environment.hfrouter, "ask", "--local", "--docs", docs]
        failed = environment.run(*command, "--framework", framework, options.question)
        if failed:
            return failed
    print(f"\nDone in {time.monotonic() - started:.0f} s. Go on with")
    print(f"  {environment.hfrouter} doctor")
    print(f'  {environment.hfrouter} ask --local --docs YOUR_FOLDER "your question"')
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetupError as problem:
        sys.exit(f"error: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
