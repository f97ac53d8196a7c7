"""Reads a folder of text and Markdown and splits it into passages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared_core.cli.output import UsageError

SUFFIXES = (".md", ".markdown", ".txt")
"""File names read; everything else in the folder is left alone."""
PASSAGE_WORDS = 120
"""Passages end at the first paragraph beyond it; about 160 tokens, so that the heading and
the passage fit into the 256 tokens that all-MiniLM-L6-v2 reads."""
_LONGEST = 180
"""A paragraph of more words is cut at sentence ends."""
MAX_FILE_BYTES = 10 * 1024 * 1024
"""Larger files are refused: they are data rather than documents."""

_HEADING = re.compile(r"^(#{1,6})\s+\S")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class DocumentError(UsageError):
    """The folder cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document.

    Attributes:
        text: Headings of the section, an empty line, the piece itself.
        source: Path of the file below the folder, with ``/``.
        number: Position in the file, from 1.
    """

    text: str
    source: str
    number: int


def find_files(folder: Path) -> list[Path]:
    """Return the documents below *folder*, sorted by path; hidden names are left out.

    Raises:
        DocumentError: There is no such folder or it holds no document.
    """
    if not folder.is_dir():
        raise DocumentError(f"There is no folder {str(folder)!r}.")
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(parent, name)
            for name in sorted(names)
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    if not found:
        raise DocumentError(
            f"There is no document in {str(folder)!r}; read are {', '.join(SUFFIXES)}."
        )
    return found


def read_passages(folder: Path) -> list[Passage]:
    """Return the passages of all documents below *folder*.

    Raises:
        DocumentError: The folder is missing or without documents, or a file is unreadable.
    """
    passages: list[Passage] = []
    for path in find_files(folder):
        source = path.relative_to(folder).as_posix()
        texts = split(_read(path), title=path.stem)
        passages += [Passage(text, source, number) for number, text in enumerate(texts, 1)]
    if not passages:
        raise DocumentError(f"All documents in {str(folder)!r} are empty.")
    return passages


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DocumentError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB.")
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as exc:
        raise DocumentError(f"{path} cannot be read: {exc.strerror}.") from None


def split(text: str, *, title: str = "") -> list[str]:
    """Return the passages of one document.

    Args:
        text: Markdown or plain text.
        title: Stands above the passages of a document without headings.

    Returns:
        Passages, each preceded by the headings that it stands under.
    """
    passages: list[str] = []
    for headings, paragraphs in _sections(text, title):
        pending: list[str] = []
        for paragraph in paragraphs:
            if pending and _words(pending) + _words([paragraph]) > PASSAGE_WORDS:
                passages.append(_join(headings, pending))
                pending = []
            pending.append(paragraph)
        if pending:
            passages.append(_join(headings, pending))
    return passages


def _join(headings: list[str], paragraphs: list[str]) -> str:
    return "\n".join(headings) + "\n\n" + "\n\n".join(paragraphs)


def _words(paragraphs: list[str]) -> int:
    return sum(len(paragraph.split()) for paragraph in paragraphs)


def _sections(text: str, title: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the heading lines and the paragraphs of every section."""
    path: dict[int, str] = {1: f"# {title}"} if title else {}
    body: list[str] = []
    fenced = False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        found = None if fenced else _HEADING.match(line)
        if found is None:
            body.append(line)
            continue
        if paragraphs := _paragraphs(body):
            yield list(path.values()), paragraphs
        body = []
        level = len(found[1])
        path = {depth: head for depth, head in path.items() if depth < level}
        path[level] = line.strip()
    if paragraphs := _paragraphs(body):
        yield list(path.values()), paragraphs


def _paragraphs(lines: list[str]) -> list[str]:
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    return [piece for block in blocks if block.strip() for piece in _pieces(block.rstrip())]


def _pieces(block: str) -> Iterator[str]:
    """Cut an overlong paragraph at sentence ends, or at words where there are none."""
    if len(block.split()) <= _LONGEST:
        yield block
        return
    pending: list[str] = []
    for sentence in _SENTENCE_END.split(block):
        words = sentence.split()
        if pending and len(pending) + len(words) > PASSAGE_WORDS:
            yield " ".join(pending)
            pending = []
        pending += words
        while len(pending) > _LONGEST:
            yield " ".join(pending[:PASSAGE_WORDS])
            pending = pending[PASSAGE_WORDS:]
    if pending:
        yield " ".join(pending)
