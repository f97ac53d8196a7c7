"""The event decoder: every legal form of server-sent events, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.wire.sse import EventTooLargeError, SSEDecoder, SSEEvent


def decode(body: bytes, cuts: list[int] | None = None, limit: int = 1 << 20) -> list[SSEEvent]:
    decoder = SSEDecoder(limit)
    events: list[SSEEvent] = []
    start = 0
    for cut in [*sorted(cuts or []), len(body)]:
        events += decoder.feed(body[start:cut])
        start = cut
    return events + decoder.flush()


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a \n\n", [b" a "]),
        (b"data: {\ndata: }\n\n", [b"{\n}"]),
        (b"data\ndata\n\n", [b"\n"]),
        (b": ping\n\ndata: a\n\n: ping\n\n", [b"a"]),
        (b"id: 1\nretry: 10\nfoo: x\nbar\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbf: hello\n\xef\xbb\xbfdata: no\n\ndata: a\n\n", [b"a"]),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"\n\n\n\n", []),
        (b"", []),
        ("data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(), None),
    ],
)
def test_forms(body: bytes, events: list[bytes] | None) -> None:
    expected = events if events is not None else [body[6:-2]]
    assert [event.data for event in decode(body)] == expected
    assert [event.data for event in decode(body, list(range(len(body))))] == expected


def test_names() -> None:
    body = b"event: error\ndata: x\n\nevent:done\n\ndata: y\n\n"
    assert decode(body) == [SSEEvent(b"x", "error"), SSEEvent(b"", "done"), SSEEvent(b"y", "")]


def test_cr_and_lf_in_different_packets_are_one_line_end() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"\ndata: b\r") == []
    assert decoder.feed(b"\n\r") == [SSEEvent(b"a\nb")]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: c\r\r") == [SSEEvent(b"c")]  # not held back for a LF


lines = st.binary(max_size=12).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"data: ", b"data:", b": ", b"id: ", b"event: ", b""]), lines, ends
        ),
        max_size=20,
    ),
    st.data(),
)
def test_any_cut_gives_the_same_events(
    parts: list[tuple[bytes, bytes, bytes]], data: st.DataObject
) -> None:
    body = b"".join(name + value + end for name, value, end in parts)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=10))
    assert decode(body, cuts) == decode(body)
    assert decode(body, list(range(len(body)))) == decode(body)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_endless_line_is_refused(size: int) -> None:
    decoder = SSEDecoder(max_event_bytes=5000)
    with pytest.raises(EventTooLargeError, match="5000 bytes"):
        for _ in range(6000):
            decoder.feed(b"x" * size)


def test_an_endless_event_of_many_lines_is_refused() -> None:
    decoder = SSEDecoder(max_event_bytes=5000)
    with pytest.raises(EventTooLargeError):
        for _ in range(1000):
            decoder.feed(b"data: 0123456789\n")


def test_a_large_event_in_one_packet_is_refused() -> None:
    with pytest.raises(EventTooLargeError):
        SSEDecoder(max_event_bytes=5000).feed(b"data: " + b"x" * 6000 + b"\n\n")


def test_the_limit_is_per_event() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    events = [event for _ in range(50) for event in decoder.feed(b"data: " + b"x" * 60 + b"\n\n")]
    assert len(events) == 50


def test_a_long_event_in_tiny_packets_is_linear() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    for _ in range(300_000):  # quadratic copying would move 45 GB here
        decoder.feed(b"x")
    (event,) = decoder.feed(b"\n\n")
    assert len(event.data) == 300_000
