"""``resilience=`` of ``HFRouter``: another provider answers, whole and streamed, and is named."""

from __future__ import annotations

import pytest
from llama_index.core.base.llms.types import ChatMessage

from llama_index_hfrouter import HFRouter
from shared_core import Failover, Resilience
from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply
from tests.llama_index.stub_server import CHAT, say

pytestmark = pytest.mark.anyio

HELLO = [ChatMessage(role="user", content="Say hello.")]
FAILURES = {
    "402": json_reply({"error": "Pay-as-you go is not enabled for provider groq yet."}, 402),
    "400": json_reply({"detail": "Invalid request. a/b is not a multimodal model"}, 400),
    "503": json_reply({"error": {"message": "overloaded"}}, 503),
}


@pytest.mark.rule("one-route")
@pytest.mark.parametrize("failure", FAILURES)
async def test_another_provider_answers_and_is_named(failure: str) -> None:
    def answer(request: Received) -> Reply:
        if request.json()["model"] == "a/b:groq":
            return FAILURES[failure]
        return say("Hello.", headers={"x-inference-provider": "together"})(request)

    resilience = Resilience(failover=Failover.providers("groq", "together"))
    with FaultServer() as server:
        server.on(CHAT, answer)
        llm = HFRouter("a/b", base_url=f"{server.url}/v1", api_key="t", resilience=resilience)
        answers = [
            llm.chat(HELLO),
            await llm.achat(HELLO),
            list(llm.stream_chat(HELLO))[-1],
            [each async for each in await llm.astream_chat(HELLO)][-1],
        ]
        asked = [request.json()["model"] for request in server.requests]
    assert [each.message.content for each in answers] == ["Hello."] * 4
    named = [each.additional_kwargs["inference_provider"] for each in answers]
    assert named == ["together"] * 4
    assert asked == ["a/b:groq", "a/b:together"] * 4
