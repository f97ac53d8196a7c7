"""Write ``minilm_references.json``: vectors of all-MiniLM-L6-v2 by the original library.

Needs ``sentence-transformers`` (and so PyTorch), which nothing else here does; hence the
committed result. Run as: ``python make_references.py MODEL_FOLDER``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TEXTS = [
    "The cat sits on the mat",
    "A feline rests on a rug",
    "Stock prices fell sharply on Monday",
    "How do I reset my password?",
    "",
    "ÜBER Café naïve — d'accord",
    "日本語の文章 and 中文 🎉 emoji",
    "x",
    "def f(a, b):\n    return a ** b  # code, not prose",
    "The observatory dome opens at dusk. " * 80,
]


def main() -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(sys.argv[1], device="cpu")
    plain = model.encode(TEXTS, normalize_embeddings=True)
    rows = [
        {"text": text, "vector": [round(float(value), 9) for value in vector]}
        for text, vector in zip(TEXTS, plain, strict=True)
    ]
    target = Path(__file__).with_name("minilm_references.json")
    target.write_text(json.dumps(rows, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
