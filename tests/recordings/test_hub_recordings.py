"""Every recorded model page of the Hub is understood: its id and who serves it."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from shared_core.hub import parsing
from shared_core.wire.messages import Headers, WireRequest, WireResponse
from tests.recordings.exchanges import ABSENT, FOLDER, Exchange, exchanges

ALL = exchanges()
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)

PAGES = [
    item
    for item in ALL
    if item.status == 200
    and item.method == "GET"
    and urlsplit(item.url).path.startswith("/api/models/")
]


def test_some_were_found() -> None:
    assert len(PAGES) > 10


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
