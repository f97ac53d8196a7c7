"""Wires that answer in this process: the same requests, the same shapes, no socket.

Routes, by the end of the path: ``/chat/completions``, ``/pipeline/feature-extraction``,
``/pipeline/sentence-similarity``, ``/embed``, ``/embed_all``, ``/embed_sparse``, ``/similarity``,
``/embeddings``, ``/rerank``, ``/v1/models``, and the tasks of hf-inference, which the request
itself names. Everything else is refused with an error that says so. Nothing is sent anywhere,
whatever the URL.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pydantic_core

from shared_core.errors import InternalServerError
from shared_core.local import chat, tasks, text_generation
from shared_core.local.background import Source, in_thread
from shared_core.local.call import LocalCall
from shared_core.local.embeddings import (
    feature_extraction,
    openai_embeddings,
    sentence_similarity,
)
from shared_core.local.modalities import modalities_of
from shared_core.local.models import LocalModels, name_of
from shared_core.local.task_table import modalities
from shared_core.media.output import Media
from shared_core.wire.messages import Headers, WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.config.settings import Settings

_ONE_MODEL = re.compile(r"/hf-inference/models/[^/]+(?:/[^/]+)?$")
"""Path of a task of one model, whose name may be that of a route."""

_CREATED = 1_767_225_600
"""2026-01-01, the ``created`` of the local models in the model list."""


class _Stream:
    """Event-stream bytes that are known, or made while they are read.

    Attributes:
        status: Always 200.
        headers: Response headers.
        url: The URL that was asked for.
    """

    def __init__(self, source: Source, call: LocalCall) -> None:
        self.status = 200
        self.headers = _headers("text/event-stream", call)
        self.url = call.request.url
        self._source = source

    def keep_alive(self) -> None:
        """Do nothing: each piece is waited for anew."""

    def __del__(self) -> None:
        self._source.cancel()  # nobody can take what is still being made


class LocalStream(_Stream):
    """An answer as server-sent events; iterate for bytes."""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = self._source.take()
        if chunk is None:
            raise StopIteration
        return chunk

    def drain(self) -> None:
        """Do nothing: there is no connection to reuse."""

    def close(self) -> None:
        """End the iteration, and the work of a model on it."""
        self._source.cancel()


class AsyncLocalStream(_Stream):
    """:class:`LocalStream` for a running event loop."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._source.atake()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def drain(self) -> None:
        """Do nothing: there is no connection to reuse."""

    async def aclose(self) -> None:
        """End the iteration, and the work of a model on it."""
        self._source.cancel()


class LocalWire:
    """Answers requests with :class:`LocalModels`, blocking.

    Args:
        models: What answers; by default the reader and all-MiniLM-L6-v2.
        settings: Of the client, for models of the Hub: its address, and the token for it.
    """

    def __init__(self, models: LocalModels | None = None, settings: Settings | None = None) -> None:
        self.models = models or LocalModels()
        self.settings = settings

    def _call(self, request: WireRequest) -> LocalCall:
        return LocalCall(self.models, request, request.settings or self.settings)

    def send(self, request: WireRequest) -> WireResponse:
        """Answer one request.

        Raises:
            UnsupportedFeatureError: Local mode cannot do it.
            ModelNotFoundError: The model asked for is not a local one.
            LocalModelError: A model is missing or broken.
            APIError: A model failed, or the Hub refused to hand it over.
        """
        return answered(self._call(request))

    def open(self, request: WireRequest) -> LocalStream | WireResponse:
        """Answer one request; what a model writes as a stream of server-sent events.

        Raises:
            APIError: As for :meth:`send`.
        """
        call = self._call(request)
        begin = _STREAMS.get(_handler(call))
        return LocalStream(_begun(call, begin), call) if begin is not None else answered(call)

    def close(self) -> None:
        """Do nothing: loaded models are shared by the process and stay."""


class AsyncLocalWire:
    """Answers requests with :class:`LocalModels`; the work is done in other threads.

    Args:
        models: What answers; by default the reader and all-MiniLM-L6-v2.
        settings: As for :class:`LocalWire`.
    """

    def __init__(self, models: LocalModels | None = None, settings: Settings | None = None) -> None:
        self.models = models or LocalModels()
        self._wire = LocalWire(self.models, settings)

    async def send(self, request: WireRequest) -> WireResponse:
        """Answer one request, as :meth:`LocalWire.send` does."""
        call = self._wire._call(request)
        if _handler(call) in _IN_NUMPY and self.models.backend == "numpy":
            return await asyncio.to_thread(answered, call)  # few at a time: they do not wait
        return await in_thread(call, lambda: answered(call))

    async def open(self, request: WireRequest) -> AsyncLocalStream | WireResponse:
        """Answer one request, as :meth:`LocalWire.open` does."""
        call = self._wire._call(request)
        begin = _STREAMS.get(_handler(call))
        if begin is None:
            return await self.send(request)
        source = await in_thread(call, lambda: _begun(call, begin))
        return AsyncLocalStream(source, call)

    async def aclose(self) -> None:
        """Do nothing: loaded models are shared by the process and stay."""


