"""Answers with a structure: what to ask for, and reading what came."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from shared_core.chat.schema import safe_name, schema_of, title_of
from shared_core.chat.thinking import split_thinking
from shared_core.chat.types import ChatCompletion
from shared_core.config.plain import plain
from shared_core.config.typed_dicts import modern
from shared_core.errors import InvalidSettingError, StructuredOutputError
from shared_core.wire import json_text

_FENCE = re.compile(r"\A```[A-Za-z0-9_+-]*[ \t]*\r?\n?(.*?)\r?\n?[ \t]*```\Z", re.DOTALL)
_SCHEMA_KEYS = frozenset({"properties", "$schema", "$defs", "$ref", "anyOf", "oneOf", "allOf"})
_JSON_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


def json_schema_format(
    schema: Any,
    *,
    name: str | None = None,
    description: str | None = None,
    strict: bool | None = None,
) -> dict[str, Any]:
    """Return the ``response_format`` that demands *schema*.

    Args:
        schema: Pydantic model class (v2 or v1), TypedDict, dataclass, or a JSON schema.
        name: Name of the schema; from its title or class by default. Made acceptable to
            providers (``[A-Za-z0-9_-]``, at most 64 characters).
        description: What it is for; sent only when given.
        strict: Sent only when given: providers that enforce ``strict`` refuse many schemas.

    Raises:
        InvalidSettingError: There is no schema for it.
    """
    wanted: dict[str, Any] = {
        "name": safe_name(name) if name else title_of(schema, "response"),
    }
    if description is not None:
        wanted["description"] = description
    wanted["schema"] = plain(schema_of(schema, "response_format"), "response_format.schema")
    if strict is not None:
        wanted["strict"] = strict
    return {"type": "json_schema", "json_schema": wanted}


def response_format(value: Any) -> dict[str, Any]:
    """Return the wire form of the ``response_format`` argument.

    Args:
        value: A wire form (a dict with ``type``), ``"json_object"`` or ``"text"``, a type, or
            a bare JSON schema; the last two become ``json_schema``.

    Raises:
        InvalidSettingError: It is none of these.
    """
    if value in ("json_object", "text"):
        return {"type": value}
    if isinstance(value, Mapping):
        kind = value.get("type")
        kinds = kind if isinstance(kind, list) else [kind]
        is_schema = bool(kinds) and all(isinstance(k, str) and k in _JSON_TYPES for k in kinds)
        if is_schema or (kind is None and value.keys() & _SCHEMA_KEYS):
            return json_schema_format(value)
        if not isinstance(kind, str) or not kind:
            raise InvalidSettingError(
                "response_format has no type: use 'json_schema', 'json_object' or 'text'",
                setting="response_format",
            )
        wanted = value.get("json_schema")
        if wanted is not None and not (
            isinstance(wanted, Mapping) and isinstance(wanted.get("name"), str) and wanted["name"]
        ):
            raise InvalidSettingError(
                "response_format.json_schema must be a dict with a name",
                setting="response_format",
            )
        return dict(plain(value, "response_format"))
    if value is None or isinstance(value, str | int | float | bytes) or inspect.isroutine(value):
        raise InvalidSettingError(
            f"response_format must be a dict or a type, not {type(value).__name__}",
            setting="response_format",
        )
    return json_schema_format(value)


def parse_json_text(text: str, *, finish_reason: str | None = None) -> Any:
    """Return the JSON value that a model wrote.

    Tolerates what models add: a ``<think>`` block before it and one Markdown fence around it.

    Args:
        text: The answer.
        finish_reason: Why it ended; ``"length"`` is named in the error.

    Raises:
        StructuredOutputError: It is not JSON; the text rides on the error.
    """
    stripped = strip_wrapping(text)
    try:
        return json_text.decode(stripped.encode("utf-8", "replace"))
    except ValueError as error:
        raise _unusable(text, finish_reason, f"is not JSON ({error})") from None


def strip_wrapping(text: str) -> str:
    """Return *text* without a ``<think>`` block before it and one Markdown fence around it."""
    if "</think>" in text:
        text = split_thinking(text)[0]
    text = text.strip()
    fenced = _FENCE.match(text)
    return fenced[1].strip() if fenced else text


def parse_structured(completion: ChatCompletion, schema: Any) -> Any:
    """Return the answer as an instance of *schema*.

    Args:
        completion: The answer.
        schema: Pydantic model class (v2 or v1), TypedDict, dataclass; for a JSON schema the
            decoded value is returned as it is.

    Raises:
        StructuredOutputError: The answer is empty, cut, not JSON, or does not fit.
    """
    reason = completion.finish_reason
    message = completion.message
    if message.refusal and not message.text:
        raise StructuredOutputError(
            f"the model refused: {message.refusal[:200]}", text=message.refusal
        )
    value = parse_json_text(message.text, finish_reason=reason)
    if isinstance(schema, Mapping):
        return value
    try:
        return _validated(value, schema)
    except ValueError as error:
        errors: Any = getattr(error, "errors", None)
        found = _listed(errors()) if callable(errors) else []
        where = ", ".join(".".join(map(str, item.get("loc", ()))) or "/" for item in found[:5])
        raise StructuredOutputError(
            f"the answer does not fit the schema{f' at {where}' if where else ''}",
            text=message.text,
            errors=found,
        ) from None


def _listed(errors: Any) -> list[dict[str, Any]]:
    return [dict(item) for item in errors]


def _validated(value: Any, schema: Any) -> Any:
    if isinstance(schema, type):
        for method in ("model_validate", "parse_obj"):  # pydantic 2, pydantic 1
            build = getattr(schema, method, None)
            if callable(build):
                return build(value)
    from pydantic import TypeAdapter

    return TypeAdapter(modern(schema)).validate_python(value)


def _unusable(text: str, finish_reason: str | None, how: str) -> StructuredOutputError:
    if finish_reason == "length":
        return StructuredOutputError(
            "the answer was cut at the token limit before its JSON was complete",
            guidance="Raise max_tokens, or ask for less; reasoning uses tokens too.",
            text=text,
        )
    if not text.strip():
        return StructuredOutputError("the answer is empty instead of JSON", text=text)
    return StructuredOutputError(f"the answer {how}", text=text)
