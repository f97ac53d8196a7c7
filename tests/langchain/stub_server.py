"""An OpenAI-compatible chat and embeddings server with a small rule-based "model".

It answers what the standard test suites ask: it calls tools with arguments made from their
schemas and the prompt, answers with JSON where JSON is demanded, counts tokens in detail and
streams in small pieces. It is strict: whatever a real server might refuse draws a 400 that
says why. Real sockets; every accepted body is kept in ``bodies``.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from typing import Any

from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply, sse

CHAT = "/v1/chat/completions"
EMBED = "/v1/embeddings"
HEADERS = {"x-request-id": "req-1", "x-inference-provider": "stub"}

FIELDS = {
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "frequency_penalty", "presence_penalty", "stop", "seed", "n", "logprobs", "top_logprobs",
    "logit_bias", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls",
    "response_format", "reasoning_effort", "user", "top_k", "modalities",
}  # fmt: skip
MESSAGE_KEYS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "reasoning_content"},
    "tool": {"role", "content", "tool_call_id"},
}
PART_KEYS = {
    "image_url": {"url", "detail"},
    "input_audio": {"data", "format"},
    "video_url": {"url"},
    "file": {"filename", "file_data", "file_id"},
}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Refused(ValueError):
    """The request is wrong; the text says how."""


def need(condition: Any, message: str) -> None:
    if not condition:
        raise Refused(message)


# --- strictness ------------------------------------------------------------------------


def check(body: dict[str, Any]) -> None:
    """Refuse what a strict server would refuse."""
    unknown = set(body) - FIELDS
    need(not unknown, f"Extra inputs are not permitted: {sorted(unknown)}")
    need(next(iter(body)) == "model", "model must come first")
    need(body.get("messages"), "messages must not be empty")
    _no_nulls(body, "body")
    need(body.get("stop") != [], "stop must not be empty")
    _check_tools(body)
    _check_messages(body["messages"])
    form = body.get("response_format")
    if form is not None:
        need(form.get("type") in ("text", "json_object", "json_schema"), "bad response_format")
        if form["type"] == "json_schema":
            inner = form.get("json_schema")
            need(isinstance(inner, dict), "json_schema must be an object")
            need(NAME.fullmatch(inner.get("name", "")), "json_schema.name is not valid")
            need(isinstance(inner.get("schema"), dict), "json_schema.schema is missing")
            need(set(inner) <= {"name", "description", "schema", "strict"}, "bad json_schema")


def _no_nulls(value: Any, where: str) -> None:
    need(value is not None, f"{where} must not be null")
    if isinstance(value, dict) and not where.endswith(("parameters", "schema.schema")):
        for key, inner in value.items():
            _no_nulls(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for inner in value:
            _no_nulls(inner, where)


def _check_tools(body: dict[str, Any]) -> None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools is None:
        need(choice is None, "tool_choice without tools")
        need("parallel_tool_calls" not in body, "parallel_tool_calls without tools")
        return
    need(tools, "tools must not be empty")
    for tool in tools:
        need(tool.get("type") == "function", "tools must be functions")
        need(set(tool) == {"type", "function"}, f"unknown keys in tool: {sorted(tool)}")
        function = tool["function"]
        need(set(function) <= {"name", "description", "parameters", "strict"}, "bad function")
        need(NAME.fullmatch(function.get("name", "")), "function.name is not valid")
    names = [tool["function"]["name"] for tool in tools]
    if isinstance(choice, dict):
        need(set(choice) == {"type", "function"}, "tool_choice has unknown keys")
        need(choice["function"].get("name") in names, "tool_choice names no tool")
    else:
        need(choice in (None, "auto", "none", "required"), f"bad tool_choice: {choice!r}")


def _check_messages(messages: list[dict[str, Any]]) -> None:
    known: set[str] = set()
    for message in messages:
        role = message.get("role")
        need(role in MESSAGE_KEYS, f"unknown role {role!r}")
        unknown = set(message) - MESSAGE_KEYS[role]
        need(not unknown, f"unknown keys in a {role} message: {sorted(unknown)}")
        content = message.get("content")
        if isinstance(content, list):
            need(role == "user", f"content of a {role} message must be a string")
            need(content, "content must not be empty")
            for part in content:
                _check_part(part)
        else:
            need(isinstance(content, str), "content must be a string or a list of parts")
        if role == "assistant" and "tool_calls" in message:
            need(message["tool_calls"], "tool_calls must not be empty")
            for call in message["tool_calls"]:
                need(set(call) == {"id", "type", "function"}, "bad tool call")
                need(isinstance(call["function"].get("arguments"), str), "arguments: not a string")
                known.add(call["id"])
        if role == "tool":
            need(message.get("tool_call_id") in known, "tool_call_id answers no earlier call")


def _check_part(part: dict[str, Any]) -> None:
    kind = part.get("type")
    if kind == "text":
        need(set(part) == {"type", "text"}, f"unknown keys in a text part: {sorted(part)}")
        need(part["text"], "text parts must not be empty")
        return
    need(kind in PART_KEYS, f"unknown content part {kind!r}")
    need(set(part) == {"type", kind}, f"unknown keys in a {kind} part: {sorted(part)}")
    inner = part[kind]
    need(set(inner) <= PART_KEYS[kind], f"unknown keys in {kind}: {sorted(inner)}")
    if kind == "input_audio":
        need(inner.get("format") in ("wav", "mp3"), "audio format must be wav or mp3")
        need(_is_base64(inner.get("data", "")), "audio data is not base64")
    elif kind == "file":
        if "file_id" not in inner:
            need(inner.get("filename"), "file needs a filename")
            need(_is_data_url(inner.get("file_data", "")), "file_data is not a data URL")
    else:
        url = inner.get("url", "")
        need(url.startswith("https://") or _is_data_url(url), f"bad {kind}")


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


def _is_data_url(url: str) -> bool:
    head, comma, data = url.partition(",")
    return (
        bool(comma)
        and re.fullmatch(r"data:\w+/[\w.+-]+;base64", head) is not None
        and (_is_base64(data))
    )


# --- the model -------------------------------------------------------------------------


def think(body: dict[str, Any]) -> dict[str, Any]:
    """Return the assistant's message."""
    messages = body["messages"]
    prompt = _text(next((m for m in reversed(messages) if m["role"] == "user"), messages[-1]))
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if body.get("reasoning_effort"):
        message["reasoning_content"] = "Let me think about that step by step."
    tool = _tool_to_call(body, prompt)
    form = (body.get("response_format") or {}).get("type", "text")
    if tool is not None:
        arguments = instance(tool.get("parameters", {}), prompt)
        text = json.dumps(arguments, ensure_ascii=False)
        function = {"name": tool["name"], "arguments": text}
        message["tool_calls"] = [
            {"id": f"call_{next(_ids)}", "type": "function", "function": function}
        ]
    elif form == "json_schema":
        schema = body["response_format"]["json_schema"]["schema"]
        message["content"] = json.dumps(instance(schema, prompt))
    elif form == "json_object":
        keys = re.findall(r"'(\w+)'", prompt) or ["setup", "punchline"]
        message["content"] = json.dumps({key: f"A {key} about cats." for key in keys})
    elif messages[-1]["role"] == "tool":
        message["content"] = f"The tool says: {_text(messages[-1])}"
    else:
        message["content"] = f"Hello, this is the stub, and you said: {prompt}"
    return message


