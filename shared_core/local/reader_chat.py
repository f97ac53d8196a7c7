"""Chat completions by the extractive reader, in the wire's shapes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared_core.errors import UnsupportedFeatureError
from shared_core.local.call import LocalCall
from shared_core.local.failures import LocalModelError
from shared_core.local.models import READER
from shared_core.local.prompt import parse
from shared_core.local.reader import answer, count_tokens
from shared_core.local.shapes import DONE, chat_envelope, event, messages_of, text_of

if TYPE_CHECKING:
    from shared_core.local.embedder import Embedder

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


def completion(call: LocalCall) -> dict[str, Any]:
    """Return a whole chat completion object."""
    made = _answer(call)
    return {
        **chat_envelope("chat.completion", READER),
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


def events(call: LocalCall) -> Iterator[bytes]:
    """Return the completion as server-sent events, one word each, ended by ``[DONE]``.

    The answer is computed before this returns, so that errors come before the stream.
    """
    made = _answer(call)
    envelope = chat_envelope("chat.completion.chunk", READER)
    return itertools.chain((event({**envelope, **chunk}) for chunk in _chunks(made)), [DONE])


def _chunks(made: _Answer) -> Iterator[dict[str, Any]]:
    def choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield choice({"role": "assistant", "content": ""})
    for word in re.findall(r"\s*\S+|\s+$", made.text):
        yield choice({"content": word})
    yield choice({}, made.finish_reason)
    if made.include_usage:
        yield {"choices": [], "usage": made.usage}


def _answer(call: LocalCall) -> _Answer:
    body = call.body()
    asked = body.get("model")
    if asked is not None and asked not in (READER, READER.partition("/")[2]):
        raise call.unknown_model(str(asked), [READER])
    _refuse(body, call)
    messages = [_message(item, call) for item in messages_of(call, body)]
    text = answer(parse(messages), encoder=_encoder(call), max_sentences=call.models.max_sentences)
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


def _encoder(call: LocalCall) -> Embedder | None:
    if not call.models.semantic:
        return None
    try:
        return call.encoder()
    except (LocalModelError, ImportError):
        if call.models.embeddings is not None or call.models.backend != "numpy":
            raise  # what was chosen has to be there
        return None  # words alone, as documented on LocalModels.semantic


def _refuse(body: Mapping[str, Any], call: LocalCall) -> None:
    for name, deed in _REFUSED.items():
        if body.get(name):
            raise _cannot(deed, name, call)
    if body.get("tool_choice") not in (None, "none", "auto"):
        raise _cannot("call tools", "tool_choice", call)
    if (body.get("n") or 1) != 1:
        raise _cannot("give several answers", "n", call)
    form = body.get("response_format")
    if isinstance(form, dict) and form.get("type") != "text":
        raise _cannot("write JSON", "response_format", call)


def _cannot(deed: str, param: str, call: LocalCall) -> UnsupportedFeatureError:
    return call.unsupported(
        f"{READER} only quotes sentences: it cannot {deed} ({param}).",
        f"Leave {param} out, or use a language model: LocalModels(chat=...), or without local=, "
        "with HF_TOKEN set.",
        param=param,
        model=READER,
    )


def _message(item: dict[str, Any], call: LocalCall) -> tuple[str, str]:
    text = text_of(
        call, item, lambda kind: _cannot(f"read content of type {kind!r}", "messages", call)
    )
    return item["role"], text


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
