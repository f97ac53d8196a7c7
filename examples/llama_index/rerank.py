"""The best of what was found, by a reranker of your own: python rerank.py http://127.0.0.1:8080

The address is that of a text-embeddings-inference server, or of one like it.
"""

import asyncio
import sys

from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_hfrouter import HFRouterRerank

FACTS = [
    "Bread is baked from flour, water, salt and yeast.",
    "Paris is the capital of France.",
    "A prime number has exactly two divisors.",
]
QUESTION = "What is the capital of France?"
found = [NodeWithScore(node=TextNode(text=fact), score=0.5) for fact in FACTS]
rerank = HFRouterRerank(base_url=sys.argv[1], top_n=2)

for node in rerank.postprocess_nodes(found, query_str=QUESTION):
    print(f"{node.score:.2f} {node.get_content()}")
again = asyncio.run(rerank.apostprocess_nodes(found, query_str=QUESTION))
print(f"asynchronously: {again[0].get_content()}")
