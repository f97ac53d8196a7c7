"""A stream that breaks off inside a tool call: what was added up before the error shows no call."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessageChunk

from langchain_hfrouter import ChatHFRouter
from shared_core import StreamError, StreamInterruptedError
from tests.helpers.fault_server import Fin, Hang, Rst
from tests.langchain import responses_server
from tests.langchain.script import TOOL, added, call, event, model_of, serving, stream
from tests.langchain.test_streams import TORN

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]

WHOLE = event(call(0, "a", "add", '{"a": 1}'))
HALF = [event(call(1, "b", "rm", '{"path": "/tmp')), event(call(1, None, None, "/x"))]
FAILED = {"error": {"message": "upstream failed", "type": "server_error", "code": 500}}
BREAKS: dict[str, dict[str, Any]] = {
    "closed": {"end": Fin()},
    "reset": {"end": Rst()},
    "silent": {"end": Hang()},
    "ended without a reason": {},
    "an error event": {"error": FAILED},
}


async def sum_before_error(model: ChatHFRouter, *, awaited: bool, **call: Any) -> Any:
    """Add chunks up as users do; return the sum and the error."""
    total: AIMessageChunk | None = None
    with pytest.raises(ModelError) as caught:
        if awaited:
            async for piece in model.astream("x", **call):
                total = piece if total is None else total + piece
        else:
            for piece in model.stream("x", **call):
                total = piece if total is None else total + piece
    return total, caught.value


@pytest.mark.rule("cut-stream-is-an-error", "broken-calls-are-invalid")
@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_half_a_call_is_an_invalid_one_before_the_error(
    kind: str, awaited: bool, version: str
) -> None:
    """LangChain completes ``{"path": "/tmp/x`` by itself wherever chunks are added up."""
    options = dict(BREAKS[kind])
    told = [error] if (error := options.pop("error", None)) else []
    with serving(stream(WHOLE, *HALF, *told, done=False, **options)) as server:
        timeout = 1.0 if kind == "silent" else 30.0
        model = model_of(server, timeout=timeout, output_version=version)
        total, error = await sum_before_error(model, awaited=awaited, tools=[TOOL])
    assert isinstance(error, StreamError)
    assert [(c["name"], c["args"]) for c in total.tool_calls] == [("add", {"a": 1})]
    (bad,) = total.invalid_tool_calls
    assert (bad["name"], bad["id"]) == ("rm", "b")
    assert bad["args"].startswith('{"path": "/tmp/x')
    assert total.chunk_position is None  # the answer did not end
    partial = error.partial
    assert partial is not None
    assert [each.name for each in partial.tool_calls] == ["add"]
    assert [each.name for each in partial.incomplete_tool_calls] == ["rm"]


@pytest.mark.rule("broken-calls-are-invalid")
@pytest.mark.parametrize("arguments", ["", *TORN])
async def test_no_half_of_arguments_passes_for_a_whole(arguments: str) -> None:
    with serving(stream(event(call(0, "a", "rm", arguments)), done=False, end=Fin())) as server:
        total, _ = await sum_before_error(model_of(server), awaited=False)
    assert total.tool_calls == []
    assert [each["name"] for each in total.invalid_tool_calls] == ["rm"]


@pytest.mark.rule("cut-stream-is-an-error")
async def test_a_break_without_calls_adds_nothing() -> None:
    pieces = [event({"content": "Hel"}), event({"content": "lo"})]
    with serving(stream(*pieces, done=False, end=Fin())) as server:
        seen = []
        with pytest.raises(StreamInterruptedError):
            seen.extend(model_of(server).stream("x"))
        total, _ = await sum_before_error(model_of(server), awaited=True)
    assert [chunk.content for chunk in seen] == ["Hel", "lo"]
    assert total.text == "Hello"


class Errors(BaseCallbackHandler):
    def __init__(self) -> None:
        self.messages: list[Any] = []

    def on_llm_error(self, error: BaseException, *, response: Any = None, **_: Any) -> None:
        self.messages.append(response.generations[0][0].message)


@pytest.mark.rule("broken-calls-are-invalid")
async def test_callbacks_and_events_see_no_half_call_either() -> None:
    with serving(stream(*HALF, done=False, end=Fin())) as server:
        errors, model = Errors(), model_of(server)
        await sum_before_error(model, awaited=False, config={"callbacks": [errors]})
        await sum_before_error(model, awaited=True, config={"callbacks": [errors]})
        chunks: list[Any] = []
        with pytest.raises(StreamInterruptedError):
            async for each in model.astream_events("x", version="v2"):
                if each["event"] == "on_chat_model_stream":
                    chunks.append(each["data"]["chunk"])
    for message in (*errors.messages, added(chunks)):
        assert message.tool_calls == []
        assert [each["name"] for each in message.invalid_tool_calls] == ["rm"]


@pytest.mark.rule("responses-failures", "responses-stream-rules")
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("came", ['{"path": "/tmp/x', ""])
async def test_half_a_call_of_the_responses_api_is_an_invalid_one(
    awaited: bool, version: str, came: str
) -> None:
    add = responses_server.call("add", '{"a": 1}')
    torn = responses_server.call("rm", came, id="2")
    told = responses_server.events(add, torn)
    sent = [
        each for each in told if not str(each["type"]).endswith(("completed", "arguments.done"))
    ]
    while sent[-1]["type"] == "response.output_item.done":  # that of the torn call
        sent.pop()
    with responses_server.serving(responses_server.sent(*sent, done=False, end=Fin())) as server:
        model = responses_server.model_of(server, output_version=version)
        total, error = await sum_before_error(model, awaited=awaited)
    assert isinstance(error, StreamInterruptedError)
    assert [(c["name"], c["args"]) for c in total.tool_calls] == [("add", {"a": 1})]
    (bad,) = total.invalid_tool_calls
    assert (bad["name"], bad["id"]) == ("rm", "call_2")
