"""A cache of answers: only of calls that give the same answer every time.

::

    client = RouterClient(resilience=Resilience(cache=Cache(ttl=600)))

It is the outermost layer: a hit costs no token, no permit and no request, and every caller
gets an object of its own, read from the stored body. Keys are SHA-256 digests; neither a token
nor a text can be read from them. Streams and errors are never kept.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import pydantic_core

from shared_core.callbacks import CacheEvent
from shared_core.errors import (
    APITimeoutError,
    DeadlineExceededError,
    InvalidSettingError,
    RejectedError,
    RouterError,
    StoreUnavailableError,
)
from shared_core.flow import Flow, Perform
from shared_core.resilience.cache_stores import (
    DEFAULT_BYTES,
    DEFAULT_ENTRIES,
    MemoryStore,
    Store,
)
from shared_core.resilience.checks import number, whole
from shared_core.resilience.single_flight import Flight, Flights
from shared_core.wire.messages import Headers, WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.resilience.pipeline import CallInfo, Layer, Next, Tools

CACHE_HEADER = "x-hfrouter-cache"
"""Added to the headers of a result that was not asked for anew: ``hit`` or ``joined``."""

_FORMAT = b"hfr1"
_DROPPED_HEADERS = frozenset(
    {"set-cookie", "set-cookie2", "authorization", "connection", CACHE_HEADER}
)
_DEFAULT_OPERATIONS = ("chat", "embeddings", "sentence_similarity")
_Found: TypeAlias = "tuple[bytes, WireResponse]"


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache did so far.

    Attributes:
        hits: Answers from the store.
        misses: Calls that led to a request.
        joined: Answers from an equal call in flight.
        stores: Answers that were kept.
        bypassed: Calls that may not be cached.
        failures: How often the store was not reachable.
        evictions: Entries that had to go for others; of a store in memory.
        entries: Entries kept, -1 if the store does not say.
        bytes: Their bytes, -1 if the store does not say.
    """

    hits: int = 0
    misses: int = 0
    joined: int = 0
    stores: int = 0
    bypassed: int = 0
    failures: int = 0
    evictions: int = 0
    entries: int = 0
    bytes: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of cacheable calls that needed no request of their own."""
        asked = self.hits + self.joined + self.misses
        return (self.hits + self.joined) / asked if asked else 0.0


class Cache:
    """Keeps answers and shares them. One object may serve several clients.

    A chat is cached when its ``temperature`` is 0 and it names no tools; embeddings always are.
    One call is exempt with ``extra_headers={"Cache-Control": "no-store"}``; ``no-cache`` asks
    anew and keeps the answer.

    Args:
        store: Where answers are kept; None: a :class:`MemoryStore`.
        ttl: Seconds that an answer is used.
        max_entries: Most answers of the memory store.
        max_bytes: Most bytes of the memory store.
        max_answer_bytes: Larger answers are not kept. Default 4 MiB.
        operations: What is cached.
        any_temperature: Whether chats are cached whatever their temperature. The same answer
            then comes again where a new one was meant.
        tool_calls: Whether chats with tools are cached.
        single_flight: Whether equal calls at the same time make one request.

    Raises:
        InvalidSettingError: A value is refused.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        ttl: float = 3600.0,
        max_entries: int = DEFAULT_ENTRIES,
        max_bytes: int = DEFAULT_BYTES,
        max_answer_bytes: int = 4 * 2**20,
        operations: Iterable[str] = _DEFAULT_OPERATIONS,
        any_temperature: bool = False,
        tool_calls: bool = False,
        single_flight: bool = True,
    ) -> None:
        number("cache.ttl", ttl, above=True)
        whole("cache.max_answer_bytes", max_answer_bytes, low=1)
        if isinstance(operations, str):
            raise InvalidSettingError("cache.operations must be a list of names, not one text")
        self.store: Store = MemoryStore(max_entries, max_bytes) if store is None else store
        self.ttl = ttl
        self.max_answer_bytes = max_answer_bytes
        self.operations = frozenset(operations)
        self.any_temperature = any_temperature
        self.tool_calls = tool_calls
        self.single_flight = single_flight
        self._flights = Flights()
        self._lock = threading.RLock()
        self._counts: dict[str, int] = dict.fromkeys(
            ("hits", "misses", "joined", "stores", "bypassed", "failures"), 0
        )

    @property
    def stats(self) -> CacheStats:
        """What the cache did so far; blocks while the store counts."""
        with self._lock:
            counts = dict(self._counts)
        try:
            entries, size = self.store.size()
        except StoreUnavailableError:
            entries = size = -1
        evictions = getattr(self.store, "evictions", 0)
        return CacheStats(**counts, evictions=evictions, entries=entries, bytes=size)

    def clear(self) -> None:
        """Forget all answers; the counts stay."""
        self.store.clear()

    def cacheable(self, request: WireRequest) -> bool:
        """Return whether the answer to *request* may be kept and used again."""
        body = request.json
        if request.stream or request.operation not in self.operations or body is None:
            return False
        if "no-store" in _cache_control(request.headers):
            return False
        if request.operation != "chat":
            return True
        if not isinstance(body, Mapping) or (body.get("tools") and not self.tool_calls):
            return False
        return self.any_temperature or body.get("temperature") == 0

    def key(self, request: WireRequest, settings: Settings | None) -> str:
        """Return the digest that *request* is kept under.

        It covers the address, the token, who pays, all headers of the call, and the body.

        Args:
            request: What would be sent.
            settings: Those of the client: token and default headers.
        """
        settings = request.settings or settings
        token = settings.token.get() if settings is not None and request.auth else None
        facts = [
            request.method,
            request.url,
            token.fingerprint() if token is not None else "",
            getattr(settings, "bill_to", None) or "",
            sorted(
                (name.lower(), value)
                for name, value in request.headers.items()
                if name.lower() != "cache-control"
            ),
        ]
        if settings is not None:
            facts.append(sorted((n.lower(), str(v)) for n, v in settings.default_headers.items()))
        digest = hashlib.sha256(pydantic_core.to_json(facts))
        digest.update(b"\0" + (request.body() or b""))
        return digest.hexdigest()

    def layer(self, tools: Tools) -> Layer:
        """Return the layer; its state is this object, whichever client uses it."""

        def layer(call: CallInfo, then: Next) -> Flow[Any]:
            if not self.cacheable(call.request):
                self._count("bypassed")
                return then(call)
            key = self.key(call.request, tools.settings)
            if "no-cache" in _cache_control(call.request.headers):
                return self._lead(call, then, key, Flight())
            return self._cached(call, then, key, tools.clock)

        return layer

    def _cached(
        self, call: CallInfo, then: Next, key: str, clock: Callable[[], float]
    ) -> Flow[Any]:
        began = clock()
        patience = _patience(call, began)
        while True:
            if self.store.instant or not self.single_flight:
                found = yield from self._read(call, key)
                if found is not None:
                    return (yield from self._use(call, found[1], "hit"))
            if not self.single_flight:
                return (yield from self._lead(call, then, key, Flight()))
            flight, leads = self._flights.join(key, patience)
            if leads:
                try:
                    # Once more: the flight before may have landed since.
                    found = yield from self._read(call, key)
                    if found is not None:
                        flight.land(found[0])
                        return (yield from self._use(call, found[1], "hit"))
                    return (yield from self._lead(call, then, key, flight))
                finally:
                    self._flights.over(key, flight)
            left = None if patience is None else patience - (clock() - began)
            landed = yield from self._wait(call, flight, left, patience)
            if isinstance(landed, RouterError):
                if _of_the_leader_alone(landed, flight, patience):
                    continue
                raise copy.copy(landed)
            if landed is not None:
                response = decode(landed, "joined")
                assert response is not None
                return (yield from self._use(call, response, "joined"))

    def _wait(
        self, call: CallInfo, flight: Flight, left: float | None, patience: float | None
    ) -> Flow[Any]:
        try:
            return (yield Perform(lambda: flight.wait(left), lambda: flight.wait_async(left)))
        except TimeoutError:
            raise APITimeoutError(
                f"an equal call in flight gave no answer within {patience or 0.0:g} s",
                timeout=patience,
                operation=call.request.operation,
                model=call.request.model,
                provider=call.request.provider,
                url=call.request.url,
            ) from None

    def _lead(self, call: CallInfo, then: Next, key: str, flight: Flight) -> Flow[Any]:
        begin = call.begin
        assert begin is not None
        self._count("misses")
        call.tell("on_cache", CacheEvent, outcome="miss")
        taken: list[WireResponse] = []

        def watched(answer: Any) -> Flow[Any]:
            result = yield from begin(answer)
            taken[:] = [answer]
            return result

        try:
            result = yield from then(replace(call, begin=watched))
        except RouterError as error:
            flight.land(error)
            raise
        entry = encode(taken[0]) if taken and isinstance(taken[0], WireResponse) else None
        if entry is not None:
            flight.land(entry)
            if len(entry) <= self.max_answer_bytes:
                yield from self._write(call, key, entry)
        return result

    def _use(self, call: CallInfo, response: WireResponse, how: Any) -> Flow[Any]:
        begin = call.begin
        assert begin is not None
        call.trace.cached = True
        self._count("hits" if how == "hit" else "joined")
        call.tell("on_cache", CacheEvent, outcome=how, size=len(response.content))
        return (yield from begin(response))

    def _read(self, call: CallInfo, key: str) -> Flow[_Found | None]:
        store = self.store
        try:
            if store.instant:
                found = store.get(key)
            else:
                found = yield Perform(lambda: store.get(key), lambda: store.aget(key))
        except StoreUnavailableError as error:
            self._complain(call, error)
            return None
        response = None if found is None else decode(found, "hit")
        return None if found is None or response is None else (found, response)

    def _write(self, call: CallInfo, key: str, entry: bytes) -> Flow[None]:
        store, ttl = self.store, self.ttl
        try:
            if store.instant:
                store.set(key, entry, ttl)
            else:
                yield Perform(
                    lambda: store.set(key, entry, ttl), lambda: store.aset(key, entry, ttl)
                )
        except StoreUnavailableError as error:
            self._complain(call, error)
            return
        self._count("stores")
        call.tell("on_cache", CacheEvent, outcome="store", size=len(entry))

    def _complain(self, call: CallInfo, error: StoreUnavailableError) -> None:
        from shared_core.log import logger

        self._count("failures")
        call.tell("on_cache", CacheEvent, outcome="failed")
        logger.warning("going on without the cache: %s", error.message)

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def __deepcopy__(self, memo: object) -> Cache:
        return self  # copies of a client share its answers

    def __reduce__(self) -> tuple[Callable[..., Cache], tuple[Any, ...]]:
        store = None if isinstance(self.store, MemoryStore) else self.store
        sizes = (getattr(self.store, "max_entries", 1), getattr(self.store, "max_bytes", 1))
        return _rebuild, (
            store,
            *sizes,
            {
                "ttl": self.ttl,
                "max_answer_bytes": self.max_answer_bytes,
                "operations": tuple(self.operations),
                "any_temperature": self.any_temperature,
                "tool_calls": self.tool_calls,
                "single_flight": self.single_flight,
            },
        )

    def __repr__(self) -> str:
        return (
            f"Cache({self.store!r}, ttl={self.ttl:g}, max_answer_bytes={self.max_answer_bytes}, "
            f"operations={sorted(self.operations)}, any_temperature={self.any_temperature}, "
            f"tool_calls={self.tool_calls}, single_flight={self.single_flight})"
        )


