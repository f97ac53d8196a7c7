"""``HFRouterRerank``: retrieved documents in the order in which they answer the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field

from langchain_hfrouter._base import RouterConnection

if TYPE_CHECKING:
    from langchain_core.callbacks import Callbacks

    from shared_core import Ranked


class HFRouterRerank(RouterConnection, BaseDocumentCompressor):
    """Orders documents by a query, for ``ContextualCompressionRetriever`` or by itself.

    Example:
        >>> rerank = HFRouterRerank(base_url="http://localhost:8080", top_n=3)
        >>> rerank.compress_documents(documents, "When does it open?")  # doctest: +SKIP

    ``base_url`` is the host of a TEI server or one like it (``/rerank``), or a full address that
    ends in ``/v1/rerank``, which is spoken to in Cohere's form (vLLM, llama.cpp, Infinity). The
    router itself serves no rerankers: ``method="sentence-similarity"`` asks an embedding model
    there. Documents without text are left out.
    """

    model: str | None = None
    """Hub id. A server of one's own with a single model needs none."""

    provider: str | None = None
    """Who serves the model; hf-inference by default."""

    method: Literal["text-ranking", "sentence-similarity"] = "text-ranking"
    """Who tells how well a document fits: a reranker, or the similarity of sentences. Their
    scores mean different things, so that the one never stands in for the other by itself."""

    top_n: int | None = Field(default=None, ge=1)
    """How many documents to return; all by default."""

    batch_size: int = Field(default=32, ge=1)
    """Texts per request; TEI takes 32 by default."""

    concurrency: int = Field(default=1, ge=1)
    """Requests at once in the asynchronous methods."""

    scale_up_timeout: float | None = Field(default=None, ge=1, le=86_400)
    """Seconds for which an Inference Endpoint may hold a request while it starts from zero;
    without it such an endpoint answers 503."""

    raw_scores: bool | None = None
    """Whether scores stay as the model makes them, not from 0 to 1; not sent when None."""

    truncate: bool | None = None
    """Have the server cut texts that are too long; not sent when None."""

    truncation_direction: Literal["left", "right"] | None = None
    """The side that is cut."""

    extra_body: dict[str, Any] | None = None
    """Further fields of the request body; they win over all others."""

    local_model: ClassVar[str] = "embedding_model"

    keyword_aliases: ClassVar[dict[str, str]] = {
        **RouterConnection.keyword_aliases,
        "model_name": "model",
        "repo_id": "model",
        "top_k": "top_n",
        "max_batch_size": "batch_size",
    }

    def rerank(
        self,
        documents: Sequence[str | Document],
        query: str,
        *,
        top_n: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return ``[{"index", "relevance_score"}]``, the best first.

        Args:
            documents: Texts or documents. None at all need no request.
            query: The query.
            top_n: How many to return; the field by default.

        Raises:
            RouterError: A setting is refused or a request failed; also LangChain's counterpart.
        """
        from langchain_hfrouter._errors import dual_errors

        places, texts = _texts(documents)
        with dual_errors:
            ranked = self.sync_client().tasks.rerank(query, texts, **self._params(top_n))
        return _scores(ranked, places)

    async def arerank(
        self,
        documents: Sequence[str | Document],
        query: str,
        *,
        top_n: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return ``[{"index", "relevance_score"}]``; up to ``concurrency`` requests at once.

        Args:
            documents: Texts or documents. None at all need no request.
            query: The query.
            top_n: How many to return; the field by default.

        Raises:
            RouterError: A setting is refused or a request failed; also LangChain's counterpart.
        """
        from langchain_hfrouter._errors import dual_errors

        places, texts = _texts(documents)
        with dual_errors:
            ranked = await self.async_client().tasks.rerank(query, texts, **self._params(top_n))
        return _scores(ranked, places)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return copies of the best documents, with ``metadata["relevance_score"]``.

        Args:
            documents: The documents; not changed.
            query: The query.
            callbacks: Told of the start, the end or the error, as of a chain.

        Raises:
            RouterError: A setting is refused or a request failed; also LangChain's counterpart.
        """
        from langchain_core.callbacks import CallbackManager

        manager = CallbackManager.configure(callbacks)
        run = manager.on_chain_start(None, _inputs(documents, query), name=type(self).__name__)
        try:
            found = _copies(documents, self.rerank(documents, query))
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end({"documents": found})
        return found

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return copies of the best documents, with ``metadata["relevance_score"]``.

        Args:
            documents: The documents; not changed.
            query: The query.
            callbacks: Told of the start, the end or the error, as of a chain.

        Raises:
            RouterError: A setting is refused or a request failed; also LangChain's counterpart.
        """
        from langchain_core.callbacks import AsyncCallbackManager

        manager = AsyncCallbackManager.configure(callbacks)
        run = await manager.on_chain_start(
            None, _inputs(documents, query), name=type(self).__name__
        )
        try:
            found = _copies(documents, await self.arerank(documents, query))
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end({"documents": found})
        return found

    def _params(self, top_n: int | None) -> dict[str, Any]:
        names = (
            "model",
            "provider",
            "method",
            "batch_size",
            "concurrency",
            "raw_scores",
            "truncate",
            "truncation_direction",
            "scale_up_timeout",
            "extra_body",
        )
        params = {name: getattr(self, name) for name in names}
        params["top_n"] = self.top_n if top_n is None else top_n
        return {name: value for name, value in params.items() if value is not None}


def _texts(documents: Sequence[str | Document]) -> tuple[list[int], list[str]]:
    """Return the texts that there are, and where each stands among the documents."""
    texts = [d if isinstance(d, str) else d.page_content for d in documents]
    places = [place for place, text in enumerate(texts) if text.strip()]
    return places, [texts[place] for place in places]


def _scores(ranked: Sequence[Ranked], places: Sequence[int]) -> list[dict[str, Any]]:
    return [{"index": places[item.index], "relevance_score": item.score} for item in ranked]


def _copies(documents: Sequence[Document], scores: Sequence[Mapping[str, Any]]) -> list[Document]:
    copies = []
    for item in scores:
        document = documents[item["index"]]
        metadata = {**document.metadata, "relevance_score": item["relevance_score"]}
        copies.append(document.model_copy(update={"metadata": metadata}))
    return copies


def _inputs(documents: Sequence[Document], query: str) -> dict[str, Any]:
    return {"query": query, "documents": list(documents)}
