"""Images, audio, video and documents as content parts of a chat message.

URLs are passed on, never fetched. Bytes and files become data URLs; the media type comes
from the caller, else from the first bytes, else from the name.
"""

from __future__ import annotations

import base64
import mimetypes
import os
from pathlib import Path
from typing import Any, NamedTuple

from shared_core.chat.types import AudioPart, FilePart, ImagePart, MediaSource, VideoPart
from shared_core.errors import InvalidSettingError
from shared_core.media.kinds import guess, read_file, sniff

# Names that the OpenAI form uses for audio formats.
_AUDIO_FORMATS = {
    "mpeg": "mp3",
    "mp3": "mp3",
    "x-wav": "wav",
    "wave": "wav",
    "vnd.wave": "wav",
    "wav": "wav",
    "mp4": "m4a",
    "x-m4a": "m4a",
    "x-flac": "flac",
}


class _Media(NamedTuple):
    url: str | None  # http(s), passed on
    payload: str  # base64
    media_type: str | None
    name: str | None

    def data_url(self, default: str) -> str:
        return self.url or f"data:{self.media_type or default};base64,{self.payload}"


def image_part(part: ImagePart, field: str) -> dict[str, Any]:
    """Return an ``image_url`` part.

    Raises:
        InvalidSettingError: The source cannot be used; *field* is named.
    """
    media = _load(part.source, part.media_type, field)
    image: dict[str, Any] = {"url": media.data_url("image/jpeg")}
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def audio_part(part: AudioPart, field: str) -> dict[str, Any]:
    """Return an ``input_audio`` part; for an http(s) URL an ``audio_url`` part (vLLM's form).

    Raises:
        InvalidSettingError: The source cannot be used; *field* is named.
    """
    media = _load(part.source, part.media_type, field)
    if media.url is not None:
        return {"type": "audio_url", "audio_url": {"url": media.url}}
    form = part.format
    if form is None:
        subtype = (media.media_type or "audio/wav").partition("/")[2].partition(";")[0].lower()
        form = _AUDIO_FORMATS.get(subtype, subtype)
    return {"type": "input_audio", "input_audio": {"data": media.payload, "format": form}}


def video_part(part: VideoPart, field: str) -> dict[str, Any]:
    """Return a ``video_url`` part.

    Raises:
        InvalidSettingError: The source cannot be used; *field* is named.
    """
    media = _load(part.source, part.media_type, field)
    return {"type": "video_url", "video_url": {"url": media.data_url("video/mp4")}}


def file_part(part: FilePart, field: str) -> dict[str, Any]:
    """Return a ``file`` part, by id or with its data.

    Raises:
        InvalidSettingError: The source cannot be used; *field* is named.
    """
    if (part.source is None) == (part.file_id is None):
        raise InvalidSettingError(f"{field} needs exactly one of source and file_id", setting=field)
    if part.file_id is not None:
        return {"type": "file", "file": {"file_id": part.file_id}}
    assert part.source is not None
    media = _load(part.source, part.media_type, field)
    name = part.filename or media.name
    if name is None:
        kind = (media.media_type or "application/pdf").partition(";")[0]
        name = "file" + (mimetypes.guess_extension(kind) or "")
    data = media.data_url("application/octet-stream")
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def _load(source: MediaSource, media_type: str | None, field: str) -> _Media:
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        if not data:
            raise InvalidSettingError(f"{field} is empty", setting=field)
        return _encoded(data, media_type or sniff(data), None)
    if isinstance(source, str):
        head = source[:8].lower()
        if head.startswith(("http://", "https://")):
            return _Media(source, "", media_type, None)
        if head.startswith("data:"):
            return _from_data_url(source, media_type, field)
        if "://" in source[:40]:
            raise InvalidSettingError(
                f"{field} has a URL that is neither http(s) nor data: {source[:40]!r}",
                setting=field,
            )
    if not isinstance(source, str | os.PathLike):
        raise InvalidSettingError(
            f"{field} must be bytes, a path or a URL, not {type(source).__name__}", setting=field
        )
    return _from_file(Path(source), media_type, field)


def _from_file(path: Path, media_type: str | None, field: str) -> _Media:
    data = read_file(path, field)
    if not data:
        raise InvalidSettingError(f"{field} is an empty file", setting=field)
    known = media_type or guess(data, path.name)
    return _encoded(data, known, path.name)


def _from_data_url(source: str, media_type: str | None, field: str) -> _Media:
    head, comma, payload = source.partition(",")
    if not comma or not head.lower().endswith(";base64") or not payload:
        raise InvalidSettingError(
            f"{field} has a data URL that is not of the form data:<type>;base64,<data>",
            setting=field,
        )
    return _Media(None, payload, media_type or head[5:-7] or None, None)


def _encoded(data: bytes, media_type: str | None, name: str | None) -> _Media:
    return _Media(None, base64.b64encode(data).decode("ascii"), media_type, name)
