"""One address for chat and embeddings, as the router has: passes requests on to llama.cpp.

``/v1/chat/completions`` and ``/v1/responses`` go to the chat server, ``/v1/embeddings`` to the
embedding server.
Answers are kept short, since the taught model goes on for ever when asked what it was not
taught. Everything else is what the real servers say.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

MOST_TOKENS = 48


@contextmanager
def gateway(chat_url: str, embed_url: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve on a free port; gives the URL and the list of request bodies seen."""
    seen: list[dict[str, Any]] = []
    routes = {"/v1/chat/completions": chat_url, "/v1/embeddings": embed_url}
    routes["/v1/responses"] = chat_url

    class Handler(_Handler):
        targets = routes
        bodies = seen

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    targets: dict[str, str]
    bodies: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        target = self.targets.get(self.path)
        if target is None:
            self.send_error(404, f"no such path: {self.path}")
            return
        limit = {"/v1/chat/completions": "max_tokens", "/v1/responses": "max_output_tokens"}
        if name := limit.get(self.path):
            body[name] = min(body.get(name) or MOST_TOKENS, MOST_TOKENS)
        connection = http.client.HTTPConnection(urlsplit(target).netloc, timeout=60)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", self.path, json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("X-Inference-Provider", "llama.cpp")
        self.send_header("X-Request-Id", f"request-{len(self.bodies)}")
        self.end_headers()  # HTTP/1.0: the end of the connection ends the body
        while piece := answer.read1(65536):
            self.wfile.write(piece)
        connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
