"""Reads providers' answers: JSON, error objects inside a 200, files in them or elsewhere.

A codec's ``decode`` function returns the normalised answer, with a :class:`Remote` in the place
of each file that has to be fetched. :func:`collect` fetches them, without the token.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pydantic_core

from shared_core.error_base import safe_url
from shared_core.errors import APIResponseValidationError, from_error_object
from shared_core.hub.parsing import unexpected
from shared_core.media.fetch import fetching
from shared_core.media.kinds import sniff
from shared_core.media.output import Media
from shared_core.wire import json_text
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.flow import Flow
    from shared_core.providers.base import Route
    from shared_core.tasks.spec import CallOptions

UNKNOWN_TYPE = "application/octet-stream"
_FILES = ("image/", "audio/", "video/", "model/", UNKNOWN_TYPE)


@dataclass(frozen=True, slots=True)
class Remote:
    """A file of an answer that is kept elsewhere.

    Attributes:
        url: ``https`` or ``data`` address.
        media_type: What the answer calls it.
        is_text: Whether its text is wanted, not its bytes.
    """

    url: str
    media_type: str | None = None
    is_text: bool = False


# --- JSON -------------------------------------------------------------------------------


def at(value: Any, *path: str | int) -> Any:
    """Return what stands at *path* in a JSON value.

    Raises:
        ValueError: There is nothing; the text names the place.
    """
    for index, step in enumerate(path):
        fits = isinstance(value, list) if isinstance(step, int) else isinstance(value, dict)
        try:
            value = value[step] if fits else None
        except (KeyError, IndexError):
            value = None
        if value is None:
            place = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path[: index + 1])
            raise ValueError(f"the answer has no {place.lstrip('.')}")
    return value


def text_at(value: Any, *path: str | int) -> str:
    """Return the text at *path* in a JSON value.

    Raises:
        ValueError: There is none, or something else.
    """
    found = at(value, *path)
    if not isinstance(found, str):
        place = ".".join(str(step) for step in path) or "the answer"
        raise ValueError(f"{place} is of type {type(found).__name__}, not text")
    return found


def maybe(value: Any, *path: str | int) -> Any:
    """Return what stands at *path* in a JSON value, or None."""
    try:
        return at(value, *path)
    except ValueError:
        return None


def said(error: Any) -> str:
    """Return what an error object of any shape says, in one line.

    Args:
        error: Text, an object with ``message`` or the like, or a list of them.
    """
    if isinstance(error, list):
        return "; ".join(said(item) for item in error[:5])
    if isinstance(error, dict):
        for name in ("message", "msg", "detail", "error", "reason"):
            if error.get(name):
                return said(error[name])
        return pydantic_core.to_json(error).decode()[:500]
    return " ".join(str(error).split())


def read(
    request: WireRequest, decode: Callable[[Any], Any], core: Core, *, errors: bool = True
) -> Callable[[WireResponse], Any]:
    """Return a parser that ends in our own errors only.

    Args:
        request: The request, for the errors.
        decode: Gets the JSON value, or a ``Media`` if a file came; raises ``ValueError`` with
            the reason.
        core: Whose secrets are hidden.
        errors: Whether an error object in a 200 is raised here; else *decode* gets it.
    """

    def parse(response: WireResponse) -> Any:
        try:
            value = _value(response)
        except json_text.BodyError as error:
            raise unexpected(request, response, str(error), error.kind) from None
        if errors and isinstance(value, dict) and value.get("error") and not _is_job(value):
            raise from_error_object(
                value,
                headers=response.headers,
                operation=request.operation,
                model=request.model,
                provider=request.provider,
                url=response.url or request.url,
                hide=core.redact,
            )
        try:
            return decode(value)
        except ValueError as reason:
            raise unexpected(request, response, str(reason)) from None

    return parse


def _value(response: WireResponse) -> Any:
    kind = media_type_of(response)
    if kind is not None and kind.startswith(_FILES):
        return Media(response.content, _best_type(kind, None, response.content))
    return json_text.read_body(response.content)


def _is_job(value: dict[str, Any]) -> bool:
    # Jobs say in fields of their own that they failed; their codec reads them.
    return any(value.get(name) for name in ("id", "task_id", "request_id", "status"))


# --- files ------------------------------------------------------------------------------


def media_type_of(response: WireResponse) -> str | None:
    """Return the media type of an answer without its parameters, in lower case."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() or None


