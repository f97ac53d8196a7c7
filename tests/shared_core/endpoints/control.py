"""A control plane of protocol.md 10 and both clients of it, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from shared_core import AsyncRouterClient, RouterClient
from tests.helpers.fault_server import FaultServer, json_reply

USER = {"type": "user", "name": "ann", "orgs": [{"name": "acme"}, {"name": "closed"}]}
MACHINE = {
    "repository": "acme/chat-8b",
    "accelerator": "gpu",
    "instance_type": "nvidia-l4",
    "instance_size": "x1",
    "vendor": "aws",
    "region": "us-east-1",
}


def endpoint(state: str = "running", **status: Any) -> dict[str, Any]:
    """Return an endpoint object as the service sends it."""
    return {
        "name": "chat-a1",
        "type": "private",
        "healthRoute": "/health",
        "provider": {"vendor": "aws", "region": "us-east-1"},
        "compute": {
            "accelerator": "gpu",
            "instanceType": "nvidia-l4",
            "instanceSize": "x1",
            "scaling": {"minReplica": 0, "maxReplica": 2, "scaleToZeroTimeout": 15},
        },
        "model": {
            "repository": "acme/chat-8b",
            "revision": "main",
            "framework": "pytorch",
            "task": "text-generation",
            "image": {"vLLM": {"url": "vllm/vllm-openai:v0.23.0", "port": 8000}},
        },
        "tags": ["team-a"],
        "status": {
            "state": state,
            "message": "Endpoint is ready",
            "readyReplica": 1,
            "targetReplica": 1,
            "createdAt": "2026-01-02T03:04:05.678Z",
            **status,
        },
    }


def control_plane() -> FaultServer:
    """Return a server that also says whose the token is."""
    return FaultServer().on("/api/whoami-v2", json_reply(USER))


Ask = Callable[..., Any]


def asker(kind: str, server: FaultServer) -> Ask:
    """Return ``ask(work, **options)``: what ``work(client.endpoints)`` returns, resolved.

    ``work`` may return a handle's coroutine, a value, or take several steps in a list of
    functions, each given what the one before returned.
    """

    def ask(*steps: Callable[[Any], Any], **options: Any) -> Any:
        given = {
            "api_key": "hf_test",
            "base_url": f"{server.url}/v1",
            "hub_url": server.url,
            "endpoints_url": server.url,
            **options,
        }
        if kind == "sync":
            with RouterClient(**given) as client:
                value: Any = client.endpoints
                for step in steps:
                    value = step(value)
                return value

        async def go() -> Any:
            async with AsyncRouterClient(**given) as client:
                value: Any = client.endpoints
                for step in steps:
                    value = step(value)
                    if asyncio.iscoroutine(value):
                        value = await value
                return value

        return asyncio.run(go())

    return ask
