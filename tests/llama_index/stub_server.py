"""An OpenAI-compatible server that answers from a script and checks what it is asked.

It is strict where providers are: unknown fields and parts, nulls, empty ``tools``, lists as
content of any but user messages, tool messages without their call, and calls without their
result all draw a 400 that says so. What it checked is kept in ``bodies``.

    with StubRouter() as stub:
        stub.chat(say("Hello."), call(("add", {"a": 2, "b": 3})))
        llm = HFRouter("a/b", base_url=stub.base_url)

An answer is streamed if the request asks for it, else sent whole.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from tests.helpers.fault_server import (
    Answer,
    FaultServer,
    Received,
    Reply,
    Step,
    json_reply,
    sse,
)

CHAT = "/v1/chat/completions"
EMBED = "/v1/embeddings"
OTHER_EMBED = ("/v1/embed", "/v1/feature-extraction")  # TEI's form, hf-inference's form
RERANK = "/rerank"
MOST_TEXTS = 32

FIELDS = {
    "model",
    "messages",
    "max_tokens",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "seed",
    "n",
    "logprobs",
    "top_logprobs",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "top_k",
}
PARTS = {
    "text": {"type", "text"},
    "image_url": {"type", "image_url"},
    "input_audio": {"type", "input_audio"},
    "video_url": {"type", "video_url"},
    "file": {"type", "file"},
}
RERANK_FIELDS = {"query", "texts", "raw_scores", "return_text", "truncate", "truncation_direction"}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ROLES = {"system", "developer", "user", "assistant", "tool"}


class StubRouter(FaultServer):
    """See the module's docstring."""

    def __init__(self, *, strict: bool = True) -> None:
        super().__init__()
        self.strict = strict
        self.bodies: list[dict[str, Any]] = []
        self.on_embed(self.checked_embed())
        self.on(RERANK, self.checked_rerank())

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def chat(self, *answers: Answer) -> StubRouter:
        """Answer chat requests one after another; the last answer stays."""
        self.script(CHAT, *[self._checked(answer) for answer in answers])
        return self

    def _checked(self, answer: Answer) -> Callable[[Received], Reply]:
        def check(request: Received) -> Reply:
            body = request.json()
            self.bodies.append(body)
            try:
                check_chat(body, strict=self.strict)
            except ValueError as error:
                return json_reply({"error": {"message": f"stub: {error}", "code": 400}}, 400)
            return answer(request) if callable(answer) else answer

        return check

    def on_embed(self, answer: Answer) -> None:
        """Answer every form of embedding with *answer*."""
        for path in (EMBED, *OTHER_EMBED):
            self.on(path, answer)

    def checked_embed(self) -> Callable[[Received], Reply]:
        def embed(request: Received) -> Reply:
            body = request.json()
            self.bodies.append(body)
            texts = body["input"] if request.path == EMBED else body["inputs"]
            texts = [texts] if isinstance(texts, str) else texts
            if request.path != EMBED:
                return json_reply([vector(text) for text in texts])
            encode = packed if body.get("encoding_format") == "base64" else vector
            data = [
                {"object": "embedding", "index": number, "embedding": encode(text)}
                for number, text in enumerate(texts)
            ]
            usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
            return json_reply({"object": "list", "data": data, "model": "m", "usage": usage})

        return embed

    def checked_rerank(self) -> Callable[[Received], Reply]:
        """Answer as TEI does: at most 32 texts, unknown fields refused, the best first."""

        def rerank(request: Received) -> Reply:
            body = request.json()
            self.bodies.append(body)
            texts, wrong = body["texts"], sorted(body.keys() - RERANK_FIELDS)
            if wrong or not 0 < len(texts) <= MOST_TEXTS:
                error = {"error": f"{len(texts)} texts, fields {wrong}", "error_type": "Validation"}
                return json_reply(error, 422)
            scores = [overlap(body["query"], text) for text in texts]
            best = sorted(range(len(texts)), key=lambda at: -scores[at])
            return json_reply([{"index": at, "score": scores[at]} for at in best])

        return rerank

    @property
    def last(self) -> dict[str, Any]:
        return self.bodies[-1]


