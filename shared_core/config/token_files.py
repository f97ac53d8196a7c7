"""Tokens in files: ``.env``, ``secret/-secrets.sh`` and the Hub's token file.

The files are parsed, never executed: a value with ``$``-expressions or backquotes is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ENV_FILE = ".env"
SECRETS_FILE = "secret/-secrets.sh"
MAX_FILE_BYTES = 1024 * 1024
"""A larger file is not a list of settings and is not read."""

_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=[ \t]*(?P<rest>.*)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SINGLE = re.compile(r"'([^']*)'")
_EXPRESSION = re.compile(r"`|\$[({A-Za-z_]")


@dataclass(frozen=True, slots=True)
class Assignment:
    """One ``NAME=value`` of a file.

    Attributes:
        name: Name of the variable.
        value: Its value, or None where only a shell could tell it.
        line: Line number, from 1.
    """

    name: str
    value: str | None
    line: int

    def __repr__(self) -> str:
        return f"Assignment({self.name!r}, line={self.line})"


def parse_assignments(text: str) -> list[Assignment]:
    """Return the ``NAME=value`` and ``export NAME="value"`` lines of *text*.

    Comments, blank lines and whatever else stands in the file are passed over. The last
    assignment of a name counts, as in a shell.
    """
    found = []
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        match = _LINE.fullmatch(line)
        if match:
            found.append(Assignment(match["name"], _value(match["rest"]), number))
    return found


def _value(rest: str) -> str | None:
    single = _SINGLE.match(rest)
    if single:
        return single[1].strip()
    double = _DOUBLE.match(rest)
    if double:
        text = double[1]
        if _EXPRESSION.search(re.sub(r"\\.", "", text)):
            return None
        return re.sub(r'\\(["\\$`])', r"\1", text).strip()
    text = re.split(r"(?:^|\s)#|[\s;]", rest, maxsplit=1)[0]
    return None if _EXPRESSION.search(text) or text[:1] in ("'", '"') else text


def read_text(path: Path) -> str | None:
    """Return the text of a small regular file, or None."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            return None
        return path.read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        return None


def upward(start: Path, relative: str) -> Iterator[Path]:
    """Yield *relative* as it exists in *start* and the folders above, nearest first."""
    for folder in (start, *start.parents):
        path = folder / relative
        try:
            if path.is_file():
                yield path
        except OSError:
            continue


def find_in_files(
    start: Path, relative: str, names: Sequence[str]
) -> tuple[str, str] | tuple[None, str]:
    """Look for a token upward from *start*.

    Args:
        start: Where to begin, usually the working directory.
        relative: Name of the file below each folder.
        names: Names of variables, the first one that is not empty wins within a file.

    Returns:
        The value and ``"/path/.env line 3"``; or None and what was seen instead.
    """
    seen = f"{relative} from {start} upward"
    for path in upward(start, relative):
        text = read_text(path)
        if text is None:
            seen = f"{path} (not readable)"
            continue
        last = {item.name: item for item in parse_assignments(text)}
        for name in names:
            item = last.get(name)
            if item is not None and item.value:
                return item.value, f"{path} line {item.line}"
            if item is not None and item.value is None:
                seen = f"{path} line {item.line} (a shell expression; files are not executed)"
    return None, seen


def hub_token_path(env: Mapping[str, str]) -> Path | None:
    """Return where huggingface_hub keeps the token (protocol.md 1.2), or None without a home.

    Args:
        env: Environment variables.
    """
    try:
        if env.get("HF_TOKEN_PATH"):
            return Path(env["HF_TOKEN_PATH"]).expanduser()
        if env.get("HF_HOME"):
            return Path(env["HF_HOME"]).expanduser() / "token"
        cache = env.get("XDG_CACHE_HOME")
        base = Path(cache).expanduser() if cache else Path.home() / ".cache"
    except RuntimeError:  # no such home directory
        return None
    return base / "huggingface" / "token"
