"""Texts that a stream reveals late: each is handed over exactly once, by both clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared_core import AsyncRouterClient, ResponseUpdate, RouterClient
from shared_core.responses.decoder import ResponseDecoder
from tests.helpers.fault_server import FaultServer, json_reply, sse
from tests.shared_core.responses.test_stream import (
    CALL,
    DONE_MESSAGE,
    EVENTS,
    FINAL,
    MESSAGE,
    PATH,
    RUNNING,
    event,
)


def message(words: str, id: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": words, "annotations": []}]
    return {**MESSAGE, "id": id, "status": "completed", "content": parts}


def thought(words: str, id: str) -> dict[str, Any]:
    return {"id": id, "type": "reasoning", "content": [{"type": "reasoning_text", "text": words}]}


def last(*output: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": {**FINAL, "output": list(output)}}


def begun(words: str = "Hello you", id: str = "msg_1") -> list[dict[str, Any]]:
    """A message that is streamed, whose end is not told."""
    start = event("output_item.added", item={**MESSAGE, "id": id})
    deltas = [
        event("output_text.delta", item_id=id, delta=piece) for piece in (words[:4], words[4:])
    ]
    return [{"type": "response.created", "response": RUNNING}, start, *deltas]


CASES: dict[str, tuple[list[Any], str]] = {
    "as told": (EVENTS, "Hello you"),
    "another message after": (
        [*begun(), last(message("Hello you", "msg_1"), message("And more.", "msg_2"))],
        "Hello youAnd more.",
    ),
    "another message before": (
        [*begun(), last(message("First. ", "msg_0"), message("Hello you", "msg_1"))],
        "Hello youFirst. ",
    ),
    "other ids in the last event": ([*begun(), last(message("Hello you", "x"))], "Hello you"),
    "other ids, and another message before": (
        [*begun(), last(message("First. ", "x"), message("Hello you", "y"))],
        "Hello youFirst. ",
    ),
    "other ids, and trimmed": ([*begun(" Hello you\n"), last(message("Hello you", "x"))], ""),
    "the end of a message": ([*begun(), last(message("Hello you all", "msg_1"))], "Hello you all"),
    "the end, other ids": ([*begun(), last(message("Hello you all", "x"))], "Hello you all"),
    "a message done without pieces": (
        [
            *begun(),
            event("output_item.done", item=DONE_MESSAGE),
            event("output_item.done", item=message(" Bye.", "msg_2")),
            last(DONE_MESSAGE, message(" Bye.", "msg_2")),
        ],
        "Hello you Bye.",
    ),
    "the same words twice": (
        [*begun("Yes. "), last(message("Yes. ", "msg_1"), message("Yes. ", "msg_2"))],
        "Yes. Yes. ",
    ),
    "no ids at all": (
        [
            {k: v for k, v in each.items() if k != "item_id"}
            for each in (*begun(id=""), last(message("Hello you", ""), message("!", "")))
        ],
        "Hello you!",
    ),
    "a call beside": ([*begun(), last(message("Hello you", "msg_1"), CALL)], "Hello you"),
    "all in the last event": ([last(message("Hello ", "a"), message("you", "b"))], "Hello you"),
}


def texts(*, awaited: bool, server: FaultServer) -> str:
    given: dict[str, Any] = {"api_key": "x", "base_url": f"{server.url}/v1"}
    if not awaited:
        with RouterClient("a/b", **given).responses.stream("Hi") as stream:
            return "".join(stream.text_deltas())

    async def go() -> str:
        async with AsyncRouterClient("a/b", **given).responses.stream("Hi") as stream:
            return "".join([text async for text in stream.text_deltas()])

    return asyncio.run(go())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_each_text_comes_exactly_once(case: str, awaited: bool) -> None:
    events, expected = CASES[case]
    with FaultServer() as server:
        server.on(PATH, sse(*events))
        found = texts(awaited=awaited, server=server)
    assert found == (expected or " Hello you\n")


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_the_texts_of_a_server_that_does_not_stream(awaited: bool) -> None:
    with FaultServer() as server:
        server.on(PATH, json_reply(FINAL))
        assert texts(awaited=awaited, server=server) == "Hello you"


def decoded(*events: Any) -> list[ResponseUpdate]:
    decoder, found = ResponseDecoder(), []
    for step in sse(*events).steps:
        for part in step.split(b"\r\n") if isinstance(step, bytes) else ():
            if part.startswith(b"data:"):
                found += decoder.feed(part.strip() + b"\n\n")
    assert decoder.error is None
    return found


def test_thoughts_come_once_too() -> None:
    told = event("reasoning_text.delta", item_id="rs_1", delta="Hm")
    found = decoded(told, last(thought("Hm.", "rs_1"), thought(" So.", "rs_2")))
    assert "".join(update.reasoning for update in found) == "Hm. So."
    assert found[-1].streamed_as == ["rs_1", None]


def test_calls_are_matched_by_their_call_id_or_name() -> None:
    one, two = {**CALL, "id": "a"}, {**CALL, "id": "b", "call_id": "c2", "name": "g"}
    told = [event("output_item.added", item=each) for each in (one, two)]
    changed = [{**two, "id": "x"}, {**one, "id": "y"}]
    assert decoded(*told, last(*changed))[-1].streamed_as == ["b", "a"]
    other = {**CALL, "id": "z", "call_id": "c3", "name": "h"}
    assert decoded(*told, last(one, two, other))[-1].streamed_as == ["a", "b", None]


def test_many_items_are_matched() -> None:
    told = [event("output_text.delta", item_id=f"m{n}", delta=f"{n} ") for n in range(20_000)]
    found = decoded(*told, last(*(message(f"{n} ", f"x{n}") for n in range(20_000))))
    assert found[-1].text == ""
    assert found[-1].streamed_as == [f"m{n}" for n in range(20_000)]
