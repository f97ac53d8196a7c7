"""Cached answers in Redis, shared by machines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from shared_core.config.secrets import unwrap
from shared_core.errors import InvalidSettingError, StoreUnavailableError
from shared_core.resilience.checks import redis_url

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis


class RedisStore:
    """Keeps answers in Redis, shared by machines. Needs ``pip install 'hfrouter[redis]'``.

    Sizes are Redis's own business: set ``maxmemory`` and ``maxmemory-policy allkeys-lru`` there.

    Args:
        url: e.g. ``"redis://localhost:6379/0"``; may hold a password, which is never shown.
        prefix: Put before every key.
        timeout: Seconds for each command; a slower Redis counts as unavailable.

    Raises:
        InvalidSettingError: The URL is refused.
    """

    instant = False
    _PAGE: ClassVar[int] = 500

    def __init__(self, url: str, *, prefix: str = "hfr:cache:", timeout: float = 1.0) -> None:
        self._url = redis_url(url)
        self.prefix = prefix
        self.timeout = timeout
        self._client: Redis | None = None
        self._per_loop: WeakKeyDictionary[Any, AsyncRedis] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """Return the value, or None if there is none or it is too old.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        value: Any = self._do(lambda redis: redis.get(self.prefix + key))
        return None if value is None else bytes(value)

    def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep *value* for *ttl* seconds.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        self._do(lambda redis: redis.set(self.prefix + key, value, px=_milliseconds(ttl)))

    async def aget(self, key: str) -> bytes | None:
        """Like :meth:`get`, without blocking the event loop."""
        from redis.exceptions import RedisError

        try:
            value: Any = await self._async_client().get(self.prefix + key)
        except (RedisError, OSError) as error:
            raise self._unavailable(error) from None
        return None if value is None else bytes(value)

    async def aset(self, key: str, value: bytes, ttl: float) -> None:
        """Like :meth:`set`, without blocking the event loop."""
        from redis.exceptions import RedisError

        try:
            await self._async_client().set(self.prefix + key, value, px=_milliseconds(ttl))
        except (RedisError, OSError) as error:
            raise self._unavailable(error) from None

    def clear(self) -> None:
        """Forget everything under the prefix.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """

        def wipe(redis: Redis) -> None:
            for key in redis.scan_iter(match=f"{self.prefix}*", count=self._PAGE):
                redis.delete(key)

        self._do(wipe)

    def size(self) -> tuple[int, int]:
        """Return -1 for unknown: counting would read the whole database."""
        return -1, -1

    def close(self) -> None:
        """Close the connections of blocking calls; those of event loops end with the loop."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _do(self, command: Callable[[Redis], Any]) -> Any:
        with self._lock:
            client = self._client
            if client is None:
                client = _redis().Redis.from_url(str(unwrap(self._url)), **self._options())
                self._client = client
        from redis.exceptions import RedisError

        try:
            return command(client)
        except (RedisError, OSError) as error:
            raise self._unavailable(error) from None

    def _async_client(self) -> AsyncRedis:
        loop = asyncio.get_running_loop()
        with self._lock:
            client = self._per_loop.get(loop)
            if client is None:
                _redis()
                from redis.asyncio import Redis as AsyncRedis

                client = AsyncRedis.from_url(str(unwrap(self._url)), **self._options())
                self._per_loop[loop] = client
        return client

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        with self._lock:
            client = self._per_loop.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _options(self) -> dict[str, Any]:
        return {"socket_timeout": self.timeout, "socket_connect_timeout": self.timeout}

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(f"the cache in Redis failed: {type(error).__name__}")

    def __repr__(self) -> str:
        return f"<RedisStore {self.prefix}*>"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a RedisStore may hold a password and cannot be pickled: build it anew")

    def __deepcopy__(self, memo: object) -> RedisStore:
        return self


def _redis() -> Any:
    try:
        import redis
    except ImportError:
        raise InvalidSettingError(
            "a cache in Redis needs its client", guidance="pip install 'hfrouter[redis]'"
        ) from None
    return redis


def _milliseconds(ttl: float) -> int:
    return max(int(ttl * 1000), 1)