_ids = itertools.count(1)


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


def _tool_to_call(body: dict[str, Any], prompt: str) -> dict[str, Any] | None:
    tools = [tool["function"] for tool in body.get("tools", ())]
    choice = body.get("tool_choice", "auto")
    named = [tool for tool in tools if tool["name"].lower() in prompt.lower()]
    if isinstance(choice, dict):
        return next(tool for tool in tools if tool["name"] == choice["function"]["name"])
    if choice == "required":
        return (named or tools)[0]
    if choice == "none" or any(message["role"] == "tool" for message in body["messages"]):
        return None
    for tool in tools:
        words = [word for word in tool["name"].split("_") if len(word) > 3]
        if any(word in prompt.lower() for word in words):
            return tool
    return None


def instance(schema: dict[str, Any], prompt: str, root: dict[str, Any] | None = None) -> Any:
    """Return a value that fits *schema*, with numbers and quotations taken from *prompt*."""
    root = root or schema
    numbers = iter(re.findall(r"\d+", prompt))
    quoted = iter(re.findall(r"'([^']+)'", prompt))

    def value(part: dict[str, Any]) -> Any:
        if "$ref" in part:
            return value(root["$defs"][part["$ref"].rpartition("/")[2]])
        if "const" in part or "enum" in part:
            return part.get("const", (part.get("enum") or [None])[0])
        for key in ("anyOf", "oneOf", "allOf"):
            if key in part:
                return value(part[key][0])
        kind = part.get("type", "object" if "properties" in part else "string")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            return {name: value(inner) for name, inner in part.get("properties", {}).items()}
        if kind == "array":
            return [value(part.get("items", {}))]
        if kind in ("integer", "number"):
            return int(next(numbers, "1"))
        if kind == "boolean":
            return True
        return None if kind == "null" else next(quoted, "sample")

    return value(schema)


