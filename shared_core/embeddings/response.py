"""What an embedding answer says. Pure: :class:`WireResponse` in, a checked matrix out.

Answers are judged by their shape, not by the dialect of the request: servers mix them.

| JSON                                    | from                                            |
|-----------------------------------------|-------------------------------------------------|
| ``[f, ...]``                            | sentence-transformers pipeline, one text        |
| ``[[f, ...], ...]``                     | TEI, sentence-transformers, one row per text    |
| ``[[[f, ...], ...]]``, ``[[[[...]]]]``  | plain transformers: one vector per *token*      |
| ``{"data": [{"index", "embedding"}]}``  | OpenAI form; floats, base64 or token vectors    |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from shared_core.embeddings import vectors
from shared_core.embeddings.types import EmbeddingUsage, SparseVector
from shared_core.errors import (
    APIResponseValidationError,
    from_error_object,
    redact,
)
from shared_core.wire import json_text
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.embeddings.types import Matrix

T = TypeVar("T")

_REQUEST_IDS = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id")
"""Headers that carry the id of an exchange, best first (protocol reference, 1.5)."""

_EVIDENCE = 200
"""How many bytes of a refused body are quoted."""


@dataclass(slots=True)
class Batch:
    """The answer to one request, checked.

    Attributes:
        matrix: float32, one row per text of the request, in order.
        model: Model that the server names.
        usage: Tokens counted, None when the answer does not say.
        request_id: The server's id of the exchange.
        provider: Provider that the server names.
        headers: Response headers.
    """

    matrix: Matrix
    model: str | None
    usage: EmbeddingUsage | None
    request_id: str | None
    provider: str | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer together with what its errors have to say."""

    response: WireResponse
    request: WireRequest
    hide: Callable[[str], str]

    def json(self) -> Any:
        """Return the JSON value of the body; raise what an error object stands for."""
        try:
            data = json_text.read_body(self.response.content)
        except json_text.BodyError as exc:
            raise self.refuse(str(exc), kind=exc.kind) from None
        if isinstance(data, dict) and (
            data.get("error") is not None or data.get("object") == "error"  # the latter: old vLLM
        ):
            raise from_error_object(
                data, headers=self.response.headers, hide=self.hide, **self._context()
            )
        return data

    def refuse(
        self,
        what: str,
        guidance: str | None = None,
        kind: type[APIResponseValidationError] = APIResponseValidationError,
    ) -> APIResponseValidationError:
        """Return the error that says *what* is wrong, and shows the beginning of the body."""
        answer = self.response
        # Secrets are hidden before the text is cut: half of one would not be found.
        text = self.hide(answer.content[: 16 * _EVIDENCE].decode("utf-8", "replace"))[:_EVIDENCE]
        content_type = answer.headers.get("content-type")
        return kind(
            f"Unusable answer: {what} (status {answer.status}, {content_type or 'no type'}, "
            f"begins {text[:60]!r})",
            guidance=guidance,
            status_code=answer.status,
            content_type=content_type,
            body=text,
            headers={name: self.hide(value) for name, value in answer.headers.items()},
            request_id=answer.headers.get("x-request-id"),
            elapsed=answer.elapsed or None,
            **self._context(),
        )

    def _context(self) -> dict[str, Any]:
        return {
            "operation": self.request.operation,
            "model": self.request.model,
            "provider": self.request.provider,
            "url": self.response.url or self.request.url,
        }


def parse(
    response: WireResponse,
    *,
    request: WireRequest,
    count: int,
    pooling: str | None = None,
    hide: Callable[[str], str] = redact,
) -> Batch:
    """Return the vectors of an answer.

    Args:
        response: A successful answer.
        request: What was asked, for errors.
        count: How many texts were sent.
        pooling: How token vectors become one vector; None refuses them.
        hide: Removes secrets from what is quoted in errors, e.g. ``settings.redact``.

    Raises:
        APIResponseValidationError: The body is not *count* finite vectors of one length.
        APIStatusError: The body is an error object, in spite of its status.
    """
    answer = _Answer(response, request, hide)
    found = vectors.read_fast(response.content, count)
    if found is None:
        try:
            found = _read(answer, count, pooling)
        except vectors.NotVectorsError as exc:
            raise answer.refuse(str(exc)) from None
    matrix = found.matrix
    if matrix.shape[1] == 0:
        raise answer.refuse("the vectors are empty")
    row = vectors.first_infinite(matrix)
    if row is not None:
        raise answer.refuse(
            f"the vector of text {row} of the request holds NaN or infinite numbers",
            "The model overflowed on that text: try another text length, dtype or provider.",
        )
    return Batch(
        matrix=matrix,
        model=found.model if isinstance(found.model, str) and found.model else None,
        usage=_usage(found.usage, response.headers),
        request_id=next(
            (response.headers[name] for name in _REQUEST_IDS if response.headers.get(name)), None
        ),
        provider=response.headers.get("x-inference-provider"),
        headers=response.headers,
    )


def parse_scores(
    response: WireResponse,
    *,
    request: WireRequest,
    count: int,
    hide: Callable[[str], str] = redact,
) -> Matrix:
    """Return the scores of a sentence similarity answer, shape ``(count,)``.

    Args:
        response: A successful answer.
        request: What was asked, for errors.
        count: How many sentences were compared.
        hide: Removes secrets from what is quoted in errors.

    Raises:
        APIResponseValidationError: The body is not *count* finite numbers.
        APIStatusError: The body is an error object, in spite of its status.
    """
    answer = _Answer(response, request, hide)
    data = answer.json()
    try:
        if not isinstance(data, list):
            raise vectors.NotVectorsError("the body is not a list of scores")
        _check_count(len(data), count, "scores", "sentence")
        scores = vectors.stack([data])
        if vectors.first_infinite(scores) is not None:
            raise vectors.NotVectorsError("a score is NaN or infinite")
    except vectors.NotVectorsError as exc:
        raise answer.refuse(str(exc)) from None
    row: Matrix = scores[0]
    return row


