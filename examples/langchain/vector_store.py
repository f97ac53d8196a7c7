"""Texts found by meaning, in LangChain's in-memory store."""

from langchain_core.vectorstores import InMemoryVectorStore

from langchain_hfrouter import HFRouterEmbeddings

embeddings = HFRouterEmbeddings(model="sentence-transformers/all-MiniLM-L6-v2", batch_size=32)
texts = [
    "Cats sleep for most of the day.",
    "The stock market fell sharply on Monday.",
    "To reset your password, open the account page.",
]
store = InMemoryVectorStore.from_texts(texts, embeddings)

for question in ("What do felines do?", "I forgot my credentials."):
    found, score = store.similarity_search_with_score(question, k=1)[0]
    print(f"{score:.2f}  {question}  ->  {found.page_content}")
