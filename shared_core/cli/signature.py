"""Arguments of the command line from the signature of a task's build function."""

from __future__ import annotations

import argparse
import csv
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from shared_core import TaskSpec


class File:
    """Stands for every annotation of a file."""


class TableFile:
    """Stands for the annotation of a table."""


class Pixels:
    """Stands for the annotation of a width and height."""


# Their own definitions name types of packages that need not be installed.
_STAND_INS: dict[str, Any] = {
    "ImageInput": File,
    "AudioInput": File,
    "FileInput": File,
    "TableInput": TableFile,
    "Size": Pixels,
}

_TIMES = {"true": True, "false": False}

GENERATION: dict[str, Any] = {
    "do_sample": bool,
    "epsilon_cutoff": float,
    "eta_cutoff": float,
    "max_length": int,
    "max_new_tokens": int,
    "min_length": int,
    "min_new_tokens": int,
    "num_beam_groups": int,
    "num_beams": int,
    "penalty_alpha": float,
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "typical_p": float,
    "use_cache": bool,
}
"""Members of ``generate_parameters`` and ``generation_parameters`` (protocol reference, 6.4)."""

_GENERATION_NAMES = ("generate_parameters", "generation_parameters")


def add_arguments(command: argparse.ArgumentParser, spec: TaskSpec[..., Any]) -> None:
    """Add the arguments of a task: its input by position, its parameters as options.

    Args:
        command: Where to add them.
        spec: The task.
    """
    texts = _descriptions(spec)
    own = _kinds(spec)
    for parameter in _parameters(spec):
        kind, text = own[parameter.name], texts.get(parameter.name, "").replace("%", "%%")
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            _add_option(command, parameter.name, kind, text)
        else:
            _add_input(command, parameter, kind, text)
    for name in _GENERATION_NAMES:
        if name in own:
            group = command.add_argument_group(f"parts of --{_dashed(name)}")
            for part, kind in GENERATION.items():
                if part not in own:
                    _add_option(group, part, (kind,), "")


def values(options: argparse.Namespace, spec: TaskSpec[..., Any]) -> dict[str, Any]:
    """Return the arguments of the task's function that were given.

    Args:
        options: What :func:`add_arguments` made the parser find.
        spec: The task.
    """
    own = _kinds(spec)
    found: dict[str, Any] = {}
    for name, kind in own.items():
        value = getattr(options, name)
        if value is None:
            continue
        if isinstance(value, list) and str in kind and len(value) == 1:
            value = value[0]  # one text or several: one
        found[name] = value
    for name in set(_GENERATION_NAMES) & own.keys():
        parts = {part: getattr(options, part) for part in GENERATION if part not in own}
        given = {part: value for part, value in parts.items() if value is not None}
        if given:
            found[name] = {**found.get(name, {}), **given}
    return found


def _parameters(spec: TaskSpec[..., Any]) -> list[inspect.Parameter]:
    found = inspect.signature(spec.build).parameters.values()
    return [each for each in found if each.kind is not inspect.Parameter.VAR_KEYWORD]


def _kinds(spec: TaskSpec[..., Any]) -> dict[str, tuple[Any, ...]]:
    """Return name -> the types that a parameter may have, without None."""
    hints = typing.get_type_hints(spec.build, localns=_STAND_INS)
    return {each.name: _members(hints[each.name]) for each in _parameters(spec)}


def _members(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(kind for kind in typing.get_args(hint) if kind is not type(None))
    return (hint,)


def _add_input(
    command: argparse.ArgumentParser,
    parameter: inspect.Parameter,
    kind: tuple[Any, ...],
    text: str,
) -> None:
    several = Sequence[str] in kind
    optional = parameter.default is not inspect.Parameter.empty
    hints = {File: " A path, an address, or - for standard input.", TableFile: _TABLE_HELP}
    hint = hints.get(kind[0], " - reads standard input." if str in kind else "")
    command.add_argument(
        parameter.name,
        metavar=parameter.name.upper(),
        nargs="+" if several else "?" if optional else None,
        type=_INPUTS.get(kind[0], str),
        help=text + hint,
    )


def _add_option(command: Any, name: str, kind: tuple[Any, ...], text: str) -> None:
    words = [word for member in kind for word in _words(member)]
    how: dict[str, Any] = {"metavar": "JSON", "type": _json}
    if bool in kind and words:  # a switch with more than two places
        how = {"type": lambda word: _TIMES.get(word, word), "choices": [True, False, *words]}
        how["metavar"] = "{" + ",".join([*_TIMES, *words]) + "}"
    elif words:
        how = {"choices": words}
    elif kind == (bool,):
        how = {"action": argparse.BooleanOptionalAction}
    elif Sequence[str] in kind:
        how = {"metavar": "TEXT", "action": "append"}
        text += " May be given several times."
    elif kind[0] in _OPTIONS:
        metavar, convert = _OPTIONS[kind[0]]
        how = {"metavar": metavar, "type": convert}
    command.add_argument(f"--{_dashed(name)}", dest=name, default=None, help=text.strip(), **how)


def _words(member: Any) -> Sequence[str]:
    return typing.get_args(member) if typing.get_origin(member) is Literal else ()


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _descriptions(spec: TaskSpec[..., Any]) -> dict[str, str]:
    """Return parameter -> its text, from the section ``Args`` of the docstring."""
    _, _, section = inspect.cleandoc(spec.build.__doc__ or "").partition("\nArgs:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.replace("``", "").split()) for name, text in entries}


# --- values -----------------------------------------------------------------------------

_TABLE_HELP = " A file with the ending .csv or .json (column -> cells), or such JSON itself."


def _text(word: str) -> str:
    return sys.stdin.read() if word == "-" else word


def _file(word: str) -> str | bytes:
    return sys.stdin.buffer.read() if word == "-" else word


def _number(word: str) -> float:
    try:
        return int(word)
    except ValueError:
        return float(word)


_number.__name__ = "number"  # named in argparse's message


def _json(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None


def _size(word: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", word)
    if found is None:
        raise argparse.ArgumentTypeError("must be WIDTHxHEIGHT in pixels, e.g. 512x512")
    return int(found[1]), int(found[2])


def _table(word: str) -> Mapping[str, Any]:
    if word.lstrip().startswith("{"):
        value = _json(word)
    else:
        try:
            text = Path(word).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeError) as error:
            raise argparse.ArgumentTypeError(f"cannot be read: {error}") from None
        if not word.lower().endswith(".csv"):
            value = _json(text)
        else:
            head, *rows = [row for row in csv.reader(text.splitlines()) if row] or [[]]
            if any(len(row) != len(head) for row in rows):
                raise argparse.ArgumentTypeError("its rows do not all have a cell per column")
            value = {name: [row[at] for row in rows] for at, name in enumerate(head)}
    if not isinstance(value, Mapping):
        raise argparse.ArgumentTypeError("must be an object: column -> list of cells")
    return value


_INPUTS: dict[Any, Callable[[str], Any]] = {str: _text, File: _file, TableFile: _table}
_OPTIONS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    int: ("N", int),
    float: ("X", _number),
    str: ("TEXT", str),
    Pixels: ("WxH", _size),
}
