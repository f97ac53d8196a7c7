"""Questions about a table: Tapas, which points at cells, and BART as TAPEX, which writes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from shared_core.local.embedder import too_long
from shared_core.local.failures import missing_extra
from shared_core.local.torch.loading import library
from shared_core.local.torch.parts import LocalParts, settings_in
from shared_core.local.torch.task_model import TaskModel, check_known, longest_input

if TYPE_CHECKING:
    from pathlib import Path

    from shared_core.local.models import LocalModels

INSTALL_PANDAS = "pip install pandas"
"""What the tokenizer of Tapas reads tables with."""


class TableQuestions(TaskModel):
    """A model that is given a question, and a table as column -> cells."""

    def __init__(self, task: str, folder: Path, models: LocalModels) -> None:
        self._points = settings_in(folder / "config.json").get("model_type") == "tapas"
        if self._points:
            _need_pandas()  # before anything is loaded
        super().__init__(task, folder, models)

    def _load(self, parts: LocalParts) -> None:
        if self._points:
            self._tokenizer = parts.load("AutoTokenizer")
            self._model = parts.model("AutoModelForTableQuestionAnswering")
            self._run = parts.pipeline(self._task, model=self._model, tokenizer=self._tokenizer)
            return
        self._model = parts.moved(parts.model("AutoModelForSeq2SeqLM"))
        # TAPEX names a tokenizer that is gone, and was BART's with the table written out.
        bart = self._model.config.model_type == "bart"
        self._tokenizer = parts.load("BartTokenizer" if bart else "AutoTokenizer")

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        if self._points:
            return self._point(inputs, parameters)
        return self._write(inputs, parameters)

    def _point(self, inputs: dict[str, Any], parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, ("padding", "sequential", "truncation"))
        if parameters.get("truncation") is False:
            pandas = importlib.import_module("pandas")
            found = self._tokenizer(pandas.DataFrame(inputs["table"]), inputs["query"])
            self._check_length(len(found["input_ids"]))
        return self._run(table=inputs["table"], query=inputs["query"], **parameters)

    def _write(self, inputs: dict[str, Any], parameters: dict[str, Any]) -> dict[str, str]:
        """Answer as TAPEX was trained: transformers 5 has its model, and no way to ask it."""
        check_known(self._task, parameters, ("padding", "truncation"))
        torch, tokenizer = library("torch"), self._tokenizer
        text = written_out(inputs["query"], inputs["table"])
        if tokenizer.init_kwargs.get("do_lower_case", True):
            text = text.lower()
        if not parameters.get("truncation"):
            self._check_length(len(tokenizer(text, verbose=False)["input_ids"]))
        limit = longest_input(tokenizer, self._model)
        options = {"max_length": limit, "padding": "do_not_pad", "truncation": False, **parameters}
        encoded = tokenizer(text, return_tensors="pt", **options).to(self._model.device)
        encoded.pop("token_type_ids", None)
        with torch.inference_mode():
            made = self._model.generate(**encoded)
        return {"answer": tokenizer.decode(made[0], skip_special_tokens=True)}

    def _check_length(self, count: int) -> None:
        limit = longest_input(self._tokenizer, self._model)
        if count > limit:
            raise too_long(count, limit)


def written_out(query: str, table: dict[str, list[str]]) -> str:
    """Return a question and a table as the one text that TAPEX reads."""
    rows = zip(*table.values(), strict=True)
    lines = [f"row {number} : {' | '.join(row)}" for number, row in enumerate(rows, 1)]
    return " ".join([query, "col : " + " | ".join(table), *lines])


def _need_pandas() -> None:
    """Check that pandas is installed.

    Raises:
        ImportError: It is not; names the command.
    """
    try:
        importlib.import_module("pandas")
    except ImportError as exc:
        raise missing_extra(exc, INSTALL_PANDAS) from None
