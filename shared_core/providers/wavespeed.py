"""wavespeed: every task is a queued job at ``/api/v3/{model}`` (protocol reference, 7.7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from shared_core.providers.answers import Remote, at, maybe, said, text_at
from shared_core.providers.base import Codec, Route
from shared_core.providers.exchange import fields, path_id, post, prompted, sized
from shared_core.providers.jobs import Queue, State, Ticket, own_path
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.tasks.spec import CallOptions, Payload

INTERVAL = 0.5
"""Seconds between two questions, as the official clients ask (protocol reference, 7.7)."""


def _text(payload: Payload) -> dict[str, Any]:
    return sized(prompted(payload))


def _image(payload: Payload) -> dict[str, Any]:
    return {"image": payload.media_url("image/jpeg"), **sized(fields(payload))}


def _accept(answer: Any, route: Route) -> Ticket:
    given = maybe(answer, "data", "id")
    path = own_path(at(answer, "data", "urls", "get"))
    return Ticket(
        id=given if isinstance(given, str) else path.rpartition("/")[2], status_url=route.url(path)
    )


def _state(answer: Any) -> State:
    data = at(answer, "data")
    if not isinstance(data, Mapping):
        raise ValueError("data is not an object")
    word = str(data.get("status") or "created")
    if word == "failed" or data.get("error"):
        return State(word, failure=said(data.get("error") or word))
    return State(word, done=word == "completed")


def _queued(body: Callable[[Payload], dict[str, Any]]) -> Codec:
    def submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
        return post(route, f"/api/v3/{path_id(route)}", body(payload), options)

    return Queue(
        submit=submit,
        accept=_accept,
        state=_state,
        result=lambda answer, route: Remote(text_at(answer, "data", "outputs", 0)),
        interval=INTERVAL,
    )


CODECS: dict[str, Codec] = {
    "image-to-image": _queued(_image),
    "image-to-video": _queued(_image),
    "text-to-image": _queued(_text),
    "text-to-video": _queued(_text),
}