def vector(text: str) -> list[float]:
    """Return the vector that the stub gives to *text*: eight numbers that float32 can hold."""
    return [byte / 256 for byte in hashlib.sha256(text.encode()).digest()[:8]]


def packed(text: str) -> str:
    """Return :func:`vector` in base64."""
    return base64.b64encode(struct.pack("<8f", *vector(text))).decode()


def overlap(query: str, text: str) -> float:
    """Return the score that the stub gives to *text*: the share of its words in *query*."""
    words = text.split()
    return sum(word in query.split() for word in words) / max(len(words), 1)


# --- answers ----------------------------------------------------------------------------


def say(
    text: str | Sequence[str] = "",
    *,
    reasoning: str | Sequence[str] = "",
    reasoning_field: str = "reasoning_content",
    finish: str | None = "stop",
    calls: Sequence[dict[str, Any]] = (),
    usage: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    logprobs: Any = None,
    delay: float = 0.0,
    end: Step | None = None,
) -> Callable[[Received], Reply]:
    """Answer with *text*; a list is streamed in these pieces, a string word by word."""
    usage = usage or {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}

    def answer(request: Received) -> Reply:
        body = request.json()
        if body.get("stream"):
            events = _deltas(text, reasoning, reasoning_field, calls, finish)
            if (body.get("stream_options") or {}).get("include_usage"):
                events.append({**HEAD, "choices": [], "usage": usage})
            return sse(*events, headers=headers, delay=delay, end=end, done=end is None)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(text) or None}
        if reasoning:
            message[reasoning_field] = "".join(reasoning)
        if calls:
            message["tool_calls"] = list(calls)
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}
        whole = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage}
        return json_reply(whole, headers=headers, delay=delay)

    return answer


def call(*calls: tuple[str, dict[str, Any]], text: str = "") -> Callable[[Received], Reply]:
    """Answer with tool calls, ids ``call_a``, ``call_b`` ...; arguments stream in two pieces."""
    made = [
        {
            "id": f"call_{chr(97 + number)}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for number, (name, arguments) in enumerate(calls)
    ]
    return say(text, calls=made, finish="tool_calls")


def stream(*deltas: dict[str, Any], finish: str | None = "stop") -> Callable[[Received], Reply]:
    """Answer with exactly these deltas."""
    events = [chunk(delta) for delta in deltas]
    if finish is not None:
        events.append(chunk({}, finish))
    return lambda request: sse(*events)


HEAD = {"id": "cmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served/m"}


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _deltas(
    text: str | Sequence[str],
    reasoning: str | Sequence[str],
    reasoning_field: str,
    calls: Sequence[dict[str, Any]],
    finish: str | None,
) -> list[dict[str, Any]]:
    events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({reasoning_field: piece}) for piece in _pieces(reasoning)]
    events += [chunk({"content": piece}) for piece in _pieces(text)]
    for index, made in enumerate(calls):
        whole = made["function"]["arguments"]
        half = len(whole) // 2
        first = {**made, "function": {**made["function"], "arguments": whole[:half]}}
        events.append(chunk({"tool_calls": [{"index": index, **first}]}))
        rest = {"index": index, "function": {"arguments": whole[half:]}}
        events.append(chunk({"tool_calls": [rest]}))
    if finish is not None:
        events.append(chunk({}, finish))
    return events


def _pieces(text: str | Sequence[str]) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text) if isinstance(text, str) else list(text)


# --- checks -----------------------------------------------------------------------------


