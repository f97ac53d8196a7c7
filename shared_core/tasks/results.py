"""Typed results of the tasks, and how each is read from a normalised answer.

Every class keeps what the server sent in ``raw``, for fields that are not modelled.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared_core.tasks import read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Raw = Mapping[str, Any]


# --- labels -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Label:
    """A class and how sure the model is of it.

    Attributes:
        label: Name of the class.
        score: Usually a probability from 0 to 1; a logit with ``function_to_apply="none"``.
        raw: What the server sent.
    """

    label: str
    score: float
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


def labels(value: Any, /) -> list[Label]:
    """Read ``[{"label", "score"}]``."""
    return read.items(value, _label)


def _label(value: Any, where: str) -> Label:
    raw = read.mapping(value, where)
    return Label(
        read.get(raw, "label", read.text, where), read.get(raw, "score", read.number, where), raw
    )


# --- text -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entity:
    """A piece of text that the model recognised.

    Attributes:
        label: Kind, e.g. ``"PER"``: the server's ``entity_group``, or ``entity`` without
            aggregation.
        score: Probability from 0 to 1.
        word: The text.
        start: First character in the input, None if the tokenizer does not tell.
        end: One past the last character, or None.
        raw: What the server sent.
    """

    label: str
    score: float
    word: str
    start: int | None
    end: int | None
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


def entities(value: Any, /) -> list[Entity]:
    """Read ``[{"entity_group" or "entity", "score", "word", "start", "end"}]``."""
    return read.items(value, _entity)


def _entity(value: Any, where: str) -> Entity:
    raw = read.mapping(value, where)
    name = "entity_group" if raw.get("entity_group") is not None else "entity"
    return Entity(
        label=read.get(raw, name, read.text, where),
        score=read.get(raw, "score", read.number, where),
        word=read.get(raw, "word", read.text, where),
        start=read.maybe(raw, "start", read.whole, where),
        end=read.maybe(raw, "end", read.whole, where),
        raw=raw,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a question about a text, an image or a document.

    Attributes:
        answer: The answer; empty if the model found none.
        score: Probability from 0 to 1; None where the model gives none.
        start: Where it stands: first character of a text, first word box of a document.
        end: Where it ends: one past the last character, or the last word box.
        raw: What the server sent.
    """

    answer: str
    score: float | None = None
    start: int | None = None
    end: int | None = None
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


def answers(value: Any, /) -> list[Answer]:
    """Read ``[{"answer", "score"?, "start"?, "end"?}]``."""
    return read.items(value, _answer)


def _answer(value: Any, where: str) -> Answer:
    raw = read.mapping(value, where)
    return Answer(
        answer=read.get(raw, "answer", read.text, where),
        score=read.maybe(raw, "score", read.number, where),
        start=read.maybe(raw, "start", read.whole, where),
        end=read.maybe(raw, "end", read.whole, where),
        raw=raw,
    )


@dataclass(frozen=True, slots=True)
class TableAnswer:
    """An answer to a question about a table.

    Attributes:
        answer: The answer with its aggregator, e.g. ``"AVERAGE > 36542"``.
        cells: The cells that it uses.
        coordinates: ``(row, column)`` of each cell.
        aggregator: E.g. ``"SUM"``, or None.
        raw: What the server sent.
        endpoint: Name of the endpoint that answered, if the client has failover.
    """

    answer: str
    cells: list[str]
    coordinates: list[tuple[int, int]]
    aggregator: str | None
    raw: Raw = field(default_factory=dict, repr=False, compare=False)
    endpoint: str | None = field(default=None, repr=False, compare=False)


def table_answer(value: Any, /) -> TableAnswer:
    """Read ``{"answer", "cells", "coordinates", "aggregator"?}``."""
    raw = read.mapping(value)
    return TableAnswer(
        answer=read.get(raw, "answer", read.text),
        cells=read.items(raw.get("cells") or [], read.text, "cells"),
        coordinates=read.items(raw.get("coordinates") or [], _pair, "coordinates"),
        aggregator=read.maybe(raw, "aggregator", read.text),
        raw=raw,
    )


def _pair(value: Any, where: str) -> tuple[int, int]:
    numbers = read.items(value, read.position, where)
    if len(numbers) != 2:
        raise read.wrong(where, "a row and a column", value)
    return numbers[0], numbers[1]


