"""The table of local tasks in docs/local.md says what the code does."""

from __future__ import annotations

from shared_core.local.task_table import RANKING, SPARSE, TABLE, TOKENS, WITHOUT_PIPELINE
from shared_core.tasks.table import TASKS
from tests.helpers.local_page import parameters, task_lines


def test_every_local_task_has_its_line() -> None:
    lines = task_lines()
    assert sorted(lines) == sorted({*TABLE, RANKING})
    assert [task for task, line in lines.items() if not line.models] == []


def test_a_task_with_typed_results_has_a_row_of_its_own_or_no_pipeline() -> None:
    assert [task for task in WITHOUT_PIPELINE if task in TABLE] == []
    called_by_name = {SPARSE, TOKENS, "image-feature-extraction"}
    assert {task for task in TABLE if task not in TASKS} == called_by_name


def test_refused_parameters_are_those_of_the_method() -> None:
    unknown = [
        (task, name)
        for task, line in task_lines().items()
        for name in line.refused
        if name not in parameters(task)
    ]
    assert unknown == []


def test_what_reads_images_needs_pillow() -> None:
    lines = task_lines()
    for task, row in TABLE.items():
        if row.inputs in ("image", "images", "image question", "video"):
            assert "pillow" in lines[task].packages, task
