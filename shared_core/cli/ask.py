"""``hfrouter ask``: answers a question from a folder of documents, and names the sources."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from shared_core.cli import options as shared
from shared_core.cli.documents import SUFFIXES, Passage, read_passages
from shared_core.cli.output import Progress, UsageError, note, write_pieces

FRAMEWORKS = {"langchain": "langchain_core", "llama-index": "llama_index"}
"""Name of a framework -> the package that shows whether it is installed."""
BATCH = 16
"""Passages per step of the progress bar, and per request for embeddings."""

SYSTEM = (
    "Answer the question from the context only. If the context does not hold the answer, say "
    "that you don't know."
)


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that was retrieved. ``score`` is the cosine with the question."""

    passage: Passage
    score: float


class Pipeline(Protocol):
    """Retrieval-augmented question answering by one of the frameworks."""

    def add(self, passages: Sequence[Passage]) -> None:
        """Embed passages and put them into the index."""

    def ask(self, question: str, top_k: int) -> tuple[list[Source], Iterator[str]]:
        """Return the passages found, best first, and the answer as it arrives."""
        ...


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command's parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "ask",
        help="answer a question from a folder of documents",
        description=f"Index the documents of a folder ({', '.join(SUFFIXES)}), find the passages "
        "that fit the question, stream the answer and print its sources.",
    )
    command.add_argument("question")
    command.add_argument("--docs", required=True, type=Path, metavar="FOLDER")
    command.add_argument(
        "--framework",
        choices=list(FRAMEWORKS),
        help="what retrieval and answer run on (default: langchain if installed)",
    )
    command.add_argument(
        "--top-k", type=_positive, default=4, metavar="K", help="passages to retrieve (default 4)"
    )
    shared.add_chat_model(command)
    shared.add_embedding_model(command)
    shared.add_connection(command, embeddings=True)
    return command


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    connection = shared.Connection.of(options)
    connection.require_token()
    framework = _framework(options.framework)
    passages = read_passages(options.docs)
    pipeline = _pipeline(framework, connection, options)
    with Progress(f"Indexing {options.docs}", len(passages)) as progress:
        for start in range(0, len(passages), BATCH):
            batch = passages[start : start + BATCH]
            pipeline.add(batch)
            progress.advance(len(batch))
    sources, pieces = pipeline.ask(options.question, options.top_k)
    note(f"{framework}, {connection.chat_model(options.model)}:\n")
    write_pieces(pieces)
    print("\nSources:")
    for rank, source in enumerate(sources, 1):
        place = f"{source.passage.source}, passage {source.passage.number}"
        print(f"  {rank}. {place} (score {source.score:.3f})")
    return 0


def _framework(asked: str | None) -> str:
    """Return the framework to use, the first installed one unless asked for."""
    for name in [asked] if asked else FRAMEWORKS:
        if importlib.util.find_spec(FRAMEWORKS[name]) is not None:
            return name
    extras = [asked] if asked else FRAMEWORKS
    commands = " or ".join(f'pip install "hfrouter[{extra}]"' for extra in extras)
    raise UsageError(f"{asked or 'A framework'} is not installed.\nInstall it with: {commands}")


def _pipeline(
    framework: str, connection: shared.Connection, options: argparse.Namespace
) -> Pipeline:
    chat = connection.chat(options)
    for name in ("temperature", "max_tokens"):
        if getattr(options, name) is not None:
            chat[name] = getattr(options, name)
    embeddings = connection.embeddings(options)
    if framework == "langchain":
        from shared_core.cli.rag_langchain import LangChainPipeline

        return LangChainPipeline(chat, embeddings)
    from shared_core.cli.rag_llama_index import LlamaIndexPipeline

    return LlamaIndexPipeline(chat, embeddings)
