"""From the arguments of a call to the request that goes out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from shared_core.chat.messages import encode
from shared_core.chat.native import pinned_provider
from shared_core.chat.request import ChatDefaults, call_headers, merge_extra, resolve_model
from shared_core.chat.tools import tool_choice, tool_specs
from shared_core.chat.types import ChatMessage
from shared_core.config.checks import refused
from shared_core.config.plain import check_text, plain
from shared_core.config.providers import goes_direct
from shared_core.config.validate import check_timeout
from shared_core.errors import InvalidSettingError, UnsupportedTaskError
from shared_core.responses.items import (
    FunctionCallOutput,
    InputItem,
    MCPApprovalResponse,
    OutputItem,
)
from shared_core.responses.params import MCPTool, ResponseParams, checked
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.config.settings import Settings

Input: TypeAlias = str | ChatMessage | InputItem | Mapping[str, Any]
"""Text, a message, an item of an earlier answer, an answer to one, or a dict in wire form."""


def build(
    settings: Settings,
    given: Input | Sequence[Input],
    params: ResponseParams,
    *,
    stream: bool,
    defaults: ChatDefaults,
) -> WireRequest:
    """Return the request of a call; nothing is left to be found out by sending it.

    Args:
        settings: Where to, and with which timeout.
        given: What is asked: text, or items.
        params: The parameters of the call.
        stream: Whether the answer is to be streamed.
        defaults: The client's model, provider and policy.

    Raises:
        InvalidSettingError: A parameter or item is refused; it is named.
    """
    wanted: Mapping[str, Any] = params
    fields = checked(wanted)
    model, provider = resolve_model(settings.base_url, wanted, defaults)
    try:
        body = {"model": model, "input": encode_input(given), **fields, **_tools(wanted)}
        if stream:
            body["stream"] = True
        _merge(body, wanted.get("extra_body"))
    except RecursionError:
        raise InvalidSettingError(
            "an item, tool or extra_body refers to itself or is nested too deeply",
            setting="input",
        ) from None
    timeout = check_timeout(wanted["timeout"]) if "timeout" in wanted else settings.timeout
    return WireRequest(
        url=responses_url(settings.base_url),
        headers=call_headers(wanted, stream),
        json=body,
        timeout=timeout,
        stream=stream,
        operation="responses",
        model=body["model"],
        provider=provider,
    )


def check_key(settings: Settings, params: Mapping[str, Any], defaults: ChatDefaults) -> None:
    """Refuse to send a provider's own key to the router: chat goes to the provider itself then.

    Args:
        settings: Where the key and the base URL are.
        params: The parameters of the call.
        defaults: The client's.

    Raises:
        UnsupportedTaskError: The key is the provider's own.
    """
    provider = pinned_provider(params, defaults)
    if goes_direct(settings, provider):
        raise UnsupportedTaskError(
            "the Responses API is asked at the router, which takes a token of Hugging Face, and "
            f"the key is {provider}'s own",
            guidance="Pass a token of Hugging Face (hf_...), or ask the provider by client.chat.",
        )


def responses_url(base_url: str) -> str:
    """Return the address of the Responses API of *base_url*; its query is kept.

    Args:
        base_url: The ``/v1`` base, a bare host, or the full path of it or of chat.
    """
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    if not path.endswith("/responses"):
        path += "/responses" if path.endswith("/v1") else "/v1/responses"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


# --------------------------------------------------------------------------------- input


def encode_input(given: Any) -> str | list[dict[str, Any]]:
    """Return the wire form of the input.

    Args:
        given: Text, an item, or a list of items.

    Raises:
        InvalidSettingError: An item is none of the accepted kinds; it is named.
    """
    if isinstance(given, str):
        if not given:
            raise refused("input", "text that is not empty", given)
        return check_text(given, "input")
    if isinstance(given, Mapping) or not isinstance(given, Sequence):
        given = [given]
    items: list[dict[str, Any]] = []
    for at, item in enumerate(given):
        items += _item(item, f"input[{at}]")
    if not items:
        raise InvalidSettingError("input is empty", setting="input")
    return items


def _item(item: Any, field: str) -> list[dict[str, Any]]:
    if isinstance(item, str):
        return [{"role": "user", "content": check_text(item, field)}]
    if isinstance(item, OutputItem | FunctionCallOutput | MCPApprovalResponse):
        return [plain(item.to_input(), field)]
    if isinstance(item, ChatMessage):
        return _message(item, field)
    if isinstance(item, Mapping) and (item.get("type") or item.get("role")):
        return [plain(item, field)]
    raise refused(field, "text, a ChatMessage, an item or a dict with type", item, show=False)


def _message(message: ChatMessage, field: str) -> list[dict[str, Any]]:
    """Return a chat message as items: its text, then its calls, or the answer to a call."""
    (wire,) = encode([message])
    content = wire.get("content")
    if message.role == "tool":
        text = _as_text(content, field)
        return [FunctionCallOutput(wire["tool_call_id"], text).to_input()]
    if message.role == "assistant":
        return _said(content, message.refusal, field) + [
            {"type": "function_call", "call_id": call["id"], **call["function"]}
            for call in wire.get("tool_calls", ())
        ]
    if not content:
        return []
    parts = content if isinstance(content, str) else [_part(part, field) for part in content]
    return [{"role": message.role, "content": parts}]


def _said(content: Any, refusal: str | None, field: str) -> list[dict[str, Any]]:
    """Return what an assistant said, in the form of an answer: llama.cpp takes no other."""
    texts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    parts: list[dict[str, Any]] = []
    for part in texts or ():
        if part["type"] not in ("text", "output_text", "refusal"):
            raise refused(field, "text, as all that an assistant may say", part, show=False)
        if part["type"] == "text":
            part = {"type": "output_text", "text": part["text"], "annotations": []}
        if part.get("text") != "":
            parts.append(part)
    if refusal:
        parts.append({"type": "refusal", "refusal": refusal})
    return [{"type": "message", "role": "assistant", "content": parts}] if parts else []


def _as_text(content: Any, field: str) -> str:
    if isinstance(content, str):
        return content
    for part in content or ():
        if part["type"] != "text":
            raise refused(field, "text, as all results of functions", part, show=False)
    return "".join(part["text"] for part in content or ())


def _part(part: dict[str, Any], field: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "input_text", "text": part["text"]}
    if kind == "image_url":
        image = part["image_url"]
        wire = {"type": "input_image", "image_url": image["url"]}
        return {**wire, "detail": image["detail"]} if image.get("detail") else wire
    if kind == "file":
        return {"type": "input_file", **part["file"]}
    if kind in ("input_audio", "video_url"):
        raise InvalidSettingError(
            f"{field} holds {'sound' if kind == 'input_audio' else 'video'}, which the Responses "
            "API does not take",
            setting="input",
            guidance="Ask with client.chat, or send text, images and files.",
        )
    return part


# --------------------------------------------------------------------------------- tools


def _tools(given: Mapping[str, Any]) -> dict[str, Any]:
    tools = given.get("tools")
    if tools is None:
        tools = ()
    if isinstance(tools, str | Mapping) or not isinstance(tools, Sequence):
        raise refused("tools", "a list", tools, show=False)
    functions = tool_specs([tool for tool in tools if not isinstance(tool, MCPTool)])
    chat_form = iter(functions)
    wire = [
        tool.to_wire(f"tools[{at}]") if isinstance(tool, MCPTool) else _flat(next(chat_form))
        for at, tool in enumerate(tools)
    ]
    body: dict[str, Any] = {"tools": wire} if wire else {}
    choice = given.get("tool_choice")
    if isinstance(choice, Mapping) and choice.get("type", "function") != "function":
        body["tool_choice"] = plain(choice, "tool_choice")  # of a kind of its own, e.g. MCP
    elif choice is not None:
        known = functions or wire  # "required" is satisfied by an MCP tool too
        wanted = tool_choice(choice, known)
        if wanted is not None:
            body["tool_choice"] = _flat(wanted) if isinstance(wanted, Mapping) else wanted
    return body


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return chat's ``{"type", "function": {...}}`` without the inner level."""
    inner = spec.get("function")
    if not isinstance(inner, Mapping):
        return dict(spec)
    return {**{key: value for key, value in spec.items() if key != "function"}, **inner}


def _merge(body: dict[str, Any], extra: Any) -> None:
    merge_extra(body, extra, api="responses")
    for name in ("model", "input"):
        if not body.get(name):
            raise InvalidSettingError(f"extra_body takes away {name!r}", setting="extra_body")
    if not isinstance(body["model"], str):
        raise InvalidSettingError("extra_body: model must be text", setting="extra_body")
