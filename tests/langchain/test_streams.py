"""Streams: one rule of LangChain's merging, or one habit of a provider, per test."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelAPIError, ModelConnectionError, ModelRateLimitError
from langchain_core.messages import AIMessage, AIMessageChunk

from shared_core import InvalidSettingError, StreamEventError, StreamInterruptedError
from tests.helpers.fault_server import Fin, Hang, json_reply
from tests.langchain.conformance.base import wire_call
from tests.langchain.conformance.tools import FORMS
from tests.langchain.script import (
    HEADERS,
    TOOL,
    added,
    call,
    event,
    model_of,
    serving,
    stream,
    whole,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]

TEXT = [event({"role": "assistant", "content": ""}), event({"content": "Hel"})]
TEXT += [event({"content": "lo"}), event({}, "stop")]
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}

# Two calls, add(a=1) and sub(b=2), in every form that providers were seen to use.
QUIRKS: dict[str, list[dict[str, Any]]] = {
    **FORMS,
    "whole calls": [call(0, "a", "add", '{"a": 1}'), call(1, "b", "sub", '{"b": 2}')],
    "index as text": [
        {"tool_calls": [{"index": "0", **wire_call("add", '{"a": 1}', "a")}]},
        {"tool_calls": [{"index": "1", **wire_call("sub", '{"b": 2}', "b")}]},
    ],
    "empty ids on later pieces": [
        call(0, "a", "add", '{"a":'),
        call(0, "", "", " 1}"),
        call(1, "b", "sub", '{"b":'),
        call(1, "", None, " 2}"),
    ],
    "null arguments first": [
        {"tool_calls": [{"index": 0, **wire_call("add", None, "a")}]},
        call(0, None, None, '{"a": 1}'),
        call(1, "b", "sub", '{"b": 2}'),
    ],
    "neither ids nor indexes": [
        call(None, None, "add", '{"a": 1}'),
        call(None, None, "sub", '{"b":'),
        call(None, None, None, " 2}"),
    ],
}
EXPECTED = [("add", {"a": 1}), ("sub", {"b": 2})]


def found(message: AIMessage) -> list[tuple[str, Any]]:
    return [(each["name"], each["args"]) for each in message.tool_calls]


def deltas(quirk: str, *, text: bool = False) -> list[Any]:
    start = [event({"role": "assistant", "content": "Let me "}), event({"content": "see."})]
    calls = [event(delta) for delta in QUIRKS[quirk]]
    return [*(start if text else ()), *calls, event({}, "tool_calls")]


@pytest.mark.rule("same-in-v1-and-v3", "text-beside-calls", "missing-ids", "gaps-in-indexes")
@pytest.mark.parametrize("quirk", QUIRKS)
@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("text", [False, True])
def test_tool_calls_of_every_form_are_two_calls(quirk: str, version: str, text: bool) -> None:
    """Traps 1 and 2, pain 13: indexes repeated, missing, negative; names and ids repeated."""
    with serving(stream(*deltas(quirk, text=text))) as server:
        model = model_of(server, output_version=version)
        total = added(list(model.bind_tools([TOOL]).stream("x")))
    assert found(total) == EXPECTED
    assert total.invalid_tool_calls == []
    assert len({each["id"] for each in total.tool_calls}) == 2
    blocks = [block for block in total.content_blocks if block["type"] == "tool_call"]
    assert [(block["name"], block["args"]) for block in blocks] == EXPECTED
    texts = [block["text"] for block in total.content_blocks if block["type"] == "text"]
    assert texts == (["Let me see."] if text else [])
    assert total.text == ("Let me see." if text else "")


@pytest.mark.rule("same-in-v1-and-v3", "text-beside-calls")
@pytest.mark.parametrize("quirk", QUIRKS)
@pytest.mark.parametrize("text", [False, True])
def test_event_streams_have_the_same_two_calls(quirk: str, text: bool) -> None:
    """Trap 1: event streams key on the index alone."""
    with serving(stream(*deltas(quirk, text=text))) as server:
        events = model_of(server).bind_tools([TOOL]).stream_events("x", version="v3")
        message = events.output
    assert found(message) == EXPECTED
    assert message.text == ("Let me see." if text else "")


@pytest.mark.rule("same-in-v1-and-v3")
@pytest.mark.parametrize("quirk", QUIRKS)
async def test_async_streams_have_the_same_two_calls(quirk: str) -> None:
    with serving(stream(*deltas(quirk, text=True))) as server:
        bound = model_of(server).bind_tools([TOOL])
        total = added([chunk async for chunk in bound.astream("x")])
        whole = await (await bound.astream_events("x", version="v3")).output
    assert found(total) == EXPECTED
    assert found(whole) == EXPECTED


@pytest.mark.rule("pieces-are-pieces", "text-beside-calls")
def test_chunks_with_text_and_call_show_the_piece_as_a_piece() -> None:
    """Trap 6: before the end a call is a ``tool_call_chunk``, also beside text."""
    delta = {"content": "So: ", **call(0, "a", "add", '{"a":')}
    with serving(stream(event(delta), event(call(0, None, None, "1}")), event({}, "stop"))) as s:
        chunks = list(model_of(s).stream("x"))
    assert [block["type"] for block in chunks[0].content_blocks] == ["text", "tool_call_chunk"]
    assert found(added(chunks)) == [("add", {"a": 1})]


TORN = [
    '{"a": 1',
    '{"path": "/tmp/x',
    '{"a": [1, 2',
    '{"a": "b\\',
    '{"a": {"b": 1}',
    '{"a": 1} oh',
    "[1, 2",
]


@pytest.mark.rule("broken-calls-are-invalid")
@pytest.mark.parametrize("arguments", TORN)
@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_a_torn_call_is_never_handed_over_as_complete(arguments: str, version: str) -> None:
    """LangChain would complete ``{"path": "/tmp/x`` by itself when the chunks are added up."""
    events = [event(call(0, "a", "add", '{"a": 1}')), event(call(1, "b", "rm", arguments))]
    with serving(stream(*events, event({}, "length"))) as server:
        model = model_of(server, output_version=version)
        totals = [added(list(model.stream("x"))), added([c async for c in model.astream("x")])]
        whole_event = model.stream_events("x", version="v3").output
        streamed = model_of(server, streaming=True).invoke("x")
    for message in (*totals, whole_event, streamed):
        assert found(message) == [("add", {"a": 1})]
        (bad,) = message.invalid_tool_calls
        assert bad["name"] == "rm"
        assert (bad["args"] or "").startswith(arguments)
    assert all(total.chunk_position == "last" for total in totals)
    assert totals[0].response_metadata["finish_reason"] == "length"


@pytest.mark.rule("broken-calls-are-invalid")
@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_call_cut_before_its_arguments_is_invalid(reason: str) -> None:
    calls = [wire_call("ls", None, "a"), wire_call("rm", None, "b")]
    events = [event(call(0, "a", "ls", "")), event(call(1, "b", "rm", "")), event({}, reason)]
    with serving(whole(None, finish=reason, tool_calls=calls)) as server:
        answers = [model_of(server).invoke("x")]
    with serving(stream(*events)) as server:
        answers += [
            added(list(model_of(server).stream("x"))),
            model_of(server).stream_events("x", version="v3").output,
            model_of(server, streaming=True).invoke("x"),
        ]
    for message in answers:
        assert found(message) == [("ls", {})]  # only the last call can have been cut
        (bad,) = message.invalid_tool_calls
        assert (bad["name"], bad["id"]) == ("rm", "b")


@pytest.mark.rule("broken-calls-are-invalid")
@pytest.mark.parametrize("arguments", ["", "{}", '{"a": "\\"]}"}', '{"a": "é\n"}'])
def test_good_arguments_are_left_alone(arguments: str) -> None:
    with serving(stream(event(call(0, "a", "add", arguments)), event({}, "tool_calls"))) as server:
        total = added(list(model_of(server).stream("x")))
    assert len(total.tool_calls) == 1
    assert total.tool_call_chunks[0]["args"] == arguments


@pytest.mark.rule("usage-in-streams")
def test_usage_is_asked_for_and_stands_on_one_chunk() -> None:
    """Pain 12: usage is absent or inflated elsewhere."""
    with serving(stream(*TEXT, event(None, usage=USAGE))) as server:
        chunks = list(model_of(server).stream("x"))
        body = server.requests[0].json()
    assert body["stream_options"] == {"include_usage": True}
    counted = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    assert counted == [{"input_tokens": 5, "output_tokens": 4, "total_tokens": 9}]


@pytest.mark.rule("cumulative-usage")
def test_cumulative_usage_is_counted_once() -> None:
    """Novita and others count in every chunk: the last one holds them all."""
    steps = [{**USAGE, "completion_tokens": n, "total_tokens": 5 + n} for n in (1, 2, 3, 4)]
    events = [{**each, "usage": usage} for each, usage in zip(TEXT, steps, strict=True)]
    with serving(stream(*events)) as server:
        model = model_of(server)
        total = added(list(model.stream("x")))
        counted = model.stream_events("x", version="v3").output.usage_metadata
    assert total.usage_metadata == {"input_tokens": 5, "output_tokens": 4, "total_tokens": 9}
    assert counted is not None
    assert counted["total_tokens"] == 9


@pytest.mark.rule("usage-in-streams")
@pytest.mark.parametrize("how", ["model", "call"])
def test_usage_can_be_left_out(how: str) -> None:
    with serving(stream(*TEXT)) as server:
        if how == "model":
            list(model_of(server, stream_usage=False).stream("x"))
        else:
            list(model_of(server).stream("x", stream_usage=False))
        assert "stream_options" not in server.requests[0].json()


@pytest.mark.rule("metadata-once", "response-metadata")
def test_metadata_comes_once_on_the_last_chunk() -> None:
    """Trap 3: LangChain adds up what two chunks both say."""
    events = [{**each, "system_fingerprint": "fp"} for each in TEXT]
    with serving(stream(*events)) as server:
        chunks = list(model_of(server).stream("x"))
    assert all(set(chunk.response_metadata) <= {"model_provider"} for chunk in chunks[:-1])
    assert chunks[-1].response_metadata == {
        "model_provider": "hfrouter",
        "model_name": "served/m",
        "finish_reason": "stop",
        "id": "c1",
        "created": 1_771_000_000,
        "system_fingerprint": "fp",
        "request_id": "req-7",
        "inference_provider": "groq",
    }
    assert added(chunks).response_metadata == chunks[-1].response_metadata


@pytest.mark.rule("last-chunk", "content-is-one-kind")
def test_only_the_last_chunk_is_the_last() -> None:
    """Traps 5 and 8: one last chunk, and content is a string throughout."""
    with serving(stream(*TEXT, event(None, usage=USAGE))) as server:
        chunks = list(model_of(server).stream("x"))
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert all(isinstance(chunk.content, str) for chunk in chunks)


@pytest.mark.rule("logprobs")
def test_log_probabilities_are_collected() -> None:
    def token(text: str) -> dict[str, Any]:
        return {"content": [{"token": text, "logprob": -0.5, "top_logprobs": []}]}

    events = [event({"content": each}) for each in ("a", "b")]
    for each, text in zip(events, "ab", strict=True):
        each["choices"][0]["logprobs"] = token(text)
    with serving(stream(*events, event({}, "stop"))) as server:
        total = added(list(model_of(server, logprobs=True).stream("x")))
    assert [each["token"] for each in total.response_metadata["logprobs"]["content"]] == ["a", "b"]


@pytest.mark.rule("reasoning-is-kept", "reasoning-blocks")
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "reasoning_text"])
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_reasoning_is_kept_under_all_names(field: str, version: str) -> None:
    """Pains 3 and 4: reasoning is missing elsewhere."""
    events = [event({field: "I "}), event({field: "think."}), event({"content": "Yes"}), TEXT[-1]]
    with serving(stream(*events)) as server:
        model = model_of(server, output_version=version)
        total = added(list(model.stream("x")))
        replayed = model.stream_events("x", version="v3").output
    for message in (total, replayed):
        kinds = [(b["type"], b.get("reasoning") or b.get("text")) for b in message.content_blocks]
        assert kinds == [("reasoning", "I think."), ("text", "Yes")]
    if version == "v0":
        assert total.additional_kwargs == {"reasoning_content": "I think."}