def decoded(text: str, media_type: str | None = None) -> Media:
    """Return the file that is written as base64.

    Raises:
        ValueError: It is not base64, or empty.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise ValueError("the file in the answer is not base64") from None
    if not content:
        raise ValueError("the file in the answer is empty")
    return Media(content, _best_type(media_type, None, content))


def remotes(value: Any) -> Iterator[Remote]:
    """Yield every :class:`Remote` in *value*, in order."""
    if isinstance(value, Remote):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from remotes(item)


def collect(
    core: Core,
    route: Route,
    options: CallOptions,
    value: Any,
    patiently: Callable[[Callable[[], Flow[Any]]], Flow[Any]],
) -> Flow[Any]:
    """Return *value* with the file in the place of each :class:`Remote`.

    Args:
        core: The path of every exchange.
        route: The call's route.
        options: The call's options.
        value: A normalised answer.
        patiently: Runs a download, maybe again when it fails.
    """
    if isinstance(value, Remote):
        remote = value
        return (yield from patiently(lambda: download(core, route, options, remote)))
    if isinstance(value, dict):
        found = {}
        for name, item in value.items():
            found[name] = yield from collect(core, route, options, item, patiently)
        return found
    if isinstance(value, list) and any(remotes(value)):
        items = []
        for item in value:
            items.append((yield from collect(core, route, options, item, patiently)))
        return items
    return value


def download(core: Core, route: Route, options: CallOptions, remote: Remote) -> Flow[Any]:
    """Fetch a file, without the token or any header of the client.

    Raises:
        APIResponseValidationError: The address is not one to fetch from, or no file is there.
        APIError: The download failed.
    """
    inline = remote.url[:5].lower() == "data:"
    url = remote.url if inline else checked(remote.url, route)
    media: Media = yield from fetching(
        core,
        url,
        operation=route.task,
        timeout=options.timeout,
        model=route.model,
        provider=route.provider,
        allow_private=is_private(urlsplit(route.base).hostname or ""),
        callbacks=options.callbacks,
    )
    if remote.is_text:
        return media.content.decode("utf-8", "replace").strip()
    if media.media_type.partition(";")[0] == "application/json":
        raise _refused(route, f"there is no file at {safe_url(url)[:200]}, but JSON")
    best = _best_type(media.media_type, remote.media_type, media.content)
    return replace(media, media_type=best)


def _best_type(header: str | None, declared: str | None, content: bytes) -> str:
    for kind in (header, declared):
        if kind and kind not in (UNKNOWN_TYPE, "binary/octet-stream", "text/plain"):
            return kind
    return sniff(content) or header or UNKNOWN_TYPE


def checked(url: str, route: Route) -> str:
    """Return *url* if a file may be fetched from there.

    Only https, and no address of this machine or its network: unless the provider itself is
    reached that way, as in tests and behind gateways.

    Raises:
        APIResponseValidationError: It is another address.
    """
    try:
        parts, base = urlsplit(url), urlsplit(route.base)
        host = parts.hostname or ""
    except ValueError:
        raise _refused(route, "the address of the file is not valid") from None
    if not host or parts.scheme.lower() not in ("https", base.scheme) or "@" in parts.netloc:
        raise _refused(route, f"the address of the file is not an https URL: {url[:80]!r}")
    if is_private(host) and not is_private(base.hostname or ""):
        raise _refused(route, f"the address of the file is inside this network: {host!r}")
    return url


def is_private(host: str) -> bool:
    """Return whether *host* is written as an address of this machine or a private network."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ipaddress.ip_address(name).is_global
    except ValueError:
        return False


def _refused(route: Route, reason: str) -> APIResponseValidationError:
    return APIResponseValidationError(
        f"{route.task}: {reason}",
        operation=route.task,
        model=route.model,
        provider=route.provider,
        url=route.base,
    )
