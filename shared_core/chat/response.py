"""From the body of an answer to a :class:`ChatCompletion`, whatever the provider's dialect.

Lenient where providers differ (almost every key is optional, unknown keys are kept in
``raw``), strict where leniency would invent an answer: a body without choices or message is
an error that quotes its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from shared_core.chat.thinking import split_thinking
from shared_core.chat.tool_deltas import arguments_text, final_arguments, new_call_id
from shared_core.chat.types import ChatCompletion, ChatMessage, Choice, ToolCall, Usage
from shared_core.constants import CUT_REASONS
from shared_core.errors import (
    APIResponseValidationError,
    ErrorContext,
    from_error_object,
)
from shared_core.wire import json_text
from shared_core.wire.json_text import MAX_COUNT, whole
from shared_core.wire.messages import Headers

REASONING_KEYS = ("reasoning", "reasoning_content", "reasoning_text")
"""Where providers put reasoning, in the order in which they are asked."""

_REQUEST_ID_HEADERS = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id")
_MESSAGE_KEYS = frozenset({"role", "content", "tool_calls", "refusal", "name", *REASONING_KEYS})
"""Keys of a message that have a place in :class:`ChatMessage`."""

_CHOICE_KEYS = frozenset({"index", "message", "delta", "finish_reason", "logprobs"})


@dataclass(frozen=True, slots=True)
class Answered:
    """Who was asked and what came before the body; rides on results and errors.

    Attributes:
        status: HTTP status.
        headers: Response headers.
        url: URL that answered.
        operation: e.g. ``"chat"``.
        model: Model as asked for.
        provider: Provider as asked for.
        hide: Removes our secrets from the errors of a stream, where a server may echo them.
    """

    status: int = 200
    headers: Headers = field(default_factory=Headers)
    url: str = ""
    operation: str = "chat"
    model: str | None = None
    provider: str | None = None
    hide: Callable[[str], str] | None = field(default=None, repr=False, compare=False)

    @property
    def request_id(self) -> str | None:
        """The server's id of the exchange."""
        for name in _REQUEST_ID_HEADERS:
            if name in self.headers:
                return self.headers[name]
        return None

    @property
    def serving_provider(self) -> str | None:
        """Who served the call, as the router says."""
        return self.headers.get("x-inference-provider")

    def error_context(self) -> ErrorContext:
        """Return the keyword arguments that an error about this answer takes."""
        return {
            "operation": self.operation,
            "model": self.model,
            "provider": self.serving_provider or self.provider,
            "url": self.url,
            "request_id": self.request_id,
        }

    def invalid(
        self,
        what: str,
        body: bytes,
        kind: type[APIResponseValidationError] = APIResponseValidationError,
    ) -> APIResponseValidationError:
        """Return the error for a body of the wrong shape, quoting its beginning."""
        return kind(
            f"{what}: {json_text.evidence(body)}",
            status_code=self.status,
            content_type=self.headers.get("content-type"),
            body=body[:2000].decode("utf-8", "replace"),
            headers=self.headers,
            **self.error_context(),
        )

    def raise_error_object(self, value: Any) -> NoReturn:
        """Raise the error that an error object inside a 2xx answer stands for."""
        raise from_error_object(
            value,
            headers=self.headers,
            operation=self.operation,
            model=self.model,
            provider=self.provider,
            url=self.url,
        )


class ShapeError(ValueError):
    """Part of an answer has a shape that cannot be understood."""


def parse_completion(
    body: bytes | dict[str, Any],
    headers: Mapping[str, str] | None = None,
    status: int = 200,
    *,
    split_think: bool = False,
    url: str = "",
    operation: str = "chat",
    model: str | None = None,
    provider: str | None = None,
) -> ChatCompletion:
    """Return the completion that the body of a 2xx answer holds.

    Args:
        body: The body, decoded from its content-encoding, or already parsed.
        headers: Response headers.
        status: HTTP status.
        split_think: Move a ``<think>`` block at the start of the content to ``reasoning``.
        url: URL that answered, for errors.
        operation: What was attempted, for errors.
        model: Model as asked for, for errors.
        provider: Provider as asked for, for errors.

    Raises:
        APIResponseValidationError: The body is no completion; its beginning is quoted.
        APIStatusError: The body is an error object; the class for what it says.
    """
    known = headers if isinstance(headers, Headers) else Headers(headers)
    answered = Answered(status, known, url, operation, model, provider)
    return completion_of(body, answered, split_think=split_think)


