"""Streams of the Responses API: the rules of LangChain's merging, and habits of servers."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelConnectionError
from langchain_core.messages import AIMessage, AIMessageChunk

from shared_core import StreamInterruptedError
from tests.helpers.fault_server import Fin, Hang, json_reply
from tests.langchain.responses_server import (
    ASKED,
    CALLED,
    LISTED,
    METADATA,
    body,
    call,
    event,
    events,
    model_of,
    reasoning,
    refusal,
    sent,
    serving,
    stream,
    text,
    whole,
)
from tests.langchain.script import HEADERS, added

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]

SUMMARY = [{"type": "summary_text", "text": "In short."}]
NOTE = {"type": "url_citation", "url": "https://a.test", "title": "A"}
TWO_PARTS = {
    **text(),
    "content": [
        {"type": "output_text", "text": "One. ", "annotations": [NOTE]},
        {"type": "output_text", "text": "Two.", "annotations": []},
        {"type": "refusal", "refusal": "Not three."},
    ],
}
OUTPUTS: dict[str, tuple[Any, ...]] = {
    "text": (text("Hello you."),),
    "two messages": (text("Hello "), text("you.", id="msg_2")),
    "parts of one message": (TWO_PARTS,),
    "reasoning and text": (reasoning("I think."), text("Yes.")),
    "two thoughts": (reasoning("A."), reasoning("B.", id="rs_2"), text("Yes.")),
    "summary": (reasoning("", summary=SUMMARY), text("Yes.")),
    "secret reasoning": (reasoning("", encrypted_content="x1"), text("Yes.")),
    "refusal": (refusal("I won't."),),
    "call": (call("add", '{"a": 1}'),),
    "call without arguments": (call("now", "{}"),),
    "text and two calls": (text("So:"), call("add", '{"a": 1}'), call("sub", '{"b": 2}', id="2")),
    "MCP": (LISTED, reasoning("Hm."), CALLED, text("So."), ASKED),
    "nothing": (),
}


def plain(blocks: Any) -> list[Any]:
    return [{k: v for k, v in block.items() if k != "index"} for block in blocks]


def same(one: AIMessage, other: AIMessage) -> None:
    """Both say the same, but for the ids of LangChain's runs."""
    assert plain(one.content_blocks) == plain(other.content_blocks)
    assert one.additional_kwargs == other.additional_kwargs
    assert one.tool_calls == other.tool_calls
    assert one.usage_metadata == other.usage_metadata
    ignored = {"output_version"}
    facts = [
        {k: v for k, v in each.response_metadata.items() if k not in ignored}
        for each in (one, other)
    ]
    assert facts[0] == facts[1]


@pytest.mark.rule("responses-stream-same")
@pytest.mark.parametrize("case", OUTPUTS)
@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_a_stream_adds_up_to_the_whole_answer(case: str, version: str) -> None:
    output = OUTPUTS[case]
    with serving(whole(*output), *[stream(*output)] * 4) as server:
        model = model_of(server, output_version=version)
        answer: Any = model.invoke("x")
        same(added(list(model.stream("x"))), answer)
        same(added([chunk async for chunk in model.astream("x")]), answer)
        events_of = [model.stream_events("x", version="v3").output]
        events_of.append(await (await model.astream_events("x", version="v3")).output)
        if case == "parts of one message":  # LangChain's events have no refusal blocks
            answer = answer.model_copy(update={"content": answer.content[:-1]})
            assert answer.additional_kwargs == {"refusal": "Not three."}
        for each in events_of:
            same(each, answer)
        assert len(server.requests) == 5
        assert all(each.json()["stream"] for each in server.requests[1:])


def reordered() -> list[dict[str, Any]]:
    """llama.cpp's order: no item is done before all have come; no index anywhere."""
    output = (
        reasoning("I think."),
        text("So:"),
        call("add", '{"a": 1}'),
        call("sub", "{}", id="2"),
    )
    found = [
        {k: v for k, v in each.items() if k not in ("output_index", "content_index")}
        for each in events(*output)
    ]
    done = [each for each in found if each["type"].endswith("item.done")]
    return [*(each for each in found[:-1] if each not in done), *done, found[-1]]


def without(*kinds: str) -> list[dict[str, Any]]:
    """The events of an answer, but for those of some kinds."""
    output = (
        reasoning("I think."),
        text("So:"),
        call("add", '{"a": 1}'),
        call("sub", "{}", id="2"),
    )
    return [e for e in events(*output) if not e["type"].endswith(kinds)]


