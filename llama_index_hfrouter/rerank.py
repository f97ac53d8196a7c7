"""``HFRouterRerank``: a LlamaIndex node postprocessor that orders nodes by a query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher
from pydantic import Field

from llama_index_hfrouter._base import RouterComponent, local_models

if TYPE_CHECKING:
    from shared_core import Ranked

dispatcher = get_dispatcher(__name__)

DEFAULT_BATCH_SIZE = 32
"""Texts per request: the batch limit that TEI servers start with."""
DEFAULT_MAX_CONCURRENCY = 4
"""Requests of one asynchronous call at once."""


class HFRouterRerank(RouterComponent, BaseNodePostprocessor):
    """Orders nodes by how well they answer the query, with a reranker or an embedding model.

    Nodes that come in are left alone: those that come out are new ``NodeWithScore`` around the
    same nodes, with the new score. Without nodes nothing is sent. Without a query, and for a
    node without text, it raises ``InvalidSettingError`` (also a ``ValueError``).

    Example:
        >>> from llama_index_hfrouter import HFRouterRerank
        >>> rerank = HFRouterRerank(base_url="http://127.0.0.1:8080", top_n=3)
        >>> best = rerank.postprocess_nodes(nodes, query_str="Who am I?")  # doctest: +SKIP

    Attributes:
        model: Hub id, or the address of a server. Not needed if ``base_url`` names a server of
            one model, as TEI is.
        method: ``"text-ranking"`` (default) asks a reranker at ``/rerank`` of the server;
            hf-inference has no documented route for it, so that the router is refused before
            anything is sent. ``"sentence-similarity"`` asks an embedding model, which
            hf-inference serves. There is no silent change from one to the other: their scores
            mean different things.
        top_n: How many nodes to return; all by default.
        batch_size: Texts per request, default 32.
        max_concurrency: Requests at once of one asynchronous call, default 4. The sync method
            sends one after another.
        metadata_mode: What of a node is sent: its text with the metadata that embeddings see
            (default), or another of the framework's modes.
        keep_retrieval_score: Put the score that a node came with into
            ``metadata["retrieval_score"]`` of a copy of the node.
        raw_scores: Have the server leave scores as the model makes them, not from 0 to 1.
        truncate: Have the server cut texts that are too long.
        truncation_direction: ``"right"`` or ``"left"``.
        scale_up_timeout: Seconds, 1 to 86,400, for which an Inference Endpoint may hold a request
            while it starts from zero; without it such an endpoint answers 503.
    """

    model: str | None = Field(default=None, description="Hub id or address of a server.")
    method: Literal["text-ranking", "sentence-similarity"] = Field(default="text-ranking")
    top_n: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=DEFAULT_BATCH_SIZE, ge=1)
    max_concurrency: int = Field(default=DEFAULT_MAX_CONCURRENCY, ge=1)
    metadata_mode: MetadataMode = Field(default=MetadataMode.EMBED)
    keep_retrieval_score: bool = Field(default=False)
    raw_scores: bool | None = Field(default=None)
    truncate: bool | None = Field(default=None)
    truncation_direction: Literal["left", "right"] | None = Field(default=None)
    scale_up_timeout: float | None = Field(default=None, ge=1, le=86_400)

    def __init__(self, model: str | None = None, **data: Any) -> None:
        """Check and keep the settings; nothing is opened and no token is looked for.

        Args:
            model: Hub id, or the address of a server.
            **data: Any other attribute of this class or of ``BaseNodePostprocessor``.

        Raises:
            InvalidSettingError: A keyword is unknown (the message names the nearest).
            ValidationError: A value has the wrong type or range.
        """
        local = local_models(data)
        if model is None and local is not None:
            model = local.embedding_model
        if model is not None:
            data["model"] = model
        if data.get("callback_manager") is None:
            data.pop("callback_manager", None)  # the framework's own field takes no None
        super().__init__(**data)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which the class is serialised."""
        return "HFRouterRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        with self._told(nodes, query) as found:
            ranked = self._client().tasks.rerank(*self._asked(nodes, query), **self._params())
            found += self._ordered(nodes, ranked)
        return found

    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        with self._told(nodes, query) as found:
            ranked = await self._aclient().tasks.rerank(
                *self._asked(nodes, query), **self._params(), concurrency=self.max_concurrency
            )
            found += self._ordered(nodes, ranked)
        return found

    def _asked(self, nodes: Sequence[NodeWithScore], query: QueryBundle) -> tuple[str, list[str]]:
        texts = [node.node.get_content(metadata_mode=self.metadata_mode) for node in nodes]
        for number, text in enumerate(texts):
            if not text:
                from llama_index_hfrouter._errors import RerankInputError

                raise RerankInputError(
                    f"nodes[{number}] has no text to rank by",
                    guidance="Leave it out; rerankers read text only.",
                    setting="nodes",
                )
        return query.query_str, texts

    def _params(self) -> dict[str, Any]:
        params = {
            "model": self.model,
            "provider": self.provider,
            "method": self.method,
            "top_n": self.top_n,
            "batch_size": self.batch_size,
            "raw_scores": self.raw_scores,
            "truncate": self.truncate,
            "truncation_direction": self.truncation_direction,
            "scale_up_timeout": self.scale_up_timeout,
            "extra_body": self.extra_body,
        }
        return {name: value for name, value in params.items() if value is not None}

    def _ordered(
        self, nodes: Sequence[NodeWithScore], ranked: Sequence[Ranked]
    ) -> list[NodeWithScore]:
        return [self._scored(nodes[item.index], item.score) for item in ranked]

    def _scored(self, found: NodeWithScore, score: float) -> NodeWithScore:
        node = found.node
        if self.keep_retrieval_score:
            metadata = {**node.metadata, "retrieval_score": found.score}
            node = node.model_copy(update={"metadata": metadata})
        return found.model_copy(update={"node": node, "score": score})

    @contextmanager
    def _told(
        self, nodes: Sequence[NodeWithScore], query: QueryBundle
    ) -> Iterator[list[NodeWithScore]]:
        """Tell instrumentation and callbacks; what is put into the yielded list is the result."""
        found: list[NodeWithScore] = []
        name, most = self.model or self.base_url or "", self.top_n or len(nodes)
        start = ReRankStartEvent(query=query, nodes=list(nodes), top_n=most, model_name=name)
        dispatcher.event(start)
        payload: dict[str, Any] = {
            EventPayload.NODES: list(nodes),
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query.query_str,
            EventPayload.TOP_K: most,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield found
            event.on_end(payload={EventPayload.NODES: found})
        dispatcher.event(ReRankEndEvent(nodes=found))


def _query(bundle: QueryBundle | None) -> QueryBundle:
    if bundle is None or not bundle.query_str:
        from llama_index_hfrouter._errors import RerankInputError

        raise RerankInputError(
            "a query is missing",
            guidance="Pass query_str= or query_bundle= to postprocess_nodes.",
            setting="query_bundle",
        )
    return bundle
