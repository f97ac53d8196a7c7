"""Rules for streams."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError, ModelRateLimitError

from tests.helpers.fault_server import Fin, Hang
from tests.langchain.conformance.base import (
    Conformance,
    StrictServer,
    collected,
    run,
    say,
    started,
    total,
)
from tests.langchain.script import USAGE, call, event, stream

TEXT = [event({"role": "assistant", "content": ""}), event({"content": "Hel"})]
TEXT += [event({"content": "lo"}), event({}, "stop")]
COUNTED = {"input_tokens": 5, "output_tokens": 4, "total_tokens": 9}


class Tokens(BaseCallbackHandler):
    """Keeps what it hears of."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(str(token))


class StreamRules(Conformance):
    """Chunks, and what adding them up gives."""

    @pytest.mark.rule("four-native-calls", "last-chunk", "content-is-one-kind")
    def test_one_last_chunk(self, server: StrictServer) -> None:
        """One chunk says that it is the last, the last one; content is of one kind."""
        server.answers(stream(*TEXT, event(None, usage=USAGE)))
        for version, kind in (("v0", str), ("v1", list)):
            model = self.make(server.base_url, output_version=version)
            chunks = list(model.stream("x"))
            assert total(chunks).text == "Hello"
            assert [c.chunk_position for c in chunks] == [None] * (len(chunks) - 1) + ["last"]
            assert {type(c.content) for c in chunks if c.content} == {kind}
        chunks = run(lambda: collected(model.astream("x")))
        assert total(chunks).text == "Hello"
        assert chunks[-1].chunk_position == "last"

    @pytest.mark.rule("usage-in-streams")
    def test_usage_by_default(self, model: Any, server: StrictServer) -> None:
        """Streams ask for usage unasked and hand it over on one chunk."""
        server.answers(stream(*TEXT, event(None, usage=USAGE)))
        counted = [c.usage_metadata for c in model.stream("x") if c.usage_metadata]
        assert server.last["stream_options"] == {"include_usage": True}
        assert [{name: count[name] for name in COUNTED} for count in counted] == [COUNTED]

    @pytest.mark.rule("cumulative-usage")
    def test_cumulative_usage_is_counted_once(self, model: Any, server: StrictServer) -> None:
        """Counts that grow from event to event are not added up."""
        steps = [{**USAGE, "completion_tokens": n, "total_tokens": 5 + n} for n in (1, 2, 3, 4)]
        server.answers(stream(*({**each, "usage": u} for each, u in zip(TEXT, steps, strict=True))))
        for answer in (
            total(list(model.stream("x"))),
            model.stream_events("x", version="v3").output,
        ):
            assert {name: answer.usage_metadata[name] for name in COUNTED} == COUNTED

    @pytest.mark.rule("metadata-once", "response-metadata")
    def test_metadata_once(self, model: Any, server: StrictServer) -> None:
        """Model, finish reason and fingerprint, said by every event, are not doubled."""
        server.answers(stream(*({**each, "system_fingerprint": "fp"} for each in TEXT)))
        metadata = total(list(model.stream("x"))).response_metadata
        assert metadata["model_name"] == "served/m"
        assert metadata["finish_reason"] == "stop"
        assert metadata["system_fingerprint"] == "fp"

    @pytest.mark.rule("odd-numbers-merge", "metadata-is-json")
    def test_odd_numbers_do_not_break_the_sum(self, model: Any, server: StrictServer) -> None:
        """Floats, nulls and unknown fields of events do not break adding chunks up."""
        odd = {"prompt_tokens": 5.0, "completion_tokens": None, "cost": 0.1}
        events = [{**each, "usage": odd, "timings": {"ms": 1.5}, "cached": None} for each in TEXT]
        server.answers(stream(*events, event(None, usage={**USAGE, "cost": 0.2})))
        answer = total(list(model.stream("x")))
        assert answer.text == "Hello"
        assert {name: answer.usage_metadata[name] for name in COUNTED} == COUNTED

    @pytest.mark.rule("logprobs")
    def test_log_probabilities_are_collected(self, model: Any, server: StrictServer) -> None:
        """Log probabilities of all chunks are in the metadata of the sum."""
        events = [event({"content": each}) for each in "ab"]
        for each, text in zip(events, "ab", strict=True):
            tokens = [{"token": text, "logprob": -0.5, "top_logprobs": []}]
            each["choices"][0]["logprobs"] = {"content": tokens}
        server.answers(stream(*events, event({}, "stop")))
        answer = total(list(model.stream("x", logprobs=True)))
        found = answer.response_metadata["logprobs"]["content"]
        assert [each["token"] for each in found] == ["a", "b"]

    @pytest.mark.rule("tokens-are-told-once")
    def test_tokens_are_told_once(self, model: Any, server: StrictServer) -> None:
        """Callbacks hear of each token once, in v3 streams too."""
        server.answers(stream(*TEXT))
        plain, events = Tokens(), Tokens()
        list(model.stream("x", config={"callbacks": [plain]}))
        list(model.stream_events("x", version="v3", config={"callbacks": [events]}))
        assert [token for token in plain.tokens if token] == ["Hel", "lo"]
        told = [token for token in events.tokens if token]
        assert sorted(set(told)) == sorted(told), "told twice"

    @pytest.mark.rule("early-break-closes")
    def test_leaving_early_closes_the_connection(self, model: Any, server: StrictServer) -> None:
        """A stream that is left early leaves no open connection behind."""
        server.answers(stream(*TEXT[:2], end=Hang()))
        chunks = model.stream("x")
        next(chunks)
        del chunks
        gc.collect()
        assert server.wait_open(0, timeout=2)

    @pytest.mark.rule("cut-stream-is-an-error")
    @pytest.mark.parametrize("end", [Fin(), None], ids=["connection lost", "clean end"])
    def test_cut_streams_raise(self, end: Any, model: Any, server: StrictServer) -> None:
        """A stream that is cut before its answer ends is an error, not a short answer."""
        server.answers(stream(*TEXT[:3], done=False, end=end))
        chunks = model.stream("x")
        assert next(chunk.text for chunk in chunks if chunk.text) == "Hel"
        with pytest.raises(Exception):  # noqa: B017 - of any package
            list(chunks)

    @pytest.mark.rule("error-event")
    def test_error_events_have_their_class(self, model: Any, server: StrictServer) -> None:
        """An error inside a stream is raised as LangChain's class for it."""
        server.answers(stream(*TEXT[:2], {"error": {"message": "slow down", "code": 429}}))
        with pytest.raises(ModelError) as caught:
            list(model.stream("x"))
        assert isinstance(caught.value, ModelRateLimitError)

    @pytest.mark.rule("sse-dialects")
    def test_dialects_of_events(self, model: Any, server: StrictServer) -> None:
        """``data:`` without a blank, comments and an empty list of choices are understood."""
        first = b'data:{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
        last = b'data:{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        empty = b'data:{"choices":[]}\n\n'
        server.answers(stream(empty, b": wait\n\n", first, last, b"data:[DONE]\n\n", done=False))
        assert total(list(model.stream("x"))).text == "Hi"

    @pytest.mark.rule("v3-projections", "v3-events")
    def test_parts_of_event_streams(self, model: Any, server: StrictServer) -> None:
        """v3 streams give text, calls and usage, each block with its own index."""
        pieces = [event({"content": "Let me "}), event({"content": "see."})]
        pieces += [event(call(0, "a", "add", '{"a":')), event(call(0, None, None, " 1}"))]
        server.answers(started(*pieces, event({}, "tool_calls"), event(None, usage=USAGE)))
        opened = model.stream_events("x", version="v3")
        assert "".join(opened.text) == "Let me see."
        assert opened.output.usage_metadata["total_tokens"] == 9
        events = list(model.stream_events("x", version="v3"))
        begun = [e["index"] for e in events if e["event"] == "content-block-start"]
        finished = [e["content"] for e in events if e["event"] == "content-block-finish"]
        assert len(set(begun)) == len(begun) == 2
        assert [each["type"] for each in finished] == ["text", "tool_call"]

    @pytest.mark.rule("refusals-are-blocks")
    def test_refusals_of_streams(self, model: Any, server: StrictServer) -> None:
        """A streamed refusal is one ``refusal`` block."""
        events = [event({"refusal": "I "}), event({"refusal": "won't."}), event({}, "stop")]
        server.answers(started(*events))
        for answer in (
            total(list(model.stream("x"))),
            model.stream_events("x", version="v3").output,
        ):
            found = [b.get("refusal") for b in answer.content_blocks if b["type"] == "refusal"]
            assert found == ["I won't."]

    @pytest.mark.rule("langgraph-messages", "agents-call-tools")
    def test_an_agent_streams_its_messages(self, model: Any, server: StrictServer) -> None:
        """An agent's message stream hands over pieces, and a call and its result go back."""
        from langchain.agents import create_agent
        from langchain_core.messages import AIMessageChunk

        def add(a: int) -> int:
            """Add one."""
            return a + 1

        calls = [event(call(0, "a", "add", '{"a":')), event(call(0, None, None, " 1}"))]
        server.answers(started(*calls, event({}, "tool_calls")), stream(*TEXT))
        agent = create_agent(model, tools=[add])
        parts = list(agent.stream({"messages": [("user", "x")]}, stream_mode="messages"))
        texts = [part.text for part, _ in parts if isinstance(part, AIMessageChunk) and part.text]
        assert texts == ["Hel", "lo"]
        assert [m["role"] for m in server.last["messages"]] == ["user", "assistant", "tool"]
        assert server.last["messages"][-1]["content"] == "2"

    @pytest.mark.rule("streaming-switches")
    def test_streaming_switches(self, server: StrictServer) -> None:
        """``streaming=True`` streams ``invoke``; ``disable_streaming`` makes streams whole."""
        server.answers(say("Hi."))
        assert self.make(server.base_url, streaming=True).invoke("x").text == "Hi."
        assert server.last["stream"] is True
        quiet = self.make(server.base_url, disable_streaming=True)
        assert total(list(quiet.stream("x"))).text == "Hi."
        assert not server.last.get("stream")
