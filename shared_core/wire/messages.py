"""The values that cross the wire seam: what is sent, what comes back.

Nothing here does I/O. :class:`~shared_core.wire.http.HTTPWire` turns a
:class:`WireRequest` into bytes on a socket, ``shared_core.local`` answers it in this
process; the rest of the package cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pydantic_core

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.flow import Flow


ENDPOINT_HEADER = "x-hfrouter-endpoint"
"""Put into the headers of an answer by failover: the name of the endpoint that answered."""


class Headers(Mapping[str, str]):
    """Response headers: case-insensitive, order kept, repeated names joined with ``", "``."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str] | list[tuple[str, str]] | None = None) -> None:
        pairs = items.items() if isinstance(items, Mapping) else (items or [])
        self._items: dict[str, tuple[str, str]] = {}
        for name, value in pairs:
            key = name.lower()
            known = self._items.get(key)
            self._items[key] = (name, value if known is None else f"{known[1]}, {value}")

    def __getitem__(self, name: str) -> str:
        return self._items[name.lower()][1]

    def text(self) -> str:
        """Return all values, one a line."""
        return "\n".join([value for _, value in self._items.values()])

    def with_header(self, name: str, value: str) -> Headers:
        """Return these headers with *name* set to *value*."""
        others = [pair for key, pair in self._items.items() if key != name.lower()]
        return Headers([*others, (name, value)])

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._items

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where else a call may go: an endpoint of failover.

    Attributes:
        name: What the endpoint is called.
        settings: Address, token and headers that hold there.
        own_address: Whether it has an address of its own; else it is at the client's.
        model: Model to ask for there, or None.
        provider: Provider to ask there, or None.
    """

    name: str
    settings: Settings
    own_address: bool = False
    model: str | None = None
    provider: str | None = None


@dataclass(slots=True, kw_only=True, repr=False)
class WireRequest:
    """One HTTP exchange, before authentication.

    Attributes:
        method: HTTP verb.
        url: Absolute URL without credentials.
        headers: Request headers of this call. Authorization is never among them: the
            wire adds it.
        json: Body to serialise as JSON; mutually exclusive with ``content``.
        content: Raw body.
        timeout: Seconds that the caller is ready to wait for the answer, or between two
            meaningful events of a stream. ``None`` waits for ever.
        stream: Whether the body is to be handed over while it arrives.
        auth: Whether the token of the settings is attached. False for media URLs.
        auth_scheme: First word of the Authorization header; fal-ai's own host wants ``Key``.
        settings: Settings that hold for this request, e.g. another endpoint's address and
            token; None: those of the wire.
        public_only: Whether private addresses are refused, also after redirects: for addresses
            that somebody else wrote. A client of the user's own may not know how.
        expires: Moment (``time.monotonic``) by which the answer, or the first event of a
            stream, has to be here, whatever ``timeout`` says.
        idempotent: Whether repeating the request cannot cost money or change state.
        changes_state: Whether repeating it would do something twice, e.g. create or delete:
            it is then retried only where the server provably did nothing.
        endpoint: Name of the endpoint of failover that the request belongs to, e.g. the one that
            has taken a job; ``""``: none.
        rebuild: ``rebuild(settings, model, provider)`` makes the same request for another
            endpoint: what failover uses. Raises ``UnsupportedTaskError`` where that endpoint
            cannot do it.
        reroute: ``reroute(place, send)`` is the flow that does the same where each endpoint may
            want another form, and its answer another reader: it makes the request for the
            place, and returns what ``send(request, begin)`` gives. With neither the call cannot
            go elsewhere.
        operation: ``"chat"``, ``"embeddings"``, ``"models.list"`` ... for errors and events.
        model: Model id as asked for, for errors and events.
        provider: Provider as asked for, for errors and events.
    """

    method: str = "POST"
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    timeout: float | None = None
    stream: bool = False
    auth: bool = True
    auth_scheme: str = "Bearer"
    settings: Settings | None = None
    public_only: bool = False
    expires: float | None = None
    idempotent: bool = False
    changes_state: bool = False
    endpoint: str = ""
    rebuild: Callable[[Settings, str | None, str | None], WireRequest] | None = None
    reroute: Callable[[Place, Callable[..., Flow[Any]]], Flow[Any]] | None = None
    operation: str = ""
    model: str | None = None
    provider: str | None = None

    def __repr__(self) -> str:
        # Tracebacks that show locals must show neither prompt nor secret headers.
        return f"<WireRequest {self.method} {self.url.partition('?')[0]} {self.operation}>"

    def body(self) -> bytes | None:
        """Return the body as it goes on the wire."""
        if self.json is not None:
            return pydantic_core.to_json(self.json)
        return self.content


@dataclass(slots=True, kw_only=True, repr=False)
class WireResponse:
    """A whole answer. Any status; errors are decided above the wire.

    Attributes:
        status: HTTP status code.
        headers: Response headers.
        content: Body, decoded from its content-encoding and within the size limit.
        url: URL that answered, without credentials or query secrets.
        elapsed: Seconds from the start of the request to the last byte (monotonic).
        truncated: Whether the body was cut at the error-body limit (errors only).
    """

    status: int
    headers: Headers
    content: bytes
    url: str = ""
    elapsed: float = 0.0
    truncated: bool = False

    def __repr__(self) -> str:
        # As above: a server may echo what it was sent.
        return f"<WireResponse {self.status} from {self.url}, {len(self.content)} bytes>"


class WireStream(Protocol):
    """An answer whose body is still arriving; iterate for decoded bytes."""

    status: int
    headers: Headers
    url: str

    def __iter__(self) -> Iterator[bytes]: ...

    def keep_alive(self) -> None:
        """Restart the timeout: something meaningful arrived."""

    def drain(self) -> None:
        """Read what little is left after the end of the data, so that the connection is reused."""

    def close(self) -> None:
        """Release the connection. Safe to call twice, from any thread, at any time."""


class AsyncWireStream(Protocol):
    """:class:`WireStream` for a running event loop."""

    status: int
    headers: Headers
    url: str

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def keep_alive(self) -> None:
        """Restart the timeout: something meaningful arrived."""

    async def drain(self) -> None:
        """Read what little is left after the end of the data, so that the connection is reused."""

    async def aclose(self) -> None:
        """Release the connection. Safe to call twice; never waits for the network."""


class Wire(Protocol):
    """Performs exchanges, blocking."""

    def send(self, request: WireRequest) -> WireResponse:
        """Perform one exchange and read its whole body, whatever the status."""
        ...

    def open(self, request: WireRequest) -> WireStream | WireResponse:
        """Perform one exchange; a stream only for a 2xx event stream, else the whole answer."""
        ...

    def close(self) -> None:
        """Close all connections; the wire can be used again afterwards."""
        ...


class AsyncWire(Protocol):
    """Performs exchanges in a running event loop."""

    async def send(self, request: WireRequest) -> WireResponse:
        """Perform one exchange and read its whole body, whatever the status."""
        ...

    async def open(self, request: WireRequest) -> AsyncWireStream | WireResponse:
        """Perform one exchange; a stream only for a 2xx event stream, else the whole answer."""
        ...

    async def aclose(self) -> None:
        """Close the running loop's connections; the wire can be used again afterwards."""
        ...
