"""Structured logs, metrics, quotas, the newer catalogue; containers that are sent back whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared_core import RetryPolicy, errors
from tests.helpers.fault_server import (
    FaultServer,
    Received,
    Reply,
    drop,
    json_reply,
    sse_bytes,
    text_reply,
)
from tests.shared_core.endpoints.control import MACHINE, Ask, asker, control_plane, endpoint

ONE = "/v2/endpoint/ann/chat-a1"
THREE = "/v3/endpoint/ann/chat-a1"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with control_plane() as server:
        yield server.on(ONE, json_reply(endpoint()))


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, server: FaultServer) -> Ask:
    return asker(request.param, server)


@pytest.fixture(params=["resource", "handle"])
def call(request: pytest.FixtureRequest, ask: Ask) -> Any:
    """``call(method, ...)`` on ``client.endpoints`` with a name, or on the endpoint's object."""

    def made(method: str, *args: Any, then: Any = None, **kwargs: Any) -> Any:
        steps = [then] if then else []
        if request.param == "resource":
            return ask(lambda one: getattr(one, method)("chat-a1", *args, **kwargs), *steps)
        return ask(
            lambda one: one.get("chat-a1"),
            lambda handle: getattr(handle, method)(*args, **kwargs),
            *steps,
        )

    return made


def everything(stream: Any) -> Any:
    if hasattr(stream, "close"):
        return list(stream)

    async def collect() -> list[Any]:
        return [item async for item in stream]

    return collect()


def test_structured_log(server: FaultServer, call: Any) -> None:
    sent = {"entries": [{"level": "error", "msg": "no"}]}
    server.on(f"{THREE}/logs", json_reply(sent))
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    found = call(
        "log_entries",
        replica="r-1",
        level="error",
        search="no disk",
        since=since,
        until="2026-01-02T04:00:00Z",
        tail=5,
        limit=5000,
    )
    assert found == sent
    assert server.requests[-1].target == (
        f"{THREE}/logs?replica=r-1&level=error&search=no+disk&since=2026-01-02T03%3A04%3A05%2B00%3A00"
        "&until=2026-01-02T04%3A00%3A00Z&tail=5&limit=5000"
    )


def test_structured_log_as_it_is_written(server: FaultServer, call: Any) -> None:
    server.on(
        f"{THREE}/logs/sse",
        sse_bytes(b'data: {"msg": "on', b'e"}\n\n: ping\n\ndata: [1, 2]\n\ndata: bare\n\n'),
    )
    found = call("follow_log_entries", level="info", tail=3, then=everything)
    assert found == [{"msg": "one"}, 1, 2, "bare"]
    assert server.requests[-1].target == f"{THREE}/logs/sse?level=info&tail=3"
    assert server.requests[-1].headers["accept"] == "text/event-stream"


@pytest.mark.parametrize("method", ["log_entries", "follow_log_entries"])
def test_service_without_a_structured_log(server: FaultServer, call: Any, method: str) -> None:
    for path in ("logs", "logs/sse"):
        server.on(f"{THREE}/{path}", json_reply({"error": "not available"}, 501))
    with pytest.raises(errors.NotImplementedByServerError, match="not available"):
        call(method)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": 5001}, "limit"),
        ({"limit": 0}, "limit"),
        ({"tail": 0}, "tail"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-02T03:04:05"}, "time zone"),
        ({"until": datetime(2026, 1, 2)}, "until"),
        ({"level": 3}, "level"),
        ({"from": "x"}, "from"),
    ],
)
def test_wrong_filters_are_named_and_nothing_is_sent(
    server: FaultServer, ask: Ask, query: dict[str, Any], named: str
) -> None:
    with pytest.raises(errors.InvalidSettingError, match=named):
        ask(lambda endpoints: endpoints.log_entries("chat-a1", **query))
    assert server.requests == []
    with pytest.raises(errors.InvalidSettingError):
        ask(lambda endpoints: endpoints.follow_log_entries("chat-a1", limit=3))


def test_plain_log_and_its_stream(server: FaultServer, call: Any) -> None:
    server.on(f"{ONE}/logs", text_reply("one\ntwo\n"))
    server.on(f"{ONE}/logs/sse", sse_bytes(b"data: one\n\n"))
    assert call("logs", tail=2, replica="r-1") == "one\ntwo\n"
    assert server.requests[-1].target == f"{ONE}/logs?tail=2&replica=r-1"
    assert call("follow_logs", tail=2, then=everything) == ["one"]


def test_metrics(server: FaultServer, call: Any) -> None:
    server.on(f"{ONE}/metrics", json_reply([1, {"a": None}]))
    server.on(f"{ONE}/metrics/vllm/prefix-cache", json_reply({"points": []}))
    assert call("metrics") == [1, {"a": None}]
    assert (server.requests[-1].method, server.requests[-1].json()) == ("POST", {})
    assert call("metrics", "vllm/prefix-cache", params={"from": "x"}) == {"points": []}
    assert server.requests[-1].json() == {"from": "x"}


