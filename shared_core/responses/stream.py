"""A streamed response as the caller holds it; ``shared_core.streaming`` moves its bytes."""

from __future__ import annotations

from shared_core.chat.types import Usage
from shared_core.responses.types import Response, ResponseUpdate
from shared_core.streaming.opening import AsyncStreamOpening
from shared_core.streaming.streams import AsyncStream, BaseStream, Stream


class _Shared(BaseStream[ResponseUpdate, Response]):
    """What both kinds of stream show besides."""

    @property
    def usage(self) -> Usage | None:
        """Token counts, once the response is over."""
        usage: Usage | None = self._state.usage
        return usage


class ResponseStream(_Shared, Stream[ResponseUpdate, Response]):
    """A streamed response: iterate for :class:`ResponseUpdate` values.

    The connection goes back to the pool at the end, and is released at once by
    :meth:`close`, by leaving the ``with`` block, and when the object is dropped::

        with client.responses.stream("Tell me a story.") as stream:
            for text in stream.text_deltas():
                print(text, end="")
        print(stream.result().usage)

    Iteration raises :class:`~shared_core.errors.ResponseFailedError` when the server reports a
    failure and :class:`~shared_core.errors.StreamInterruptedError` when the answer is cut; both
    have what arrived in ``partial``.
    """


class AsyncResponseStream(_Shared, AsyncStream[ResponseUpdate, Response]):
    """:class:`ResponseStream` for asyncio: ``async for``, ``async with``, ``await .result()``."""


class AsyncResponseStreamOpening(AsyncStreamOpening[AsyncResponseStream]):
    """A streamed response that is not opened yet: await it, or use it with ``async with``."""
