"""``hfrouter embed``: vectors of texts as JSON lines, or how alike texts are."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from shared_core import InvalidSettingError
from shared_core.cli import options as shared


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command's parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "embed",
        help="embed texts",
        description="Print one JSON line per text: its vector. With --similarity: the cosine of "
        "the first text with each other one, best first.",
    )
    command.add_argument(
        "text", nargs="+", help="a text; - reads texts from standard input, one per line"
    )
    command.add_argument(
        "--similarity", action="store_true", help="compare the first text with the others"
    )
    shared.add_embedding_model(command)
    shared.add_connection(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    connection = shared.Connection.of(options)
    connection.require_token()
    texts = list(_texts(options.text))
    least = 2 if options.similarity else 1
    if len(texts) < least:
        raise InvalidSettingError(
            f"{'--similarity compares' if least == 2 else 'embed takes'} at least {least} "
            f"text{'s' * (least - 1)}; there {'is 1' if len(texts) == 1 else 'are none'}.",
            guidance="Give texts as arguments, or one per line on standard input with -.",
        )
    with connection.embedding_client(options) as client:
        vectors = client.embeddings.create(texts).vectors
    if options.similarity:
        _compare(texts, vectors)
    else:
        for text, vector in zip(texts, vectors, strict=True):
            print(json.dumps({"text": text, "embedding": vector.tolist()}, ensure_ascii=False))
    return 0


def _texts(words: list[str]) -> list[str]:
    texts: list[str] = []
    for word in words:
        if word == "-":
            texts += [line for line in sys.stdin.read().splitlines() if line.strip()]
        else:
            texts.append(word)
    return texts


def _compare(texts: list[str], vectors: Any) -> None:
    import numpy as np

    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    scores = unit[1:] @ unit[0]
    for index in np.argsort(-scores, kind="stable"):
        print(f"{scores[index]:.4f}  {texts[index + 1]}")
