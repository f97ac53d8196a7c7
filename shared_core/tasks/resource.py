"""``client.tasks``: every inference task as one typed call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from shared_core.errors import InvalidSettingError
from shared_core.flow import Flow
from shared_core.streaming.opening import aopen_stream, open_stream
from shared_core.tasks.calls import calling, generic, typed_result
from shared_core.tasks.rerank import BATCH_SIZE, RankingCall, RerankMethod, reranking
from shared_core.tasks.results import Ranked
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

    def rerank(
        self,
        query: str,
        texts: Sequence[str],
        *,
        method: RerankMethod = "text-ranking",
        top_n: int | None = None,
        batch_size: int = BATCH_SIZE,
        concurrency: int = 1,
        **call: Unpack[RankingCall],
    ) -> list[Ranked]:
        """Order texts by how well they answer a query, the best first.

        Texts go out in batches, and the indexes are those of the whole list. No texts need no
        request.

        Args:
            query: The query.
            texts: The texts.
            method: ``"text-ranking"`` asks a reranker: a TEI server or one like it, given by
                ``model="https://..."`` or ``base_url=``. ``"sentence-similarity"`` asks an
                embedding model how similar they are, which hf-inference serves.
            top_n: How many to return; all by default.
            batch_size: Texts per request; TEI takes 32 by default.
            concurrency: Requests at once, on the asynchronous client.
            **call: See :class:`~shared_core.tasks.rerank.RankingCall`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            UnsupportedTaskError: The task is not served there; nothing was sent.
            APIError: A request failed.
        """
        flow = reranking(
            self._core,
            query,
            texts,
            call,
            method=method,
            top_n=top_n,
            batch_size=batch_size,
            concurrency=concurrency,
        )
        ranked: list[Ranked] = self._run(flow)
        return ranked

    def bind(self, spec: TaskSpec[..., Any]) -> Callable[..., Any]:
        """Return the method of a row."""

        def method(*args: Any, **kwargs: Any) -> Any:
            return self._run(calling(self._core, spec, args, kwargs))

        return method

    def bind_stream(self, spec: TaskSpec[..., Any]) -> Callable[..., TextStream]:
        """Return the streaming method of a row."""

        def method(*args: Any, **kwargs: Any) -> TextStream:
            _check_streamed(kwargs)
            opening = partial(streaming, self._core, spec, args, kwargs, TextStream)
            stream: TextStream = open_stream(self._run, opening)
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

    async def rerank(
        self,
        query: str,
        texts: Sequence[str],
        *,
        method: RerankMethod = "text-ranking",
        top_n: int | None = None,
        batch_size: int = BATCH_SIZE,
        concurrency: int = 1,
        **call: Unpack[RankingCall],
    ) -> list[Ranked]:
        """Order texts by how well they answer a query; see :meth:`Tasks.rerank`.

        Args:
            query: The query.
            texts: The texts.
            method: Who tells how well they fit.
            top_n: How many to return; all by default.
            batch_size: Texts per request.
            concurrency: Requests at once.
            **call: See :class:`~shared_core.tasks.rerank.RankingCall`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            UnsupportedTaskError: The task is not served there; nothing was sent.
            APIError: A request failed.
        """
        flow = reranking(
            self._core,
            query,
            texts,
            call,
            method=method,
            top_n=top_n,
            batch_size=batch_size,
            concurrency=concurrency,
        )
        ranked: list[Ranked] = await self._run(flow)
        return ranked

    def bind(self, spec: TaskSpec[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return the method of a row."""

        async def method(*args: Any, **kwargs: Any) -> Any:
            return await self._run(calling(self._core, spec, args, kwargs))

        return method

    def bind_stream(self, spec: TaskSpec[..., Any]) -> Callable[..., AsyncTextStreamOpening]:
        """Return the streaming method of a row."""

        def method(*args: Any, **kwargs: Any) -> AsyncTextStreamOpening:
            _check_streamed(kwargs)
            opening = partial(streaming, self._core, spec, args, kwargs, AsyncTextStream)
            return AsyncTextStreamOpening(partial(aopen_stream, self._run, opening))

        return method


def _check_streamed(kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("drop_unsupported"):
        raise InvalidSettingError(
            "drop_unsupported is for answers that come whole",
            setting="drop_unsupported",
            guidance="Leave it out, and leave out the parameters that the error names.",
        )
