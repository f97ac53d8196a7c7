"""Question answering with LlamaIndex: a vector index and its streaming query engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from llama_index.core import VectorStoreIndex
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_hfrouter import HFRouter, HFRouterEmbedding
from shared_core.cli.ask import Source
from shared_core.cli.documents import Passage

_HIDDEN = ["source", "number"]


class LlamaIndexPipeline:
    """Retrieval and answer through ``HFRouter`` and ``HFRouterEmbedding``.

    Args:
        chat: Constructor keywords of the LLM.
        embeddings: Constructor keywords of the embedding model.
    """

    def __init__(self, chat: dict[str, Any], embeddings: dict[str, Any]) -> None:
        self._llm = HFRouter(**chat)
        self._index = VectorStoreIndex([], embed_model=HFRouterEmbedding(**embeddings))

    def add(self, passages: Sequence[Passage]) -> None:
        """Embed passages and put them into the index."""
        self._index.insert_nodes(
            [
                TextNode(
                    text=p.text,
                    metadata={"source": p.source, "number": p.number},
                    excluded_embed_metadata_keys=_HIDDEN,
                    excluded_llm_metadata_keys=_HIDDEN,
                )
                for p in passages
            ]
        )

    def ask(self, question: str, top_k: int) -> tuple[list[Source], Iterator[str]]:
        """Return the passages found, best first, and the answer as it arrives."""
        engine = self._index.as_query_engine(llm=self._llm, streaming=True, similarity_top_k=top_k)
        response = cast(StreamingResponse, engine.query(question))
        sources = [_source(found) for found in response.source_nodes]
        return sources, iter(response.response_gen or ())


def _source(found: NodeWithScore) -> Source:
    metadata = found.node.metadata
    passage = Passage(found.node.get_content(), metadata["source"], metadata["number"])
    return Source(passage, found.score or 0.0)
