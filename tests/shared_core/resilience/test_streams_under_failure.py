"""Streams that break, many at once: each error carries its own part, each resumption its whole."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import (
    AsyncRouterClient,
    ChatCompletion,
    ChatMessage,
    Choice,
    RouterClient,
    StreamInterruptedError,
    Usage,
)
from shared_core.chat.resume import LONGEST_OVERLAP, SHORTEST_OVERLAP, resumption
from tests.helpers.fault_server import FaultServer, Fin, Received, Reply, Rst, json_reply, sse
from tests.shared_core.resilience.helpers import PATH, completion, event


def words(number: int) -> list[str]:
    return [f"{number}-{at} " for at in range(6)]


def broken(request: Received) -> Reply:
    """Cut a stream after three of its words, and give the rest to whoever sends them back."""
    messages = request.json()["messages"]
    number = int(messages[0]["content"])
    if not request.json().get("stream"):
        assert messages[1]["content"] == "".join(words(number)[:3])
        return json_reply(completion("".join(words(number)[3:])))
    ends = Fin() if number % 2 else Rst()
    # A pause before the end: a reset may overtake what was sent just before it.
    pieces = [event(word) for word in words(number)[:3]]
    return sse(*pieces, b": wait\n\n", delay=0.02, done=False, end=ends)


@pytest.fixture
def cutting() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(PATH, broken)
        yield running


@pytest.mark.evidence("streams", "threads")
def test_threads_get_their_own_part_and_their_own_whole(cutting: FaultServer) -> None:
    wholes: dict[int, str] = {}
    with RouterClient("a/b", base_url=cutting.url + "/v1") as client:

        def work(number: int) -> None:
            with pytest.raises(StreamInterruptedError) as caught:
                client.chat.stream(str(number)).result()
            wholes[number] = client.chat.resume(caught.value, str(number)).text

        threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wholes == {number: "".join(words(number)) for number in range(12)}
    assert cutting.wait_open(0, 3)


@pytest.mark.evidence("streams", "tasks")
@pytest.mark.anyio
async def test_tasks_get_their_own_part_and_a_cancelled_one_takes_nothing(
    cutting: FaultServer,
) -> None:
    async with AsyncRouterClient("a/b", base_url=cutting.url + "/v1") as client:

        async def work(number: int) -> str:
            with pytest.raises(StreamInterruptedError) as caught:
                await (await client.chat.stream(str(number))).result()
            return (await client.chat.resume(caught.value, str(number))).text

        tasks = [asyncio.create_task(work(number)) for number in range(16)]
        await asyncio.sleep(0.03)
        for task in tasks[::4]:
            task.cancel()
        ends: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
    for number, end in enumerate(ends):
        if number % 4:
            assert end == "".join(words(number))
        else:
            assert isinstance(end, asyncio.CancelledError)
    assert cutting.wait_open(0, 3)


def partial(text: str, usage: Usage | None) -> ChatCompletion:
    return ChatCompletion(choices=[Choice(0, ChatMessage("assistant", text), None)], usage=usage)


USAGES = st.one_of(st.none(), st.builds(Usage, *[st.integers(0, 99)] * 3))


@pytest.mark.evidence("streams", "property")
@given(st.text(min_size=1), st.text(), st.sampled_from(["prefill", "ask"]), USAGES, USAGES)
def test_nothing_that_arrived_is_lost_and_only_a_repetition_is_dropped(
    before: str, after: str, how: Any, first: Usage | None, second: Usage | None
) -> None:
    work = resumption(partial(before, first), "Question", {"temperature": 0}, how)
    assert work.messages[1 - len(work.messages)].content == before
    whole = work.join(partial(after, second))
    assert whole.text.startswith(before)
    rest = whole.text.removeprefix(before)
    assert after.endswith(rest)
    dropped = after[: len(after) - len(rest)]
    assert before.endswith(dropped)
    assert not dropped or SHORTEST_OVERLAP <= len(dropped) <= LONGEST_OVERLAP
    counted = [usage.total_tokens for usage in (first, second) if usage is not None]
    if len(counted) == 2:
        assert whole.usage is not None
        assert whole.usage.total_tokens == sum(counted)
    else:
        assert whole.usage == second
