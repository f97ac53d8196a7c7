"""From tokens to text as they come: whole characters only, and an end at the stop texts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_HALF = "\ufffd"  # what a decoder writes for a character whose bytes are not all there


def partly_begun(text: str, marks: Sequence[str]) -> int:
    """Return how many characters at the end of *text* may be the beginning of a mark."""
    longest = max((len(mark) for mark in marks), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return size
    return 0


class TextPieces:
    """Turns tokens into pieces of text.

    Args:
        decode: Text of a list of token ids.
        emit: Given each new piece, never an empty one.
        stops: Texts at which everything ends; they are no part of it.

    Attributes:
        stopped: Whether a stop text was met.
        count: How many tokens came.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        emit: Callable[[str], None],
        stops: Sequence[str] = (),
    ) -> None:
        self.stopped = False
        self.count = 0
        self._decode = decode
        self._emit = emit
        self._stops = [stop for stop in stops if stop]
        self._ids: list[int] = []
        self._shown = 0  # tokens whose text has been handed on
        self._context = 0  # where decoding begins, so that blanks between words stay
        self._held = ""

    def push(self, token: int) -> None:
        """Take the next token."""
        self.count += 1
        if self.stopped:
            return
        self._ids.append(token)
        new = self._new_text()
        if new and not new.endswith(_HALF):
            self._advance(new)

    def finish(self) -> None:
        """Hand on what was held back, half characters included."""
        if not self.stopped:
            self._advance(self._new_text())
        if not self.stopped and self._held:
            self._emit(self._held)
            self._held = ""

    def _new_text(self) -> str:
        known = self._decode(self._ids[self._context : self._shown])
        return self._decode(self._ids[self._context :])[len(known) :]

    def _advance(self, new: str) -> None:
        self._context, self._shown = self._shown, len(self._ids)
        text = self._held + new
        found = [at for at in map(text.find, self._stops) if at >= 0]
        if found:
            self.stopped = True
            text, self._held = text[: min(found)], ""
        else:
            size = partly_begun(text, self._stops)
            text, self._held = text[: len(text) - size], text[len(text) - size :]
        if text:
            self._emit(text)
