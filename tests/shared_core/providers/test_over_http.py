"""Queued jobs over real sockets, blocking and asynchronous: all the way, broken, cancelled."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared_core import (
    AsyncRouterClient,
    JobFailedError,
    JobTimeoutError,
    RouterClient,
    TLSSettings,
)
from shared_core.errors import (
    APIConnectionError,
    APIResponseValidationError,
    AuthenticationError,
    ConnectionLostError,
    InternalServerError,
    RedirectRefusedError,
    ResponseTooLargeError,
)
from shared_core.media.output import Media
from tests.helpers.fault_server import (
    Certificates,
    FaultServer,
    ProxyServer,
    Received,
    Reply,
    drop,
    empty_reply,
    flood,
    hang,
    json_reply,
    redirect,
    reply,
    reset,
)
from tests.shared_core.providers.driving import PNG, TOKEN
from tests.shared_core.providers.scenes import MEDIA, SCENES, Scene

pytestmark = pytest.mark.anyio

ONE_OF_EACH = {scene.provider: scene for scene in SCENES if scene.task.startswith("text-to-")}
scenes = pytest.mark.parametrize("scene", ONE_OF_EACH.values(), ids=lambda scene: scene.name)
FAST = {"poll_interval": 0.01, "timeout": 5.0}
MADE = b"made" * 500


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def here(server: FaultServer, value: Any) -> Any:
    """Return *value* with the media on the server."""
    return json.loads(json.dumps(value).replace(MEDIA, f"{server.url}/media"))


def path(scene: Scene, target: str) -> str:
    return f"/{scene.provider}{target}".partition("?")[0]


def play(server: FaultServer, scene: Scene, *polls: Reply, media: Reply | None = None) -> None:
    """Script a job; *polls* come between the first question and the answer that it is done."""
    server.on(path(scene, scene.submit), json_reply(here(server, scene.accepted)))
    server.script(
        path(scene, scene.status),
        json_reply(scene.waiting),
        *polls,
        json_reply(here(server, scene.done)),
    )
    if scene.result is not None:
        server.on(path(scene, scene.result), json_reply(here(server, scene.results)))
    server.on("/media", media or reply(200, MADE, {"content-type": scene.media_type}))


class Caller:
    """The same call, blocking or not."""

    def __init__(self, server: FaultServer, *, asynchronous: bool, **options: Any) -> None:
        kind = AsyncRouterClient if asynchronous else RouterClient
        self.client: Any = kind(
            api_key=TOKEN, base_url=f"{server.url}/v1", hub_url=server.url, **options
        )
        self.asynchronous = asynchronous

    async def call(self, scene: Scene, **more: Any) -> Any:
        method = getattr(self.client.tasks, scene.task.replace("-", "_"))
        how = {"provider": scene.provider, "provider_id": scene.provider_id, "model": "acme/m"}
        return await self._settle(method(scene.payload.inputs, **{**how, **FAST, **more}))

    async def resume(self, job: Any) -> Any:
        return await self._settle(self.client.providers.resume(job, poll_interval=0.01))

    async def _settle(self, value: Any) -> Any:
        return await value if self.asynchronous else value

    async def close(self) -> None:
        await self._settle(self.client.aclose() if self.asynchronous else self.client.close())


@pytest.fixture(params=[False, True], ids=["blocking", "asyncio"])
async def caller(request: pytest.FixtureRequest, server: FaultServer) -> Any:
    made = Caller(server, asynchronous=request.param)
    yield made
    await made.close()


# --- all the way ------------------------------------------------------------------------


@scenes
async def test_job_is_done(server: FaultServer, caller: Caller, scene: Scene) -> None:
    play(server, scene)
    made = await caller.call(scene)
    assert isinstance(made, Media)
    assert (made.content, made.media_type) == (MADE, scene.media_type)
    base = f"/{scene.provider}"
    targets = [base + scene.submit, *[base + scene.status] * 2]
    targets += [base + scene.result] if scene.result is not None else []
    assert [seen.target for seen in server.requests] == [*targets, "/media"]
    tokens = ["authorization" in seen.headers for seen in server.requests]
    assert tokens == [True] * (len(tokens) - 1) + [False]


async def test_mapping_is_looked_up_on_the_way(server: FaultServer, caller: Caller) -> None:
    scene = ONE_OF_EACH["wavespeed"]
    play(server, scene)
    entry = {"providerId": scene.provider_id, "task": scene.task, "status": "live"}
    mapping = {"id": "acme/m", "inferenceProviderMapping": {"wavespeed": entry}}
    server.on("/api/models/acme/m", json_reply(mapping))
    for _ in range(2):
        assert (await caller.call(scene, provider="auto", provider_id=None)).content == MADE
    asked = [seen.target for seen in server.requests if seen.path.startswith("/api/models")]
    assert asked == ["/api/models/acme/m?expand[]=inferenceProviderMapping"]


# --- broken -----------------------------------------------------------------------------


@scenes
async def test_trouble_on_the_way_is_survived(
    server: FaultServer, caller: Caller, scene: Scene
) -> None:
    play(server, scene, empty_reply(503), reset(), json_reply({"error": "busy"}, 500))
    assert (await caller.call(scene)).content == MADE


BROKEN = [
    (empty_reply(500), InternalServerError),
    (json_reply({"error": "who are you"}, 401), AuthenticationError),
    (drop(), ConnectionLostError),
    (reset(), APIConnectionError),
    (json_reply([1, 2]), APIResponseValidationError),
    (reply(200, b"<html>", {"content-type": "text/html"}), APIResponseValidationError),
    (redirect("ftp://elsewhere.test/"), RedirectRefusedError),
]


@pytest.mark.parametrize(("broken", "kind"), BROKEN, ids=[kind.__name__ for _, kind in BROKEN])
@pytest.mark.parametrize("step", ["submit", "status", "result", "media"])
async def test_broken_at_a_step(
    server: FaultServer, caller: Caller, step: str, broken: Reply, kind: type[Exception]
) -> None:
    scene = ONE_OF_EACH["fal-ai"]
    play(server, scene)
    place = "/media" if step == "media" else path(scene, getattr(scene, step))
    server.on(place, broken)
    with pytest.raises(kind) as caught:
        await caller.call(scene)
    job = caught.value.job  # type: ignore[attr-defined]
    if step == "submit":
        assert job is None
        return
    assert job.id == "j1"
    assert job.status_url == f"{server.url}/fal-ai{scene.status}"
    play(server, scene)  # healed: what was paid for is not lost
    assert (await caller.resume(job)).content == MADE
    assert [seen.method for seen in server.requests].count("POST") == 1


async def test_failed_job(server: FaultServer, caller: Caller) -> None:
    scene = ONE_OF_EACH["together"]
    play(server, scene)
    server.on(path(scene, scene.status), json_reply(scene.failed))
    with pytest.raises(JobFailedError, match="the worker fell over"):
        await caller.call(scene)


async def test_server_that_says_nothing_ends_with_the_deadline(
    server: FaultServer, caller: Caller
) -> None:
    scene = ONE_OF_EACH["zai-org"]
    play(server, scene)
    server.on(path(scene, scene.status), hang())
    started = time.monotonic()
    with pytest.raises(JobTimeoutError) as caught:
        await caller.call(scene, poll_deadline=0.3, timeout=None)
    assert time.monotonic() - started < 5
    assert caught.value.job.id == "j1"
    play(server, scene)
    assert (await caller.resume(caught.value.job)).content == MADE


async def test_media_may_not_be_endless(server: FaultServer, caller: Caller) -> None:
    scene = ONE_OF_EACH["novita"]
    play(server, scene, media=flood(64 * 2**20, kind="video/mp4"))
    with pytest.raises(ResponseTooLargeError) as caught:
        await caller.call(scene)
    assert caught.value.job.media_urls == (f"{server.url}/media",)


async def test_media_elsewhere_gets_no_token_after_a_redirect(
    server: FaultServer, caller: Caller
) -> None:
    scene = ONE_OF_EACH["wavespeed"]
    play(server, scene, media=redirect("/files/1"))
    server.on("/files/1", reply(200, PNG, {"content-type": "image/png"}))
    assert (await caller.call(scene)).content == PNG
    last = server.requests[-1]
    assert last.path == "/files/1"
    assert "authorization" not in last.headers


# --- cancelled --------------------------------------------------------------------------


@scenes
async def test_cancelled_task_stops_asking_at_once(server: FaultServer, scene: Scene) -> None:
    play(server, scene)
    server.on(path(scene, scene.status), json_reply(scene.waiting))
    caller = Caller(server, asynchronous=True)
    task = asyncio.ensure_future(caller.call(scene, poll_interval=0.02))
    await asyncio.to_thread(server.wait_requests, 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    asked = len(server.requests)
    await asyncio.sleep(0.15)
    assert len(server.requests) == asked
    await caller.close()


async def test_cancelled_while_a_question_hangs(server: FaultServer) -> None:
    scene = ONE_OF_EACH["fal-ai"]
    play(server, scene)
    server.on(path(scene, scene.status), hang())
    caller = Caller(server, asynchronous=True)
    task = asyncio.ensure_future(caller.call(scene))
    await asyncio.to_thread(server.wait_requests, 2)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 2
    await caller.close()


async def test_waiting_blocks_no_event_loop(server: FaultServer) -> None:
    scene = ONE_OF_EACH["together"]
    play(server, scene)
    caller = Caller(server, asynchronous=True)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticker = asyncio.ensure_future(tick())
    calls = [caller.call(scene, poll_interval=0.2) for _ in range(3)]
    assert [made.content for made in await asyncio.gather(*calls)] == [MADE] * 3
    ticker.cancel()
    assert ticks >= 10
    await caller.close()


# --- a key of the provider's own --------------------------------------------------------


def test_own_key_goes_to_the_own_host_only(tmp_path: Path) -> None:
    """All tunnels end at one server; it sees which host was meant by its Host header."""
    certificates = Certificates()
    names = certificates.server(host="queue.fal.run")
    scene = ONE_OF_EACH["fal-ai"]
    with (
        FaultServer(tls=names) as server,
        ProxyServer(connect_to=("127.0.0.1", server.port)) as proxy,
    ):
        submit, status, result = (
            target.partition("?")[0] for target in (scene.submit, scene.status, scene.result or "")
        )
        server.on(submit, json_reply(scene.accepted))
        server.on(status, json_reply(scene.done))
        inline = {"video": {"url": "data:video/mp4;base64,bWFkZQ=="}}
        server.on(result, json_reply(inline))
        client = RouterClient(
            api_key="fal-own-key-123456",
            proxy=proxy.url,
            tls=TLSSettings(ca_file=certificates.ca_file(tmp_path)),
        )
        with client:
            made = client.tasks.text_to_video(
                "a cat", provider="fal-ai", provider_id=scene.provider_id, **FAST
            )
        assert made.content == b"made"
        seen: list[Received] = list(server.requests)
        assert [(one.method, one.target) for one in seen] == [
            ("POST", submit),
            ("GET", status),
            ("GET", result),
        ]
        assert {one.headers["host"] for one in seen} == {"queue.fal.run"}
        assert {one.headers["authorization"] for one in seen} == {"Key fal-own-key-123456"}
        assert set(proxy.tunnels) == {"queue.fal.run:443"}
