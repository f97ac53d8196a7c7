"""Calls that a provider queues: submit, ask until it is done, fetch the result.

A submitted job costs money, asking about it does not. So every question and every download is
asked again a few times when it fails in a way that may heal, and whatever ends the waiting
carries the :class:`~shared_core.providers.base.Job`. Waiting is an effect: it blocks no event
loop, and a cancelled task stops at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from shared_core.errors import (
    APIError,
    APIResponseValidationError,
    InvalidSettingError,
    JobFailedError,
    JobTimeoutError,
    RouterError,
)
from shared_core.flow import Flow, Sleep
from shared_core.providers.answers import collect, read, remotes, said
from shared_core.providers.base import Job, JobCodec, Route
from shared_core.tasks.spec import JobProgress
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.providers.base import SendFirst
    from shared_core.tasks.spec import CallOptions, Payload

T = TypeVar("T")

MOST_FAILURES = 3
"""Failures in a row, of a kind that may heal, that a question or a download survives."""

MAX_SERVER_WAIT = 60.0
"""Longest wait between two tries, seconds. A server that asks for more ends the waiting; the
default of ``RetryPolicy`` is the same."""

Encode = Callable[[Route, "Payload", "CallOptions"], WireRequest]


@dataclass(frozen=True, slots=True)
class State:
    """What an answer says about a job.

    Attributes:
        word: The provider's word, e.g. ``"IN_QUEUE"``.
        done: Whether the result is there.
        failure: Why it failed, if it did.
    """

    word: str
    done: bool = False
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where a queued job can be asked for.

    Attributes:
        id: The provider's id.
        status_url: Where its status is.
        result_url: Where the result is, if it does not stand in the status.
        cancel_url: Where it can be cancelled.
    """

    id: str | None
    status_url: str | None
    result_url: str | None = None
    cancel_url: str | None = None


