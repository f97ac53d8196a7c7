"""Every example question finds its document and its answer, through both frameworks."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator

import pytest

from shared_core.cli.ask import Pipeline, _pipeline
from shared_core.cli.documents import read_passages
from shared_core.cli.options import Connection
from shared_core.local import LocalModels, reader
from tests.cli.conftest import DOCS

# LlamaIndex imports langchain-community where it is installed.
pytestmark = pytest.mark.filterwarnings("ignore:.langchain-community. is being sunset")

QUESTIONS = json.loads((DOCS.parent / "questions.json").read_text(encoding="utf-8"))
UNANSWERED = [
    "Who is the president of France?",
    "How do I bake bread?",
    "When was the Eiffel tower built?",
    "What is the boiling point of water?",
    "What is the capital of Australia?",
]


@pytest.fixture(scope="module")
def event_loop_of_llama_index() -> Iterator[None]:
    """The framework makes the thread an event loop if it has none, and never closes it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(scope="module", params=["langchain", "llama-index"])
def pipeline(request: pytest.FixtureRequest, event_loop_of_llama_index: None) -> Pipeline:
    local = LocalModels()
    options = argparse.Namespace(
        model=None, provider=None, embedding_model=None, temperature=None, max_tokens=None
    )
    pipeline = _pipeline(request.param, Connection(local, {"local": local}), options)
    pipeline.add(read_passages(DOCS))
    return pipeline


def test_questions_find_their_document_and_answer(pipeline: Pipeline) -> None:
    misplaced, unanswered = [], []
    # Vectors and reader are the same in both frameworks: a third shows that the second works.
    asked = QUESTIONS if "LangChain" in type(pipeline).__name__ else QUESTIONS[::3]
    for item in asked:
        sources, pieces = pipeline.ask(item["question"], 4)
        assert sources == sorted(sources, key=lambda source: -source.score)
        if item["file"] not in [source.passage.source for source in sources[:3]]:
            misplaced.append(item["question"])
        if item["answer"] not in "".join(pieces):
            unanswered.append(item["question"])
    assert len(QUESTIONS) >= 40
    assert len(misplaced) <= 0.1 * len(asked), misplaced
    assert len(unanswered) <= 0.15 * len(asked), unanswered


@pytest.mark.parametrize("question", UNANSWERED)
def test_what_the_documents_do_not_say_is_not_answered(pipeline: Pipeline, question: str) -> None:
    _, pieces = pipeline.ask(question, 4)
    assert "".join(pieces) == reader.NO_ANSWER


def test_every_question_names_an_existing_file_that_holds_the_answer() -> None:
    for item in QUESTIONS:
        assert item["answer"] in " ".join((DOCS / item["file"]).read_text("utf-8").split())
