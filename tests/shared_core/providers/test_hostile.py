"""Whatever a provider answers, only errors of ours come out, and the flow ends."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared_core.errors import CircuitOpenError, RouterError
from shared_core.flow import Flow, Send, Sleep
from shared_core.providers.base import Codec, Route
from shared_core.providers.jobs import Queue
from shared_core.providers.mapping import read_mapping
from shared_core.providers.registry import HF_INFERENCE, codec, table
from shared_core.tasks.spec import Payload
from shared_core.wire.messages import Headers, WireResponse
from tests.shared_core.providers.driving import ROUTER, Clock, answer, core, options
from tests.shared_core.providers.scenes import SCENES, Scene

PAIRS = [
    (row.provider, row.task)
    for row in table()
    if row.task != "conversational" and row.provider != HF_INFERENCE
]
KNOWN = """
    id status error urls get output data outputs video video_url videos url images image audio text
    response_url request_id task_id task task_status image_result b64_json choices segments chunks
    embedding index usage timestamp result sample polling_url message detail
"""
ODD_WORDS = """
    COMPLETED IN_QUEUE completed failed succeeded SUCCESS FAIL Ready x TASK_STATUS_SUCCEED AAAA //
    https://h.test/a/b https://h.test/../x data:;base64, data: data:image/png;base64,AAAA https://[
    http://127.0.0.1/x
"""
NAMES = st.sampled_from(KNOWN.split())
WORDS = st.sampled_from([*ODD_WORDS.split(), "", "\ud83d\x00", "a b"])
LEAVES = st.none() | st.booleans() | st.integers(-1, 3) | st.floats() | WORDS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=14,
)
JSON = st.lists(VALUES, min_size=1, max_size=6)


def payload(task: str) -> Payload:
    given = {"voice": "v"} if task == "text-to-speech" else {}
    return Payload(inputs="text", parameters=given, binary=b"file", media_type="image/png")


def patient(found: Codec, clock: Clock) -> Codec:
    if isinstance(found, Queue):
        return dataclasses.replace(found, clock=clock)
    queued = getattr(found, "queued", None)
    if queued is not None:
        return dataclasses.replace(found, queued=dataclasses.replace(queued, clock=clock))  # type: ignore[type-var]
    return found


@pytest.mark.parametrize(("provider", "task"), PAIRS, ids=[f"{p}-{t}" for p, t in PAIRS])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=JSON)
def test_any_answers(provider: str, task: str, values: list[Any]) -> None:
    clock = Clock()
    way = Route(
        provider=provider, task=task, model="a/b", provider_id="o/m", base=f"{ROUTER}/{provider}"
    )
    found = patient(codec(provider, task), clock)
    flow = found.flow(core(), way, payload(task), options(poll_deadline=20.0, poll_interval=5.0))
    run(flow, clock, [*values, values[-1], {}], f"{ROUTER}/{provider}/")


def run(flow: Flow[Any], clock: Clock, values: list[Any], base: str) -> None:
    """Answer with *values*, the last of them for ever, until the flow ends."""
    script = iter(values)
    try:
        effect = next(flow)
        for _ in range(100):
            if isinstance(effect, Sleep):
                clock.now += effect.seconds
                effect = flow.send(None)
                continue
            assert isinstance(effect, Send)
            assert effect.request.url.startswith(("https://", "http://"))
            if effect.request.auth:
                assert effect.request.url.startswith(base)
            body = json.dumps(next(script, values[-1])).encode("utf-8", "surrogatepass")
            headers = Headers({"content-type": "application/json"})
            effect = flow.send(WireResponse(status=200, headers=headers, content=body))
        pytest.fail("the flow does not end")
    except (RouterError, StopIteration):
        return


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_answers_with_one_odd_place(scene: Scene, data: st.DataObject) -> None:
    story = [scene.accepted, scene.waiting, scene.done, scene.results or scene.done]
    at = data.draw(st.integers(0, len(story) - 1))
    values: list[Any] = json.loads(json.dumps(story))
    values[at] = bent(values[at], data)
    clock = Clock()
    way = Route(
        provider=scene.provider,
        task=scene.task,
        model="a/b",
        provider_id=scene.provider_id,
        base=f"{ROUTER}/{scene.provider}",
    )
    queue = dataclasses.replace(scene.queue, clock=clock)
    flow = queue.flow(core(), way, scene.payload, options(poll_deadline=20.0, poll_interval=5.0))
    run(flow, clock, values, f"{ROUTER}/{scene.provider}/")


def bent(value: Any, data: st.DataObject) -> Any:
    """Return *value* with one of its parts, or the whole, replaced."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: bent(value[name], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        return [bent(value[0], data), *value[1:]]
    return data.draw(VALUES)


@settings(max_examples=100, deadline=None)
@given(value=VALUES)
def test_any_mapping(value: Any) -> None:
    try:
        found = read_mapping({"id": "a/b", "inferenceProviderMapping": value})
    except ValueError:
        return
    assert all(entry.provider and entry.provider_id for entry in found)


def test_guard_that_refuses_keeps_the_job() -> None:
    scene = SCENES[0]
    way = Route(
        provider=scene.provider,
        task=scene.task,
        model="a/b",
        provider_id=scene.provider_id,
        base=f"{ROUTER}/{scene.provider}",
    )
    flow = scene.queue.flow(core(), way, scene.payload, options())
    next(flow)
    flow.send(answer(scene.accepted))
    flow.send(None)  # slept; now it asks
    with pytest.raises(CircuitOpenError) as caught:
        flow.throw(CircuitOpenError("the breaker is open"))
    assert caught.value.job.id == "j1"
