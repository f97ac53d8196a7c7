"""The Responses API behind a chat model: what ``_calls`` needs to call it.

Loaded by the first call that asks for it. The conversions are pure and stand in
``_responses_params`` (parameters), ``_responses_input`` (messages), ``_responses_output``
(answers) and ``_responses_stream`` (events).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage

from langchain_hfrouter import _responses_params
from langchain_hfrouter._calls import Api
from langchain_hfrouter._responses_input import to_input
from langchain_hfrouter._responses_output import chat_result
from langchain_hfrouter._responses_stream import UpdateConverter

if TYPE_CHECKING:
    from langchain_hfrouter.chat_models import ChatHFRouter


def prepare(
    model: ChatHFRouter,
    messages: list[BaseMessage],
    stop: list[str] | None,
    kwargs: Mapping[str, Any],
    stream: bool,
) -> tuple[list[Any], dict[str, Any]]:
    """Return the input items and the core's parameters of a call.

    Args:
        model: Holds the defaults.
        messages: The conversation.
        stop: LangChain's own argument.
        kwargs: What the call or a binding passes.
        stream: Whether the answer is streamed; it changes nothing here.

    Raises:
        InvalidSettingError: A message or parameter has no place in the Responses API.
    """
    params = _responses_params.of_call(model, stop, kwargs)
    instructions, items = to_input(messages, echo=params.pop("reasoning_echo"))
    texts = [text for text in (params.get("instructions"), instructions) if text]
    if texts:
        params["instructions"] = "\n\n".join(texts)
    return items, params


API = Api("responses", prepare, chat_result, UpdateConverter)
"""Told from chat completions by ``use_responses_api``."""
