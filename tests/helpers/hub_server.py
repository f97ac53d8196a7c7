"""A Hub on loopback that serves model folders, as ``huggingface_hub`` asks for them.

    with HubServer({"org/tiny": folder}) as hub:
        ...                                   # HF_ENDPOINT=hub.url
        assert hub.paths[0] == "GET /api/models/org/tiny"

Every model has the revisions ``main`` and :data:`COMMIT`. ``hub.token`` asks for that token,
``hub.gated`` and ``hub.broken`` hold models that are gated, or for which the Hub answers 500.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Refused(Exception):
    def __init__(self, status: int, code: str = "") -> None:
        self.status, self.code = status, code


class HubServer:
    """Serves *models*, Hub id -> folder."""

    def __init__(self, models: Mapping[str, Path]) -> None:
        self.models = dict(models)
        self.token: str | None = None
        self.gated: set[str] = set()
        self.broken: set[str] = set()
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._answer(self)

            do_HEAD = do_GET

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def files(self) -> set[str]:
        """Return the files that were downloaded."""
        found = (path.partition("/resolve/")[2] for path in self.paths if path.startswith("GET"))
        return {path.partition("/")[2] for path in found if path}

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        self.paths.append(f"{request.command} {path}")
        self.authorizations.append(request.headers.get("Authorization"))
        try:
            body, headers = self._found(path, request.headers.get("Authorization"))
            status = 200
        except _Refused as refused:
            body, status = b'{"error": "refused"}', refused.status
            headers = {"X-Error-Code": refused.code} if refused.code else {}
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def _found(self, path: str, authorization: str | None) -> tuple[bytes, dict[str, str]]:
        in_api = path.startswith("/api/models/")
        owner, name, *rest = path.removeprefix("/api/models/").strip("/").split("/")
        model = f"{owner}/{name}"
        if self.token is not None and authorization != f"Bearer {self.token}":
            raise _Refused(401, "RepoNotFound")
        if model in self.broken:
            raise _Refused(500)
        if model not in self.models:
            raise _Refused(404, "RepoNotFound")
        revision = rest[1] if len(rest) > 1 else "main"
        if revision not in ("main", COMMIT):
            raise _Refused(404, "RevisionNotFound")
        folder = self.models[model]
        if in_api:
            if rest[:1] == ["tree"]:
                return _json(_tree(folder))
            return _json({"id": model, "sha": COMMIT, "private": False, "siblings": []})
        if model in self.gated:
            raise _Refused(403, "GatedRepo")
        file = folder / "/".join(rest[2:])
        if not file.is_file():
            raise _Refused(404, "EntryNotFound")
        body = file.read_bytes()
        return body, {"ETag": f'"{_oid(body)}"', "X-Repo-Commit": COMMIT}


def _tree(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "type": "file",
            "path": file.relative_to(folder).as_posix(),
            "size": file.stat().st_size,
            "oid": _oid(file.read_bytes()),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]


def _oid(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def _json(value: Any) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), {"Content-Type": "application/json"}
