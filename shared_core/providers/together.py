"""together: the OpenAI form, images from images, and queued videos (protocol, 7.2, 7.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared_core.providers import openai_like
from shared_core.providers.answers import Remote, maybe, said, text_at
from shared_core.providers.base import Codec, Route
from shared_core.providers.exchange import Exchange, fields, post, prompted, sized
from shared_core.providers.jobs import Queue, State, Ticket
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.tasks.spec import CallOptions, Payload

INTERVAL = 2.0
"""Seconds between two questions, as the official clients ask (protocol reference, 7.6)."""

_STEPS = {"num_inference_steps": "steps"}


def _image_to_image(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
    url = payload.media_url("image/jpeg")
    name = route.provider_id.lower()
    kontext = "flux.1" in name and "kontext" in name
    body = {
        "model": route.provider_id,
        "prompt": "",  # never null
        "response_format": "base64",
        **({"image_url": url} if kontext else {"reference_images": [url]}),
        **sized(fields(payload, rename=_STEPS)),
    }
    return post(route, "/v1/images/generations", body, options)


def _text_to_video(route: Route, payload: Payload) -> dict[str, Any]:
    return sized(prompted(payload, rename=_STEPS))


def _image_to_video(route: Route, payload: Payload) -> dict[str, Any]:
    frame = {"input_image": payload.media_url("image/jpeg"), "frame": "first"}
    return {"frame_images": [frame], **sized(fields(payload, rename=_STEPS))}


def _accept(answer: Any, route: Route) -> Ticket:
    job = text_at(answer, "id")
    return Ticket(job, route.url(f"/v2/videos/{quote(job, safe='')}"))


def _state(answer: Any) -> State:
    if not isinstance(answer, Mapping):
        raise ValueError("the answer is not a video job")
    word = str(answer.get("status") or "unknown")
    if word in ("failed", "cancelled", "canceled"):
        return State(word, failure=said(answer.get("error") or word))
    return State(word, done=word == "completed")


def _video(body: Callable[[Route, Payload], dict[str, Any]]) -> Codec:
    def submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
        fields_ = {"model": route.provider_id, **body(route, payload)}
        return post(route, "/v2/videos", fields_, options)

    return Queue(
        submit=submit,
        accept=_accept,
        state=_state,
        result=lambda answer, route: Remote(_video_url(answer)),
        interval=INTERVAL,
    )


def _video_url(answer: Any) -> str:
    if maybe(answer, "outputs", 0) is not None:
        return text_at(answer, "outputs", 0, "video_url")
    return text_at(answer, "outputs", "video_url")


CODECS: dict[str, Codec] = {
    "automatic-speech-recognition": openai_like.transcriptions("/v1/audio/transcriptions"),
    "feature-extraction": openai_like.embeddings("/v1/embeddings"),
    "image-to-image": Exchange(submit=_image_to_image, decode=openai_like.image),
    "image-to-video": _video(_image_to_video),
    "text-generation": openai_like.completions("/v1/completions"),
    "text-to-image": openai_like.images(
        "/v1/images/generations", response_format="base64", size=None, rename=_STEPS
    ),
    "text-to-speech": openai_like.speech("/v1/audio/speech", voice_required=True),
    "text-to-video": _video(_text_to_video),
}