def check_chat(body: dict[str, Any], *, strict: bool = True) -> None:
    """Raise ValueError for what a strict provider refuses.

    Not *strict*: nulls and any order of the fields pass, as they do with most providers.
    """
    if strict:
        _require(next(iter(body)) == "model", "model must come first")
        _no_nulls(body, "body")
    else:
        body = {name: value for name, value in body.items() if value is not None}
    _require(bool(body["model"]), "model is empty")
    unknown = body.keys() - FIELDS
    _require(not unknown, f"Extra inputs are not permitted: {sorted(unknown)}")
    _require("stream_options" not in body or body.get("stream") is True, "stream_options")
    _check_tools(body)
    _check_messages(body["messages"])
    response_format = body.get("response_format")
    if response_format and response_format["type"] == "json_schema":
        name = response_format["json_schema"]["name"]
        _require(bool(NAME.fullmatch(name)), f"bad schema name {name!r}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _no_nulls(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _require(item is not None, f"{where}.{key} is null")
            if key not in ("schema", "parameters"):
                _no_nulls(item, f"{where}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _no_nulls(item, f"{where}[{number}]")


def _check_tools(body: dict[str, Any]) -> None:
    if "tools" not in body:
        extra = {"tool_choice", "parallel_tool_calls"} & body.keys()
        _require(not extra, f"{extra} without tools")
        return
    _require(len(body["tools"]) > 0, "tools is empty")
    for tool in body["tools"]:
        _require(tool.keys() == {"type", "function"}, "tool keys")
        keys = tool["function"].keys()
        _require(keys <= {"name", "description", "parameters", "strict"}, f"keys {keys}")
        _require(bool(NAME.fullmatch(tool["function"]["name"])), "function name")
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict):
        names = {tool["function"]["name"] for tool in body["tools"]}
        _require(choice["function"]["name"] in names, "tool_choice names an unknown tool")
    else:
        _require(choice in ("auto", "none", "required"), f"tool_choice {choice!r}")


def _check_messages(messages: list[dict[str, Any]]) -> None:
    _require(bool(messages), "messages is empty")
    open_calls: set[str] = set()
    for number, message in enumerate(messages):
        where, role = f"messages[{number}]", message["role"]
        _require(role in ROLES, f"{where}: role {role!r}")
        allowed = {"role", "content", "name"}
        if role == "tool":
            allowed |= {"tool_call_id"}
            _require(message.get("tool_call_id") in open_calls, f"{where}: no such tool call")
            open_calls.discard(message["tool_call_id"])
        else:
            _require(not open_calls, f"{where}: calls {open_calls} have no result")
        if role == "assistant":
            allowed |= {"tool_calls", "reasoning_content", "reasoning"}
            open_calls = _check_calls(message, where)
        _require(message.keys() <= allowed, f"{where}: keys {sorted(message.keys() - allowed)}")
        if role == "user" and isinstance(message["content"], list):
            _require(bool(message["content"]), f"{where}: no parts")
            for part in message["content"]:
                _check_part(part, where)
        else:
            content = message.get("content") or ""
            _require(isinstance(content, str), f"{where}: content is no string")


def _check_calls(message: dict[str, Any], where: str) -> set[str]:
    calls = message.get("tool_calls")
    if calls is None:
        return set()
    _require(bool(calls), f"{where}: tool_calls is empty")
    for made in calls:
        _require(made["type"] == "function" and bool(made["id"]), f"{where}: call")
        arguments = made["function"]["arguments"]
        _require(isinstance(arguments, str), f"{where}: arguments are no string")
    return {made["id"] for made in calls}


def _check_part(part: dict[str, Any], where: str) -> None:
    kind = part.get("type")
    _require(kind in PARTS, f"{where}: unknown part {kind!r}")
    _require(part.keys() == PARTS[kind], f"{where}: part keys {sorted(part)}")
    if kind == "text":
        _require(part["text"] != "", f"{where}: empty text part")
    if kind == "image_url":
        url = part["image_url"]["url"]
        fine = url.startswith("http") or re.match(r"data:image/[a-z+.-]+;base64,[A-Za-z0-9+/]", url)
        _require(bool(fine), f"{where}: image url {url[:40]!r}")
    if kind == "input_audio":
        _require(part["input_audio"].keys() == {"data", "format"}, f"{where}: audio")