def renamed() -> list[dict[str, Any]]:
    """The last event gives every item another id."""
    found = without("item.done")
    final = found[-1]["response"]
    output = [{**item, "id": f"other_{n}"} for n, item in enumerate(final["output"])]
    return [*found[:-1], event("completed", response={**final, "output": output})]


def shortened() -> list[dict[str, Any]]:
    """The ends of the thoughts and of the arguments are told by the last event only."""
    found = without("item.done", "text.done", "arguments.done")
    last: dict[str, int] = {e["item_id"]: n for n, e in enumerate(found) if "delta" in e}
    last = {id: n for id, n in last.items() if found[n - 1]["type"] == found[n]["type"]}
    assert len(last) == 2
    return [e for n, e in enumerate(found) if n not in last.values()]


HABITS: dict[str, list[dict[str, Any]]] = {
    "regular": without("no such event"),
    "done at the end": reordered(),
    "no deltas": without(".delta"),
    "no items announced": without("item.added"),
    "no items done": without("item.done"),
    "the last event alone": without(".created", ".delta", "item.added", "item.done"),
    "other ids in the last event": renamed(),
    "ends in the last event": shortened(),
    "no output in the last event": [
        *without(".completed"),
        event("completed", response=body()),
    ],
}


@pytest.mark.rule("responses-stream-rules")
@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_habits_of_servers_make_no_difference(habit: str, version: str) -> None:
    with serving(sent(*HABITS[habit])) as server:
        model = model_of(server, output_version=version)
        total = added(list(model.stream("x")))
        whole_event = model.stream_events("x", version="v3").output
    for message in (total, whole_event):
        kinds = [block["type"] for block in message.content_blocks]
        assert kinds == ["reasoning", "text", "tool_call", "tool_call"]
        assert message.text == "So:"
        assert [(c["id"], c["name"], c["args"]) for c in message.tool_calls] == [
            ("call_1", "add", {"a": 1}),
            ("call_2", "sub", {}),
        ]
        assert message.invalid_tool_calls == []


@pytest.mark.rule("responses-stream-rules")
@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("renamed", [False, True], ids=["same ids", "other ids"])
async def test_what_only_the_last_event_tells_is_shown_once(version: str, renamed: bool) -> None:
    """Beside items of the same kind that were streamed."""
    told = (reasoning("Hm."), text("Hello "), call("add", '{"a": 1}'))
    late = (text("you.", id="msg_2"), reasoning(" So.", id="rs_2"), call("sub", "{}", id="2"))
    output = [*told, *late]
    if renamed:
        output = [{**item, "id": f"other_{n}"} for n, item in enumerate(output)]
    with serving(sent(*events(*told)[:-1], event("completed", response=body(*output)))) as server:
        model = model_of(server, output_version=version)
        totals: list[AIMessage] = [added(list(model.stream("x")))]
        totals.append(added([chunk async for chunk in model.astream("x")]))
        totals.append(model.stream_events("x", version="v3").output)
    for message in totals:
        assert message.text == "Hello you."
        thoughts = [b["reasoning"] for b in message.content_blocks if b["type"] == "reasoning"]
        assert thoughts == ["Hm.", " So."]
        assert [(c["name"], c["args"]) for c in message.tool_calls] == [
            ("add", {"a": 1}),
            ("sub", {}),
        ]
        assert message.invalid_tool_calls == []


@pytest.mark.rule("responses-stream-rules")
def test_blocks_have_indexes_of_their_own_and_calls_numbers() -> None:
    output = (reasoning("Hm."), TWO_PARTS, CALLED, call("a", "{}"), call("b", "{}", id="2"))
    with serving(stream(*output)) as server:
        chunks = list(model_of(server).stream("x"))
    blocks = [block for chunk in chunks for block in chunk.content]
    assert all(isinstance(block, dict) for block in blocks)
    kinds: dict[str, set[str]] = {}
    for block in blocks:
        assert isinstance(block, dict)
        assert block["index"].startswith("lc_")
        kinds.setdefault(block["index"], set()).add(block["type"])
    assert all(len(found) == 1 for found in kinds.values())
    assert len(kinds) == 6
    pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
    assert [(p["index"], p["id"], p["name"]) for p in pieces if p["id"]] == [
        (0, "call_1", "a"),
        (1, "call_2", "b"),
    ]
    assert {p["index"] for p in pieces} == {0, 1}


