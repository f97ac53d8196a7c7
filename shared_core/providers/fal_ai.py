"""fal-ai: answers at once on ``fal.run``, queued jobs on ``queue.fal.run`` (protocol, 7.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared_core.config.providers import direct_settings
from shared_core.providers.answers import Remote, at, maybe, said, text_at
from shared_core.providers.base import Codec, Route
from shared_core.providers.exchange import (
    HUB_FILES,
    Exchange,
    fields,
    path_id,
    post,
    prompted,
    sized,
)
from shared_core.providers.jobs import Queue, State, Ticket, own_path
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.tasks.spec import CallOptions, Payload

QUEUE_HOST = "https://queue.fal.run"
QUEUE_QUERY = "?_subdomain=queue"
INTERVAL = 0.5
"""Seconds between two questions, as the official clients ask (protocol reference, 7.3)."""

LORA_MODEL = "fal-ai/lora"
LORA_BASE = "stabilityai/stable-diffusion-xl-base-1.0"

# The only labels of sounds that fal takes in data URLs. Recordings show FLAC sent as mpeg.
_AUDIO_LABELS = {"audio/wav": "audio/x-wav", "audio/x-wav": "audio/x-wav"}
_AUDIO_LABELS |= {"audio/webm": "video/webm", "video/webm": "video/webm"}

Body = Callable[[Route, "Payload"], dict[str, Any]]


# --- requests ---------------------------------------------------------------------------


def _prompt(route: Route, payload: Payload) -> dict[str, Any]:
    return _image_size(prompted(payload))


def _text_to_image(route: Route, payload: Payload) -> dict[str, Any]:
    body = _image_size(prompted(payload))
    mapping = route.mapping
    if mapping is not None and mapping.adapter == "lora" and mapping.adapter_weights_path:
        path = f"{HUB_FILES}/{route.model}/resolve/main/{mapping.adapter_weights_path}"
        body["loras"] = [{"path": path, "scale": 1}]
        if route.provider_id == LORA_MODEL:
            body["model_name"] = LORA_BASE
    return body


def _image_to_image(route: Route, payload: Payload) -> dict[str, Any]:
    url = payload.media_url("image/jpeg")
    return {"image_url": url, "image_urls": [url], **_image_size(fields(payload))}


def _image_to_video(route: Route, payload: Payload) -> dict[str, Any]:
    return {"image_url": payload.media_url("image/jpeg"), **_image_size(fields(payload))}


def _segmentation(route: Route, payload: Payload) -> dict[str, Any]:
    return {"image_url": payload.media_url("image/jpeg"), "sync_mode": True, **fields(payload)}


def _audio(route: Route, payload: Payload) -> dict[str, Any]:
    return {"audio_url": _audio_url(payload), **fields(payload)}


def _speech(route: Route, payload: Payload) -> dict[str, Any]:
    return {"text": payload.inputs, **fields(payload)}


def _audio_url(payload: Payload) -> str:
    if payload.url is not None:
        return payload.url
    kind = (payload.media_type or "").partition(";")[0].strip().lower()
    return f"data:{_AUDIO_LABELS.get(kind, 'audio/mpeg')};base64,{payload.base64_text()}"


def _image_size(body: dict[str, Any]) -> dict[str, Any]:
    body = sized(body)
    if {"width", "height"} <= body.keys():
        body["image_size"] = {"width": body.pop("width"), "height": body.pop("height")}
    return body


# --- answers ----------------------------------------------------------------------------


def _file(*paths: tuple[str | int, ...]) -> Callable[[Any], Any]:
    """Return a reader of the file at the first of *paths* that the answer has."""

    def decode(answer: Any) -> Any:
        path = next((path for path in paths if maybe(answer, *path)), paths[0])
        kind = maybe(answer, *path, "content_type")
        return Remote(text_at(answer, *path, "url"), kind if isinstance(kind, str) else None)

    return decode


def _mask(answer: Any) -> Any:
    return [{"label": "mask", "mask": _file(("image",))(answer)}]


def _sounds(answer: Any) -> Any:
    sound = _file(("audio",))(answer)
    label = maybe(answer, "text")
    return [
        {
            "label": label if isinstance(label, str) else "audio",
            "blob": sound,
            "content-type": sound.media_type,
        }
    ]


def _transcription(answer: Any) -> Any:
    text = maybe(answer, "text")
    found: dict[str, Any] = {"text": text if text is not None else text_at(answer, "output")}
    pieces = maybe(answer, "chunks") or maybe(answer, "segments")
    if isinstance(pieces, list):
        found["chunks"] = [
            {
                "text": text_at(piece, "text"),
                "timestamp": maybe(piece, "timestamp")
                or [maybe(piece, "start"), maybe(piece, "end")],
            }
            for piece in pieces
        ]
    return found


# --- queue ------------------------------------------------------------------------------


def _on_queue(route: Route) -> Route:
    if not route.direct:
        return route
    settings = route.settings
    return replace(
        route,
        base=QUEUE_HOST,
        settings=None if settings is None else direct_settings(settings, QUEUE_HOST),
    )


def _accept(answer: Any, route: Route) -> Ticket:
    given = maybe(answer, "request_id")
    if maybe(answer, "response_url") is None and isinstance(given, str):
        path = f"/{path_id(route)}/requests/{quote(given, safe='')}"
    else:
        path = own_path(at(answer, "response_url"))  # its model may differ from ours
    base, query = route.url(path), "" if route.direct else QUEUE_QUERY
    return Ticket(
        id=given if isinstance(given, str) else path.rpartition("/")[2],
        status_url=f"{base}/status{query}",
        result_url=base + query,
    )


def _state(answer: Any) -> State:
    word = text_at(answer, "status")
    if word in ("FAILED", "ERROR", "CANCELLED", "CANCELED"):
        return State(word, failure=said(maybe(answer, "detail") or maybe(answer, "logs") or ""))
    return State(word, done=word == "COMPLETED")


def _now(body: Body, decode: Callable[[Any], Any]) -> Codec:
    def submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
        return post(route, f"/{path_id(route)}", body(route, payload), options)

    return Exchange(submit=submit, decode=decode)


def _queued(body: Body, decode: Callable[[Any], Any]) -> Codec:
    def submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
        query = "" if route.direct else QUEUE_QUERY
        return post(route, f"/{path_id(route)}{query}", body(route, payload), options)

    return Queue(
        submit=submit,
        accept=_accept,
        state=_state,
        result=lambda answer, route: decode(answer),
        interval=INTERVAL,
        place=_on_queue,
    )


_IMAGE = _file(("images", 0), ("image",))
_VIDEO = _file(("video",))

CODECS: dict[str, Codec] = {
    "audio-to-audio": _queued(_audio, _sounds),
    "automatic-speech-recognition": _now(_audio, _transcription),
    "image-segmentation": _queued(_segmentation, _mask),
    "image-text-to-image": _queued(_image_to_image, _IMAGE),
    "image-text-to-video": _queued(_image_to_video, _VIDEO),
    "image-to-image": _queued(_image_to_image, _IMAGE),
    "image-to-video": _queued(_image_to_video, _VIDEO),
    "text-to-audio": _queued(_prompt, _file(("audio_file",), ("audio",))),
    "text-to-image": _now(_text_to_image, _IMAGE),
    "text-to-speech": _now(_speech, _file(("audio",))),
    "text-to-video": _queued(_prompt, _VIDEO),
}
