"""CPU per streamed chunk: raw splitting and JSON, our decoder, our stream object.

Run: ``python -m benchmarks.stream_chunks [chunks] [repeats]``. No I/O: the bytes of a stream
are handed over in packets of one event, as a fast server sends them. The last column shows
that a long stream costs no more per chunk than a short one.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import pydantic_core

from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.response import Answered
from shared_core.chat.stream import ChatStream
from shared_core.chat.stream_state import StreamState
from shared_core.wire.messages import Headers


def packets(chunks: int) -> list[bytes]:
    head = {
        "id": "chatcmpl-91c2d0a8",
        "object": "chat.completion.chunk",
        "created": 1771000000,
        "model": "meta-llama/Llama-3.3-70B-Instruct",
        "system_fingerprint": "fp_1",
    }
    events = []
    for number in range(chunks):
        last = number == chunks - 1
        choice = {
            "index": 0,
            "delta": {} if last else {"content": f" word{number}"},
            "logprobs": None,
            "finish_reason": "stop" if last else None,
        }
        event = json.dumps({**head, "choices": [choice], "usage": None}, separators=(",", ":"))
        events.append(b"data: " + event.encode() + b"\n\n")
    return [*events, b"data: [DONE]\n\n"]


class Source:
    """A wire stream that is already here."""

    status = 200
    headers = Headers()
    url = ""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)

    def keep_alive(self) -> None: ...

    def drain(self) -> None: ...

    def close(self) -> None: ...


def raw(pieces: list[bytes]) -> None:
    text = []
    for piece in pieces:
        for event in piece.split(b"\n\n"):
            if event and event != b"data: [DONE]":
                choice = pydantic_core.from_json(event[6:])["choices"][0]
                text.append(choice["delta"].get("content"))


def decoder(pieces: list[bytes]) -> None:
    decode = ChatStreamDecoder()
    for piece in pieces:
        decode.feed(piece)
    decode.finish()
    decode.completion()


def stream(pieces: list[bytes]) -> None:
    answered = Answered()
    with ChatStream(Source(pieces), StreamState(answered, ChatStreamDecoder(answered))) as chunks:
        for _ in chunks:
            pass
        chunks.result()


def measure(work: Callable[[list[bytes]], None], pieces: list[bytes], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        gc.collect()
        begun = time.process_time()
        work(pieces)
        times.append((time.process_time() - begun) / len(pieces) * 1e6)
    return statistics.median(times)


def main() -> None:
    chunks = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    short, long = packets(chunks), packets(chunks * 10)
    base = measure(raw, short, repeats)
    print(f"{'':24}{'us/chunk':>10}{'above raw':>11}{'x10 chunks':>12}")
    for work in (raw, decoder, stream):
        cost = measure(work, short, repeats)
        again = measure(work, long, max(repeats // 5, 2))
        print(f"{work.__name__:24}{cost:10.2f}{cost - base:11.2f}{again:12.2f}")


if __name__ == "__main__":
    main()
