"""No recording is left aside, and docs/recordings.md says what holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.servers import ROOT
from tests.recordings import test_chat_recordings, test_task_recordings
from tests.recordings.exchanges import ABSENT, FOLDER, exchanges
from tests.recordings.kinds import KINDS, kinds_of, of_kind

PAGE = (ROOT / "docs" / "recordings.md").read_text(encoding="utf-8")
HERE = Path(__file__).parent


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below *heading*."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_kind_is_a_row_and_is_played_by_the_modules_that_it_names() -> None:
    table = {kind.strip("`"): players for kind, players, _ in rows("Kinds")}
    assert list(table) == list(KINDS)
    for kind, players in table.items():
        for module in re.findall(r"`(\w+)`", players):
            source = (HERE / f"{module}.py").read_text(encoding="utf-8")
            assert f'of_kind("{kind}")' in source, (module, kind)


def test_every_difference_is_a_row_with_a_reason() -> None:
    known = [
        difference.__name__
        for module in (test_task_recordings, test_chat_recordings)
        for difference in module.DIFFERENCES
    ]
    table = rows("Differences in what is sent")
    assert [name.strip("`") for name, *_ in table] == known
    assert all(all(cells) for cells in table)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)
def test_every_recording_has_one_kind() -> None:
    odd = {item.name: kinds_of(item) for item in exchanges() if len(kinds_of(item)) != 1}
    assert odd == {}
    assert [name for name in KINDS if not of_kind(name)] == []
    files = {f"{path.parent.name}/{path.stem}" for path in FOLDER.rglob("*.yaml")}
    assert files == {item.name.rpartition("#")[0] for item in exchanges()}
