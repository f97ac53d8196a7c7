"""Splitting ``<think>...</think>`` off an answer, whole or while it streams."""

from __future__ import annotations

_OPEN = "<think>"
_CLOSE = "</think>"

_START, _TEXT, _THINK, _AFTER = range(4)


class ThinkSplitter:
    """Separates the reasoning block at the start of an answer from the answer.

    Only a block at the very start counts; the tags are ordinary text later on. White space
    around the reasoning and before the answer is dropped. A closing tag without an opening
    one (the chat template had written it already) makes everything before it reasoning: in
    a stream that text has been handed out by then, so :attr:`orphan` says so and the
    collected answer is put right.

    Attributes:
        orphan: Whether a closing tag came without an opening one.
    """

    __slots__ = ("_held", "_state", "_trim", "orphan")

    def __init__(self) -> None:
        self._state = _START
        self._held = ""
        self._trim = False
        self.orphan = False

    def feed(self, piece: str) -> tuple[str, str]:
        """Return the new ``(text, reasoning)`` that *piece* settles."""
        if self._state == _TEXT and not self._held and "<" not in piece:
            return piece, ""
        if self._state == _AFTER:
            return self._after(piece), ""
        piece = self._held + piece
        self._held = ""
        if self._state == _START:
            return self._start(piece)
        return self._text(piece) if self._state == _TEXT else self._think(piece)

    def flush(self) -> tuple[str, str]:
        """Return what was held back because it might have become a tag."""
        held, self._held = self._held, ""
        if self._state == _THINK:
            return "", held.rstrip()
        return held, ""

    def _start(self, piece: str) -> tuple[str, str]:
        seen = piece.lstrip()
        if seen.startswith(_OPEN):
            self._state, self._trim = _THINK, True
            return self._think(seen[len(_OPEN) :])
        if _OPEN.startswith(seen) or (seen != _CLOSE and _CLOSE.startswith(seen)):
            self._held = piece
            return "", ""
        self._state = _TEXT
        return self._text(piece)

    def _think(self, piece: str) -> tuple[str, str]:
        if self._trim:
            piece = piece.lstrip()
            self._trim = not piece
        end = piece.find(_CLOSE)
        if end >= 0:
            self._state, self._trim = _AFTER, True
            return self._after(piece[end + len(_CLOSE) :]), piece[:end].rstrip()
        settled = piece[: _settled(piece)].rstrip()
        self._held = piece[len(settled) :]
        return "", settled

    def _text(self, piece: str) -> tuple[str, str]:
        end = piece.find(_CLOSE)
        if end >= 0:
            self.orphan = True
            self._state, self._trim = _AFTER, True
            return self._after(piece[end + len(_CLOSE) :]), piece[:end]
        cut = _settled(piece)
        self._held = piece[cut:]
        return piece[:cut], ""

    def _after(self, piece: str) -> str:
        if self._trim:
            piece = piece.lstrip()
            self._trim = not piece
        return piece


def _settled(piece: str) -> int:
    """Return how much of *piece* cannot be the beginning of a closing tag."""
    start = piece.rfind("<", -len(_CLOSE) + 1)
    return start if start >= 0 and _CLOSE.startswith(piece[start:]) else len(piece)


def split_thinking(text: str) -> tuple[str, str | None]:
    """Return ``(answer, reasoning)`` of a whole answer; reasoning is None if there is none.

    Args:
        text: The content as the model wrote it.
    """
    splitter = ThinkSplitter()
    answer, reasoning = splitter.feed(text)
    more_answer, more_reasoning = splitter.flush()
    return answer + more_answer, (reasoning + more_reasoning).strip() or None
