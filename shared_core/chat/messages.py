"""From messages, in any accepted form, to the wire form.

Malformed messages are refused here, before anything is sent, with the position of the
message and never with its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from shared_core.chat import media
from shared_core.chat.response import REASONING_KEYS
from shared_core.chat.tool_deltas import arguments_text, history_arguments
from shared_core.chat.types import (
    AudioPart,
    ChatMessage,
    FilePart,
    ImagePart,
    RawPart,
    TextPart,
    ToolCall,
    VideoPart,
)
from shared_core.config.plain import check_text, plain, without_none
from shared_core.errors import InvalidSettingError

MessageLike: TypeAlias = ChatMessage | Mapping[str, Any] | str
"""A message: ours, in the provider's form, or the text of a user message."""

ReasoningEcho: TypeAlias = bool | Literal["auto"]

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Roles of :class:`ChatMessage` (protocol.md 2.2). Other roles pass in dict form only."""

_NO_ECHO = re.compile("gemma", re.IGNORECASE)  # protocol.md 2.2: answers 400 to it


def encode(
    messages: MessageLike | Sequence[MessageLike],
    *,
    model: str | None = None,
    reasoning_echo: ReasoningEcho = False,
) -> list[dict[str, Any]]:
    """Return the wire form of *messages*.

    Text-only content becomes a plain string, the form that every provider takes: several
    text parts are joined with a line feed, those of an assistant without anything.
    A tool result must name a call, but not one of this conversation: histories get trimmed,
    and servers differ about that.

    Dicts pass in the provider's form; keys that are None are dropped, an empty
    ``tool_calls`` too, tool arguments given as objects become text, and reasoning follows
    ``reasoning_echo``.

    Args:
        messages: One message or several; a string is a user message.
        model: The model asked, for ``reasoning_echo="auto"``.
        reasoning_echo: Whether reasoning of earlier answers is sent back, as
            ``reasoning_content``. ``"auto"``: on turns with tool calls, never to gemma.

    Raises:
        InvalidSettingError: There is no message, or one is malformed; its position is named.
    """
    if isinstance(messages, str | ChatMessage | Mapping):
        messages = [messages]
    if not isinstance(messages, Sequence) or isinstance(messages, bytes | bytearray):
        raise InvalidSettingError(
            f"messages must be text or a list of messages, not {type(messages).__name__}",
            setting="messages",
        )
    if not messages:
        raise InvalidSettingError(
            "messages is empty: there is nothing to answer", setting="messages"
        )
    if reasoning_echo not in (True, False, "auto"):
        raise InvalidSettingError(
            f"reasoning_echo must be True, False or 'auto', not {str(reasoning_echo)[:40]!r}",
            setting="reasoning_echo",
        )
    if reasoning_echo == "auto" and model is not None and _NO_ECHO.search(model):
        reasoning_echo = False
    return [_message(item, f"messages[{at}]", reasoning_echo) for at, item in enumerate(messages)]


def _message(item: Any, field: str, echo: ReasoningEcho) -> dict[str, Any]:
    if isinstance(item, str):
        item = ChatMessage("user", item)
    if isinstance(item, ChatMessage):
        return _own(item, field, echo)
    if isinstance(item, Mapping):
        return _foreign(item, field, echo)
    raise _refused(
        field, f"must be a ChatMessage, a dict or text, not {type(item).__name__}", field
    )


def _refused(field: str, reason: str, setting: str = "messages") -> InvalidSettingError:
    return InvalidSettingError(f"{field} {reason}", setting=setting)


def _own(message: ChatMessage, field: str, echo: ReasoningEcho) -> dict[str, Any]:
    role = message.role
    if role not in ROLES:
        raise _refused(f"{field}.role", f"must be one of {', '.join(ROLES)}, not {role!r:.40}")
    if message.tool_calls and role != "assistant":
        raise _refused(f"{field}.tool_calls", f"belongs to the assistant, not to {role}")
    content = _content(message.content, f"{field}.content", "" if role == "assistant" else "\n")
    content = _filled(content, role, field)
    wire: dict[str, Any] = {"role": role, "content": content}
    if message.name is not None:
        wire["name"] = _text(message.name, f"{field}.name")
    if role == "tool":
        _need_call_id(message.tool_call_id, field)
        wire["tool_call_id"] = message.tool_call_id
    elif message.tool_call_id is not None:
        raise _refused(f"{field}.tool_call_id", f"belongs to role 'tool', not to {role!r}")
    if message.tool_calls:
        wire["tool_calls"] = [
            _own_call(call, f"{field}.tool_calls[{at}]")
            for at, call in enumerate(message.tool_calls)
        ]
    if message.reasoning and role == "assistant" and _echoes(echo, bool(message.tool_calls)):
        wire["reasoning_content"] = _text(message.reasoning, f"{field}.reasoning")
    for key, value in message.extra.items():
        if value is not None:
            wire[key] = plain(without_none(value), f"{field}.{key}")
    return wire


def _filled(
    content: str | list[dict[str, Any]] | None, role: str, field: str
) -> str | list[dict[str, Any]]:
    """Return the content, "" where null would do: providers differ about null."""
    if content is None and role in ("assistant", "tool"):
        return ""
    if content is None or (not content and role == "user"):
        raise _refused(f"{field}.content", "is empty")
    return content


def _echoes(echo: ReasoningEcho, with_tools: bool) -> bool:
    return with_tools if echo == "auto" else bool(echo)


def _own_call(call: ToolCall, field: str) -> dict[str, Any]:
    if not isinstance(call, ToolCall):
        raise _refused(field, f"must be a ToolCall, not {type(call).__name__}")
    if not isinstance(call.id, str) or not call.id:
        raise _refused(f"{field}.id", "is empty")
    if not isinstance(call.name, str) or not call.name:
        raise _refused(f"{field}.name", "is empty")
    arguments = _arguments(call.arguments, f"{field}.arguments")
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _arguments(value: Any, field: str) -> str:
    if isinstance(value, str):
        return history_arguments(_text(value, field))
    if value is None:
        return "{}"
    if isinstance(value, Mapping):
        return arguments_text(plain(value, field))
    raise _refused(field, f"must be JSON text or a dict, not {type(value).__name__}")


def _need_call_id(value: object, field: str) -> None:
    if not isinstance(value, str) or not value:
        raise _refused(f"{field}.tool_call_id", "must name the tool call that this message answers")


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise _refused(field, f"must be text, not {type(value).__name__}")
    return check_text(value, field)


def _content(content: Any, field: str, joint: str) -> str | list[dict[str, Any]] | None:
    if content is None:
        return None
    if isinstance(content, str):
        return check_text(content, field)
    if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray):
        raise _refused(field, f"must be text or a list of parts, not {type(content).__name__}")
    parts = [_part(part, f"{field}[{at}]") for at, part in enumerate(content)]
    return _joined(parts, joint)


def _joined(parts: list[dict[str, Any]], joint: str) -> str | list[dict[str, Any]] | None:
    """Return text-only parts as one string; without empty texts otherwise."""
    if not parts:
        return None
    if all(part.keys() == {"type", "text"} and part["type"] == "text" for part in parts):
        return joint.join(part["text"] for part in parts)
    return [part for part in parts if part.get("type") != "text" or part.get("text") != ""]


_ENCODERS: dict[type, Callable[[Any, str], dict[str, Any]]] = {
    ImagePart: media.image_part,
    AudioPart: media.audio_part,
    VideoPart: media.video_part,
    FilePart: media.file_part,
}


def _part(part: Any, field: str) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": check_text(part, field)}
    if isinstance(part, TextPart):
        return {"type": "text", "text": _text(part.text, f"{field}.text")}
    encoder = _ENCODERS.get(type(part))
    if encoder is not None:
        return encoder(part, field)
    raw = part.data if isinstance(part, RawPart) else part
    if not isinstance(raw, Mapping):
        raise _refused(field, f"must be a content part, not {type(raw).__name__}")
    cleaned = plain(without_none(raw), field)
    if not isinstance(cleaned.get("type"), str):
        raise _refused(f"{field}.type", "is missing")
    if cleaned["type"] == "text" and not isinstance(cleaned.get("text"), str):
        raise _refused(f"{field}.text", "must be text")
    return dict(cleaned)


def _foreign(message: Mapping[str, Any], field: str, echo: ReasoningEcho) -> dict[str, Any]:
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise _refused(f"{field}.role", "is missing")
    wire: dict[str, Any] = {"role": role}
    calls = message.get("tool_calls")
    for key, value in message.items():
        if value is None or key in ("role", "tool_calls", "content") or key in REASONING_KEYS:
            continue
        wire[key] = plain(without_none(value), f"{field}.{key}")
    content = _content(
        message.get("content"), f"{field}.content", "" if role == "assistant" else "\n"
    )
    if role in ROLES:
        content = _filled(content, role, field)
    ordered: dict[str, Any] = {"role": role}
    if content is not None:
        ordered["content"] = content
    ordered.update(wire)
    if role == "tool":
        _need_call_id(message.get("tool_call_id"), field)
    if calls:
        ordered["tool_calls"] = _foreign_calls(calls, f"{field}.tool_calls")
    reasoning = next((message[key] for key in REASONING_KEYS if message.get(key)), None)
    if reasoning and role == "assistant" and _echoes(echo, bool(calls)):
        ordered["reasoning_content"] = _text(reasoning, f"{field}.reasoning_content")
    return ordered


def _foreign_calls(calls: Any, field: str) -> list[dict[str, Any]]:
    if not isinstance(calls, Sequence) or isinstance(calls, str | bytes):
        raise _refused(field, f"must be a list, not {type(calls).__name__}")
    wire = []
    for at, call in enumerate(calls):
        where = f"{field}[{at}]"
        if isinstance(call, ToolCall):
            wire.append(_own_call(call, where))
            continue
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise _refused(f"{where}.function", "is missing")
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise _refused(f"{where}.function.name", "is missing")
        kept = plain(without_none(call), where)
        kept.setdefault("type", "function")
        kept["function"] = {
            **kept["function"],
            "arguments": _arguments(function.get("arguments"), f"{where}.function.arguments"),
        }
        wire.append(kept)
    return wire