def completion_of(
    body: bytes | dict[str, Any], answered: Answered, *, split_think: bool = False
) -> ChatCompletion:
    """Return the completion of *body*; see :func:`parse_completion`."""
    if isinstance(body, bytes):
        data, value = body, decoded(body, answered)
    else:
        data, value = b"", body
    if is_error_object(value):
        answered.raise_error_object(value)
    try:
        if not isinstance(value, dict):
            raise ShapeError(f"the answer is {kind_of(value)} instead of a completion")
        choices = value.get("choices")
        if not isinstance(choices, list) or not choices:
            raise ShapeError("the answer has no choices")
        parsed = [_choice(item, at, split_think) for at, item in enumerate(choices)]
    except ShapeError as error:
        raise answered.invalid(str(error), data or repr(value)[:200].encode()) from None
    return ChatCompletion(
        id=text_or_empty(value.get("id")),
        model=text_or_empty(value.get("model")),
        created=whole(value.get("created")),
        choices=parsed,
        usage=usage_of(value),
        system_fingerprint=text_or_empty(value.get("system_fingerprint")) or None,
        request_id=answered.request_id,
        provider=answered.serving_provider,
        headers=answered.headers,
        raw=value,
    )


def decoded(body: bytes, answered: Answered) -> Any:
    """Return the JSON value of a whole body.

    Args:
        body: The body.
        answered: For the errors.

    Raises:
        APIResponseValidationError: It is no JSON document; its beginning is quoted.
    """
    try:
        return json_text.read_body(body)
    except json_text.BodyError as error:
        raise answered.invalid(str(error), body, error.kind) from None


def is_error_object(value: Any) -> bool:
    """Return whether a JSON value is an error report: ``error`` set, or vLLM's old form."""
    if not isinstance(value, dict):
        return False
    return value.get("error") is not None or value.get("object") == "error"


def kind_of(value: Any) -> str:
    """Return what a JSON value is, in words."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def _choice(item: Any, position: int, split_think: bool) -> Choice:
    if not isinstance(item, dict):
        raise ShapeError(f"choices[{position}] is {kind_of(item)}")
    wire = item.get("message")
    if not isinstance(wire, dict):
        raise ShapeError(f"choices[{position}].message is {kind_of(wire)}")
    content = content_text(wire.get("content"))
    reasoning = reasoning_of(wire) or None
    if split_think and content:
        content, thought = split_thinking(content)
        reasoning = reasoning or thought
    refusal = wire.get("refusal")
    index = item.get("index")
    reason = item.get("finish_reason")
    reason = reason if isinstance(reason, str) and reason else None
    message = ChatMessage(
        "assistant",
        content,
        tool_calls=_tool_calls(wire.get("tool_calls"), cut=reason in CUT_REASONS),
        reasoning=reasoning,
        refusal=refusal if isinstance(refusal, str) and refusal else None,
        received=received_of(wire),
    )
    return Choice(
        index=index_of(index, position),
        message=message,
        finish_reason=reason,
        logprobs=item.get("logprobs"),
        extra={key: value for key, value in item.items() if key not in _CHOICE_KEYS},
    )


def received_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a message or delta that have no place of their own; no empty values."""
    if message.keys() <= _MESSAGE_KEYS:
        return {}
    return {
        key: value
        for key, value in message.items()
        if key not in _MESSAGE_KEYS and value not in (None, "", [], {})
    }


def content_text(content: Any) -> str | None:
    """Return the text of a content: text, null, or a list of parts (their text joined).

    Raises:
        ShapeError: It is something else.
    """
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ShapeError(f"the content of the message is {kind_of(content)}")
    pieces = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            pieces.append(text)
    return "".join(pieces)


