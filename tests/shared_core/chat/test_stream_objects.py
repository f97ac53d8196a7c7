"""The stream objects over bytes that are already here: interrupts, other threads, odd ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.response import Answered
from shared_core.chat.stream import AsyncChatStream, ChatStream
from shared_core.chat.stream_state import StreamState
from shared_core.errors import (
    APIResponseValidationError,
    ConnectionLostError,
    ResponseTooLargeError,
    StreamEventError,
    StreamInterruptedError,
)
from shared_core.wire.messages import Headers


def text(content: str, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


class Body:
    """A wire stream of given packets; an exception among them is raised in its place."""

    status = 200
    headers = Headers()
    url = "http://127.0.0.1/v1/chat/completions"

    def __init__(self, *packets: Any) -> None:
        self.packets = packets
        self.log: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        for packet in self.packets:
            if isinstance(packet, BaseException):
                raise packet
            yield packet

    def keep_alive(self) -> None:
        self.log.append("keep alive")

    def drain(self) -> None:
        self.log.append("drain")

    def close(self) -> None:
        self.log.append("close")


class AsyncBody(Body):
    """The same for an event loop."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for packet in self:
            yield packet

    async def drain(self) -> None:  # type: ignore[override]
        self.log.append("drain")

    async def aclose(self) -> None:
        self.log.append("close")


def state() -> StreamState:
    answered = Answered()
    return StreamState(answered, ChatStreamDecoder(answered))


class Gone(Exception):
    """Something that is not ours, raised while reading."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, Gone])
def test_an_interrupt_releases_and_passes(kind: type[BaseException]) -> None:
    body = Body(text("a"), kind(), text("b"))
    stream = ChatStream(body, state())
    assert next(stream).text == "a"
    with pytest.raises(kind):
        next(stream)
    assert body.log[-1] == "close"
    assert list(stream) == []
    assert stream.partial.text == "a"


def test_an_async_interrupt_releases_and_passes() -> None:
    async def main() -> None:
        for kind in (asyncio.CancelledError, Gone):
            body = AsyncBody(text("a"), kind(), text("b"))
            stream = AsyncChatStream(body, state())
            assert (await anext(stream)).text == "a"
            with pytest.raises(kind):
                await anext(stream)
            assert body.log[-1] == "close"
            assert [chunk async for chunk in stream] == []
            await stream.aclose()
            assert body.log.count("close") == 1

    asyncio.run(main())


def test_the_timeout_restarts_for_events_that_carry_something() -> None:
    ping = b": ping\n\n"
    body = Body(ping, text("a"), ping, text(""), text("b"), text("", "stop"), b"data: [DONE]\n\n")
    assert ChatStream(body, state()).result().text == "ab"
    assert body.log == ["keep alive"] * 4 + ["drain", "close"]


def test_a_failed_stream_is_closed_without_draining() -> None:
    body = Body(text("a"), b'data: {"error": "x"}\n\n', text("b"))
    with pytest.raises(StreamEventError):
        ChatStream(body, state()).result()
    assert "drain" not in body.log and body.log[-1] == "close"


def test_draining_may_fail() -> None:
    class Stubborn(Body):
        def drain(self) -> None:
            raise ConnectionLostError("gone")

    body = Stubborn(text("a", "stop"))
    assert ChatStream(body, state()).result().text == "a"
    assert body.log[-1] == "close"


def test_a_connection_lost_after_a_reported_error_keeps_the_report() -> None:
    body = Body(text("a"), b'data: {"error": "out of memory"}', ConnectionLostError("reset"))
    with pytest.raises(StreamEventError, match="out of memory"):
        ChatStream(body, state()).result()


def test_a_connection_lost_says_why_and_keeps_what_came() -> None:
    body = Body(text("a"), ConnectionLostError("the server reset it"))
    stream = ChatStream(body, state())
    with pytest.raises(StreamInterruptedError, match="the server reset it") as caught:
        stream.result()
    assert caught.value.partial is not None and caught.value.partial.text == "a"


def test_other_errors_of_the_wire_pass_as_they_are() -> None:
    error = ResponseTooLargeError("too much")
    stream = ChatStream(Body(text("a"), error), state())
    with pytest.raises(APIResponseValidationError) as caught:
        stream.result()
    assert caught.value is error
    assert stream.partial.text == "a"


def test_closing_between_chunks_hands_out_nothing_more() -> None:
    body = Body(text("a") + text("b"), text("c", "stop"))
    stream = ChatStream(body, state())
    assert next(stream).text == "a"
    stream.close()
    assert list(stream) == []
    assert "closed" in repr(stream)
    with pytest.raises(StreamInterruptedError, match="closed"):
        stream.result()


def test_closing_after_the_end_changes_nothing() -> None:
    with ChatStream(Body(text("a", "stop")), state()) as stream:
        assert "".join(stream.text_deltas()) == "a"
    assert stream.result().text == "a"


def test_closing_while_the_last_chunks_wait() -> None:
    body = Body(text("a") + text("b", "stop") + b"data: [DONE]\n\n")
    stream = ChatStream(body, state())
    next(stream)
    stream.close()
    assert body.log[-1] == "close"
    assert stream.result().text == "ab"  # everything had arrived


def test_a_stream_can_be_left_and_taken_up_again() -> None:
    stream = ChatStream(Body(text("a"), text("b"), text("c", "stop")), state())
    for chunk in stream:
        assert chunk.text == "a"
        break
    assert stream.partial.text == "a"
    assert [chunk.text for chunk in stream] == ["b", "c"]
    assert stream.result().text == "abc"
