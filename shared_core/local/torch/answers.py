"""Answers of models as JSON values and files."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

from shared_core.media.output import Media


def answer(value: Any) -> Any:
    """Return the answer of a model as a JSON value, or as one file.

    Args:
        value: JSON that may hold tensors, arrays and numbers of NumPy and PyTorch, images of
            Pillow and files; or one image or file.

    Raises:
        TypeError: There is something else in it.
    """
    found = _file(value)
    return plain(value) if found is None else found


def plain(value: Any) -> Any:
    """Return *value* with Python's numbers in place of others, and files as base64.

    Raises:
        TypeError: There is something in it that JSON has no form for.
    """
    if value is None or isinstance(value, str | int | float):  # bool is an int
        return value
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if (found := _file(value)) is not None:
        return base64.b64encode(found.content).decode("ascii")
    if hasattr(value, "tolist"):  # arrays, tensors, and their single numbers
        return value.tolist()
    raise TypeError(f"the answer has a {type(value).__name__}, for which JSON has no form")


def png(image: Any) -> Media:
    """Return an image of Pillow as a file."""
    written = io.BytesIO()
    image.save(written, "PNG")
    return Media(written.getvalue(), "image/png")


def _file(value: Any) -> Media | None:
    if isinstance(value, Media):
        return value
    # Of Pillow, which need not be installed.
    if hasattr(value, "getbands") and hasattr(value, "save"):
        return png(value)
    return None
