"""Reads the recorded exchanges that lie next to the repository, if they do.

YAML of VCR.py. Some files hold Python tags, so a SafeLoader subclass turns every such tag
into plain data: nothing of a recording is ever executed.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "recordings"
ABSENT = "recordings: the folder ../shared/recordings is not here"


# The C parser where PyYAML was built with it: the files are large.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _PlainLoader(_Safe):
    """Knows no Python object; tags that ask for one become data."""


def _as_data(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _as_data)


@dataclass(frozen=True)
class Exchange:
    name: str
    method: str
    url: str
    sent: Any  # JSON value, or None
    sent_headers: dict[str, str]
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_chat(self) -> bool:
        return self.url.endswith("/chat/completions")

    @property
    def is_file(self) -> bool:
        return self.headers.get("content-type", "").startswith(("image/", "audio/", "video/"))

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")


def _headers(message: dict[str, Any]) -> dict[str, str]:
    return {
        name.lower(): ", ".join(values) if isinstance(values, list) else values
        for name, values in message["headers"].items()
    }


def _bytes(message: dict[str, Any]) -> bytes:
    parsed = message.get("parsed_body")
    if parsed is not None:
        return json.dumps(parsed, ensure_ascii=False).encode()
    body = message.get("body")
    text = body.get("string", b"") if isinstance(body, dict) else body
    return text.encode() if isinstance(text, str) else bytes(text or b"")


def _sent(request: dict[str, Any]) -> Any:
    if request.get("parsed_body") is not None:
        return request["parsed_body"]
    body = request.get("body")
    if not isinstance(body, str | bytes) or not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


@functools.cache
def exchanges() -> tuple[Exchange, ...]:
    """Return all recorded exchanges; none where the folder is missing."""
    found = []
    for path in sorted(FOLDER.rglob("*.yaml")):
        recorded = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)
        for number, interaction in enumerate(recorded["interactions"]):
            request, response = interaction["request"], interaction["response"]
            status = response["status"]
            found.append(
                Exchange(
                    name=f"{path.parent.name}/{path.stem}#{number}",
                    method=request["method"],
                    url=request["uri"],
                    sent=_sent(request),
                    sent_headers=_headers(request),
                    status=status["code"] if isinstance(status, dict) else status,
                    headers=_headers(response),
                    body=_bytes(response),
                )
            )
    return tuple(found)
