"""Rules for calls: what is sent, what the answer becomes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from tests.langchain.conformance.base import (
    Conformance,
    StrictServer,
    run,
    say,
    total,
    wire_call,
)
from tests.langchain.conftest import PDF_BASE64, PNG_BASE64, WAV_BASE64

URL = "https://example.org/cat.png"
PNG_URL = f"data:image/png;base64,{PNG_BASE64}"
MEDIA: dict[str, tuple[dict[str, Any], str]] = {
    "image": ({"type": "image", "base64": PNG_BASE64, "mime_type": "image/png"}, "image_url"),
    "image by URL": ({"type": "image", "url": URL}, "image_url"),
    "OpenAI image": ({"type": "image_url", "image_url": {"url": URL}}, "image_url"),
    "audio": ({"type": "audio", "base64": WAV_BASE64, "mime_type": "audio/wav"}, "input_audio"),
    "document": (
        {
            "type": "file",
            "base64": PDF_BASE64,
            "mime_type": "application/pdf",
            "filename": "a.pdf",
        },
        "file",
    ),
    "video by URL": ({"type": "video", "url": "https://example.org/cat.mp4"}, "video_url"),
}
CALL: Any = {"name": "f", "args": {"q": "é"}, "id": "1", "type": "tool_call"}


class CallRules(Conformance):
    """One call, and what it sends."""

    @pytest.mark.rule("nothing-unasked")
    def test_nothing_is_sent_unasked(self, model: Any, server: StrictServer) -> None:
        """A default call sends the model and the messages, in one request."""
        assert model.invoke("x").text == "Hi."
        assert server.last.pop("stream", False) is False
        assert set(server.last) == {"model", "messages"}
        assert len(server.requests) == 1

    @pytest.mark.rule("zero-is-sent")
    def test_zero_temperature_is_sent(self, server: StrictServer) -> None:
        """``temperature=0`` is sent as 0."""
        self.make(server.base_url, temperature=0).invoke("x")
        assert server.last["temperature"] == 0

    @pytest.mark.rule("standard-constructor", "empty-stop-is-not-sent", "stops-are-sent")
    def test_standard_parameters(self, server: StrictServer) -> None:
        """The constructor takes the standard parameters, and what has a value is sent."""
        standard = {"temperature": 0, "max_tokens": 100, "timeout": 60, "max_retries": 2}
        self.make(server.base_url, **standard, stop=[]).invoke("x")
        assert "stop" not in server.last
        self.make(server.base_url, **standard, stop=["END"]).invoke("x")
        assert server.last["stop"] in ("END", ["END"])
        limit = server.last.get("max_tokens") or server.last.get("max_completion_tokens")
        assert limit == 100

    @pytest.mark.rule("calls-win-over-the-model", "unknown-call-keywords-go-to-the-body")
    def test_call_keywords_win(self, server: StrictServer) -> None:
        """What a call says wins; extra_body holds what the protocol does not know."""
        model = self.make(server.base_url, temperature=1, stop=["a"])
        model.invoke("x", temperature=0, stop=["b"], extra_body={"top_k": 5})
        assert (server.last["temperature"], server.last["top_k"]) == (0, 5)
        assert server.last["stop"] in ("b", ["b"])

    @pytest.mark.rule("model-of-the-call")
    def test_model_of_the_call(self, model: Any, server: StrictServer) -> None:
        """``invoke(model=...)`` asks that model, and answers and traces say so."""
        server.answers(say("Hi.", top_model="other/m"))
        answer = model.invoke("x", model="other/m")
        assert server.last["model"] == "other/m"
        assert answer.response_metadata["model_name"] == "other/m"
        assert model._get_ls_params(model="other/m")["ls_model_name"] == "other/m"

    @pytest.mark.rule("four-native-calls")
    def test_async_is_native(self, model: Any, server: StrictServer) -> None:
        """Awaited calls and streams are the package's own, not blocking ones in threads."""
        assert type(model)._agenerate is not BaseChatModel._agenerate
        assert type(model)._astream is not BaseChatModel._astream

        async def forty() -> list[Any]:
            return await asyncio.gather(*(model.ainvoke("x") for _ in range(40)))

        assert [answer.text for answer in run(forty)] == ["Hi."] * 40
        assert len(server.requests) == 40

    # --- what the answer becomes

    @pytest.mark.rule("usage-details")
    def test_usage_details(self, model: Any, server: StrictServer) -> None:
        """Cached and reasoning tokens are counted; null counts are left out."""
        usage = {
            "prompt_tokens": 9,
            "completion_tokens": 5,
            "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": None},
            "completion_tokens_details": {"reasoning_tokens": 2},
        }
        server.answers(say("Hi.", top_usage=usage))
        counted = model.invoke("x").usage_metadata
        assert (counted["input_tokens"], counted["output_tokens"]) == (9, 5)
        assert counted["input_token_details"]["cache_read"] == 4
        assert counted["output_token_details"]["reasoning"] == 2

    @pytest.mark.rule("response-metadata", "metadata-is-json")
    def test_who_answered(self, model: Any, server: StrictServer) -> None:
        """Metadata name the model, the finish reason, the answer's id and the package, as JSON."""
        metadata = model.invoke("x").response_metadata
        json.dumps(metadata)
        assert metadata["model_name"] == "served/m"
        assert metadata["finish_reason"] == "stop"
        assert metadata["model_provider"]
        assert metadata["id"] == "c1"
        assert metadata["system_fingerprint"] == "fp"

    @pytest.mark.rule("response-metadata")
    def test_serving_provider_and_request_id(self, model: Any, server: StrictServer) -> None:
        """Metadata name the provider that served the call and the request id."""
        shown = json.dumps(model.invoke("x").response_metadata, default=str)
        assert "groq" in shown
        assert "req-7" in shown

    @pytest.mark.rule("refusals-are-blocks")
    def test_refusals_are_blocks(self, model: Any, server: StrictServer) -> None:
        """A refusal is a ``refusal`` block."""
        server.answers(say(None, refusal="I won't."))
        blocks = model.invoke("x").content_blocks
        assert [(b["type"], b.get("refusal")) for b in blocks] == [("refusal", "I won't.")]

    # --- messages

    @pytest.mark.rule("media-blocks")
    @pytest.mark.parametrize("kind", MEDIA)
    def test_media_are_delivered(self, kind: str, model: Any, server: StrictServer) -> None:
        """LangChain's and OpenAI's media blocks become parts of the protocol."""
        block, part = MEDIA[kind]
        model.invoke([HumanMessage([{"type": "text", "text": "What is it?"}, block])])
        assert [each["type"] for each in server.last["messages"][0]["content"]] == ["text", part]

    @pytest.mark.rule("anthropic-history", "media-blocks")
    def test_anthropic_blocks(self, model: Any, server: StrictServer) -> None:
        """Anthropic's pictures, thinking, calls and results are understood."""
        source = {"type": "base64", "media_type": "image/png", "data": PNG_BASE64}
        spoken: Any = [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "1", "name": "f", "input": {"q": "é"}},
        ]
        result: Any = [{"type": "tool_result", "tool_use_id": "1", "content": "42"}]
        model.invoke(
            [
                HumanMessage([{"type": "image", "source": source}]),
                AIMessage(spoken, tool_calls=[CALL]),
                HumanMessage(result),
            ]
        )
        picture, answer, found = server.last["messages"]
        assert picture["content"][0]["image_url"]["url"] == PNG_URL
        assert answer["tool_calls"][0]["id"] == "1"
        assert (found["role"], found["tool_call_id"]) == ("tool", "1")

    @pytest.mark.rule("v1-history")
    def test_v1_history(self, model: Any, server: StrictServer) -> None:
        """An earlier v1 answer goes back as text and calls, without its other blocks."""
        content: Any = [
            {"type": "reasoning", "reasoning": "hm"},
            {"type": "text", "text": "Let me see."},
            CALL,
        ]
        metadata = {"output_version": "v1"}
        answer = AIMessage(content, response_metadata=metadata, tool_calls=[CALL])
        model.invoke([HumanMessage("x"), answer, ToolMessage("42", tool_call_id="1")])
        sent = server.last["messages"][1]
        assert "Let me see." in json.dumps(sent["content"])
        assert json.loads(sent["tool_calls"][0]["function"]["arguments"]) == {"q": "é"}

    @pytest.mark.rule("tool-results")
    def test_media_in_tool_results(self, model: Any, server: StrictServer) -> None:
        """Lists, media and errors in tool results are delivered."""
        picture: Any = [
            {"type": "text", "text": "found"},
            {"type": "image", "base64": PNG_BASE64, "mime_type": "image/png"},
        ]
        model.invoke(
            [
                HumanMessage("x"),
                AIMessage("", tool_calls=[CALL, {**CALL, "id": "2"}]),
                ToolMessage(picture, tool_call_id="1"),
                ToolMessage("no", tool_call_id="2", status="error"),
            ]
        )
        sent = server.last["messages"]
        assert [m["tool_call_id"] for m in sent if m["role"] == "tool"] == ["1", "2"]
        assert PNG_URL in json.dumps(sent)

    @pytest.mark.rule("empty-texts", "roles-and-names")
    def test_empty_texts_and_names(self, model: Any, server: StrictServer) -> None:
        """Empty text parts are left out; names are sent."""
        model.invoke(
            [
                HumanMessage(
                    [{"type": "text", "text": ""}, {"type": "image_url", "image_url": {"url": URL}}]
                ),
                AIMessage("a"),
                HumanMessage("b", name="ada"),
            ]
        )
        first, _, named = server.last["messages"]
        assert [part["type"] for part in first["content"]] == ["image_url"]
        assert named["name"] == "ada"

    # --- reasoning

    @pytest.mark.rule("reasoning-is-kept", "reasoning-blocks")
    @pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
    def test_reasoning_is_kept(self, field: str, model: Any, server: StrictServer) -> None:
        """Reasoning is a block of whole and streamed answers, and of v3 events."""
        server.answers(say("Yes", **{field: "hm"}))
        for answer in (
            model.invoke("x"),
            total(list(model.stream("x"))),
            model.stream_events("x", version="v3").output,
        ):
            kinds = [
                (b["type"], b.get("reasoning") or b.get("text")) for b in answer.content_blocks
            ]
            assert kinds == [("reasoning", "hm"), ("text", "Yes")]

    @pytest.mark.rule("reasoning-is-sent-back")
    def test_reasoning_goes_back_in_tool_loops(self, model: Any, server: StrictServer) -> None:
        """Models that reason between calls get their reasoning back."""
        server.answers(
            say(None, "tool_calls", reasoning_content="hm", tool_calls=[wire_call("f", "{}")])
        )
        for answer in (model.invoke("x"), total(list(model.stream("x")))):
            result = ToolMessage("42", tool_call_id=answer.tool_calls[0]["id"])
            model.invoke([HumanMessage("x"), answer, result])
            assert server.last["messages"][1]["reasoning_content"] == "hm"
