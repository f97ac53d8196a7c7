"""``typing.TypedDict`` on Python 3.11, which pydantic takes only from ``typing_extensions``."""

from __future__ import annotations

import functools
import operator
import sys
import types
import typing
from typing import Any


def modern(source: Any) -> Any:
    """Return *source* with every ``typing.TypedDict`` in it in the form that pydantic takes.

    Args:
        source: Any type.
    """
    if sys.version_info >= (3, 12):
        return source
    if typing.is_typeddict(source) and type(source).__module__ == "typing":
        return _rebuilt(source)
    origin, arguments = typing.get_origin(source), typing.get_args(source)
    if not arguments or origin in (typing.Literal, typing.Annotated):
        return source
    converted = tuple(modern(argument) for argument in arguments)
    if all(new is old for new, old in zip(converted, arguments, strict=True)):
        return source
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, converted)
    return origin[converted]


def _rebuilt(source: Any) -> Any:
    import typing_extensions

    fields = {}
    for name, hint in typing.get_type_hints(source, include_extras=True).items():
        # Postponed annotations hide Required from the class itself.
        marker = typing.get_origin(hint)
        required = name in source.__required_keys__
        if marker in (typing.Required, typing.NotRequired):
            required = marker is typing.Required
            hint = typing.get_args(hint)[0]
        wrap: Any = typing_extensions.Required if required else typing_extensions.NotRequired
        fields[name] = wrap[modern(hint)]
    make: Any = typing_extensions.TypedDict
    twin = make(source.__name__, fields)
    twin.__doc__ = source.__doc__
    twin.__module__ = source.__module__
    return twin