def encode(response: WireResponse) -> bytes:
    """Return an answer as bytes: one line of JSON, then the body."""
    headers = [
        (name, value)
        for name, value in response.headers.items()
        if name.lower() not in _DROPPED_HEADERS
    ]
    head = json.dumps([response.status, response.url, headers]).encode()
    return b"%s%s\n%s" % (_FORMAT, head, response.content)


def decode(entry: bytes, how: str = "") -> WireResponse | None:
    """Return the answer that :func:`encode` wrote, or None if it is not one.

    Args:
        entry: What was kept.
        how: Value of ``CACHE_HEADER`` in the answer's headers; ``""``: none.
    """
    if not entry.startswith(_FORMAT):
        return None
    head, found, content = entry[len(_FORMAT) :].partition(b"\n")
    try:
        status, url, headers = pydantic_core.from_json(head)
        pairs = [(str(name), str(value)) for name, value in headers]
    except (ValueError, TypeError):
        return None
    if not found or not isinstance(status, int) or not isinstance(url, str):
        return None
    if how:
        pairs.append((CACHE_HEADER, how))
    return WireResponse(status=status, headers=Headers(pairs), content=content, url=url)


def _patience(call: CallInfo, now: float) -> float | None:
    """Return the seconds that *call* may wait for an answer: its timeout, or its deadline."""
    limits = [call.request.timeout, None if call.expires is None else call.expires - now]
    return min((limit for limit in limits if limit is not None), default=None)


def _of_the_leader_alone(error: RouterError, flight: Flight, patience: float | None) -> bool:
    """Return whether *error* says nothing about a call that would wait for *patience* seconds.

    A guard of the leader's client refused it, or the leader was less patient.
    """
    if not isinstance(error, APITimeoutError | DeadlineExceededError):
        return isinstance(error, RejectedError)
    if flight.patience is None:
        return False
    return patience is None or flight.patience < patience


def _cache_control(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if name.lower() == "cache-control":
            return value.lower()
    return ""


def _rebuild(
    store: Store | None, max_entries: int, max_bytes: int, options: dict[str, Any]
) -> Cache:
    return Cache(store, max_entries=max_entries, max_bytes=max_bytes, **options)
