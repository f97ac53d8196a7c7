"""The HTTP wires: authentication, redirects and errors around one exchange.

Calls go through an ``httpx.Client`` / ``httpx.AsyncClient`` over our transport (a pool of our
own), so that recorders and instrumentation that patch httpx keep working; or through the client
that the user gave. This is the only place that reads the token.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NoReturn

import httpx

from shared_core.config.proxies import Proxies
from shared_core.config.settings import Settings
from shared_core.errors import APIError
from shared_core.wire.answer import Collector, is_event_stream, next_hop
from shared_core.wire.failures import FAILURES, Call, translate
from shared_core.wire.inflate import ACCEPT_ENCODING
from shared_core.wire.messages import Headers, WireRequest, WireResponse
from shared_core.wire.outgoing import (
    add_headers,
    encoded_body,
    parsed_url,
    response_headers,
    without_secrets,
)
from shared_core.wire.streams import AsyncHTTPStream, HTTPStream, async_reader_for, reader_for
from shared_core.wire.tls import context_for
from shared_core.wire.transport.async_pool import AsyncHTTPTransport
from shared_core.wire.transport.options import DEADLINE, PoolOptions
from shared_core.wire.transport.route import PUBLIC_ONLY, Origin, Proxy, parse_proxy
from shared_core.wire.transport.sync_pool import HTTPTransport

_HTTPX_OWN = frozenset({"accept", "accept-encoding", "connection", "user-agent"})
"""Headers that every httpx client has of itself."""

_inherited: list[Any] = []
"""Transports of the parent process in a forked child: kept, so that nothing touches them."""


def pool_options(settings: Settings) -> PoolOptions:
    """Return what the pools need to know of *settings*."""
    limits = settings.limits
    return PoolOptions(
        ssl_context=lambda: context_for(settings.tls),
        max_connections=limits.max_connections,
        keepalive=limits.keepalive_seconds,
        max_header_bytes=limits.max_header_bytes,
        proxy_toward=_proxy_toward(settings.proxies) if settings.proxies else None,
    )


def _proxy_toward(proxies: Proxies) -> Callable[[Origin], Proxy | None]:
    def toward(origin: Origin) -> Proxy | None:
        found = proxies.toward(origin.scheme.decode("ascii"), origin.host, origin.port)
        return None if found is None else parse_proxy(found.url.get_secret_value(), found.source)

    return toward


# --- requests ---------------------------------------------------------------------------


def prepare(call: Call, client: httpx.Client | httpx.AsyncClient | None = None) -> httpx.Request:
    """Return *call* as a request with all its headers, the token included.

    Args:
        call: What to send.
        client: The user's own client, whose headers come before ours, or None.

    Raises:
        InvalidSettingError: URL, header or body cannot be sent.
        MissingTokenError: The host wants a token and there is none.
    """
    request = call.request
    url = parsed_url(call.url)
    body = encoded_body(request)
    host = url.netloc
    headers: dict[bytes, tuple[bytes, bytes]] = {
        b"host": (b"Host", host),
        b"user-agent": (b"User-Agent", call.settings.user_agent.encode("ascii")),
        b"accept": (b"Accept", b"text/event-stream" if request.stream else b"application/json"),
        b"accept-encoding": (b"Accept-Encoding", ACCEPT_ENCODING.encode()),
    }
    if request.json is not None:
        headers[b"content-type"] = (b"Content-Type", b"application/json")
    if request.auth:
        if call.settings.at_home(call.url):
            add_headers(headers, _of_client(client), "http_client")
            add_headers(headers, call.settings.default_headers, "default_headers")
        _authorize(headers, call)
    add_headers(headers, request.headers, "extra_headers")
    if body or request.method not in ("GET", "HEAD"):
        headers[b"content-length"] = (b"Content-Length", b"%d" % len(body))
    left = call.deadline.remaining()
    connect = call.deadline.at_most(call.deadline.connect_timeout)
    return httpx.Request(
        request.method,
        url,
        headers=list(headers.values()),
        stream=httpx.ByteStream(body),
        extensions={
            DEADLINE: call.deadline,
            PUBLIC_ONLY: request.public_only,
            "timeout": {"connect": connect, "read": left, "write": left, "pool": left},
        },
    )


def _of_client(client: httpx.Client | httpx.AsyncClient | None) -> dict[str, str]:
    """Return the headers that the user set on a client of their own, without httpx's."""
    if client is None:
        return {}
    return {name: value for name, value in client.headers.items() if name not in _HTTPX_OWN}


