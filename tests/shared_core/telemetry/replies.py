"""Answers of a scripted server, for the tests of what watches calls."""

from __future__ import annotations

from typing import Any

from tests.helpers.fault_server import FaultServer, Reply, json_reply, sse

CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
SERVED = {"x-inference-provider": "groq", "x-request-id": "r-1"}


def answer(text: str = "Yes.", **more: Any) -> Reply:
    message = {"role": "assistant", "content": text}
    return json_reply(
        {
            "id": "c-1",
            "object": "chat.completion",
            "model": "org/served",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        },
        headers=SERVED,
        **more,
    )


def streamed(*texts: str, **more: Any) -> Reply:
    events: list[Any] = [
        {"id": "c-1", "model": "org/served", "choices": [{"index": 0, "delta": {"content": text}}]}
        for text in texts
    ]
    events.append(
        {"id": "c-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    )
    events.append({"id": "c-1", "choices": [], "usage": USAGE})
    return sse(*events, headers=SERVED, **more)


def options(server: FaultServer, **more: Any) -> dict[str, Any]:
    return {"model": "org/m", "api_key": "hf_" + "x" * 20, "base_url": f"{server.url}/v1", **more}
