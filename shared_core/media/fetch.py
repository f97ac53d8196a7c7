"""Downloads a file by its address: without the token, and not from one's own network.

Used for addresses that somebody else wrote: a caller's input (on request), a provider's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared_core.config.validate import origin_of
from shared_core.error_base import safe_url
from shared_core.errors import APIResponseValidationError
from shared_core.media.kinds import guess, read_data_url
from shared_core.media.output import Media
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.callbacks import Callback
    from shared_core.core import Core
    from shared_core.flow import Flow

_VAGUE = frozenset({"application/octet-stream", "binary/octet-stream", "text/plain"})
"""Content types of file stores that do not know what they hold."""


def fetching(
    core: Core,
    url: str,
    *,
    operation: str,
    timeout: float | None,
    model: str | None = None,
    provider: str | None = None,
    allow_private: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Flow[Media]:
    """Return the file at *url*; a data URL is read without a request.

    Private addresses are refused when connecting, also after redirects, except on the host
    that the client is configured for.

    Args:
        core: Settings and the path of the exchange.
        url: ``http(s)`` or ``data:`` address.
        operation: Task, for errors and events.
        timeout: Seconds for the whole download; None for ever.
        model: Model, for errors and events.
        provider: Provider, for errors and events.
        allow_private: Whether private addresses are fetched too.
        callbacks: Told of the request, besides the client's own.

    Raises:
        APIResponseValidationError: The address is of another kind, or there is no file.
        ConnectFailedError: The address is private, or cannot be reached.
        APIError: The download failed.
    """
    if url[:5].lower() == "data:":
        return _from_data_url(url, operation, model, provider)
    if url[:8].lower().startswith(("http://", "https://")):
        own = origin_of(core.settings.base_url)[1]
        request = WireRequest(
            method="GET",
            url=url,
            headers={"Accept": "*/*"},
            timeout=timeout,
            auth=False,
            public_only=not allow_private and origin_of(url)[1] != own,
            idempotent=True,
            operation=operation,
            model=model,
            provider=provider,
        )

        def parse(response: WireResponse) -> Media:
            return _file(response, request)

        return (yield from core.exchange(request, parse, callbacks=callbacks))
    raise APIResponseValidationError(
        f"a file is at an address that is neither http(s) nor data: {url[:40]!r}",
        guidance="Only http, https and data addresses are read.",
        operation=operation,
        model=model,
        provider=provider,
    )


def _from_data_url(url: str, operation: str, model: str | None, provider: str | None) -> Media:
    """Return the file that a data URL of an answer holds.

    Raises:
        APIResponseValidationError: It cannot be read.
    """
    try:
        kind, content = read_data_url(url)
        if not content:
            raise ValueError
    except ValueError:
        raise APIResponseValidationError(
            f"a file is given as a data URL that cannot be read: {url[:40]!r}",
            operation=operation,
            model=model,
            provider=provider,
        ) from None
    return Media(content, kind or guess(content, None) or "application/octet-stream")


def _file(response: WireResponse, request: WireRequest) -> Media:
    kind = response.headers.get("content-type", "").strip()
    plain = kind.partition(";")[0].strip().lower()
    name = urlsplit(response.url or request.url).path.rpartition("/")[2]
    if not response.content or plain == "text/html":
        what = "is empty" if not response.content else "is a web page"
        raise APIResponseValidationError(
            f"the file at {safe_url(request.url)} {what}",
            guidance="The address may have expired.",
            status_code=response.status,
            content_type=kind or None,
            headers=response.headers,
            operation=request.operation,
            model=request.model,
            provider=request.provider,
            url=safe_url(request.url),
            request_id=response.headers.get("x-request-id"),
        )
    if not plain or plain in _VAGUE:
        kind = guess(response.content, name) or kind or "application/octet-stream"
    return Media(response.content, kind.replace("; ", ";"), request.url)
