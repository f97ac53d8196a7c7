"""``hfrouter endpoints`` against a scripted control plane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.helpers.fault_server import FaultServer, empty_reply, json_reply, sse_bytes, text_reply

ONE = "/v2/endpoint/ann/chat-a1"
ENDPOINT: dict[str, Any] = {
    "name": "chat-a1",
    "compute": {"instanceType": "nvidia-l4", "instanceSize": "x1"},
    "model": {"repository": "acme/chat-8b", "image": {"vLLM": {}}},
    "status": {"state": "running", "message": "Endpoint is ready"},
}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server.on(ONE, json_reply(ENDPOINT))


@pytest.fixture
def endpoints(hfrouter: Command, server: FaultServer) -> Command:
    def run(*arguments: str) -> Any:
        return hfrouter(
            "endpoints",
            "--endpoints-url",
            server.url,
            *arguments,
            HF_TOKEN="hf_" + "s3cret" * 6,
            HF_ENDPOINT=server.url,
        )

    return run


def test_list(server: FaultServer, endpoints: Command) -> None:
    server.on("/api/whoami-v2", json_reply({"type": "user", "name": "ann"}))
    server.on("/v2/endpoint/ann", json_reply({"items": [ENDPOINT]}))
    done = endpoints("list")
    assert done.returncode == 0
    head, row = done.stdout.splitlines()
    assert head.split()[:3] == ["NAME", "NAMESPACE", "STATE"]
    assert row.split() == ["chat-a1", "ann", "running", "acme/chat-8b", "nvidia-l4", "x1", "-"]
    assert "1 endpoints" in done.stderr


@pytest.mark.parametrize("action", ["pause", "resume", "scale-to-zero"])
def test_actions(server: FaultServer, endpoints: Command, action: str) -> None:
    server.on(f"{ONE}/{action}", json_reply(ENDPOINT))
    done = endpoints(action, "chat-a1", "--namespace", "ann", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == ENDPOINT


def test_delete_wants_a_yes(server: FaultServer, endpoints: Command) -> None:
    refused = endpoints("delete", "chat-a1", "--namespace", "ann")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert server.requests == []
    server.on(ONE, empty_reply(202))
    assert endpoints("delete", "chat-a1", "--namespace", "ann", "--yes").returncode == 0
    assert server.requests[0].method == "DELETE"


MACHINE = (
    *("--repository", "acme/chat-8b", "--vendor", "aws", "--region", "us-east-1"),
    *("--accelerator", "gpu", "--instance-type", "nvidia-l4", "--instance-size", "x1"),
)


def test_create(server: FaultServer, endpoints: Command) -> None:
    server.on("/v2/endpoint/ann", json_reply(ENDPOINT))
    image = json.dumps({"vLLM": {"url": "vllm/x"}})
    options = ("--namespace", "ann", "--max-replica", "3", "--image", image)
    assert endpoints("create", "chat-a1", *MACHINE, *options).returncode == 0
    body = server.requests[0].json()
    assert body["compute"]["scaling"] == {"minReplica": 0, "maxReplica": 3}
    assert body["model"]["image"] == {"vLLM": {"url": "vllm/x"}}


@pytest.mark.parametrize("image", ["{", '{"docker": {}}'])
def test_wrong_image(server: FaultServer, endpoints: Command, image: str) -> None:
    done = endpoints("create", "chat-a1", *MACHINE, "--namespace", "ann", "--image", image)
    assert done.returncode == 2
    assert server.requests == []


def test_wait_shows_progress(server: FaultServer, endpoints: Command) -> None:
    status = {"state": "running", "url": server.url}
    server.on(ONE, json_reply({**ENDPOINT, "status": status})).on("/health", empty_reply(200))
    done = endpoints("wait", "chat-a1", "--namespace", "ann", "--for", "5")
    assert done.returncode == 0
    assert "running" in done.stderr


def test_wait_for_a_failed_one(server: FaultServer, endpoints: Command) -> None:
    server.on(ONE, json_reply({**ENDPOINT, "status": {"state": "failed", "message": "broken"}}))
    done = endpoints("wait", "chat-a1", "--namespace", "ann")
    assert done.returncode == 1
    assert "broken" in done.stderr


def test_logs(server: FaultServer, endpoints: Command) -> None:
    server.on(f"{ONE}/logs", text_reply("one\ntwo\n"))
    server.on(f"{ONE}/logs/sse", sse_bytes(b"data: three\n\n"))
    assert endpoints("logs", "chat-a1", "--namespace", "ann").stdout == "one\ntwo\n"
    assert endpoints("logs", "chat-a1", "--namespace", "ann", "--follow").stdout == "three\n"


def test_hardware(server: FaultServer, endpoints: Command) -> None:
    computes = [
        {"instanceType": "l4", "accelerator": "gpu", "pricePerHour": 0.8, "status": "available"},
        {"instanceType": "intel", "accelerator": "cpu", "pricePerHour": 0.03},
    ]
    regions = [{"name": "us-east-1", "computes": computes}]
    server.on("/v2/provider", json_reply({"vendors": [{"name": "aws", "regions": regions}]}))
    done = endpoints("hardware")
    assert [line.split()[2] for line in done.stdout.splitlines()] == ["MACHINE", "intel", "l4"]
    only = endpoints("hardware", "--accelerator", "gpu", "--json")
    assert json.loads(only.stdout)["pricePerHour"] == 0.8


def test_catalog_and_deploy(server: FaultServer, endpoints: Command) -> None:
    server.on("/api/catalog/repo-list", json_reply({"models": ["a/b"]}))
    server.on("/api/catalog/deploy", json_reply({"endpoint": ENDPOINT}))
    assert endpoints("catalog").stdout == "a/b\n"
    assert endpoints("deploy", "a/b", "--namespace", "ann").returncode == 0


def test_update_sends_what_is_named(server: FaultServer, endpoints: Command) -> None:
    done = endpoints(
        *("update", "chat-a1", "--namespace", "ann", "--max-replica", "3"),
        *("--tag", "a", "--tag", "b", "--image", '{"vLLM": {"url": "vllm/y"}}'),
    )
    assert done.returncode == 0, done.stderr
    assert (server.requests[0].method, server.requests[0].json()) == (
        "PUT",
        {
            "tags": ["a", "b"],
            "compute": {"scaling": {"maxReplica": 3}},
            "model": {"image": {"vLLM": {"url": "vllm/y"}}},
        },
    )
    assert endpoints("update", "chat-a1", "--namespace", "ann").returncode == 2


def test_structured_logs(server: FaultServer, endpoints: Command) -> None:
    path = "/v3/endpoint/ann/chat-a1/logs"
    server.on(path, json_reply([{"msg": "one"}, {"msg": "two"}]))
    server.on(f"{path}/sse", sse_bytes(b'data: {"msg": "three"}\n\n'))
    one = ("logs", "chat-a1", "--namespace", "ann", "--structured", "--level", "error")
    done = endpoints(*one, "--since", "2026-01-02T03:04:05Z", "--limit", "2", "--replica", "r")
    assert [json.loads(line)["msg"] for line in done.stdout.splitlines()] == ["one", "two"]
    assert server.requests[-1].target.endswith(
        "?replica=r&level=error&since=2026-01-02T03%3A04%3A05Z&limit=2"
    )
    assert json.loads(endpoints(*one, "--follow").stdout) == {"msg": "three"}
    assert endpoints(*one, "--since", "yesterday").returncode == 2
    refused = endpoints("logs", "chat-a1", "--namespace", "ann", "--level", "error")
    assert refused.returncode == 2
    assert "--level needs --structured" in refused.stderr
    server.on(path, json_reply({"error": "not available"}, 501))
    assert endpoints(*one).returncode == 1


def test_what_is_printed_as_it_came(server: FaultServer, endpoints: Command) -> None:
    ann = ("--namespace", "ann")
    server.on(f"{ONE}/replica", json_reply({"items": [{"id": "r1"}, {"id": "r2"}]}))
    server.on(f"{ONE}/metrics/hardware-cpu", json_reply({"points": [1]}))
    server.on(f"{ONE}/open-metrics", text_reply("a 1\n"))
    server.on("/v2/provider/quotas/ann", json_reply({"aws": 3}))
    assert endpoints("replicas", "chat-a1", *ann).stdout == '{"id": "r1"}\n{"id": "r2"}\n'
    metrics = endpoints("metrics", "chat-a1", "hardware-cpu", "--params", '{"from": 1}', *ann)
    assert json.loads(metrics.stdout) == {"points": [1]}
    assert server.requests[-1].json() == {"from": 1}
    assert endpoints("metrics", "chat-a1", "--open", *ann).stdout == "a 1\n"
    assert json.loads(endpoints("quotas", *ann).stdout) == {"aws": 3}
    assert endpoints("metrics", "chat-a1", "--params", "{", *ann).returncode == 2
    assert endpoints("metrics", "chat-a1", "cpu", "--open", *ann).returncode == 2