class Watch:
    """Time and luck of one job: its deadline, how often it was asked for, what failed.

    Args:
        core: The path of every exchange.
        job: The job.
        options: Deadline and progress.
        interval: Seconds between two questions when the caller does not say.
        clock: Monotonic seconds.
        started: When the job was submitted.
    """

    def __init__(
        self,
        core: Core,
        job: Job,
        options: CallOptions,
        interval: float,
        clock: Callable[[], float],
        started: float,
    ) -> None:
        self.core = core
        self.job = job
        self.options = options
        self.interval = options.poll_interval or interval
        self.word = "submitted"
        self.polls = 0
        self._clock = clock
        self._started = started
        self._trouble: APIError | None = None

    def left(self) -> float | None:
        """Return the seconds until the deadline, or None if there is none."""
        deadline = self.options.poll_deadline
        return None if deadline is None else deadline - (self._clock() - self._started)

    def timeout(self) -> float | None:
        """Return the seconds that one question may take.

        Raises:
            JobTimeoutError: The deadline has passed.
        """
        left, timeout = self.left(), self.options.timeout
        if left is None:
            return timeout
        if left <= 0:
            raise self._late()
        return left if timeout is None else min(left, timeout)

    def pause(self, seconds: float) -> Sleep:
        """Return the effect of waiting, no longer than until the deadline."""
        left = self.left()
        return Sleep(seconds if left is None else max(min(seconds, left), 0.0))

    def patiently(self, attempt: Callable[[], Flow[T]], *, done: bool = False) -> Flow[T]:
        """Run a question or a download; again when it failed in a way that may heal.

        Args:
            attempt: Makes a fresh flow of one try.
            done: Whether the job itself is done, so that its deadline is no longer of interest.

        Raises:
            APIError: The last failure.
        """
        failures = 0
        while True:
            try:
                return (yield from attempt())
            except APIError as error:
                failures += 1
                asked = float(getattr(error, "retry_after", None) or 0.0)
                if not error.retryable or failures > MOST_FAILURES or asked > MAX_SERVER_WAIT:
                    raise
                self._trouble = error
                wait = min(self.interval * 2 ** (failures - 1), MAX_SERVER_WAIT)
            wait = max(wait, asked, self.interval)
            yield Sleep(wait) if done else self.pause(wait)

    def fetching(self, attempt: Callable[[], Flow[T]]) -> Flow[T]:
        """Run :meth:`patiently` for a result or a file of a job that is done."""
        return self.patiently(attempt, done=True)

    def report(self, state: State, answer: Any) -> None:
        """Tell the caller's progress function; what it raises ends the waiting."""
        self.word = state.word
        if self.options.progress is not None:
            self.options.progress(
                JobProgress(
                    provider=self.job.provider,
                    job_id=self.job.id,
                    status=state.word,
                    elapsed=self._clock() - self._started,
                    polls=self.polls,
                    raw=answer,
                )
            )

    def failed(self, state: State, answer: Any) -> JobFailedError:
        """Return the error for a job that the provider gave up."""
        reason = self.core.redact(state.failure or "")
        text = f"{self.job.provider} could not do the job ({state.word})"
        return JobFailedError(
            f"{text}: {reason}" if reason else text,
            job=self.job,
            status=state.word,
            server_message=reason or None,
            operation=self.job.task,
            model=self.job.model,
            provider=self.job.provider,
            url=self.job.status_url or self.job.base,
            elapsed=self._clock() - self._started,
        )

    def _late(self) -> JobTimeoutError:
        deadline = self.options.poll_deadline or 0.0
        trouble = f"; the last question failed: {self._trouble.message}" if self._trouble else ""
        return JobTimeoutError(
            f"the job was not done after {deadline:g} s (status {self.word!r}){trouble}",
            job=self.job,
            status=self.word,
            deadline=deadline,
            operation=self.job.task,
            model=self.job.model,
            provider=self.job.provider,
            url=self.job.status_url or self.job.base,
            elapsed=self._clock() - self._started,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(JobCodec):
    """A codec that submits a job and waits for it.

    Attributes:
        submit: Makes the request; may raise ``InvalidSettingError``.
        accept: Finds the job's ids and addresses in the first answer. Addresses are on the
            route's base, whatever host the provider names.
        state: Reads the state in any answer but the result.
        result: Makes the normalised answer, with ``Remote`` for files, of the last answer.
        interval: Seconds between two questions.
        headers: Further headers of every request.
        place: Corrects the route, e.g. to another host of the provider.
        ask_auth: Whether questions carry the token; never to a host that the answer named.
        clock: Monotonic seconds.
    """

    submit: Encode
    accept: Callable[[Any, Route], Ticket]
    state: Callable[[Any], State]
    result: Callable[[Any, Route], Any]
    interval: float
    headers: Mapping[str, str] = field(default_factory=dict)
    place: Callable[[Route], Route] = lambda route: route
    ask_auth: bool = True
    clock: Callable[[], float] = time.monotonic

    def begin(
        self, core: Core, route: Route, payload: Payload, options: CallOptions, send: SendFirst
    ) -> Flow[Flow[Any]]:
        """Submit the job; see :class:`~shared_core.providers.base.Codec`."""
        route = self.place(route)
        request = self.submit(route, payload, options)
        started = self.clock()
        parse = read(request, lambda answer: (answer, self._ticket(answer, route)), core)
        answer, ticket = yield from send(request, parse)
        job = _job(core, route, ticket)
        watch = Watch(core, job, options, self.interval, self.clock, started)
        return carrying(watch, self._follow(watch, route, answer))

    def resume(self, core: Core, route: Route, job: Job, options: CallOptions) -> Flow[Any]:
        """Go on waiting for *job* and return the normalised answer.

        Raises:
            InvalidSettingError: The job does not say where to ask for it.
        """
        if job.status_url is None:
            raise InvalidSettingError("the job has no address to ask for it", setting="job")
        route = self.place(route)
        asked = [url for url in (job.status_url, job.result_url) if url is not None]
        if self.ask_auth and not all(url.startswith(f"{route.base}/") for url in asked):
            raise InvalidSettingError("the job is not at the provider's address", setting="job")
        watch = Watch(core, job, options, self.interval, self.clock, self.clock())
        return (yield from carrying(watch, self._follow(watch, route, None)))

    def _ticket(self, answer: Any, route: Route) -> Ticket:
        state = self._state(answer)
        if not state.done and state.failure is None:
            ticket = self.accept(answer, route)
            if ticket.status_url is None:
                raise ValueError("the answer does not say where to ask for the job")
            return ticket
        try:
            return self.accept(answer, route)
        except ValueError:
            return Ticket(None, None)  # done at once, and nothing to ask for

    def _follow(self, watch: Watch, route: Route, answer: Any) -> Flow[Any]:
        if answer is None:
            answer = yield from watch.patiently(lambda: self._ask(watch, route))
        while not self._done(watch, answer):
            yield watch.pause(watch.interval)
            answer = yield from watch.patiently(lambda: self._ask(watch, route))
        value = yield from self._result(watch, route, answer)
        files = tuple(remote.url for remote in remotes(value) if remote.url[:5] != "data:")
        watch.job = replace(watch.job, media_urls=files)
        return (yield from collect(watch.core, route, watch.options, value, watch.fetching))

    def _state(self, answer: Any) -> State:
        if isinstance(answer, dict) and answer.get("error"):
            return State(str(answer.get("status") or "error"), failure=said(answer["error"]))
        return self.state(answer)

    def _done(self, watch: Watch, answer: Any) -> bool:
        state = self._state(answer)
        watch.report(state, answer)
        if state.failure is not None:
            raise watch.failed(state, answer)
        return state.done

    def _ask(self, watch: Watch, route: Route) -> Flow[Any]:
        timeout = watch.timeout()
        watch.polls += 1
        request = self._get(watch, route, watch.job.status_url or "", timeout)
        parse = read(request, self._checked, watch.core, errors=False)
        return (yield from watch.core.exchange(request, parse, callbacks=watch.options.callbacks))

    def _checked(self, answer: Any) -> Any:
        self._state(answer)  # what is no status is noticed here, with the answer at hand
        return answer

    def _result(self, watch: Watch, route: Route, answer: Any) -> Flow[Any]:
        if watch.job.result_url is None:
            request = self._get(watch, route, watch.job.status_url or route.base, None)
            return _decoded(request, lambda: self.result(answer, route))
        answer = yield from watch.fetching(lambda: self._fetch_result(watch, route))
        if isinstance(answer, State):
            raise watch.failed(answer, None)
        return answer

    def _fetch_result(self, watch: Watch, route: Route) -> Flow[Any]:
        request = self._get(watch, route, watch.job.result_url or "", watch.options.timeout)

        def decode(answer: Any) -> Any:
            if isinstance(answer, dict) and answer.get("error"):
                return self._state(answer)
            return self.result(answer, route)

        parse = read(request, decode, watch.core, errors=False)
        return (yield from watch.core.exchange(request, parse, callbacks=watch.options.callbacks))

    def _get(self, watch: Watch, route: Route, url: str, timeout: float | None) -> WireRequest:
        headers = {"Accept": "application/json", **self.headers}
        return route.request(
            url,
            watch.options,
            method="GET",
            headers=route.headers(watch.options, headers) if self.ask_auth else headers,
            idempotent=True,
            timeout=timeout,
            auth=self.ask_auth,
        )


def _decoded(request: WireRequest, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as reason:
        problem = str(reason)
    raise APIResponseValidationError(
        f"{request.operation}: the job is done, but {problem}",
        operation=request.operation,
        model=request.model,
        provider=request.provider,
        url=request.url,
    )


def _job(core: Core, route: Route, ticket: Ticket) -> Job:
    # The provider may echo what it was sent, and errors keep the job.
    def hidden(text: str | None) -> str | None:
        return None if text is None else core.redact(text)

    return route.job(
        id=hidden(ticket.id),
        status_url=hidden(ticket.status_url),
        result_url=hidden(ticket.result_url),
        cancel_url=hidden(ticket.cancel_url),
    )


def carrying(watch: Watch, flow: Flow[T]) -> Flow[T]:
    """Run *flow*; its errors get the job, so that nothing that was paid for is lost."""
    try:
        return (yield from flow)
    except RouterError as error:
        error.job = watch.job
        raise


def own_path(address: Any) -> str:
    """Return the path of an address that a provider named, to be put behind the route's base.

    The host is not taken over: the token goes to the host that the call went to.

    Raises:
        ValueError: It is not an address with a plain path.
    """
    if not isinstance(address, str):
        raise ValueError("the answer has no address of the job")
    path = urlsplit(address).path
    odd = not path.startswith("/") or path.startswith("//") or ".." in path.split("/")
    if odd or not path.isascii() or not path.isprintable() or " " in path or "\\" in path:
        raise ValueError("the answer has an address of the job that cannot be used")
    return path
