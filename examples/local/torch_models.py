"""Question answering with models of your own in this process: search, rerank, answer.

    pip install "hfrouter[sentence-transformers]"
    python examples/local/torch_models.py Qwen/Qwen3-0.6B cross-encoder/ms-marco-MiniLM-L6-v2

Each model is a folder or a Hub id. A Hub id is downloaded once.
"""

import sys

from shared_core import LocalModels, RouterClient
from shared_core.embeddings import SemanticIndex

FACTS = [
    "Paris is the capital of France.",
    "The dome opens at dusk. It closes when the wind is above 55 km/h.",
    "Soup is served on Mondays. Coffee is free for night shifts.",
]
QUESTION = "What is the capital of France?"

chat, reranker = sys.argv[1:]
models = LocalModels(
    backend="sentence-transformers",
    chat=chat,
    tasks={"text-ranking": reranker},
    device="auto",
)
with RouterClient(local=models) as client:
    index = SemanticIndex(client.embeddings)
    index.add(FACTS)
    found = [hit.text for hit in index.search(QUESTION, k=2)]
    best = client.tasks.rerank(QUESTION, found, top_n=1)[0]
    print(f"Best passage: {found[best.index]}")
    with client.chat.stream(QUESTION, temperature=0, max_tokens=100) as stream:
        for piece in stream.text_deltas():
            print(piece, end="", flush=True)
        answer = stream.result()
    print(f" ({answer.model} on {answer.headers['x-local-device']})")
