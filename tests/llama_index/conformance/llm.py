"""Rules for an LLM class; see README.md."""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import pickle
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.callbacks.token_counting import get_tokens_from_response
from llama_index.core.prompts import PromptTemplate

from tests.helpers.fault_server import Fin, json_reply, sse
from tests.llama_index.conformance.base import (
    KEY,
    TOOLS,
    TWO,
    Conformance,
    Events,
    Person,
    add,
    collect,
    run,
    times,
)
from tests.llama_index.stub_server import StubRouter, call, chunk, say, stream
from tests.llama_index.test_messages import PNG, WAV

HELLO = [ChatMessage(role="user", content="Say hello.")]
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class LLMConformance(Conformance):
    """Subclass and implement ``make``."""

    # --- answers ------------------------------------------------------------------------

    @pytest.mark.rule("eight-calls")
    def test_chat_and_complete(self, model: Any, stub: StubRouter) -> None:
        """The four whole-answer calls give the text, one request each."""
        stub.chat(say("Hello."))
        assert model.chat(HELLO).message.content == "Hello."
        assert model.complete("x").text == "Hello."
        assert run(lambda: model.achat(HELLO)).message.content == "Hello."
        assert run(lambda: model.acomplete("x")).text == "Hello."
        assert len(stub.bodies) == 4

    @pytest.mark.rule("generator-objects", "cumulative")
    def test_streams_are_cumulative_generators(self, model: Any, stub: StubRouter) -> None:
        """Streams are generator objects; message is cumulative, delta is new text only."""
        stub.chat(say(["He", "llo."]))
        opened = model.stream_chat(HELLO)
        assert isinstance(opened, Generator)
        found = list(opened)
        assert "".join(r.delta or "" for r in found) == "Hello."
        assert found[-1].message.content == "Hello."
        assert list(model.stream_complete("x"))[-1].text == "Hello."

        async def opening() -> bool:
            generator = await model.astream_chat(HELLO)
            is_one = isinstance(generator, AsyncGenerator)
            await generator.aclose()
            return is_one

        assert run(opening)
        assert run(lambda: collect(model.astream_chat(HELLO)))[-1].message.content == "Hello."
        assert run(lambda: collect(model.astream_complete("x")))[-1].text == "Hello."

    @pytest.mark.rule("zero-temperature")
    def test_zero_temperature_is_sent(self, stub: StubRouter) -> None:
        """``temperature=0`` is legal and sent as 0."""
        stub.chat(say("x"))
        self.make(stub.base_url, temperature=0).chat(HELLO)
        assert stub.last["temperature"] == 0

    @pytest.mark.rule("call-wins")
    def test_call_keywords_win(self, stub: StubRouter) -> None:
        """A keyword of the call beats the constructor's."""
        stub.chat(say("x"))
        self.make(stub.base_url, max_tokens=5).chat(HELLO, max_tokens=9)
        assert stub.last["max_tokens"] == 9

    @pytest.mark.rule("roles")
    def test_roles_are_mapped(self, model: Any, stub: StubRouter) -> None:
        """CHATBOT and MODEL speak as the assistant."""
        stub.chat(say("x"))
        for role in (MessageRole.CHATBOT, MessageRole.MODEL):
            model.chat([*HELLO, ChatMessage(role=role, content="a"), *HELLO])
            assert stub.last["messages"][1]["role"] == "assistant"

    # --- usage and events ---------------------------------------------------------------

    @pytest.mark.rule("raw-is-json", "usage", "token-counts")
    def test_usage_whole_and_streamed(self, stub: StubRouter) -> None:
        """``raw["usage"]`` is there on answers and at the end of streams, and is counted."""
        stub.chat(say("Hello."))
        for consume in (
            lambda llm: llm.chat(HELLO),
            lambda llm: list(llm.stream_chat(HELLO))[-1],
            lambda llm: run(lambda: collect(llm.astream_chat(HELLO)))[-1],
        ):
            counter = TokenCountingHandler(tokenizer=str.split)
            llm = self.make(stub.base_url, callback_manager=CallbackManager([counter]))
            last = consume(llm)
            assert dict(last.raw)["usage"] == USAGE
            assert json.loads(json.dumps(last.raw)) == last.raw
            assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (11, 7)

    @pytest.mark.rule("events-once", "events-without-secrets")
    def test_events_once(self, model: Any, stub: StubRouter, events: Events) -> None:
        """One start and one end event per call; ``complete`` is no chat besides."""
        stub.chat(say("Hello."))
        model.chat(HELLO)
        list(model.stream_chat(HELLO))
        assert events.count("LLMChatStartEvent") == events.count("LLMChatEndEvent") == 2
        model.complete("x")
        list(model.stream_complete("x"))
        assert events.count("LLMCompletionStartEvent") == 2
        assert events.count("LLMChatStartEvent") == 2
        assert KEY not in events.text()

    # --- streams that peers stumble over ------------------------------------------------

    @pytest.mark.rule("empty-choices", "line-separators")
    def test_empty_choices_and_separators(self, model: Any, stub: StubRouter) -> None:
        """Chunks without choices, and U+2028, do not break a stream."""
        odd = {**chunk({}), "choices": []}
        stub.chat(sse(odd, chunk({"content": "a\u2028b\u0085c"}), odd, chunk({}, "stop")))
        assert list(model.stream_chat(HELLO))[-1].message.content == "a\u2028b\u0085c"

    @pytest.mark.rule("cut-streams-raise")
    def test_cut_streams_raise(self, model: Any, stub: StubRouter) -> None:
        """A stream that ends without a finish reason is an error, and no RuntimeError."""
        stub.chat(say("Hel", finish=None, end=Fin()))
        with pytest.raises(Exception) as caught:
            list(model.stream_chat(HELLO))
        assert not isinstance(caught.value, RuntimeError)

    @pytest.mark.rule("last-chunks-are-kept", "client-stays-open")
    def test_async_streams_to_the_end(self, model: Any, stub: StubRouter) -> None:
        """Async streams keep text and usage that come with and after the finish reason."""
        last = [chunk({"content": "lo."}, "stop"), {**chunk({}), "choices": [], "usage": USAGE}]
        stub.chat(sse(chunk({"content": "Hel"}), *last))

        async def twice() -> list[list[Any]]:
            return [await collect(model.astream_chat(HELLO)) for _ in range(2)]

        for found in run(twice):
            assert found[-1].message.content == "Hello."
            assert get_tokens_from_response(found[-1]) == (11, 7)

    @pytest.mark.rule("early-break")
    def test_leaving_a_stream_closes_it(self, model: Any, stub: StubRouter) -> None:
        """Closing the generator closes the connection."""
        stub.chat(say(["w "] * 50, delay=0.02))
        opened = model.stream_chat(HELLO)
        next(opened)
        opened.close()
        del opened
        gc.collect()
        assert stub.wait_open(0)

    @pytest.mark.rule("new-loops")
    def test_new_loops(self, model: Any, stub: StubRouter) -> None:
        """One object serves one event loop after another."""
        stub.chat(say("Hello."))
        for _ in range(3):
            assert run(lambda: model.achat(HELLO)).message.content == "Hello."

    @pytest.mark.rule("sync-in-a-loop")
    def test_sync_inside_a_loop(self, model: Any, stub: StubRouter) -> None:
        """Sync calls work inside a running loop."""
        stub.chat(say("Hello."))

        async def main() -> str:
            return str(model.complete("x"))

        assert run(main) == "Hello."

    # --- tools --------------------------------------------------------------------------

    @pytest.mark.rule("tools-whole", "tools-streamed", "calls-in-both-places")
    def test_tool_calls(self, model: Any, stub: StubRouter) -> None:
        """Calls are read from answers and streams, with their arguments as dicts."""
        stub.chat(TWO)
        for answer in (
            model.chat_with_tools(TOOLS, user_msg="x", allow_parallel_tool_calls=True),
            list(model.stream_chat_with_tools(TOOLS, user_msg="x", allow_parallel_tool_calls=True))[
                -1
            ],
        ):
            found = model.get_tool_calls_from_response(answer)
            assert [(c.tool_name, c.tool_kwargs) for c in found] == [
                ("add", {"a": 2, "b": 3}),
                ("times", {"a": 2, "b": 3}),
            ]
            assert all(c.tool_id for c in found)
            listed = answer.message.additional_kwargs["tool_calls"]
            assert json.loads(json.dumps(listed)) == listed

    @pytest.mark.rule("partial-calls")
    def test_partial_calls_never_raise(self, model: Any, stub: StubRouter) -> None:
        """Calls are readable on every response of a stream."""
        stub.chat(TWO)
        for response in model.stream_chat_with_tools(TOOLS, user_msg="x"):
            for found in model.get_tool_calls_from_response(response, error_on_no_tool_call=False):
                assert isinstance(found.tool_kwargs, dict)

    @pytest.mark.rule("call-assembly")
    def test_call_assembly(self, model: Any, stub: StubRouter) -> None:
        """Two calls in one delta, interleaved; a new id on a used index is a new call."""

        def piece(index: int, call_id: str | None, name: str | None, text: str) -> dict[str, Any]:
            function = {"arguments": text} | ({"name": name} if name else {})
            return {"index": index, "function": function} | ({"id": call_id} if call_id else {})

        both = [piece(0, "a", "add", '{"a": 1,'), piece(1, "b", "times", '{"a": 2,')]
        rest = [piece(1, None, None, ' "b": 2}'), piece(0, None, None, ' "b": 1}')]
        again = [piece(0, "c", "add", '{"a": 3, "b": 3}')]
        stub.chat(
            stream({"tool_calls": both}, {"tool_calls": rest}, {"tool_calls": again}, finish="stop")
        )
        last = list(model.stream_chat(HELLO))[-1]
        found = model.get_tool_calls_from_response(last)
        assert [(c.tool_id, c.tool_kwargs["a"]) for c in found] == [("a", 1), ("b", 2), ("c", 3)]

    @pytest.mark.rule("no-tools")
    def test_no_tools_nothing_sent(self, model: Any, stub: StubRouter) -> None:
        """Without tools, nothing about tools is sent."""
        stub.chat(say("x"))
        model.chat_with_tools([], user_msg="x")
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & stub.last.keys()

    @pytest.mark.rule("no-vendor-extras")
    def test_tools_are_sent_as_they_are(self, model: Any, stub: StubRouter) -> None:
        """Nothing is added to a tool's definition that some providers refuse."""
        stub.chat(TWO)
        model.chat_with_tools(TOOLS, user_msg="x")
        for sent, tool in zip(stub.last["tools"], TOOLS, strict=True):
            assert sent == tool.metadata.to_openai_tool()

    @pytest.mark.rule("history-untouched", "user-msg")
    def test_history_is_left_alone(self, model: Any, stub: StubRouter) -> None:
        """``chat_history`` is not changed; a ``ChatMessage`` is taken as ``user_msg``."""
        stub.chat(TWO)
        history = [ChatMessage(role="system", content="s")]
        model.chat_with_tools(TOOLS, user_msg=HELLO[0], chat_history=history)
        assert len(history) == 1
        assert [m["role"] for m in stub.last["messages"]] == ["system", "user"]

    @pytest.mark.rule("parallel-calls")
    def test_parallel_calls_are_cut(self, model: Any, stub: StubRouter) -> None:
        """Without ``allow_parallel_tool_calls`` one call is handed on."""
        stub.chat(TWO)
        answer = model.chat_with_tools(TOOLS, user_msg="x")
        assert len(model.get_tool_calls_from_response(answer)) == 1

    @pytest.mark.rule("round-trip")
    def test_tool_round_trip(self, model: Any, stub: StubRouter) -> None:
        """Calls and results go back with ids, also after a trip through JSON."""
        stub.chat(TWO)
        answer = model.chat_with_tools(TOOLS, user_msg="x", allow_parallel_tool_calls=True)
        history = [*HELLO, answer.message]
        for found in model.get_tool_calls_from_response(answer):
            extra = {"tool_call_id": found.tool_id}
            history.append(ChatMessage(role="tool", content="5", additional_kwargs=extra))
        history = [ChatMessage.model_validate_json(m.model_dump_json()) for m in history]
        model.chat(history)
        sent = stub.last["messages"]
        ids = [made["id"] for made in sent[1]["tool_calls"]]
        assert [m["tool_call_id"] for m in sent[2:]] == ids

    # --- structured ---------------------------------------------------------------------

    @pytest.mark.rule("structured-four-ways", "structured-system-prompt")
    def test_structured_predict(self, stub: StubRouter) -> None:
        """Objects come back sync, async and streamed, with the system prompt kept."""
        stub.chat(call(("Person", {"name": "Ada", "age": 36})))
        model = self.make(stub.base_url, system_prompt="Be exact.")
        prompt, ada = PromptTemplate("Describe {who}."), Person(name="Ada", age=36)
        assert model.structured_predict(Person, prompt, who="Ada") == ada
        assert run(lambda: model.astructured_predict(Person, prompt, who="Ada")) == ada
        assert list(model.stream_structured_predict(Person, prompt, who="Ada"))[-1] == ada
        opening = model.astream_structured_predict
        assert run(lambda: collect(opening(Person, prompt, who="Ada")))[-1] == ada
        for body in stub.bodies:
            assert body["messages"][0] == {"role": "system", "content": "Be exact."}

    # --- blocks -------------------------------------------------------------------------

    @pytest.mark.rule("images", "audio")
    @pytest.mark.parametrize(
        ("block", "kind"),
        [
            (ImageBlock(image=PNG), "image_url"),
            (ImageBlock(url="https://example.org/a.png"), "image_url"),
            (ImageBlock(image=b"\x01\x02 unknown"), "image_url"),
            (AudioBlock(audio=WAV, format="wav"), "input_audio"),
        ],
        ids=["image", "image by URL", "image of unknown type", "audio"],
    )
    def test_media_is_delivered(self, block: Any, kind: str, model: Any, stub: StubRouter) -> None:
        """Images and audio arrive in a form that a strict server takes."""
        stub.chat(say("x"))
        model.chat([ChatMessage(role="user", blocks=[TextBlock(text="look"), block])])
        assert [part["type"] for part in stub.last["messages"][0]["content"]] == ["text", kind]

    @pytest.mark.rule("citations", "cache-points")
    @pytest.mark.parametrize(
        "block",
        [
            CitableBlock(title="T", source="s", content="the body"),
            CachePoint(cache_control=CacheControl(type="ephemeral")),
        ],
        ids=["citable", "cache point"],
    )
    def test_other_blocks_do_not_break(self, block: Any, model: Any, stub: StubRouter) -> None:
        """Citable text is sent, cache points are ignored."""
        stub.chat(say("x"))
        model.chat([ChatMessage(role="user", blocks=[TextBlock(text="look"), block])])
        assert ("the body" in str(stub.last["messages"])) is isinstance(block, CitableBlock)

    @pytest.mark.rule("tool-media")
    def test_tool_image(self, model: Any, stub: StubRouter) -> None:
        """An image in a tool's result reaches the model."""
        stub.chat(TWO)
        answer = model.chat_with_tools(TOOLS[:1], user_msg="x")
        (found,) = model.get_tool_calls_from_response(answer)
        result = ChatMessage(
            role="tool",
            blocks=[TextBlock(text="t"), ImageBlock(image=PNG)],
            additional_kwargs={"tool_call_id": found.tool_id},
        )
        model.chat([*HELLO, answer.message, result])
        assert "data:image/png;base64," in str(stub.last["messages"])

    @pytest.mark.rule("reasoning-fields", "thinking-delta", "send-reasoning")
    @pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
    def test_reasoning_is_kept(self, field: str, model: Any, stub: StubRouter) -> None:
        """Reasoning becomes a ThinkingBlock and ``thinking_delta``, and is not sent back."""
        stub.chat(say("Four.", reasoning=["two ", "and two"], reasoning_field=field))
        found = list(model.stream_chat(HELLO))
        for message in (model.chat(HELLO).message, found[-1].message):
            thoughts = [b.content for b in message.blocks if isinstance(b, ThinkingBlock)]
            assert thoughts == ["two and two"]
        deltas = [r.additional_kwargs.get("thinking_delta") or "" for r in found]
        assert "".join(deltas) == "two and two"
        model.chat([*HELLO, found[-1].message, *HELLO])
        assert "two and two" not in str(stub.last["messages"])

    @pytest.mark.rule("inline-think")
    def test_inline_think(self, model: Any, stub: StubRouter) -> None:
        """A ``<think>`` part at the start is a ThinkingBlock and no text."""
        stub.chat(say(["<th", "ink>hm</thi", "nk>", "Four."]))
        for answer in (model.chat(HELLO), list(model.stream_chat(HELLO))[-1]):
            assert isinstance(answer.message.blocks[0], ThinkingBlock)
            assert answer.message.content == "Four."

    # --- life ---------------------------------------------------------------------------

    @pytest.mark.rule("no-secrets-in-dumps")
    def test_no_secret_in_dumps(self, stub: StubRouter) -> None:
        """The key is in no dump."""
        model = self.make(stub.base_url, api_key=KEY)
        for dump in (model.to_dict(), model.to_json(), repr(model), model.to_payload()):
            assert KEY not in str(dump)

    @pytest.mark.rule("dump-round-trip")
    def test_round_trip(self, model: Any) -> None:
        """``from_dict(to_dict())`` is the same model."""
        assert type(model).from_dict(model.to_dict()).to_dict() == model.to_dict()

    @pytest.mark.rule("copies-after-use")
    def test_copies_after_use(self, model: Any, stub: StubRouter) -> None:
        """Deep copies and pickles work after use."""
        stub.chat(say("Hello."))
        model.chat(HELLO)
        run(lambda: model.achat(HELLO))
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert twin.chat(HELLO).message.content == "Hello."
            assert run(lambda twin=twin: twin.achat(HELLO)).message.content == "Hello."

    @pytest.mark.rule("metadata-no-io", "context-window-default")
    def test_context_window(self, model: Any, stub: StubRouter) -> None:
        """The context window leaves agents a memory, and asking for it does no I/O."""
        assert model.metadata.context_window >= 8_192
        assert model.metadata.is_chat_model
        assert stub.accepted == 0

    @pytest.mark.rule("errors-say-what", "no-retry")
    def test_one_request_on_failure(self, model: Any, stub: StubRouter) -> None:
        """A 400 is not repeated, and says what the server said."""
        stub.chat(json_reply({"error": {"message": "such a pity"}}, 400))
        with pytest.raises(Exception, match="such a pity"):
            model.chat(HELLO)
        assert len(stub.bodies) == 1

    @pytest.mark.rule("retries-exact")
    def test_retries_are_exact(self, stub: StubRouter) -> None:
        """``max_retries=2`` is three requests when all fail."""
        stub.chat(json_reply({"error": {"message": "no"}}, 500, {"retry-after": "0"}))
        with pytest.raises(Exception, match="no"):
            self.make(stub.base_url, max_retries=2).chat(HELLO)
        assert len(stub.bodies) == 3

    @pytest.mark.rule("no-foreign-keys")
    def test_no_foreign_key(self, stub: StubRouter, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key of OpenAI's in the environment is not sent to another service."""
        monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
        stub.chat(say("x"))
        self.make(stub.base_url, api_key=None).chat(HELLO)
        assert "sk-other" not in str(stub.requests[-1].headers)

    @pytest.mark.rule("odd-200s")
    def test_an_answer_without_choices_is_a_clear_error(self, model: Any, stub: StubRouter) -> None:
        """A 200 with an error inside is no TypeError."""
        stub.chat(json_reply({"error": {"message": "such a pity", "code": 503}}))
        with pytest.raises(Exception, match="such a pity"):
            model.chat(HELLO)

    # --- agents -------------------------------------------------------------------------

    @pytest.mark.rule("function-agent", "two-tool-steps")
    @pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
    def test_function_agent(self, streaming: bool, model: Any, stub: StubRouter) -> None:
        """A FunctionAgent takes two tool steps."""
        stub.chat(
            call(("add", {"a": 2, "b": 3})), call(("times", {"a": 5, "b": 4})), say("It is 20.")
        )

        async def main() -> str:
            agent = FunctionAgent(tools=[add, times], llm=model, streaming=streaming)
            return str(await agent.run(user_msg="(2 + 3) * 4?"))

        assert run(main) == "It is 20."

    @pytest.mark.rule("react-agent")
    @pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
    def test_react_agent(self, streaming: bool, model: Any, stub: StubRouter) -> None:
        """A ReActAgent takes a tool step."""
        stub.chat(
            say('Thought: I add.\nAction: add\nAction Input: {"a": 2, "b": 3}\n'),
            say("Thought: I can answer without using any more tools.\nAnswer: It is 5."),
        )

        async def main() -> str:
            agent = ReActAgent(tools=[add], llm=model, streaming=streaming)
            return str(await agent.run(user_msg="2 + 3?"))

        assert run(main) == "It is 5."

    @pytest.mark.rule("cut-calls-run-nothing")
    @pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
    def test_a_cut_call_runs_no_tool(self, streaming: bool, model: Any, stub: StubRouter) -> None:
        """A tool does not run if the answer was cut off inside the arguments of its call."""
        ran: list[str] = []

        def delete(path: str = "/") -> str:
            """Delete a file."""
            ran.append(path)
            return "deleted"

        function = {"name": "delete", "arguments": '{"path": "/home/us'}
        torn = {"id": "c", "type": "function", "function": function}
        stub.chat(say(calls=[torn], finish="length"), say("Done."))

        async def main() -> None:
            agent = FunctionAgent(tools=[delete], llm=model, streaming=streaming)
            with contextlib.suppress(Exception):
                await agent.run(user_msg="Delete it.")

        run(main)
        assert stub.bodies
        assert "tools" in stub.bodies[0]
        assert ran == []
