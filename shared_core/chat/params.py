"""The parameters of a chat call, and what each of them may be.

Everything is checked before anything is sent; the error names the parameter and, unless it
is text of the user's, the value. Nothing is sent that was not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from shared_core.chat.structured import response_format
from shared_core.config.checks import boolean, number, refused, text, whole_number
from shared_core.config.plain import check_text
from shared_core.config.validate import unknown_keyword
from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.callbacks import Callback


class ChatParams(TypedDict, total=False):
    """Keyword arguments of ``chat.create`` and ``chat.stream``.

    None counts as not given, for all but ``timeout``.

    Attributes:
        model: Model id, maybe with a suffix (``":groq"``, ``":fastest"``); the client's by
            default.
        provider: Provider to pin, e.g. ``"groq"``; exclusive with ``policy`` and a suffix.
        policy: ``"fastest"``, ``"cheapest"`` or ``"preferred"``.
        max_tokens: Longest answer in tokens, at least 1; exclusive with
            ``max_completion_tokens``.
        max_completion_tokens: The newer name; few providers know it.
        temperature: 0 to 2; 0 is sent as 0.
        top_p: 0 to 1.
        frequency_penalty: -2 to 2.
        presence_penalty: -2 to 2.
        stop: Up to four texts at which the answer ends.
        seed: Whole number; best effort.
        n: Number of answers, at least 1.
        logprobs: Whether to return log probabilities.
        top_logprobs: 0 to 20 alternatives per token; needs ``logprobs=True``. (Hugging Face's
            schema says 0 to 5, OpenAI and vLLM take 20: the provider decides.)
        logit_bias: Token id -> -100 to 100.
        tools: Functions, classes or dicts; see ``shared_core.chat.tools.tool_spec``.
        tool_choice: ``"auto"``, ``"none"``, ``"required"``, True, or the name of a tool.
        parallel_tool_calls: Whether several tools may be called at once.
        tool_prompt: Text before the tools (TGI only).
        response_format: ``"json_object"``, a wire form, a type, or a JSON schema.
        reasoning_effort: ``"none"``, ``"low"``, ``"medium"``, ``"high"`` ...; providers differ.
        stream_options: Sent as given; streams only.
        include_usage: Ask for token counts at the end of a stream.
        user: An id of the end user.
        extra_body: Further body fields. Merged last, at the top level: they win over all
            others. None takes a field out; everything else is sent as given. ``stream`` is
            refused, because the method decides it.
        extra_headers: Further headers of this call.
        timeout: Seconds; the client's by default. None waits for ever.
        bill_to: Organisation that pays for this call.
        scale_up_timeout: Seconds for which a dedicated endpoint may hold the request while it
            starts from zero (``X-Scale-Up-Timeout``), 1 to 86,400; otherwise it answers 503.
        dialect: How a server of one's own wants ``response_format``: ``"openai"`` (default),
            ``"tgi"`` or ``"llama.cpp"``; ``client.servers.detect().dialect`` says which.
        split_think: Move a ``<think>`` block at the start of the text to the reasoning.
        reasoning_echo: Send reasoning of earlier answers back: True, False (default), or
            ``"auto"`` (on turns with tool calls, never to gemma).
        callbacks: Told of this call in addition to the client's own.
    """

    model: str | None
    provider: str | None
    policy: str | None
    max_tokens: int | None
    max_completion_tokens: int | None
    temperature: float | None
    top_p: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    n: int | None
    logprobs: bool | None
    top_logprobs: int | None
    logit_bias: Mapping[Any, float] | None
    tools: Sequence[Any] | None
    tool_choice: Any
    parallel_tool_calls: bool | None
    tool_prompt: str | None
    response_format: Any
    reasoning_effort: str | None
    stream_options: Mapping[str, Any] | None
    include_usage: bool | None
    user: str | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    timeout: Any
    bill_to: str | None
    scale_up_timeout: float | None
    dialect: str | None
    split_think: bool | None
    reasoning_echo: bool | Literal["auto"] | None
    callbacks: Sequence[Callback] | None


PARAMETERS = frozenset(ChatParams.__annotations__)
"""Names of all parameters."""


def stops(name: str, value: Any) -> list[str] | None:
    """Return up to four stop texts (protocol.md 2.1); None for an empty list."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or isinstance(texts, bytes):
        raise refused(name, "text or a list of texts", value, show=False)
    if len(texts) > 4:
        raise InvalidSettingError(
            f"{name} may have at most 4 texts, not {len(texts)}", setting=name
        )
    for at, item in enumerate(texts):
        if not isinstance(item, str) or not item:
            raise refused(f"{name}[{at}]", "text that is not empty", item, show=False)
        check_text(item, f"{name}[{at}]")
    return list(texts) or None


def _logit_bias(name: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise refused(name, "a dict of token id -> number", value)
    check = number(-100, 100)
    return {str(token): check(f"{name}[{token!r:.40}]", bias) for token, bias in value.items()}


def _response_format(name: str, value: Any) -> dict[str, Any]:
    return response_format(value)


_INT64 = 2**63

SENT: dict[str, Callable[[str, Any], Any]] = {
    "max_tokens": whole_number(1),
    "max_completion_tokens": whole_number(1),
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "frequency_penalty": number(-2, 2),
    "presence_penalty": number(-2, 2),
    "stop": stops,
    "seed": whole_number(-_INT64, _INT64 - 1),
    "n": whole_number(1),
    "logprobs": boolean,
    "top_logprobs": whole_number(0, 20),
    "logit_bias": _logit_bias,
    "tool_prompt": text,
    "response_format": _response_format,
    "reasoning_effort": text,
    "user": text,
}
"""Parameters that go into the body under their own name, with their checks, in body order."""


def checked(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body fields of :data:`SENT` that were given.

    Args:
        params: All parameters of the call.

    Raises:
        InvalidSettingError: A parameter is unknown, impossible, or excluded by another.
    """
    for name in params:
        if name not in PARAMETERS:
            raise unknown_keyword(name, PARAMETERS)
    body: dict[str, Any] = {}
    for name, check in SENT.items():
        value = params.get(name)
        if value is not None:
            result = check(name, value)
            if result is not None:
                body[name] = result
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise InvalidSettingError(
            f"max_tokens={body['max_tokens']} and "
            f"max_completion_tokens={body['max_completion_tokens']} exclude each other",
            setting="max_tokens",
        )
    if "top_logprobs" in body and body.get("logprobs") is not True:
        raise InvalidSettingError(
            f"top_logprobs={body['top_logprobs']} needs logprobs=True", setting="top_logprobs"
        )
    return body
