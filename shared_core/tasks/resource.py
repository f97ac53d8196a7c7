"""``client.tasks``: every inference task as one typed call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from shared_core.flow import Flow
from shared_core.tasks.calls import calling, generic, typed_result
from shared_core.tasks.spec import Call, TaskSpec
from shared_core.tasks.stream import AsyncTextStream, AsyncTextStreamOpening, TextStream
from shared_core.tasks.streaming import streaming
from shared_core.tasks.table import Table

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.media.input import FileInput

P = ParamSpec("P")
R = TypeVar("R")


class Tasks(Table):
    """Every task, blocking. Get it as ``client.tasks``.

    The methods are the rows of ``shared_core.tasks.table``; all take the keywords of
    :class:`~shared_core.tasks.spec.Call` besides their own, and all raise
    ``InvalidSettingError`` or ``UnsupportedTaskError`` (nothing was sent) and ``APIError``.
    """

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Any]) -> None:
        """Keep what is needed to make a call.

        Args:
            core: Settings, defaults and the path of a call.
            run: Drives a flow to its result.
        """
        self._core = core
        self._run = run

    def run(self, spec: TaskSpec[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a task by its specification, e.g. one of your own.

        Args:
            spec: The task.
            *args: Arguments of its ``build`` function.
            **kwargs: Likewise, and the keywords of :class:`~shared_core.tasks.spec.Call`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            UnsupportedTaskError: The provider does not serve the task; nothing was sent.
            APIError: The call failed; the class says how.
        """
        result: R = self._run(calling(self._core, spec, args, kwargs))
        return result

    @overload
    def call(
        self,
        task: str,
        inputs: Any = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        file: FileInput | None = None,
        result: type[R],
        **call: Unpack[Call],
    ) -> R: ...
    @overload
    def call(
        self,
        task: str,
        inputs: Any = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        file: FileInput | None = None,
        result: None = None,
        **call: Unpack[Call],
    ) -> Any: ...
    def call(
        self,
        task: str,
        inputs: Any = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        file: FileInput | None = None,
        result: type[Any] | None = None,
        **call: Unpack[Call],
    ) -> Any:
        """Call a task that has no row here, in hf-inference's general form.

        Args:
            task: Task id, e.g. ``"mask-generation"``.
            inputs: JSON value under ``inputs``.
            parameters: JSON object under ``parameters``.
            file: A file as input: sent as it stands if there is nothing else, else as base64.
            result: Type that the answer is checked against, e.g. ``list[Label]``, ``dict``,
                a TypedDict, a dataclass, a pydantic model, or ``Media`` for a file. None
                returns the JSON value or the ``Media`` as it came.
            **call: See :class:`~shared_core.tasks.spec.Call`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            APIResponseValidationError: The answer does not fit *result*.
            APIError: The call failed; the class says how.
        """
        spec = TaskSpec(task, generic, typed_result(result))
        return self._run(calling(self._core, spec, (inputs, parameters, file), call, known=False))

    def bind(self, spec: TaskSpec[..., Any]) -> Callable[..., Any]:
        """Return the method of a row."""

        def method(*args: Any, **kwargs: Any) -> Any:
            return self._run(calling(self._core, spec, args, kwargs))

        return method

    def bind_stream(self, spec: TaskSpec[..., Any]) -> Callable[..., TextStream]:
        """Return the streaming method of a row."""

        def method(*args: Any, **kwargs: Any) -> TextStream:
            stream: TextStream = self._run(streaming(self._core, spec, args, kwargs, TextStream))
            return stream

        return method


class AsyncTasks(Table):
    """Every task, for asyncio. Get it as ``client.tasks``; see :class:`Tasks`."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Coroutine[Any, Any, Any]]) -> None:
        """Keep what is needed to make a call.

        Args:
            core: Settings, defaults and the path of a call.
            run: Drives a flow to its result.
        """
        self._core = core
        self._run = run

    async def run(self, spec: TaskSpec[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a task by its specification; see :meth:`Tasks.run`.

        Args:
            spec: The task.
            *args: Arguments of its ``build`` function.
            **kwargs: Likewise, and the keywords of :class:`~shared_core.tasks.spec.Call`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            UnsupportedTaskError: The provider does not serve the task; nothing was sent.
            APIError: The call failed; the class says how.
        """
        result: R = await self._run(calling(self._core, spec, args, kwargs))
        return result

    @overload
    async def call(
        self,
        task: str,
        inputs: Any = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        file: FileInput | None = None,
        result: type[R],
        **call: Unpack[Call],
    ) -> R: ...
    @overload
    async def call(
        self,
        task: str,
        inputs: Any = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        file: FileInput | None = None,
        result: None = None,
        **call: Unpack[Call],
    ) -> Any: ...
    async def call(
        self,
        task: str,
        inputs: Any = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        file: FileInput | None = None,
        result: type[Any] | None = None,
        **call: Unpack[Call],
    ) -> Any:
        """Call a task that has no row here; see :meth:`Tasks.call`.

        Args:
            task: Task id, e.g. ``"mask-generation"``.
            inputs: JSON value under ``inputs``.
            parameters: JSON object under ``parameters``.
            file: A file as input: sent as it stands if there is nothing else, else as base64.
            result: Type that the answer is checked against; None returns it as it came.
            **call: See :class:`~shared_core.tasks.spec.Call`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            APIResponseValidationError: The answer does not fit *result*.
            APIError: The call failed; the class says how.
        """
        spec = TaskSpec(task, generic, typed_result(result))
        flow = calling(self._core, spec, (inputs, parameters, file), call, known=False)
        return await self._run(flow)

    def bind(self, spec: TaskSpec[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return the method of a row."""

        async def method(*args: Any, **kwargs: Any) -> Any:
            return await self._run(calling(self._core, spec, args, kwargs))

        return method

    def bind_stream(self, spec: TaskSpec[..., Any]) -> Callable[..., AsyncTextStreamOpening]:
        """Return the streaming method of a row."""

        def method(*args: Any, **kwargs: Any) -> AsyncTextStreamOpening:
            async def start() -> AsyncTextStream:
                flow = streaming(self._core, spec, args, kwargs, AsyncTextStream)
                stream: AsyncTextStream = await self._run(flow)
                return stream

            return AsyncTextStreamOpening(start)

        return method