@dataclass(frozen=True, slots=True)
class Filling:
    """A proposal for a masked token.

    Attributes:
        token: Id of the token.
        text: Its text; may begin with a blank.
        score: Probability from 0 to 1.
        sequence: The whole text with the token in its place.
        mask: Which mask it is for, from 0, if the text has several.
        raw: What the server sent.
    """

    token: int
    text: str
    score: float
    sequence: str
    mask: int = 0
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


def fillings(value: Any, /) -> list[Filling]:
    """Read ``[{"score", "token", "token_str", "sequence"}]``, or one such list per mask."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        found = []
        for mask, group in enumerate(value):
            found += [
                _filling(item, f"[{mask}][{at}]", mask)
                for at, item in enumerate(read.items(group, _as_is, f"[{mask}]"))
            ]
        return found
    return read.items(value, _filling)


def _as_is(value: Any, where: str) -> Any:
    return value


def _filling(value: Any, where: str, mask: int = 0) -> Filling:
    raw = read.mapping(value, where)
    return Filling(
        token=read.get(raw, "token", read.whole, where),
        text=read.get(raw, "token_str", read.text, where),
        score=read.get(raw, "score", read.number, where),
        sequence=read.get(raw, "sequence", read.text, where),
        mask=mask,
        raw=raw,
    )


@dataclass(frozen=True, slots=True)
class WrittenText:
    """Text that a model wrote: a summary, a translation, a caption.

    Attributes:
        text: The text.
        raw: What the server sent.
        endpoint: Name of the endpoint that answered, if the client has failover.
    """

    text: str
    raw: Raw = field(default_factory=dict, repr=False, compare=False)
    endpoint: str | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return self.text


def summary(value: Any, /) -> WrittenText:
    """Read ``{"summary_text"}``."""
    return _written(value, "summary_text")


def translation(value: Any, /) -> WrittenText:
    """Read ``{"translation_text"}``."""
    return _written(value, "translation_text")


def written(value: Any, /) -> WrittenText:
    """Read ``{"generated_text"}``."""
    return _written(value, "generated_text")


def _written(value: Any, name: str) -> WrittenText:
    raw = read.mapping(value)
    return WrittenText(read.get(raw, name, read.text), raw)


def scores(value: Any, /) -> list[float]:
    """Read ``[0.91, 0.12]``."""
    return read.items(value, read.number)


def features(value: Any, /) -> NDArray[np.float32]:
    """Read numbers in lists, of any depth but of one shape, as an array.

    A text in the place of a vector is little-endian float32 in base64 (``encoding_format``).
    """
    import numpy as np

    if not isinstance(value, list):
        raise read.wrong("", "a list of numbers", value)
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(_numbers(value), dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        raise read.Mismatch("the answer is not a regular array of numbers") from None
    if array.size == 0:
        raise read.Mismatch("the answer holds no numbers")
    if not np.isfinite(array).all():
        raise read.Mismatch("the answer holds NaN or infinite numbers")
    return array


def _numbers(value: Any) -> Any:
    import numpy as np

    if isinstance(value, list) and value and isinstance(value[0], str | list):
        return [_numbers(item) for item in value]
    if isinstance(value, str):
        try:
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        except ValueError:
            raise read.Mismatch("the answer has a vector that is not base64 of float32") from None
    return value


@dataclass(frozen=True, slots=True)
class Ranked:
    """A text and how well it fits the query.

    Attributes:
        index: Its place among the texts that were given.
        score: Higher is better; from 0 to 1 unless raw scores were asked for.
        text: The text, if it was asked for.
        raw: What the server sent.
    """

    index: int
    score: float
    text: str | None = None
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


def ranking(value: Any, /) -> list[Ranked]:
    """Read ``[{"index", "score", "text"?}]``; the best first."""
    return sorted(read.items(value, _ranked), key=lambda item: -item.score)


def _ranked(value: Any, where: str) -> Ranked:
    raw = read.mapping(value, where)
    name = "score" if "score" in raw else "relevance_score"  # Cohere's form, also llama.cpp's
    return Ranked(
        index=read.get(raw, "index", read.position, where),
        score=read.get(raw, name, read.number, where),
        text=read.maybe(raw, "text", read.text, where),
        raw=raw,
    )


# --- tables -----------------------------------------------------------------------------


def classes(value: Any, /) -> list[str | int | float]:
    """Read ``[5, 5, 7]``: one class per row, text or number."""
    return read.items(value, _class)


def _class(value: Any, where: str) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise read.wrong(where, "text or a number", value)
    return value
