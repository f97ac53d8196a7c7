"""Many texts as few requests: batches, splitting, and keeping what arrived. No I/O.

Texts are cut into batches of ``batch_size``. A batch that the server finds too large (413, or
a validation answer about the batch size) is cut: to the size that the answer names, else in
halves, down to one text. What proved too large is not tried again: a later batch that has no
fewer texts and no fewer characters than a refused one is cut before it is sent.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from shared_core.embeddings import response, vectors
from shared_core.embeddings.request import EmbeddingOptions, Progress, build, elsewhere
from shared_core.embeddings.types import EmbeddingResult, EmbeddingUsage
from shared_core.errors import APIResponseValidationError, APIStatusError, RouterError
from shared_core.flow import All, Flow
from shared_core.wire.messages import Headers

if TYPE_CHECKING:
    from shared_core.callbacks import Callback
    from shared_core.config.settings import Settings
    from shared_core.core import Core
    from shared_core.embeddings.types import Matrix
    from shared_core.wire.messages import WireRequest, WireResponse

B = TypeVar("B")

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
    work = _Vectors(core, given, list(texts), single, progress, tuple(callbacks))
    yield from work.all()
    return work.result()


@dataclass(slots=True)
class Work(ABC, Generic[B]):
    """What the batches of one call share."""

    core: Core
    given: EmbeddingOptions
    texts: list[str]
    single: bool
    progress: Progress | None
    callbacks: tuple[Callback, ...]
    cap: int | None = None  # the limit that the server named
    refused: list[tuple[int, int]] = field(default_factory=list)  # (texts, characters)
    done: int = 0

    def all(self) -> Flow[None]:
        """Send all batches.

        Raises:
            RouterError: As for :func:`embed`.
        """
        count, size = len(self.texts), self.given.batch_size
        flows = [self.batch(start, min(start + size, count)) for start in range(0, count, size)]
        try:
            if len(flows) == 1:
                yield from flows[0]
            elif flows:
                yield All(flows, limit=self.given.concurrency)
        except RouterError as exc:
            exc.partial = self.received()
            raise

    def request(self, given: EmbeddingOptions, start: int, end: int) -> WireRequest:
        """Return the request for the texts from *start* to *end*."""
        return build(given, self.texts[start:end], single=self.single)

    def elsewhere(
        self, settings: Settings, model: str | None, provider: str | None
    ) -> EmbeddingOptions:
        """Return the options of the call for an endpoint of failover: of the same model."""
        return elsewhere(self.given, self.core.settings, settings, model, provider)

    @abstractmethod
    def read(self, answer: WireResponse, request: WireRequest, count: int) -> B:
        """Return the checked answer to *request*, which asked about *count* texts."""

    @abstractmethod
    def keep(self, start: int, end: int, found: B) -> None:
        """Put the answer about the texts from *start* to *end* in its place."""

    @abstractmethod
    def received(self) -> dict[int, Any]:
        """Return all that arrived, by the number of its text."""

    def batch(self, start: int, end: int) -> Flow[None]:
        """Embed the texts from *start* to *end*, in as many requests as it takes."""
        count = end - start
        size = self.known_limit(start, end)
        if size is not None:
            return (yield from self.pieces(start, end, size))
        request = self.request(self.given, start, end)
        if self.core.rebuilds:
            request.rebuild = self.rebuilder(start, end)

        def parse(answer: Any) -> B:
            return self.read(answer, request, count)

        try:
            found = yield from self.core.exchange(request, parse, callbacks=self.callbacks)
            self.keep(start, end, found)
            self.done += count
            if self.progress is not None:
                self.progress(self.done, len(self.texts))
        except RouterError as exc:
            if not self.learn(exc, start, end):
                exc.texts = (start, end)
                raise
        else:
            return None
        return (yield from self.batch(start, end))

    def rebuilder(self, start: int, end: int) -> Callable[..., WireRequest]:
        """Return what makes the request for another endpoint: of the same model, elsewhere."""

        def rebuild(settings: Settings, model: str | None, provider: str | None) -> WireRequest:
            return self.request(self.elsewhere(settings, model, provider), start, end)

        return rebuild

    def pieces(self, start: int, end: int, size: int) -> Flow[None]:
        """Embed the texts in batches of at most *size*."""
        for first in range(start, end, size):
            yield from self.batch(first, min(first + size, end))

    def known_limit(self, start: int, end: int) -> int | None:
        """Return the size to cut these texts to, None if they may fit as they are."""
        count = end - start
        if self.cap is not None and count > self.cap:
            return self.cap
        if not self.refused:
            return None
        length = self.length(start, end)
        if any(count >= texts and length >= characters for texts, characters in self.refused):
            return (count + 1) // 2
        return None

    def learn(self, error: RouterError, start: int, end: int) -> bool:
        """Remember what *error* says about sizes; return whether smaller batches can help."""
        count = end - start
        if not isinstance(error, APIStatusError) or count < 2:
            return False
        if error.status_code not in (400, 413, 422):
            return False
        text = error.server_message or ""
        named = _LIMIT.search(text)
        if named and 0 < int(named[1]) < count:
            self.cap = int(named[1])
        elif error.status_code == 413 or _TOO_MANY.search(text):
            self.refused.append((count, self.length(start, end)))
        else:
            return False
        return True

    def length(self, start: int, end: int) -> int:
        """Return how many characters the texts have."""
        return sum(map(len, self.texts[start:end]))


@dataclass(slots=True)
class _Vectors(Work[response.Batch]):
    """One vector per text."""

    matrix: Matrix | None = None
    batches: dict[tuple[int, int], response.Batch] = field(default_factory=dict)

    def read(self, answer: WireResponse, request: WireRequest, count: int) -> response.Batch:
        """Return the vectors of an answer."""
        return response.parse(
            answer,
            request=request,
            count=count,
            pooling=self.given.pooling,
            hide=self.core.redact,
        )

    def keep(self, start: int, end: int, found: response.Batch) -> None:
        """Put the vectors in their place."""
        width = found.matrix.shape[1]
        if self.matrix is None:
            self.matrix = np.empty((len(self.texts), width), dtype=np.float32)
        if width != self.matrix.shape[1]:
            raise APIResponseValidationError(
                f"Unusable answer: vectors of length {width} after vectors of length "
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
