"""Work that takes long: in a thread of its own, with pieces handed over as they are made.

Not in asyncio's own executor: its few threads serve the whole program, and answers that wait
for the same model would hold all of them.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from shared_core.errors import APITimeoutError
from shared_core.local.call import LocalCall

T = TypeVar("T")

_computing: contextvars.ContextVar[bool] = contextvars.ContextVar("computing", default=False)
"""Whether this thread computes already: a task of the caller's own may ask further models."""

_LEAVE_AFTER = 2.0
"""Seconds that the end of the program waits for a model to finish its present token."""


class Source(Protocol):
    """Bytes of a stream, known already or still being made; None is the end."""

    def take(self) -> bytes | None:
        """Return the next bytes, blocking."""
        ...

    async def atake(self) -> bytes | None:
        """Return the next bytes; the event loop goes on meanwhile."""
        ...

    def cancel(self) -> None:
        """Make no more. Safe to call twice, from any thread."""


class Known:
    """A source of bytes that cost nothing to make."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._over = False

    def take(self) -> bytes | None:
        """Return the next bytes."""
        return None if self._over else next(self._chunks, None)

    async def atake(self) -> bytes | None:
        """Return the next bytes."""
        await asyncio.sleep(0)  # many words must not starve the loop
        return self.take()

    def cancel(self) -> None:
        """End it."""
        self._over = True


class Made:
    """A source of bytes that a thread makes.

    Args:
        call: Whose timeout holds between two pieces, and which is told when nobody waits.
        work: Makes the bytes and gives each to its argument; runs to its end, or until
            ``call.cancelled`` is set. What it raises is raised where the bytes are taken.
    """

    def __init__(self, call: LocalCall, work: Callable[[Callable[[bytes], None]], None]) -> None:
        self._call = call
        self._work = work
        self._pieces: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        self._notify: Callable[[], object] = lambda: None
        self._over = False
        _start(call, self._run)

    def _run(self) -> None:
        try:
            with self._call.naming():
                self._work(self._put)
        except BaseException as exc:  # noqa: BLE001 - raised again by who takes
            self._put(exc)
        else:
            self._put(None)

    def _put(self, piece: bytes | BaseException | None) -> None:
        self._pieces.put(piece)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._notify()

    def take(self) -> bytes | None:
        """Return the next bytes, None at the end.

        Raises:
            APITimeoutError: Nothing was made within the request's timeout.
            APIError: The model failed.
        """
        if self._over:
            return None
        try:
            return self._given(self._pieces.get(timeout=self._call.request.timeout))
        except queue.Empty:
            raise self._too_slow() from None

    async def atake(self) -> bytes | None:
        """Return the next bytes, as :meth:`take` does."""
        if self._over:
            return None
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        self._notify = lambda: loop.call_soon_threadsafe(arrived.set)
        if self._pieces.empty():  # after _notify is there: what comes later sets the event
            try:
                async with asyncio.timeout(self._call.request.timeout):
                    await arrived.wait()
            except TimeoutError:
                raise self._too_slow() from None
        return self._given(self._pieces.get_nowait())

    def _given(self, piece: bytes | BaseException | None) -> bytes | None:
        if isinstance(piece, bytes):
            return piece
        self._over = True
        if piece is not None:
            raise piece
        return None

    def _too_slow(self) -> APITimeoutError:
        self.cancel()
        return too_slow(self._call)

    def cancel(self) -> None:
        """Make no more."""
        self._over = True
        self._call.cancelled.set()


def within(call: LocalCall, turn: AbstractContextManager[Any], work: Callable[[], T]) -> T:
    """Return what *work* returns, if it does so within the request's timeout.

    A library that computes cannot be stopped: it goes on in its thread to its end, and keeps its
    model until then. Who has waited in vain for a turn does not compute any more.

    Args:
        call: Whose timeout holds.
        turn: Entered while *work* computes: one computes on a model at a time.
        work: What to do, with a model that is loaded.

    Raises:
        APITimeoutError: It took longer.
    """

    def compute() -> T:
        before = _computing.set(True)
        try:
            with turn:
                if call.cancelled.is_set():
                    raise too_slow(call)
                return work()
        finally:
            _computing.reset(before)

    seconds = call.request.timeout
    if seconds is None or _computing.get():
        return compute()
    answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((compute(), None))
        except BaseException as exc:  # noqa: BLE001 - raised again by who waits
            answers.put((None, exc))

    _start(call, run)
    try:
        result, error = answers.get(timeout=seconds)
    except queue.Empty:
        call.cancelled.set()
        raise too_slow(call) from None
    except BaseException:  # the caller is interrupted
        call.cancelled.set()
        raise
    if error is not None:
        raise error
    answer: T = result
    return answer


def too_slow(call: LocalCall) -> APITimeoutError:
    """Return the error for a model that took longer than the request's timeout."""
    request = call.request
    return APITimeoutError(
        f"The model in this process did not answer within {request.timeout} s.",
        phase="body",
        timeout=request.timeout,
        operation=request.operation,
        model=request.model,
        guidance="Raise timeout=, ask for fewer tokens (max_tokens=), or use a smaller model or a "
        "faster device.",
    )


async def in_thread(call: LocalCall, work: Callable[[], T]) -> T:
    """Return what *work* returns; a thread of its own does it.

    Args:
        call: Told when the caller is cancelled: *work* then has nobody to work for.
        work: What to do.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001 - raised again where it is awaited
            error = exc
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, error)

    _start(call, run)
    try:
        return await future
    except asyncio.CancelledError:
        call.cancelled.set()
        raise


_running: dict[threading.Thread, LocalCall] = {}
"""Threads at work, and for whom."""


def _start(call: LocalCall, work: Callable[[], None]) -> None:
    context = contextvars.copy_context()

    def run() -> None:
        try:
            context.run(work)
        finally:
            _running.pop(thread, None)

    # A daemon, so that a program that was interrupted need not wait for the last word.
    thread = threading.Thread(target=run, name="hfrouter-local", daemon=True)
    if not _running:
        atexit.unregister(_leave)
        atexit.register(_leave)
    _running[thread] = call
    thread.start()


def _leave() -> None:
    """End all work before the interpreter goes away under it."""
    until = time.monotonic() + _LEAVE_AFTER
    for thread, call in list(_running.items()):
        call.cancelled.set()
        thread.join(max(0.0, until - time.monotonic()))
