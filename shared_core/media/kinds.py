"""What kind of file some bytes are, and how files of a caller and data URLs are read."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from urllib.parse import unquote_to_bytes

from shared_core.errors import InvalidSettingError

# First bytes of common formats (file(1) magic database; RFC 9649 for WebP).
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"glTF", "model/gltf-binary"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_FTYP = {
    b"avif": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"M4A ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
# What mimetypes calls otherwise than servers do, or does not know.
_BY_EXTENSION = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".opus": "audio/ogg",
    ".webp": "image/webp",
    ".glb": "model/gltf-binary",
}
_EXTENSIONS = {
    "image/jpeg": ".jpg",
    "audio/flac": ".flac",
    "audio/x-flac": ".flac",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/ogg": ".ogg",
    "audio/mp4": ".m4a",
    "video/mp4": ".mp4",
    "audio/webm": ".webm",
    "video/webm": ".webm",
    "image/webp": ".webp",
    "model/gltf-binary": ".glb",
}


def sniff(data: bytes) -> str | None:
    """Return the media type that the first bytes show, or None.

    Args:
        data: At least the first 12 bytes.
    """
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _FTYP.get(data[8:12], "video/mp4")
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return media_type
    return None


def guess(data: bytes, name: str | None) -> str | None:
    """Return the media type by the first bytes, else by the file name, or None.

    Args:
        data: The file, or its beginning.
        name: Its name, if it has one.
    """
    found = sniff(data)
    if found is None and name:
        extension = "." + name.rpartition(".")[2].lower()
        found = _BY_EXTENSION.get(extension) or mimetypes.guess_type(name)[0]
    return found


def extension_of(media_type: str) -> str:
    """Return the usual file extension with its dot, or ``""``.

    Args:
        media_type: Media type, maybe with parameters.
    """
    kind = media_type.partition(";")[0].strip().lower()
    return _EXTENSIONS.get(kind) or mimetypes.guess_extension(kind) or ""


def read_file(path: Path, field: str) -> bytes:
    """Return what a file of the caller's holds.

    Args:
        path: The file.
        field: The argument that names it, for the error.

    Raises:
        InvalidSettingError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidSettingError(
            f"{field} names a file that cannot be read: {str(path)[:100]!r} ({reason})",
            setting=field,
            guidance="Pass bytes, the path of a readable file, an http(s) URL or a data URL.",
        ) from None


def read_data_url(url: str) -> tuple[str, bytes]:
    """Return type and content of a ``data:`` URL, in base64 or percent-encoded.

    Args:
        url: The URL.

    Raises:
        ValueError: It cannot be read.
    """
    head, comma, text = url.partition(",")
    if not comma:
        raise ValueError("a data URL has a comma before its data")
    kind, data = head[5:], unquote_to_bytes(text)
    if not kind.lower().endswith(";base64"):
        return kind, data
    try:
        return kind[:-7], base64.b64decode(data, validate=True)
    except ValueError:
        raise ValueError("the data is not base64") from None
