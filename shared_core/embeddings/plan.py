"""Many texts as few requests: batches, splitting, and keeping what arrived. No I/O.

Texts are cut into batches of ``batch_size``. A batch that the server finds too large (413, or
a validation answer about the batch size) is cut: to the size that the answer names, else in
halves, down to one text. What proved too large is not tried again by the batches that follow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from shared_core.embeddings import response, vectors
from shared_core.embeddings.request import EmbeddingOptions, Progress, build
from shared_core.embeddings.types import EmbeddingResult, EmbeddingUsage
from shared_core.errors import APIResponseValidationError, APIStatusError, RouterError
from shared_core.flow import All, Flow
from shared_core.wire.messages import Headers

if TYPE_CHECKING:
    from shared_core.callbacks import Callback
    from shared_core.core import Core
    from shared_core.embeddings.types import Matrix

_TOO_MANY = re.compile(
    r"(?i)batch[ _]?size.{0,40}(?:>|exceed|maximum|max|limit|large)"
    r"|(?:maximum|max|limit|at most|too many).{0,40}\b(?:inputs|texts|batch)\b"
    r"|\b(?:inputs?|texts|input array)\b.{0,40}(?:at most|too many|must not exceed)"
)
_LIMIT = re.compile(r"(?i)maximum allowed batch size\D{0,3}(\d{1,6})\b")
"""TEI: ``batch size 33 > maximum allowed batch size 32``, status 422 (413 in its OpenAPI)."""


def embed(
    core: Core,
    given: EmbeddingOptions,
    texts: Sequence[str],
    *,
    single: bool = False,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
) -> Flow[EmbeddingResult]:
    """Return the vectors of *texts*, in order.

    Args:
        core: Sends the requests.
        given: Options of the call.
        texts: What to embed; nothing is sent for none.
        single: Whether the caller gave one bare string.
        progress: Told ``(done, total)`` after each request.
        callbacks: Told of each request.

    Raises:
        RouterError: A request failed. ``texts`` on it is the ``(start, end)`` of its texts,
            ``partial`` a dict from text number to vector with all that arrived before.
    """
    work = _Work(core, given, list(texts), single, progress, tuple(callbacks))
    size = given.batch_size
    flows = [
        work.batch(start, min(start + size, len(texts))) for start in range(0, len(texts), size)
    ]
    try:
        if len(flows) == 1:
            yield from flows[0]
        elif flows:
            yield All(flows, limit=given.concurrency)
    except RouterError as exc:
        _attach(exc, partial=work.received())
        raise
    return work.result()


@dataclass(slots=True)
class _Work:
    """What the batches of one call share."""

    core: Core
    given: EmbeddingOptions
    texts: list[str]
    single: bool
    progress: Progress | None
    callbacks: tuple[Callback, ...]
    cap: int | None = None
    matrix: Matrix | None = None
    batches: dict[tuple[int, int], response.Batch] = field(default_factory=dict)
    done: int = 0

    def batch(self, start: int, end: int) -> Flow[None]:
        """Embed the texts from *start* to *end*, in as many requests as it takes."""
        count = end - start
        if self.cap is not None and count > self.cap:
            return (yield from self.pieces(start, end, self.cap))
        request = build(self.given, self.texts[start:end], single=self.single)
        pooling = self.given.pooling

        def parse(answer: Any) -> response.Batch:
            return response.parse(answer, request=request, count=count, pooling=pooling)

        try:
            found = yield from self.core.exchange(request, parse, callbacks=self.callbacks)
            self.keep(start, end, found)
        except RouterError as exc:
            limit = _fitting(exc, count)
            if limit is None:
                _attach(exc, texts=(start, end))
                raise
        else:
            return None
        return (yield from self.pieces(start, end, limit))

    def pieces(self, start: int, end: int, size: int) -> Flow[None]:
        """Embed the texts in batches of at most *size*, which the batches after this inherit."""
        for first in range(start, end, size):
            yield from self.batch(first, min(first + size, end))
            # Believed only once a piece of that size went through: one huge text must not
            # make all other batches small.
            self.cap = size if self.cap is None else min(self.cap, size)

    def keep(self, start: int, end: int, found: response.Batch) -> None:
        """Put the vectors in their place."""
        width = found.matrix.shape[1]
        if self.matrix is None:
            self.matrix = np.empty((len(self.texts), width), dtype=np.float32)
        if width != self.matrix.shape[1]:
            raise APIResponseValidationError(
                f"Unusable embedding answer: vectors of length {width} after vectors of length "
                f"{self.matrix.shape[1]}",
                guidance="Two models may answer behind this address; pin one provider or server.",
                operation="embeddings",
                model=self.given.model,
                provider=self.given.route.provider,
                url=self.given.route.url,
                request_id=found.request_id,
            )
        self.matrix[start:end] = found.matrix
        found.matrix = self.matrix[start:end]
        self.batches[start, end] = found
        self.done += end - start
        if self.progress is not None:
            self.progress(self.done, len(self.texts))

    def received(self) -> dict[int, Any]:
        """Return all vectors that arrived, by the number of their text."""
        return {
            start + row: vector
            for (start, _), batch in sorted(self.batches.items())
            for row, vector in enumerate(batch.matrix)
        }

    def result(self) -> EmbeddingResult:
        """Return the whole."""
        parts = [batch for _, batch in sorted(self.batches.items(), key=lambda item: item[0])]
        counted = [part.usage for part in parts if part.usage is not None]
        first = parts[0] if parts else None
        return EmbeddingResult(
            vectors=vectors.empty() if self.matrix is None else self.matrix,
            model=(first and first.model) or self.given.model,
            usage=sum(counted, EmbeddingUsage()) if counted else None,
            request_ids=tuple(part.request_id for part in parts if part.request_id),
            provider=(first and first.provider) or self.given.route.provider,
            headers=first.headers if first else Headers(),
        )


def _fitting(error: RouterError, count: int) -> int | None:
    """Return the batch size to try after *error*, None when a smaller one cannot help."""
    if not isinstance(error, APIStatusError) or count < 2:
        return None
    text = error.server_message or ""
    if error.status_code in (400, 413, 422):
        named = _LIMIT.search(text)
        if named and 0 < int(named[1]) < count:
            return int(named[1])
        if error.status_code == 413 or _TOO_MANY.search(text):
            return (count + 1) // 2
    return None


def _attach(error: RouterError, **facts: Any) -> None:
    """Add what a caller needs to go on after *error*: ``texts``, ``partial``."""
    for name, value in facts.items():
        setattr(error, name, value)
