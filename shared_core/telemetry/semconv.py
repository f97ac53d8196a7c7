"""OpenTelemetry's names for generative AI, and how our events become attributes.

Source: open-telemetry/semantic-conventions-genai, November 2026, status "development". The
constants of ``opentelemetry-semantic-conventions`` are deprecated, hence our own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared_core.resilience.prices import believable

if TYPE_CHECKING:
    from shared_core.callbacks import CallEndEvent, CallStartEvent

PROVIDER = "huggingface"
OPERATIONS = {
    "chat": "chat",
    "embeddings": "embeddings",
    "feature-extraction": "embeddings",
    "feature_extraction": "embeddings",
    "responses": "chat",
    "sparse_embeddings": "embeddings",
    "text-generation": "text_completion",
    "text_generation": "text_completion",
    "token_embeddings": "embeddings",
}
"""Our operations -> theirs. Other operations have no convention and make no span."""

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
ERROR_TYPE = "error.type"
TOKEN_TYPE = "gen_ai.token.type"
TOKEN_MODALITY = "gen_ai.token.modality"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"

DURATION = "gen_ai.client.operation.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"
TIME_TO_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TIME_PER_OUTPUT_CHUNK = "gen_ai.client.operation.time_per_output_chunk"
OPERATION_INPUT = "gen_ai.client.inference.operation.input_tokens"
OPERATION_OUTPUT = "gen_ai.client.inference.operation.output_tokens"
_USAGE = "gen_ai.client.inference.usage."

_SECONDS = tuple(0.01 * 2**step for step in range(14))  # 0.01 to 81.92
_TOKENS = tuple(4**step for step in range(14))  # 1 to 67108864
HISTOGRAMS = (
    (DURATION, "s", "Duration of operations.", _SECONDS),
    (TOKEN_USAGE, "{token}", "Input and output tokens.", _TOKENS),
    (TIME_TO_FIRST_CHUNK, "s", "Time to the first chunk of a stream.", _SECONDS),
    (TIME_PER_OUTPUT_CHUNK, "s", "Time between chunks of a stream.", _SECONDS),
    (OPERATION_INPUT, "{token}", "Input tokens of one operation.", _TOKENS),
    (OPERATION_OUTPUT, "{token}", "Output tokens of one operation.", _TOKENS),
)
"""Name, unit, description, bucket bounds."""

COUNTED = {
    f"{_USAGE}input_tokens": INPUT_TOKENS,
    f"{_USAGE}output_tokens": OUTPUT_TOKENS,
    f"{_USAGE}cache_read.input_tokens": CACHE_READ_TOKENS,
    f"{_USAGE}reasoning.output_tokens": REASONING_TOKENS,
}
"""Counter -> the attribute of the span that it adds up."""
COUNTERS = tuple((name, f"Sum of {attribute}.") for name, attribute in COUNTED.items())

_REQUEST = {
    "dimensions": "gen_ai.embeddings.dimension.count",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_new_tokens": "gen_ai.request.max_tokens",
    "max_tokens": "gen_ai.request.max_tokens",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "temperature": "gen_ai.request.temperature",
    "top_k": "gen_ai.request.top_k",
    "top_p": "gen_ai.request.top_p",
}
_OUTPUT_TYPES = {"json_object": "json", "json_schema": "json", "text": "text"}


def server(url: str) -> dict[str, Any]:
    """Return where a call goes to: ``server.address`` and ``server.port``."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    if not parts.hostname or port is None:
        return {}
    return {"server.address": parts.hostname, "server.port": port}