def _authorize(headers: dict[bytes, tuple[bytes, bytes]], call: Call) -> None:
    settings = call.settings
    payer = settings.bill_to if settings.trusts(call.url) else None
    if payer is not None and b"x-hf-bill-to" not in headers:
        headers[b"x-hf-bill-to"] = (b"X-HF-Bill-To", payer.encode("ascii"))
    if b"authorization" in headers:
        return  # set by the user for a gateway of their own
    secret = settings.token_for(call.url, required=call.request.method == "POST")
    if secret is not None:
        headers[b"authorization"] = (
            b"Authorization",
            f"{call.request.auth_scheme} {secret.get_secret_value()}".encode("ascii"),
        )


# --- the blocking wire ------------------------------------------------------------------


class HTTPWire:
    """Performs exchanges over HTTP, blocking; safe to share between threads.

    A forked child gets connections of its own; copies and pickles start without any.

    Args:
        settings: Addresses, token, limits.
        http_client: A client to use instead of our own; never closed here.
    """

    def __init__(self, settings: Settings, *, http_client: httpx.Client | None = None) -> None:
        self.settings = settings
        self._client = http_client
        self._own: dict[int, tuple[HTTPTransport, httpx.Client]] = {}

    def send(self, request: WireRequest) -> WireResponse:
        """Perform one exchange and read its whole body, whatever the status.

        Raises:
            APIConnectionError: There is no complete answer in time.
            RedirectRefusedError: The server points where this request may not go.
            APIResponseValidationError: A 2xx body is over its limit or broken.
        """
        call = Call.begin(request, self.settings)
        response, headers = self._exchange(call)
        return self._collect(call, response, headers)

    def open(self, request: WireRequest) -> HTTPStream | WireResponse:
        """Perform one exchange; a stream only for a 2xx event stream, else the whole answer.

        Raises:
            APIConnectionError: There is no complete answer in time.
            RedirectRefusedError: The server points where this request may not go.
            APIResponseValidationError: A 2xx body is over its limit or broken.
        """
        call = Call.begin(request, self.settings)
        response, headers = self._exchange(call)
        status = response.status_code
        if not is_event_stream(status, headers):
            return self._collect(call, response, headers)
        reader = reader_for(response, call)
        try:
            return HTTPStream(call, status, headers, reader, decoded=response.is_stream_consumed)
        except APIError:
            reader.close()
            raise

    def close(self) -> None:
        """Close all connections; the wire can be used again afterwards."""
        own = self._own.pop(os.getpid(), None)
        if own is not None:
            own[0].close()  # not the client: other threads may still use it

    def _exchange(self, call: Call) -> tuple[httpx.Response, Headers]:
        while True:
            response = self._answer(call)
            call.answered = True
            headers = response_headers(response)
            target = next_hop(call, response.status_code, headers)
            if target is None:
                return response, without_secrets(headers, call)
            del headers  # they may echo what was sent
            response.close()
            if isinstance(target, APIError):
                raise target
            call.url = target
            call.answered = False

    def _answer(self, call: Call) -> httpx.Response:
        request = prepare(call, self._client)
        client = self._client or self._own_client()
        try:
            return client.send(request, stream=True, follow_redirects=False)
        except FAILURES as exc:
            problem = translate(exc, call)
        raise problem

    def _own_client(self) -> httpx.Client:
        pid = os.getpid()
        own = self._own.get(pid)
        if own is None:
            transport = HTTPTransport(pool_options(self.settings))
            client = httpx.Client(transport=transport, trust_env=False, cookies=_no_cookies())
            own = self._own.setdefault(pid, (transport, client))
            for other in [key for key in self._own if key != pid]:
                self._own.pop(other, None)
        return own[1]

    def _collect(self, call: Call, response: httpx.Response, headers: Headers) -> WireResponse:
        status = response.status_code
        reader = reader_for(response, call)
        problem: APIError | None = None
        try:
            collector = Collector(call, status, headers, decoded=response.is_stream_consumed)
        except APIError:
            reader.close()
            raise
        try:
            while (data := reader.read()) and collector.feed(data):
                pass
            if not data:
                return collector.finish()
        except FAILURES as exc:
            if 200 <= status < 300:
                problem = translate(exc, call)
            else:
                collector.cut()
        finally:
            reader.close()
        if problem is not None:
            raise problem
        return collector.finish()

    def __deepcopy__(self, memo: dict[int, Any]) -> HTTPWire:
        return HTTPWire(self.settings, http_client=self._client)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._client is not None:
            _refuse_pickle("http_client")
        return HTTPWire, (self.settings,)

    def __repr__(self) -> str:
        return f"HTTPWire({self.settings.base_url!r})"


