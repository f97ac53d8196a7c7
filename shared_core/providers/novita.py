"""novita: completions, and videos from text (protocol reference, 7.2, 7.5).

The two official clients send videos to different addresses. The newer one, an asynchronous
task, is used; where that address is unknown (404), the older one is asked, which answers with
the video at once. Either answer is understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared_core.errors import NotFoundError
from shared_core.flow import Flow
from shared_core.providers import openai_like
from shared_core.providers.answers import Remote, maybe, said, text_at
from shared_core.providers.base import Codec, Job, JobCodec, Route
from shared_core.providers.exchange import Exchange, path_id, post, prompted
from shared_core.providers.jobs import Queue, State, Ticket
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.providers.base import SendFirst
    from shared_core.tasks.spec import CallOptions, Payload

INTERVAL = 0.5
"""Seconds between two questions, as the official clients ask (protocol reference, 7.5)."""


def _submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
    body = prompted(payload, rename={"num_inference_steps": "steps"})
    return post(route, f"/v3/async/{path_id(route)}", body, options)


def _submit_older(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
    return post(route, f"/v3/hf/{path_id(route)}", prompted(payload), options)


def _accept(answer: Any, route: Route) -> Ticket:
    task = text_at(answer, "task_id")
    return Ticket(task, route.url(f"/v3/async/task-result?task_id={quote(task, safe='')}"))


def _state(answer: Any) -> State:
    if not isinstance(answer, Mapping):
        raise ValueError("the answer is not a task")
    if maybe(answer, "video", "video_url") is not None:
        return State("done", done=True)
    word = str(maybe(answer, "task", "status") or "TASK_STATUS_QUEUED")
    if word in ("TASK_STATUS_FAILED", "TASK_STATUS_CANCELED"):
        return State(word, failure=said(maybe(answer, "task", "reason") or word))
    return State(word, done=word == "TASK_STATUS_SUCCEED")


def _video(answer: Any) -> Any:
    if maybe(answer, "video") is not None:
        return Remote(text_at(answer, "video", "video_url"))
    return Remote(text_at(answer, "videos", 0, "video_url"))


_QUEUED = Queue(
    submit=_submit,
    accept=_accept,
    state=_state,
    result=lambda answer, route: _video(answer),
    interval=INTERVAL,
)
_OLDER = Exchange(submit=_submit_older, decode=_video)


@dataclass(frozen=True, slots=True)
class _Video(JobCodec):
    """The newer address, and the older one where there is nothing."""

    queued: Queue = _QUEUED

    def begin(
        self, core: Core, route: Route, payload: Payload, options: CallOptions, send: SendFirst
    ) -> Flow[Flow[Any]]:
        """Submit the job; see :class:`~shared_core.providers.base.Codec`."""
        try:
            return (yield from self.queued.begin(core, route, payload, options, send))
        except NotFoundError as error:
            unknown = error
        try:
            return (yield from _OLDER.begin(core, route, payload, options, send))
        except NotFoundError:
            raise unknown from None

    def resume(self, core: Core, route: Route, job: Job, options: CallOptions) -> Flow[Any]:
        """Return the flow that goes on waiting for *job*."""
        return self.queued.resume(core, route, job, options)


CODECS: dict[str, Codec] = {
    "text-generation": openai_like.completions("/v3/openai/completions"),
    "text-to-video": _Video(),
}
