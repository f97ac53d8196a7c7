"""Numbers of a JSON answer, as float32.

Two readers, same results:

* ``simdjson`` (package ``pysimdjson``, used when installed) copies numbers straight into a
  buffer, without a Python object for each;
* ``pydantic_core.from_json`` and ``numpy.array`` otherwise.

``benchmarks/vectors.py`` measures them. The first only answers when everything is as expected;
whatever is odd is left to the second, so that there is one place where answers are judged.
"""

from __future__ import annotations

import binascii
import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from shared_core.embeddings.types import Matrix

_ODD = (KeyError, TypeError, ValueError, RuntimeError, OverflowError)


class NotVectorsError(ValueError):
    """The values are not vectors; the text says why. Never leaves this package."""


@dataclass(slots=True)
class Numbers:
    """What the fast reader found: vectors in the order of the texts, and the rest of the body."""

    matrix: Matrix
    model: Any = None
    usage: Any = None


def _load_simdjson() -> Any:
    try:
        return importlib.import_module("simdjson")
    except ImportError:
        return None


_simdjson: Any = _load_simdjson()


def read_fast(content: bytes, count: int) -> Numbers | None:
    """Read a well-formed answer of *count* vectors; None when it is anything else.

    Args:
        content: Body: a JSON matrix, or an OpenAI list.
        count: How many vectors are expected.
    """
    # One bracket for each vector and one around them: nothing is nested deeper, and no text
    # of the body can be mistaken for structure.
    if _simdjson is None or content.count(b"[") != count + 1:
        return None
    try:
        document = _simdjson.Parser().parse(content)
        if isinstance(document, _simdjson.Object):
            return _read_openai(document, count)
        return Numbers(_read_rows(document, count))
    except _ODD:
        return None


def _read_rows(document: Any, count: int) -> Matrix:
    numbers = np.frombuffer(document.as_buffer(of_type="d"), dtype=np.float64)
    width, rest = divmod(numbers.size, count)
    if rest or len(document) != count or any(len(row) != width for row in document):
        raise ValueError("not a matrix of this many rows")
    return to_float32(numbers.reshape(count, width))


def _read_openai(document: Any, count: int) -> Numbers:
    data = document["data"]
    if "error" in document or len(data) != count:
        raise ValueError("not a list of this many embeddings")
    matrix: Matrix | None = None
    missing = set(range(count))
    for item in data:
        index = item["index"]
        if type(index) is not int:
            raise ValueError("an index that is no whole number")
        row = np.frombuffer(item["embedding"].as_buffer(of_type="d"), dtype=np.float64)
        if matrix is None:
            matrix = np.empty((count, row.size), dtype=np.float32)
        if row.size != matrix.shape[1]:
            raise ValueError("vectors of different length")
        missing.remove(index)
        matrix[index] = to_float32(row)
    if matrix is None:
        raise ValueError("no embeddings")
    usage = document.get("usage")
    return Numbers(matrix, document.get("model"), usage and usage.as_dict())


def to_float32(array: Any) -> Matrix:
    """Return *array* as C-contiguous float32; what does not fit becomes infinite, silently."""
    with np.errstate(over="ignore", under="ignore"):
        narrow: Matrix = np.ascontiguousarray(array, dtype=np.float32)
    return narrow


def decode_base64(text: str) -> Any:
    """Return the vector in *text*: base64 of little-endian float32.

    Raises:
        NotVectorsError: It is not that.
    """
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise NotVectorsError("a vector is not valid base64") from None
    if len(raw) % 4:
        raise NotVectorsError(f"a base64 vector of {len(raw)} bytes is not a row of float32")
    return np.frombuffer(raw, dtype="<f4").astype(np.float32, copy=False)


def stack(rows: Sequence[Any]) -> Matrix:
    """Return equally long vectors (lists of numbers, or arrays) as one float32 matrix.

    Raises:
        NotVectorsError: Lengths differ, or something is no number.
    """
    try:
        array = np.array(rows)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0, dtype=object)
    # Without a dtype, numpy does not turn texts into numbers behind our back.
    if array.ndim == 2 and array.dtype.kind in "fiu":
        return to_float32(array)
    lengths = sorted({len(row) for row in rows if hasattr(row, "__len__")})
    if len(lengths) > 1:
        raise NotVectorsError(f"vectors have different lengths: {lengths[0]} and {lengths[-1]}")
    raise NotVectorsError("a vector holds something that is not a number")


def pool(tokens: Any, how: str) -> Any:
    """Return one vector for the token vectors of one text.

    Args:
        tokens: ``(tokens, d)``. Padding is included: no attention mask comes with the answer.
        how: ``"mean"``, or ``"cls"`` for the first token.

    Raises:
        NotVectorsError: There are no tokens, or they are not equally long vectors.
    """
    if not tokens:
        raise NotVectorsError("a text has no token vectors")
    if how == "cls":
        return stack(tokens[:1])[0]
    return stack(tokens).mean(axis=0, dtype=np.float64)


def depth(value: Any) -> int:
    """Return how deep lists are nested, looking at first elements; 0 for what is no list."""
    levels = 0
    while isinstance(value, list):
        levels += 1
        value = value[0] if value else None
    return levels


def first_infinite(matrix: Matrix) -> int | None:
    """Return the first row that holds NaN or infinity, None if all is finite."""
    finite = np.isfinite(matrix)
    if finite.all():
        return None
    return int(np.argmin(finite.all(axis=1)))


def empty() -> Matrix:
    """Return the matrix of no vectors."""
    return np.empty((0, 0), dtype=np.float32)


def by_position(items: Iterable[tuple[int, Any]]) -> list[Any]:
    """Return the values in the order of their positions."""
    return [value for _, value in sorted(items, key=lambda item: item[0])]
