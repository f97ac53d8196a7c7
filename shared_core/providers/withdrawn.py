"""Providers that the official clients no longer list (protocol reference, 7.2).

The Hub maps no model to them any more, so they are reached only by naming them with
``provider_id=``, e.g. behind a gateway, or for recordings of 2025.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared_core.providers import openai_like
from shared_core.providers.answers import Remote, checked, decoded, maybe, said, text_at
from shared_core.providers.base import Codec, Route
from shared_core.providers.exchange import Exchange, path_id, post, prompted, sized
from shared_core.providers.jobs import Queue, State, Ticket
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.tasks.spec import CallOptions, Payload


def _hyperbolic(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
    body = {"model_name": route.provider_id, **sized(prompted(payload))}
    return post(route, "/v1/images/generations", body, options)


def _flux(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
    return post(route, f"/v1/{path_id(route)}", sized(prompted(payload)), options)


def _flux_ticket(answer: Any, route: Route) -> Ticket:
    # On another host: asked without the token, as the recordings do.
    given = maybe(answer, "id")
    address = text_at(answer, "polling_url")
    return Ticket(given if isinstance(given, str) else None, checked(address, route))


def _flux_state(answer: Any) -> State:
    if not isinstance(answer, Mapping):
        raise ValueError("the answer is not an image job")
    word = str(answer.get("status") or "Pending")
    if word in ("Error", "Failed", "Content Moderated", "Request Moderated", "Task not found"):
        return State(word, failure=said(answer.get("details") or word))
    return State(word, done=word == "Ready")


PROVIDERS: dict[str, dict[str, Codec]] = {
    "black-forest-labs": {
        "text-to-image": Queue(
            submit=_flux,
            accept=_flux_ticket,
            state=_flux_state,
            result=lambda answer, route: Remote(text_at(answer, "result", "sample")),
            interval=1.0,
            ask_auth=False,
        )
    },
    "hyperbolic": {
        "text-to-image": Exchange(
            submit=_hyperbolic, decode=lambda answer: decoded(text_at(answer, "images", 0, "image"))
        )
    },
    "nebius": {
        "feature-extraction": openai_like.embeddings("/v1/embeddings"),
        "text-to-image": openai_like.images(
            "/v1/images/generations", response_format="b64_json", size=None
        ),
    },
    "sambanova": {"feature-extraction": openai_like.embeddings("/v1/embeddings")},
}
