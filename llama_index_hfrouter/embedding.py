"""``HFRouterEmbedding``: a LlamaIndex embedding model on the Hugging Face router."""

from __future__ import annotations

import asyncio
import contextvars
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.instrumentation.events.embedding import (
    EmbeddingEndEvent,
    EmbeddingStartEvent,
)
from llama_index.core.utils import get_tqdm_iterable
from llama_index_instrumentation import get_dispatcher
from pydantic import Field, PrivateAttr

from llama_index_hfrouter._base import RouterComponent, local_models, missing

dispatcher = get_dispatcher(__name__)

DEFAULT_EMBED_BATCH_SIZE = 32
"""Texts per request: the batch limit that TEI servers start with."""
DEFAULT_MAX_CONCURRENCY = 8
"""Requests of one object at once in one event loop; the framework itself sets no bound."""

# None of these changes a vector: they stay out of ``to_dict``, which is the ingestion
# cache's key.
_WITHOUT_MEANING = (
    "bill_to",
    "timeout",
    "connect_timeout",
    "max_retries",
    "hub_url",
    "user_agent",
    "max_concurrency",
    "num_workers",
    "scale_up_timeout",
)


class _Gates:
    """One semaphore per event loop. Copies start empty."""

    def __init__(self) -> None:
        self._of: weakref.WeakKeyDictionary[Any, tuple[int, asyncio.Semaphore]] = (
            weakref.WeakKeyDictionary()
        )

    def of_running_loop(self, limit: int) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        found = self._of.get(loop)
        if found is None or found[0] != limit:
            found = self._of[loop] = (limit, asyncio.Semaphore(limit))
        return found[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> _Gates:
        return _Gates()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Gates, ()


class HFRouterEmbedding(RouterComponent, BaseEmbedding):
    """Embeddings by the Hugging Face router, TEI, or any OpenAI-compatible server.

    Every list of texts that the framework hands over (``embed_batch_size`` at a time) is one
    request. Texts are sent as they are; nothing is stripped, and line feeds stay.

    ``to_dict()`` holds what determines the vectors and nothing else, because the ingestion
    cache is keyed by it: a new token, timeout or payer does not embed everything again.

    With an ``embeddings_cache`` and different treatment of queries and texts (instructions or
    prompt names), queries are cached under keys of their own. The framework's keys name no
    model: do not share one cache between models.

    Example:
        >>> from llama_index_hfrouter import HFRouterEmbedding
        >>> embed_model = HFRouterEmbedding("BAAI/bge-small-en-v1.5")
        >>> vector = embed_model.get_query_embedding("What is a router?")  # doctest: +SKIP

    Attributes:
        model_name: Hub id; ``model=`` is taken as well.
        dialect: ``"hf-inference"``, ``"tei"`` or ``"openai"``; by default ``base_url`` decides.
        query_instruction: Put before each query, as it stands.
        text_instruction: Put before each text, as it stands.
        prompt_name: Prompt of the model's configuration that the server puts first, for
            queries and texts; exclusive with an instruction.
        query_prompt_name: The same for queries only.
        text_prompt_name: The same for texts only.
        normalize: Have the server scale the vectors to length 1.
        truncate: Have the server cut texts that are too long.
        truncation_direction: ``"right"`` or ``"left"``.
        dimensions: Length of the vectors, where the model can shorten them.
        encoding_format: ``"float"`` or ``"base64"``.
        pooling: ``"mean"`` or ``"cls"``: makes one vector of token vectors, which are refused
            without it.
        embed_batch_size: Texts per request, default 32.
        num_workers: Requests at once of the sync methods, in threads, and the framework's
            bound for the async ones. None: one after another, or ``max_concurrency``.
        max_concurrency: Requests at once of the async methods, per event loop, default 8.
        scale_up_timeout: Seconds, 1 to 86,400, for which an Inference Endpoint may hold a request
            while it starts from zero; without it such an endpoint answers 503.
    """

    embed_batch_size: int = Field(default=DEFAULT_EMBED_BATCH_SIZE, gt=0, le=2048)
    dialect: Literal["hf-inference", "tei", "openai"] | None = Field(default=None)
    query_instruction: str | None = Field(default=None)
    text_instruction: str | None = Field(default=None)
    prompt_name: str | None = Field(default=None)
    query_prompt_name: str | None = Field(default=None)
    text_prompt_name: str | None = Field(default=None)
    normalize: bool | None = Field(default=None)
    truncate: bool | None = Field(default=None)
    truncation_direction: Literal["left", "right"] | None = Field(default=None)
    dimensions: int | None = Field(default=None, ge=1)
    encoding_format: Literal["float", "base64"] | None = Field(default=None)
    pooling: Literal["mean", "cls"] | None = Field(default=None)
    max_concurrency: int = Field(default=DEFAULT_MAX_CONCURRENCY, ge=1)
    scale_up_timeout: float | None = Field(default=None, ge=1, le=86_400)
    embeddings_cache: Any = Field(default=None, exclude=True, repr=False)

    _gates: _Gates = PrivateAttr(default_factory=_Gates)

    def __init__(self, model_name: str | None = None, **data: Any) -> None:
        """Check and keep the settings; nothing is opened and no token is looked for.

        Args:
            model_name: Hub id. Also taken as ``model``. Not needed with ``local``.
            **data: Any other attribute of this class or of the framework's ``BaseEmbedding``.

        Raises:
            InvalidSettingError: A keyword is unknown, or the model is missing.
            ValidationError: A value has the wrong type or range.
        """
        model = data.pop("model", None)
        name = model if model_name is None else model_name
        local = local_models(data)
        if name is None and local is not None:
            name = local.embedding_model
        if not name:
            raise missing("model_name")
        super().__init__(model_name=name, **data)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which the class is serialised."""
        return "HFRouterEmbedding"

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Return the settings that determine the vectors; the ingestion cache's key."""
        data = super().to_dict(**kwargs)
        return {name: value for name, value in data.items() if name not in _WITHOUT_MEANING}

    def to_payload(self) -> dict[str, Any]:
        """Return what events and callbacks may know; no secrets."""
        return {
            "class_name": self.class_name(),
            "model_name": self.model_name,
            "embed_batch_size": self.embed_batch_size,
        }

    # --- one request per call -----------------------------------------------------------

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed(query, **self._query_params())[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._aembed(query, **self._query_params()))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._embed(text, **self._text_params())[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aembed(text, **self._text_params()))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed(texts, **self._text_params())

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._aembed(texts, **self._text_params())

    async def _aget_text_embeddings_cached(self, texts: list[str]) -> list[Embedding]:
        # Core asks the limiter on the sync path only.
        if self.rate_limiter is not None:
            await self.rate_limiter.async_acquire()
        return await super()._aget_text_embeddings_cached(texts)

    def _embed(self, texts: str | list[str], **params: Any) -> list[Embedding]:
        result = self._client().embeddings.create(texts, **self._params(texts, params))
        vectors: list[Embedding] = result.vectors.tolist()
        return vectors

    async def _aembed(self, texts: str | list[str], **params: Any) -> list[Embedding]:
        async with self._gates.of_running_loop(self.max_concurrency):
            result = await self._aclient().embeddings.create(texts, **self._params(texts, params))
        vectors: list[Embedding] = result.vectors.tolist()
        return vectors

    def _params(self, texts: str | Sequence[str], params: dict[str, Any]) -> dict[str, Any]:
        params |= {
            "model": self.model_name,
            "dialect": self.dialect,
            "provider": self.provider,
            "normalize": self.normalize,
            "truncate": self.truncate,
            "truncation_direction": self.truncation_direction,
            "dimensions": self.dimensions,
            "encoding_format": self.encoding_format,
            "pooling": self.pooling,
            "scale_up_timeout": self.scale_up_timeout,
            "extra_body": self.extra_body,
            "batch_size": 1 if isinstance(texts, str) else max(len(texts), 1),
        }
        return {name: value for name, value in params.items() if value is not None}

    def _query_params(self) -> dict[str, Any]:
        name = self.query_prompt_name or self.prompt_name
        return {"prompt": self.query_instruction, "prompt_name": name}

    def _text_params(self) -> dict[str, Any]:
        name = self.text_prompt_name or self.prompt_name
        return {"prompt": self.text_instruction, "prompt_name": name}

    # --- sync batches -------------------------------------------------------------------

    # Nothing here calls the method it overrides: core would open a second span for it.

    def get_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """Embed *texts* in batches, ``num_workers`` of them at once.

        Events, callbacks, cache and limiter are those of the framework, once per batch.

        Args:
            texts: The texts.
            show_progress: Show a progress bar.
            **kwargs: Ignored, as by the framework.

        Raises:
            APIError: A request failed; the first error ends the others.
        """
        size = self.embed_batch_size
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        workers = min(self.num_workers or 1, len(batches))
        if workers > 1:
            return self._in_threads(batches, workers, show_progress)
        results: list[Embedding] = []
        for batch in get_tqdm_iterable(batches, show_progress, "Generating embeddings"):
            with self._told() as tell:
                vectors = self._one_batch(batch)
                tell(batch, vectors)
            results += vectors
        return results

    def _in_threads(
        self, batches: list[list[str]], workers: int, show_progress: bool
    ) -> list[Embedding]:
        results: list[Embedding] = []
        with ExitStack() as events, ThreadPoolExecutor(workers, "hfrouter-embed") as pool:
            tells = [events.enter_context(self._told()) for _ in batches]
            jobs = [
                pool.submit(contextvars.copy_context().run, self._one_batch, batch)
                for batch in batches
            ]
            try:
                numbered = zip(batches, tells, jobs, strict=True)
                for batch, tell, job in get_tqdm_iterable(
                    list(numbered), show_progress, "Generating embeddings"
                ):
                    vectors = job.result()
                    tell(batch, vectors)
                    results += vectors
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return results

    def _one_batch(self, batch: list[str]) -> list[Embedding]:
        if self.rate_limiter is not None:
            self.rate_limiter.acquire()
        if self.embeddings_cache is None:
            return self._get_text_embeddings(batch)
        return self._get_text_embeddings_cached(batch)

    @contextmanager
    def _told(self) -> Iterator[Callable[[list[str], list[Embedding]], None]]:
        """Tell instrumentation and callbacks; call what is yielded with texts and vectors."""
        payload = self.to_payload()
        dispatcher.event(EmbeddingStartEvent(model_dict=payload))
        with self.callback_manager.event(
            CBEventType.EMBEDDING, payload={EventPayload.SERIALIZED: payload}
        ) as event:

            def tell(texts: list[str], vectors: list[Embedding]) -> None:
                event.on_end(payload={EventPayload.CHUNKS: texts, EventPayload.EMBEDDINGS: vectors})
                dispatcher.event(EmbeddingEndEvent(chunks=texts, embeddings=vectors))

            yield tell

    # --- queries and the cache ----------------------------------------------------------

    def get_query_embedding(self, query: str) -> Embedding:
        """Embed a query. Cached apart from texts if the two are treated differently."""
        with self._told() as tell:
            vector = self._cached_query(query)
            tell([query], [vector])
        return vector

    async def aget_query_embedding(self, query: str) -> Embedding:
        """Embed a query; see :meth:`get_query_embedding`."""
        with self._told() as tell:
            vector = await self._acached_query(query)
            tell([query], [vector])
        return vector

    def _cached_query(self, query: str) -> Embedding:
        cache, key = self.embeddings_cache, self._query_key(query)
        found = None if cache is None else cache.get(key=key, collection="embeddings")
        if found is not None:
            return _only(found)
        if self.rate_limiter is not None:
            self.rate_limiter.acquire()
        vector = self._get_query_embedding(query)
        if cache is not None:
            cache.put(key=key, val={str(uuid.uuid4()): vector}, collection="embeddings")
        return vector

    async def _acached_query(self, query: str) -> Embedding:
        cache, key = self.embeddings_cache, self._query_key(query)
        found = None if cache is None else await cache.aget(key=key, collection="embeddings")
        if found is not None:
            return _only(found)
        if self.rate_limiter is not None:
            await self.rate_limiter.async_acquire()
        vector = await self._aget_query_embedding(query)
        if cache is not None:
            await cache.aput(key=key, val={str(uuid.uuid4()): vector}, collection="embeddings")
        return vector

    def _query_key(self, query: str) -> str:
        """Return the cache's key: the framework's, if queries are treated like texts."""
        params = self._query_params()
        if params == self._text_params():
            return query
        return f"query:{params['prompt_name'] or ''}:{params['prompt'] or ''}:{query}"


def _only(entry: dict[str, Embedding]) -> Embedding:
    return next(iter(entry.values()))
