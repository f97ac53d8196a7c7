"""Waiting until an endpoint answers, and calling it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shared_core import AsyncRouterClient, Failover, Resilience, errors
from tests.helpers.fault_server import FaultServer, Received, Reply, drop, empty_reply, json_reply
from tests.shared_core.endpoints.control import Ask, asker, control_plane, endpoint

ONE = "/v2/endpoint/ann/chat-a1"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with control_plane() as server:
        yield server


@pytest.fixture
def machine() -> Iterator[FaultServer]:
    """The endpoint itself, on a host of its own."""
    with FaultServer() as machine:
        machine.on("/health", empty_reply(200))
        yield machine


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, server: FaultServer) -> Ask:
    return asker(request.param, server)


def waiting(**options: Any) -> Any:
    given = {"namespace": "ann", "interval": 0.01, "timeout": 5, **options}
    return lambda endpoints: endpoints.wait("chat-a1", **given)


def test_waits_until_it_answers(server: FaultServer, machine: FaultServer, ask: Ask) -> None:
    server.script(
        ONE,
        json_reply(endpoint("pending")),
        drop(),
        json_reply(endpoint("initializing", url=machine.url)),
        json_reply(endpoint("running", url=machine.url)),
    )
    machine.script("/health", empty_reply(503), drop(), empty_reply(200))
    seen: list[tuple[str, float]] = []
    ready = ask(waiting(progress=lambda info, seconds: seen.append((info.state, seconds))))
    assert ready.info.is_running
    assert [state for state, _ in seen] == ["pending", "initializing", *["running"] * 3]
    assert [seconds for _, seconds in seen] == sorted(seconds for _, seconds in seen)
    assert machine.count("/health") == 3
    assert machine.requests[0].headers["authorization"] == "Bearer hf_test"


def test_public_endpoint_gets_no_token(server: FaultServer, machine: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply({**endpoint(url=machine.url), "type": "public"}))
    ask(waiting())
    assert "authorization" not in machine.requests[0].headers


@pytest.mark.parametrize("state", ["failed", "updateFailed"])
def test_failed(server: FaultServer, ask: Ask, state: str) -> None:
    server.on(ONE, json_reply(endpoint(state, errorMessage="out of memory")))
    with pytest.raises(errors.EndpointFailedError) as caught:
        ask(waiting())
    assert "out of memory" in str(caught.value)
    assert (caught.value.state, caught.value.endpoint.name) == (state, "chat-a1")


def test_paused_is_an_error_at_once(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint("paused")))
    with pytest.raises(errors.EndpointFailedError, match="resume"):
        ask(waiting())


def test_scaled_to_zero_is_woken(server: FaultServer, machine: FaultServer, ask: Ask) -> None:
    server.script(
        ONE,
        json_reply(endpoint("scaledToZero", url=machine.url)),
        json_reply(endpoint("initializing", url=machine.url)),
        json_reply(endpoint("running", url=machine.url)),
    )
    machine.script("/health", empty_reply(503), empty_reply(200))
    assert ask(waiting()).state == "running"
    assert machine.count("/health") == 2


def test_deadline(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint("initializing")))
    started = time.monotonic()
    with pytest.raises(errors.EndpointTimeoutError) as caught:
        ask(waiting(timeout=0.15))
    assert time.monotonic() - started < 3
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.state, caught.value.deadline) == ("initializing", 0.15)


def test_deadline_while_a_question_hangs(server: FaultServer, ask: Ask) -> None:
    from tests.helpers.fault_server import hang

    server.on(ONE, hang())
    started = time.monotonic()
    with pytest.raises(errors.EndpointTimeoutError):
        ask(waiting(timeout=0.2))
    assert time.monotonic() - started < 3


def test_lasting_trouble_is_raised(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, drop())
    with pytest.raises(errors.APIConnectionError):
        ask(waiting())
    assert len(server.requests) >= 3


def test_gone_while_waiting(server: FaultServer, ask: Ask) -> None:
    server.script(ONE, json_reply(endpoint("pending")), json_reply({"error": "gone"}, 404))
    with pytest.raises(errors.NotFoundError):
        ask(waiting())


def test_token_that_may_not_call_it(server: FaultServer, machine: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint(url=machine.url)))
    machine.on("/health", json_reply({"error": "missing permissions"}, 403))
    with pytest.raises(errors.PermissionDeniedError):
        ask(waiting())


def test_progress_can_end_it(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint("pending")))

    class StopError(Exception):
        pass

    def stop(info: Any, seconds: float) -> None:
        raise StopError

    with pytest.raises(StopError):
        ask(waiting(progress=stop))
    assert len(server.requests) == 1


@pytest.mark.anyio
async def test_cancelled_task_stops_asking(server: FaultServer) -> None:
    server.on(ONE, json_reply(endpoint("pending")))
    async with AsyncRouterClient(
        api_key="hf_x", base_url=server.url, endpoints_url=server.url
    ) as client:
        task = asyncio.ensure_future(
            client.endpoints.wait("chat-a1", namespace="ann", interval=0.01)
        )
        assert await asyncio.to_thread(server.wait_requests, 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        asked = len(server.requests)
        await asyncio.sleep(0.1)
        assert len(server.requests) == asked


@pytest.mark.anyio
async def test_waiting_blocks_no_event_loop(server: FaultServer) -> None:
    server.on(ONE, json_reply(endpoint("pending")))
    async with AsyncRouterClient(
        api_key="hf_x", base_url=server.url, endpoints_url=server.url
    ) as client:
        task = asyncio.ensure_future(
            client.endpoints.wait("chat-a1", namespace="ann", interval=0.3)
        )
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def _chat(request: Received) -> Reply:
    message = {"role": "assistant", "content": request.json()["model"]}
    return json_reply({"choices": [{"message": message, "finish_reason": "stop"}]})


def test_handle_calls_the_endpoint(server: FaultServer, machine: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint(url=machine.url)))
    machine.on("/v1/chat/completions", _chat)
    answer = ask(waiting(), lambda handle: handle.chat.create("Hi", scale_up_timeout=600))
    assert answer.text == "acme/chat-8b"
    assert machine.requests[-1].headers["authorization"] == "Bearer hf_test"
    assert machine.requests[-1].headers["x-scale-up-timeout"] == "600"


def test_handle_embeds(server: FaultServer, machine: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint(url=machine.url)))
    vectors = {"data": [{"index": 0, "embedding": [1.0, 2.0]}]}
    machine.on("/v1/embeddings", json_reply(vectors))
    result = ask(waiting(), lambda handle: handle.embeddings.create("Hi"))
    assert result.vectors.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("image", ["huggingface", "huggingfaceNeuron"])
@pytest.mark.parametrize("path", ["", "/m"])
def test_handle_embeds_where_the_default_container_answers(
    server: FaultServer, machine: FaultServer, ask: Ask, image: str, path: str
) -> None:
    """On a domain of one's own, whose name does not tell what answers there."""
    shown = endpoint(url=machine.url + path)
    shown["model"]["image"] = {image: {}}
    server.on(ONE, json_reply(shown))
    machine.on(path or "/", json_reply([[1.0, 2.0]]))
    machine.on(f"{path}/similarity", json_reply([0.5]))
    got = ask(
        lambda endpoints: endpoints.get("chat-a1"),
        lambda handle: handle.embeddings.create(["Hi"], normalize=True),
    )
    assert got.vectors.tolist() == [[1.0, 2.0]]
    assert machine.requests[-1].json() == {"inputs": ["Hi"], "normalize": True}
    scores = ask(
        lambda endpoints: endpoints.get("chat-a1"),
        lambda handle: handle.embeddings.similarity("Hi", ["Ho"]),
    )
    assert scores.tolist() == [0.5]
    resilience = Resilience(failover=Failover.models("acme/chat-8b"))
    moved = ask(
        lambda endpoints: endpoints.get("chat-a1"),
        lambda handle: handle.embeddings.create(["Hi"]),
        resilience=resilience,
    )
    assert moved.vectors.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("image", ["huggingface", "tgi", "tei", "custom"])
