"""LlamaIndex answers from a folder of documents. ``--local`` needs no network and no token."""

import sys
from pathlib import Path

from llama_index.core import SimpleDirectoryReader, VectorStoreIndex

from llama_index_hfrouter import HFRouter, HFRouterEmbedding

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
local = "--local" in sys.argv
llm = HFRouter(local=True) if local else HFRouter(model="openai/gpt-oss-120b", policy="cheapest")
embedding = HFRouterEmbedding(local=True) if local else HFRouterEmbedding(model=MINILM)
documents = SimpleDirectoryReader(Path(__file__).parent / "docs").load_data()
index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
engine = index.as_query_engine(llm=llm, streaming=True)
engine.query("How long is the warranty on the battery?").print_response_stream()
print()
