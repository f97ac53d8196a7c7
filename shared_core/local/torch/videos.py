"""Videos, read by PyAV."""

from __future__ import annotations

import importlib
import io
from typing import Any

import numpy as np

from shared_core.local.failures import missing_extra

INSTALL_AV = "pip install av"
_NOTHING_ELSE = {"protocol_whitelist": "none"}
"""FFmpeg opens no file, address or socket that a video names: no protocol has this name."""


def av() -> Any:
    """Return PyAV.

    Raises:
        ImportError: It is not installed; names the command.
    """
    try:
        return importlib.import_module("av")
    except ImportError as exc:
        raise missing_extra(exc, INSTALL_AV) from None


def frames(content: bytes, count: int, every: int) -> list[Any]:
    """Return frames of a video as arrays of shape (height, width, 3), RGB.

    They are spread evenly over its first ``count * every`` frames, the first and the last of
    those among them, as the pipeline of transformers takes them.

    Args:
        content: A file in any format that PyAV reads. What is only a list of other files or
            addresses is none: nothing else is opened.
        count: How many frames.
        every: For each of them, how many frames of the video there are.

    Raises:
        ImportError: PyAV is not installed; names the command.
        ValueError: It cannot be read, or has too few frames.
    """
    library = av()
    if not all(type(number) is int and number > 0 for number in (count, every)):
        raise ValueError("num_frames and frame_sampling_rate must be whole numbers above 0")
    places = np.linspace(0, count * every - 1, count, dtype=np.int64).tolist()
    found: list[Any] = []
    seen = 0
    try:
        with library.open(io.BytesIO(content), options=_NOTHING_ELSE) as container:
            if not container.streams.video:
                raise ValueError("the file has sound, and no video")
            for frame in container.decode(video=0):
                if seen == places[len(found)]:
                    found.append(frame.to_ndarray(format="rgb24"))
                seen += 1
                if len(found) == count:
                    return found
    except library.error.FFmpegError as error:
        raise ValueError(
            f"the video cannot be read by PyAV ({len(content)} bytes): {type(error).__name__}"
        ) from None
    raise ValueError(
        f"the video has {seen} frames; num_frames={count} with frame_sampling_rate={every} needs "
        f"{places[-1] + 1}"
    )
