"""Further embeddings of TEI: sparse vectors, and one vector per token. Pure but for the flow.

TEI serves them beside ``/embed``, as ``/embed_sparse`` and ``/embed_all``; no other service does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from shared_core.config.validate import is_hf_host
from shared_core.embeddings import response
from shared_core.embeddings.plan import Work
from shared_core.embeddings.request import EmbeddingOptions, provider_at
from shared_core.embeddings.urls import Route
from shared_core.errors import UnsupportedTaskError

if TYPE_CHECKING:
    from shared_core.callbacks import Callback
    from shared_core.config.settings import Settings
    from shared_core.core import Core
    from shared_core.embeddings.request import Progress
    from shared_core.flow import Flow
    from shared_core.wire.messages import WireRequest, WireResponse

SPARSE, TOKENS = "/embed_sparse", "/embed_all"
"""Routes of TEI (protocol reference, section 5.4)."""

_NEIGHBOURS = (
    "/chat/completions",
    "/embeddings",
    "/v1",
    "/similarity",
    "/rerank",
    "/embed",
    SPARSE,
    TOKENS,
)
"""Ends of the addresses of other services of the same server, outermost first."""

_OPERATIONS = {SPARSE: "sparse_embeddings", TOKENS: "token_embeddings"}


def address(base_url: str, path: str, provider: str | None = None) -> Route:
    """Return where *path* of a TEI server is.

    Args:
        base_url: Base URL of the settings, or the full URL of any service of the server.
        path: ``SPARSE`` or ``TOKENS``.
        provider: None or ``"auto"``: nobody else serves it.

    Raises:
        UnsupportedTaskError: It is the router, or a provider is named.
    """
    parts = urlsplit(base_url)
    if is_hf_host(parts.hostname) or provider not in (None, "auto"):
        raise UnsupportedTaskError(
            f"{path} is served by text-embeddings-inference only, not by the router or a provider",
            guidance="Set base_url to a TEI server or endpoint, or run a model in this process: "
            f"LocalModels(tasks={{{path[1:].replace('_', '-')!r}: ...}}).",
        )
    before = parts.path.rstrip("/")
    for end in _NEIGHBOURS:
        before = before.removesuffix(end)
    return Route(urlunsplit((parts.scheme, parts.netloc, before + path, parts.query, "")), "tei")


def embed(
    core: Core,
    given: EmbeddingOptions,
    texts: Sequence[str],
    path: str,
    *,
    single: bool = False,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
) -> Flow[list[Any]]:
    """Return what *path* says about *texts*, in order.

    Args:
        core: Sends the requests.
        given: Options of the call, with the route of :func:`address`.
        texts: What to embed; nothing is sent for none.
        path: ``SPARSE`` for :class:`SparseVector`, ``TOKENS`` for matrices.
        single: Whether the caller gave one bare string.
        progress: Told ``(done, total)`` after each request.
        callbacks: Told of each request.

    Raises:
        RouterError: As for :func:`shared_core.embeddings.plan.embed`.
    """
    work = _Entries(core, given, list(texts), single, progress, tuple(callbacks), path=path)
    yield from work.all()
    return [work.entries[at] for at in range(len(texts))]


@dataclass(slots=True)
class _Entries(Work[list[Any]]):
    """An entry per text, whatever it is."""

    path: str = SPARSE
    entries: dict[int, Any] = field(default_factory=dict)

    def request(self, given: EmbeddingOptions, start: int, end: int) -> WireRequest:
        # Not super(): a dataclass with slots is another class than the one that is written here.
        request = Work.request(self, given, start, end)
        request.operation = _OPERATIONS[self.path]
        return request

    def elsewhere(
        self, settings: Settings, model: str | None, provider: str | None
    ) -> EmbeddingOptions:
        home = self.core.settings.base_url
        if settings.base_url == home:
            provider = provider_at(self.given.model, None, model, provider)
        return replace(self.given, route=address(settings.base_url, self.path, provider))

    def read(self, answer: WireResponse, request: WireRequest, count: int) -> list[Any]:
        parse: Callable[..., list[Any]] = (
            response.parse_sparse if self.path == SPARSE else response.parse_tokens
        )
        return parse(answer, request=request, count=count, hide=self.core.redact)

    def keep(self, start: int, end: int, found: list[Any]) -> None:
        self.entries.update(zip(range(start, end), found, strict=True))

    def received(self) -> dict[int, Any]:
        return dict(sorted(self.entries.items()))