@pytest.mark.parametrize("path", ["", "/m"])
def test_handle_asks_for_tasks_at_its_own_address(
    server: FaultServer, machine: FaultServer, ask: Ask, image: str, path: str
) -> None:
    shown = endpoint(url=machine.url + path)
    shown["model"]["image"] = {image: {"url": "x"}}
    server.on(ONE, json_reply(shown))
    machine.on(path or "/", json_reply([[{"label": "a", "score": 1}]]))
    found = ask(
        lambda endpoints: endpoints.get("chat-a1"),
        lambda handle: handle.tasks.text_classification("Hi"),
    )
    assert found[0].label == "a"
    machine.on(path or "/", json_reply([{"generated_text": "b"}]))
    written = ask(
        lambda endpoints: endpoints.get("chat-a1"),
        lambda handle: handle.tasks.text_generation("Hi"),
    )
    assert written.text == "b"
    assert {item.headers["authorization"] for item in machine.requests} == {"Bearer hf_test"}


def test_handle_of_a_server_with_openai_routes_completes_there(
    server: FaultServer, machine: FaultServer, ask: Ask
) -> None:
    server.on(ONE, json_reply(endpoint(url=machine.url)))  # vLLM
    machine.on("/v1/completions", json_reply({"choices": [{"text": "b"}]}))
    written = ask(
        lambda endpoints: endpoints.get("chat-a1"),
        lambda handle: handle.tasks.text_generation("Hi"),
    )
    assert written.text == "b"
    assert machine.requests[0].json() == {"model": "acme/chat-8b", "prompt": "Hi"}


def test_handle_keeps_one_client(server: FaultServer, machine: FaultServer) -> None:
    server.on(ONE, json_reply(endpoint(url=machine.url)))
    handle = asker("sync", server)(lambda endpoints: endpoints.get("chat-a1"))
    assert handle.client is handle.client
    assert handle.client.settings.base_url == f"{machine.url}/v1"
    assert handle.tasks is not None
    assert handle.responses is not None


def test_handle_without_an_address(server: FaultServer, ask: Ask) -> None:
    server.on(ONE, json_reply(endpoint("pending")))
    handle = ask(lambda endpoints: endpoints.get("chat-a1"))
    with pytest.raises(errors.InvalidSettingError, match=r"wait\(\)"):
        _ = handle.chat


@pytest.mark.parametrize(
    ("name", "options"), [("Bad Name", {}), ("a", {"timeout": 0}), ("a", {"interval": -1})]
)
def test_wrong_arguments(server: FaultServer, ask: Ask, name: str, options: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidSettingError):
        ask(lambda endpoints: endpoints.wait(name, namespace="ann", **options))
    assert server.requests == []
