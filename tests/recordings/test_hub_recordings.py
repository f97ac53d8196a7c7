"""Every recorded model page of the Hub is understood, and followed where it has moved."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared_core.client import RouterClient
from shared_core.hub import parsing
from shared_core.wire.messages import Headers, WireRequest, WireResponse
from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply, reply
from tests.recordings.exchanges import ABSENT, FOLDER, Exchange
from tests.recordings.kinds import of_kind

PAGES = of_kind("model page")
MOVED = of_kind("moved model page")
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)


def test_some_were_found() -> None:
    assert len(PAGES) > 10
    assert len(MOVED) >= 3


@pytest.mark.parametrize("recorded", PAGES, ids=[item.name for item in PAGES])
def test_model_page(recorded: Exchange) -> None:
    request = WireRequest(method="GET", url=recorded.url, operation="models.info")
    response = WireResponse(
        status=200, headers=Headers(recorded.headers), content=recorded.body, url=recorded.url
    )
    model = parsing.reader(request, parsing.read_hub_model)(response)
    page = json.loads(recorded.body)
    assert model.id == page["id"]
    assert model.raw == page
    mapping = page.get("inferenceProviderMapping") or {}
    names = list(mapping) if isinstance(mapping, dict) else [item["provider"] for item in mapping]
    assert [provider.name for provider in model.providers] == names
    assert all(provider.provider_id and provider.task for provider in model.providers)


@pytest.mark.parametrize("recorded", MOVED, ids=[item.name for item in MOVED])
def test_moved_model_page(recorded: Exchange) -> None:
    old, new = urlsplit(recorded.url).path, recorded.headers["location"]
    model = old.removeprefix("/api/models/")
    page: dict[str, Any] = {"id": new.removeprefix("/api/models/")}
    entry = {"status": "live", "providerId": "m", "task": "conversational"}
    full = {**page, "inferenceProviderMapping": {"groq": entry}}

    def at_new_place(request: Received) -> Reply:
        # The recorded redirect has no query, so the first page that is found has no mapping.
        return json_reply(full if "expand" in request.target else page)

    with FaultServer() as server:
        server.on(old, reply(recorded.status, recorded.body, {"location": new}))
        server.on(new, at_new_place)
        with RouterClient(api_key="hf_test_token", hub_url=server.url) as client:
            assert client.models.info(model).id == page["id"]
            assert [each.provider for each in client.providers.mapping(model)] == ["groq"]
        asked = "?expand[]=inferenceProviderMapping"
        targets = [item.target for item in server.requests]
        assert targets == [old, new, old + asked, new, new + asked]
        # The Hub is the same host before and after, so the token goes along.
        assert {item.headers["authorization"] for item in server.requests} == {
            "Bearer hf_test_token"
        }