def _no_cookies() -> CookieJar:
    """Return a jar that stays empty: a server may not make us grow, or mark us."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def _refuse_pickle(name: str) -> NoReturn:
    raise TypeError(f"a client with {name}= cannot be pickled: build it in the other process")


# --- the asynchronous wire --------------------------------------------------------------


class AsyncHTTPWire:
    """Performs exchanges over HTTP in the running event loop, without threads.

    Each event loop and each forked child gets connections of its own; they end with the loop.

    Args:
        settings: Addresses, token, limits.
        http_client: A client to use instead of our own; never closed here.
    """

    def __init__(self, settings: Settings, *, http_client: httpx.AsyncClient | None = None) -> None:
        self.settings = settings
        self._client = http_client
        self._own: dict[int, tuple[AsyncHTTPTransport, httpx.AsyncClient]] = {}

    async def send(self, request: WireRequest) -> WireResponse:
        """Perform one exchange and read its whole body, whatever the status.

        Raises:
            APIConnectionError: There is no complete answer in time.
            RedirectRefusedError: The server points where this request may not go.
            APIResponseValidationError: A 2xx body is over its limit or broken.
        """
        call = Call.begin(request, self.settings)
        response, headers = await self._exchange(call)
        return await self._collect(call, response, headers)

    async def open(self, request: WireRequest) -> AsyncHTTPStream | WireResponse:
        """Perform one exchange; a stream only for a 2xx event stream, else the whole answer.

        Raises:
            APIConnectionError: There is no complete answer in time.
            RedirectRefusedError: The server points where this request may not go.
            APIResponseValidationError: A 2xx body is over its limit or broken.
        """
        call = Call.begin(request, self.settings)
        response, headers = await self._exchange(call)
        status = response.status_code
        if not is_event_stream(status, headers):
            return await self._collect(call, response, headers)
        decoded = response.is_stream_consumed
        reader = async_reader_for(response, call)
        try:
            return AsyncHTTPStream(call, status, headers, reader, decoded=decoded)
        except APIError:
            await reader.aclose()
            raise

    async def aclose(self) -> None:
        """Close the running loop's connections; the wire can be used again afterwards."""
        loop = asyncio.get_running_loop()
        own = self._own.get(id(loop))
        if own is not None and own[0].belongs_to(loop):
            del self._own[id(loop)]
            await own[0].aclose()

    async def _exchange(self, call: Call) -> tuple[httpx.Response, Headers]:
        while True:
            response = await self._answer(call)
            call.answered = True
            headers = response_headers(response)
            target = next_hop(call, response.status_code, headers)
            if target is None:
                return response, without_secrets(headers, call)
            del headers  # they may echo what was sent
            await response.aclose()
            if isinstance(target, APIError):
                raise target
            call.url = target
            call.answered = False

    async def _answer(self, call: Call) -> httpx.Response:
        request = prepare(call, self._client)
        client = self._client
        try:
            if client is None:
                own = self._own_client()
                return await own.send(request, stream=True, follow_redirects=False)
            async with asyncio.timeout(call.deadline.remaining()):
                return await client.send(request, stream=True, follow_redirects=False)
        except FAILURES as exc:
            problem = translate(exc, call)
        raise problem

    def _own_client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        own = self._own.get(id(loop))
        if own is None or not own[0].belongs_to(loop):
            self._sweep()
            transport = AsyncHTTPTransport(pool_options(self.settings), loop)
            client = httpx.AsyncClient(transport=transport, trust_env=False, cookies=_no_cookies())
            own = self._own[id(loop)] = (transport, client)
        return own[1]

    def _sweep(self) -> None:
        """Forget the pools of loops that have ended, and leave a parent's alone."""
        for key, (transport, client) in list(self._own.items()):
            if transport.inherited:
                _inherited.append((transport, client))
                self._own.pop(key, None)
            elif transport.ended:
                self._own.pop(key, None)
                transport.abandon()

    async def _collect(
        self, call: Call, response: httpx.Response, headers: Headers
    ) -> WireResponse:
        status = response.status_code
        decoded = response.is_stream_consumed
        reader = async_reader_for(response, call)
        problem: APIError | None = None
        try:
            collector = Collector(call, status, headers, decoded=decoded)
        except APIError:
            await reader.aclose()
            raise
        try:
            while (data := await reader.read()) and collector.feed(data):
                pass
            if not data:
                return collector.finish()
        except FAILURES as exc:
            if 200 <= status < 300:
                problem = translate(exc, call)
            else:
                collector.cut()
        finally:
            await reader.aclose()
        if problem is not None:
            raise problem
        return collector.finish()

    def __deepcopy__(self, memo: dict[int, Any]) -> AsyncHTTPWire:
        return AsyncHTTPWire(self.settings, http_client=self._client)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._client is not None:
            _refuse_pickle("http_async_client")
        return AsyncHTTPWire, (self.settings,)

    def __repr__(self) -> str:
        return f"AsyncHTTPWire({self.settings.base_url!r})"
