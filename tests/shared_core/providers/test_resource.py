"""``client.providers``, over sockets: mappings, jobs from before, and what cannot be resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from shared_core import AsyncRouterClient, Job, ProviderMapping, RouterClient
from shared_core.errors import InvalidSettingError, NotFoundError, UnsupportedTaskError
from shared_core.media.output import Media
from tests.helpers.fault_server import FaultServer, json_reply, reply
from tests.shared_core.providers.driving import PNG, TOKEN, answer, text
from tests.shared_core.providers.test_requests import call

pytestmark = pytest.mark.anyio

ENTRY = {"providerId": "o/m", "task": "text-to-image", "status": "live"}
PAGE = {"id": "acme/m", "inferenceProviderMapping": {"together": ENTRY}}
FOUND = (ProviderMapping(provider="together", provider_id="o/m", task="text-to-image"),)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on("/api/models/acme/m", json_reply(PAGE))
        running.on("/media", reply(200, PNG, {"content-type": "image/png"}))
        yield running


def addresses(server: FaultServer) -> dict[str, str]:
    return {"api_key": TOKEN, "base_url": f"{server.url}/v1", "hub_url": server.url}


def job(server: FaultServer, **more: object) -> Job:
    base = Job(
        provider="together",
        task="text-to-image",
        model="acme/m",
        provider_id="o/m",
        base=f"{server.url}/together",
    )
    return dataclasses.replace(base, **more)  # type: ignore[arg-type]


def test_mapping_is_kept_until_asked_anew(server: FaultServer) -> None:
    with RouterClient(**addresses(server)) as client:
        assert client.providers.mapping("acme/m") == FOUND
        assert client.providers.mapping("acme/m:together") == FOUND
        assert len(server.requests) == 1
        assert client.providers.mapping("acme/m", refresh=True) == FOUND
        assert len(server.requests) == 2
        with pytest.raises(InvalidSettingError, match="Hub id"):
            client.providers.mapping("a/b/c")
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


async def test_mapping_for_asyncio(server: FaultServer) -> None:
    async with AsyncRouterClient(**addresses(server)) as client:
        assert await client.providers.mapping("acme/m") == FOUND


PARTNER = {
    "text-to-image": {
        "acme/flux": {"_id": "1", "providerId": "fal-ai/flux", "status": "live"},
        "tag-filter=base_model:adapter:acme/flux,lora": {
            "_id": "2",
            "providerId": "fal-ai/flux-lora",
            "adapterType": "lora",
            "tags": ["base_model:adapter:acme/flux", "lora"],
        },
        "odd": 5,
    },
    "text-to-video": {"acme/wan": {"providerId": "fal-ai/wan"}},
    "odd": None,
}


async def test_models_of_a_provider(server: FaultServer) -> None:
    server.on("/api/partners/fal-ai/models", json_reply(PARTNER))
    with RouterClient(**addresses(server)) as client:
        found = client.providers.models("fal-ai")
        with pytest.raises(InvalidSettingError, match="did you mean 'fal-ai'"):
            client.providers.models("fal.ai")
        with pytest.raises(InvalidSettingError, match="status"):
            client.providers.models("fal-ai", status="dead")  # type: ignore[arg-type]
    async with AsyncRouterClient(**addresses(server)) as other:
        assert await other.providers.models("fal-ai", status="staging") is not None
    assert [seen.target for seen in server.requests] == [
        "/api/partners/fal-ai/models?status=live",
        "/api/partners/fal-ai/models?status=staging",
    ]
    assert [(m.model, m.task, m.provider_id, m.adapter, m.tags) for m in found] == [
        ("acme/flux", "text-to-image", "fal-ai/flux", None, ()),
        (
            None,
            "text-to-image",
            "fal-ai/flux-lora",
            "lora",
            ("base_model:adapter:acme/flux", "lora"),
        ),
        ("acme/wan", "text-to-video", "fal-ai/wan", None, ()),
    ]


def test_file_that_was_not_fetched_is_fetched_later(server: FaultServer) -> None:
    lost = job(server, media_urls=(f"{server.url}/media",))
    with RouterClient(**addresses(server)) as client:
        assert client.providers.resume(lost) == Media(PNG, "image/png", f"{server.url}/media")
    assert "authorization" not in server.requests[0].headers


def test_what_cannot_be_resumed(server: FaultServer) -> None:
    with RouterClient(**addresses(server)) as client:
        with pytest.raises(InvalidSettingError, match="no address"):
            client.providers.resume(job(server))
        with pytest.raises(InvalidSettingError, match="must be a Job"):
            client.providers.resume({"id": "j1"})  # type: ignore[arg-type]
        with pytest.raises(UnsupportedTaskError, match="does not queue"):
            client.providers.resume(job(server, status_url=f"{server.url}/together/x"))
        with pytest.raises(InvalidSettingError, match="poll_deadline"):
            client.providers.resume(job(server), poll_deadline=-1)
        with pytest.raises(InvalidSettingError, match="your key of the provider"):
            client.providers.resume(job(server, direct=True))
    assert server.requests == []


def test_video_that_novita_knows_at_no_address() -> None:
    with pytest.raises(NotFoundError) as caught:
        call("novita", "text-to-video", text(), answer({}, 404), answer({}, 404))
    assert "/v3/async/" in caught.value.url


def test_job_is_data_and_its_addresses_are_checked(server: FaultServer) -> None:
    video = job(server, task="text-to-video", status_url="http://192.0.2.1/v2/videos/j1")
    with RouterClient(**addresses(server)) as client:
        with pytest.raises(InvalidSettingError, match="not at the provider's address"):
            client.providers.resume(video)
        with pytest.raises(InvalidSettingError, match=r"queued at https://gw\.test/together"):
            client.providers.resume(dataclasses.replace(video, base="https://gw.test/together"))
