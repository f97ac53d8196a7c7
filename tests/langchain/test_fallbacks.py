"""One question, two providers: LangChain's fallbacks, and the client's own failover."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core import exceptions as lc
from pydantic import BaseModel

from shared_core import Failover, PaymentRequiredError, Resilience, StreamInterruptedError
from tests.helpers.fault_server import FaultServer, Fin, Received, Reply, json_reply, sse
from tests.langchain.script import CHAT, TOOL, USAGE, event, model_of

pytestmark = pytest.mark.anyio

NOT_BILLABLE = {"error": "Pay-as-you go is not enabled for provider groq yet."}
NO_CREDIT = {"error": "You have depleted your monthly included credits."}
NO_IMAGES = {"detail": "Invalid request. org/m is not a multimodal model"}
FAILURES = {
    "402": json_reply(NOT_BILLABLE, 402),
    "400": json_reply(NO_IMAGES, 400),
    "500": json_reply({"error": {"message": "broken"}}, 500),
    "503": json_reply({"error": {"message": "overloaded"}}, 503),
}


def good(request: Received) -> Reply:
    headers = {"x-inference-provider": "together", "x-request-id": "req-2"}
    if request.json().get("stream"):
        events = [event({"content": "H"}), event({"content": "i."}, "stop"), event(usage=USAGE)]
        return sse(*events, headers=headers)
    choice = {"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
    return json_reply({"model": "served/m", "choices": [choice]}, headers=headers)


def router(server: FaultServer, groq: Reply) -> None:
    """Let *server* answer by the provider in the model's suffix, as the router does."""

    def answer(request: Received) -> Reply:
        return groq if request.json()["model"] == "org/m:groq" else good(request)

    server.on(CHAT, answer)


def fallbacks(server: FaultServer, **options: Any) -> Any:
    first, second = (model_of(server, provider=name) for name in ("groq", "together"))
    return first.with_fallbacks([second], **options)


def failover(server: FaultServer) -> Any:
    resilience = Resilience(failover=Failover.providers("groq", "together"))
    return model_of(server, resilience=resilience)


async def four_answers(model: Any) -> list[Any]:
    """The answer by ``invoke``, ``ainvoke``, ``stream`` and ``astream``; text and metadata."""
    streamed = [list(model.stream("x")), [chunk async for chunk in model.astream("x")]]
    sums = []
    for chunks in streamed:
        total = chunks[0]
        for chunk in chunks[1:]:
            total += chunk
        sums.append(total)
    return [model.invoke("x"), await model.ainvoke("x"), *sums]


@pytest.mark.rule("bindings")
@pytest.mark.parametrize("build", [fallbacks, failover])
@pytest.mark.parametrize("failure", FAILURES)
async def test_the_other_provider_answers_and_is_named(failure: str, build: Any) -> None:
    with FaultServer() as server:
        router(server, FAILURES[failure])
        for answer in await four_answers(build(server)):
            assert answer.text == "Hi."
            assert answer.response_metadata["inference_provider"] == "together"
            assert answer.response_metadata["request_id"] == "req-2"
        asked = [request.json()["model"] for request in server.requests]
    assert asked == ["org/m:groq", "org/m:together"] * 4


@pytest.mark.rule("bindings")
@pytest.mark.parametrize("build", [fallbacks, failover])
async def test_a_stream_that_has_begun_goes_nowhere_else(build: Any) -> None:
    with FaultServer() as server:
        router(server, sse(event({"content": "H"}), done=False, end=Fin()))
        model, seen = build(server), []

        async def consume() -> None:
            async for chunk in model.astream("x"):
                seen.append(chunk.text)

        with pytest.raises(StreamInterruptedError):
            await consume()
        with pytest.raises(StreamInterruptedError):
            for chunk in model.stream("x"):
                seen.append(chunk.text)
        assert "".join(seen) == "HH"
        assert len(server.requests) == 2


@pytest.mark.rule("bindings", "retryable")
async def test_spent_credits_are_final_where_the_caller_says_so() -> None:
    """``with_fallbacks`` goes on after any error; ``exceptions_to_handle`` draws the line."""
    with FaultServer() as server:
        router(server, json_reply(NO_CREDIT, 402))
        assert fallbacks(server).invoke("x").text == "Hi."
        some = (lc.ModelAPIError, lc.ModelRateLimitError)
        for model in (fallbacks(server, exceptions_to_handle=some), failover(server)):
            server.requests.clear()
            with pytest.raises(PaymentRequiredError):
                await model.ainvoke("x")
            assert len(server.requests) == 1


class City(BaseModel):
    """A city."""

    name: str


@pytest.mark.rule("bindings", "bind-tools-binds")
async def test_tools_and_structures_are_bound_to_all_of_them() -> None:
    """LangChain reads the signatures of our methods to tell which of them make runnables."""
    whole = {"role": "assistant", "content": '{"name": "Rome"}'}
    choice = {"index": 0, "message": whole, "finish_reason": "stop"}

    def answer(request: Received) -> Reply:
        if request.json()["model"] == "org/m:groq":
            return FAILURES["503"]
        return json_reply({"model": "served/m", "choices": [choice]})

    with FaultServer() as server:
        server.on(CHAT, answer)
        bound = fallbacks(server).bind_tools([TOOL])
        assert bound.invoke("x").text == (await bound.ainvoke("x")).text == '{"name": "Rome"}'
        assert all(request.json()["tools"] for request in server.requests)
        structured = fallbacks(server).with_structured_output(City, method="json_schema")
        assert structured.invoke("x") == await structured.ainvoke("x") == City(name="Rome")
        assert len(server.requests) == 8
