"""Arrays as files: PNG and WAV, lossless, with the standard library."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
"""Channels -> colour type: grey, RGB, RGBA (PNG specification, 11.2.1)."""


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return *pixels* as a PNG file of 8 bits per channel.

    Args:
        pixels: ``(height, width)`` or ``(height, width, 1, 3 or 4)``.
    """
    import numpy as np

    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    rows = np.zeros((height, 1 + width * channels), dtype=np.uint8)  # filter 0 before each row
    rows[:, 1:] = pixels.reshape(height, width * channels)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def wav(samples: NDArray[Any], rate: int) -> bytes:
    """Return 16-bit samples as a WAV file.

    Args:
        samples: ``int16``, ``(n,)`` or ``(n, channels)``.
        rate: Samples per second.
    """
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()
