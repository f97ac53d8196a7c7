"""Messages in OpenAI's form as chat templates of transformers read them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared_core.errors import APIError
from shared_core.local.call import LocalCall
from shared_core.local.shapes import text_of
from shared_core.media.kinds import read_data_url

if TYPE_CHECKING:
    from shared_core.local.torch.language_model import LanguageModel

_MEDIA = {"image_url": "image", "input_audio": "audio", "audio_url": "audio"}
"""Type of a part -> what a model must read for it."""
_NAMES = {"image": "images", "audio": "sound"}


def for_template(
    call: LocalCall, message: Mapping[str, Any], model: LanguageModel, name: str
) -> dict[str, Any]:
    """Return *message* as chat templates read it.

    Args:
        call: For errors.
        message: The message.
        model: Whose template it is, and whether that sees or hears.
        name: Of the model.

    Returns:
        The content as one text; with images or sound as parts, in their order, decoded. The
        arguments of tool calls as objects.

    Raises:
        UnsupportedFeatureError: The model does not read a part, or it is at an address.
        BadRequestError: A part is broken.
    """

    def cannot(kind: object) -> APIError:
        known = " and ".join(
            ["text", *(_NAMES[each] for each in sorted(model.reads, reverse=True))]
        )
        return call.unsupported(
            f"{name} reads {known} only, not content of type {kind!r}.",
            "Leave it out, or use a model that reads it, here or on a server.",
            param="messages",
            model=name,
        )

    content = message.get("content")
    parts = content if isinstance(content, list) else []
    kinds = [part.get("type") if isinstance(part, dict) else None for part in parts]
    if any(_MEDIA.get(str(kind)) in model.reads for kind in kinds):
        made = {**message, "content": [_part(call, part, model, cannot) for part in parts]}
    else:
        made = {**message, "content": text_of(call, message, cannot)}
    if calls := message.get("tool_calls"):
        if not isinstance(calls, list):
            raise call.bad("tool_calls must be a list.", "messages")
        made["tool_calls"] = [_with_object(each) for each in calls]
    return made


def _part(call: LocalCall, part: Any, model: LanguageModel, cannot: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if _MEDIA.get(str(kind)) not in model.reads:
        raise cannot(kind)
    given = part.get(kind)
    if not isinstance(given, dict):
        raise call.bad(f"A part of the type {kind} needs an object in {kind!r}.", "messages")
    try:
        content = _decoded(given.get("data")) if kind == "input_audio" else _at(call, given)
        if _MEDIA[str(kind)] == "audio":
            from shared_core.local.torch.sound import samples

            return {"type": "audio", "audio": samples(content, model.rate)}
        _check_detail(call, given.get("detail"))
        from shared_core.local.torch.pictures import picture

        return {"type": "image", "image": picture(content)}
    except ValueError as error:
        raise call.bad(f"A part of the type {kind} cannot be used: {error}", "messages") from None


def _at(call: LocalCall, given: dict[str, Any]) -> bytes:
    """Return what the data URL of a part holds.

    Raises:
        ValueError: It is none.
        UnsupportedFeatureError: It is another address.
    """
    url = given.get("url")
    text = url if isinstance(url, str) else ""
    if text[:8].lower().startswith(("http://", "https://")):
        raise call.unsupported(
            "Models in this process fetch nothing from an address.",
            "Pass the file itself: bytes, a path or a data URL.",
            param="messages",
        )
    head = text.partition(",")[0].lower()
    if not (head.startswith("data:") and head.endswith(";base64")):
        raise ValueError("the address is not of the form data:<type>;base64,<data>")
    return read_data_url(text)[1]


def _decoded(data: Any) -> bytes:
    if not isinstance(data, str) or not data:
        raise ValueError("there is no data in base64")
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        raise ValueError("the data is not base64") from None


def _check_detail(call: LocalCall, detail: Any) -> None:
    if detail not in (None, "auto"):
        raise call.unsupported(
            f"In this process the model's own files say how large it sees an image: "
            f"detail={detail!r} cannot be kept.",
            "Leave detail out, or make the image smaller.",
            param="messages",
        )


def _with_object(tool_call: Any) -> Any:
    function = tool_call.get("function") if isinstance(tool_call, dict) else None
    if not isinstance(function, dict):
        return tool_call
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        return tool_call
    try:
        value = json.loads(arguments)
    except ValueError:
        return tool_call
    return {**tool_call, "function": {**function, "arguments": value}}
