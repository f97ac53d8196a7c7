"""Sentence similarity computed by the server: one call instead of vectors. Pure but for the flow.

hf-inference serves it as ``/pipeline/sentence-similarity``, TEI as ``/similarity``. Elsewhere
embed the texts and use :func:`shared_core.embeddings.cosine`, which gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from shared_core.embeddings import response
from shared_core.embeddings.request import check_texts, provider_at
from shared_core.embeddings.urls import resolve
from shared_core.errors import InvalidSettingError, UnsupportedTaskError
from shared_core.flow import Flow
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.callbacks import Callback
    from shared_core.config.settings import Settings
    from shared_core.core import Core
    from shared_core.embeddings.types import Matrix

_FULL = ("/similarity", "/sentence-similarity")


def address(
    base_url: str,
    *,
    model: str | None,
    provider: str | None,
    dialect: str | None,
    root: bool = False,
) -> tuple[str, str | None]:
    """Return URL and provider of the similarity service that goes with an embedding service.

    Args:
        base_url: Base URL of the settings, or the full URL of the service.
        model: Model id; part of the path on hf-inference.
        provider: None or ``"hf-inference"``.
        dialect: As for embeddings.
        root: As for embeddings.

    Raises:
        InvalidSettingError: The combination cannot work.
        UnsupportedTaskError: The service speaks the OpenAI form, which has no such call.
    """
    if urlsplit(base_url).path.endswith(_FULL):
        return base_url, None
    route = resolve(base_url, model=model, provider=provider, dialect=dialect, root=root)
    if route.dialect == "openai":
        raise UnsupportedTaskError(
            "the OpenAI form has no sentence similarity",
            guidance="Embed the texts with client.embeddings.create() and compare them here with "
            "shared_core.embeddings.cosine(); or use provider='hf-inference' or a TEI server.",
        )
    parts = urlsplit(route.url)
    path = parts.path.rstrip("/") + "/" if route.root else parts.path
    for old, new in (
        ("/feature-extraction", "/sentence-similarity"),
        ("/embed", "/similarity"),
        ("/embed_all", "/similarity"),
        ("/", "/similarity"),
    ):
        if path.endswith(old):
            path = path.removesuffix(old) + new
            break
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, "")), route.provider


def compare(
    core: Core,
    target: tuple[str, str | None],
    source: str,
    sentences: Sequence[str],
    *,
    model: str | None = None,
    headers: Mapping[str, str] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    callbacks: Sequence[Callback] = (),
) -> Flow[Matrix]:
    """Return one score per sentence, in order.

    Args:
        core: Sends the request.
        target: From :func:`address`.
        source: The sentence to compare with.
        sentences: What is compared.
        model: Model id, for errors and events.
        headers: Headers of this call.
        extra_body: Further body fields; they win over all others.
        timeout: Seconds to wait.
        callbacks: Told of the request.

    Raises:
        InvalidSettingError: Something is no text.
        APIError: The request failed.
    """
    import numpy as np

    if not isinstance(source, str):
        raise InvalidSettingError(
            f"source must be a string, not {type(source).__name__}", setting="source"
        )
    if isinstance(sentences, str):
        raise InvalidSettingError("sentences must be a list of strings", setting="sentences")
    found = check_texts([source, *check_texts(sentences)])[1:]
    if not found:
        return np.empty(0, dtype=np.float32)
    url, provider = target
    request = WireRequest(
        url=url,
        headers={"Accept": "application/json", **(headers or {})},
        json={"inputs": {"source_sentence": source, "sentences": found}, **(extra_body or {})},
        timeout=timeout,
        operation="sentence_similarity",
        model=model,
        provider=provider,
    )
    if core.rebuilds:

        def rebuild(settings: Settings, name: str | None, asked: str | None) -> WireRequest:
            if settings.base_url == core.settings.base_url:
                asked = provider_at(model, provider, name, asked)
            try:
                there, pinned = address(
                    settings.base_url, model=model, provider=asked, dialect=None
                )
            except InvalidSettingError as error:
                raise UnsupportedTaskError(error.message, guidance=error.guidance) from error
            return replace(request, url=there, provider=pinned)

        request.rebuild = rebuild

    def parse(answer: WireResponse) -> Matrix:
        return response.parse_scores(
            answer, request=request, count=len(found), hide=core.settings.redact
        )

    return (yield from core.exchange(request, parse, callbacks=callbacks))
