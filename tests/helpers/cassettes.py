"""Record real exchanges with vcrpy and replay them without a network.

A cassette is named after its scenario. Hosts and ports are replaced, so that a replay needs
neither the server nor its port; secrets and volatile headers are removed before anything is
written. Exchanges are matched by method, path and JSON body.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import vcr

from tests.helpers.servers import ROOT

CASSETTES = ROOT / "tests" / "cassettes"

#: Where a replayed client believes to be. Nothing may ever be sent there.
REPLAY_URL = "http://replay.invalid"

SECRET_HEADERS = ("authorization", "proxy-authorization", "x-hf-bill-to", "cookie", "set-cookie")
#: Say when, where and how it was recorded, not what was answered.
VOLATILE = ("date", "via", "age", "cf-ray", "x-amz-cf-id", "x-amz-cf-pop", "nel", "report-to")
#: What a secret looks like in a body, a header or a URL.
SECRET = re.compile(r"hf_[A-Za-z0-9]{20,}|Bearer\s+\S{8,}|eyJ[\w-]{20,}\.[\w-]+", re.IGNORECASE)


def cassette(name: str, *, folder: Path = CASSETTES, record: bool = False) -> Any:
    """Return a context manager that records or replays the cassette *name*.

    Args:
        name: Scenario, maybe with a folder: ``"llama/chat"``.
        folder: Where cassettes are.
        record: Write it anew; otherwise an exchange that is not on it is an error.
    """
    path = folder / f"{name}.yaml"
    if record:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    recorder = vcr.VCR(
        record_mode=vcr.record_mode.RecordMode.ALL if record else vcr.record_mode.RecordMode.NONE,
        filter_headers=[*SECRET_HEADERS, "user-agent"],
        before_record_request=_clean_request,
        before_record_response=_clean_response,
        decode_compressed_response=True,
    )
    recorder.register_matcher("same call", _same_call)
    recorder.match_on = ("same call",)
    return recorder.use_cassette(str(path))


def secrets_in(text: str) -> list[str]:
    """Return what looks like a secret in *text*."""
    return SECRET.findall(text)


def _clean_request(request: Any) -> Any:
    parts = urlsplit(request.uri)
    query = f"?{parts.query}" if parts.query else ""
    request.uri = f"{REPLAY_URL}{parts.path}{query}"
    request.headers = {
        name: value
        for name, value in request.headers.items()
        if name.lower() not in {"host", "content-length", "connection"}
    }
    return request


def _clean_response(response: dict[str, Any]) -> dict[str, Any]:
    response["headers"] = {
        name: values
        for name, values in response["headers"].items()
        if name.lower() not in {*SECRET_HEADERS, *VOLATILE}
    }
    return response


def _same_call(one: Any, other: Any) -> None:
    assert one.method == other.method
    assert urlsplit(one.uri).path == urlsplit(other.uri).path
    assert _body(one) == _body(other)


def _body(request: Any) -> Any:
    try:
        return json.loads(request.body or b"null")
    except ValueError:
        return request.body
