"""Keep tests on this machine: a connection to anything but loopback fails the test.

Every socket of Python is watched, in whatever library it is made. The refusal is remembered as
well, since code under test may turn the error into one of its own.

Not by an audit hook, which would see more: CPython 3.11 cannot begin to trace a thread (for
coverage) while another thread is on its way through the hook, and that thread dies.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_UNIX = getattr(socket, "AF_UNIX", None)


class RefusedConnectionError(OSError):
    """A test tried to leave the machine."""


class SocketGuard:
    """Refuse connections to other machines while :attr:`active`."""

    def __init__(self) -> None:
        self.active = False
        self.refused: list[str] = []
        self._installed = False

    @contextmanager
    def watch(self) -> Iterator[list[str]]:
        """Guard the block; gives the list of what was refused in it."""
        if not self._installed:
            for name in ("connect", "connect_ex", "sendto"):
                setattr(socket.socket, name, self._watched(getattr(socket.socket, name)))
            self._installed = True  # for good: a thread may be in one of them at any time
        self.refused = refused = []
        before, self.active = self.active, True
        try:
            yield refused
        finally:
            self.active = before

    def _watched(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def watched(sock: socket.socket, *args: Any) -> Any:
            address = args[-1]  # of sendto after the data and, maybe, flags
            if self.active and sock.family != _UNIX and not _is_loopback(address):
                self.refused.append(repr(address))
                raise RefusedConnectionError(f"tests may not connect to {address!r}")
            return method(sock, *args)

        return watched


def _is_loopback(address: Any) -> bool:
    if not isinstance(address, tuple) or not address:
        return False
    host = str(address[0])
    if host in ("localhost", ""):
        return True
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return found.is_loopback or found.is_unspecified  # a socket connects to 0.0.0.0 at home