@pytest.mark.rule("responses-stream-rules")
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_usage_and_metadata_stand_once_on_the_last_chunk(version: str) -> None:
    with serving(stream(reasoning("Hm."), text("Hello you."))) as server:
        chunks = list(model_of(server, output_version=version).stream("x"))
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert all(isinstance(chunk.content, list) for chunk in chunks)
    assert [bool(chunk.usage_metadata) for chunk in chunks].count(True) == 1
    assert chunks[-1].usage_metadata is not None
    early = {name for chunk in chunks[:-1] for name in chunk.response_metadata}
    assert early <= {"model_provider", "output_version"}
    last = {k: v for k, v in chunks[-1].response_metadata.items() if k != "output_version"}
    assert last == METADATA


@pytest.mark.rule("responses-stream-rules")
def test_a_piece_of_a_call_is_a_piece() -> None:
    with serving(stream(text("So:"), call("add", '{"a": 1}'))) as server:
        chunks = list(model_of(server).stream("x"))
    half = added(chunks[:-2])
    assert [block["type"] for block in half.content_blocks] == ["text", "tool_call_chunk"]


@pytest.mark.rule("responses-stream-rules")
@pytest.mark.parametrize("came", ['{"path": "/tmp/x', ""])
@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_a_torn_call_is_never_handed_over_as_complete(version: str, came: str) -> None:
    torn = {**call("rm", came, id="2"), "status": "incomplete"}
    output = (call("add", '{"a": 1}'), torn)
    with serving(stream(*output, status="incomplete")) as server:
        model = model_of(server, output_version=version)
        totals: list[AIMessage] = [added(list(model.stream("x")))]
        totals.append(added([chunk async for chunk in model.astream("x")]))
        totals.append(model.stream_events("x", version="v3").output)
        totals.append(model_of(server, streaming=True).invoke("x"))
    with serving(json_reply(body(*output, status="incomplete"), headers=HEADERS)) as server:
        totals.append(model_of(server).invoke("x"))
    for message in totals:
        assert [each["name"] for each in message.tool_calls] == ["add"]
        (bad,) = message.invalid_tool_calls
        assert (bad["name"], bad["id"]) == ("rm", "call_2")
        assert (bad["args"] or "").startswith(came)
        assert message.response_metadata["finish_reason"] == "length"


@pytest.mark.rule("responses-stream-rules")
def test_a_whole_answer_to_a_streaming_request_is_understood() -> None:
    with serving(json_reply(body(text(), call("add", "{}")), headers=HEADERS)) as server:
        total = added(list(model_of(server).stream("x")))
    assert total.text == "Hi."
    assert total.tool_calls[0]["name"] == "add"
    assert total.response_metadata["status"] == "completed"


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[Any] = []

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)


@pytest.mark.rule("responses-stream-rules")
def test_new_tokens_are_announced_once() -> None:
    tokens = Tokens()
    with serving(stream(text("Hello"))) as server:
        list(model_of(server).stream("x", config={"callbacks": [tokens]}))
    texts = ["".join(block["text"] for block in token) for token in tokens.tokens]
    assert texts == ["Hell", "o", ""]


STARTED = events(text("Hello you."))[:4]  # created, added, "Hell", "o yo"


@pytest.mark.rule("responses-early-break")
def test_an_early_break_closes_the_connection() -> None:
    with serving(sent(*STARTED, end=Hang())) as server:
        chunks = model_of(server).stream("x")
        assert next(chunks).text == "Hell"
        del chunks
        gc.collect()
        assert server.wait_open(0)


@pytest.mark.rule("responses-early-break")
async def test_an_early_break_closes_the_connection_async() -> None:
    with serving(sent(*STARTED, end=Hang())) as server:
        chunks = model_of(server).astream("x")
        async for chunk in chunks:
            assert chunk.text == "Hell"
            break
        await chunks.aclose()  # type: ignore[attr-defined]
        assert server.wait_open(0)


@pytest.mark.rule("responses-failures")
@pytest.mark.parametrize("end", [Fin(), None])
async def test_a_cut_stream_is_an_error_with_what_arrived(end: Any) -> None:
    with serving(sent(*STARTED, done=False, end=end)) as server:
        chunks: list[AIMessageChunk] = []
        with pytest.raises(ModelConnectionError) as caught:
            chunks.extend(model_of(server).stream("x"))
        assert isinstance(caught.value, StreamInterruptedError)
        partial: Any = caught.value.partial
        assert partial.output_text == "Hello yo"
        with pytest.raises(StreamInterruptedError):
            _ = [chunk async for chunk in model_of(server).astream("x")]


@pytest.mark.rule("responses-on-request")
def test_invoke_streams_when_asked_to() -> None:
    with serving(stream(text("Hello"))) as server:
        assert model_of(server, streaming=True).invoke("x").text == "Hello"
        assert server.requests[0].json()["stream"] is True
