"""Addresses, headers and bodies on their way between our values and httpx's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx

from shared_core.errors import InvalidSettingError
from shared_core.wire.messages import Headers, WireRequest

if TYPE_CHECKING:
    from shared_core.wire.failures import Call

MOST_URLS = 256
"""Parsed addresses kept; a client uses a handful, apart from media and model pages."""

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_urls: dict[str, httpx.URL] = {}


def parsed_url(address: str) -> httpx.URL:
    """Return *address* parsed; kept, because parsing costs more than the rest of a request.

    Raises:
        InvalidSettingError: It is not an http(s) URL, or holds credentials.
    """
    url = _urls.get(address)
    if url is not None:
        return url
    try:
        url = httpx.URL(address)
        usable = url.scheme in ("http", "https") and bool(url.host) and not url.userinfo
    except (httpx.InvalidURL, TypeError, ValueError):
        usable = False
    if url is None or not usable:
        raise InvalidSettingError(
            "the address of the request is not an http(s) URL without credentials", setting="url"
        )
    if len(_urls) >= MOST_URLS:
        _urls.clear()
    _urls[address] = url
    return url


def encoded_body(request: WireRequest) -> bytes:
    """Return the body as bytes, maybe none.

    Raises:
        InvalidSettingError: A value cannot be written as JSON.
    """
    try:
        return request.body() or b""
    except ValueError as exc:  # a value that JSON cannot hold, or half a surrogate pair
        problem = f"{type(exc).__name__}: {exc}"
    raise InvalidSettingError(f"the request cannot be written as JSON: {problem[:200]}")


def add_headers(headers: dict[bytes, tuple[bytes, bytes]], more: Any, setting: str) -> None:
    """Put *more* into *headers*, by lower-case name.

    Raises:
        InvalidSettingError: A name or value cannot be sent; the value is not shown.
    """
    for name, value in more.items():
        try:
            raw = name.encode("ascii"), value.encode("latin-1")
        except (UnicodeError, AttributeError):
            raw = b"", b""
        if not _NAME.fullmatch(raw[0]) or not _VALUE.fullmatch(raw[1]):
            raise InvalidSettingError(
                f"{setting}: the header {name!r} cannot be sent: line breaks, control characters "
                "and text outside Latin-1 are not allowed",
                setting=setting,
            )
        headers[raw[0].lower()] = raw


def response_headers(response: httpx.Response) -> Headers:
    """Return the headers of *response*."""
    return Headers([(k.decode("latin-1"), v.decode("latin-1")) for k, v in response.headers.raw])


def without_secrets(headers: Headers, call: Call) -> Headers:
    """Return *headers* without what the server gives back of our secrets: answers are kept."""
    text = headers.text()
    if call.redact(text) == text:
        return headers
    return Headers([(name, call.redact(value)) for name, value in headers.items()])
