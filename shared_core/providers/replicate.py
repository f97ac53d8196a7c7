"""replicate: predictions, answered within a minute or polled (protocol reference, 7.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from shared_core.errors import InvalidSettingError
from shared_core.providers.answers import Remote, at, maybe, said, text_at
from shared_core.providers.base import Codec, Route
from shared_core.providers.exchange import HUB_FILES, fields, path_id, prompted, sized
from shared_core.providers.jobs import Queue, State, Ticket, own_path
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.tasks.spec import CallOptions, Payload

INTERVAL = 1.0
"""Seconds between two questions. The official clients do not poll replicate at all."""

_FAILED = ("failed", "canceled", "aborted")

Inputs = Callable[[Route, "Payload"], dict[str, Any]]


def _submit(inputs: Inputs) -> Callable[[Route, Payload, CallOptions], WireRequest]:
    def submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
        body: dict[str, Any] = {"input": options.merged(inputs(route, payload))}
        name, _, version = route.provider_id.partition(":")
        if version:
            body["version"] = version
            path = "/v1/predictions"
        elif "/" in name:
            path = f"/v1/models/{path_id(route)}/predictions"
        else:
            raise InvalidSettingError(
                "provider_id of replicate is owner/name or owner/name:version",
                setting="provider_id",
            )
        headers = route.headers(options, {"Accept": "application/json", "Prefer": "wait"})
        return route.request(route.url(path), options, json=body, headers=headers)

    return submit


def _prompt(route: Route, payload: Payload) -> dict[str, Any]:
    body = sized(prompted(payload))
    if route.mapping is not None and route.mapping.adapter == "lora":
        body["lora_weights"] = f"{HUB_FILES}/{route.model}"
    return body


def _speech(route: Route, payload: Payload) -> dict[str, Any]:
    return {"text": payload.inputs, **fields(payload)}


def _audio(route: Route, payload: Payload) -> dict[str, Any]:
    return {"audio": payload.media_url("audio/wav"), **fields(payload)}


def _image(route: Route, payload: Payload) -> dict[str, Any]:
    url = payload.media_url("image/jpeg")
    # Models name their input differently; those that a model does not know are ignored.
    names = {"image": url, "images": [url], "input_image": url, "input_images": [url]}
    return {**names, **sized(fields(payload))}


def _accept(answer: Any, route: Route) -> Ticket:
    urls = at(answer, "urls")
    cancel = maybe(urls, "cancel")
    return Ticket(
        id=text_at(answer, "id"),
        status_url=route.url(own_path(at(urls, "get"))),
        cancel_url=None if cancel is None else route.url(own_path(cancel)),
    )


def _state(answer: Any) -> State:
    if not isinstance(answer, Mapping) or not ("output" in answer or "status" in answer):
        raise ValueError("the answer is not a prediction")
    word = str(answer.get("status") or "unknown")
    if word in _FAILED or answer.get("error"):
        return State(word, failure=said(answer.get("error") or word))
    # Recorded: "processing" while the output is there already.
    has_output = answer.get("output") not in (None, [], "")
    return State(word, done=has_output or word in ("succeeded", "successful"))


def _file(answer: Any, route: Route) -> Any:
    output = at(answer, "output")
    if isinstance(output, list):
        return Remote(text_at(output, 0))
    if isinstance(output, Mapping):
        return Remote(next((v for v in output.values() if isinstance(v, str)), ""))
    return Remote(text_at(answer, "output"))


def _transcription(answer: Any, route: Route) -> Any:
    output = at(answer, "output")
    if isinstance(output, list):
        return {"text": text_at(output, 0)}
    if isinstance(output, Mapping):
        for name in ("transcription", "translation", "txt_file", "text"):
            found = output.get(name)
            if isinstance(found, str):
                elsewhere = found.startswith(("https://", "http://"))
                return {"text": Remote(found, is_text=True) if elsewhere else found}
        raise ValueError("output has no transcription")
    return {"text": text_at(answer, "output")}


def _predicted(inputs: Inputs, result: Callable[[Any, Route], Any]) -> Codec:
    return Queue(
        submit=_submit(inputs),
        accept=_accept,
        state=_state,
        result=result,
        interval=INTERVAL,
    )


CODECS: dict[str, Codec] = {
    "automatic-speech-recognition": _predicted(_audio, _transcription),
    "image-to-image": _predicted(_image, _file),
    "text-to-image": _predicted(_prompt, _file),
    "text-to-speech": _predicted(_speech, _file),
    "text-to-video": _predicted(_prompt, _file),
}
