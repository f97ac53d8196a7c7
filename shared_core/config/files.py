"""Read a configuration file into plain, immutable values."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shared_core.errors import InvalidSettingError

MAX_FILE_BYTES = 2**20
"""Largest configuration file that is read: 1 MiB is far above any real one."""

SENSITIVE = frozenset({"api_key", "token", "hf_token", "password", "authorization"})
"""Keys that a configuration file may not hold."""


def read_mapping(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the top level of a file: lists become tuples, inner tables read-only mappings.

    Args:
        path: ``.json``, ``.toml``, or ``.yaml``/``.yml``.

    Raises:
        InvalidSettingError: The file cannot be read or parsed, is too large, is no table, or
            holds a token. Values are never quoted.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in (".json", ".toml", ".yaml", ".yml"):
        raise _bad(file, "its name must end in .json, .toml, .yaml or .yml")
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _bad(file, error.strerror or type(error).__name__) from None
    if len(data) > MAX_FILE_BYTES:
        raise _bad(file, f"it is larger than {MAX_FILE_BYTES} bytes")
    try:
        content = _parse(data.decode("utf-8-sig"), suffix)
    except (ValueError, RecursionError) as error:
        raise _bad(file, f"it is not valid {suffix[1:].upper()} ({_where(error)})") from None
    if content is None:
        content = {}
    if not isinstance(content, Mapping):
        raise _bad(file, "it must hold a table of settings at the top")
    for name in content:
        if not isinstance(name, str):
            raise _bad(file, "its keys must be text")
        if name.lower() in SENSITIVE:
            raise InvalidSettingError(
                f"{file} holds {name}: a token is not configuration",
                setting=name,
                guidance="Keep the token in the environment, or pass a function as api_key=: it "
                "is asked for every request, so that a token can change.",
            )
    return {name: _frozen(value) for name, value in content.items()}


def _parse(text: str, suffix: str) -> Any:
    if suffix == ".json":
        return json.loads(text)
    if suffix == ".toml":
        import tomllib

        return tomllib.loads(text)
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise InvalidSettingError(
            "reading YAML needs PyYAML", guidance="pip install PyYAML, or use JSON or TOML."
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"line {mark.line + 1}" if mark else "YAML") from None


def _where(error: Exception) -> str:
    """Return the position of a syntax error, without the text around it."""
    line = getattr(error, "lineno", None)
    if line is not None:
        return f"line {line}"
    text = str(error)
    at = text.rfind("(at ")
    if at >= 0:
        return text[at + 1 : -1]
    return text if text.startswith("line ") else type(error).__name__


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({str(key): _frozen(item) for key, item in value.items()})
    if isinstance(value, (list, set)):
        return tuple(_frozen(item) for item in value)
    return value


def _bad(file: Path, why: str) -> InvalidSettingError:
    return InvalidSettingError(f"cannot use the configuration file {file}: {why}")
