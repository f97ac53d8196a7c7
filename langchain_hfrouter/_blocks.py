"""Content blocks of LangChain, OpenAI and Anthropic to core parts: pure functions, no I/O.

Unknown blocks are passed on unchanged, so that the provider can judge them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from shared_core import (
    AudioPart,
    FilePart,
    ImagePart,
    InvalidSettingError,
    RawPart,
    TextPart,
    VideoPart,
)

Part: TypeAlias = TextPart | ImagePart | AudioPart | VideoPart | FilePart | RawPart
Block: TypeAlias = str | Mapping[str, Any]


class MessageError(InvalidSettingError, ValueError):
    """A message or content block cannot be sent to a model."""

    guidance = "Correct the message; nothing was sent."


# Blocks of an assistant's content that are not content: calls travel in tool_calls,
# thinking is somebody's own, server tools ran elsewhere.
NOT_CONTENT = frozenset(
    {
        "reasoning",
        "thinking",
        "redacted_thinking",
        "reasoning_content",
        "tool_use",
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "function_call",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
        "mcp_list_tools",
        "mcp_approval_request",
        "refusal",
        "input_json_delta",
    }
)


def content_of(content: str | Sequence[Block]) -> str | list[Part]:
    """Convert the content of a message, in its simplest form."""
    return content if isinstance(content, str) else simplest(list(parts_of(content)))


def simplest(parts: list[Part]) -> str | list[Part]:
    """Return plain text where it is all there is: not every server takes lists."""
    if not parts:
        return ""
    only = parts[0]
    return only.text if len(parts) == 1 and isinstance(only, TextPart) else parts


def kind_of(block: Block) -> str:
    """Return the type of a block."""
    return "text" if isinstance(block, str) else str(block.get("type", ""))


def parts_of(blocks: Sequence[Block]) -> Iterator[Part]:
    """Convert several blocks; those that no model is to see, and empty texts, are left out."""
    for block in blocks:
        part = TextPart(block) if isinstance(block, str) else part_of(block)
        # Empty text parts are refused by some servers.
        if part is not None and not (isinstance(part, TextPart) and not part.text):
            yield part


def part_of(block: Mapping[str, Any]) -> Part | None:
    """Convert one content block.

    Args:
        block: A LangChain v1 or v0, OpenAI or Anthropic block.

    Returns:
        The core part, or None for a block that no model is to see again.

    Raises:
        MessageError: The block lacks what its type needs.
    """
    kind = block.get("type")
    if kind is None and isinstance(block.get("text"), str):
        kind = "text"
    convert = _CONVERTERS.get(str(kind))
    if convert is not None:
        return convert(block)
    if kind in NOT_CONTENT:
        return None
    return RawPart(dict(block))


def _text(block: Mapping[str, Any]) -> Part:
    text = block.get("text")
    if not isinstance(text, str):
        raise MessageError("a text block needs a string in 'text'")
    return TextPart(text)


def _image_url(block: Mapping[str, Any]) -> Part:
    image = block.get("image_url")
    if isinstance(image, Mapping):
        detail = image.get("detail") or block.get("detail")
        return ImagePart(_address(image.get("url"), "image_url"), detail=detail)
    return ImagePart(_address(image, "image_url"), detail=block.get("detail"))


def _image(block: Mapping[str, Any]) -> Part:
    if isinstance(block.get("source"), Mapping):
        return _anthropic_source(block["source"], "image")
    if "image" in block:  # the form of Hugging Face processors
        return ImagePart(_address(block["image"], "image"))
    source, media_type = _source(block, "image")
    return ImagePart(source, media_type=media_type, detail=_extra(block, "detail"))


def _audio(block: Mapping[str, Any]) -> Part:
    source, media_type = _source(block, "audio")
    return AudioPart(source, media_type=media_type, format=_extra(block, "format"))


def _input_audio(block: Mapping[str, Any]) -> Part:
    audio = block.get("input_audio")
    if not isinstance(audio, Mapping) or not isinstance(audio.get("data"), str):
        raise MessageError("an input_audio block needs {'data': ..., 'format': ...}")
    return AudioPart(_decoded(audio["data"], "input_audio"), format=audio.get("format"))


def _video(block: Mapping[str, Any]) -> Part:
    source, media_type = _source(block, "video")
    return VideoPart(source, media_type=media_type)


def _video_url(block: Mapping[str, Any]) -> Part:
    video = block.get("video_url")
    url = video.get("url") if isinstance(video, Mapping) else video
    return VideoPart(_address(url, "video_url"))


def _file(block: Mapping[str, Any]) -> Part:
    inner = block.get("file")
    if isinstance(inner, Mapping):  # OpenAI's form
        if isinstance(inner.get("file_id"), str):
            return FilePart(file_id=inner["file_id"])
        data = inner.get("file_data")
        if not isinstance(data, str):
            raise MessageError("a file block needs 'file_data' or 'file_id'")
        plain = not data.startswith(("data:", "http://", "https://"))
        return FilePart(_decoded(data, "file") if plain else data, filename=inner.get("filename"))
    if isinstance(block.get("file_id"), str):
        return FilePart(file_id=block["file_id"])
    source, media_type = _source(block, "file")
    return FilePart(source, media_type=media_type, filename=_filename(block))


def _plain_text(block: Mapping[str, Any]) -> Part:
    if isinstance(block.get("text"), str):
        return TextPart(block["text"])
    if isinstance(block.get("base64"), str):
        return TextPart(_decoded(block["base64"], "text-plain").decode("utf-8"))
    source, media_type = _source(block, "text-plain")
    return FilePart(source, media_type=media_type or "text/plain", filename=_filename(block))


def _document(block: Mapping[str, Any]) -> Part:
    source = block.get("source")
    if not isinstance(source, Mapping):
        raise MessageError("a document block needs a 'source'")
    return _anthropic_source(source, "file", block.get("title"))


def _non_standard(block: Mapping[str, Any]) -> Part | None:
    value = block.get("value")
    return part_of(value) if isinstance(value, Mapping) else RawPart(dict(block))


_CONVERTERS = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "image_url": _image_url,
    "image": _image,
    "audio": _audio,
    "input_audio": _input_audio,
    "video": _video,
    "video_url": _video_url,
    "file": _file,
    "text-plain": _plain_text,
    "document": _document,
    "non_standard": _non_standard,
}


def _anthropic_source(source: Mapping[str, Any], kind: str, title: str | None = None) -> Part:
    form = source.get("type")
    media_type = source.get("media_type")
    if form == "text":
        return TextPart(str(source.get("data", "")))
    if form == "file":
        return FilePart(file_id=source.get("file_id"))
    if form == "base64":
        value = {"base64": source.get("data"), "mime_type": media_type}
    else:
        value = {"url": source.get("url")}
    data, media_type = _source(value, kind)
    if kind == "image":
        return ImagePart(data, media_type=media_type)
    return FilePart(data, media_type=media_type, filename=title)


def _source(block: Mapping[str, Any], kind: str) -> tuple[bytes | str, str | None]:
    """Return the data or address of a v1 or v0 media block, and its media type."""
    media_type = block.get("mime_type")
    encoded = block.get("base64")
    if encoded is None and block.get("source_type") == "base64":
        encoded = block.get("data")
    if isinstance(encoded, bytes):
        encoded = encoded.decode("ascii")
    if isinstance(encoded, str):
        if encoded.startswith("data:"):
            return encoded, media_type
        if media_type and kind != "audio":
            return f"data:{media_type};base64,{encoded}", media_type
        return _decoded(encoded, kind), media_type
    if block.get("url") is not None:
        return _address(block["url"], kind), media_type
    raise MessageError(f"a {kind} block needs 'base64' (with 'mime_type') or 'url'")


def _address(url: Any, kind: str) -> str:
    """Return an address that may be passed on.

    Only http(s) and data URLs: messages often come from strangers, and the core would read
    the file that a path names.
    """
    if isinstance(url, str) and url[:8].lower().startswith(("http://", "https://", "data:")):
        return url
    raise MessageError(f"a {kind} block needs an http(s) URL or a data URL; read files yourself")


def _decoded(encoded: str, kind: str) -> bytes:
    if encoded.startswith("data:"):
        encoded = encoded.partition(",")[2]
    try:
        return base64.b64decode(encoded, validate=False)
    except (binascii.Error, ValueError):
        raise MessageError(f"the data of a {kind} block is not base64") from None


def _extra(block: Mapping[str, Any], name: str) -> Any:
    extras = block.get("extras")
    return block.get(name) or (extras.get(name) if isinstance(extras, Mapping) else None)


def _filename(block: Mapping[str, Any]) -> str | None:
    for name in ("filename", "name", "title"):
        value = _extra(block, name)
        if isinstance(value, str):
            return value
    metadata = block.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("filename"), str):
        return cast("str", metadata["filename"])
    return None
