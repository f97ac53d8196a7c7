"""Chat completions: by the extractive reader, or by a language model if there is one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared_core.local import reader_chat as reader
from shared_core.local.background import Known, Made, Source, too_slow
from shared_core.local.call import DEVICE_HEADER, LocalCall
from shared_core.local.content import for_template
from shared_core.local.loading import language_model
from shared_core.local.models import names_of
from shared_core.local.sampling import Sampling
from shared_core.local.shapes import DONE, chat_envelope, event, messages_of
from shared_core.local.tool_calls import OPEN, ToolCalls
from shared_core.local.torch.language_model import LanguageModel, Prompt, Written

_SAMPLED = {
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
    **{name: name for name in ("temperature", "top_p", "top_k", "min_p", "typical_p")},
    **{name: name for name in ("repetition_penalty", "seed", "stop")},
}
"""Field of a request -> of :class:`Sampling`. Those that OpenAI lacks come by ``extra_body``."""

_HANDLED = {"model", "messages", "stream", "stream_options", "tools", "chat_template_kwargs"}
# Accepted where they ask for what is done anyway.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "tool_choice": ("auto", "none"),
    "parallel_tool_calls": (True,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "logit_bias": ({},),
}
_FINISH = {"end": "stop", "stop": "stop", "length": "length"}


@dataclass(frozen=True, slots=True)
class _Job:
    model: LanguageModel
    name: str
    prompt: Prompt
    sampling: Sampling
    tools: bool
    include_usage: bool

    def envelope(self, kind: str) -> dict[str, Any]:
        model = self.model
        return chat_envelope(kind, self.name, f"local-{model.device}-{model.dtype}")


def completion(call: LocalCall) -> dict[str, Any]:
    """Return a whole chat completion object."""
    if call.models.chat is None:
        return reader.completion(call)
    job = _job(call)
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    written = _written(call, job, texts.append, calls.append)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
    if calls:
        message["content"] = message["content"] or None
        message["tool_calls"] = [{k: v for k, v in c.items() if k != "index"} for c in calls]
    return {
        **job.envelope("chat.completion"),
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": _finish_reason(written, bool(calls)),
                "logprobs": None,
            }
        ],
        "usage": _usage(written),
    }


def events(call: LocalCall) -> Source:
    """Return the completion as server-sent events, ended by ``[DONE]``.

    What can be refused is refused before this returns.
    """
    if call.models.chat is None:
        return Known(reader.events(call))
    job = _job(call)
    envelope = job.envelope("chat.completion.chunk")

    def work(put: Callable[[bytes], None]) -> None:
        calls: list[dict[str, Any]] = []

        def choice(delta: dict[str, Any], reason: str | None = None) -> None:
            choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
            put(event({**envelope, "choices": choices}))

        def called(made: dict[str, Any]) -> None:
            calls.append(made)
            choice({"tool_calls": [made]})

        choice({"role": "assistant", "content": ""})
        written = _written(call, job, lambda text: choice({"content": text}), called)
        choice({}, _finish_reason(written, bool(calls)))
        if job.include_usage:
            put(event({**envelope, "choices": [], "usage": _usage(written)}))
        put(DONE)

    return Made(call, work)


def loaded(call: LocalCall, asked: object) -> LanguageModel:
    """Return the language model, if it is the one that is asked for.

    Args:
        call: What is asked.
        asked: Name of a model, or None.

    Raises:
        ModelNotFoundError: It is another one.
    """
    source = str(call.models.chat)
    known = names_of(source)
    if asked is not None and asked not in known:
        raise call.unknown_model(str(asked), known[:1])
    model = language_model(call.models, source, call.settings)
    call.headers[DEVICE_HEADER] = model.device
    return model


def write(
    call: LocalCall,
    model: LanguageModel,
    prompt: Prompt,
    sampling: Sampling,
    emit: Callable[[str], None],
) -> Written:
    """Let *model* continue *prompt* while somebody waits.

    Args:
        call: Who waits: until it is cancelled and, for a whole answer, for its timeout.
        model: The model.
        prompt: What is there.
        sampling: How to choose, and where to end.
        emit: Given each piece of the text.

    Raises:
        APITimeoutError: The whole answer took too long.
        APIError: The model failed.
    """
    request = call.request
    until = math.inf
    if request.timeout is not None and not request.stream:
        until = time.monotonic() + request.timeout

    def given_up() -> bool:
        return call.cancelled.is_set() or time.monotonic() > until

    written = model.write(prompt, sampling, emit, given_up)
    if written.reason == "given up":
        raise too_slow(call)
    return written


def _job(call: LocalCall) -> _Job:
    body = call.body()
    name = call.models.chat_model
    messages = messages_of(call, body)
    _refuse_fields(call, body, name)
    model = loaded(call, body.get("model"))
    if not model.template:
        raise call.unsupported(
            f"{name} has no chat template: it continues texts and does not converse.",
            "Use client.tasks.text_generation, or a model that was made for chat.",
            model=name,
        )
    tools = body.get("tools") if body.get("tool_choice") != "none" else None
    if tools and not ("tools" in model.template and OPEN in model.template):
        raise call.unsupported(
            f"The chat template of {name} has no tools in the form {OPEN}...",
            "Leave tools out, or use a model with such a template, e.g. one of Qwen or Hermes.",
            param="tools",
            model=name,
        )
    prompt = model.conversation(
        [for_template(call, message, model, name) for message in messages],
        tools,
        _template_options(call, body, model),
    )
    options = body.get("stream_options")
    given = {new: body[old] for old, new in _SAMPLED.items() if body.get(old) is not None}
    return _Job(
        model,
        name,
        prompt,
        Sampling.of(given),
        bool(tools),
        isinstance(options, dict) and bool(options.get("include_usage")),
    )


def _refuse_fields(call: LocalCall, body: Mapping[str, Any], name: str) -> None:
    known = {*_HANDLED, *_SAMPLED, "reasoning_effort", "user"}
    for field, value in body.items():
        if field in known or value is None or value in _HARMLESS.get(field, ()):
            continue
        raise call.unsupported(
            f"{name} runs in this process, where {field}={value!r:.80} cannot be kept.",
            f"Leave {field} out, or use a server: without local=, with HF_TOKEN set.",
            param=field,
            model=name,
        )


def _template_options(
    call: LocalCall, body: Mapping[str, Any], model: LanguageModel
) -> dict[str, Any]:
    given = body.get("chat_template_kwargs") or {}
    if not isinstance(given, dict):
        raise call.bad("chat_template_kwargs must be an object.", "chat_template_kwargs")
    options = dict(given)
    effort = body.get("reasoning_effort")
    if effort is None:
        return options
    if "reasoning_effort" in model.template:
        return {**options, "reasoning_effort": effort}
    if effort == "none" and "enable_thinking" in model.template:
        return {**options, "enable_thinking": False}
    raise call.unsupported(
        f"The chat template of {call.models.chat_model} has no place for "
        f"reasoning_effort={effort!r}.",
        "Leave it out, or pass extra_body={'chat_template_kwargs': {...}} with what it has.",
        param="reasoning_effort",
    )


def _written(
    call: LocalCall,
    job: _Job,
    emit: Callable[[str], None],
    called: Callable[[dict[str, Any]], None],
) -> Written:
    if not job.tools:
        return write(call, job.model, job.prompt, job.sampling, emit)
    calls = ToolCalls(emit, called)
    written = write(call, job.model, job.prompt, job.sampling, calls.push)
    calls.finish()
    return written


def _finish_reason(written: Written, calls: bool) -> str:
    return "tool_calls" if calls and written.reason == "end" else _FINISH[written.reason]


def _usage(written: Written) -> dict[str, int]:
    return {
        "prompt_tokens": written.prompt_tokens,
        "completion_tokens": written.tokens,
        "total_tokens": written.prompt_tokens + written.tokens,
    }
