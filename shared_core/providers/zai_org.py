"""zai-org: queued images, and text out of documents (protocol reference, 7.2, 7.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared_core.config.providers import EXTRA_HEADERS
from shared_core.providers.answers import Remote, said, text_at
from shared_core.providers.base import Codec, Route
from shared_core.providers.exchange import Exchange, fields, post, prompted, sized
from shared_core.providers.jobs import Queue, State, Ticket
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.tasks.spec import CallOptions, Payload

INTERVAL = 5.0
"""Seconds between two questions, as the official clients ask (protocol reference, 7.8)."""

HEADERS = EXTRA_HEADERS["zai-org"]


def _text_to_image(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
    body = {"model": route.provider_id, **sized(prompted(payload), "size")}
    return post(route, "/api/paas/v4/async/images/generations", body, options, headers=HEADERS)


def _layout(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
    body = {
        "model": route.provider_id,
        "file": payload.media_url("image/jpeg"),
        **fields(payload),
    }
    return post(route, "/api/paas/v4/layout_parsing", body, options, headers=HEADERS)


def _accept(answer: Any, route: Route) -> Ticket:
    job = text_at(answer, "id")
    return Ticket(job, route.url(f"/api/paas/v4/async-result/{quote(job, safe='')}"))


def _state(answer: Any) -> State:
    if not isinstance(answer, Mapping):
        raise ValueError("the answer is not an image job")
    word = str(answer.get("task_status") or "PROCESSING")
    if word == "FAIL":
        return State(word, failure=said(answer.get("message") or answer.get("error") or word))
    return State(word, done=word == "SUCCESS")


CODECS: dict[str, Codec] = {
    "image-to-text": Exchange(
        submit=_layout,
        decode=lambda answer: {"generated_text": text_at(answer, "md_results")},
    ),
    "text-to-image": Queue(
        submit=_text_to_image,
        accept=_accept,
        state=_state,
        result=lambda answer, route: Remote(text_at(answer, "image_result", 0, "url")),
        interval=INTERVAL,
        headers=HEADERS,
    ),
}
