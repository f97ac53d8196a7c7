"""Sound as numbers and as WAV files, with the standard library."""

from __future__ import annotations

import importlib
import io
import wave
from typing import TYPE_CHECKING, Any

import numpy as np

from shared_core.media import encode
from shared_core.media.output import Media

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
"""Samples per second of a recording. A false rate would make very many numbers of few."""


_LOUDEST = 2**15 - 1
"""The greatest number of 16 bits."""


def samples(content: bytes, rate: int) -> NDArray[np.float32]:
    """Return a recording as one channel.

    Args:
        content: A WAV file of whole numbers (8, 16, 24 or 32 bits); anything else that
            ``soundfile`` reads where that is installed. Channels are averaged.
        rate: Samples per second to return.

    Returns:
        Shape (samples,), each -1 to 1.

    Raises:
        ValueError: It cannot be decoded, or is empty; the text says what to do.
    """
    decoded, own = _decoded(content)
    if not LOWEST_RATE <= own <= HIGHEST_RATE:
        raise ValueError(f"the recording has {own} samples per second: that is no sound")
    if not decoded.size:
        raise ValueError("the recording is empty")
    return _resampled(decoded.mean(axis=1), own, rate).astype(np.float32)


def wav(sound: Any, rate: int) -> Media:
    """Return a recording as a WAV file of 16 bits.

    Args:
        sound: Shape (samples,) or (channels, samples); what is beyond -1 to 1 is clipped.
        rate: Samples per second.

    Raises:
        ValueError: It is empty, or holds what is no number.
    """
    if hasattr(sound, "detach"):  # of PyTorch, on whatever device
        sound = sound.detach().cpu().double()
    numbers = np.atleast_2d(np.asarray(sound, np.float64))
    if not numbers.size:
        raise ValueError("the model made no sound")
    if not np.isfinite(numbers).all():
        raise ValueError("the sound that the model made holds NaN or infinite numbers")
    whole = np.rint(np.clip(numbers.T, -1.0, 1.0) * _LOUDEST).astype(np.int16)
    return Media(encode.wav(whole, rate), "audio/wav")


def _decoded(content: bytes) -> tuple[NDArray[np.float64], int]:
    """Return shape (samples, channels), and the samples per second."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = file.readframes(file.getnframes())
        if width not in (1, 2, 3, 4):
            raise wave.Error(f"{width} bytes a sample")
    except (wave.Error, EOFError, RuntimeError) as error:  # the last for a size past the end
        return _by_soundfile(content, error)
    whole = len(raw) // (width * channels) * width * channels  # a file that was cut
    return _numbers(raw[:whole], width).reshape(-1, channels), rate


def _numbers(raw: bytes, width: int) -> NDArray[np.float64]:
    if width == 1:
        return np.frombuffer(raw, np.uint8) / 128.0 - 1.0
    if width == 3:  # each to the upper bytes of a 32-bit number
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0] / 2.0**31
    return np.frombuffer(raw, f"<i{width}") / 2.0 ** (8 * width - 1)


def _by_soundfile(content: bytes, reason: Exception) -> tuple[NDArray[np.float64], int]:
    try:
        soundfile = importlib.import_module("soundfile")
    except (ImportError, OSError):  # without the C library it is an OSError
        told = str(reason) or "it ends too early"
        raise ValueError(
            f"the recording is no WAV file of whole numbers ({told}). Convert it, or "
            "read other formats too: pip install soundfile"
        ) from None
    try:
        decoded, rate = soundfile.read(io.BytesIO(content), dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise ValueError(f"the recording cannot be read by soundfile: {error}") from None
    return decoded, int(rate)


def _resampled(sound: NDArray[np.float64], own: int, rate: int) -> NDArray[np.float64]:
    """Return *sound* at another rate, without the frequencies that this rate cannot carry.

    Done in the spectrum: it is cut, or continued with zeros.
    """
    if own == rate:
        return sound
    count = max(1, round(len(sound) * rate / own))
    spectrum = np.fft.rfft(sound)
    kept = np.zeros(count // 2 + 1, complex)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    return np.fft.irfft(kept, count) * (count / len(sound))
