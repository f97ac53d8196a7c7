"""What the opt-in layers cost: microseconds per call that each adds, without any network.

    python benchmarks/guards.py --calls 20000

Prints the median and the 95th percentile of a chat call through one layer, through all of them,
of a refusal by an open breaker, and of an answer from the cache.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from shared_core import (
    BreakerPolicy,
    Budget,
    Cache,
    CallLogger,
    CircuitOpenError,
    Failover,
    FailoverEndpoint,
    Metrics,
    Price,
    Prices,
    RateLimit,
    Resilience,
    RetryPolicy,
    RouterClient,
)

URL = "http://127.0.0.1:9/v1"
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ANSWER = json.dumps({"id": "c1", "model": "a/b", "choices": [CHOICE], "usage": USAGE}).encode()


class Instant:
    """A wire that answers at once."""

    def send(self, request: Any) -> Any:
        from shared_core.wire.messages import Headers, WireResponse

        headers = Headers([("content-type", "application/json")])
        return WireResponse(status=200, headers=headers, content=ANSWER, url=request.url)

    def close(self) -> None:
        """Do nothing."""


def client_of(**options: Any) -> RouterClient:
    """Return a client whose calls are answered in this process."""
    client = RouterClient("a/b", base_url=URL, api_key="hf_benchmark", **options)
    client._wire = Instant()
    return client


def policies() -> dict[str, dict[str, Any]]:
    """Return the options of a client by the name of what they turn on."""
    prices = Prices({}, default=Price(1.0, 1.0))
    breaker, limit = BreakerPolicy(), RateLimit(per_second=1e9)
    failover = Failover([FailoverEndpoint(URL, name="one", api_key="key-1234567")])
    return {
        "nothing": {},
        "deadline": {"resilience": Resilience(deadline=60)},
        "retry": {"resilience": Resilience(retry=RetryPolicy(max_retries=3))},
        "failover": {"resilience": Resilience(failover=failover)},
        "breaker": {"resilience": Resilience(breaker=breaker)},
        "rate limiter": {"resilience": Resilience(rate_limit=limit)},
        "budget": {"resilience": Resilience(budget=Budget(prices=prices))},
        "cache, missed": {"resilience": Resilience(cache=Cache())},
        "metrics": {"callbacks": [Metrics(prices)]},
        "call log, silent": {"callbacks": [CallLogger()]},
        "breaker + limiter + metrics": {
            "resilience": Resilience(breaker=breaker, rate_limit=limit, metrics=Metrics(prices))
        },
    }


def timed(call: Callable[[int], Any], count: int) -> tuple[float, float]:
    """Return the median and the 95th percentile of *count* calls, in microseconds."""
    for number in range(count // 10):
        call(-1 - number)
    taken = []
    for number in range(count):
        started = time.perf_counter()
        call(number)
        taken.append((time.perf_counter() - started) * 1e6)
    taken.sort()
    return taken[count // 2], taken[count * 95 // 100]


def refusal(client: RouterClient) -> Callable[[int], None]:
    """Return a call that an open breaker refuses."""
    assert client.resilience is not None
    assert client.resilience.breakers is not None
    client.resilience.breakers["http://127.0.0.1:9"].isolate()

    def call(number: int) -> None:
        try:
            client.chat.create("ping")
        except CircuitOpenError:
            return
        raise AssertionError("it was not refused")

    return call


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    count = parser.parse_args().calls
    print(f"{'through':30} {'median us':>10} {'p95 us':>10} {'added us':>10}")
    bare = 0.0
    for name, options in policies().items():
        client = client_of(**options)
        median, late = timed(
            lambda number, client=client: client.chat.create(f"ping {number}", temperature=0), count
        )
        bare = bare or median
        print(f"{name:30} {median:10.1f} {late:10.1f} {median - bare:10.1f}")
    client = client_of(resilience=Resilience(breaker=BreakerPolicy()))
    refused = timed(refusal(client), count)
    client = client_of(resilience=Resilience(cache=Cache()))
    hit = timed(lambda _: client.chat.create("ping", temperature=0), count)
    for name, (median, late) in (("refused by the breaker", refused), ("answered by cache", hit)):
        print(f"{name:30} {median:10.1f} {late:10.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
