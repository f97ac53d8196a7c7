"""Blocks that carry media or documents, as parts of the client's messages.

Nothing is fetched: an ``http(s)`` URL is handed on, bytes and paths are handed over, and what
cannot be delivered is refused. A document that is text becomes text, because hardly any
provider takes files; every other document becomes a file part.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from io import IOBase
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from llama_index.core.base.llms.types import AudioBlock, DocumentBlock, ImageBlock, VideoBlock

from shared_core import (
    AudioPart,
    FilePart,
    ImagePart,
    TextPart,
    VideoPart,
)

_TEXT_TYPES = frozenset(
    {
        "application/json",
        "application/xml",
        "application/yaml",
        "application/x-yaml",
        "application/toml",
        "application/javascript",
        "application/x-sh",
        "application/sql",
    }
)
_UNTITLED = "input_document"
"""Title that the framework gives to a document without one (``DocumentBlock``, 0.14)."""


def refused(where: str, why: str, guidance: str | None = None) -> Exception:
    """Return the error for what cannot be sent.

    Args:
        where: Position in the conversation.
        why: What is wrong with it.
        guidance: What to do about it.
    """
    from shared_core import InvalidSettingError

    return InvalidSettingError(f"{where}: {why}", guidance=guidance, setting=where)


def image_part(block: ImageBlock, where: str) -> ImagePart:
    """Return the image as a part.

    Raises:
        InvalidSettingError: The block holds no image.
    """
    source = _source(block.image, block.path, block.url, where)
    return ImagePart(source, media_type=block.image_mimetype, detail=block.detail)


def audio_part(block: AudioBlock, where: str) -> AudioPart:
    """Return the audio as a part.

    Raises:
        InvalidSettingError: The block holds no audio.
    """
    return AudioPart(_source(block.audio, block.path, block.url, where), format=block.format)


def video_part(block: VideoBlock, where: str) -> VideoPart:
    """Return the video as a part.

    Raises:
        InvalidSettingError: The block holds no video, or asks for a frame rate or a level
            of detail, which no request field carries.
    """
    for name in ("fps", "detail"):
        if getattr(block, name) is not None:
            raise refused(
                where,
                f"a video's {name} cannot be sent with the message",
                f"Leave {name} out, or pass the provider's own field in extra_body.",
            )
    source = _source(block.video, block.path, block.url, where)
    return VideoPart(source, media_type=block.video_mimetype)


def document_part(block: DocumentBlock, where: str) -> TextPart | FilePart:
    """Return the document: its text if it is text, else a file.

    Raises:
        InvalidSettingError: The block is empty, or only an ``http(s)`` URL.
    """
    title = block.title if block.title != _UNTITLED else None
    source = _source(block.data, block.path, block.url, where)
    if isinstance(source, str) and not source.startswith("data:"):
        raise refused(
            where,
            "a document behind a URL is not fetched",
            "Load it yourself and pass the bytes: DocumentBlock(data=...).",
        )
    data = _read(source, where)
    name = title or (source.name if isinstance(source, Path) else None)
    kind = block.document_mimetype or mimetypes.guess_type(name or "")[0]
    text = _text(data, kind)
    if text is not None:
        return TextPart(f"{name}\n\n{text}" if name else text)
    return FilePart(data, media_type=kind or "application/octet-stream", filename=name)


def _source(data: Any, path: Any, url: Any, where: str) -> bytes | str | Path:
    # The framework keeps bytes as base64 text; an open file is read from its start.
    if isinstance(data, IOBase):
        data.seek(0)
        raw = cast("bytes | str", cast(Any, data).read())
        found: bytes | str | Path = raw.encode() if isinstance(raw, str) else raw
    elif isinstance(data, bytes) and data:
        found = _decoded(data)
    elif path:
        found = Path(path)
    else:
        found = str(url) if url else b""
    if found == b"":
        raise refused(where, "is empty: it has no data, path or url")
    return found


def _decoded(data: bytes) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        return data


def _read(source: bytes | str | Path, where: str) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, str):
        head, _, body = source.partition(",")
        if head.endswith(";base64"):
            return base64.b64decode(body)
        return unquote_to_bytes(body)
    try:
        return source.read_bytes()
    except OSError as error:
        raise refused(where, f"{source} cannot be read ({error.strerror})") from None


def _text(data: bytes, kind: str | None) -> str | None:
    known = kind is not None and (kind.startswith("text/") or kind in _TEXT_TYPES)
    if not known and (kind is not None or b"\0" in data):
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1") if known else None
