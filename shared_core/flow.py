"""Flows: policy written once, run by a blocking or an asynchronous driver.

A flow is a generator that yields *effects* (:class:`Send`, :class:`Receive`,
:class:`Sleep`, :class:`Perform`, :class:`All`) and returns its result. It does no I/O, so that
retry, batching and polling are tested without a server, a clock or an event loop. :func:`run`
and :func:`arun` are the only code that exists twice.

Rules for flows: catch our own error types only, never ``BaseException``; release in
``finally``; hold no lock across a ``yield``; take clock, random and sleep from outside.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from shared_core.wire.messages import AsyncWire, Wire, WireRequest

if TYPE_CHECKING:
    from shared_core.errors import RouterError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Perform one exchange; answers with a ``WireResponse``, or a stream if asked for one."""

    request: WireRequest


@dataclass(frozen=True, slots=True)
class Receive:
    """Take the next piece of an opened stream; answers with bytes, or ``None`` at its end.

    ``source`` is an iterator over the stream: a plain one under :func:`run`, an
    asynchronous one under :func:`arun`.
    """

    source: Any


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait; answers with ``None``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Perform:
    """Do something else that takes time, e.g. ask a shared store; answers with its result.

    ``blocking`` is called under :func:`run`, what ``awaiting`` returns is awaited under
    :func:`arun`.
    """

    blocking: Callable[[], Any]
    awaiting: Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class All:
    """Run several flows; answers with the list of their results, in order.

    One after another under :func:`run`, at most ``limit`` at once under :func:`arun`. The
    first error ends the others and is raised as itself, never as an exception group.
    """

    flows: Sequence[Flow[Any]]
    limit: int = 1


Effect: TypeAlias = Send | Receive | Sleep | Perform | All
Flow: TypeAlias = Generator[Effect, Any, T]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an answer ended; of a stream this is known only after its flow has returned.

    Attributes:
        error: What went wrong, or None.
        abandoned: Whether the caller left a stream before its end: neither good nor bad.
        usage: Token counts, where known.
    """

    error: RouterError | None = None
    abandoned: bool = False
    usage: Any = None


def when_ended(result: Any, told: Callable[[Outcome], None]) -> None:
    """Call *told* once with how *result* ended: now, or for a stream when it is over.

    A stream that is dropped without being closed tells nobody.

    Args:
        result: What a flow of an exchange returned. Streams have a method ``_when_ended``.
        told: Called in the thread that reads the stream. Must not raise.
    """
    register = getattr(result, "_when_ended", None)
    if register is not None:
        register(told)
    else:
        told(Outcome(usage=getattr(result, "usage", None)))


def run(flow: Flow[T], wire: Wire) -> T:
    """Drive *flow* with blocking I/O.

    Args:
        flow: The flow, not yet started.
        wire: What performs the exchanges.

    Returns:
        What the flow returns.
    """
    try:
        effect = next(flow)
        while True:
            try:
                answer = _perform(effect, wire)
            except BaseException as exc:  # noqa: BLE001 - the flow decides what it means
                effect = flow.throw(exc)
            else:
                effect = flow.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _perform(effect: Effect, wire: Wire) -> Any:
    if isinstance(effect, Send):
        request = effect.request
        return wire.open(request) if request.stream else wire.send(request)
    if isinstance(effect, Sleep):
        return time.sleep(effect.seconds)
    if isinstance(effect, Receive):
        return next(effect.source, None)
    if isinstance(effect, Perform):
        return effect.blocking()
    return [run(flow, wire) for flow in effect.flows]


async def arun(flow: Flow[T], wire: AsyncWire) -> T:
    """Drive *flow* in the running event loop.

    Args:
        flow: The flow, not yet started.
        wire: What performs the exchanges.

    Returns:
        What the flow returns.
    """
    try:
        effect = next(flow)
        while True:
            try:
                answer = await _aperform(effect, wire)
            except BaseException as exc:  # noqa: BLE001 - the flow decides what it means
                effect = flow.throw(exc)
            else:
                effect = flow.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def _aperform(effect: Effect, wire: AsyncWire) -> Any:
    if isinstance(effect, Send):
        request = effect.request
        return await (wire.open(request) if request.stream else wire.send(request))
    if isinstance(effect, Sleep):
        return await asyncio.sleep(effect.seconds)
    if isinstance(effect, Receive):
        return await anext(effect.source, None)
    if isinstance(effect, Perform):
        return await effect.awaiting()
    return await _gather(effect, wire)


async def _gather(effect: All, wire: AsyncWire) -> list[Any]:
    results: list[Any] = [None] * len(effect.flows)
    numbered = iter(enumerate(effect.flows))

    async def worker() -> None:
        for index, flow in numbered:
            results[index] = await arun(flow, wire)

    count = min(max(effect.limit, 1), len(effect.flows))
    if count <= 1:
        await worker()
        return results
    tasks = [asyncio.ensure_future(worker()) for _ in range(count)]
    try:
        await asyncio.gather(*tasks)
    finally:
        unfinished = [task for task in tasks if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
    return results