@pytest.mark.rule("think-tags")
def test_thinking_tags_are_split_on_request() -> None:
    events = [event({"content": piece}) for piece in ("<th", "ink>hm", "</think>", "Yes")]
    with serving(stream(*events, TEXT[-1])) as server:
        split = added(list(model_of(server, split_think=True).stream("x")))
        plain = added(list(model_of(server).stream("x")))
    assert (split.text.strip(), split.additional_kwargs["reasoning_content"]) == ("Yes", "hm")
    assert plain.text == "<think>hm</think>Yes"


@pytest.mark.rule("refusals-are-blocks")
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_refusals_are_refusal_blocks(version: str) -> None:
    events = [event({"refusal": "I "}), event({"refusal": "won't."}), event({}, "stop")]
    with serving(stream(*events)) as server:
        total = added(list(model_of(server, output_version=version).stream("x")))
    (block,) = [b for b in total.content_blocks if b["type"] == "refusal"]
    assert block["refusal"] == "I won't."  # type: ignore[typeddict-item]


@pytest.mark.rule("sse-dialects")
def test_done_without_a_blank_is_understood() -> None:
    raw = b'data:{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    with serving(stream(raw, b"data:[DONE]\n\n", done=False)) as server:
        assert added(list(model_of(server).stream("x"))).text == "Hi"


