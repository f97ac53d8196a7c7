"""A server and both clients for the tests over sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.fault_server import FaultServer
from tests.helpers.redis_server import MissingRedisError, RedisServer
from tests.shared_core.resilience.helpers import GOOD, PATH, Both, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(PATH, GOOD)
        yield running


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest, server: FaultServer) -> Both:
    return Both(request.param, server)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real redis-server."""
    try:
        server = RedisServer()
    except MissingRedisError as reason:
        pytest.skip(str(reason))
    with server:
        yield server.url
