"""Tasks that models of this process answer, in the shapes of hf-inference and TEI."""

from __future__ import annotations

from functools import partial
from typing import Any

from shared_core.local.background import within
from shared_core.local.call import DEVICE_HEADER, LocalCall
from shared_core.local.custom import LocalTask
from shared_core.local.loading import reranker, task_model
from shared_core.local.models import names_of
from shared_core.local.task_inputs import read
from shared_core.local.task_table import (
    CUSTOM,
    PIPELINE,
    RANKING,
    SPARSE,
    TABLE,
    TOKENS,
    WITHOUT_PIPELINE,
)


def check_model(call: LocalCall, task: str, asked: object) -> None:
    """Check that *asked* is the model of *task*, or one that clients name by default; note it.

    Raises:
        ModelNotFoundError: It is another one.
    """
    models = call.models
    known = [*names_of(models.tasks[task]), models.chat_model, models.embedding_model]
    if asked and asked not in known:
        raise call.unknown_model(str(asked), known[:1])
    call.model = known[0]


def task(call: LocalCall) -> Any:
    """Answer ``/models/{model}``: the task is that of the request."""
    return run(call, call.request.operation)


def run(call: LocalCall, asked: str) -> Any:
    """Answer a request with the model of the task *asked*.

    Raises:
        UnsupportedFeatureError: There is none.
    """
    request = call.request
    if asked not in call.models.tasks:
        named = "FOLDER or 'org/name'"
        if asked in WITHOUT_PIPELINE:
            named = "LocalTask(source, load, run)"
        raise call.unsupported(
            f"There is no model for {asked} in this process.",
            f"Name one: LocalModels(tasks={{{asked!r}: {named}}}), or leave local= out and set "
            "HF_TOKEN to use the router.",
        )
    check_model(call, asked, request.model)
    own = isinstance(call.models.tasks[asked], LocalTask)
    row = CUSTOM if own else TABLE.get(asked, PIPELINE)
    inputs, parameters = read(call, row.inputs)
    model = task_model(call.models, asked, row, call.settings)
    call.headers[DEVICE_HEADER] = model.device
    return within(call, model.turn, lambda: model.run(inputs, parameters))


def sparse_embeddings(call: LocalCall) -> Any:
    """Answer ``/embed_sparse``: one ``[{"index", "value"}]`` per text."""
    return run(call, SPARSE)


def token_embeddings(call: LocalCall) -> Any:
    """Answer ``/embed_all``: per text, one vector per token."""
    return run(call, TOKENS)


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
    cut_left = str(body.get("truncation_direction")).lower() == "left"
    score = partial(
        model.scores,
        query,
        texts,
        raw=bool(body.get("raw_scores")),
        truncate=body.get("truncate") is not False,
        direction="left" if cut_left else "right",
    )
    scores = within(call, model.turn, score)
    ranked = []
    for index in sorted(range(len(texts)), key=lambda at: -scores[at]):
        entry: dict[str, Any] = {"index": index, "score": scores[index]}
        if body.get("return_text"):
            entry["text"] = texts[index]
        ranked.append(entry)
    return ranked
