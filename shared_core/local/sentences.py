"""Splits Markdown and plain text into sentences that can be quoted on their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*)$")
_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_RULE = re.compile(r"^\s*(?:[-=*_]\s*){3,}$")
_TABLE_RULE = frozenset("|-: \t")
# Metadata lines that LlamaIndex and common templates put before a passage.
_METADATA = re.compile(
    r"^(?:file_path|file_name|file_type|file_size|creation_date|last_modified_date|source|"
    r"page_label|passage|score)\s*:\s",
    re.IGNORECASE,
)
_BREAK = re.compile(
    r"(?<=[.!?\u2026])[\"')\]\u201d\u2019*_]*\s+(?=[\"'(\[\u201c\u2018*_]*[A-Z0-9\u00c0-\u00de])"
    r"|(?<=[\u3002\uff01\uff1f])"  # full stop, exclamation and question mark of CJK text
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|Nr|Fig|Sec|vs|etc|approx|ca|e\.g|i\.e|Inc|Ltd|Co|Jr|Sr)"
    r"|\b[A-Z])\.$"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One quotable unit.

    Attributes:
        text: As in the source; line breaks inside it are spaces.
        heading: Of the section that it stands in, maybe empty.
    """

    text: str
    heading: str = ""


def split(texts: Iterable[str]) -> list[Sentence]:
    """Return the sentences of *texts* in order, each only once.

    A list item and a table row stand on their own; headings are not sentences but are kept
    with those that follow.
    """
    seen: dict[str, Sentence] = {}
    for text in texts:
        for sentence in _of_text(text):
            seen.setdefault(sentence.text, sentence)
    return list(seen.values())


def _of_text(text: str) -> Iterator[Sentence]:
    heading = ""
    pending: list[str] = []

    def flush() -> Iterator[Sentence]:
        joined = " ".join(pending)
        pending.clear()
        for part in _parts(joined):
            yield Sentence(part, heading)

    for line in text.splitlines():
        stripped = line.strip()
        if found := _HEADING.match(line):
            yield from flush()
            heading = found[1].rstrip().rstrip("#").rstrip()
        elif not stripped or _METADATA.match(stripped) or _RULE.match(line):
            yield from flush()
        elif stripped.startswith("|"):
            yield from flush()
            if not _TABLE_RULE.issuperset(stripped):
                yield Sentence(stripped, heading)
        elif _ITEM.match(line):
            yield from flush()
            pending.append(_ITEM.sub("", stripped, count=1))
        else:
            pending.append(stripped)
    yield from flush()


def _parts(text: str) -> Iterator[str]:
    start = 0
    for found in _BREAK.finditer(text):
        part = text[start : found.end()].strip()
        if _ABBREVIATION.search(text[max(start, found.start() - 8) : found.start()]):
            continue
        if part:
            yield part
        start = found.end()
    if rest := text[start:].strip():
        yield rest
