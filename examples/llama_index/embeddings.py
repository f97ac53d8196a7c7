"""Retrieval with instructions, batches in threads, and an ingestion cache."""

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.ingestion import IngestionCache, IngestionPipeline

from llama_index_hfrouter import HFRouterEmbedding

FACTS = [
    "Paris is the capital city of France.",
    "Bread is baked from flour, water, salt and yeast.",
    "A prime number has exactly two divisors.",
]
embedding = HFRouterEmbedding(
    "sentence-transformers/all-MiniLM-L6-v2",
    embed_batch_size=2,
    num_workers=2,
    query_instruction="",  # e.g. "Represent this sentence for searching relevant passages: "
)
pipeline = IngestionPipeline(transformations=[embedding], cache=IngestionCache())
nodes = pipeline.run(documents=[Document(text=fact) for fact in FACTS])
index = VectorStoreIndex(list(nodes), embed_model=embedding)
for question in ("How do I make a loaf?", "number theory"):
    (best,) = index.as_retriever(similarity_top_k=1).retrieve(question)
    print(f"{question} -> {best.get_content()} ({best.score:.2f})")