def request(event: CallStartEvent, operation: str) -> dict[str, Any]:
    """Return the attributes of a request, without content."""
    given = event.parameters
    found: dict[str, Any] = {
        attribute: given[name] for name, attribute in _REQUEST.items() if name in given
    }
    if event.stream:
        found["gen_ai.request.stream"] = True
    if given.get("n") not in (None, 1):
        found["gen_ai.request.choice.count"] = given["n"]
    stop = given.get("stop")
    if stop:
        found["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if given.get("encoding_format"):
        found["gen_ai.request.encoding_formats"] = [given["encoding_format"]]
    shape = _OUTPUT_TYPES.get(str(given.get("response_format")))
    if shape and operation == "chat":
        found["gen_ai.output.type"] = shape
    return found


def response(event: CallEndEvent, result: Any) -> dict[str, Any]:
    """Return the attributes of an answer, or of its failure, without content."""
    found: dict[str, Any] = {}
    if event.error is not None:
        found[ERROR_TYPE] = type(event.error).__name__
    if event.outcome == "abandoned":
        found["hf_router.outcome"] = "abandoned"
    if event.provider:
        found["hf_router.provider"] = event.provider
    if event.cached:
        found["hf_router.cached"] = True
    if event.attempts > 1:
        found["hf_router.attempts"] = event.attempts
    for attribute, value in (
        ("gen_ai.response.id", getattr(result, "id", None)),
        (RESPONSE_MODEL, getattr(result, "model", None)),
    ):
        if isinstance(value, str) and value:
            found[attribute] = value
    reasons = [choice.finish_reason for choice in getattr(result, "choices", None) or ()]
    if any(reasons):
        found["gen_ai.response.finish_reasons"] = [reason or "error" for reason in reasons]
    usage = event.usage
    if believable(usage):
        counts = {
            INPUT_TOKENS: usage.prompt_tokens,
            OUTPUT_TOKENS: usage.completion_tokens,
            CACHE_READ_TOKENS: getattr(usage, "cached_tokens", None),
            REASONING_TOKENS: getattr(usage, "reasoning_tokens", None),
            "gen_ai.usage.audio.input_tokens": getattr(usage, "audio_input_tokens", None),
            "gen_ai.usage.audio.output_tokens": getattr(usage, "audio_output_tokens", None),
        }
        found.update((name, count) for name, count in counts.items() if count is not None)
    return found


def request_content(body: Any) -> dict[str, Any]:
    """Return the prompt and the tools of a body; only for those who asked for content."""
    if not isinstance(body, Mapping):
        return {}
    found: dict[str, Any] = {}
    messages = body.get("messages")
    if isinstance(messages, list):
        parts = [_message(one) for one in messages if isinstance(one, Mapping)]
        found["gen_ai.input.messages"] = json.dumps(parts, ensure_ascii=False)
    if body.get("tools"):
        found["gen_ai.tool.definitions"] = json.dumps(body["tools"], ensure_ascii=False)
    return found


def response_content(result: Any) -> dict[str, Any]:
    """Return the answers of a chat; only for those who asked for content."""
    choices = getattr(result, "choices", None)
    if not choices:
        return {}
    messages = []
    for choice in choices:
        parts: list[dict[str, Any]] = []
        if choice.message.reasoning:
            parts.append({"type": "reasoning", "content": choice.message.reasoning})
        if choice.message.text:
            parts.append({"type": "text", "content": choice.message.text})
        parts += [
            {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
            for call in choice.message.tool_calls
        ]
        reason = choice.finish_reason or "error"
        messages.append({"role": "assistant", "parts": parts, "finish_reason": reason})
    return {"gen_ai.output.messages": json.dumps(messages, ensure_ascii=False)}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a wire message in the form of the conventions."""
    content, parts = message.get("content"), []
    if message.get("role") == "tool":
        part = {"type": "tool_call_response", "id": message.get("tool_call_id"), "result": content}
        return {"role": "tool", "parts": [part]}
    if isinstance(content, str):
        parts.append({"type": "text", "content": content})
    for part in content if isinstance(content, list) else ():
        if part.get("type") == "text":
            parts.append({"type": "text", "content": part.get("text", "")})
        else:  # an attachment may be megabytes: its kind has to do
            parts.append({"type": str(part.get("type"))})
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append({"type": "tool_call", "id": call.get("id"), **function})
    return {"role": message.get("role"), "parts": parts}
