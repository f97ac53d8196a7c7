"""Chat completions by the extractive reader, in the wire's shapes."""

from __future__ import annotations

import itertools
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core

from shared_core.errors import (
    BadRequestError,
    ModelNotFoundError,
    UnsupportedFeatureError,
)
from shared_core.local.failures import LocalModelError
from shared_core.local.models import READER, LocalModels
from shared_core.local.prompt import parse
from shared_core.local.reader import answer, count_tokens
from shared_core.wire.messages import WireRequest

# Request fields that would change the answer of a language model and cannot be honoured
# by quoting. Sampling fields (temperature, top_p, seed, penalties) are honoured trivially:
# there is no sampling.
_REFUSED = {
    "tools": "call tools",
    "functions": "call tools",
    "logprobs": "give log probabilities",
    "logit_bias": "bias tokens",
    "grammar": "follow a grammar",
}


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    finish_reason: str
    usage: dict[str, int]
    include_usage: bool


def unknown_model(name: str, known: Sequence[str], request: WireRequest) -> ModelNotFoundError:
    """Return the error for a model that is not a local one."""
    return ModelNotFoundError(
        f"Local mode has no model {name!r}; it has {' and '.join(known)}.",
        status_code=404,
        code="model_not_found",
        operation=request.operation,
        guidance="Leave model= out, or leave local= out to reach models on the router.",
    )


def body_of(request: WireRequest) -> dict[str, Any]:
    """Return the request's JSON object.

    Raises:
        BadRequestError: It has none.
    """
    try:
        body = pydantic_core.from_json(request.body() or b"")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise bad_request("The body is not a JSON object.", request)
    return body


def bad_request(message: str, request: WireRequest, param: str | None = None) -> BadRequestError:
    """Return the error for a request that cannot be understood."""
    return BadRequestError(
        message, status_code=400, param=param, operation=request.operation, model=request.model
    )


def completion(models: LocalModels, request: WireRequest) -> dict[str, Any]:
    """Return a whole chat completion object."""
    made = _answer(models, request)
    return {
        **_envelope("chat.completion"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": made.text},
                "finish_reason": made.finish_reason,
                "logprobs": None,
            }
        ],
        "usage": made.usage,
    }


def events(models: LocalModels, request: WireRequest) -> Iterator[bytes]:
    """Return the completion as server-sent events, one word each, ended by ``[DONE]``.

    The answer is computed before this returns, so that errors come before the stream.
    """
    made = _answer(models, request)
    envelope = _envelope("chat.completion.chunk")
    return itertools.chain(
        (_event({**envelope, **chunk}) for chunk in _chunks(made)), [b"data: [DONE]\n\n"]
    )


def _chunks(made: _Answer) -> Iterator[dict[str, Any]]:
    def choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield choice({"role": "assistant", "content": ""})
    for word in re.findall(r"\s*\S+|\s+$", made.text):
        yield choice({"content": word})
    yield choice({}, made.finish_reason)
    if made.include_usage:
        yield {"choices": [], "usage": made.usage}


def _envelope(kind: str) -> dict[str, Any]:
    return {
        "id": f"local-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": READER,
        "system_fingerprint": "local",
    }


def _event(value: Any) -> bytes:
    return b"data: " + pydantic_core.to_json(value) + b"\n\n"


def _answer(models: LocalModels, request: WireRequest) -> _Answer:
    body = body_of(request)
    asked = body.get("model")
    if asked is not None and asked not in (READER, READER.partition("/")[2]):
        raise unknown_model(str(asked), [READER], request)
    _refuse(body, request)
    messages = [_message(item, request) for item in _list(body, "messages", request)]
    text = answer(parse(messages), encoder=_encoder(models), max_sentences=models.max_sentences)
    text, reason = _cut(text, body)
    prompt_tokens = sum(count_tokens(words) for _, words in messages)
    completion_tokens = count_tokens(text)
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    options = body.get("stream_options")
    include = isinstance(options, dict) and bool(options.get("include_usage"))
    return _Answer(text, reason, usage, include)


def _encoder(models: LocalModels) -> Any:
    if not models.semantic:
        return None
    try:
        return models.encoder()
    except (LocalModelError, ImportError):
        if models.embedding_folder is not None:
            raise
        return None  # words alone, as documented on LocalModels.semantic


def _refuse(body: Mapping[str, Any], request: WireRequest) -> None:
    for name, deed in _REFUSED.items():
        if body.get(name):
            raise _cannot(deed, name, request)
    if body.get("tool_choice") not in (None, "none", "auto"):
        raise _cannot("call tools", "tool_choice", request)
    if (body.get("n") or 1) != 1:
        raise _cannot("give several answers", "n", request)
    form = body.get("response_format")
    if isinstance(form, dict) and form.get("type") != "text":
        raise _cannot("write JSON", "response_format", request)


def _cannot(deed: str, param: str, request: WireRequest) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"{READER} only quotes sentences: it cannot {deed} ({param}).",
        status_code=400,
        code="unsupported_in_local_mode",
        param=param,
        operation=request.operation,
        model=READER,
        guidance=f"Leave {param} out, or use a language model: without local=, with HF_TOKEN set.",
    )


def _list(body: Mapping[str, Any], name: str, request: WireRequest) -> list[Any]:
    value = body.get(name)
    if not isinstance(value, list) or not value:
        raise bad_request(f"{name} must be a list with at least one item.", request, name)
    return value


def _message(item: Any, request: WireRequest) -> tuple[str, str]:
    if not isinstance(item, dict) or not isinstance(item.get("role"), str):
        raise bad_request("A message must be an object with a role.", request, "messages")
    content = item.get("content")
    if content is None or isinstance(content, str):
        return item["role"], content or ""
    if not isinstance(content, list):
        raise bad_request("content must be text or a list of parts.", request, "messages")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise _cannot(f"read content of type {kind!r}", "messages", request)
        texts.append(part["text"])
    return item["role"], "\n\n".join(texts)


def _cut(text: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """Apply ``stop`` and the token limit; returns the text and the finish reason."""
    reason = "stop"
    stop = body.get("stop") or ()
    for mark in [stop] if isinstance(stop, str) else stop:
        text = text.partition(mark)[0] if mark else text
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit:
        tokens = list(re.finditer(r"\w+|[^\w\s]", text))
        if len(tokens) > limit:
            text, reason = text[: tokens[limit - 1].end()], "length"
    return text, reason
