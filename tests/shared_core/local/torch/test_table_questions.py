"""Questions about tables: what the library's pipeline and model say about the same table."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "pandas")

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    ContextLengthError,
    LocalModels,
    RouterClient,
    UnsupportedFeatureError,
)
from tests.helpers import text_models  # noqa: E402

TASK = "table-question-answering"
QUERY = "How old is Ada?"
TABLE = {"Name": ["Ada", "Bob", "Cid"], "Age": [36, 41, 7]}
TEXTS = {"Name": ["Ada", "Bob", "Cid"], "Age": ["36", "41", "7"]}
LONG = {"Name": ["Ada"] * 40, "Age": ["36"] * 40}


@pytest.fixture(scope="module")
def tapas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_models.write_tapas(tmp_path_factory.mktemp("tapas"))


@pytest.fixture(scope="module")
def tapex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_models.write_tapex(tmp_path_factory.mktemp("tables") / "tapex")


def _client(folder: Path) -> RouterClient:
    return RouterClient(local=LocalModels(tasks={TASK: folder}, device="cpu"))


def _own(folder: Path) -> Any:
    from transformers import pipeline

    return pipeline(TASK, model=str(folder), device="cpu")


def test_tapas_points_at_the_cells_of_the_pipeline(tapas: Path) -> None:
    own = _own(tapas)
    options: list[dict[str, Any]] = [
        {},
        {"sequential": True},
        {"padding": "max_length"},
        {"truncation": True},
        {"truncation": False},
    ]
    with _client(tapas) as client:
        for given in options:
            expected = own(table=TEXTS, query=QUERY, **given)
            found = client.tasks.table_question_answering(QUERY, TABLE, **given)
            assert found.answer == expected["answer"]
            assert found.cells == expected["cells"] != []
            assert found.coordinates == expected["coordinates"]
            assert found.aggregator == expected["aggregator"]
        cut = client.tasks.table_question_answering(QUERY, LONG)  # rows go, as in the pipeline
        assert cut.answer == own(table=LONG, query=QUERY)["answer"]
        with pytest.raises(ContextLengthError, match="the model takes 64"):
            client.tasks.table_question_answering(QUERY, LONG, truncation=False)
        with pytest.raises(UnsupportedFeatureError, match="'top_k'"):
            client.tasks.table_question_answering(QUERY, TABLE, extra_parameters={"top_k": 2})


def test_a_tapas_without_aggregation(tmp_path: Path) -> None:
    folder = text_models.write_tapas(tmp_path / "plain", aggregates=False)
    expected = _own(folder)(table=TEXTS, query=QUERY)
    with _client(folder) as client:
        found = client.tasks.table_question_answering(QUERY, TABLE)
    assert (found.answer, found.cells) == (expected["answer"], expected["cells"])
    assert found.aggregator is None


def test_tapex_writes_the_models_own_words(tapex: Path) -> None:
    import torch
    from transformers import BartForConditionalGeneration, BartTokenizer

    tokenizer = BartTokenizer.from_pretrained(tapex)
    model = BartForConditionalGeneration.from_pretrained(tapex).eval()

    def words(table: str, **options: Any) -> str:
        text = f"how old is ada? col : name | age {table}"
        with torch.inference_mode():
            made = model.generate(**tokenizer(text, return_tensors="pt", **options))
        text = tokenizer.decode(made[0], skip_special_tokens=True)
        assert text
        return text

    with _client(tapex) as client:
        ask = client.tasks.table_question_answering
        expected = words("row 1 : ada | 36 row 2 : bob | 41 row 3 : cid | 7")
        assert ask(QUERY, TABLE).answer == expected
        assert ask(QUERY, TABLE, padding="max_length").answer == expected
        rows = " ".join(f"row {number} : ada | 36" for number in range(1, 41))
        cut = ask(QUERY, LONG, truncation=True).answer
        assert cut == words(rows, truncation=True, max_length=128)
        with pytest.raises(ContextLengthError, match="the model takes 128"):
            ask(QUERY, LONG)
        with pytest.raises(UnsupportedFeatureError, match="'sequential'"):
            ask(QUERY, TABLE, sequential=True)


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ("a text", "query and the columns"),
        ({"query": QUERY, "table": {}}, "query and the columns"),
        ({"query": QUERY, "table": {"Name": "Ada"}}, "list of cells"),
        ({"query": QUERY, "table": {"Name": ["Ada"], "Age": ["1", "2"]}}, "same number"),
    ],
)
def test_what_is_no_table_is_refused(tapas: Path, inputs: Any, match: str) -> None:
    with _client(tapas) as client:
        with pytest.raises(BadRequestError, match=match):
            client.tasks.call(TASK, inputs)


def test_without_pandas_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = text_models.write_tapas(tmp_path / "no-pandas")
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with _client(folder) as client:
        with pytest.raises(ImportError, match="pip install pandas"):
            client.tasks.table_question_answering(QUERY, TABLE)


@pytest.mark.anyio
async def test_the_async_client_answers_the_same(tapas: Path) -> None:
    import pandas

    expected = _own(tapas)(table=TEXTS, query=QUERY)
    async with AsyncRouterClient(local=LocalModels(tasks={TASK: tapas})) as client:
        found = await client.tasks.table_question_answering(QUERY, pandas.DataFrame(TABLE))
    assert found.answer == expected["answer"]
