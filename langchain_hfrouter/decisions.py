"""``HFRouterDecisionModel``: typed questions about texts, by zero-shot classification.

Needs langchain-core 1.8 or later, which has ``langchain_core.decisions``.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from langchain_hfrouter._base import RouterConnection
from langchain_hfrouter._verdicts import Asking, answer, asking, in_words

# By name: type checkers may see an older langchain-core.
try:
    _decisions: Any = importlib.import_module("langchain_core.decisions")
except ModuleNotFoundError as error:
    raise ImportError(
        "langchain_hfrouter.decisions needs langchain-core 1.8 or later, which has decision models"
    ) from error


class HFRouterDecisionModel(RouterConnection, _decisions.BaseDecisionModel):  # type: ignore[misc]
    """Answers ``Noul``, ``Choice`` and ``Score`` questions with probabilities.

    Example:
        >>> model = HFRouterDecisionModel(model="facebook/bart-large-mnli")
        >>> question = Choice(instructions="This is about", criteria={"money": None, "bugs": None})
        >>> model.invoke({"state": "I was charged twice.", "questions": {"team": question}})
        ... # doctest: +SKIP

    One request per question. The instructions and each criterion make a sentence that the model
    judges: short instructions that a criterion can follow work best. ``Box`` questions and media
    are refused. The confidence of an answer is the probability of the likeliest one.
    """

    provider: str | None = None
    """Who serves the model; hf-inference by default."""

    concurrency: int = Field(default=4, ge=1)
    """Questions asked at once in asynchronous calls."""

    extra_body: dict[str, Any] | None = None
    """Further fields of the request body; they win over all others."""

    keyword_aliases: ClassVar[dict[str, str]] = {
        **RouterConnection.keyword_aliases,
        "model_name": "model",
        "repo_id": "model",
    }

    @property
    def _provider(self) -> str:
        return "hfrouter"

    def _classify(self, state: Any, questions: Mapping[str, Any]) -> Any:
        from langchain_hfrouter._errors import dual_errors

        with dual_errors:
            text, asked = _prepared(state, questions)
            call = self.sync_client().tasks.zero_shot_classification
            answers = {
                item.id: answer(item, call(text, item.labels, **self._keywords(item)))
                for item in asked
            }
        return self._response(answers)

    async def _aclassify(self, state: Any, questions: Mapping[str, Any]) -> Any:
        from langchain_hfrouter._errors import dual_errors

        with dual_errors:
            text, asked = _prepared(state, questions)
            call = self.async_client().tasks.zero_shot_classification
            turn = asyncio.Semaphore(self.concurrency)

            async def one(item: Asking) -> dict[str, Any]:
                async with turn:
                    return answer(item, await call(text, item.labels, **self._keywords(item)))

            running = [asyncio.ensure_future(one(item)) for item in asked]
            try:
                found = await asyncio.gather(*running)
            finally:  # the first error, or a cancellation, ends the others
                for task in running:
                    task.cancel()
        return self._response({item.id: own for item, own in zip(asked, found, strict=True)})

    def _keywords(self, asked: Asking) -> dict[str, Any]:
        given = {
            "model": self.model,
            "provider": self.provider,
            "extra_body": self.extra_body,
            "hypothesis_template": asked.template,
        }
        return {name: value for name, value in given.items() if value is not None}

    def _response(self, answers: Mapping[str, Any]) -> Any:
        return _decisions.ClassifierResponse(model=self.model, answers=dict(answers))


def _prepared(state: Any, questions: Mapping[str, Any]) -> tuple[str, list[Asking]]:
    """Return the text to judge and the questions; all are checked before anything is sent."""
    return in_words(state), [asking(name, question) for name, question in questions.items()]
