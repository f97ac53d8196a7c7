"""Rerank inside a query engine by an embedding model, which the router itself serves."""

from llama_index.core import Document, VectorStoreIndex

from llama_index_hfrouter import HFRouter, HFRouterEmbedding, HFRouterRerank

FACTS = [
    "Paris is the capital city of France.",
    "Bread is baked from flour, water, salt and yeast.",
    "A prime number has exactly two divisors.",
]
embedding = HFRouterEmbedding("BAAI/bge-small-en-v1.5")
rerank = HFRouterRerank(
    "sentence-transformers/all-MiniLM-L6-v2", method="sentence-similarity", top_n=1
)
index = VectorStoreIndex.from_documents(
    [Document(text=fact) for fact in FACTS], embed_model=embedding
)
engine = index.as_query_engine(
    llm=HFRouter("openai/gpt-oss-120b"), similarity_top_k=3, node_postprocessors=[rerank]
)
answer = engine.query("How do I make a loaf of bread?")
print(answer)
for node in answer.source_nodes:
    print(f"from: {node.get_content()} ({node.score:.2f})")
