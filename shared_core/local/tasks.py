"""Tasks that models of this process answer, in the shapes of hf-inference and TEI."""

from __future__ import annotations

import base64
from typing import Any

from shared_core.local.call import DEVICE_HEADER, LocalCall
from shared_core.local.loading import reranker, task_model
from shared_core.local.models import ANSWERING, AUDIO_TASKS, IMAGE_TASKS, RANKING, names_of


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
    request = call.request
    asked = request.operation
    if asked not in call.models.tasks:
        raise call.unsupported(
            f"There is no model for {asked} in this process.",
            f"Name one: LocalModels(tasks={{{asked!r}: FOLDER or 'org/name'}}), or leave local= "
            "out and set HF_TOKEN to use the router.",
        )
    check_model(call, asked, request.model)
    inputs, parameters = _given(call, asked)
    model = task_model(call.models, asked, call.settings)
    call.headers[DEVICE_HEADER] = model.device
    return model.run(inputs, parameters)


def _given(call: LocalCall, task: str) -> tuple[Any, dict[str, Any]]:
    """Return the input of *task*, checked, and its parameters."""
    files = task in IMAGE_TASKS or task in AUDIO_TASKS
    if files and call.request.json is None:
        return call.request.content or b"", {}  # the file itself
    body = call.body()
    inputs = body.get("inputs")
    if task == ANSWERING:
        inputs = _question(call, inputs)
    elif not isinstance(inputs, str):
        raise call.bad("inputs must be a text.", "inputs")
    elif files:
        inputs = _file(call, inputs)
    return inputs, body.get("parameters") or {}


def _file(call: LocalCall, inputs: str) -> bytes:
    if inputs.startswith(("http://", "https://")):
        raise call.unsupported(
            "Models in this process fetch nothing from an address.",
            "Pass the file itself: bytes or a path.",
            param="inputs",
        )
    try:
        return base64.b64decode(inputs, validate=True)
    except ValueError:
        raise call.bad("inputs must be a file in base64.", "inputs") from None


def _question(call: LocalCall, inputs: Any) -> dict[str, str]:
    names = ("question", "context")
    if not isinstance(inputs, dict) or not all(isinstance(inputs.get(n), str) for n in names):
        raise call.bad("inputs must have the texts question and context.", "inputs")
    return {name: inputs[name] for name in names}


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
