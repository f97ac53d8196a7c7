"""Recordings with a field left out, null, unknown or of another type: a result or our own error.

Servers change; what they send must never become a ``KeyError`` or a ``TypeError`` of ours.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared_core.chat.decoder import ChatStreamDecoder
from shared_core.chat.response import parse_completion
from shared_core.chat.types import ChatCompletion
from shared_core.errors import APIStatusError, RouterError, from_response
from shared_core.hub import parsing
from shared_core.hub.types import HubModel
from shared_core.media.output import Media
from shared_core.providers.mapping import read_mapping
from shared_core.wire.messages import Headers, WireRequest, WireResponse
from tests.recordings.exchanges import ABSENT, FOLDER, Exchange
from tests.recordings.kinds import of_kind
from tests.recordings.test_provider_recordings import IMAGES, PROMPT, Replay, recorded
from tests.recordings.test_task_recordings import call, task_of, upgraded

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)

MOST_BYTES = 300_000
EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
ODD = st.sampled_from(
    [None, True, -1, 1.5, 10**400, float("nan"), "", "x", "\ud800", [], {}, [None], [[]], {"a": 1}]
)
CHANGES = ("leave out", "null", "unknown", "other", "twice")


def readable(items: list[Exchange]) -> list[Exchange]:
    """Return those whose body is a JSON value of a size that is quickly read."""
    return [
        item
        for item in items
        if item.headers.get("content-type", "").startswith("application/json")
        and len(item.body) <= MOST_BYTES
    ]


def changed(value: Any, data: st.DataObject) -> Any:
    """Return a copy of a JSON value with one place changed."""
    value = copy.deepcopy(value)
    holder: Any = [value]
    root, key = holder, 0
    while holder[key] and isinstance(holder[key], dict | list) and data.draw(st.integers(0, 3)):
        holder = holder[key]
        if isinstance(holder, dict):
            key = data.draw(st.sampled_from(sorted(holder)))  # type: ignore[assignment]
        else:
            key = data.draw(st.integers(0, min(len(holder), 3) - 1))
    change = data.draw(st.sampled_from(CHANGES))
    if change == "leave out" and holder is not root:
        del holder[key]
    elif change == "unknown" and isinstance(holder[key], dict):
        holder[key]["never_seen"] = data.draw(ODD)
    elif change == "twice" and isinstance(holder[key], list):
        holder[key] += holder[key]
    else:
        holder[key] = None if change == "null" else data.draw(ODD)
    return root[0]


def written(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def with_body(item: Exchange, value: Any) -> Exchange:
    return dataclasses.replace(item, body=written(value))


ANSWERED: dict[str, list[Exchange]] = {}
for _item in readable(of_kind("task answer")):
    ANSWERED.setdefault(str(task_of(_item)), []).append(_item)


def kind_of_result(value: Any) -> Any:
    return type(value[0]) if isinstance(value, list) and value else type(value)


def test_what_is_changed_covers_the_tasks() -> None:
    assert len(ANSWERED) > 20


@pytest.mark.parametrize("task", ANSWERED)
@EXAMPLES
@given(data=st.data())
def test_tasks(task: str, data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(ANSWERED[task]))
    body = None if item.sent is None else upgraded(task, copy.deepcopy(item.sent))[0]
    try:
        good = call(Replay([item]), task, item, body)
    except RouterError:
        good = None  # the one that is no JSON as it is
    odd = with_body(item, changed(json.loads(item.body), data)) if good is not None else item
    try:
        found = call(Replay([odd]), task, odd, body)
    except RouterError as error:
        assert str(error)
        return
    if good is not None and task != "conversational" and isinstance(found, type(good)):
        empty = isinstance(found, list) and not found
        alike = isinstance(found, np.ndarray | str) or kind_of_result(found) is kind_of_result(good)
        assert empty or alike or task == "tabular-classification"
    elif task != "conversational":
        assert isinstance(found, type(good))


STORIES = [(provider, model, size) for provider, model, size, _ in IMAGES]


@pytest.mark.parametrize(("provider", "model", "size"), STORIES, ids=lambda v: str(v)[:20])
@EXAMPLES
@given(data=st.data())
def test_providers(provider: str, model: str, size: dict[str, int], data: st.DataObject) -> None:
    story = recorded(provider, "text-to-image")
    plain = [at for at, item in enumerate(story) if item in readable([item])]
    at = data.draw(st.sampled_from(plain))
    story[at] = with_body(story[at], changed(json.loads(story[at].body), data))
    replay = Replay([*story, *[story[-1]] * 8])  # a job may be asked for more often now
    try:
        image = replay.tasks.text_to_image(PROMPT, model=model, provider=provider, **size)
    except RouterError as error:
        assert str(error)
        return
    assert isinstance(image, Media)


PAGES = readable(of_kind("model page"))
CHATS = readable(of_kind("chat answer"))
STREAMS = of_kind("chat stream")
ERRORS = [item for item in of_kind("chat error") + of_kind("task error") if item.body[:1] == b"{"]


@EXAMPLES
@given(data=st.data())
def test_model_pages(data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(PAGES))
    value = changed(json.loads(item.body), data)
    request = WireRequest(method="GET", url=item.url, operation="models.info")
    response = WireResponse(status=200, headers=Headers(item.headers), content=written(value))
    try:
        model = parsing.reader(request, parsing.read_hub_model)(response)
    except RouterError:
        return
    assert isinstance(model, HubModel)
    assert all(entry.provider_id for entry in read_mapping(model.raw))


@EXAMPLES
@given(data=st.data())
def test_chat_answers(data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(CHATS))
    try:
        answer = parse_completion(written(changed(json.loads(item.body), data)), item.headers, 200)
    except RouterError:
        return
    assert isinstance(answer, ChatCompletion)
    assert isinstance(answer.text, str)


@EXAMPLES
@given(data=st.data())
def test_chat_streams(data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(STREAMS))
    lines = item.body.split(b"\n")
    events = [at for at, line in enumerate(lines) if line.startswith(b"data:") and b"{" in line]
    at = data.draw(st.sampled_from(events))
    lines[at] = b"data: " + written(changed(json.loads(lines[at][5:]), data))
    decoder = ChatStreamDecoder()
    chunks = [*decoder.feed(b"\n".join(lines)), *decoder.finish()]
    assert all(isinstance(chunk.text, str) for chunk in chunks)
    if decoder.error is not None:
        assert isinstance(decoder.error, RouterError)
    else:
        assert isinstance(decoder.completion(), ChatCompletion)


@EXAMPLES
@given(data=st.data())
def test_errors(data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(ERRORS))
    error = from_response(
        status=item.status,
        headers=Headers(item.headers),
        content=written(changed(json.loads(item.body), data)),
        operation="chat",
        url=item.url,
    )
    assert isinstance(error, APIStatusError)
    assert error.status_code == item.status
    assert str(error)