@pytest.mark.rule("whole-answer-to-a-stream")
def test_a_whole_answer_to_a_streaming_request_is_one_chunk() -> None:
    body = {
        "id": "c1",
        "model": "served/m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi."},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
    with serving(json_reply(body, headers=HEADERS)) as server:
        total = added(list(model_of(server).stream("x")))
    assert total.text == "Hi."
    assert total.response_metadata["finish_reason"] == "stop"


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[Any] = []
        self.errors: list[BaseException] = []

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self.errors.append(error)


@pytest.mark.rule("tokens-are-told-once")
def test_new_tokens_are_announced_by_langchain_only() -> None:
    """Trap 9: a provider that announces them too doubles them."""
    tokens = Tokens()
    with serving(stream(*TEXT)) as server:
        list(model_of(server).stream("x", config={"callbacks": [tokens]}))
    assert tokens.tokens == ["Hel", "lo", ""]


@pytest.mark.rule("cut-stream-is-an-error")
def test_a_cut_stream_is_an_error_with_what_arrived() -> None:
    with serving(stream(*TEXT[:3], done=False, end=Fin())) as server:
        chunks: list[AIMessageChunk] = []
        with pytest.raises(ModelConnectionError) as caught:
            chunks.extend(model_of(server).stream("x"))
        assert isinstance(caught.value, StreamInterruptedError)
        assert caught.value.partial is not None
        assert caught.value.partial.text == "Hello"


