"""What of a model and a call is sent to the Responses API. Pure.

The parameters are those of a chat call, under the names that this API has for them. What it
lacks is refused by name: a parameter that a server ignores would be a silent change of meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_hfrouter import _params
from shared_core import InvalidSettingError

if TYPE_CHECKING:
    from langchain_hfrouter.chat_models import ChatHFRouter

_LIMITS = ("max_completion_tokens", "max_tokens")
# Not in the API of the router (its published server ignores them), and most of them in nobody's.
_LACKING = (
    "stop",
    "seed",
    "n",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "user",
    "parallel_tool_calls",
    "stream_options",
    "tool_prompt",
    "split_think",
    "dialect",
)
_NOT_OF_BODIES = ("split_think", "dialect")
# Values that ask for nothing but what is done anyway.
_NOTHING_ASKED: dict[str, Any] = {"n": 1, "logprobs": False}


def of_call(
    model: ChatHFRouter, stop: list[str] | None, kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the core's parameters for one call, and ``reasoning_echo`` as True or False.

    Args:
        model: Holds the defaults.
        stop: LangChain's own argument.
        kwargs: What the call or a binding passes. Names that are no parameter go into the body.

    Raises:
        InvalidSettingError: A parameter is set that the Responses API lacks, or two that differ
            are one here.
    """
    only = _params.OF_RESPONSES
    own = {name: kwargs[name] for name in only if kwargs.get(name) is not None}
    shared = {name: value for name, value in kwargs.items() if name not in only}
    if shared.get("stream_options") is not None:  # which whole calls of chat leave out
        raise _lacking("stream_options")
    params = _params.of_call(model, stop, shared)
    for name in _LACKING:
        value = params.pop(name, None)
        if value is not None and value != _NOTHING_ASKED.get(name):
            raise _lacking(name)
    limits = {name: params.pop(name) for name in _LIMITS if name in params}
    if limits:
        params["max_output_tokens"] = _limit(model, limits)
    # By default reasoning stays here: the router's published server takes none back.
    echo = params["reasoning_echo"]
    if echo not in (True, False, "auto"):
        raise InvalidSettingError(
            f"reasoning_echo must be 'auto', 'always' or 'never', not {echo!r:.40}",
            setting="reasoning_echo",
        )
    params["reasoning_echo"] = echo is True
    return params | own


def _limit(model: ChatHFRouter, limits: Mapping[str, Any]) -> Any:
    """Return the one limit of a call; what differs from the model's own is the call's, and wins."""
    said = [value for name, value in limits.items() if value != getattr(model, name)]
    first, *others = said or list(limits.values())
    if any(other != first for other in others):
        raise InvalidSettingError(
            "max_tokens and max_completion_tokens are one setting in the Responses API, and differ",
            guidance="Give max_tokens alone.",
            setting="max_tokens",
        )
    return first


def _lacking(name: str) -> InvalidSettingError:
    guidance = f"Leave {name} out, or call with use_responses_api=False"
    if name not in _NOT_OF_BODIES:
        guidance += f"; a server that knows it all the same gets it by extra_body={{{name!r}: ...}}"
    return InvalidSettingError(
        f"the Responses API has no {name!r}", guidance=f"{guidance}.", setting=name
    )
