"""Server-sent events, decoded from bytes.

Follows the WHATWG rules ("Server-sent events", 9.2.6) with two deliberate differences: the
last event is handed out even when the blank line after it is missing, and an event without
data is handed out when it has a name. Works on bytes, so that characters split over packets
and line separators inside JSON strings (U+2028, U+2029, U+0085) need no care.
"""

from __future__ import annotations

from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"


class SSEEvent(NamedTuple):
    """One event: its data lines joined with a line feed, and its name, ``""`` if it has none."""

    data: bytes
    name: str = ""


class EventTooLargeError(ValueError):
    """An event is larger than the limit.

    Attributes:
        events: The events of the same packet that were complete before it.
    """

    def __init__(self, limit: int, events: list[SSEEvent]) -> None:
        super().__init__(f"an event of the stream exceeds {limit} bytes")
        self.events = events


class SSEDecoder:
    """Incremental decoder: feed packets, take events.

    Every byte is copied a constant number of times, whatever the packets look like, and no
    more than ``max_event_bytes`` (plus one packet) is ever held.

    Args:
        max_event_bytes: Largest event, names and line ends included.
    """

    __slots__ = ("_data", "_first", "_held", "_limit", "_name", "_size", "_skip_lf", "_tail")

    def __init__(self, max_event_bytes: int = 4 * 1024 * 1024) -> None:
        self._limit = max_event_bytes
        self._tail: list[bytes] = []  # packets since the last line end
        self._held = 0  # their size
        self._data: list[bytes] = []  # data lines of the event being read
        self._size = 0  # their size
        self._name = ""
        self._skip_lf = False  # the last packet ended in CR: a LF belongs to it
        self._first = True

    def feed(self, packet: bytes) -> list[SSEEvent]:
        """Return the events that *packet* completes.

        Args:
            packet: The next bytes, cut anywhere.

        Raises:
            EventTooLargeError: An event exceeds the limit.
        """
        if self._skip_lf and packet:
            self._skip_lf = False
            if packet[0] == 10:
                packet = packet[1:]
        if not packet:
            return []
        end = max(packet.rfind(b"\n"), packet.rfind(b"\r")) + 1
        if not end:
            self._hold(packet, [])
            return []
        rest = packet[end:]
        self._skip_lf = packet[end - 1] == 13 and not rest
        crlf = end > 1 and packet[end - 1] == 10 and packet[end - 2] == 13
        block = packet[: end - 2 if crlf else end - 1]
        if self._tail:
            self._tail.append(block)
            block = b"".join(self._tail)
            self._tail.clear()
            self._held = 0
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events = self._lines(block.split(b"\n"))
        if rest:
            self._hold(rest, events)
        return events

    def flush(self) -> list[SSEEvent]:
        """Return what the end of the body completes: a last event without its blank line."""
        tail = b"".join(self._tail)
        self._tail.clear()
        self._held = 0
        return self._lines([tail, b""] if tail else [b""])

    def _hold(self, packet: bytes, events: list[SSEEvent]) -> None:
        self._held += len(packet)
        if self._held + self._size > self._limit:
            raise EventTooLargeError(self._limit, events)
        self._tail.append(packet)

    def _lines(self, lines: list[bytes]) -> list[SSEEvent]:
        if self._first and lines:
            self._first = False
            if lines[0].startswith(_BOM):
                lines[0] = lines[0][3:]
        events: list[SSEEvent] = []
        data = self._data
        for line in lines:
            if not line:
                if data:
                    payload = data[0] if len(data) == 1 else b"\n".join(data)
                    events.append(SSEEvent(payload, self._name))
                    data.clear()
                    self._size = 0
                elif self._name:
                    events.append(SSEEvent(b"", self._name))
                self._name = ""
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._size += len(line)
                if self._size > self._limit:
                    raise EventTooLargeError(self._limit, events)
                data.append(value)
            elif line.startswith(b"event:"):
                self._name = line[6:].strip().decode("utf-8", "replace")
            elif line == b"data":
                data.append(b"")
        return events
