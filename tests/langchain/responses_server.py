"""Servers of the Responses API: scripted answers, and the stub's rule-based "model" behind it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_hfrouter import ChatHFRouter
from tests.helpers.fault_server import Answer, FaultServer, Received, Reply, json_reply, sse
from tests.langchain.script import HEADERS
from tests.langchain.stub_server import NAME, Refused, StubServer, need, think

PATH = "/v1/responses"
USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 2},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 9,
}
BASE = {"id": "resp_1", "object": "response", "created_at": 1_771_000_000, "model": "served/m"}
METADATA = {
    "model_provider": "hfrouter",
    "model_name": "served/m",
    "finish_reason": "stop",
    "status": "completed",
    "id": "resp_1",
    "created": 1_771_000_000,
    "request_id": "req-7",
    "inference_provider": "groq",
}
"""``response_metadata`` of an answer that is text."""


# --- items


def text(words: str = "Hi.", *, id: str = "msg_1", **part: Any) -> dict[str, Any]:
    """A message item with one text."""
    said = {"type": "output_text", "text": words, "annotations": [], **part}
    return {**_item(id, "message"), "role": "assistant", "content": [said]}


def refusal(words: str, *, id: str = "msg_1") -> dict[str, Any]:
    """A message item that refuses."""
    part = {"type": "refusal", "refusal": words}
    return {**_item(id, "message"), "role": "assistant", "content": [part]}


def reasoning(words: str, *, id: str = "rs_1", **more: Any) -> dict[str, Any]:
    """A reasoning item."""
    content = [{"type": "reasoning_text", "text": words}] if words else []
    return {**_item(id, "reasoning"), "summary": [], "content": content, **more}


def call(name: str, arguments: str, *, id: str = "1") -> dict[str, Any]:
    """A function call item."""
    item = _item(f"fc_{id}", "function_call")
    return {**item, "call_id": f"call_{id}", "name": name, "arguments": arguments}


def _item(id: str, kind: str) -> dict[str, Any]:
    return {"id": id, "type": kind, "status": "completed"}


LISTED = {
    "id": "mcpl_1",
    "type": "mcp_list_tools",
    "server_label": "docs",
    "tools": [{"name": "search", "input_schema": {"type": "object"}}],
}
CALLED = {
    "id": "mcp_1",
    "type": "mcp_call",
    "server_label": "docs",
    "name": "search",
    "arguments": '{"query": "install"}',
    "output": "Use pip.",
}
ASKED = {
    "id": "mcpr_1",
    "type": "mcp_approval_request",
    "server_label": "docs",
    "name": "drop",
    "arguments": '{"table": "users"}',
}


# --- answers


def body(*output: Any, status: str = "completed", usage: Any = USAGE, **more: Any) -> Any:
    """The response object."""
    return {**BASE, "status": status, "output": list(output), "usage": usage, **more}


def whole(*output: Any, **more: Any) -> Reply:
    """A whole answer."""
    return json_reply(body(*output, **more), headers=HEADERS)


def events(*output: Any, size: int = 4, **more: Any) -> list[dict[str, Any]]:
    """The events of a streamed answer, with the published server's ``output_index: 0``."""
    found: list[dict[str, Any]] = [event("created", response={**BASE, "status": "in_progress"})]
    for item in output:
        found += _item_events(item, size)
    status = more.get("status", "completed")
    return [*found, event(status, response=body(*output, **more))]


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """One event."""
    return {"type": f"response.{kind}", **fields}


