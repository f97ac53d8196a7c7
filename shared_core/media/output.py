"""Binary results: bytes with a media type."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from shared_core.errors import ConfigurationError, ModelOutputError
from shared_core.media.kinds import extension_of

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a sound, a video or a 3D model that a model made.

    Attributes:
        content: The bytes of the file.
        media_type: E.g. ``"image/jpeg"``; ``"application/octet-stream"`` when unknown.
        url: Where a provider keeps the file, if it came from an address; often short-lived.
        endpoint: Name of the endpoint that answered, if the client has failover.
    """

    content: bytes
    media_type: str = "application/octet-stream"
    url: str | None = None
    endpoint: str | None = field(default=None, repr=False, compare=False)

    @property
    def extension(self) -> str:
        """The usual file extension of the media type with its dot, or ``""``."""
        return extension_of(self.media_type)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the bytes to *path* as they are and return where.

        Args:
            path: The file; one without an extension gets that of the media type. An existing
                file is replaced.

        Raises:
            OSError: The file cannot be written.
        """
        target = Path(path)
        if not target.suffix and self.extension:
            target = target.with_name(target.name + self.extension)
        target.write_bytes(self.content)
        return target

    def to_pil(self) -> PILImage:
        """Return the image as a ``PIL.Image.Image``, decoded.

        Raises:
            ConfigurationError: Pillow is not installed.
            ModelOutputError: The bytes are not an image that Pillow can read.
        """
        import io

        try:
            from PIL import Image
        except ImportError:
            raise ConfigurationError(
                "to_pil() needs Pillow", guidance="Install it: pip install pillow"
            ) from None
        try:
            image = Image.open(io.BytesIO(self.content))
            image.load()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ModelOutputError(
                f"the answer ({self.media_type}, {len(self.content)} bytes) is not an image that "
                f"Pillow can read: {type(error).__name__}",
                guidance="Keep the bytes with save() and look at them.",
            ) from None
        return image

    def __repr__(self) -> str:
        return f"Media({self.media_type!r}, {len(self.content)} bytes)"