def reasoning_of(message: dict[str, Any]) -> str:
    """Return the reasoning text of a message or delta, ``""`` if it has none."""
    for key in REASONING_KEYS:
        value = message.get(key)
        if value and isinstance(value, str):
            return value
    content = message.get("content")
    return _thinking_in(content) if isinstance(content, list) else ""


def _thinking_in(parts: list[Any]) -> str:
    """Return the text of ``thinking`` parts: Mistral's models answer with them."""
    thoughts = [
        part.get("thinking")
        for part in parts
        if isinstance(part, dict) and part.get("type") == "thinking"
    ]
    return "".join(content_text(t) or "" for t in thoughts if isinstance(t, str | list))


def _tool_calls(wire: Any, *, cut: bool) -> list[ToolCall]:
    if isinstance(wire, dict):  # old TGI: one object instead of a list
        wire = [wire]
    if wire is None:
        return []
    if not isinstance(wire, list):
        raise ShapeError(f"tool_calls is {kind_of(wire)}")
    calls: list[ToolCall] = []
    taken: set[str] = set()
    for at, item in enumerate(wire):
        function = item.get("function") if isinstance(item, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if function is None or not isinstance(name, str):
            raise ShapeError(f"tool_calls[{at}] has no function name")
        given = item.get("id")
        call_id = str(given) if isinstance(given, str | int) and given != "" else ""
        if not call_id or call_id in taken:
            call_id = new_call_id()
        taken.add(call_id)
        text = arguments_text(function.get("arguments"))
        torn = cut and at == len(wire) - 1
        calls.append(ToolCall(call_id, name, final_arguments(text, cut=torn)))
    return calls


def index_of(value: Any, otherwise: int) -> int:
    """Return the index of a choice as the server gives it.

    Args:
        value: What stands there.
        otherwise: Index where that is no whole number from 0 to ``MAX_COUNT``.
    """
    return value if type(value) is int and 0 <= value <= MAX_COUNT else otherwise


def usage_of(value: Mapping[str, Any]) -> Usage | None:
    """Return the token counts of an answer or event, wherever the provider put them.

    Looks at ``usage``, then ``x_groq.usage``, then ``choices[0].usage``.
    """
    usage = value.get("usage")
    if usage is None:
        nested = value.get("x_groq")
        usage = nested.get("usage") if isinstance(nested, dict) else None
    if usage is None:
        choices = value.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        usage = first.get("usage") if isinstance(first, dict) else None
    return parse_usage(usage) if isinstance(usage, dict) and usage else None


def parse_usage(usage: dict[str, Any]) -> Usage:
    """Return token counts and cost; odd values (null, text, NaN, below 0) count as missing.

    Args:
        usage: The object as sent; kept in ``raw``.
    """
    details = _object(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    written = _object(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    prompt = _first(usage.get("prompt_tokens"), usage.get("input_tokens")) or 0
    completion = _first(usage.get("completion_tokens"), usage.get("output_tokens")) or 0
    total = whole(usage.get("total_tokens"))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion if total is None else total,
        cached_tokens=_first(
            details.get("cached_tokens"),
            usage.get("cached_tokens"),
            usage.get("prompt_cache_hit_tokens"),
        ),
        reasoning_tokens=_first(written.get("reasoning_tokens"), usage.get("reasoning_tokens")),
        audio_input_tokens=whole(details.get("audio_tokens")),
        audio_output_tokens=whole(written.get("audio_tokens")),
        cache_write_tokens=_first(
            *(place.get(name) for place in (details, usage) for name in _CACHE_WRITES)
        ),
        cost=next(filter(_is_cost, map(usage.get, _COSTS)), None),
        raw=usage,
    )


_CACHE_WRITES = ("cache_creation_tokens", "cache_write_tokens", "cache_creation_input_tokens")
_COSTS = ("cost", "estimated_cost")
_NOTHING: dict[str, Any] = {}


def _is_cost(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= MAX_COUNT  # NaN is no number


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else _NOTHING


def _first(*values: Any) -> int | None:
    for value in values:
        number = whole(value)
        if number is not None:
            return number
    return None


def text_or_empty(value: Any) -> str:
    """Return a text field, ``""`` where it is missing or of another type."""
    return value if isinstance(value, str) else ""
