"""Makes methods of the rows of the table: blocking on ``Tasks``, awaitable on ``AsyncTasks``.

The parameters of a method are those of the row's ``build`` function, for type checkers through
a ``ParamSpec``, for ``help()`` through ``__signature__`` and ``__doc__``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from shared_core.tasks.spec import Call, TaskSpec

if TYPE_CHECKING:
    from shared_core.tasks.resource import AsyncTasks, Tasks
    from shared_core.tasks.stream import AsyncTextStreamOpening, TextStream

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Method(Generic[P, R]):
    """A row of the table.

    Args:
        spec: The task.
    """

    def __init__(self, spec: TaskSpec[P, R]) -> None:
        self.spec = spec
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, tasks: None, owner: type) -> Method[P, R]: ...
    @overload
    def __get__(self, tasks: Tasks, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, tasks: AsyncTasks, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, tasks: Any, owner: type) -> Any:
        if tasks is None:
            return self
        return described(tasks.bind(self.spec), self.name, self.spec, owner)


class StreamMethod(Generic[P]):
    """A row whose answer is streamed as text.

    Args:
        spec: The task.
    """

    def __init__(self, spec: TaskSpec[P, Any]) -> None:
        self.spec = spec
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, tasks: None, owner: type) -> StreamMethod[P]: ...
    @overload
    def __get__(self, tasks: Tasks, owner: type) -> Callable[P, TextStream]: ...
    @overload
    def __get__(self, tasks: AsyncTasks, owner: type) -> Callable[P, AsyncTextStreamOpening]: ...
    def __get__(self, tasks: Any, owner: type) -> Any:
        if tasks is None:
            return self
        return described(tasks.bind_stream(self.spec), self.name, self.spec, owner)


def described(function: Any, name: str, spec: TaskSpec[..., Any], owner: type) -> Any:
    """Return *function* with the name, the text and the parameters of its row."""
    function.__name__ = name
    function.__qualname__ = f"{owner.__name__}.{name}"
    function.__doc__ = spec.build.__doc__
    function.__signature__ = signature(spec)
    return function


def signature(spec: TaskSpec[..., Any]) -> inspect.Signature:
    """Return the public parameters of a task, the common ones spelt out.

    Args:
        spec: The task.
    """
    own = [
        parameter
        for parameter in inspect.signature(spec.build).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in Call.__annotations__.items()
    ]
    return inspect.Signature([*own, *common])
