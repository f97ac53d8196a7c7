"""Typed results of tasks about images and sound, and how each is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared_core.media.output import Media
from shared_core.tasks import read

Raw = Mapping[str, Any]


def media(value: Any, /) -> Media:
    """Take a file that a codec has found."""
    return read.file(value)


# --- images -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in an image, in pixels from its left upper corner.

    Attributes:
        xmin: Left edge.
        ymin: Upper edge.
        xmax: Right edge.
        ymax: Lower edge.
    """

    xmin: float
    ymin: float
    xmax: float
    ymax: float


@dataclass(frozen=True, slots=True)
class Detection:
    """An object in an image. :func:`shared_core.media.draw.draw_boxes` draws it.

    Attributes:
        label: What it is.
        score: Probability from 0 to 1.
        box: Where it is.
        raw: What the server sent.
    """

    label: str
    score: float
    box: Box
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


def detections(value: Any, /) -> list[Detection]:
    """Read ``[{"label", "score", "box": {"xmin", "ymin", "xmax", "ymax"}}]``."""
    return read.items(value, _detection)


def _detection(value: Any, where: str) -> Detection:
    raw = read.mapping(value, where)
    return Detection(
        label=read.get(raw, "label", read.text, where),
        score=read.get(raw, "score", read.number, where),
        box=read.get(raw, "box", _box, where),
        raw=raw,
    )


def _box(value: Any, where: str) -> Box:
    raw = read.mapping(value, where)
    xmin, ymin, xmax, ymax = (
        read.get(raw, edge, read.number, where) for edge in ("xmin", "ymin", "xmax", "ymax")
    )
    return Box(xmin, ymin, xmax, ymax)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an image. :func:`shared_core.media.draw.draw_masks` draws it.

    Attributes:
        label: What it is.
        score: Probability from 0 to 1; None for semantic segmentation.
        mask: A grey image of the size of the whole, white where the part is.
        raw: What the server sent, without the mask.
    """

    label: str
    score: float | None
    mask: Media
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


def segments(value: Any, /) -> list[Segment]:
    """Read ``[{"label", "score"?, "mask": <base64 PNG>}]``."""
    return read.items(value, _segment)


def _segment(value: Any, where: str) -> Segment:
    raw = read.mapping(value, where)
    return Segment(
        label=read.get(raw, "label", read.text, where),
        score=read.maybe(raw, "score", read.number, where),
        mask=read.encoded_file(raw.get("mask"), f"{where}.mask"),
        raw={name: item for name, item in raw.items() if name != "mask"},
    )


@dataclass(frozen=True, slots=True)
class Depth:
    """How far each pixel of an image is.

    Attributes:
        image: The depths as a grey image, if the server made one.
        values: The depths as the server gave them, usually rows of numbers, or None.
        raw: What the server sent, without the image.
        endpoint: Name of the endpoint that answered, if the client has failover.
    """

    image: Media | None
    values: Any = field(default=None, repr=False)
    raw: Raw = field(default_factory=dict, repr=False, compare=False)
    endpoint: str | None = field(default=None, repr=False, compare=False)


def depth(value: Any, /) -> Depth:
    """Read ``{"predicted_depth"?, "depth": <image>}``, or one image."""
    if isinstance(value, Media):
        return Depth(value)
    raw = read.mapping(value)
    picture, values = raw.get("depth"), raw.get("predicted_depth")
    if picture is None and values is None:
        raise read.Mismatch("the answer has neither depth nor predicted_depth")
    if picture is not None:
        picture = read.encoded_file(picture, "depth")
    return Depth(picture, values, {name: raw[name] for name in raw if name != "depth"})


# --- audio ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpokenChunk:
    """A piece of a transcription.

    Attributes:
        text: What was said.
        start: Seconds from the beginning, or None.
        end: Seconds from the beginning; None for a piece that is cut at the end.
    """

    text: str
    start: float | None
    end: float | None


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was said.

    Attributes:
        text: The whole text.
        chunks: Its pieces with times, if they were asked for.
        raw: What the server sent.
        endpoint: Name of the endpoint that answered, if the client has failover.
    """

    text: str
    chunks: list[SpokenChunk]
    raw: Raw = field(default_factory=dict, repr=False, compare=False)
    endpoint: str | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return self.text


def transcription(value: Any, /) -> Transcription:
    """Read ``{"text", "chunks"?: [{"text", "timestamp": [start, end]}]}``."""
    raw = read.mapping(value)
    chunks = read.maybe(raw, "chunks", lambda found, where: read.items(found, _spoken, where))
    return Transcription(read.get(raw, "text", read.text), chunks or [], raw)


def _spoken(value: Any, where: str) -> SpokenChunk:
    raw = read.mapping(value, where)
    times = read.get(raw, "timestamp", lambda found, at: read.items(found, _time, at), where)
    if len(times) != 2:
        raise read.wrong(f"{where}.timestamp", "a start and an end", raw["timestamp"])
    return SpokenChunk(read.get(raw, "text", read.text, where), times[0], times[1])


def _time(value: Any, where: str) -> float | None:
    return None if value is None else read.number(value, where)


@dataclass(frozen=True, slots=True)
class Sound:
    """One of the sounds that a recording was separated into or turned into.

    Attributes:
        label: Name of the source, e.g. ``"label_0"``.
        audio: The sound.
        raw: What the server sent, without the data.
    """

    label: str
    audio: Media
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


def sounds(value: Any, /) -> list[Sound]:
    """Read ``[{"label", "blob", "content-type"}]``, or one file."""
    if isinstance(value, Media):
        return [Sound("audio", value)]
    return read.items(value, _sound)


def _sound(value: Any, where: str) -> Sound:
    raw = read.mapping(value, where)
    kind = read.maybe(raw, "content-type", read.text, where)
    audio = read.encoded_file(raw.get("blob"), f"{where}.blob", kind)
    rest = {name: item for name, item in raw.items() if name != "blob"}
    return Sound(read.get(raw, "label", read.text, where), audio, rest)
