"""The documents that answer a question best, by the similarity of sentences.

A reranker of your own is better: HFRouterRerank(base_url="http://localhost:8080") for TEI.
"""

from langchain_core.documents import Document

from langchain_hfrouter import HFRouterRerank

documents = [
    Document("Cats sleep up to sixteen hours a day.", metadata={"page": 1}),
    Document("To reset your password, choose 'Forgot password' and follow the link.", id="p2"),
    Document("The observatory opens its dome at dusk.", metadata={"page": 3}),
]
rerank = HFRouterRerank(
    model="sentence-transformers/all-MiniLM-L6-v2", method="sentence-similarity", top_n=2
)
for document in rerank.compress_documents(documents, "How do I get a new password?"):
    print(f"{document.metadata['relevance_score']:.2f} {document.page_content}")
