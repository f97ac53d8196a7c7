"""Values as JSON can carry them: checked before sending, so that nothing changes on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from shared_core.errors import InvalidSettingError


def check_text(text: str, field: str) -> str:
    """Return *text* if it can be written as UTF-8.

    Raises:
        InvalidSettingError: It holds half a surrogate pair; *field* is named.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidSettingError(
                f"{field} has half a surrogate pair at character {error.start}: it is not text",
                setting=field,
                guidance="Decode the text with errors='replace', or cut it between characters.",
            ) from None
    return text


def plain(value: Any, field: str) -> Any:
    """Return *value* as dicts, lists, text, numbers, booleans and None.

    Args:
        value: Any value made of mappings, sequences, scalars and enums.
        field: Name for errors.

    Raises:
        InvalidSettingError: Something in it has no JSON form (NaN, infinity, bytes, objects).
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value, field)
    if isinstance(value, str):
        return check_text(str(value), field)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidSettingError(f"{field} is {value}: JSON has no such number", setting=field)
        return float(value)
    if isinstance(value, Mapping):
        return _mapping(value, field)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(item, f"{field}[{at}]") for at, item in enumerate(value)]
    raise InvalidSettingError(
        f"{field} is a {type(value).__name__}, which has no JSON form", setting=field
    )


def _mapping(value: Mapping[Any, Any], field: str) -> dict[str, Any]:
    result = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidSettingError(
                f"{field} has a key of type {type(key).__name__}; JSON keys are text",
                setting=field,
            )
        result[key] = plain(item, f"{field}.{key[:40]}")
    return result


_SCHEMAS = frozenset({"parameters", "schema"})


def without_none(value: Any) -> Any:
    """Return *value* without the dict entries that are None, at any depth.

    JSON schemas (under ``parameters`` and ``schema``) stay as they are: there ``null`` has a
    meaning, e.g. as a default.
    """
    if isinstance(value, Mapping):
        return {
            key: item if key in _SCHEMAS else without_none(item)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list | tuple):
        return [without_none(item) for item in value]
    return value
