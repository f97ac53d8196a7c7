"""What of a response its events have shown already: each text is handed over exactly once. Pure.

Servers differ: some stream every item, some tell an item only when it is done, or in the last
event alone, where it may have another id than before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

from shared_core.responses.items import (
    FunctionCall,
    MCPCall,
    OutputItem,
    OutputMessage,
    ReasoningItem,
)


class Streamed(Protocol):
    """An item as its events have shown it."""

    @property
    def item(self) -> OutputItem:
        """The item, as announced or done."""
        ...

    @property
    def shown(self) -> str:
        """Its words, or arguments, so far."""
        ...


def rest(shown: str, words: str) -> str:
    """Return what of *words* was not shown; nothing if something else was shown.

    Args:
        shown: What was.
        words: All there is.
    """
    return words[len(shown) :] if words.startswith(shown) else ""


def words_of(item: OutputItem) -> str:
    """Return what of an item comes in pieces: its text, its thoughts or its arguments.

    Args:
        item: Any item.
    """
    if isinstance(item, OutputMessage):
        return item.text
    if isinstance(item, ReasoningItem):
        return item.text or item.summary
    return item.arguments if isinstance(item, FunctionCall | MCPCall) else ""


def matched(output: Sequence[OutputItem], streamed: Mapping[str, Streamed]) -> list[str | None]:
    """Return for each item of the last event under which key it was streamed, None if it was not.

    By its id; else a call by its call id; else what says the same; else the first one left of its
    kind, if it says the beginning of it, or nothing.

    Args:
        output: The items of the last event.
        streamed: The items that were streamed, by id, or by ``#`` and place.
    """
    kinds = {key: one.item for key, one in streamed.items()}
    keys: list[str | None] = [
        key if (key := item.id or f"#{at}") in streamed and _alike(item, kinds[key]) else None
        for at, item in enumerate(output)
    ]
    _pair(keys, [_call(item) for item in output], {k: _call(kinds[k]) for k in streamed})
    shown = {key: one.shown for key, one in streamed.items()}
    said: list[Hashable] = [(item.type, _name(item), words_of(item)) for item in output]
    _pair(keys, said, {k: (kinds[k].type, _name(kinds[k]), shown[k]) for k in streamed})
    taken = set(keys)
    left: dict[str, deque[str]] = {}
    for key, one in kinds.items():
        if key not in taken:
            left.setdefault(one.type, deque()).append(key)
    for at, item in enumerate(output):
        queue = left.get(item.type)
        if keys[at] is None and queue and _begins(item, kinds[queue[0]], shown[queue[0]]):
            keys[at] = queue.popleft()
    return keys


def _pair(
    keys: list[str | None], wanted: Sequence[Hashable], marks: Mapping[str, Hashable]
) -> None:
    """Give items without a key that of the first free one with the same mark; None is no mark."""
    taken = set(keys)
    free: dict[Hashable, deque[str]] = {}
    for key, mark in marks.items():
        if key not in taken and mark is not None:
            free.setdefault(mark, deque()).append(key)
    for at, mark in enumerate(wanted):
        if keys[at] is None and free.get(mark):
            keys[at] = free[mark].popleft()


def _call(item: OutputItem) -> str | None:
    return item.call_id or None if isinstance(item, FunctionCall) else None


def _name(item: OutputItem) -> str:
    return item.name if isinstance(item, FunctionCall | MCPCall) else ""


def _alike(item: OutputItem, other: OutputItem) -> bool:
    return item.type == other.type and (not _name(other) or _name(item) == _name(other))


def _begins(item: OutputItem, other: OutputItem, shown: str) -> bool:
    words, shown = words_of(item).strip(), shown.strip()
    return _alike(item, other) and (words.startswith(shown) or shown.startswith(words))
