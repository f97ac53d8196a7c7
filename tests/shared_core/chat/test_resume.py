"""Going on with a cut answer: what is sent, how it is joined, what is refused."""

from __future__ import annotations

import asyncio
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
    InvalidSettingError,
    RouterClient,
    StreamInterruptedError,
    ToolCallDelta,
)
from shared_core.chat.resume import SHORTEST_OVERLAP, overlap
from tests.helpers.fault_server import FaultServer, Fin, json_reply, sse

PATH = "/v1/chat/completions"
ASKED = "Tell me of the sea."


def answer(text: str) -> dict[str, Any]:
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text},
    }
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": "c2", "model": "a/b", "choices": [choice], "usage": usage}


def event(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def partial_of(text: str = "The sea is", **more: Any) -> ChatCompletion:
    message = ChatMessage("assistant", text, reasoning=more.pop("reasoning", None))
    reason = more.pop("finish_reason", None)
    return ChatCompletion(choices=[Choice(0, message, reason)], **more)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def cut_and_resumed(request: pytest.FixtureRequest, server: FaultServer) -> Any:
    """Read a stream that is cut, resume it, and return the whole answer."""
    url = server.url + "/v1"

    def sync(**options: Any) -> ChatCompletion:
        with RouterClient("a/b", base_url=url) as client:
            with pytest.raises(StreamInterruptedError) as caught:
                client.chat.stream(ASKED, temperature=0.0).result()
            return client.chat.resume(caught.value, ASKED, temperature=0.0, **options)

    async def asynchronous(**options: Any) -> ChatCompletion:
        async with AsyncRouterClient("a/b", base_url=url) as client:
            with pytest.raises(StreamInterruptedError) as caught:
                await (await client.chat.stream(ASKED, temperature=0.0)).result()
            return await client.chat.resume(caught.value, ASKED, temperature=0.0, **options)

    if request.param == "sync":
        return sync
    return lambda **options: asyncio.run(asynchronous(**options))


@pytest.mark.evidence("streams", "sync", "async")
def test_prefill_sends_the_partial_answer_last(server: FaultServer, cut_and_resumed: Any) -> None:
    cut = sse(event(content="The sea is "), event(content="wide and "), done=False, end=Fin())
    server.script(PATH, cut, json_reply(answer("deep.")))
    whole = cut_and_resumed(extra_body={"top_k": 5})
    assert whole.text == "The sea is wide and deep."
    assert whole.finish_reason == "stop"
    assert whole.usage.total_tokens == 5
    sent = server.requests[1].json()
    assert [one["role"] for one in sent["messages"]] == ["user", "assistant"]
    assert sent["messages"][1]["content"] == "The sea is wide and "
    assert sent["continue_final_message"] is True
    assert sent["add_generation_prompt"] is False
    assert (sent["top_k"], sent["temperature"]) == (5, 0.0)


def test_ask_adds_a_message_and_drops_a_repetition(
    server: FaultServer, cut_and_resumed: Any
) -> None:
    cut = sse(event(content="The sea is wide and"), done=False, end=Fin())
    server.script(PATH, cut, json_reply(answer("is wide and deep.")))
    whole = cut_and_resumed(how="ask")
    assert whole.text == "The sea is wide and deep."
    sent = server.requests[1].json()
    assert [one["role"] for one in sent["messages"]] == ["user", "assistant", "user"]
    assert "continue_final_message" not in sent


@pytest.mark.evidence("streams", "model")
@pytest.mark.parametrize(
    ("partial", "params", "why"),
    [
        (None, {}, "nothing of the answer arrived"),
        (partial_of(""), {}, "no text arrived"),
        (partial_of("", reasoning="Hm."), {}, "only reasoning arrived"),
        (partial_of(finish_reason="length"), {}, "it is complete"),
        (partial_of(), {"n": 2}, "several choices"),
        (partial_of(), {"response_format": {"type": "json_object"}}, "response_format"),
        (partial_of(), {"how": "guess"}, "prefill"),
        (partial_of(incomplete_tool_calls=[ToolCallDelta(0, "1", "f")]), {}, "calling tools"),
    ],
)
def test_says_plainly_what_cannot_be_resumed(partial: Any, params: Any, why: str) -> None:
    error = StreamInterruptedError("cut", partial=partial)
    client = RouterClient("a/b", api_key="hf_x", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(InvalidSettingError, match=why):
        client.chat.resume(error, ASKED, **params)
    if partial is not None:
        with pytest.raises(InvalidSettingError, match=why):
            client.chat.resume(partial, [ChatMessage("user", ASKED)], **params)


def test_reasoning_and_history_are_kept(server: FaultServer) -> None:
    server.on(PATH, json_reply(answer(" deep.")))
    history = [{"role": "system", "content": "Be brief."}, ChatMessage("user", ASKED)]
    with RouterClient("a/b", base_url=server.url + "/v1") as client:
        whole = client.chat.resume(partial_of("It is", reasoning="Think."), history)
    assert (whole.text, whole.reasoning) == ("It is deep.", "Think.")
    assert len(server.requests[0].json()["messages"]) == 3


@pytest.mark.evidence("streams", "property")
@given(st.text(max_size=30), st.text(min_size=SHORTEST_OVERLAP, max_size=30), st.text(max_size=30))
def test_a_repetition_at_the_seam_is_found(before: str, seam: str, after: str) -> None:
    found = overlap(before + seam, seam + after)
    assert found >= len(seam)
    assert (before + seam).endswith((seam + after)[:found])


@given(st.text(max_size=40), st.text(max_size=SHORTEST_OVERLAP - 1))
def test_chance_is_not_a_repetition(before: str, after: str) -> None:
    assert overlap(before, after) == 0
