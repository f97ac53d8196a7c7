"""Question answering with LangChain: a vector store, a prompt and a chat model in a chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from shared_core.cli.ask import SYSTEM, Source
from shared_core.cli.documents import Passage

PROMPT = ChatPromptTemplate.from_messages(
    [("system", SYSTEM), ("user", "Context:\n\n{context}\n\nQuestion: {question}")]
)


class LangChainPipeline:
    """Retrieval and answer through ``ChatHFRouter`` and ``HFRouterEmbeddings``.

    Args:
        chat: Constructor keywords of the chat model.
        embeddings: Constructor keywords of the embeddings.
    """

    def __init__(self, chat: dict[str, Any], embeddings: dict[str, Any]) -> None:
        self._store = InMemoryVectorStore(HFRouterEmbeddings(**embeddings))
        self._chain = PROMPT | ChatHFRouter(**chat) | StrOutputParser()

    def add(self, passages: Sequence[Passage]) -> None:
        """Embed passages and put them into the store."""
        self._store.add_documents(
            [Document(p.text, metadata={"source": p.source, "number": p.number}) for p in passages]
        )

    def ask(self, question: str, top_k: int) -> tuple[list[Source], Iterator[str]]:
        """Return the passages found, best first, and the answer as it arrives."""
        found = self._store.similarity_search_with_score(question, k=top_k)
        sources = [Source(_passage(document), score) for document, score in found]
        context = "\n\n".join(source.passage.text for source in sources)
        return sources, self._chain.stream({"context": context, "question": question})


def _passage(document: Document) -> Passage:
    return Passage(document.page_content, document.metadata["source"], document.metadata["number"])
