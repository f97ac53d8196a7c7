"""A rate limit that many processes share, kept in Redis by pyrate-limiter.

One hash per limit, one Lua step per attempt, and one to correct its tokens; a pause that a server
asked for is a key that expires. Each process keeps its own buckets of the same
size in front, which spares round trips and holds on when Redis is away.
"""

from __future__ import annotations

import asyncio
import contextlib
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
_ALONE = -1.0  # in the place of a wait: Redis was not asked, and holds nothing of this call

_CORRECT = """
-- One field for each rate, as pyrate-limiter keeps it: the moment at which the bucket would be
-- full again, in microseconds. What is taken moves it on by `emission` for each unit.
local now, extra = tonumber(ARGV[1]) * 1000, tonumber(ARGV[2])
local longest = 1
for i = 1, (#ARGV - 2) / 2 do
    local emission, burst = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
    local full_at = math.max(tonumber(redis.call('HGET', KEYS[1], 'tat' .. i) or 0), now)
    local moved = full_at + extra * emission
    if extra > 0 then  -- at most an empty bucket
        moved = math.max(full_at, math.min(moved, now + burst * emission))
    else  -- at most a full one
        moved = math.max(moved, now)
    end
    redis.call('HSET', KEYS[1], 'tat' .. i, string.format('%.0f', moved))
    longest = math.max(longest, math.ceil(2 * burst * emission / 1000))
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', longest))
"""


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
        self._made: tuple[Any, PerEndpoint[Any], Any] | None = None
        self._warned = False

    def taking(
        self,
        limit: RateLimit,
        endpoint: str,
        requests: float,
        tokens: float,
        longest: float | None,
    ) -> Flow[int | None]:
        """Return the flow that waits for a permit of all processes together.

        The flow returns the tokens that were taken, None if none were: :meth:`correcting` wants
        to know.

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

        waited, taken = 0.0, None
        for weight, of_tokens in ((requests, False), (tokens, True)):
            if weight <= 0 or not any(rate.tokens == of_tokens for rate in limit.rates):
                continue

            take = partial(self._take, limit, endpoint, weight, of_tokens)
            while (wait := (yield Perform(take, partial(asyncio.to_thread, take)))) > 0:
                if longest is not None and waited + wait > longest:
                    raise refusal(endpoint, wait, max(longest - waited, 0.0))
                yield Sleep(wait)
                waited += wait
            if of_tokens and wait != _ALONE:
                taken = _units(weight, _rates(limit, of_tokens))
        return taken

    def correcting(self, limit: RateLimit, endpoint: str, taken: int, used: int) -> Flow[None]:
        """Return the flow that puts what a call used in the place of what was taken for it.

        Args:
            limit: The rates.
            endpoint: Whose limit it is.
            taken: Tokens that were taken before the call.
            used: Tokens that the server counted.
        """
        if taken != used:
            correct = partial(self._correct, limit, endpoint, used - taken)
            yield Perform(correct, partial(asyncio.to_thread, correct))

    def correct_soon(self, limit: RateLimit, endpoint: str, taken: int, used: int) -> None:
        """Do what :meth:`correcting` does, at the end of a stream: no event loop waits for it."""
        if taken == used:
            return
        correct = partial(self._correct, limit, endpoint, used - taken)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return correct()
        with contextlib.suppress(RuntimeError):  # the loop is ending: nobody could wait for it
            loop.run_in_executor(None, correct)

    def _correct(self, limit: RateLimit, endpoint: str, extra: int) -> None:
        from pyrate_limiter import TokenBucket

        library = self._library()
        try:
            _, stores, script = self._connected()
            key = self._key(endpoint, "tokens")
            sizes = TokenBucket().redis_args(_rates(limit, True))
            script(keys=[key], args=[stores[key].default_clock.now(), extra, *sizes])
        except library.exceptions.RedisError as error:
            self._warn(type(error).__name__)  # the buckets of this process know it in any case

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
            client, _, _ = self._connected()
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
        return _ALONE

    def _ask(self, limit: RateLimit, endpoint: str, weight: float, of_tokens: bool) -> float:
        from pyrate_limiter import TokenBucket

        client, stores, _ = self._connected()
        paused = client.pttl(self._key(endpoint, "pause"))  # below 0 without one
        if paused > 0:
            return float(paused) / _MILLISECONDS
        store = stores[self._key(endpoint, "tokens" if of_tokens else "requests")]
        rates = _rates(limit, of_tokens)
        units = _units(weight, rates)
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

    def _connected(self) -> tuple[Any, PerEndpoint[Any], Any]:
        with self._lock:
            if self._made is None:
                from pyrate_limiter import RedisStateStore

                client = self._library().Redis.from_url(
                    str(unwrap(self.url)),
                    socket_timeout=self.timeout,
                    socket_connect_timeout=self.timeout,
                )
                # The library types its answers for blocking and asynchronous clients alike.
                stores = PerEndpoint[Any](lambda key: RedisStateStore(client, key))
                self._made = client, stores, client.register_script(_CORRECT)
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


def _rates(limit: RateLimit, of_tokens: bool) -> list[Any]:
    """Return the rates of tokens, or of requests, as pyrate-limiter wants them."""
    from pyrate_limiter import Rate

    return [
        # Whole numbers for its integer arithmetic: so many units in so many milliseconds.
        Rate(
            max(round(rate.capacity), 1),
            max(round(rate.capacity / rate.per_second * _MILLISECONDS), 1),
        )
        for rate in limit.rates
        if rate.tokens == of_tokens
    ]


def _units(weight: float, rates: list[Any]) -> int:
    """Return the units to take for *weight*: at least one, at most what all buckets hold."""
    return min(max(round(weight), 1), *(int(rate.burst) for rate in rates), 2**31)


def _rebuild(
    url: HiddenURL, name: str, timeout: float, on_error: Literal["local", "refuse"]
) -> RedisLimitStore:
    return RedisLimitStore(url, name=name, timeout=timeout, on_error=on_error)  # type: ignore[arg-type]