@pytest.mark.rule("cut-stream-is-an-error")
def test_a_clean_end_without_finish_reason_is_an_error() -> None:
    with serving(stream(*TEXT[:3], done=False)) as server, pytest.raises(StreamInterruptedError):
        list(model_of(server).stream("x"))


@pytest.mark.rule("error-event")
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "slow down", "code": 429}, ModelRateLimitError),
        ({"message": "upstream failed", "type": "server_error", "code": 500}, ModelAPIError),
    ],
)
def test_an_error_event_is_raised_as_its_kind(error: Any, kind: type[Exception]) -> None:
    with serving(stream(*TEXT[:2], {"error": error})) as server:
        with pytest.raises(kind, match=str(error["message"])) as caught:
            list(model_of(server).stream("x"))
        assert isinstance(caught.value, StreamEventError)
        assert caught.value.response.json()["error"] == error  # type: ignore[attr-defined]


@pytest.mark.rule("early-break-closes")
def test_an_early_break_closes_the_connection() -> None:
    """Trap 10."""
    tokens = Tokens()
    with serving(stream(*TEXT[:2], end=Hang())) as server:
        chunks = model_of(server).stream("x", config={"callbacks": [tokens]})
        assert next(chunks).text == "Hel"
        del chunks
        gc.collect()
        assert server.wait_open(0)
    assert all(isinstance(error, GeneratorExit) for error in tokens.errors)


@pytest.mark.rule("early-break-closes")
async def test_an_early_break_closes_the_connection_async() -> None:
    with serving(stream(*TEXT[:2], end=Hang())) as server:
        chunks = model_of(server).astream("x")
        async for chunk in chunks:
            assert chunk.text == "Hel"
            break
        await chunks.aclose()  # type: ignore[attr-defined]
        assert server.wait_open(0)


@pytest.mark.rule("timeouts")
def test_a_timeout_is_between_events_not_of_the_whole_stream() -> None:
    """Trap 16."""
    events = [event({"content": "x"}) for _ in range(8)]
    with serving(stream(*events, event({}, "stop"), delay=0.1)) as server:
        assert added(list(model_of(server, timeout=0.5).stream("x"))).text == "x" * 8


@pytest.mark.rule("several-answers")
def test_several_answers_cannot_be_streamed() -> None:
    with serving(stream(*TEXT)) as server:
        with pytest.raises(InvalidSettingError, match="n must be 1"):
            list(model_of(server, n=2).stream("x"))
        assert server.requests == []


@pytest.mark.rule("streaming-switches")
def test_invoke_streams_when_asked_to() -> None:
    with serving(stream(*TEXT)) as server:
        assert model_of(server, streaming=True).invoke("x").text == "Hello"
        assert server.requests[0].json()["stream"] is True


@pytest.mark.rule("streaming-switches")
@pytest.mark.parametrize("options", [{"disable_streaming": True}, {"streaming": False}])
def test_streams_can_be_turned_off(options: dict[str, Any]) -> None:
    with serving(whole("Hello")) as server:
        (only,) = model_of(server, **options).stream("x")
        assert only.text == "Hello"
        assert "stream" not in server.requests[0].json()


@pytest.mark.rule("streaming-switches")
def test_streaming_is_off_for_tools_where_wanted() -> None:
    with serving(whole("Hello"), stream(*TEXT)) as server:
        model = model_of(server, disable_streaming="tool_calling")
        list(model.bind_tools([TOOL]).stream("x"))
        list(model.stream("x"))
        assert [r.json().get("stream", False) for r in server.requests] == [False, True]