def _item_events(item: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    kind, where = item["type"], {"item_id": item["id"], "output_index": 0}
    empty = {key: value for key, value in item.items() if key not in ("output", "error")}
    if kind in ("message", "reasoning"):
        empty["content"] = []
    if "arguments" in item:
        empty["arguments"] = ""
    yield event("output_item.added", output_index=0, item={**empty, "status": "in_progress"})
    for at, part in enumerate(item.get("content", ())):
        words = part.get("text", part.get("refusal"))
        name = {"refusal": "refusal", "reasoning_text": "reasoning_text"}.get(part["type"])
        for piece in pieces(words, size):
            yield event(f"{name or 'output_text'}.delta", **where, content_index=at, delta=piece)
    for part in item.get("summary", ()):
        for piece in pieces(part["text"], size):
            yield event("reasoning_summary_text.delta", **where, summary_index=0, delta=piece)
    if kind in ("function_call", "mcp_call"):
        for piece in pieces(item["arguments"], size):
            yield event(f"{kind}_arguments.delta", **where, delta=piece)
    yield event("output_item.done", output_index=0, item=item)


def pieces(words: str, size: int) -> list[str]:
    """*words* in pieces of *size* characters."""
    return [words[start : start + size] for start in range(0, len(words), size)]


def stream(*output: Any, **more: Any) -> Reply:
    """A streamed answer."""
    return sse(*events(*output, **more), headers=HEADERS)


def sent(*found: Any, **options: Any) -> Reply:
    """A stream of these events."""
    return sse(*found, headers=HEADERS, **options)


def docs_server(request: Received) -> Reply:
    """Ask for approval of a call of an MCP tool first, then tell what it answered."""
    kinds = [item.get("type") for item in request.json()["input"]]
    if "mcp_approval_response" not in kinds:
        return whole(LISTED, {**ASKED, "name": CALLED["name"], "arguments": CALLED["arguments"]})
    return whole(CALLED, text("Install it with pip."))


@contextmanager
def serving(*answers: Answer) -> Iterator[FaultServer]:
    """A server that gives these answers to calls of the Responses API, one after another."""
    with FaultServer() as server:
        server.script(PATH, *answers)
        yield server


def model_of(server: FaultServer, **options: Any) -> ChatHFRouter:
    """A model behind *server* that is called through the Responses API."""
    given = {"model": "org/m", "base_url": f"{server.url}/v1", "api_key": "hf_test"}
    return ChatHFRouter(**{**given, "use_responses_api": True, **options})


# --- the stub


FIELDS = {
    "model", "input", "instructions", "max_output_tokens", "metadata", "reasoning", "stream",
    "temperature", "text", "tool_choice", "tools", "top_p", "modalities",
}  # fmt: skip
KEYS: dict[str, set[str]] = {
    "message": {"type", "role", "content"},
    "function_call": {"type", "call_id", "name", "arguments"},
    "function_call_output": {"type", "call_id", "output"},
    "input_text": {"type", "text"},
    "input_image": {"type", "image_url", "detail"},
    "input_file": {"type", "filename", "file_data", "file_id"},
    "output_text": {"type", "text", "annotations"},
    "refusal": {"type", "refusal"},
    "function": {"type", "name", "description", "parameters", "strict"},
}


class ResponsesStub(StubServer):
    """The stub server with the Responses API too; as strict, and with the same "model"."""

    def __init__(self) -> None:
        super().__init__()
        self.on(PATH, self.respond)

    def respond(self, request: Received) -> Reply:
        asked = request.json()
        try:
            chat = as_chat(asked)
        except Refused as refused:
            error = {"message": f"stub: {refused}", "type": "invalid_request_error", "code": 400}
            return json_reply({"error": error}, 400, HEADERS)
        self.bodies.append(asked)
        message = think(chat)
        output = list(_output(message))
        usage = self._usage(chat, message)
        counts = {
            "input_tokens": usage["prompt_tokens"],
            "output_tokens": usage["completion_tokens"],
            "total_tokens": usage["total_tokens"],
            "input_tokens_details": usage["prompt_tokens_details"],
            "output_tokens_details": usage["completion_tokens_details"],
            "cache_creation_input_tokens": usage["prompt_tokens_details"]["cache_creation_tokens"],
        }
        kind = stream if asked.get("stream") else whole
        return kind(*output, usage=counts, model=asked["model"])


_ids = itertools.count(1)


def _output(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if message.get("reasoning_content"):
        yield reasoning(message["reasoning_content"], id=f"rs_{next(_ids)}")
    if message["content"]:
        yield text(message["content"], id=f"msg_{next(_ids)}")
    for each in message.get("tool_calls", ()):
        function = each["function"]
        yield call(function["name"], function["arguments"], id=str(next(_ids)))


def as_chat(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the same question as a chat body; refuse what a strict server would refuse."""
    need(not set(asked) - FIELDS, f"unknown fields {sorted(set(asked) - FIELDS)}")
    need(next(iter(asked)) == "model", "model must come first")
    chat: dict[str, Any] = {"model": asked["model"], "messages": []}
    for name in ("tool_choice", "modalities"):
        if name in asked:
            chat[name] = asked[name]
    if isinstance(asked.get("tool_choice"), dict):
        need(set(asked["tool_choice"]) == {"type", "name"}, "tool_choice is not flat")
        chat["tool_choice"] = {"function": {"name": asked["tool_choice"]["name"]}}
    if "tools" in asked:
        need(asked["tools"], "tools must not be empty")
        chat["tools"] = [{"type": "function", "function": _tool(tool)} for tool in asked["tools"]]
    if "reasoning" in asked:
        chat["reasoning_effort"] = asked["reasoning"]["effort"]
    form = asked.get("text", {}).get("format")
    if form is not None:
        chat["response_format"] = form
        if form["type"] == "json_schema":
            need(NAME.fullmatch(form.get("name", "")), "text.format.name is not valid")
            chat["response_format"] = {"type": "json_schema", "json_schema": form}
    if asked.get("instructions"):
        chat["messages"].append({"role": "system", "content": asked["instructions"]})
    items = asked["input"]
    need(items, "input must not be empty")
    known: set[str] = set()
    for item in items:
        chat["messages"].append(_message(item, known))
    return chat


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    _known("function", tool)
    need(NAME.fullmatch(tool.get("name", "")), "a tool has no valid name")
    return tool


def _known(kind: str, value: dict[str, Any]) -> None:
    need(kind in KEYS, f"unknown kind {kind!r}")
    need(set(value) <= KEYS[kind], f"unknown keys in {kind}: {sorted(set(value) - KEYS[kind])}")


def _message(item: dict[str, Any], known: set[str]) -> dict[str, Any]:
    kind = item.get("type", "message")
    _known(kind, item)
    if kind == "function_call":
        known.add(item["call_id"])
        function = {"name": item["name"], "arguments": item["arguments"]}
        call = {"id": item["call_id"], "function": function}
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    if kind == "function_call_output":
        need(item["call_id"] in known, "call_id answers no earlier call")
        need(isinstance(item["output"], str), "output must be text")
        return {"role": "tool", "content": item["output"]}
    role, content = item["role"], item["content"]
    need(role in ("user", "assistant", "system"), f"role {role!r} is dropped")
    if isinstance(content, str):
        need(role != "assistant", "an assistant's content must be a list")
        return {"role": role, "content": content}
    need(content, "content must not be empty")
    prefix = "output_" if role == "assistant" else "input_"
    for part in content:
        _known(part["type"], part)
        need(part["type"].startswith((prefix, "refusal")), f"{part['type']} in {role}")
        if part["type"] == "input_image":
            need(re.match(r"https://|data:image/", part["image_url"]), "bad image_url")
    words = [{**part, "type": "text"} for part in content if "text" in part]
    return {"role": role, "content": words, "all": json.dumps(content)}
