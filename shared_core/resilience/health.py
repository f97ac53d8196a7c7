"""Health checks: ask the endpoints of a pool now and then, with requests that cost nothing.

Nothing runs until :meth:`start`; a thread (a task, for the asynchronous client) then asks all
endpoints in rounds, several at the same time, with jitter, until :meth:`stop`, or until the
client is closed or dropped. Failover tries endpoints that are found sick last; it never leaves
them out.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from shared_core.errors import InvalidSettingError, RouterError
from shared_core.flow import All, Flow, Send
from shared_core.log import logger
from shared_core.resilience.checks import number, whole
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.resilience.failover import Member, Pool

AT_ONCE = 16
"""Most endpoints that are asked at the same time: as many threads live while a round lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """How often endpoints are asked, and what counts.

    Attributes:
        interval: Longest time between two rounds, seconds.
        jitter: Share of the interval by which each wait is made shorter at random, so that
            many clients do not ask at once. Never longer: with two failures needed, an endpoint
            is known to be sick two intervals after it fell, and the time its answers take.
        timeout: Seconds to wait for an answer; it should be well below the interval.
        unhealthy_after: Failures in a row after which an endpoint is sick.
        healthy_after: Answers in a row after which it is well again.
    """

    interval: float = 15.0
    jitter: float = 0.2
    timeout: float = 5.0
    unhealthy_after: int = 2
    healthy_after: int = 1

    def __post_init__(self) -> None:
        number("health.interval", self.interval, above=True)
        number("health.jitter", self.jitter, high=1.0)
        number("health.timeout", self.timeout, above=True)
        whole("health.unhealthy_after", self.unhealthy_after, low=1)
        whole("health.healthy_after", self.healthy_after, low=1)


