"""llama.cpp closes the connection after a stream and says ``Keep-Alive`` all the same."""

from __future__ import annotations

import http.client
import json
import select
from urllib.parse import urlsplit

from tests.helpers.fault_server import FaultServer, json_reply, sse
from tests.shared_core.resilience.helpers import event
from tests.shared_core.wire.conftest import Caller

CHAT = {
    "model": "taught",
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 5,
}
ANNOUNCED = {"server": "llama.cpp", "keep-alive": "timeout=5, max=100"}


def test_no_connection_is_kept_after_a_stream_of_llamacpp(
    caller: Caller, server: FaultServer
) -> None:
    server.on("/stream", sse(event("a", "stop"), headers=ANNOUNCED))
    server.on("/x", json_reply("ok", headers=ANNOUNCED))
    for _ in range(3):
        caller.send(server.url + "/x")
    assert server.accepted == 1
    caller.stream(server.url + "/stream")
    caller.send(server.url + "/x")
    assert server.accepted == 2


def test_streams_of_other_servers_keep_it(caller: Caller, server: FaultServer) -> None:
    server.on("/stream", sse(event("a", "stop"), headers={"server": "uvicorn"}))
    for _ in range(3):
        caller.stream(server.url + "/stream")
    assert server.accepted == 1


def test_the_real_server_closes_after_a_stream(llama_chat_url: str) -> None:
    """If this fails, a new version keeps the connection, and ours may be kept as well."""
    connection = http.client.HTTPConnection(urlsplit(llama_chat_url).netloc, timeout=30)
    body = json.dumps({**CHAT, "stream": True})
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    sock = connection.sock
    answer = connection.getresponse()
    assert (answer.headers["Server"], answer.headers["Connection"]) == ("llama.cpp", None)
    assert b"[DONE]" in answer.read()
    assert select.select([sock], [], [], 30)[0]
    assert sock.recv(1) == b""
    connection.close()


def test_calls_right_after_streams_of_the_real_server(caller: Caller, llama_chat_url: str) -> None:
    url = f"{llama_chat_url}/v1/chat/completions"
    for _ in range(20):
        caller.stream(url, json={**CHAT, "stream": True}, timeout=60.0)
        assert caller.send(url, json=CHAT, timeout=60.0).status == 200
