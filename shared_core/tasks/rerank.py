"""Ordering many texts by a query: batches, global indexes, and a fallback. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from shared_core.config.checks import refused, whole_number
from shared_core.config.checks import text as some_text
from shared_core.errors import APIResponseValidationError
from shared_core.flow import All, Flow
from shared_core.tasks.calls import calling
from shared_core.tasks.params import texts as some_texts
from shared_core.tasks.results import Ranked
from shared_core.tasks.spec import Call

if TYPE_CHECKING:
    from shared_core.core import Core

RerankMethod: TypeAlias = Literal["text-ranking", "sentence-similarity"]

BATCH_SIZE = 32
"""Texts per request: TEI's default ``--max-client-batch-size``."""

_COUNT = whole_number(1)


class RankingCall(Call, total=False):
    """Keywords of ``rerank``: those of every task, and those of text-ranking.

    Attributes:
        raw_scores: Whether scores stay as the model makes them, not from 0 to 1.
        return_text: Whether each result carries its text.
        truncate: Whether texts that are too long are cut.
        truncation_direction: The side that is cut.
    """

    raw_scores: bool | None
    return_text: bool | None
    truncate: bool | None
    truncation_direction: Literal["left", "right"] | None


def reranking(
    core: Core,
    query: str,
    texts: Sequence[str],
    call: Mapping[str, Any],
    *,
    method: RerankMethod = "text-ranking",
    top_n: int | None = None,
    batch_size: int = BATCH_SIZE,
    concurrency: int = 1,
) -> Flow[list[Ranked]]:
    """Return the texts by how well they answer *query*, the best first.

    Args:
        core: Settings, defaults and the path of each call.
        query: The query.
        texts: The texts; nothing is sent for none.
        call: Parameters of the task and keywords of :class:`~shared_core.tasks.spec.Call`.
        method: The task that tells how well a text fits. There is no silent change from one
            to the other: their scores mean different things.
        top_n: How many to return; all by default.
        batch_size: Texts per request.
        concurrency: Requests at once (asynchronous client).

    Raises:
        InvalidSettingError: An argument is refused; nothing was sent.
        UnsupportedTaskError: The task is not served there; nothing was sent.
        APIResponseValidationError: The answer does not fit the texts.
        APIError: A request failed.
    """
    query = some_text("query", query)
    size, limit = _COUNT("batch_size", batch_size), _COUNT("concurrency", concurrency)
    if top_n is not None:
        top_n = _COUNT("top_n", top_n)
    if method not in ("text-ranking", "sentence-similarity"):
        raise refused("method", "'text-ranking' or 'sentence-similarity'", method)
    if not texts:
        return []
    checked = some_texts()("texts", texts)
    starts = range(0, len(checked), size)
    flows = [_batch(core, method, query, checked[at : at + size], at, call) for at in starts]
    if len(flows) == 1:
        found = [(yield from flows[0])]
    else:
        found = yield All(flows, limit=limit)
    ranked = sorted((item for batch in found for item in batch), key=lambda item: -item.score)
    return ranked[:top_n]


def _batch(
    core: Core,
    method: RerankMethod,
    query: str,
    texts: Sequence[str],
    start: int,
    call: Mapping[str, Any],
) -> Flow[list[Ranked]]:
    from shared_core.tasks.table import Table

    if method == "text-ranking":
        ranked = yield from calling(core, Table.text_ranking.spec, (query, texts), call)
        places = [item.index for item in ranked]
        limited = "top_n" in (call.get("extra_body") or {})  # a field of Cohere's form
        missing = len(places) < len(texts) and not limited
        odd = len(set(places)) != len(places) or not all(0 <= at < len(texts) for at in places)
        if missing or odd:
            raise _unusable(method, f"it ranks {len(texts)} texts at the indexes {places[:20]}")
        return [replace(item, index=start + item.index) for item in ranked]
    spec = Table.sentence_similarity.spec
    scores = yield from calling(core, spec, (query, texts), call)
    if len(scores) != len(texts):
        raise _unusable(method, f"it has {len(scores)} scores for {len(texts)} texts")
    return [Ranked(start + at, score, raw={"score": score}) for at, score in enumerate(scores)]


def _unusable(operation: str, reason: str) -> APIResponseValidationError:
    return APIResponseValidationError(
        f"Unusable answer to {operation}: {reason}", operation=operation
    )
