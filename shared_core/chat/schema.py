"""JSON schemas from Python: pydantic models (v2 and v1), TypedDicts, dataclasses, functions."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, cast

from shared_core.config.typed_dicts import modern
from shared_core.errors import InvalidSettingError

MAX_NAME = 64
"""Longest name of a tool or schema, in characters (OpenAI's API reference)."""

_BAD = re.compile(r"[^A-Za-z0-9_-]+")
_SECTION = re.compile(
    r"^(Args|Arguments|Parameters|Returns|Yields|Raises|Example|Examples|Note|Notes|"
    r"Attributes|See Also|Todo|Warning|Warnings):\s*$"
)
_ARGUMENT = re.compile(r"^\s*\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def safe_name(title: str, default: str = "response") -> str:
    """Return *title* as a name that providers accept: ``[A-Za-z0-9_-]{1,64}``.

    Args:
        title: Any text, e.g. ``"Response[User]"``.
        default: Used where nothing is left.
    """
    name = _BAD.sub("_", title)
    if name != title:
        name = name.strip("_")
    return name[:MAX_NAME] or default


def schema_of(source: Any, field: str) -> dict[str, Any]:
    """Return the JSON schema of a type, or *source* itself if it is a schema.

    Args:
        source: Pydantic model class (v2 or v1), TypedDict, dataclass, any type pydantic
            knows, or a JSON schema as a dict.
        field: Name for errors.

    Raises:
        InvalidSettingError: There is no schema for it.
    """
    if isinstance(source, Mapping):
        return dict(source)
    if isinstance(source, type):
        for method in ("model_json_schema", "schema"):  # pydantic 2, pydantic 1
            build: Any = getattr(source, method, None)
            if callable(build):
                return cast("dict[str, Any]", build())
    from pydantic import PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(modern(source)).json_schema()
    except (PydanticUserError, TypeError, NameError) as error:
        raise InvalidSettingError(
            f"{field} has no JSON schema ({type(error).__name__})",
            setting=field,
            guidance="Pass a pydantic model, a TypedDict or a JSON schema as a dict.",
        ) from None


def title_of(source: Any, default: str) -> str:
    """Return a usable name for the schema of *source*."""
    if isinstance(source, Mapping):
        title = source.get("title") or source.get("name")
        return safe_name(title, default) if isinstance(title, str) else default
    return safe_name(getattr(source, "__name__", ""), default)


def function_schema(function: Callable[..., Any], field: str) -> tuple[str, dict[str, Any]]:
    """Return description and parameter schema of a function.

    Types come from the annotations, texts from a Google-style docstring. Parameters without
    annotation take any value; ``*args`` and ``**kwargs`` cannot be described and are refused.

    Args:
        function: A plain or coroutine function, or a callable object.
        field: Name for errors.

    Raises:
        InvalidSettingError: The signature cannot be described.
    """
    from pydantic import Field, PydanticUserError, create_model

    try:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(_unwrapped(function), include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        raise InvalidSettingError(
            f"{field}: the signature cannot be read ({error})", setting=field
        ) from None
    description, texts = _docstring(inspect.getdoc(function) or "")
    fields: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise InvalidSettingError(
                f"{field}: *{name} has no JSON schema; name every parameter", setting=field
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        # Under an alias, so that no parameter name can clash with a name of BaseModel.
        options = {"description": texts[name]} if texts.get(name) else {}
        field_info = Field(default, alias=name, **options)  # type: ignore[call-overload]
        fields[f"p{len(fields)}"] = (modern(hints.get(name, Any)), field_info)
    try:
        schema = create_model("Arguments", **fields).model_json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        raise InvalidSettingError(
            f"{field}: a parameter has a type without JSON schema ({type(error).__name__})",
            setting=field,
        ) from None
    schema.pop("title", None)
    for described in schema.get("properties", {}).values():
        described.pop("title", None)
    return description, schema


def _unwrapped(function: Callable[..., Any]) -> Any:
    function = inspect.unwrap(function)
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    inner = getattr(function, "func", None)  # functools.partial
    return inner if inner is not None else type(function).__call__


def _docstring(doc: str) -> tuple[str, dict[str, str]]:
    """Split a Google-style docstring into its text and the texts of its arguments."""
    text: list[str] = []
    arguments: dict[str, str] = {}
    section, name, indent = "", "", None
    for line in doc.splitlines():
        heading = _SECTION.match(line)
        if heading:
            section, name, indent = heading[1], "", None
        elif not section:
            text.append(line)
        elif section in ("Args", "Arguments", "Parameters") and line.strip():
            depth = len(line) - len(line.lstrip())
            indent = depth if indent is None else indent
            found = _ARGUMENT.match(line) if depth <= indent else None
            if found:
                name = found[1]
                arguments[name] = found[2].strip()
            elif name:
                arguments[name] = f"{arguments[name]} {line.strip()}".strip()
    return "\n".join(text).strip(), arguments
