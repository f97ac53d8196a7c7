"""Scripted answers: what real providers were seen to send, one exchange at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import AIMessageChunk

from langchain_hfrouter import ChatHFRouter
from tests.helpers.fault_server import Answer, FaultServer, Reply, json_reply, sse

CHAT = "/v1/chat/completions"
HEADERS = {"x-request-id": "req-7", "x-inference-provider": "groq"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        },
    },
}


def whole(text: str | None = "Hi.", *, finish: str | None = "stop", **more: Any) -> Reply:
    """A whole answer; keywords in ``more`` are keys of the message, ``top_*`` of the body."""
    top = {key[4:]: more.pop(key) for key in list(more) if key.startswith("top_")}
    message = {"role": "assistant", "content": text, **more}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    body = {"id": "c1", "object": "chat.completion", "created": 1_771_000_000, "model": "served/m"}
    return json_reply({**body, "choices": [choice], "usage": USAGE, **top}, headers=HEADERS)


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **top: Any) -> Any:
    """One streamed event."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1_771_000_000}
    return {**body, "model": "served/m", "choices": choices, **top}


def call(index: int | None, id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    """A delta with one piece of a tool call."""
    piece: dict[str, Any] = {"function": {"arguments": arguments}}
    if index is not None:
        piece["index"] = index
    if id is not None:
        piece |= {"id": id, "type": "function"}
    if name is not None:
        piece["function"]["name"] = name
    return {"tool_calls": [piece]}


def stream(*events: Any, **options: Any) -> Reply:
    """A streamed answer."""
    return sse(*events, headers=HEADERS, **options)


@contextmanager
def serving(*answers: Answer) -> Iterator[FaultServer]:
    """A server that gives these answers to chat calls, one after another."""
    with FaultServer() as server:
        server.script(CHAT, *answers)
        yield server


def model_of(server: FaultServer, **options: Any) -> ChatHFRouter:
    """A model behind *server*."""
    given = {"model": "org/m", "base_url": f"{server.url}/v1", "api_key": "hf_test"}
    return ChatHFRouter(**{**given, **options})


def added(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """The sum of streamed chunks."""
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    return total
