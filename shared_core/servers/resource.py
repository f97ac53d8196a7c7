"""``client.servers``: what a server of one's own is and can do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from shared_core.flow import Flow
from shared_core.servers.detect import detect
from shared_core.servers.types import ServerInfo

if TYPE_CHECKING:
    from shared_core.core import Core

DETECT_TIMEOUT = 10.0
"""Seconds for each question: a server that is up answers these at once."""


class Servers:
    """Dedicated and local servers, blocking."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Any]) -> None:
        self._core = core
        self._run = run

    def detect(
        self, base_url: str | None = None, *, timeout: float | None = DETECT_TIMEOUT
    ) -> ServerInfo:
        """Ask a server what it is: TGI, TEI, vLLM, llama.cpp, SGLang or another.

        Three to seven GETs, none of which costs anything. The address gets the client's token,
        as ``base_url`` does. Nothing is remembered: keep the result, and pass
        ``dialect=info.dialect`` to chat calls with ``response_format``.

        Args:
            base_url: Address, with or without ``/v1``; that of the client when None.
            timeout: Seconds for each question; None waits for ever.

        Raises:
            NotFoundError: Nothing there is a server of models.
            ServiceUnavailableError: It is still loading its model.
            APIError: It cannot be reached, or refuses the token.
        """
        info: ServerInfo = self._run(detect(self._core, base_url, timeout))
        return info


class AsyncServers:
    """Dedicated and local servers for asyncio."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Coroutine[Any, Any, Any]]) -> None:
        self._core = core
        self._run = run

    async def detect(
        self, base_url: str | None = None, *, timeout: float | None = DETECT_TIMEOUT
    ) -> ServerInfo:
        """Ask a server what it is: TGI, TEI, vLLM, llama.cpp, SGLang or another.

        Three to seven GETs, none of which costs anything. The address gets the client's token,
        as ``base_url`` does. Nothing is remembered: keep the result, and pass
        ``dialect=info.dialect`` to chat calls with ``response_format``.

        Args:
            base_url: Address, with or without ``/v1``; that of the client when None.
            timeout: Seconds for each question; None waits for ever.

        Raises:
            NotFoundError: Nothing there is a server of models.
            ServiceUnavailableError: It is still loading its model.
            APIError: It cannot be reached, or refuses the token.
        """
        info: ServerInfo = await self._run(detect(self._core, base_url, timeout))
        return info
