"""What of a model and a call is sent, shown to traces and used as a cache key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.language_models.base import LangSmithParams

from langchain_hfrouter._base import refuse_settings
from langchain_hfrouter._profiles import model_id
from langchain_hfrouter._responses_tools import public
from langchain_hfrouter._tools import tool_choice_of, tool_schemas
from shared_core import InvalidSettingError

if TYPE_CHECKING:
    from langchain_hfrouter.chat_models import ChatHFRouter

# Fields of the model that are parameters of each call, under the same name.
SAMPLING = (
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "seed",
    "n",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "reasoning_effort",
    "user",
)
# Further parameters that the core knows; whatever else a call passes goes into the body.
_CORE = frozenset(
    {
        *SAMPLING,
        "model",
        "provider",
        "policy",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "tool_prompt",
        "response_format",
        "stream_options",
        "extra_headers",
        "timeout",
        "bill_to",
        "scale_up_timeout",
        "dialect",
        "split_think",
        "reasoning_echo",
    }
)
_ALIASES = {
    "model_name": "model",
    "stop_sequences": "stop",
    "max_new_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "request_timeout": "timeout",
    "include_usage": "stream_usage",
    "model_kwargs": "extra_body",
}
OF_RESPONSES = ("instructions", "reasoning_summary")
"""Parameters of a call that only the Responses API has; its others pass in ``extra_body``."""

_OTHERS = frozenset({"extra_body", "stream_usage", "use_responses_api", *OF_RESPONSES})
_ECHO = {"always": True, "never": False}
# Never in traces, caches or dumps: they may name who pays or hold a credential.
_HIDDEN = frozenset({"api_key", "bill_to", "default_headers", "extra_headers"})


def of_call(
    model: ChatHFRouter, stop: list[str] | None, kwargs: Mapping[str, Any], *, stream: bool = False
) -> dict[str, Any]:
    """Return the core's parameters for one call.

    Args:
        model: Holds the defaults.
        stop: LangChain's own argument.
        kwargs: What the call or a binding passes. Names that are no parameter go into the body.
        stream: Whether the answer is streamed.

    Raises:
        InvalidSettingError: More than one answer is asked of a stream, or a call is given what
            only the model object has.
    """
    refuse_settings(kwargs)
    params: dict[str, Any] = {name: getattr(model, name) for name in SAMPLING}
    params["reasoning_echo"] = model.reasoning_echo
    params["split_think"] = model.split_think or None
    extra = dict(model.extra_body or {})
    given = {_ALIASES.get(name, name): value for name, value in kwargs.items()}
    usage = given.pop("stream_usage", model.stream_usage)
    given.pop("stream", None)
    given.pop("use_responses_api", None)  # decided before
    extra.update(given.pop("extra_body", None) or {})
    for name, value in given.items():
        (params if name in _CORE else extra)[name] = value
    if stop is not None:
        params["stop"] = stop
    params.update(_route(model, given))
    _settle_tools(params)
    if stream:
        if (params.get("n") or 1) > 1:
            raise InvalidSettingError("n must be 1 in a stream: chunks of several answers mix")
        if usage and "stream_options" not in params:
            params["include_usage"] = True
    else:
        params.pop("stream_options", None)  # a binding serves whole calls and streams
    echo = params["reasoning_echo"]
    params["reasoning_echo"] = _ECHO.get(echo, echo) if isinstance(echo, str) else echo
    if not params["stop"]:
        params["stop"] = None
    if extra:
        params["extra_body"] = extra
    return {name: value for name, value in params.items() if value is not None or name == "timeout"}


def _route(model: ChatHFRouter, given: Mapping[str, Any]) -> dict[str, Any]:
    """Model, provider and policy: what a call says about the provider replaces the defaults."""
    asked = given.get("model")
    named = given.get("provider") is not None or given.get("policy") is not None
    if named or (asked is not None and model_id(asked) != asked):
        own = asked or model_id(model.model)
        return {"model": own, "provider": given.get("provider"), "policy": given.get("policy")}
    return {"model": asked or model.model, "provider": model.provider, "policy": model.policy}


def _settle_tools(params: dict[str, Any]) -> None:
    """Convert tools passed to a call; without tools nothing about tools is sent."""
    tools = tool_schemas(params.pop("tools", None) or ())
    choice = tool_choice_of(params.pop("tool_choice", None), tools)
    parallel = params.pop("parallel_tool_calls", None)
    if tools:
        params.update(tools=tools, tool_choice=choice, parallel_tool_calls=parallel)


def identifying(model: ChatHFRouter) -> dict[str, Any]:
    """Return what tells one model object's answers from another's; no secrets.

    Args:
        model: The model.
    """
    names = ("provider", "policy", "base_url", "extra_body", *SAMPLING)
    known = {name: getattr(model, name) for name in names}
    params = {"model": model.model, **{k: v for k, v in known.items() if v is not None}}
    if model.split_think:
        params["split_think"] = True
    if model.use_responses_api:
        params["use_responses_api"] = True
    if model.reasoning_echo != "auto":
        params["reasoning_echo"] = model.reasoning_echo
    if model.local:
        params["local"] = True if model.local is True else str(model.local)
    return params


def showable(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return call parameters without those that must not be shown.

    Args:
        kwargs: Parameters of a call.
    """
    shown = {name: value for name, value in kwargs.items() if name not in _HIDDEN}
    if isinstance(shown.get("tools"), list | tuple):
        shown["tools"] = [public(tool) for tool in shown["tools"]]
    return shown


def langsmith(
    model: ChatHFRouter, provider: str, stop: list[str] | None, kwargs: Mapping[str, Any]
) -> LangSmithParams:
    """Return the standard parameters of a trace.

    Args:
        model: The model.
        provider: Our name.
        stop: LangChain's own argument.
        kwargs: Parameters of the call; they win.
    """
    given = {_ALIASES.get(name, name): value for name, value in kwargs.items()}

    def value(name: str) -> Any:
        return given[name] if given.get(name) is not None else getattr(model, name)

    params = LangSmithParams(
        ls_provider=provider, ls_model_name=value("model"), ls_model_type="chat"
    )
    temperature = value("temperature")
    if isinstance(temperature, int | float):
        params["ls_temperature"] = float(temperature)
    own = given.get("max_tokens") or given.get("max_completion_tokens")
    limit = own or model.max_tokens or model.max_completion_tokens
    if isinstance(limit, int):
        params["ls_max_tokens"] = limit
    stops = stop or value("stop")
    if stops:
        params["ls_stop"] = [stops] if isinstance(stops, str) else list(stops)
    return params


def is_call_parameter(name: str) -> bool:
    """Whether the core knows a parameter of a call by that name.

    Args:
        name: The name.
    """
    return name in _CORE or name in _ALIASES or name in _OTHERS
