"""What a caller may give for a file: bytes, a path, a file object, an address, an image, samples.

Everything becomes bytes with a media type, except an ``http(s)`` address, which is passed on.
Pillow and NumPy are used when the caller's own object comes from them, and not loaded before.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from shared_core.config.validate import check_url
from shared_core.errors import InvalidSettingError
from shared_core.media.kinds import guess, read_data_url, read_file, sniff

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage


class Readable(Protocol):
    """A file opened for reading bytes."""

    def read(self) -> bytes:
        """Return what is left of the file."""
        ...


FileInput: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | Readable"
"""Bytes, the path of a file, a file opened for bytes, or an ``http(s)``, or ``data:`` address."""

ImageInput: TypeAlias = "FileInput | PILImage | NDArray[Any]"
"""A file, a ``PIL.Image.Image``, or a NumPy array: ``(height, width)`` or ``(height, width, 1, 3
or 4)`` of ``uint8``, booleans, or floats from 0 to 1. Images become PNG."""

AudioInput: TypeAlias = "FileInput | tuple[NDArray[Any], int]"
"""A file, or ``(samples, sampling_rate)``: a NumPy array of shape ``(n,)`` or ``(n, channels)``,
``int16`` or floats from -1 to 1, and whole Hertz. Samples become 16-bit WAV."""

Kind = Literal["image", "audio", "video", "file"]

# What the first bytes may say for each kind of task. A sound track may come as a video file;
# a document as a PDF.
_ALIEN = {"image": ("audio/",), "audio": ("image/",), "video": ("audio/",), "file": ()}


class Loaded(NamedTuple):
    """A file that is ready to be sent: its bytes, or the address where it is."""

    content: bytes | None
    media_type: str | None
    url: str | None = None

    def __repr__(self) -> str:
        # Tracebacks that show locals must not show what the user sends.
        size = "an address" if self.content is None else f"{len(self.content)} bytes"
        return f"<Loaded {self.media_type}, {size}>"


def load(source: Any, field: str, kind: Kind = "file") -> Loaded:
    """Return *source* as bytes with a media type, or as an address.

    Args:
        source: See :data:`ImageInput`, :data:`AudioInput`, :data:`FileInput`.
        field: Name of the parameter, for errors.
        kind: What the task wants.

    Raises:
        InvalidSettingError: The source cannot be used; *field* is named.
    """
    found = _load(source, field, kind)
    if found.content is not None:
        if not found.content:
            raise InvalidSettingError(f"{field} is empty", setting=field)
        shown = sniff(found.content)
        if shown is not None and shown.startswith(_ALIEN[kind]):
            raise InvalidSettingError(f"{field} holds {shown}, not {kind} data", setting=field)
    return found


def _load(source: Any, field: str, kind: Kind) -> Loaded:
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        return Loaded(data, guess(data, None))
    if isinstance(source, str) and (address := _address(source, field)) is not None:
        return address
    if isinstance(source, str | os.PathLike):
        return _from_file(Path(source), field)
    if _comes_from(source, "PIL"):
        return _from_pil(source, field, kind)
    if _comes_from(source, "numpy"):
        return Loaded(_png_of_array(source, field, kind), "image/png")
    if isinstance(source, tuple) and len(source) == 2 and kind == "audio":
        return Loaded(_wav_of_samples(source[0], source[1], field), "audio/wav")
    if hasattr(source, "read"):
        return _from_open_file(source, field)
    raise InvalidSettingError(
        f"{field} must be bytes, a path, an open file or a URL, not {type(source).__name__}",
        setting=field,
        guidance="Images may also be PIL images or NumPy arrays, sounds (samples, rate).",
    )


def _comes_from(source: object, package: str) -> bool:
    # Without importing: who passes such an object has imported the package.
    return package in sys.modules and any(
        cls.__module__.partition(".")[0] == package for cls in type(source).__mro__
    )


def _address(source: str, field: str) -> Loaded | None:
    head = source[:8].lower()
    if head.startswith(("http://", "https://")):
        # Checked by the rules of our own addresses, but kept as it stands: it may be signed.
        check_url(source.partition("#")[0], setting=field)
        return Loaded(None, None, source)
    if head.startswith("data:"):
        return _from_data_url(source, field)
    if "://" in source[:40]:
        raise InvalidSettingError(
            f"{field} has an address that is neither http(s) nor data: {source[:40]!r}",
            setting=field,
        )
    return None


def _from_data_url(source: str, field: str) -> Loaded:
    try:
        kind, data = read_data_url(source)
    except ValueError:
        raise InvalidSettingError(
            f"{field} has a data URL that cannot be read",
            setting=field,
            guidance="The form is data:<type>;base64,<data>.",
        ) from None
    return Loaded(data, kind or guess(data, None))


def _from_file(path: Path, field: str) -> Loaded:
    data = read_file(path, field)
    return Loaded(data, guess(data, path.name))


def _from_open_file(source: Any, field: str) -> Loaded:
    try:
        data = source.read()
    except (OSError, ValueError) as error:  # closed, or opened for writing only
        raise InvalidSettingError(
            f"{field} is a file that cannot be read: {type(error).__name__}", setting=field
        ) from None
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidSettingError(
            f"{field} is a file that gives {type(data).__name__}, not bytes",
            setting=field,
            guidance="Open it with mode 'rb'.",
        )
    name = getattr(source, "name", None)
    data = bytes(data)
    return Loaded(data, guess(data, name if isinstance(name, str) else None))


def _from_pil(source: Any, field: str, kind: Kind) -> Loaded:
    if not hasattr(source, "save") or kind not in ("image", "file"):
        raise InvalidSettingError(
            f"{field} must be a file, not a {type(source).__name__} of Pillow", setting=field
        )
    buffer = io.BytesIO()
    image = source if source.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else source.convert("RGB")
    image.save(buffer, format="PNG")
    return Loaded(buffer.getvalue(), "image/png")


def _png_of_array(array: Any, field: str, kind: Kind) -> bytes:
    from shared_core.media.encode import png

    if kind not in ("image", "file") or not hasattr(array, "shape"):
        wanted = "(samples, sampling_rate)" if kind == "audio" else "a file"
        raise InvalidSettingError(f"{field} must be {wanted}, not a bare array", setting=field)
    return png(_pixels(array, field))


def _pixels(array: NDArray[Any], field: str) -> NDArray[np.uint8]:
    import numpy as np

    shape = array.shape
    planar = len(shape) == 3 and shape[2] in (1, 3, 4)
    if not (len(shape) == 2 or planar) or 0 in shape:
        raise InvalidSettingError(
            f"{field} has the shape {shape}; an image is (height, width) or "
            "(height, width, 1, 3 or 4)",
            setting=field,
        )
    if array.dtype == np.uint8:
        plain: NDArray[np.uint8] = np.ascontiguousarray(array)
        return plain
    if array.dtype == np.bool_:
        grey: NDArray[np.uint8] = np.where(array, np.uint8(255), np.uint8(0))
        return grey
    if array.dtype.kind == "f" and np.isfinite(array).all():
        low, high = float(array.min()), float(array.max())
        if low >= 0 and high <= 1:
            scaled: NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
            return scaled
    raise InvalidSettingError(
        f"{field} is an array of {array.dtype} that is not an image",
        setting=field,
        guidance="Use uint8 from 0 to 255, booleans, or floats from 0 to 1.",
    )


def _wav_of_samples(samples: Any, rate: Any, field: str) -> bytes:
    import numpy as np

    from shared_core.media.encode import wav

    array = np.asarray(samples)
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or not 0 < rate < 2**31:
        raise InvalidSettingError(
            f"{field} needs a sampling rate in whole Hertz, not {rate!r:.40}", setting=field
        )
    if array.ndim not in (1, 2) or 0 in array.shape or (array.ndim == 2 and array.shape[1] > 64):
        raise InvalidSettingError(
            f"{field} has the shape {array.shape}; samples are (n,) or (n, channels)",
            setting=field,
        )
    if array.dtype.kind == "f" and np.isfinite(array).all():
        array = np.rint(np.clip(array, -1.0, 1.0) * 32767).astype(np.int16)
    if array.dtype != np.int16:
        raise InvalidSettingError(
            f"{field} has samples of {array.dtype} that are not sound",
            setting=field,
            guidance="Use int16, or floats from -1 to 1.",
        )
    return wav(array, int(rate))
