"""What to do with an answer, without I/O: redirects, decompression, limits."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from urllib.parse import SplitResult, urljoin, urlsplit

from shared_core.error_base import clean, safe_headers, shorten
from shared_core.errors import (
    APIError,
    APIResponseValidationError,
    RedirectRefusedError,
    ResponseTooLargeError,
)
from shared_core.wire.failures import Call
from shared_core.wire.inflate import DecompressionError, Inflater, inflater_for
from shared_core.wire.messages import Headers, WireResponse
from shared_core.wire.outgoing import without_secrets

MAX_REDIRECTS = 5
"""Redirects followed within one call."""

_REDIRECTS = (301, 302, 303, 307, 308)
_KEEP_METHOD = (307, 308)
_PORTS = {"http": 80, "https": 443}


# --- redirects --------------------------------------------------------------------------


def next_hop(call: Call, status: int, headers: Headers) -> str | RedirectRefusedError | None:
    """Return the address to go on with, the refusal to go there, or None if it is no redirect.

    What carries a token or a body stays within its origin; nothing goes from https to http.
    The refusal is returned, not raised: a traceback that shows locals would show ours.
    """
    if not 300 <= status < 400:
        return None
    location = headers.get("location")
    if status not in _REDIRECTS or not location:
        return RedirectRefusedError(
            f"{call.host} answers {status}, a redirect, and names no address to go to",
            status_code=status,
            headers=safe_headers(without_secrets(headers, call)),
            **call.context(guidance="Check base_url (HUGGINGFACE_BASE_URL) and what serves it."),
        )
    call.hops += 1
    request = call.request
    target, parts = _resolve(call.url, location)
    here = urlsplit(call.url)
    plain = request.method in ("GET", "HEAD")
    if parts is None or parts.scheme not in _PORTS or not parts.hostname:
        reason = "not an http address"
    elif call.hops > MAX_REDIRECTS:
        reason = f"more than {MAX_REDIRECTS} redirects"
    elif parts.username is not None:
        reason = "the address holds credentials"
    elif _origin(parts) == _origin(here):
        if plain or status in _KEEP_METHOD:
            return target
        reason = f"a {status} would turn the {request.method} into a GET"
    elif here.scheme == "https" and parts.scheme == "http":
        reason = "from https to http"
    elif request.auth or not plain or request.json is not None or request.content is not None:
        reason = "another origin, where neither token nor request may go"
    else:
        return target
    shown = call.redact(_public(parts) if parts is not None else location)
    shown = shorten(clean(shown), 120)
    return RedirectRefusedError(
        f"{call.host} redirects ({status}) to {shown}: not followed, {reason}",
        status_code=status,
        location=shown,
        headers=safe_headers(without_secrets(headers, call).with_header("location", shown)),
        **call.context(),
    )


def _resolve(base: str, location: str) -> tuple[str, SplitResult | None]:
    try:
        target = urljoin(base, location.strip())
        parts = urlsplit(target)
        parts.port  # noqa: B018 - raises for an illegal one
    except ValueError:
        return location, None
    return target, parts


def _public(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


# --- whole bodies -----------------------------------------------------------------------


class Collector:
    """Gathers a body within its limit; what it does not want any more is not read.

    Args:
        call: The call, for errors.
        status: HTTP status; anything but 2xx may be cut, and never fails for its body.
        headers: Response headers.
        decoded: Whether somebody else has undone the content-encoding already.
    """

    def __init__(self, call: Call, status: int, headers: Headers, *, decoded: bool = False) -> None:
        self._call = call
        self._status = status
        self._headers = headers
        self._success = 200 <= status < 300
        limits = call.settings.limits
        self._limit = limits.max_body_bytes if self._success else limits.max_error_bytes
        self._body = BytesIO()  # gives its buffer away without another copy
        self._size = 0
        self._inflater: Inflater | None = None
        self.truncated = False
        if not decoded:
            try:
                self._inflater = inflater_for(headers.get("content-encoding", ""))
                problem = None
            except DecompressionError as exc:
                problem = str(exc)
            if problem is not None:
                self._undecodable(problem)

    def feed(self, data: bytes) -> bool:
        """Take in *data*; tell whether more is wanted.

        Raises:
            ResponseTooLargeError: A 2xx body over its limit.
            APIResponseValidationError: A 2xx body that cannot be decompressed.
        """
        if self.truncated:
            return False
        if self._inflater is None:
            return self._add(data)
        try:
            for piece in self._inflater.feed(data):
                if not self._add(piece):
                    return False
            problem = None
        except DecompressionError as exc:
            problem = str(exc)
        if problem is not None:
            self._undecodable(problem)
            return False
        return True

    def _add(self, piece: bytes) -> bool:
        room = self._limit - self._size
        if len(piece) <= room:
            self._body.write(piece)
            self._size += len(piece)
            return True
        if self._success:
            raise self._too_large()
        self._body.write(piece[:room])
        self.truncated = True
        return False

    def cut(self) -> None:
        """Note that the rest of an error body did not come."""
        self.truncated = True

    def finish(self) -> WireResponse:
        """Return the answer.

        Raises:
            APIResponseValidationError: The compressed data of a 2xx body ends too early.
        """
        if self._inflater is not None and not self._inflater.complete and not self.truncated:
            self._undecodable("the compressed data ends too early")
        content = self._body.getvalue()
        if not self._success:  # Latin-1 keeps every byte that is not hidden
            content = self._call.redact(content.decode("latin-1")).encode("latin-1")
        return WireResponse(
            status=self._status,
            headers=self._headers,
            content=content,
            url=self._call.url,
            elapsed=self._call.elapsed,
            truncated=self.truncated,
        )

    def _undecodable(self, problem: str) -> None:
        if self._success:
            raise undecodable(self._call, self._status, self._headers, problem)
        self.truncated = True

    def _too_large(self) -> ResponseTooLargeError:
        return ResponseTooLargeError(
            f"the answer of {self._call.host} is larger than {self._limit:,} bytes",
            status_code=self._status,
            content_type=self._headers.get("content-type"),
            headers=self._headers,
            **self._call.context(),
        )


def undecodable(call: Call, status: int, headers: Headers, problem: str) -> APIError:
    """Return the error for a body that cannot be decompressed."""
    return APIResponseValidationError(
        f"the compressed answer of {call.host} cannot be read: {problem}",
        status_code=status,
        content_type=headers.get("content-type"),
        headers=headers,
        **call.context(),
    )


# --- streams ----------------------------------------------------------------------------


def is_event_stream(status: int, headers: Headers) -> bool:
    """Tell whether the answer is a 2xx event stream."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return 200 <= status < 300 and kind == "text/event-stream"


class Decoder:
    """Undoes the content-encoding of a stream, in bounded pieces.

    Args:
        call: The call, for errors.
        status: HTTP status.
        headers: Response headers.

    Raises:
        APIResponseValidationError: The encoding is unknown.
    """

    def __init__(self, call: Call, status: int, headers: Headers, *, decoded: bool = False) -> None:
        self._call, self._status, self._headers = call, status, headers
        self._inflater: Inflater | None = None
        self._pieces: Iterator[bytes] = iter(())
        try:
            if not decoded:
                self._inflater = inflater_for(headers.get("content-encoding", ""))
            problem = None
        except DecompressionError as exc:
            problem = str(exc)
        if problem is not None:
            raise undecodable(call, status, headers, problem)

    def feed(self, data: bytes) -> None:
        """Take in *data*."""
        self._pieces = iter((data,)) if self._inflater is None else self._inflater.feed(data)

    def take(self) -> bytes:
        """Return the next decoded bytes of what was fed; empty when more is needed.

        Raises:
            APIResponseValidationError: The data is broken.
        """
        try:
            return next(self._pieces, b"")
        except DecompressionError as exc:
            problem = str(exc)
        raise undecodable(self._call, self._status, self._headers, problem)
