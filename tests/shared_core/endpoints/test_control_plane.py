"""Listing, creating, changing and ending endpoints; hardware, catalogue, logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shared_core import AsyncEndpoint, Endpoint, RetryPolicy, RouterClient, errors
from tests.helpers.fault_server import (
    FaultServer,
    Hang,
    Received,
    Reply,
    drop,
    empty_reply,
    json_reply,
    sse_bytes,
    text_reply,
)
from tests.shared_core.endpoints.control import MACHINE, USER, Ask, asker, control_plane, endpoint

ANN = "/v2/endpoint/ann"
ONE = f"{ANN}/chat-a1"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with control_plane() as server:
        yield server


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, server: FaultServer) -> Ask:
    return asker(request.param, server)


def paths(server: FaultServer) -> list[str]:
    return [f"{request.method} {request.target}" for request in server.requests]


def test_list_and_facts(server: FaultServer, ask: Ask) -> None:
    server.on(ANN, json_reply({"items": [endpoint(url="https://x.example/")]}))
    (found,) = ask(lambda endpoints: endpoints.list())
    assert isinstance(found, Endpoint | AsyncEndpoint)
    info = found.info
    assert (info.name, info.namespace, info.state) == ("chat-a1", "ann", "running")
    assert (info.repository, info.image, info.task) == ("acme/chat-8b", "vLLM", "text-generation")
    assert (info.vendor, info.region, info.instance_type) == ("aws", "us-east-1", "nvidia-l4")
    assert (info.min_replica, info.max_replica, info.scale_to_zero_timeout) == (0, 2, 15)
    assert (info.url, info.base_url) == ("https://x.example", "https://x.example/v1")
    assert info.tags == ("team-a",)
    assert info.is_running
    assert not info.has_failed
    assert "ann/chat-a1 running" in repr(found)
    assert paths(server) == ["GET /api/whoami-v2", f"GET {ANN}"]
    assert server.requests[1].headers["authorization"] == "Bearer hf_test"


def test_namespace_is_asked_for_once(server: FaultServer) -> None:
    server.on(ANN, json_reply({"items": []})).on(ONE, json_reply(endpoint()))
    with RouterClient(
        api_key="hf_x", hub_url=server.url, endpoints_url=server.url, base_url=server.url
    ) as client:
        client.endpoints.list()
        client.endpoints.get("chat-a1")
        client.endpoints.list("ann")
    assert server.count("/api/whoami-v2") == 1


def test_named_namespace_is_one_request(server: FaultServer, ask: Ask) -> None:
    server.on("/v2/endpoint/acme", json_reply({"items": []}))
    assert ask(lambda endpoints: endpoints.list("acme")) == []
    assert paths(server) == ["GET /v2/endpoint/acme"]


def test_all_namespaces_without_the_closed_ones(server: FaultServer, ask: Ask) -> None:
    server.on(ANN, json_reply({"items": []}))
    server.on("/v2/endpoint/acme", json_reply({"items": [endpoint()]}))
    server.on("/v2/endpoint/closed", json_reply({"error": "no"}, 403))
    (found,) = ask(lambda endpoints: endpoints.list("*"))
    assert found.namespace == "acme"


def test_create_sends_the_documented_body(server: FaultServer, ask: Ask) -> None:
    server.on(ANN, json_reply(endpoint("pending"), 201))
    made = ask(
        lambda endpoints: endpoints.create(
            "chat-a1",
            **MACHINE,
            revision="main",
            task="text-generation",
            image={"vLLM": {"url": "vllm/vllm-openai:v0.23.0", "port": 8000}},
            command=["serve"],
            args=["--max-model-len", "8192"],
            env={"K": "v"},
            secrets={"HF_TOKEN": "very secret"},
            max_replica=2,
            scale_to_zero_timeout=15,
            scale_on_pending_requests=1.5,
            type="authenticated",
            domain="api.example.org",
            path="/m",
            cache_http_responses=False,
            tags=["team-a"],
            extra_body={"experimentalFeatures": {"x": True}},
        )
    )
    assert made.state == "pending"
    assert server.requests[-1].json() == {
        "name": "chat-a1",
        "type": "authenticated",
        "cacheHttpResponses": False,
        "tags": ["team-a"],
        "provider": {"vendor": "aws", "region": "us-east-1"},
        "compute": {
            "accelerator": "gpu",
            "instanceType": "nvidia-l4",
            "instanceSize": "x1",
            "scaling": {
                "minReplica": 0,
                "maxReplica": 2,
                "scaleToZeroTimeout": 15,
                "measure": {"pendingRequests": 1.5},
            },
        },
        "model": {
            "repository": "acme/chat-8b",
            "revision": "main",
            "framework": "pytorch",
            "task": "text-generation",
            "image": {"vLLM": {"url": "vllm/vllm-openai:v0.23.0", "port": 8000}},
            "command": ["serve"],
            "args": ["--max-model-len", "8192"],
            "env": {"K": "v"},
            "secrets": {"HF_TOKEN": "very secret"},
        },
        "route": {"domain": "api.example.org", "path": "/m"},
        "experimentalFeatures": {"x": True},
    }


def test_smallest_create(server: FaultServer, ask: Ask) -> None:
    server.on(ANN, json_reply(endpoint("pending")))
    ask(lambda endpoints: endpoints.create("a", **MACHINE))
    body = server.requests[-1].json()
    assert body["model"]["image"] == {"huggingface": {}}
    assert "task" not in body["model"]
    assert body["compute"]["scaling"] == {"minReplica": 0, "maxReplica": 1}
    assert body["type"] == "private"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "Chat"}, "name"),
        ({"name": "a" * 33}, "name"),
        ({"name": ""}, "name"),
        ({"namespace": "a/b"}, "namespace"),
        ({"region": None}, "region is missing"),
        ({"accelerator": "abacus"}, "accelerator"),
        ({"framework": "tensorflow"}, "framework"),
        ({"type": "secret"}, "type"),
        ({"image": "vLLM"}, "url"),
        ({"image": {"docker": {"url": "x"}}}, "image"),
        ({"image": {"vLLM": {"url": "x"}, "tgi": {"url": "y"}}}, "image"),
        ({"min_replica": 3, "max_replica": 2}, "min_replica=3"),
        ({"min_replica": 1, "scale_to_zero_timeout": 15}, "scale_to_zero_timeout"),
        ({"scale_on_pending_requests": 1, "scale_on_hardware_usage": 5}, "exclude"),
        ({"env": {"A": 1}}, "env['A']"),
        ({"tags": "one"}, "tags"),
        ({"instance": "x"}, "instance_type"),
    ],
)
def test_wrong_values_are_named_and_nothing_is_sent(
    server: FaultServer, ask: Ask, change: dict[str, Any], named: str
) -> None:
    given = {"name": "chat-a1", "namespace": "ann", **MACHINE, **change}
    with pytest.raises(errors.InvalidSettingError) as caught:
        ask(lambda endpoints: endpoints.create(**given))
    assert named in str(caught.value)
    assert server.requests == []


def test_flat_image_is_custom(server: FaultServer, ask: Ask) -> None:
    server.on(ANN, json_reply(endpoint()))
    image = {"url": "acme/x:1", "credentials": {"username": "u", "password": "p"}}
    ask(lambda endpoints: endpoints.create("a", **MACHINE, image=image))
    assert server.requests[-1].json()["model"]["image"] == {"custom": image}


def test_update_sends_only_what_changes(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint("updating")))
    ask(lambda endpoints: endpoints.update("chat-a1", min_replica=1, max_replica=4))
    request = server.requests[-1]
    assert request.method == "PUT"
    assert request.json() == {"compute": {"scaling": {"minReplica": 1, "maxReplica": 4}}}
    with pytest.raises(errors.InvalidSettingError, match="nothing"):
        ask(lambda endpoints: endpoints.update("chat-a1"))


def test_actions(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint()))
    for action, state in (
        ("pause", "paused"),
        ("resume", "initializing"),
        ("scale-to-zero", "scaledToZero"),
    ):
        server.on(f"{ONE}/{action}", json_reply(endpoint(state)))
        method = action.replace("-", "_")
        done = ask(lambda endpoints, m=method: getattr(endpoints, m)("chat-a1"))
        assert done.state == state
        assert (server.requests[-1].method, server.requests[-1].body) == ("POST", b"")


def test_actions_of_the_handle_bring_it_up_to_date(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint()))
    server.on(f"{ONE}/pause", json_reply(endpoint("paused")))
    handle = ask(lambda endpoints: endpoints.get("chat-a1"), lambda handle: handle.pause())
    assert handle.state == "paused"
    again = ask(
        lambda endpoints: endpoints.get("chat-a1"),
        lambda handle: handle.update(tags=["x"]),
        lambda handle: handle.refresh(),
    )
    assert again.state == "running"


def test_resume_of_a_running_one(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint()))
    server.on(f"{ONE}/resume", json_reply({"error": "Endpoint is already running"}, 400))
    assert ask(lambda endpoints: endpoints.resume("chat-a1")).state == "running"
    with pytest.raises(errors.BadRequestError):
        ask(lambda endpoints: endpoints.resume("chat-a1", running_ok=False))


def test_resume_refused_for_another_reason(server: FaultServer, ask: Ask) -> None:
    server.on(f"{ONE}/resume", json_reply({"error": "no quota"}, 400))
    with pytest.raises(errors.BadRequestError, match="no quota"):
        ask(lambda endpoints: endpoints.resume("chat-a1"))


def test_delete(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, empty_reply(202))
    assert ask(lambda endpoints: endpoints.delete("chat-a1")) is None
    assert server.requests[-1].method == "DELETE"


def test_gone(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply({"error": "not found"}, 404))
    with pytest.raises(errors.NotFoundError):
        ask(lambda endpoints: endpoints.get("chat-a1"))


@pytest.mark.parametrize("trouble", [drop(), json_reply({"error": "busy"}, 503)])
@pytest.mark.parametrize(
    ("path", "work"),
    [
        (ANN, lambda endpoints: endpoints.create("chat-a1", namespace="ann", **MACHINE)),
        (ONE, lambda endpoints: endpoints.update("chat-a1", namespace="ann", tags=["a"])),
        (ONE, lambda endpoints: endpoints.delete("chat-a1", namespace="ann")),
        (f"{ONE}/pause", lambda endpoints: endpoints.pause("chat-a1", namespace="ann")),
        (f"{ONE}/resume", lambda endpoints: endpoints.resume("chat-a1", namespace="ann")),
        (
            f"{ONE}/scale-to-zero",
            lambda endpoints: endpoints.scale_to_zero("chat-a1", namespace="ann"),
        ),
        ("/api/catalog/deploy", lambda endpoints: endpoints.deploy("a/b", namespace="ann")),
    ],
)
def test_changes_are_never_repeated_by_themselves(
    server: FaultServer, ask: Ask, trouble: Reply, path: str, work: Any
) -> None:
    server.script(path, trouble, json_reply(endpoint()))
    with pytest.raises(errors.APIError):
        ask(work, retry=RetryPolicy(max_retries=3, initial_delay=0.001))
    assert len(server.requests) == 1


def test_reading_is_repeated_on_request(server: FaultServer, ask: Ask) -> None:
    server.script(ONE, drop(), json_reply(endpoint()))
    retry = RetryPolicy(max_retries=1, initial_delay=0.001)
    found = ask(lambda endpoints: endpoints.get("chat-a1", namespace="ann"), retry=retry)
    assert found.state == "running"


def test_echoed_secrets_are_hidden(server: FaultServer, ask: Ask) -> None:
    def echo(request: Received) -> Reply:
        return json_reply({"error": f"bad secret {request.json()['model']['secrets']['A']}"}, 400)

    server.on(ANN, echo)
    with pytest.raises(errors.BadRequestError) as caught:
        ask(lambda endpoints: endpoints.create("a", **MACHINE, secrets={"A": "pass-word-1"}))
    assert "pass-word-1" not in str(caught.value) + repr(vars(caught.value))


def test_account_without_a_namespace(server: FaultServer, ask: Ask) -> None:
    server.on("/api/whoami-v2", json_reply({**USER, "type": "app"}))
    with pytest.raises(errors.InvalidSettingError, match="namespace"):
        ask(lambda endpoints: endpoints.list())


def test_logs(server: FaultServer, ask: Ask) -> None:
    server.on(f"{ONE}/logs", text_reply("one\ntwo\n"))
    text = ask(lambda endpoints: endpoints.logs("chat-a1", tail=2, line_max_length=80))
    assert text == "one\ntwo\n"
    assert server.requests[-1].target == f"{ONE}/logs?tail=2&line_max_length=80"


def test_follow_logs(server: FaultServer, ask: Ask) -> None:
    server.on(f"{ONE}/logs/sse", sse_bytes(b"data: one\n\ndata: t", b"wo\n\n", b": ping\n\n"))

    def lines(stream: Any) -> Any:
        if hasattr(stream, "close"):
            return list(stream)

        async def collect() -> list[str]:
            return [line async for line in stream]

        return collect()

    assert ask(lambda endpoints: endpoints.follow_logs("chat-a1"), lines) == ["one", "two"]


def test_leaving_the_log_releases_the_connection(server: FaultServer) -> None:
    server.on(f"{ONE}/logs/sse", sse_bytes(b"data: one\n\n", end=Hang()))
    with (
        RouterClient(api_key="hf_x", base_url=server.url, endpoints_url=server.url) as client,
        client.endpoints.follow_logs("chat-a1", namespace="ann") as lines,
    ):
        assert next(lines) == "one"
    assert server.wait_open(0)


def test_hardware_and_prices(server: FaultServer, ask: Ask) -> None:
    compute = {
        "id": "aws-us-east-1-nvidia-l4-x1",
        "accelerator": "gpu",
        "instanceType": "nvidia-l4",
        "instanceSize": "x1",
        "architecture": "L4",
        "numAccelerators": 1,
        "numCpus": 7,
        "memoryGb": 30,
        "gpuMemoryGb": 24,
        "pricePerHour": 0.8,
        "status": "available",
        "quota": {"maxAccelerators": 4, "usedAccelerators": 1},
    }
    regions = [{"name": "us-east-1", "computes": [compute, "junk"]}]
    listing = {"vendors": [{"name": "aws", "regions": regions}]}
    server.on("/v2/provider", json_reply(listing)).on("/v2/provider/acme", json_reply(listing))
    (machine,) = ask(lambda endpoints: endpoints.hardware())
    assert (machine.vendor, machine.region, machine.price_per_hour) == ("aws", "us-east-1", 0.8)
    assert (machine.gpu_memory_gb, machine.quota, machine.used) == (24.0, 4, 1)
    assert machine.is_available
    ask(lambda endpoints: endpoints.hardware("acme"))
    assert server.requests[-1].path == "/v2/provider/acme"


def test_catalogue(server: FaultServer, ask: Ask) -> None:
    server.on("/api/catalog/repo-list", json_reply({"models": ["acme/chat-8b", None]}))
    server.on("/api/catalog/deploy", json_reply({"endpoint": endpoint("pending")}))
    assert ask(lambda endpoints: endpoints.catalog()) == ["acme/chat-8b"]
    made = ask(lambda endpoints: endpoints.deploy("acme/chat-8b", name="x", accelerator="gpu"))
    assert made.state == "pending"
    assert server.requests[-1].json() == {
        "namespace": "ann",
        "repoId": "acme/chat-8b",
        "endpointName": "x",
        "accelerator": "gpu",
    }


def test_replicas(server: FaultServer, ask: Ask) -> None:
    server.on(f"{ONE}/replica", json_reply({"items": [{"id": "r1"}]}))
    assert ask(lambda endpoints: endpoints.replicas("chat-a1")) == [{"id": "r1"}]


@pytest.mark.parametrize("body", [{"items": None}, {"items": [{}]}, [1], "x"])
def test_answers_of_another_shape(server: FaultServer, ask: Ask, body: Any) -> None:
    server.on(ANN, json_reply(body))
    with pytest.raises(errors.APIResponseValidationError):
        ask(lambda endpoints: endpoints.list())
