"""Text ranking in the shape of TEI, by a reranker of this process."""

from __future__ import annotations

from typing import Any

from shared_core.local.call import DEVICE_HEADER, LocalCall
from shared_core.local.loading import reranker
from shared_core.local.models import RANKING
from shared_core.local.pipelines import check_model


def ranking(call: LocalCall) -> list[dict[str, Any]]:
    """Answer ``/rerank``: one ``{"index", "score", "text"?}`` per text, the best first."""
    body = call.body()
    query = body.get("query")
    if not isinstance(query, str):
        raise call.bad("query must be a text.", "query")
    texts = call.texts(body.get("texts"), "texts")
    if RANKING not in call.models.tasks:
        raise call.unsupported(
            "There is no reranker in this process.",
            "Name one: LocalModels(tasks={'text-ranking': FOLDER or 'org/name'}), or compare by "
            "the embedding model: rerank(..., method='sentence-similarity').",
        )
    check_model(call, RANKING, body.get("model") or call.request.model)
    model = reranker(call.models, call.settings)
    call.headers[DEVICE_HEADER] = model.device
    scores = model.scores(
        query,
        texts,
        raw=bool(body.get("raw_scores")),
        truncate=body.get("truncate") is not False,
        direction="left" if str(body.get("truncation_direction")).lower() == "left" else "right",
    )
    ranked = []
    for index in sorted(range(len(texts)), key=lambda at: -scores[at]):
        entry: dict[str, Any] = {"index": index, "score": scores[index]}
        if body.get("return_text"):
            entry["text"] = texts[index]
        ranked.append(entry)
    return ranked
