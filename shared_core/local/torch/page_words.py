"""The words of a page with their boxes: given, or read by Tesseract."""

from __future__ import annotations

import importlib
from typing import Any

from shared_core.local.failures import missing_extra

INSTALL_READER = "pip install pytesseract"
_WHOLE = 1000
"""Boxes are in thousandths of the page, as models of the kind of LayoutLM take them."""

Words = tuple[list[str], list[list[int]]]
"""The words, and for each the left, upper, right and lower edge of its box."""


def given(value: Any) -> Words:
    """Return words and boxes that stand in a request as ``[[word, [x0, y0, x1, y1]], ...]``.

    Raises:
        ValueError: They do not.
    """
    if not isinstance(value, list) or not all(map(_is_word, value)):
        raise ValueError(
            "word_boxes must be a list of [word, [left, top, right, bottom]], in whole "
            f"thousandths of the page from 0 to {_WHOLE}"
        )
    return [word for word, _ in value], [box for _, box in value]


def _is_word(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
        return False
    box = value[1]
    return isinstance(box, list) and len(box) == 4 and all(_is_edge(edge) for edge in box)


def _is_edge(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _WHOLE


def read_page(image: Any, language: str | None) -> Words:
    """Return the words that Tesseract finds on a page.

    Args:
        image: The page, an image of Pillow.
        language: Tesseract's name of the language, e.g. ``"eng"``, which is its default.

    Raises:
        ImportError: pytesseract or the program Tesseract is not installed; names the command.
        ValueError: Tesseract cannot do it, e.g. for want of the language.
    """
    try:
        tesseract = importlib.import_module("pytesseract")
    except ImportError as exc:
        raise missing_extra(exc, INSTALL_READER) from None
    try:
        found = tesseract.image_to_data(image, lang=language, output_type="dict")
    except tesseract.TesseractNotFoundError:
        raise ImportError(
            "Local mode reads pages by the program tesseract, which is not installed. Install it, "
            "e.g. with: apt install tesseract-ocr; or pass word_boxes=.",
            name="tesseract",
        ) from None
    except tesseract.TesseractError as error:
        raise ValueError(f"Tesseract cannot read the page: {error.message}") from None
    words, boxes = [], []
    for at, word in enumerate(found["text"]):
        if word.strip():
            left, top = found["left"][at], found["top"][at]
            edges = (left, top, left + found["width"][at], top + found["height"][at])
            sizes = (image.width, image.height) * 2
            words.append(word)
            boxes.append([_WHOLE * edge // size for edge, size in zip(edges, sizes, strict=True)])
    return words, boxes
