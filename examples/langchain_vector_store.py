"""A LangChain vector store and retriever. ``--local`` needs no network and no token."""

import sys

from langchain_core.vectorstores import InMemoryVectorStore

from langchain_hfrouter import HFRouterEmbeddings

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
local = "--local" in sys.argv
embeddings = HFRouterEmbeddings(local=True) if local else HFRouterEmbeddings(model=MINILM)
store = InMemoryVectorStore(embeddings)
store.add_texts(
    ["The dome opens at dusk.", "Lunch is served at noon.", "Guide dogs are welcome everywhere."]
)
retriever = store.as_retriever(search_kwargs={"k": 1})
print(retriever.invoke("When can I see the stars?")[0].page_content)
