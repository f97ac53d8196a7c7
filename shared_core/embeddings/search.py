"""Semantic search in memory: texts in, best matches out.

For document sets of up to some hundred thousand texts: a search is one matrix product. Beyond
that use a vector store through the LangChain or LlamaIndex adapter.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shared_core.embeddings import index_file
from shared_core.embeddings.request import check_texts
from shared_core.embeddings.similarity import (
    Floats,
    Match,
    Metric,
    most_similar_many,
    normalize,
    top_k,
)
from shared_core.errors import InvalidSettingError


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One document that matches.

    Attributes:
        id: Its id.
        text: Its text.
        score: How similar it is; higher is more similar.
        metadata: What was stored with it.
    """

    id: str
    text: str
    score: float
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Document:
    id: str
    text: str
    metadata: dict[str, Any]


class SemanticIndex:
    """Documents with their vectors, searched by meaning.

    ``add`` and ``search`` need a blocking way to embed, ``aadd`` and ``asearch`` take an
    asynchronous one (or a blocking one that does no I/O). Safe to share between threads.
    """

    def __init__(self, embed: Any, *, metric: Metric = "cosine") -> None:
        """Start empty.

        Args:
            embed: ``client.embeddings`` of either client, or a function from a list of texts
                to a matrix (an awaitable of one, for the asynchronous methods).
            metric: ``"cosine"``, ``"dot"``, or ``"euclidean"`` (scores are negated distances).

        Raises:
            InvalidSettingError: *embed* cannot be called, or *metric* is unknown.
        """
        self._embed = getattr(embed, "create", embed)
        if not callable(self._embed):
            raise InvalidSettingError(
                f"embed must be client.embeddings or a function, not {type(embed).__name__}",
                setting="embed",
            )
        most_similar_many(np.empty((0, 0)), np.empty((0, 0)), metric=metric)
        self.metric: Metric = metric
        self._documents: list[_Document] = []
        self._rows: dict[str, int] = {}
        self._buffer: Floats = np.empty((0, 0), dtype=np.float32)
        self._next_id = 0
        self._lock = threading.Lock()

    # -- filling ---------------------------------------------------------------------------

    def add(
        self,
        texts: str | Sequence[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[str]:
        """Embed and store documents; return their ids.

        Args:
            texts: One or more texts.
            metadatas: One mapping per text.
            ids: One id per text. A known id is replaced, in its place. Default: ``"0"``,
                ``"1"``, ... never used twice.

        Raises:
            InvalidSettingError: The lists do not fit; nothing was embedded or stored.
            RouterError: Embedding failed; nothing was stored.
        """
        found, data, names = _check_documents(texts, metadatas, ids)
        return self._store(found, self._now(found), data, names)

    async def aadd(
        self,
        texts: str | Sequence[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[str]:
        """Embed and store documents; see :meth:`add`.

        Args:
            texts: One or more texts.
            metadatas: One mapping per text.
            ids: One id per text.

        Raises:
            InvalidSettingError: The lists do not fit; nothing was embedded or stored.
            RouterError: Embedding failed; nothing was stored.
        """
        found, data, names = _check_documents(texts, metadatas, ids)
        return self._store(found, await self._later(found), data, names)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents; return how many there were. Unknown ids are ignored.

        Args:
            ids: Ids of documents.
        """
        unwanted = {ids} if isinstance(ids, str) else set(ids)
        with self._lock:
            kept = [row for row, doc in enumerate(self._documents) if doc.id not in unwanted]
            removed = len(self._documents) - len(kept)
            if removed:
                self._buffer = self._buffer[kept]
                self._documents = [self._documents[row] for row in kept]
                self._rows = {doc.id: row for row, doc in enumerate(self._documents)}
        return removed

    # -- searching -------------------------------------------------------------------------

    def search(self, query: str, k: int = 5) -> list[SearchHit]:
        """Return the *k* documents closest in meaning, best first.

        Args:
            query: A question or text.
            k: How many at most, 1 or more.

        Raises:
            InvalidSettingError: An argument is refused, or the vectors have another length.
            RouterError: Embedding failed.
        """
        return self.search_many([query], k)[0]

    def search_many(self, queries: Sequence[str], k: int = 5) -> list[list[SearchHit]]:
        """Return the best documents for each of several queries, embedded together.

        Args:
            queries: Questions or texts.
            k: How many at most per query, 1 or more.

        Raises:
            InvalidSettingError: An argument is refused, or the vectors have another length.
            RouterError: Embedding failed.
        """
        found = check_texts(queries)
        if not self._worth_asking(found, k):
            return [[] for _ in found]
        return self.search_vectors(self._now(found), k)

    async def asearch(self, query: str, k: int = 5) -> list[SearchHit]:
        """Return the *k* documents closest in meaning; see :meth:`search`.

        Args:
            query: A question or text.
            k: How many at most, 1 or more.
        """
        return (await self.asearch_many([query], k))[0]

    async def asearch_many(self, queries: Sequence[str], k: int = 5) -> list[list[SearchHit]]:
        """Return the best documents for each of several queries; see :meth:`search_many`.

        Args:
            queries: Questions or texts.
            k: How many at most per query, 1 or more.
        """
        found = check_texts(queries)
        if not self._worth_asking(found, k):
            return [[] for _ in found]
        return self.search_vectors(await self._later(found), k)

    def search_vectors(self, queries: Any, k: int = 5) -> list[list[SearchHit]]:
        """Return the best documents for vectors that you have already.

        Args:
            queries: ``(n, d)``.
            k: How many at most per query, 1 or more.

        Raises:
            InvalidSettingError: *k* or the length of the vectors does not fit.
        """
        with self._lock:  # rows below this length are never changed in place
            documents, known = self._documents, self._buffer[: len(self._documents)]
        if self.metric != "cosine":
            found = most_similar_many(queries, known, k, metric=self.metric)
        else:  # rows are stored with length 1
            found = most_similar_many(normalize(queries), known, k, metric="dot")
            found = [[Match(row, min(max(score, -1.0), 1.0)) for row, score in m] for m in found]
        return [[_hit(documents[row], score) for row, score in matches] for matches in found]

    # -- looking and keeping ---------------------------------------------------------------

    def get(self, id: str) -> SearchHit | None:
        """Return one document by its id, None if there is none.

        Args:
            id: Id of a document.
        """
        with self._lock:
            row = self._rows.get(id)
            return None if row is None else _hit(self._documents[row], 1.0)

    @property
    def ids(self) -> list[str]:
        """The ids of all documents, in the order of their arrival."""
        with self._lock:
            return [doc.id for doc in self._documents]

    @property
    def dimensions(self) -> int:
        """Length of the vectors; 0 while there are none."""
        return int(self._buffer.shape[1])

    def __len__(self) -> int:
        return len(self._documents)

    def __contains__(self, id: object) -> bool:
        return id in self._rows

    def __repr__(self) -> str:
        return f"<SemanticIndex {len(self)} documents, metric={self.metric!r}>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one ``.npz`` file, in one step: readers never see half a file.

        Args:
            path: File name, used as it is.

        Raises:
            InvalidSettingError: The metadata of a document is not JSON; nothing was written.
            OSError: The file cannot be written.
        """
        with self._lock:
            documents = list(self._documents)
            matrix = self._buffer[: len(documents)]
            head = {"metric": self.metric, "next_id": self._next_id}
        index_file.write(path, head, [_plain(doc) for doc in documents], matrix)

    @classmethod
    def load(cls, path: str | os.PathLike[str], embed: Any) -> SemanticIndex:
        """Return the index that :meth:`save` wrote.

        Args:
            path: File name.
            embed: As for the constructor; must embed with the same model as before.

        Raises:
            InvalidSettingError: The file is not such an index.
            OSError: The file cannot be read.
        """
        head, found, matrix = index_file.read(path)
        index = cls(embed, metric=head["metric"])
        index._next_id = int(head["next_id"])
        documents = [_Document(**each) for each in found]
        index._documents = documents
        index._rows = {doc.id: row for row, doc in enumerate(documents)}
        index._buffer = matrix
        return index

    # -- inside ----------------------------------------------------------------------------

    def _worth_asking(self, queries: list[str], k: int) -> bool:
        top_k([], k)  # refuses a k that cannot work, before anything is sent
        return bool(queries and self._documents)

    def _now(self, texts: list[str]) -> Floats:
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        found = self._embed(texts)
        if inspect.isawaitable(found):
            if inspect.iscoroutine(found):
                found.close()
            raise InvalidSettingError(
                "this index embeds asynchronously",
                guidance="Use aadd, asearch and asearch_many, or give it a blocking client.",
                setting="embed",
            )
        return _matrix(found, len(texts))

    async def _later(self, texts: list[str]) -> Floats:
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        found = self._embed(texts)
        return _matrix(await found if inspect.isawaitable(found) else found, len(texts))

    def _store(
        self,
        texts: list[str],
        matrix: Floats,
        metadatas: list[dict[str, Any]],
        ids: list[str] | None,
    ) -> list[str]:
        if not texts:
            return []
        rows = normalize(matrix) if self.metric == "cosine" else matrix
        with self._lock:
            if self._documents and rows.shape[1] != self.dimensions:
                raise InvalidSettingError(
                    f"the index holds vectors of length {self.dimensions}, these have length "
                    f"{rows.shape[1]}",
                    guidance="Use one model and one value of dimensions for the whole index.",
                    setting="embed",
                )
            names = self._name(len(texts)) if ids is None else ids
            documents = [_Document(*each) for each in zip(names, texts, metadatas, strict=True)]
            if any(name in self._rows for name in names):
                # Searches under way keep the old list and the old matrix.
                self._documents = list(self._documents)
                self._buffer = self._buffer.copy()
            self._append(documents, rows)
        return names

    def _append(self, documents: list[_Document], rows: Floats) -> None:
        size = len(self._documents)
        if size + len(rows) > len(self._buffer) or not size:
            grown = np.empty((max(size + len(rows), 2 * size), rows.shape[1]), dtype=np.float32)
            grown[:size] = self._buffer[:size] if size else grown[:0]
            self._buffer = grown
        for document, vector in zip(documents, rows, strict=True):
            row = self._rows.setdefault(document.id, len(self._documents))
            self._buffer[row] = vector
            if row == len(self._documents):
                self._documents.append(document)
            else:
                self._documents[row] = document

    def _name(self, count: int) -> list[str]:
        names: list[str] = []
        while len(names) < count:
            name = str(self._next_id)
            self._next_id += 1
            if name not in self._rows:
                names.append(name)
        return names


def _check_documents(
    texts: str | Sequence[str],
    metadatas: Sequence[Mapping[str, Any]] | None,
    ids: Sequence[str] | None,
) -> tuple[list[str], list[dict[str, Any]], list[str] | None]:
    found = check_texts(texts)
    data = [{} for _ in found] if metadatas is None else [dict(each) for each in metadatas]
    names = None if ids is None else check_texts(ids)
    for name, values in (("metadatas", data), ("ids", names)):
        if values is not None and len(values) != len(found):
            raise InvalidSettingError(
                f"{name} has {len(values)} entries for {len(found)} texts", setting=name
            )
    if names is not None and len(set(names)) != len(names):
        raise InvalidSettingError("ids holds the same id twice", setting="ids")
    return found, data, names


def _matrix(found: Any, count: int) -> Floats:
    matrix: Floats = np.asarray(getattr(found, "vectors", found), dtype=np.float32)
    if matrix.ndim != 2 or len(matrix) != count or not np.isfinite(matrix).all():
        raise InvalidSettingError(
            f"embed must give {count} finite vectors of one length, not shape {matrix.shape}",
            setting="embed",
        )
    return matrix


def _plain(document: _Document) -> dict[str, Any]:
    return {"id": document.id, "text": document.text, "metadata": document.metadata}


def _hit(document: _Document, score: float) -> SearchHit:
    return SearchHit(document.id, document.text, score, document.metadata)
