"""The table of local tasks, as docs/local.md has it."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

from shared_core.tasks.table import TASKS
from tests.helpers.servers import ROOT

PAGE = ROOT / "docs" / "local.md"


@dataclass(frozen=True)
class TaskLine:
    """One line of the table: names of packages, and of parameters that are refused."""

    models: str
    packages: list[str]
    refused: list[str]


def task_lines() -> dict[str, TaskLine]:
    """Return task -> its line."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index("| task | models | packages | parameters refused |") + 2
    found = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            return found
        name, models, packages, refused = (cell.strip() for cell in line.split("|")[1:-1])
        found[name.strip("`")] = TaskLine(models, _names(packages), _names(refused))
    return found


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def parameters(task: str) -> list[str]:
    """Return the names of what the method of *task* takes beside its inputs."""
    taken = inspect.signature(TASKS[task].build).parameters
    found = [name for name, one in taken.items() if one.kind is inspect.Parameter.KEYWORD_ONLY]
    return [*(["prompt"] if "prompt" in taken else []), *found]
