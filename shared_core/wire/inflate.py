"""Bounded decompression: a small body cannot become a large one before a limit is checked."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

ACCEPT_ENCODING = "gzip, deflate"
"""What is offered to servers; exactly what :class:`Inflater` understands."""

PIECE = 128 * 1024
"""Most bytes that one step of decompression gives, whatever the ratio."""

_GZIP = 31
_ZLIB = 15
_RAW = -15
_WINDOW_BITS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class DecompressionError(ValueError):
    """The body is not what its content-encoding says."""


class UnknownEncodingError(DecompressionError):
    """The content-encoding was not offered by us."""


class Inflater:
    """Undo one content-encoding, piece by piece.

    Args:
        encoding: ``"gzip"``, ``"x-gzip"`` or ``"deflate"`` (zlib or raw).
    """

    def __init__(self, encoding: str) -> None:
        self._bits = _WINDOW_BITS[encoding]
        self._decoder = zlib.decompressobj(self._bits)
        self._fresh = True
        self._begin = b""

    @property
    def complete(self) -> bool:
        """Whether the end of the compressed data was seen, or nothing came at all."""
        return (self._fresh and not self._begin) or self._decoder.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what *data* inflates to, at most :data:`PIECE` bytes at a time.

        Raises:
            DecompressionError: The data is broken.
        """
        if self._fresh and self._bits == _ZLIB:
            data = self._begin = self._begin + data
            if len(data) < 2:
                return
            if data[0] & 15 != 8 or (data[0] << 8 | data[1]) % 31:
                self._bits = _RAW  # without the zlib header, as some servers send it
                self._decoder = zlib.decompressobj(_RAW)
        while data:
            if self._decoder.eof:
                if self._bits != _GZIP or not data.strip(b"\0"):
                    return  # padding after the end
                self._decoder = zlib.decompressobj(self._bits)  # next gzip member
            self._fresh = False
            piece = b""
            try:
                piece = self._decoder.decompress(data, PIECE)
                problem = ""
            except zlib.error as exc:
                problem = str(exc)
            if problem:
                raise DecompressionError(problem)
            data = self._decoder.unconsumed_tail or self._decoder.unused_data
            if piece:
                yield piece
            elif data and not self._decoder.eof:
                raise DecompressionError("compressed data does not advance")


def inflater_for(content_encoding: str) -> Inflater | None:
    """Return what undoes a content-encoding header; None when there is nothing to undo.

    Raises:
        UnknownEncodingError: An encoding that was not offered, or several at once.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return None
    if len(names) > 1 or names[0] not in _WINDOW_BITS:
        raise UnknownEncodingError(f"content-encoding {', '.join(names)[:60]!r} was not asked for")
    return Inflater(names[0])