def parse_sparse(
    response: WireResponse,
    *,
    request: WireRequest,
    count: int,
    hide: Callable[[str], str] = redact,
) -> list[SparseVector]:
    """Return the sparse vectors of an answer in TEI's form, ``[[{"index", "value"}]]``.

    Arguments and errors are those of :func:`parse_scores`.
    """

    def sparse(entries: Any) -> SparseVector:
        if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
            raise vectors.NotVectorsError("a sparse vector is not a list of objects")
        places = [item.get("index") for item in entries]
        if not all(_is_place(place) for place in places) or len(set(places)) < len(places):
            raise vectors.NotVectorsError("the indices of a sparse vector are not places")
        values = vectors.stack([[item.get("value") for item in entries]])[0] if entries else []
        return SparseVector(np.array(places, np.int64), np.array(values, np.float32))

    return _each(_Answer(response, request, hide), count, sparse, lambda vector: vector.values)


def parse_tokens(
    response: WireResponse,
    *,
    request: WireRequest,
    count: int,
    hide: Callable[[str], str] = redact,
) -> list[Matrix]:
    """Return the token vectors of an answer in TEI's form, ``[[[f, ...], ...], ...]``.

    Arguments and errors are those of :func:`parse_scores`.
    """

    def matrix(rows: Any) -> Matrix:
        if vectors.depth(rows) != 2 or not rows[0]:
            raise vectors.NotVectorsError("an entry of the answer is not a vector per token")
        return vectors.stack(rows)

    return _each(_Answer(response, request, hide), count, matrix, lambda rows: rows)


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _each(
    answer: _Answer, count: int, read: Callable[[Any], T], numbers: Callable[[T], Matrix]
) -> list[T]:
    data = answer.json()
    try:
        if not isinstance(data, list):
            raise vectors.NotVectorsError("the body is not a list with an entry per text")
        _check_count(len(data), count, "entries")
        found = [read(entry) for entry in data]
        if not all(np.isfinite(numbers(each)).all() for each in found):
            raise vectors.NotVectorsError("a vector holds NaN or infinite numbers")
    except vectors.NotVectorsError as exc:
        raise answer.refuse(str(exc)) from None
    return found


def _read(answer: _Answer, count: int, pooling: str | None) -> vectors.Numbers:
    data = answer.json()
    model = usage = None
    if isinstance(data, dict):
        model, usage = data.get("model"), data.get("usage")
        entries = _openai_entries(data, count)
    elif isinstance(data, list):
        entries = _bare_entries(data, count)
    else:
        raise vectors.NotVectorsError("the body holds no vectors")
    try:
        rows = [_vector(entry, pooling) for entry in entries]
    except _TokenLevelError:
        raise answer.refuse(
            "the answer holds one vector per token, not one per text",
            "Pass pooling='mean' or pooling='cls', or choose a sentence-transformers model, which "
            "pools itself.",
        ) from None
    return vectors.Numbers(vectors.stack(rows), model, usage)


def _openai_entries(data: dict[str, Any], count: int) -> list[Any]:
    items = data.get("data")
    if not isinstance(items, list):
        raise vectors.NotVectorsError("the body is an object without a list 'data'")
    _check_count(len(items), count)
    placed: dict[int, Any] = {}
    for item in items:
        index = item.get("index") if isinstance(item, dict) else None
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
            raise vectors.NotVectorsError(f"an embedding has no index from 0 to {count - 1}")
        if index in placed:
            raise vectors.NotVectorsError(f"two embeddings have the index {index}")
        placed[index] = item.get("embedding")
    return vectors.by_position(placed.items())


def _bare_entries(data: list[Any], count: int) -> list[Any]:
    levels = vectors.depth(data)
    if count == 1 and (
        (levels == 1 and data and not isinstance(data[0], str)) or (levels == 2 and len(data) > 1)
    ):
        return [data]  # the vector itself, or the token vectors themselves
    _check_count(len(data), count)
    return data


def _check_count(found: int, expected: int, what: str = "vectors", of: str = "text") -> None:
    if found != expected:
        noun = of if expected == 1 else f"{of}s"
        raise vectors.NotVectorsError(f"the answer holds {found} {what} for {expected} {noun}")


class _TokenLevelError(Exception):
    """Token vectors came and no pooling was asked for."""


def _vector(entry: Any, pooling: str | None) -> Any:
    if isinstance(entry, str):
        return vectors.decode_base64(entry)
    levels = vectors.depth(entry)
    if levels == 1:
        return entry
    if levels == 3 and len(entry) == 1:
        entry = entry[0]
    elif levels != 2:
        raise vectors.NotVectorsError("an entry of the answer is not a vector")
    if pooling is None:
        raise _TokenLevelError
    return vectors.pool(entry, pooling)


def _usage(found: Any, headers: Mapping[str, str]) -> EmbeddingUsage | None:
    if isinstance(found, dict):
        counts = [json_text.whole(found.get(name)) for name in ("prompt_tokens", "total_tokens")]
        known = [count for count in counts if count is not None]
        if known:
            prompt, total = (known[0] if count is None else count for count in counts)
            return EmbeddingUsage(prompt, total)
    counted = headers.get("x-compute-tokens", "")
    if counted.isascii() and counted.isdigit() and len(counted) < 16:
        return EmbeddingUsage(int(counted), int(counted))
    return None