# --- the server ------------------------------------------------------------------------


class StubServer(FaultServer):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[dict[str, Any]] = []
        self.seen: set[str] = set()
        self.on(CHAT, self.chat)
        self.on(EMBED, self.embed)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def last(self) -> dict[str, Any]:
        return self.bodies[-1]

    def chat(self, request: Received) -> Reply:
        body = request.json()
        try:
            check(body)
        except Refused as refusal:
            error = {"message": f"stub: {refusal}", "type": "invalid_request_error", "code": 400}
            return json_reply({"error": error}, 400, HEADERS)
        self.bodies.append(body)
        message = think(body)
        self._cut(message, body)
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        usage = self._usage(body, message)
        base = {"id": "chatcmpl-1", "created": 1_771_000_000, "model": body["model"],
                "system_fingerprint": "fp_stub"}  # fmt: skip
        if body.get("stream"):
            events = [_chunk(base, delta) for delta in _deltas(message)]
            events.append(_chunk(base, {}, finish))
            if (body.get("stream_options") or {}).get("include_usage"):
                events.append(
                    {**base, "object": "chat.completion.chunk", "choices": [], "usage": usage}
                )
            return sse(*events, headers=HEADERS)
        choices = [
            {"index": at, "message": message, "finish_reason": finish}
            for at in range(body.get("n", 1))
        ]
        whole = {**base, "object": "chat.completion", "choices": choices, "usage": usage}
        return json_reply(whole, headers=HEADERS)

    @staticmethod
    def _cut(message: dict[str, Any], body: dict[str, Any]) -> None:
        stops = body.get("stop", [])
        for stop in [stops] if isinstance(stops, str) else stops:
            if message["content"]:
                message["content"] = message["content"].partition(stop)[0]

    def _usage(self, body: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        prompt = json.dumps(body["messages"])
        before = len(prompt.split()) + 3
        after = len(json.dumps(message).split()) + 6
        cached = prompt in self.seen
        self.seen.add(prompt)
        return {
            "prompt_tokens": before,
            "completion_tokens": after,
            "total_tokens": before + after,
            "prompt_tokens_details": {
                "cached_tokens": before - 2 if cached else 0,
                "cache_creation_tokens": 0 if cached else before - 2,
                "audio_tokens": 2 if "input_audio" in prompt else 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": 3 if "reasoning_content" in message else 0,
                "audio_tokens": 3 if "audio" in body.get("modalities", ()) else 0,
            },
        }

    def embed(self, request: Received) -> Reply:
        body = request.json()
        self.bodies.append(body)
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        if len(texts) > 32:
            return json_reply({"error": "batch size > maximum allowed batch size 32"}, 413)
        length = body.get("dimensions", 8)
        data = [
            {"object": "embedding", "index": at, "embedding": vector(text)[:length]}
            for at, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        whole = {"object": "list", "data": data, "model": body.get("model", ""), "usage": usage}
        return json_reply(whole, headers=HEADERS)


def vector(text: str) -> list[float]:
    """The vector of *text*: eight numbers that float32 holds exactly."""
    return [byte / 256 for byte in hashlib.sha256(text.encode()).digest()[:8]]


def _chunk(base: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> Any:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**base, "object": "chat.completion.chunk", "choices": [choice]}


def _deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for key in ("reasoning_content", "content"):
        deltas += [{key: piece} for piece in re.findall(r"\S+\s*|\s+", message.get(key) or "")]
    for at, call in enumerate(message.get("tool_calls", ())):
        text = call["function"]["arguments"]
        first = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{**call, "index": at, "function": first}]})
        for start in range(0, len(text), 7):
            piece = {"index": at, "function": {"arguments": text[start : start + 7]}}
            deltas.append({"tool_calls": [piece]})
    return deltas
