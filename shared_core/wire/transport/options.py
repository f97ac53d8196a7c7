"""What a pool needs to know, taken from the settings once."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

import httpcore

from shared_core.wire.deadline import Deadline
from shared_core.wire.transport.route import Origin, Proxy

DEADLINE = "hfrouter.deadline"
"""Name of the request extension that carries our :class:`Deadline`."""

BODY = "hfrouter.body"
"""Name of the response extension that gives the body without wrappers."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Limits, trust and proxies of a pool.

    Attributes:
        ssl_context: Gives the TLS context; called at the first secure connection.
        max_connections: Most connections at once; further calls wait in line.
        keepalive: Seconds that an idle connection is kept.
        max_header_bytes: Largest response head.
        proxy_toward: Gives the proxy on the way to an origin, or None for none; asked at each new
            connection, always with the same answer. None: there are no proxies.
    """

    ssl_context: Callable[[], ssl.SSLContext]
    max_connections: int = 1000
    keepalive: float = 60.0
    max_header_bytes: int = 64 * 1024
    proxy_toward: Callable[[Origin], Proxy | None] | None = None

    def proxy(self, origin: Origin) -> Proxy | None:
        """Return the proxy on the way to *origin*.

        Raises:
            InvalidSettingError: It is of a kind that cannot be used.
        """
        return None if self.proxy_toward is None else self.proxy_toward(origin)

    def idle_limit(self, keep_for: float | None) -> float:
        """Return for how many seconds a connection may be idle.

        Args:
            keep_for: What the server announced in ``Keep-Alive: timeout=``; one second less
                is used, so that its closing does not cross our next request.
        """
        if keep_for is None:
            return self.keepalive
        return min(self.keepalive, max(keep_for - 1.0, 0.0))


def deadline_of(request: httpcore.Request) -> Deadline:
    """Return the deadline of *request*: ours, or one made of httpx's timeouts."""
    deadline = request.extensions.get(DEADLINE)
    if isinstance(deadline, Deadline):
        return deadline
    timeouts = request.extensions.get("timeout") or {}
    return Deadline(timeouts.get("read"), connect_timeout=timeouts.get("connect"))
