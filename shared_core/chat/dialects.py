"""Structured output as a server of one's own wants it (protocol.md 11). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared_core.config.checks import refused

DIALECTS = ("openai", "tgi", "llama.cpp")
"""Values of ``dialect=``. vLLM, SGLang and most others take OpenAI's form."""

_ANY_OBJECT = {"type": "object"}


def dialect_format(dialect: Any, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Return ``response_format`` in the form of a kind of server.

    TGI wants the schema under ``value`` and answers 422 to OpenAI's form. llama.cpp documents
    ``json_object`` with ``schema``; what it documents as ``json_schema`` with ``schema`` was
    ignored by the server of our tests, which enforces the other two.

    Args:
        dialect: One of :data:`DIALECTS`.
        wanted: In OpenAI's form, or already in that of the server.

    Returns:
        The form, or None where nothing needs to be sent.

    Raises:
        InvalidSettingError: The dialect is unknown.
    """
    if dialect not in DIALECTS:
        raise refused("dialect", f"one of {', '.join(DIALECTS)}", dialect)
    inner = wanted.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    kind = wanted.get("type")
    if dialect == "tgi":
        if kind == "text":
            return None
        if kind == "json_schema" and schema is not None:
            return {"type": "json_object", "value": schema}
        if kind == "json_object" and "value" not in wanted:
            return {"type": "json_object", "value": wanted.get("schema", _ANY_OBJECT)}
    if dialect == "llama.cpp" and kind == "json_schema":
        schema = wanted.get("schema") if schema is None else schema
        return wanted if schema is None else {"type": "json_object", "schema": schema}
    return wanted
