"""Shapes that every chat answer has on the wire."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pydantic_core

from shared_core.errors import APIError
from shared_core.local.call import LocalCall

DONE = b"data: [DONE]\n\n"
"""The event after the last one of a chat stream."""


def event(value: Any) -> bytes:
    """Return *value* as one server-sent event."""
    return b"data: " + pydantic_core.to_json(value) + b"\n\n"


def chat_envelope(kind: str, model: str, fingerprint: str = "local") -> dict[str, Any]:
    """Return the fields around the choices of a chat completion or of a chunk.

    Args:
        kind: The ``object``: ``"chat.completion"`` or ``"chat.completion.chunk"``.
        model: Name of the model.
        fingerprint: What the answer depends on beside the model.
    """
    return {
        "id": f"local-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": fingerprint,
    }


def messages_of(call: LocalCall, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a chat request, each an object with a role.

    Raises:
        BadRequestError: They are something else.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise call.bad("messages must be a list with at least one item.", "messages")
    for item in messages:
        if not isinstance(item, dict) or not isinstance(item.get("role"), str):
            raise call.bad("A message must be an object with a role.", "messages")
    return messages


def text_of(
    call: LocalCall, message: Mapping[str, Any], cannot: Callable[[object], APIError]
) -> str:
    """Return the text of a message, its parts separated by blank lines.

    Args:
        call: For errors.
        message: The message.
        cannot: Makes the error for a part of another type than text.

    Raises:
        APIError: From *cannot*.
        BadRequestError: The content is neither text nor parts.
    """
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise call.bad("content must be text or a list of parts.", "messages")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise cannot(kind)
        texts.append(part["text"])
    return "\n\n".join(texts)
