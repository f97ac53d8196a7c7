"""A quick HTTP server for the transport benchmark: one process, asyncio, no framework.

Paths: ``/small`` (0.9 KB of JSON at once), ``/slow`` (the same after 0.2 s), ``/burst``
(an event stream of 2,000 chunks in one go), ``/paced`` (50 events over one second). Prints its
port and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys

SMALL = b'{"choices":[{"message":{"content":"' + b"x" * 850 + b'"}}]}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"data: " + b"y" * 251 + b"\n\n"
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
BURST = 2000
PACED = 50


class Server(asyncio.Protocol):
    """Answers by path; requests have a content-length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, blank, body = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(body) < length:
            return
        self.buffer = body[length:]
        self.answer(head.split(b" ", 2)[1])

    def answer(self, path: bytes) -> None:
        loop = asyncio.get_running_loop()
        if path == b"/small":
            self.small()
        elif path == b"/slow":
            loop.call_later(0.2, self.small)
        elif path == b"/burst":
            self.transport.write(STREAM + CHUNK * BURST + b"0\r\n\r\n")
        else:
            self.transport.write(STREAM)
            self.pace(PACED)

    def small(self) -> None:
        self.transport.write(HEAD % (len(SMALL), SMALL))

    def pace(self, left: int) -> None:
        if self.transport.is_closing():
            return
        if left:
            self.transport.write(CHUNK)
            asyncio.get_running_loop().call_later(1 / PACED, self.pace, left - 1)
        else:
            self.transport.write(b"0\r\n\r\n")


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
