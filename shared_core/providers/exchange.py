"""Calls that are one request and one answer, and the parts of requests that codecs share."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pydantic_core

from shared_core.errors import InvalidSettingError
from shared_core.flow import Flow
from shared_core.media.kinds import extension_of
from shared_core.media.output import Media
from shared_core.providers.answers import collect, decoded, read, remotes, text_at
from shared_core.providers.base import Codec, Route
from shared_core.providers.jobs import Watch, carrying
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.providers.base import SendFirst
    from shared_core.tasks.spec import CallOptions, Payload

NO_HEADERS: Mapping[str, str] = {}
HUB_FILES = "https://huggingface.co"
"""Where providers load LoRA weights from (protocol reference, 7.3, 7.4)."""

_PATH_ID = re.compile(r"[A-Za-z0-9_][\w.@:+-]*(?:/[A-Za-z0-9_][\w.@:+-]*)*", re.ASCII)
_DOWNLOAD_PAUSE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange(Codec):
    """A codec of one request, and of the download of the files that its answer names.

    Attributes:
        submit: Makes the request; may raise ``InvalidSettingError``.
        decode: Makes the normalised answer of the JSON value, or of the ``Media`` that came,
            with ``Remote`` for files; raises ``ValueError`` with the reason.
        place: Corrects the route.
    """

    submit: Callable[[Route, Payload, CallOptions], WireRequest]
    decode: Callable[[Any], Any]
    place: Callable[[Route], Route] = field(default=lambda route: route)

    def begin(
        self, core: Core, route: Route, payload: Payload, options: CallOptions, send: SendFirst
    ) -> Flow[Flow[Any]]:
        """Send the request; see :class:`~shared_core.providers.base.Codec`."""
        route = self.place(route)
        request = self.submit(route, payload, options)
        value = yield from send(request, read(request, self.decode, core))
        return _rest(core, route, options, value)


def _rest(core: Core, route: Route, options: CallOptions, value: Any) -> Flow[Any]:
    files = tuple(remote.url for remote in remotes(value) if remote.url[:5] != "data:")
    if not files:
        return (yield from collect(core, route, options, value, lambda attempt: attempt()))
    job = route.job(media_urls=tuple(core.redact(url) for url in files))
    watch = Watch(core, job, options, _DOWNLOAD_PAUSE, time.monotonic, time.monotonic())
    fetched = collect(core, route, options, value, watch.fetching)
    return (yield from carrying(watch, fetched))


def post(
    route: Route,
    path: str,
    body: Mapping[str, Any],
    options: CallOptions,
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    accept: str = "application/json",
) -> WireRequest:
    """Return a JSON request to the provider; ``extra_body`` is merged over *body*.

    Args:
        route: Where to.
        path: Path at the provider, maybe with a query.
        body: What the codec sends.
        options: The call's options.
        headers: Headers that the provider wants.
        accept: ``Accept`` header.
    """
    return route.request(
        route.url(path),
        options,
        json=options.merged(body),
        headers=route.headers(options, {"Accept": accept, **headers}),
    )


def form(
    route: Route,
    path: str,
    file: tuple[str, bytes, str],
    fields: Mapping[str, Any],
    options: CallOptions,
) -> WireRequest:
    """Return a ``multipart/form-data`` request with one file; ``extra_body`` adds fields.

    Args:
        route: Where to.
        path: Path at the provider.
        file: File name, bytes and media type of the field ``file``.
        fields: The other fields: text as it is, booleans as ``true`` and ``false``, the rest
            as JSON.
        options: The call's options.
    """
    name, content, kind = file
    # Nobody can write a file that holds its own hash.
    boundary = f"hfrouter-{hashlib.sha256(content).hexdigest()[:40]}"
    parts = [_part(boundary, f'name="file"; filename="{name}"', content, kind)]
    for field_name, value in options.merged(fields).items():
        text = value if isinstance(value, str) else pydantic_core.to_json(value).decode()
        if '"' in field_name or not field_name.isprintable():
            raise InvalidSettingError(
                f"extra_body has a name that cannot stand in a form: {field_name!r}",
                setting="extra_body",
            )
        parts.append(_part(boundary, f'name="{field_name}"', text.encode(), None))
    return route.request(
        route.url(path),
        options,
        content=b"".join([*parts, f"--{boundary}--\r\n".encode()]),
        headers=route.headers(
            options,
            {
                "Accept": "application/json",
                "Content-Type": f"multipart/form-data; boundary={boundary}",
            },
        ),
    )


def _part(boundary: str, disposition: str, content: bytes, kind: str | None) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    head += f"Content-Type: {kind}\r\n" if kind else ""
    return f"{head}\r\n".encode() + content + b"\r\n"


# --- parts of requests ------------------------------------------------------------------


def fields(
    payload: Payload, rename: Mapping[str, str] = NO_HEADERS, drop: Collection[str] = ()
) -> dict[str, Any]:
    """Return the parameters under the provider's names, ``generation_parameters`` unfolded.

    Args:
        payload: The call's arguments.
        rename: Name on hf-inference -> name at the provider.
        drop: Names that the provider does not take.
    """
    given = dict(payload.parameters)
    given.update(given.pop("generation_parameters", None) or {})
    return {rename.get(name, name): value for name, value in given.items() if name not in drop}


def prompted(payload: Payload, **how: Any) -> dict[str, Any]:
    """Return the prompt and the parameters; see :func:`fields` for *how*."""
    return {"prompt": payload.inputs, **fields(payload, **how)}


def sized(body: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    """Return *body* with its size in the provider's form.

    Args:
        body: Fields, maybe with ``width`` and ``height`` or ``target_size``.
        name: Field for ``"WxH"``; None: ``width`` and ``height`` as they are.
    """
    body.update(body.pop("target_size", None) or {})
    if name is None or not {"width", "height"} <= body.keys():
        return body
    body[name] = f"{body.pop('width')}x{body.pop('height')}"
    return body


def path_id(route: Route) -> str:
    """Return the provider's id of the model, to stand in a path.

    Raises:
        InvalidSettingError: It cannot.
    """
    if not _PATH_ID.fullmatch(route.provider_id):
        raise InvalidSettingError(
            f"provider_id cannot stand in an address: {route.provider_id[:100]!r}",
            setting="provider_id",
        )
    return route.provider_id


def audio_file(payload: Payload) -> tuple[str, bytes, str]:
    """Return name, bytes and media type of a sound, for a form.

    Raises:
        InvalidSettingError: Only its address is known.
    """
    kind = (payload.media_type or "audio/wav").partition(";")[0]
    return f"audio{extension_of(kind) or '.wav'}", payload.content(), kind


# --- parts of answers -------------------------------------------------------------------


def sound(answer: Any) -> Media:
    """Return the sound that an answer is.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(answer, Media) and answer.content:
        return answer
    raise ValueError("the answer is not a sound")


def base64_image(answer: Any) -> Media:
    """Return the image of an answer in the OpenAI form with base64.

    Raises:
        ValueError: There is none.
    """
    return decoded(text_at(answer, "data", 0, "b64_json"))
