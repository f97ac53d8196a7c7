"""Keep tests on this machine: a connection to anything but loopback fails the test.

An audit hook sees every connection of this process, in whatever library it is made. The
refusal is remembered as well, since code under test may turn the error into one of its own.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
            sys.addaudithook(self._hook)  # cannot be removed, so only once
            self._installed = True
        self.refused = refused = []
        before, self.active = self.active, True
        try:
            yield refused
        finally:
            self.active = before

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active or event not in ("socket.connect", "socket.sendto"):
            return
        sock, address = args[0], args[1]
        if sock.family == getattr(socket, "AF_UNIX", None) or _is_loopback(address):
            return
        self.refused.append(repr(address))
        raise RefusedConnectionError(f"tests may not connect to {address!r}")


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
