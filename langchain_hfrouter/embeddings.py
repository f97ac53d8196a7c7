"""``HFRouterEmbeddings``: vectors from the router, TEI, or any OpenAI-style server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from langchain_core.embeddings import Embeddings
from pydantic import Field

from langchain_hfrouter._base import RouterConnection


class HFRouterEmbeddings(RouterConnection, Embeddings):
    """Embeddings of texts and queries; order kept, batches split, lists of floats out.

    Example:
        >>> embeddings = HFRouterEmbeddings(model="BAAI/bge-small-en-v1.5")
        >>> embeddings.embed_query("What is a router?")  # doctest: +SKIP

    ``base_url`` may be the host of a TEI server or an Inference Endpoint, a ``/v1`` base, or a
    full path such as ``.../embed``.
    """

    model: str | None = None
    """Hub id. A server of one's own with a single model needs none."""

    provider: str | None = None
    """``"hf-inference"`` (default on the router), ``"together"``, ``"scaleway"`` ..."""

    dialect: Literal["hf-inference", "tei", "openai"] | None = None
    """Form of the request; None decides by the address."""

    normalize: bool | None = None
    """Have the server scale vectors to length 1; not sent when None."""

    truncate: bool | None = None
    """Have the server cut texts that are too long; not sent when None."""

    truncation_direction: Literal["left", "right"] | None = None
    """The side that is cut."""

    dimensions: int | None = None
    """Length of the vectors, where the model can shorten them."""

    encoding_format: Literal["float", "base64"] | None = None
    """``"base64"`` is smaller and faster to read where the server has it."""

    pooling: Literal["mean", "cls"] | None = None
    """Makes one vector of token vectors, which are refused without it."""

    prompt_name: str | None = None
    """Name of a prompt in the model's configuration, for queries and documents."""

    query_prompt_name: str | None = None
    """The same for queries only."""

    document_prompt_name: str | None = None
    """The same for documents only."""

    query_prompt: str | None = None
    """Text put before each query, e.g. ``"query: "``."""

    document_prompt: str | None = None
    """Text put before each document, e.g. ``"passage: "``."""

    batch_size: int = Field(default=32, ge=1)
    """Texts per request; TEI takes 32 by default."""

    concurrency: int = Field(default=1, ge=1)
    """Requests at once in the asynchronous methods."""

    scale_up_timeout: float | None = Field(default=None, ge=1, le=86_400)
    """Seconds for which an Inference Endpoint may hold a request while it starts from zero;
    without it such an endpoint answers 503."""

    show_progress: bool = False
    """Show a progress bar (needs ``tqdm``)."""

    extra_body: dict[str, Any] | None = None
    """Further fields of the request body; they win over all others."""

    local_model: ClassVar[str] = "embedding_model"

    keyword_aliases: ClassVar[dict[str, str]] = {
        **RouterConnection.keyword_aliases,
        "model_name": "model",
        "repo_id": "model",
        "chunk_size": "batch_size",
        "max_batch_size": "batch_size",
        "show_progress_bar": "show_progress",
        "query_instruction": "query_prompt",
        "embed_instruction": "document_prompt",
    }

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in order.

        Args:
            texts: The texts. None at all need no request.

        Raises:
            APIError: A request failed; also LangChain's counterpart.
        """
        if not texts:
            return []
        from langchain_hfrouter._errors import dual_errors

        with dual_errors, self._progress(len(texts)) as progress:
            result = self.sync_client().embeddings.create(
                list(texts), **self._document_params(), progress=progress
            )
        vectors: list[list[float]] = result.vectors.tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of one query.

        Args:
            text: The query.

        Raises:
            APIError: The request failed; also LangChain's counterpart.
        """
        from langchain_hfrouter._errors import dual_errors

        with dual_errors:
            vector = self.sync_client().embeddings.embed_one(text, **self._query_params())
        values: list[float] = vector.tolist()
        return values

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in order; up to ``concurrency`` requests at once.

        Args:
            texts: The texts. None at all need no request.

        Raises:
            APIError: A request failed; also LangChain's counterpart.
        """
        if not texts:
            return []
        from langchain_hfrouter._errors import dual_errors

        with dual_errors, self._progress(len(texts)) as progress:
            result = await self.async_client().embeddings.create(
                list(texts), **self._document_params(), progress=progress
            )
        vectors: list[list[float]] = result.vectors.tolist()
        return vectors

    async def aembed_query(self, text: str) -> list[float]:
        """Return the vector of one query.

        Args:
            text: The query.

        Raises:
            APIError: The request failed; also LangChain's counterpart.
        """
        from langchain_hfrouter._errors import dual_errors

        with dual_errors:
            vector = await self.async_client().embeddings.embed_one(text, **self._query_params())
        values: list[float] = vector.tolist()
        return values

    def _params(self, prompt: str | None, prompt_name: str | None) -> dict[str, Any]:
        names = (
            "model",
            "provider",
            "dialect",
            "normalize",
            "truncate",
            "truncation_direction",
            "dimensions",
            "encoding_format",
            "pooling",
            "scale_up_timeout",
            "extra_body",
        )
        params = {name: getattr(self, name) for name in names}
        params["prompt"] = prompt
        params["prompt_name"] = prompt_name or self.prompt_name
        return {name: value for name, value in params.items() if value is not None}

    def _document_params(self) -> dict[str, Any]:
        params = self._params(self.document_prompt, self.document_prompt_name)
        return {**params, "batch_size": self.batch_size, "concurrency": self.concurrency}

    def _query_params(self) -> dict[str, Any]:
        return self._params(self.query_prompt, self.query_prompt_name)

    def _progress(self, total: int) -> _Progress:
        return _Progress(total if self.show_progress else None)


class _Progress:
    """A progress bar for one call, or nothing; also closed when the call fails."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._bar: Any = None

    def __enter__(self) -> Callable[[int, int], None] | None:
        if self._total is None:
            return None
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise ImportError("show_progress needs tqdm: pip install 'hfrouter[all]'") from error
        self._bar = tqdm(total=self._total, desc="Embedding", unit="text")
        return self._advance

    def _advance(self, done: int, total: int) -> None:
        self._bar.update(done - self._bar.n)

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.close()
