"""Images, read by Pillow."""

from __future__ import annotations

import io
from typing import Any

from shared_core.local.failures import INSTALL_MEDIA, missing_extra


def pillow() -> Any:
    """Return Pillow's module for images.

    Raises:
        ImportError: It is not installed; names the command.
    """
    try:
        from PIL import Image
    except ImportError as exc:
        raise missing_extra(exc, INSTALL_MEDIA) from None
    return Image


def picture(content: bytes) -> Any:
    """Return the image in RGB, upright as its camera notes it.

    Args:
        content: A file in any format that Pillow reads.

    Raises:
        ImportError: Pillow is not installed; names the command.
        ValueError: It is none that Pillow can read.
    """
    images = pillow()
    from PIL import ImageOps

    try:
        image = ImageOps.exif_transpose(images.open(io.BytesIO(content))).convert("RGB")
    except (
        OSError,
        ValueError,
        SyntaxError,
        RuntimeError,  # of AVIF and DDS
        images.DecompressionBombError,
    ) as error:
        raise ValueError(
            f"the image cannot be read by Pillow ({len(content)} bytes): {type(error).__name__}"
        ) from None
    return image