@pytest.mark.parametrize(
    "given", [{"metric": "../x"}, {"metric": "a b"}, {"metric": ""}, {"params": [1]}]
)
def test_wrong_metrics(server: FaultServer, ask: Ask, given: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidSettingError):
        ask(lambda endpoints: endpoints.metrics("chat-a1", **given))
    assert server.requests == []


def test_metrics_are_a_question_that_may_be_repeated(server: FaultServer, ask: Ask) -> None:
    server.script(f"{ONE}/metrics", drop(), json_reply({}))
    retry = RetryPolicy(max_retries=1, initial_delay=0.001)
    assert ask(lambda one: one.metrics("chat-a1", namespace="ann"), retry=retry) == {}


def test_open_metrics_and_replicas(server: FaultServer, call: Any) -> None:
    server.on(f"{ONE}/open-metrics", text_reply("# TYPE a counter\na 1\n"))
    server.on(f"{ONE}/replica", json_reply({"items": [{"id": "r1"}]}))
    assert call("open_metrics") == "# TYPE a counter\na 1\n"
    assert call("replicas") == [{"id": "r1"}]


def test_quotas(server: FaultServer, ask: Ask) -> None:
    server.on("/v2/provider/quotas/ann", json_reply({"aws": {"l4": 2}}))
    server.on("/v2/provider/quotas/acme", json_reply([]))
    assert ask(lambda endpoints: endpoints.quotas()) == {"aws": {"l4": 2}}
    assert ask(lambda endpoints: endpoints.quotas("acme")) == []


def test_newer_catalogue(server: FaultServer, ask: Ask) -> None:
    server.on("/api/v1/catalog/list", json_reply({"items": [{"id": "a/b"}]}))
    server.on("/api/v1/catalog/recipe/a%2Fb/deploy", json_reply({"name": "x"}))
    assert ask(lambda endpoints: endpoints.recipes()) == {"items": [{"id": "a/b"}]}
    assert ask(lambda endpoints: endpoints.deploy_recipe("a/b", name="x")) == {"name": "x"}
    sent = server.requests[-1]
    assert (sent.method, sent.json()) == ("POST", {"namespace": "ann", "config": {"name": "x"}})


def test_newer_deployment_is_never_repeated_by_itself(server: FaultServer, ask: Ask) -> None:
    server.script("/api/v1/catalog/recipe/r/deploy", drop(), json_reply({}))
    with pytest.raises(errors.APIError):
        ask(
            lambda endpoints: endpoints.deploy_recipe("r", namespace="ann"),
            retry=RetryPolicy(max_retries=3, initial_delay=0.001),
        )
    assert len(server.requests) == 1


# --- containers -------------------------------------------------------------------------


def _with_container(server: FaultServer) -> None:
    shown = endpoint()
    shown["model"]["image"] = {
        "custom": {
            "url": "acme/x:1",
            "port": 80,
            "credentials": {"username": "u", "password": "***"},
        }
    }
    shown["status"]["private"] = {"serviceName": "com.amazonaws.vpce.x"}
    server.on(ONE, json_reply(shown))


def test_container_is_sent_back_whole_and_without_its_credentials(
    server: FaultServer, ask: Ask
) -> None:
    _with_container(server)
    info = ask(lambda endpoints: endpoints.get("chat-a1")).info
    assert info.private_service == "com.amazonaws.vpce.x"
    image = info.image_settings
    assert image == {"custom": {"url": "acme/x:1", "port": 80}}
    image["custom"]["url"] = "acme/x:2"
    assert info.raw["model"]["image"]["custom"]["url"] == "acme/x:1"
    ask(lambda endpoints: endpoints.update("chat-a1", image=image))
    assert server.requests[-1].json() == {
        "model": {"image": {"custom": {"url": "acme/x:2", "port": 80}}}
    }


@pytest.mark.parametrize(
    "credentials", [{"username": "u", "password": "***"}, {"username": "u"}, "u:p", {}]
)
def test_redacted_credentials_are_never_sent(
    server: FaultServer, ask: Ask, credentials: Any
) -> None:
    image = {"custom": {"url": "acme/x:1", "credentials": credentials}}
    with pytest.raises(errors.InvalidSettingError, match="credentials"):
        ask(lambda endpoints: endpoints.update("chat-a1", namespace="ann", image=image))
    assert server.requests == []


def test_echoed_credentials_are_hidden(server: FaultServer, ask: Ask) -> None:
    def echo(request: Received) -> Reply:
        return json_reply({"error": json.dumps(request.json())}, 400)

    server.on("/v2/endpoint/ann", echo)
    image = {"url": "acme/x:1", "credentials": {"username": "u", "password": "pass-word-1"}}
    with pytest.raises(errors.BadRequestError) as caught:
        ask(lambda endpoints: endpoints.create("a", **MACHINE, image=image))
    assert "pass-word-1" not in str(caught.value) + repr(vars(caught.value))