def answered(call: LocalCall) -> WireResponse:
    """Return the whole answer to *call*."""
    started = time.monotonic()
    with call.naming():
        value = _handler(call)(call)
        kind, content = _written(value)
    return WireResponse(
        status=200,
        headers=_headers(kind, call),
        content=content,
        url=call.request.url,
        elapsed=time.monotonic() - started,
    )


def _written(value: Any) -> tuple[str, bytes]:
    """Return the media type of an answer, and its bytes."""
    if isinstance(value, Media):
        return value.media_type, value.content
    try:
        return "application/json", pydantic_core.to_json(value)
    except ValueError as error:
        raise InternalServerError(
            f"The answer of the model has no form in JSON: {error}",
            status_code=500,
            code="local_model_failed",
        ) from error


def _begun(call: LocalCall, begin: Callable[[LocalCall], Source]) -> Source:
    with call.naming():
        return begin(call)


def _headers(content_type: str, call: LocalCall) -> Headers:
    return Headers(
        {
            "content-type": content_type,
            "x-request-id": f"local-{uuid.uuid4().hex}",
            "x-inference-provider": "local",
            **call.headers,
        }
    )


_Handler = Callable[[LocalCall], Any]


def _handler(call: LocalCall) -> _Handler:
    request = call.request
    path = unquote(urlsplit(request.url).path).rstrip("/")
    if request.method == "POST":
        of_a_model = _ONE_MODEL.search(path) is not None
        for end, handler in _POST.items():
            if path.endswith(end) and not of_a_model:
                return handler
        if request.operation == "text-generation":
            return text_generation.generation
        if (request.operation and of_a_model) or request.operation in call.models.tasks:
            return tasks.task
    if request.method == "GET" and re.search(r"/v1/models(?:/local/[^/]+)?$", path):
        return _models
    raise call.unsupported(
        f"Local mode cannot do this: {request.method} {path or '/'}.",
        "Local mode answers chat completions, text generation, embeddings, the similarity of "
        "sentences, the list of models, and the tasks that LocalModels(tasks=...) has models for. "
        "Leave local= out and set HF_TOKEN to use the router.",
    )


def _models(call: LocalCall) -> Any:
    models = call.models
    listed = [_chat_entry(models), _entry(models.embedding_model, "embeddings")]
    listed += [_task_entry(task, name_of(source)) for task, source in models.tasks.items()]
    name = unquote(urlsplit(call.request.url).path).rstrip("/").partition("/v1/models/")[2]
    if not name:
        return {"object": "list", "data": listed}
    for entry in listed:
        if entry["id"] == name:
            return entry
    raise call.unknown_model(name, [entry["id"] for entry in listed])


def _chat_entry(models: LocalModels) -> dict[str, Any]:
    entry = _entry(models.chat_model, "text")
    if models.chat is not None:
        entry["architecture"]["input_modalities"] = modalities_of(str(models.chat))
    return entry


def _task_entry(task: str, name: str) -> dict[str, Any]:
    entry = _entry(name)
    entry["architecture"]["input_modalities"] = modalities(task)
    return entry


def _entry(name: str, *outputs: str) -> dict[str, Any]:
    served = {
        "provider": "local",
        "status": "live",
        "is_model_author": False,
        "is_free": True,
        "pricing": {"input": 0, "output": 0},
        "supports_tools": False,
        "supports_structured_output": False,
    }
    return {
        "id": name,
        "object": "model",
        "created": _CREATED,
        "owned_by": "local",
        "architecture": {"input_modalities": ["text"], "output_modalities": list(outputs)},
        "providers": [served],
    }


_POST: dict[str, _Handler] = {
    "/chat/completions": chat.completion,
    "/pipeline/feature-extraction": feature_extraction,
    "/pipeline/sentence-similarity": sentence_similarity,
    "/similarity": sentence_similarity,
    "/embeddings": openai_embeddings,
    "/embed": feature_extraction,
    "/embed_all": tasks.token_embeddings,
    "/embed_sparse": tasks.sparse_embeddings,
    "/rerank": tasks.ranking,
}
_STREAMS: dict[_Handler, Callable[[LocalCall], Source]] = {
    chat.completion: chat.events,
    text_generation.generation: text_generation.events,
}
"""What a model writes -> the same as a stream."""

_IN_NUMPY = (feature_extraction, sentence_similarity, openai_embeddings)
"""What computes in NumPy, unless another backend is chosen."""
