"""Files that come back: saved, opened, drawn into."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared_core import Box, Detection, Media, Segment, draw_boxes, draw_masks
from shared_core.errors import ConfigurationError, InvalidSettingError, ModelOutputError
from shared_core.media.encode import png

WHITE = np.full((20, 30, 3), 255, np.uint8)


def test_save_adds_the_extension_only_where_there_is_none(tmp_path: Path) -> None:
    media = Media(b"abc", "image/jpeg")
    assert media.save(tmp_path / "a") == tmp_path / "a.jpg"
    assert media.save(str(tmp_path / "b.img")) == tmp_path / "b.img"
    assert Media(b"x").save(tmp_path / "c").name == "c.bin"
    assert (tmp_path / "a.jpg").read_bytes() == b"abc"


def test_repr_shows_no_content() -> None:
    assert repr(Media(b"secret", "image/png")) == "Media('image/png', 6 bytes)"


def test_to_pil() -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    assert Media(png(WHITE), "image/png").to_pil().size == (30, 20)
    with pytest.raises(ModelOutputError, match="not an image"):
        Media(b"\x89PNG\r\n\x1a\nbroken", "image/png").to_pil()


def test_pillow_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match="Pillow"):
        Media(png(WHITE)).to_pil()
    with pytest.raises(ConfigurationError, match="Pillow"):
        draw_boxes(png(WHITE), [])


def test_boxes_are_drawn_where_they_are() -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    found = [Detection("cat", 0.9, Box(5, 4, 20, 15)), Detection("dog", 0.8, Box(28, 18, 22, 12))]
    drawn = np.asarray(draw_boxes(WHITE, found, width=1, labels=False))
    changed = np.argwhere((drawn != 255).any(axis=2))
    assert drawn.shape == WHITE.shape
    assert (drawn[4, 5:21] != 255).any(axis=1).all()  # the upper edge of the first
    assert (drawn[4:16, 5] != 255).any(axis=1).all()
    assert changed.min(axis=0).tolist() == [4, 5]
    assert (drawn[4, 5] != drawn[12, 22]).any()  # another label, another colour
    labelled = np.asarray(draw_boxes(WHITE, found[:1]))
    assert (labelled != np.asarray(draw_boxes(WHITE, found[:1], labels=False))).any()


def test_masks_are_painted_where_they_are_white() -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    mask = np.zeros((20, 30), np.uint8)
    mask[:10] = 255
    found = [Segment("sky", 0.9, Media(png(mask), "image/png"))]
    drawn = np.asarray(draw_masks(png(WHITE), found, opacity=1))
    assert (drawn[:10] != 255).any(axis=2).all()
    assert (drawn[10:] == 255).all()
    half = np.asarray(draw_masks(png(WHITE), found))
    assert half[0, 0].sum() > drawn[0, 0].sum()
    small = [Segment("sky", None, Media(png(mask[::2, ::2]), "image/png"))]
    assert np.asarray(draw_masks(WHITE, small)).shape == WHITE.shape


def test_what_cannot_be_drawn() -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    with pytest.raises(InvalidSettingError, match="opacity"):
        draw_masks(WHITE, [], opacity=2)
    with pytest.raises(InvalidSettingError, match="address"):
        draw_boxes("https://a.example/x.png", [])
    with pytest.raises(InvalidSettingError, match="Pillow"):
        draw_boxes(io.BytesIO(b"\x89PNG\r\n\x1a\n"), [])
