"""Typed questions as zero-shot classification, and its scores as typed answers. Pure.

The classes of :mod:`langchain_core.decisions` are new in langchain-core 1.8; nothing here needs
them: questions are read by their attributes, answers are plain dicts in the documented shape.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from shared_core import APIResponseValidationError, InvalidSettingError, Label

_MEDIA = frozenset({"image", "image_url", "audio", "input_audio", "video", "file"})


@dataclass(frozen=True, slots=True)
class Asking:
    """One question as a call of zero-shot classification.

    Attributes:
        id: The caller's name of the question.
        kind: ``"noul"``, ``"choice"`` or ``"score"``.
        keys: What the labels stand for: True and False, the choices, or the levels.
        labels: What the model reads, one text per key, all different.
        template: Sentence with ``{}`` for the label.
        legend: Descriptions of the levels of a score.
    """

    id: str
    kind: str
    keys: tuple[Any, ...]
    labels: tuple[str, ...]
    template: str
    legend: tuple[Any, ...] = ()


def asking(id: str, question: Any) -> Asking:
    """Return how *question* is put to a zero-shot classifier.

    Args:
        id: The caller's name of the question.
        question: A ``Noul``, ``Choice`` or ``Score``.

    Raises:
        InvalidSettingError: It is of another kind, or holds media.
    """
    kind = question.type
    template = f"{_no_braces(in_words(question.instructions))} {{}}"
    if kind == "noul":
        criteria = question.criteria
        yes = getattr(criteria, "true", None)
        no = getattr(criteria, "false", None)
        texts = [_described("yes", yes), _described("no", no)]
        return Asking(id, kind, (True, False), tuple(texts), template)
    if kind == "choice":
        texts = [_described(label, what) for label, what in question.criteria.items()]
        return Asking(id, kind, tuple(question.criteria), tuple(texts), template)
    if kind == "score":
        legend = tuple(question.criteria)
        texts = [in_words(level) for level in legend]
        if len(set(texts)) < len(texts) or not all(texts):
            texts = [_described(str(level), text) for level, text in enumerate(texts)]
        return Asking(id, kind, tuple(range(len(legend))), tuple(texts), template, legend)
    raise InvalidSettingError(
        f"question {id!r} is of the kind {kind!r}, which zero-shot classification cannot answer",
        guidance="Ask with Noul, Choice or Score.",
        setting="questions",
    )


def answer(asked: Asking, found: Sequence[Label]) -> dict[str, Any]:
    """Return the answer to a question, in the shape of ``langchain_core.decisions``.

    Probabilities are the model's, scaled to add up to 1; the confidence is that of the likeliest.

    Args:
        asked: The question.
        found: The classifier's scores.

    Raises:
        APIResponseValidationError: The scores are not those of the labels.
    """
    scores = {item.label: item.score for item in found}
    total = sum(scores.values())
    usable = 0 < total < math.inf and min(scores.values()) >= 0  # NaN is neither
    if set(scores) != set(asked.labels) or not usable:
        raise APIResponseValidationError(
            f"Unusable answer to zero-shot-classification: {len(asked.labels)} labels were asked "
            f"for, and the scores are of {sorted(scores)[:5]}",
            operation="zero-shot-classification",
        )
    if len(scores) == 1:
        total = max(total, 1.0)
    shares = [min(scores[label] / total, 1.0) for label in asked.labels]
    likely = max(shares)
    if asked.kind == "noul":
        return {"type": "noul", "noul": shares[0]}
    probabilities = dict(zip(asked.keys, shares, strict=True))
    if asked.kind == "choice":
        best = asked.keys[shares.index(likely)]
        return {
            "type": "choice",
            "choice": best,
            "probabilities": probabilities,
            "confidence": likely,
        }
    return {
        "type": "score",
        "score": sum(level * share for level, share in probabilities.items()),
        "legend": dict(enumerate(asked.legend)),
        "probabilities": probabilities,
        "confidence": likely,
    }


def in_words(value: Any) -> str:
    """Return a state, or part of a question, as text: messages with their role, the rest as JSON.

    Args:
        value: Text, a message, or lists and dicts of them.

    Raises:
        InvalidSettingError: It holds media, which these models cannot read.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, BaseMessage):
        return _message(value)
    if isinstance(value, Sequence) and any(isinstance(item, BaseMessage) for item in value):
        return "\n".join(
            f"{item.type}: {_message(item)}" if isinstance(item, BaseMessage) else in_words(item)
            for item in value
        )
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return {"role": value.type, "content": _message(value)}
    if isinstance(value, Mapping):
        _refuse_media(value)
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _message(message: BaseMessage) -> str:
    for block in [] if isinstance(message.content, str) else message.content:
        _refuse_media(block)
    return str(message.text)


def _refuse_media(block: Any) -> None:
    if isinstance(block, Mapping) and block.get("type") in _MEDIA:
        raise InvalidSettingError(
            f"the state holds media ({block['type']}), which zero-shot classification of texts "
            "cannot read",
            setting="state",
        )


def _described(label: str, what: Any) -> str:
    return label if what is None else f"{label}: {in_words(what)}"


def _no_braces(text: str) -> str:
    # The server puts labels in where it finds braces.
    return text.replace("{", "(").replace("}", ")")
