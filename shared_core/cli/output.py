"""What the commands print: answers to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self


class UsageError(Exception):
    """The command line or the machine is not as needed; the message says what to do."""


def complain(message: str) -> None:
    """Print an error: what happened, and on further lines what to do."""
    first, *rest = message.splitlines() or [""]
    print(f"hfrouter: {first}", file=sys.stderr)
    for line in rest:
        print(f"  {line}", file=sys.stderr)


def note(message: str) -> None:
    """Print something that is not part of the answer."""
    print(message, file=sys.stderr, flush=True)


def discard_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter ends without a complaint."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())


def write_pieces(pieces: Iterable[str]) -> str:
    """Print text as it arrives and end the line; returns the whole text."""
    written = []
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
        written.append(piece)
    text = "".join(written)
    if not text.endswith("\n"):
        print(flush=True)
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns, the last one ragged."""
    everything = [head, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in everything
    )


class Progress:
    """A progress bar on stderr: tqdm where installed, else a line per tenth.

    Args:
        label: What is being done.
        total: Number of steps.
    """

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = total
        self._done = 0
        self._bar: Any = None

    def __enter__(self) -> Self:
        try:
            from tqdm import tqdm
        except ImportError:
            return self
        self._bar = tqdm(total=self._total, desc=self._label, unit="passage", file=sys.stderr)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, steps: int) -> None:
        """Say that *steps* more are done."""
        before, self._done = self._done, self._done + steps
        if self._bar is not None:
            self._bar.update(steps)
        elif self._done * 10 // self._total > before * 10 // self._total:
            note(f"{self._label}: {self._done}/{self._total} passages")
