"""Codecs of the OpenAI form: completions, embeddings, speech, transcriptions, images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared_core.errors import InvalidSettingError, UnsupportedTaskError
from shared_core.providers.answers import Remote, at, maybe, text_at
from shared_core.providers.base import Codec, Route
from shared_core.providers.exchange import (
    Exchange,
    audio_file,
    base64_image,
    fields,
    form,
    post,
    prompted,
    sized,
    sound,
)
from shared_core.wire.json_text import whole
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.tasks.spec import CallOptions, Payload

# Of TGI only; the answer tells what there is to tell without having been asked.
_TGI_ONLY = ("details", "return_full_text", "do_sample")
_VECTOR_FIELDS = ("dimensions", "encoding_format")


def completions(path: str) -> Codec:
    """Return the codec of text-generation at *path*."""

    def submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
        if payload.parameters.get("return_full_text"):
            raise InvalidSettingError(
                f"{route.provider} returns the new text only: leave return_full_text out",
                setting="return_full_text",
            )
        body = {"model": route.provider_id, **completion_body(payload)}
        return post(route, path, body, options)

    return Exchange(submit=submit, decode=generation)


def streamed(codec: Codec, route: Route, payload: Payload, options: CallOptions) -> WireRequest:
    """Return the request of a text completion whose answer comes as events.

    Raises:
        UnsupportedTaskError: The provider completes texts in another form.
    """
    if not isinstance(codec, Exchange) or codec.decode is not generation:
        raise UnsupportedTaskError(
            f"{route.provider} does not stream text generation",
            guidance="Use client.chat.stream(), which every provider of language models serves.",
        )
    request = codec.submit(codec.place(route), payload, options)
    request.json = {**(request.json or {}), "stream": True}
    request.headers["Accept"] = "text/event-stream, application/json"
    request.stream = True
    return request


def completion_body(payload: Payload) -> dict[str, Any]:
    """Return the body of a text completion but for its model."""
    given = fields(payload, rename={"max_new_tokens": "max_tokens"}, drop=_TGI_ONLY)
    return {"prompt": payload.inputs, **given}


def generation(answer: Any) -> Any:
    """Return ``{"generated_text", "details"?}`` of a text completion.

    Raises:
        ValueError: There is no text.
    """
    details = {
        "finish_reason": maybe(answer, "choices", 0, "finish_reason"),
        "generated_tokens": maybe(answer, "usage", "completion_tokens"),
        "seed": maybe(answer, "choices", 0, "seed"),
    }
    known = {name: value for name, value in details.items() if value is not None}
    text = text_at(answer, "choices", 0, "text")
    return {"generated_text": text, **({"details": known} if known else {})}


def embeddings(path: str) -> Codec:
    """Return the codec of feature-extraction at *path*; its answer is always a list of vectors."""

    def submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
        given = fields(payload)
        for name in given:
            if name not in _VECTOR_FIELDS:
                raise InvalidSettingError(
                    f"{route.provider} does not know {name}", setting=name, guidance="Leave it out."
                )
        body = {"model": route.provider_id, "input": payload.inputs, **given}
        return post(route, path, body, options)

    return Exchange(submit=submit, decode=_vectors)


def _vectors(answer: Any) -> Any:
    rows = at(answer, "data")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("data is not a list of vectors")
    ordered = sorted(rows, key=lambda row: whole(row.get("index")) or 0)
    return [at(row, "embedding") for row in ordered]


def speech(path: str, *, voice_required: bool = False) -> Codec:
    """Return the codec of text-to-speech at *path*."""

    def submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
        body = {"model": route.provider_id, "input": payload.inputs, **fields(payload)}
        if voice_required and not options.merged(body).get("voice"):
            raise InvalidSettingError(
                f"{route.provider} needs voice=",
                setting="voice",
                guidance="Name one of its voices.",
            )
        return post(route, path, body, options, accept="*/*")

    return Exchange(submit=submit, decode=sound)


def transcriptions(path: str) -> Codec:
    """Return the codec of automatic-speech-recognition at *path*."""

    def submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
        given = {"model": route.provider_id, **fields(payload)}
        return form(route, path, audio_file(payload), given, options)

    return Exchange(submit=submit, decode=transcription)


def transcription(answer: Any) -> Any:
    """Return ``{"text", "chunks"?}`` of an answer with ``text`` and maybe ``segments``.

    Raises:
        ValueError: There is no text.
    """
    found: dict[str, Any] = {"text": text_at(answer, "text")}
    segments = maybe(answer, "segments")
    if isinstance(segments, list):
        found["chunks"] = [
            {
                "text": text_at(segment, "text"),
                "timestamp": [maybe(segment, "start"), maybe(segment, "end")],
            }
            for segment in segments
        ]
    return found


def images(path: str, *, response_format: str, size: str | None, **how: Any) -> Codec:
    """Return the codec of text-to-image at *path*.

    Args:
        path: Path at the provider.
        response_format: Its word for base64 within the answer.
        size: Field for ``"WxH"``; None: ``width`` and ``height``.
        **how: Names that change; see :func:`~shared_core.providers.exchange.fields`.
    """

    def submit(route: Route, payload: Payload, options: CallOptions) -> WireRequest:
        body = {
            "model": route.provider_id,
            "response_format": response_format,
            **sized(prompted(payload, **how), size),
        }
        return post(route, path, body, options)

    return Exchange(submit=submit, decode=image)


def image(answer: Any) -> Any:
    """Return the image of ``data[0]``, within the answer or at an address.

    Raises:
        ValueError: There is none.
    """
    if maybe(answer, "data", 0, "b64_json") is not None:
        return base64_image(answer)
    return Remote(text_at(answer, "data", 0, "url"))
