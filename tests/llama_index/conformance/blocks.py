"""Rules for what messages hold: media, citations, reasoning; see README.md."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
)

from tests.llama_index.conformance.base import (
    HELLO,
    TOOLS,
    TWO,
    Conformance,
)
from tests.llama_index.stub_server import StubRouter, say
from tests.llama_index.test_messages import PNG, WAV


class BlockRules(Conformance):
    """Subclass and implement ``make``."""

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
