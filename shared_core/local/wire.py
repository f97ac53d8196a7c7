"""Wires that answer in this process: the same requests, the same shapes, no socket.

Routes, by the end of the path: ``/chat/completions``, ``/pipeline/feature-extraction``,
``/pipeline/sentence-similarity``, ``/embed``, ``/embeddings`` and ``/v1/models``. Everything else
is refused with an error that says so. Nothing is sent anywhere, whatever the URL.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pydantic_core

from shared_core.errors import UnsupportedFeatureError
from shared_core.local.chat import completion, events
from shared_core.local.embeddings import (
    feature_extraction,
    openai_embeddings,
    sentence_similarity,
)
from shared_core.local.models import LocalModels
from shared_core.wire.messages import Headers, WireRequest, WireResponse

_CREATED = 1_767_225_600
"""2026-01-01, the ``created`` of the local models in the model list."""


class _Stream:
    """Event-stream bytes that are already known.

    Attributes:
        status: Always 200.
        headers: Response headers.
        url: The URL that was asked for.
    """

    def __init__(self, chunks: Iterator[bytes], url: str) -> None:
        self.status = 200
        self.headers = _headers("text/event-stream")
        self.url = url
        self._chunks = chunks
        self._closed = False

    def _next(self) -> bytes | None:
        return None if self._closed else next(self._chunks, None)

    def keep_alive(self) -> None:
        """Do nothing: there is no timeout to restart."""


class LocalStream(_Stream):
    """An answer as server-sent events; iterate for bytes."""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = self._next()
        if chunk is None:
            raise StopIteration
        return chunk

    def drain(self) -> None:
        """Do nothing: there is no connection to reuse."""

    def close(self) -> None:
        """End the iteration."""
        self._closed = True


class AsyncLocalStream(_Stream):
    """:class:`LocalStream` for a running event loop."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)  # many words must not starve the loop
        chunk = self._next()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def drain(self) -> None:
        """Do nothing: there is no connection to reuse."""

    async def aclose(self) -> None:
        """End the iteration."""
        self._closed = True


class LocalWire:
    """Answers requests with :class:`LocalModels`, blocking.

    Args:
        models: What answers; by default the reader and all-MiniLM-L6-v2.
    """

    def __init__(self, models: LocalModels | None = None) -> None:
        self.models = models or LocalModels()

    def send(self, request: WireRequest) -> WireResponse:
        """Answer one request.

        Raises:
            UnsupportedFeatureError: Local mode cannot do it.
            ModelNotFoundError: The model asked for is not a local one.
            LocalModelError: The embedding weights are missing or broken.
        """
        started = time.monotonic()
        value = _handler(request)(self.models, request)
        return WireResponse(
            status=200,
            headers=_headers("application/json"),
            content=pydantic_core.to_json(value),
            url=request.url,
            elapsed=time.monotonic() - started,
        )

    def open(self, request: WireRequest) -> LocalStream | WireResponse:
        """Answer one request; a chat completion as a stream of server-sent events.

        Raises:
            APIError: As for :meth:`send`.
        """
        if _handler(request) is not completion:
            return self.send(request)
        return LocalStream(events(self.models, request), request.url)

    def close(self) -> None:
        """Do nothing: loaded models are shared by the process and stay."""


class AsyncLocalWire:
    """Answers requests with :class:`LocalModels`; the work is done in a worker thread.

    Args:
        models: What answers; by default the reader and all-MiniLM-L6-v2.
    """

    def __init__(self, models: LocalModels | None = None) -> None:
        self.models = models or LocalModels()
        self._wire = LocalWire(self.models)

    async def send(self, request: WireRequest) -> WireResponse:
        """Answer one request, as :meth:`LocalWire.send` does."""
        return await asyncio.to_thread(self._wire.send, request)

    async def open(self, request: WireRequest) -> AsyncLocalStream | WireResponse:
        """Answer one request, as :meth:`LocalWire.open` does."""
        if _handler(request) is not completion:
            return await self.send(request)
        chunks = await asyncio.to_thread(events, self.models, request)
        return AsyncLocalStream(chunks, request.url)

    async def aclose(self) -> None:
        """Do nothing: loaded models are shared by the process and stay."""


def _headers(content_type: str) -> Headers:
    return Headers(
        {
            "content-type": content_type,
            "x-request-id": f"local-{uuid.uuid4().hex}",
            "x-inference-provider": "local",
        }
    )


_Handler = Callable[[LocalModels, WireRequest], Any]


def _handler(request: WireRequest) -> _Handler:
    path = unquote(urlsplit(request.url).path).rstrip("/")
    if request.method == "POST":
        for end, handler in _POST.items():
            if path.endswith(end):
                return handler
    if request.method == "GET" and re.search(r"/v1/models(?:/local/[^/]+)?$", path):
        return _models
    raise UnsupportedFeatureError(
        f"Local mode cannot do this: {request.method} {path or '/'}.",
        status_code=400,
        code="unsupported_in_local_mode",
        operation=request.operation,
        model=request.model,
        guidance="Local mode answers chat completions, embeddings, the similarity of sentences and "
        "the list of models. "
        "Leave local= out and set HF_TOKEN to use the router.",
    )


def _models(models: LocalModels, request: WireRequest) -> Any:
    listed = [_entry(models.chat_model, "text"), _entry(models.embedding_model, "embeddings")]
    name = unquote(urlsplit(request.url).path).rstrip("/").partition("/v1/models/")[2]
    if not name:
        return {"object": "list", "data": listed}
    for entry in listed:
        if entry["id"] == name:
            return entry
    from shared_core.local.chat import unknown_model

    raise unknown_model(name, [entry["id"] for entry in listed], request)


def _entry(name: str, output: str) -> dict[str, Any]:
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
        "architecture": {"input_modalities": ["text"], "output_modalities": [output]},
        "providers": [served],
    }


_POST: dict[str, _Handler] = {
    "/chat/completions": completion,
    "/pipeline/feature-extraction": feature_extraction,
    "/pipeline/sentence-similarity": sentence_similarity,
    "/embeddings": openai_embeddings,
    "/embed": feature_extraction,
}
