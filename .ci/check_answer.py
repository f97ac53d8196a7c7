"""Check the main job: check_answer.py QUICKSTART_OUTPUT HFROUTER_COMMAND.

First what the quickstart printed for its own question, through both frameworks; then the
command itself, with five questions of examples/questions.json. Retrieval does not find all
forty; how many it must find is the business of the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORKS = ("langchain", "llama-index")


def check(text: str, question: dict[str, str], where: str) -> None:
    """Exit unless *text* gives the answer and its source."""
    for expected in (question["answer"], question["file"]):
        if expected not in text:
            sys.exit(f"{where}: {expected!r} is missing for {question['question']!r}:\n{text}")


def main(output: str, hfrouter: str) -> None:
    """Check every answer."""
    questions = json.loads((ROOT / "examples" / "questions.json").read_text(encoding="utf-8"))
    printed = Path(output).read_text(encoding="utf-8")
    asked = next(q for q in questions if q["question"] in printed)
    for framework in FRAMEWORKS:
        part = printed.partition(f"--- {framework} ---")[2].partition("\n--- ")[0]
        check(part, asked, f"quickstart, {framework}")
    for number, question in enumerate(questions[2::8]):
        framework = FRAMEWORKS[number % 2]
        command = [hfrouter, "ask", "--local", "--docs", str(ROOT / "examples" / "docs")]
        command += ["--framework", framework, question["question"]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        check(done.stdout, question, framework)
        print(f"{framework}: {question['question']} -> {question['answer']} ({question['file']})")


if __name__ == "__main__":
    main(*sys.argv[1:])