class Rounds:
    """The rounds of questions, without threads, tasks or I/O."""

    def __init__(self, pool: Pool, policy: HealthPolicy) -> None:
        self.pool = pool
        self.policy = policy
        self._streaks: dict[str, int] = {}  # answers (above 0) or failures (below) in a row
        self._lock = threading.Lock()

    def wait(self, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """Return the seconds until the next round."""
        share = self.policy.jitter
        return self.policy.interval * uniform(1.0 - share, 1.0)

    def questions(self) -> list[Flow[None]]:
        """Return one flow for each endpoint that asks it once."""
        return [self._ask(member) for member in self.pool.members]

    def round(self) -> Flow[None]:
        """Ask every endpoint once; at the same time with an asynchronous client."""
        yield All(self.questions(), limit=AT_ONCE)

    def _ask(self, member: Member) -> Flow[None]:
        request = WireRequest(
            method="GET",
            url=member.health_url,
            timeout=self.policy.timeout,
            settings=member.settings,
            idempotent=True,
            operation="health",
        )
        try:
            answer = yield Send(request)
        except RouterError as error:
            self.note(member, False, error.message)
        else:
            # Below 500 somebody is at home, even if it wants another path or token.
            self.note(member, answer.status < 500, f"status {answer.status}")

    def note(self, member: Member, well: bool, why: str) -> None:
        """Count one answer or failure of *member* and judge it."""
        with self._lock:
            self._judge(member, well, why)

    def _judge(self, member: Member, well: bool, why: str) -> None:
        before = self._streaks.get(member.name, 0)
        streak = max(before, 0) + 1 if well else min(before, 0) - 1
        self._streaks[member.name] = streak
        if streak >= self.policy.healthy_after and not member.healthy:
            member.healthy = True
            logger.info("endpoint %s is well again", member.name)
        elif -streak >= self.policy.unhealthy_after and member.healthy:
            member.healthy = False
            logger.warning("endpoint %s is sick: %s", member.name, why)


class _Checks:
    def __init__(self, client: Any, policy: HealthPolicy | None = None) -> None:
        pipeline = client.resilience
        if pipeline is None or pipeline.pool is None:
            raise InvalidSettingError(
                "health checks need endpoints: RouterClient(resilience=Resilience("
                "failover=Failover([...])))",
                setting="resilience.failover",
            )
        self.rounds = Rounds(pipeline.pool, policy or HealthPolicy())
        self._client = weakref.ref(client)


class HealthChecks(_Checks):
    """The health checks of a blocking client, in a daemon thread, and more while a round lasts.

    Get it as ``client.health_checks()``; use it as a context manager, or call :meth:`start`
    and :meth:`stop`.
    """

    def __init__(self, client: Any, policy: HealthPolicy | None = None) -> None:
        super().__init__(client, policy)
        self._lock = threading.Lock()
        self._running: tuple[threading.Thread, threading.Event] | None = None

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        running = self._running
        return running is not None and running[0].is_alive()

    def start(self) -> Self:
        """Start the thread; harmless if it runs. The first round begins at once."""
        with self._lock:
            if not self.running:
                ended = threading.Event()
                thread = threading.Thread(
                    target=_work,
                    args=(self.rounds, self._client, ended),
                    name="hfrouter-health",
                    daemon=True,
                )
                self._running = thread, ended
                thread.start()
        return self

    def stop(self) -> None:
        """End the thread and wait for it, at most as long as one question takes."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            thread, ended = running
            ended.set()
            if thread is not threading.current_thread():
                thread.join(self.rounds.policy.timeout + 1.0)

    def check_now(self) -> None:
        """Ask every endpoint once, several at the same time, and wait for the answers."""
        left = threading.Event()
        try:
            errors = _ask_all(self.rounds, self._client, left)
        finally:
            left.set()  # e.g. interrupted: the other threads end with the answer they wait for
        if errors:
            raise errors[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _work(rounds: Rounds, of: weakref.ref[Any], ended: threading.Event) -> None:
    while not ended.is_set() and of() is not None:
        for error in _ask_all(rounds, of, ended):
            logger.warning("health checks: %s", error.message)
        ended.wait(rounds.wait())


def _ask_all(rounds: Rounds, of: weakref.ref[Any], ended: threading.Event) -> list[RouterError]:
    """Ask every endpoint once; return what stood in the way of asking.

    This thread and others take the questions one by one, so that an endpoint which is silent
    holds up itself alone, and stop() waits for one answer at most.
    """
    questions = deque(rounds.questions())
    errors: list[RouterError] = []

    def work() -> None:
        while not ended.is_set():
            try:
                question = questions.popleft()
            except IndexError:
                return
            client = of()
            if client is None:
                return  # dropped: nobody needs to know any more
            try:
                client._run(question)
            except RouterError as error:
                errors.append(error)
            del client

    helpers = min(len(questions), AT_ONCE) - 1
    threads = [
        threading.Thread(target=work, name="hfrouter-health", daemon=True) for _ in range(helpers)
    ]
    client = of()
    if client is None:
        return []
    try:
        client._connect()  # once, before several threads need it
    except RouterError as error:
        return [error]
    del client
    started = []
    with contextlib.suppress(RuntimeError):  # no more threads can be started: these will do
        for thread in threads:
            thread.start()
            started.append(thread)
    work()
    for thread in started:
        thread.join()
    return errors


class AsyncHealthChecks(_Checks):
    """The health checks of an asynchronous client, in one task of the running event loop.

    Get it as ``client.health_checks()``; use it with ``async with``, or call :meth:`start` and
    ``await`` :meth:`stop`.
    """

    def __init__(self, client: Any, policy: HealthPolicy | None = None) -> None:
        super().__init__(client, policy)
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the task runs."""
        return self._task is not None and not self._task.done()

    def start(self) -> Self:
        """Start the task; harmless if it runs. The first round begins at once."""
        if not self.running:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(_awork(self.rounds, self._client))
        return self

    def cancel(self) -> None:
        """Cancel the task without waiting for it. Safe to call from any thread."""
        task, self._task = self._task, None
        if task is not None and not task.get_loop().is_closed():
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def stop(self) -> None:
        """Cancel the task and wait for it, if it runs in this event loop."""
        task = self._task
        self.cancel()
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([task])

    async def check_now(self) -> None:
        """Ask every endpoint once."""
        client = self._client()
        if client is not None:
            await client._run(self.rounds.round())

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


async def _awork(rounds: Rounds, of: weakref.ref[Any]) -> None:
    while True:
        client = of()
        if client is None:
            return
        try:
            await client._run(rounds.round())
        except RouterError as error:
            logger.warning("health checks: %s", error.message)
        del client
        await asyncio.sleep(rounds.wait())
