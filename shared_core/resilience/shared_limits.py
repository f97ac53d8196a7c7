"""A rate limit that many processes share, kept in Redis by pyrate-limiter.

One hash per limit and one Lua step per attempt; a pause that a server asked for is a key that
expires. Each process keeps its own buckets of the same
size in front, which spares round trips and holds on when Redis is away.
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from shared_core.config.secrets import HiddenURL, unwrap
from shared_core.errors import InvalidSettingError, RateLimiterRejectedError
from shared_core.flow import Flow, Perform, Sleep
from shared_core.resilience.checks import redis_url
from shared_core.resilience.per_endpoint import PerEndpoint

if TYPE_CHECKING:
    from shared_core.resilience.rate_limiter import RateLimit

_MILLISECONDS = 1000


class RedisLimitStore:
    """Keeps a rate limit in Redis. Needs ``pip install 'hfrouter[redis]'``.

    Processes that use the same Redis, name and rates share one limit. Their clocks should agree:
    a process whose clock is ahead gets its permits earlier. The order between processes is not
    fair; within one it is.

    Args:
        url: e.g. ``"redis://localhost:6379/0"``; may hold a password, which is never shown.
        name: Name of the shared limit, e.g. of the account whose quota it is.
        timeout: Seconds to wait for Redis.
        on_error: When Redis does not answer: ``"local"`` goes on with the buckets of this
            process alone, with a warning in the log; ``"refuse"`` lets no call pass.

    Raises:
        InvalidSettingError: A value is refused.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "default",
        timeout: float = 1.0,
        on_error: Literal["local", "refuse"] = "local",
    ) -> None:
        if on_error not in ("local", "refuse"):
            raise InvalidSettingError(
                f"on_error must be 'local' or 'refuse': {on_error!r}", setting="on_error"
            )
        self.url = redis_url(url)
        self.name = name
        self.timeout = timeout
        self.on_error = on_error
        self._lock = threading.Lock()
        self._made: tuple[Any, PerEndpoint[Any]] | None = None
        self._warned = False

    def taking(
        self,
        limit: RateLimit,
        endpoint: str,
        requests: float,
        tokens: float,
        longest: float | None,
    ) -> Flow[None]:
        """Return the flow that waits for a permit of all processes together.

        Args:
            limit: The rates.
            endpoint: Whose limit it is.
            requests: How many requests.
            tokens: How many tokens.
            longest: Longest wait in seconds, None for any.

        Raises:
            RateLimiterRejectedError: The wait would be longer.
        """
        from shared_core.resilience.rate_limiter import refusal

        waited = 0.0
        for weight, of_tokens in ((requests, False), (tokens, True)):
            if weight <= 0 or not any(rate.tokens == of_tokens for rate in limit.rates):
                continue

            take = partial(self._take, limit, endpoint, weight, of_tokens)
            while wait := (yield Perform(take, partial(asyncio.to_thread, take))):
                if longest is not None and waited + wait > longest:
                    raise refusal(endpoint, wait, max(longest - waited, 0.0))
                yield Sleep(wait)
                waited += wait

    def pausing(self, endpoint: str, seconds: float) -> Flow[None]:
        """Return the flow that holds back the calls of all processes to *endpoint*.

        Args:
            endpoint: Who asked for it.
            seconds: How long. A pause that is on already stays as it is.
        """
        pause = partial(self._pause, endpoint, seconds)
        yield Perform(pause, partial(asyncio.to_thread, pause))

    def _pause(self, endpoint: str, seconds: float) -> None:
        library = self._library()
        try:
            client, _ = self._connected()
            wait = max(round(seconds * _MILLISECONDS), 1)
            client.set(self._key(endpoint, "pause"), 1, px=wait, nx=True)
        except library.exceptions.RedisError as error:
            self._warn(type(error).__name__)  # the process that was asked pauses in any case

    def _key(self, endpoint: str, what: str) -> str:
        return f"hfr:{self.name}:{endpoint}:{what}"

    def _take(self, limit: RateLimit, endpoint: str, weight: float, of_tokens: bool) -> float:
        """Take *weight* if it is there; return the seconds to wait otherwise."""
        library = self._library()
        try:
            return self._ask(limit, endpoint, weight, of_tokens)
        except library.exceptions.RedisError as error:
            kind = type(error).__name__
        if self.on_error == "refuse":
            raise RateLimiterRejectedError(
                f"the shared rate limit {self.name!r} is out of reach ({kind})",
                guidance="Check Redis, or let this process go on alone: on_error='local'.",
            )
        self._warn(kind)
        return 0.0

    def _ask(self, limit: RateLimit, endpoint: str, weight: float, of_tokens: bool) -> float:
        from pyrate_limiter import Rate as PyrateRate
        from pyrate_limiter import TokenBucket

        client, stores = self._connected()
        paused = client.pttl(self._key(endpoint, "pause"))  # below 0 without one
        if paused > 0:
            return float(paused) / _MILLISECONDS
        store = stores[self._key(endpoint, "tokens" if of_tokens else "requests")]
        rates = [
            # Whole numbers for its integer arithmetic: so many units in so many milliseconds.
            PyrateRate(
                max(round(rate.capacity), 1),
                max(round(rate.capacity / rate.per_second * _MILLISECONDS), 1),
            )
            for rate in limit.rates
            if rate.tokens == of_tokens
        ]
        units = min(max(round(weight), 1), *(rate.burst for rate in rates), 2**31)
        decision = store.check(TokenBucket(), rates, store.default_clock.now(), units)
        self._warned = False
        return 0.0 if decision.allowed else max(decision.retry_after_ms or 0, 1) / _MILLISECONDS

    def _library(self) -> Any:
        try:
            import pyrate_limiter  # noqa: F401
            import redis
        except ImportError as error:
            raise ImportError(
                "a shared rate limit needs Redis support: pip install 'hfrouter[redis]'"
            ) from error
        return redis

    def _connected(self) -> tuple[Any, PerEndpoint[Any]]:
        with self._lock:
            if self._made is None:
                from pyrate_limiter import RedisStateStore

                client = self._library().Redis.from_url(
                    str(unwrap(self.url)),
                    socket_timeout=self.timeout,
                    socket_connect_timeout=self.timeout,
                )
                # The library types its answers for blocking and asynchronous clients alike.
                self._made = client, PerEndpoint[Any](lambda key: RedisStateStore(client, key))
            return self._made

    def _warn(self, kind: str) -> None:
        if not self._warned:
            from shared_core.log import logger

            self._warned = True
            logger.warning(
                "the shared rate limit %r is out of reach (%s); this process goes on alone",
                self.name,
                kind,
            )

    def close(self) -> None:
        """Close the connections to Redis; the store can be used again afterwards."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made[0].close()

    def __deepcopy__(self, memo: dict[int, Any]) -> RedisLimitStore:
        return self  # the limit is shared by its very nature

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.url, self.name, self.timeout, self.on_error)

    def __repr__(self) -> str:
        return f"RedisLimitStore({self.url!r}, name={self.name!r}, on_error={self.on_error!r})"


def _rebuild(
    url: HiddenURL, name: str, timeout: float, on_error: Literal["local", "refuse"]
) -> RedisLimitStore:
    return RedisLimitStore(url, name=name, timeout=timeout, on_error=on_error)  # type: ignore[arg-type]
