"""Everything that may stand for a file, and everything that may not."""

from __future__ import annotations

import base64
import io
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shared_core.errors import InvalidSettingError
from shared_core.media.encode import png
from shared_core.media.input import load
from shared_core.media.kinds import extension_of, guess

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
)
FLAC = b"fLaC\x00\x00\x00\x22"


@pytest.mark.parametrize("source", [PNG, bytearray(PNG), memoryview(PNG)])
def test_bytes(source: Any) -> None:
    assert load(source, "image", "image") == (PNG, "image/png", None)


def test_paths_and_open_files(tmp_path: Path) -> None:
    path = tmp_path / "sound.flac"
    path.write_bytes(FLAC)
    for source in (path, str(path)):
        assert load(source, "audio", "audio") == (FLAC, "audio/flac", None)
    with path.open("rb") as file:
        assert load(file, "audio", "audio").content == FLAC
        assert not file.closed
    assert load(io.BytesIO(b"??"), "file") == (b"??", None, None)


def test_the_name_tells_the_type_when_the_bytes_do_not(tmp_path: Path) -> None:
    path = tmp_path / "sound.WAV"
    path.write_bytes(b"nothing known")
    assert load(path, "audio", "audio").media_type == "audio/wav"
    with path.open("rb") as file:
        assert load(file, "audio", "audio").media_type == "audio/wav"


def test_data_urls() -> None:
    encoded = base64.b64encode(PNG).decode()
    assert load(f"data:image/png;base64,{encoded}", "image", "image") == (PNG, "image/png", None)
    assert load("data:text/plain,a%20b", "file") == (b"a b", "text/plain", None)
    assert load(f"data:;base64,{encoded}", "image", "image").media_type == "image/png"
    webm = load("data:audio/webm;codecs=opus;base64,AAAA", "audio", "audio")
    assert webm.media_type == "audio/webm;codecs=opus"


@pytest.mark.parametrize("address", ["https://a.example/cat.png?sig=1%2F2", "HTTP://a.example/x"])
def test_addresses_are_passed_on_as_they_stand(address: str) -> None:
    assert load(address, "image", "image") == (None, None, address)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"", "is empty"),
        ("data:image/png;base64,%%%", "cannot be read"),
        ("data:image/png", "cannot be read"),
        ("data:,", "is empty"),
        ("ftp://a.example/x", "neither http"),
        ("file:///etc/passwd", "neither http"),
        ("https://user:secret@a.example/x", "user name or password"),
        ("https://a.example/a b", "blank"),
        ("/does/not/exist", "cannot be read"),
        ("a\x00b", "cannot be read"),
        (17, "not int"),
        (None, "not NoneType"),
        (io.StringIO("text"), "gives str"),
        (FLAC, "holds audio/flac"),
    ],
)
def test_what_is_refused(source: Any, said: str) -> None:
    with pytest.raises(InvalidSettingError, match=said) as caught:
        load(source, "image", "image")
    assert caught.value.setting == "image"
    assert "secret" not in str(caught.value)


def test_a_closed_file_is_refused() -> None:
    file = io.BytesIO(PNG)
    file.close()
    with pytest.raises(InvalidSettingError, match="cannot be read"):
        load(file, "image", "image")


def test_an_image_is_no_sound() -> None:
    with pytest.raises(InvalidSettingError, match="holds image/png"):
        load(PNG, "audio", "audio")


# --- arrays -----------------------------------------------------------------------------


@given(
    arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9))
        | st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])),
    )
)
def test_pixels_survive_the_way_into_a_png(pixels: np.ndarray[Any, Any]) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    opened = image.open(io.BytesIO(png(pixels)))
    expected = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    assert np.array_equal(np.asarray(opened), expected)


def test_other_arrays_become_pixels() -> None:
    floats = load(np.array([[0.0, 0.5, 1.0]]), "image", "image")
    assert floats.content == png(np.array([[0, 128, 255]], dtype=np.uint8))
    booleans = load(np.array([[True, False]]), "image", "image")
    assert booleans.content == png(np.array([[255, 0]], dtype=np.uint8))
    strided = np.arange(64, dtype=np.uint8).reshape(8, 8)[::2, ::3]
    assert load(strided, "image", "image").content == png(strided.copy())


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4), np.int64),
        np.full((2, 2), np.nan),
        np.full((2, 2), 7.5),
    ],
)
def test_arrays_that_are_no_image(array: Any) -> None:
    with pytest.raises(InvalidSettingError):
        load(array, "image", "image")


@pytest.mark.parametrize("channels", [1, 2])
def test_samples_become_wav(channels: int) -> None:
    samples = np.linspace(-1, 1, 100 * channels)
    samples = samples if channels == 1 else samples.reshape(100, channels)
    loaded = load((samples, 16000), "audio", "audio")
    assert loaded.media_type == "audio/wav"
    with wave.open(io.BytesIO(loaded.content or b"")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (
            channels,
            16000,
            100,
        )
        found = np.frombuffer(file.readframes(100), "<i2")
    assert (found[0], found[-1]) == (-32767, 32767)


@pytest.mark.parametrize(
    "source",
    [
        (np.zeros(10), 0),
        (np.zeros(10), 16000.5),
        (np.zeros(10), True),
        (np.zeros((2, 2, 2)), 16000),
        (np.zeros(0), 16000),
        (np.zeros(10, np.int64), 16000),
        (np.full(3, np.inf), 16000),
        np.zeros(10),
    ],
)
def test_samples_that_are_no_sound(source: Any) -> None:
    with pytest.raises(InvalidSettingError):
        load(source, "audio", "audio")


def test_pil_images() -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for mode in ("RGB", "L", "RGBA", "CMYK", "P"):
        loaded = load(image.new(mode, (3, 2)), "image", "image")
        assert loaded.media_type == "image/png"
        assert image.open(io.BytesIO(loaded.content or b"")).size == (3, 2)
    with pytest.raises(InvalidSettingError, match="must be a file"):
        load(image.new("L", (1, 1)), "audio", "audio")


def test_other_objects_with_such_names_are_not_taken_for_images() -> None:
    class Array:
        __module__ = "numpyish"

    assert "numpy" in sys.modules
    with pytest.raises(InvalidSettingError, match="not Array"):
        load(Array(), "image", "image")


# --- types ------------------------------------------------------------------------------


@given(st.binary(max_size=64), st.text(max_size=12) | st.none())
def test_any_bytes_have_some_type_or_none(data: bytes, name: str | None) -> None:
    found = guess(data, name)
    assert found is None or "/" in found


def test_extensions() -> None:
    assert extension_of("image/jpeg") == ".jpg"
    assert extension_of("audio/webm;codecs=opus") == ".webm"
    assert extension_of("model/gltf-binary") == ".glb"
    assert extension_of("x/unheard-of") == ""
