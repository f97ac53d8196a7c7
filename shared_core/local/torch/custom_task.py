"""Runs a task of the caller's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from shared_core.local.torch.task_model import TaskModel

if TYPE_CHECKING:
    from pathlib import Path

    from shared_core.local.custom import LocalTask
    from shared_core.local.models import LocalModels
    from shared_core.local.torch.parts import LocalParts


class CustomTask(TaskModel):
    """A model that the caller's own functions load and ask."""

    library = "torch"

    def __init__(self, task: str, folder: Path, models: LocalModels) -> None:
        self._own = cast("LocalTask", models.tasks[task])
        super().__init__(task, folder, models)

    @property
    def device(self) -> str:
        """Where it computes, as far as what was loaded says so."""
        parts = self._loaded if isinstance(self._loaded, list | tuple) else [self._loaded]
        found = [part.device for part in parts if hasattr(part, "device")]
        return str(found[0] if found else self._asked)

    def _load(self, parts: LocalParts) -> None:
        self._asked = parts.device or "cpu"
        self._loaded = self._own.load(parts)

    def _refusals(self) -> tuple[type[Exception], ...]:
        return (ValueError,)

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        return self._own.run(self._loaded, inputs, parameters)
