"""Draws what a model found into the image that it looked at. Needs Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from shared_core.errors import ConfigurationError, InvalidSettingError
from shared_core.media.input import ImageInput, load
from shared_core.media.output import Media

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# Colours that can be told apart by nearly everybody (Okabe and Ito, 2008).
_COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)


class _Edges(Protocol):
    @property
    def xmin(self) -> float: ...
    @property
    def ymin(self) -> float: ...
    @property
    def xmax(self) -> float: ...
    @property
    def ymax(self) -> float: ...


class Boxed(Protocol):
    """Something with a place in an image, e.g. a ``Detection``."""

    @property
    def label(self) -> str:
        """What it is."""
        ...

    @property
    def box(self) -> _Edges:
        """Where it is, in pixels."""
        ...


class Masked(Protocol):
    """A part of an image, e.g. a ``Segment``."""

    @property
    def label(self) -> str:
        """What it is."""
        ...

    @property
    def mask(self) -> Media:
        """A grey image of the size of the whole, white where the part is."""
        ...


def draw_boxes(
    image: ImageInput, found: Iterable[Boxed], *, width: int = 3, labels: bool = True
) -> PILImage:
    """Return a copy of *image* with a box around each object; each label has its colour.

    Args:
        image: The image: bytes, path, file, data URL, PIL image or NumPy array.
        found: Objects, e.g. the result of ``client.tasks.object_detection``.
        width: Line width in pixels.
        labels: Whether labels are written, with scores where there are some.

    Raises:
        ConfigurationError: Pillow is not installed.
        InvalidSettingError: The image cannot be read, or is an address.
    """
    picture = _opened(image)
    from PIL import ImageDraw

    pen = ImageDraw.Draw(picture)
    colours = _Colours()
    for item in found:
        colour, box = colours.of(item.label), item.box
        left, right = sorted((box.xmin, box.xmax))
        top, bottom = sorted((box.ymin, box.ymax))
        pen.rectangle((left, top, right, bottom), outline=colour, width=width)
        if labels:
            score = getattr(item, "score", None)
            said = item.label if score is None else f"{item.label} {score:.2f}"
            place = (left + width + 1, top + width)
            pen.rectangle(pen.textbbox(place, said), fill=colour)
            pen.text(place, said, fill=(0, 0, 0))
    return picture


def draw_masks(image: ImageInput, found: Iterable[Masked], *, opacity: float = 0.5) -> PILImage:
    """Return a copy of *image* with each part in a colour; each label has its own.

    Args:
        image: The image: bytes, path, file, data URL, PIL image or NumPy array.
        found: Parts, e.g. the result of ``client.tasks.image_segmentation``.
        opacity: From 0, nothing to be seen, to 1, the colour alone.

    Raises:
        ConfigurationError: Pillow is not installed.
        InvalidSettingError: The image cannot be read, is an address, or opacity is not from 0
            to 1.
        ModelOutputError: A mask is no image.
    """
    if not 0 <= opacity <= 1:
        raise InvalidSettingError(
            f"opacity must be from 0 to 1, not {opacity!r:.40}", setting="opacity"
        )
    picture = _opened(image)
    from PIL import Image

    colours = _Colours()
    dimmed = [round(value * opacity) for value in range(256)]
    for item in found:
        mask = item.mask.to_pil().convert("L")
        if mask.size != picture.size:
            mask = mask.resize(picture.size)
        paint = Image.new("RGB", picture.size, colours.of(item.label))
        picture.paste(paint, mask=mask.point(dimmed))
    return picture


class _Colours:
    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int, int]] = {}

    def of(self, label: str) -> tuple[int, int, int]:
        return self._known.setdefault(label, _COLOURS[len(self._known) % len(_COLOURS)])


def _opened(image: Any) -> PILImage:
    try:
        from PIL import Image
    except ImportError:
        raise ConfigurationError(
            "drawing needs Pillow", guidance="Install it: pip install pillow"
        ) from None
    loaded = load(image, "image", "image")
    if loaded.content is None:
        raise InvalidSettingError("image is an address; pass the image itself", setting="image")
    try:
        return Image.open(io.BytesIO(loaded.content)).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidSettingError(
            f"image cannot be read by Pillow: {type(error).__name__}", setting="image"
        ) from None
