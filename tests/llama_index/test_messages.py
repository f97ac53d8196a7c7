"""Blocks outward: delivered, converted or refused, never dropped. One row per rule."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, get_args

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from pydantic import BaseModel

from llama_index_hfrouter._messages import to_core
from shared_core import AudioPart, FilePart, ImagePart, InvalidSettingError, TextPart, VideoPart
from shared_core import ChatMessage as CoreMessage

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"
WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0"


def user(*blocks: Any) -> CoreMessage:
    (message,) = to_core([ChatMessage(role="user", blocks=list(blocks))])
    return message


@pytest.mark.rule("roles")
@pytest.mark.parametrize(
    ("role", "wire"),
    [
        (MessageRole.SYSTEM, "system"),
        (MessageRole.DEVELOPER, "developer"),
        (MessageRole.USER, "user"),
        (MessageRole.ASSISTANT, "assistant"),
        (MessageRole.CHATBOT, "assistant"),
        (MessageRole.MODEL, "assistant"),
        (MessageRole.TOOL, "tool"),
        (MessageRole.FUNCTION, "tool"),
    ],
)
def test_every_role_is_mapped(role: MessageRole, wire: str) -> None:
    (message,) = to_core([ChatMessage(role=role, content="x")])
    assert (message.role, message.content) == (wire, "x")


@pytest.mark.rule("plain-text")
@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_text_only_content_is_a_plain_string(role: str) -> None:
    blocks = [TextBlock(text="a"), TextBlock(text="b")]
    (message,) = to_core([ChatMessage(role=role, blocks=blocks)])
    assert message.content == "a\nb"


@pytest.mark.rule("images", "no-fetching", "audio", "video", "documents")
@pytest.mark.parametrize(
    ("block", "part"),
    [
        (ImageBlock(image=PNG), ImagePart(PNG, "image/png")),
        (
            ImageBlock(image=base64.b64encode(PNG), detail="low"),
            ImagePart(PNG, "image/png", "low"),
        ),
        (ImageBlock(image=b"\x01\x02 no image"), ImagePart(b"\x01\x02 no image")),
        (ImageBlock(image=io.BytesIO(PNG)), ImagePart(PNG)),
        (
            ImageBlock(url="https://example.org/a.png?x=1"),
            ImagePart("https://example.org/a.png?x=1"),
        ),
        (
            ImageBlock(url="data:image/png;base64,AAAA"),
            ImagePart("data:image/png;base64,AAAA", "image/png"),
        ),
        (AudioBlock(audio=WAV, format="wav"), AudioPart(WAV, format="wav")),
        (VideoBlock(url="https://example.org/v.mp4"), VideoPart("https://example.org/v.mp4")),
        (
            DocumentBlock(data=PDF, title="a.pdf"),
            FilePart(PDF, "application/pdf", "a.pdf"),
        ),
    ],
)
def test_media_blocks_are_delivered(block: Any, part: Any) -> None:
    content = user(TextBlock(text="look"), block).content
    assert isinstance(content, list)
    assert content[0] == TextPart("look")
    if isinstance(part, ImagePart | VideoPart) and part.media_type is None:
        assert getattr(content[1], "source", None) == part.source
    else:
        assert content[1] == part


@pytest.mark.rule("images")
def test_a_path_is_handed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    content = user(ImageBlock(path=path)).content
    assert isinstance(content, list)
    assert content == [ImagePart(path, "image/png")]


@pytest.mark.rule("documents", "citations")
@pytest.mark.parametrize(
    ("block", "text"),
    [
        (DocumentBlock(data=b"plain words, no base64!", title="n.txt"), "n.txt\n\nplain words, "),
        (DocumentBlock(data=b'{"a": 1}', document_mimetype="application/json"), '{"a": 1}'),
        (DocumentBlock(url="data:text/plain,a%20b"), "a b"),
        (DocumentBlock(data=b"caf\xe9", document_mimetype="text/plain"), "café"),
        (CitableBlock(title="T", source="s", content="body"), "T (s)\nbody"),
        (
            CitationBlock(title="T", source="s", cited_content="b", additional_location_info={}),
            "T (s)\nb",
        ),
    ],
)
def test_text_documents_and_citations_become_text(block: Any, text: str) -> None:
    content = user(block).content
    assert isinstance(content, str)
    assert content.startswith(text)


@pytest.mark.rule("citations")
def test_a_citable_image_keeps_its_image_and_heading() -> None:
    block = CitableBlock(title="T", source="s", content=[ImageBlock(image=PNG)])
    assert user(block).content == [TextPart("T (s)"), ImagePart(PNG, "image/png")]


@pytest.mark.rule("documents")
def test_a_text_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("# Notes\n", encoding="utf-8")
    assert user(DocumentBlock(path=str(path))).content == "notes.md\n\n# Notes\n"


@pytest.mark.rule("cache-points")
def test_cache_points_are_ignored() -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    assert user(TextBlock(text="a"), point).content == "a"


@pytest.mark.rule("no-fetching", "video", "documents", "never-dropped")
@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (ImageBlock(), "is empty"),
        (AudioBlock(), "is empty"),
        (VideoBlock(), "is empty"),
        (DocumentBlock(), "is empty"),
        (DocumentBlock(url="https://example.org/a.pdf"), "not fetched"),
        (DocumentBlock(path="/nowhere/a.pdf"), "cannot be read"),
        (VideoBlock(url="https://example.org/v.mp4", fps=2), "fps"),
    ],
)
def test_what_cannot_be_delivered_is_refused_by_position(block: Any, reason: str) -> None:
    with pytest.raises(InvalidSettingError, match=reason) as caught:
        user(TextBlock(text="x"), block)
    assert "messages[0].blocks[1]" in str(caught.value)


@pytest.mark.rule("never-dropped")
@pytest.mark.parametrize("role", ["system", "assistant"])
def test_media_outside_user_messages_is_refused(role: str) -> None:
    message = ChatMessage(role=role, blocks=[ImageBlock(image=PNG)])
    with pytest.raises(InvalidSettingError, match="text only"):
        to_core([message])


@pytest.mark.rule("send-reasoning")
def test_thinking_is_left_out_unless_asked_for() -> None:
    blocks = [ThinkingBlock(content="hm"), TextBlock(text="a")]
    message = ChatMessage(role="assistant", blocks=blocks)
    assert to_core([message])[0].reasoning is None
    assert to_core([message], send_reasoning=True)[0].reasoning == "hm"
    assert to_core([message])[0].content == "a"


SAMPLES: dict[Any, tuple[Any, str]] = {
    TextBlock: (TextBlock(text="a"), "TextPart"),
    ImageBlock: (ImageBlock(image=PNG), "ImagePart"),
    AudioBlock: (AudioBlock(audio=WAV), "AudioPart"),
    VideoBlock: (VideoBlock(url="https://example.org/v.mp4"), "VideoPart"),
    DocumentBlock: (DocumentBlock(data=PDF, title="a.pdf"), "FilePart"),
    CitableBlock: (CitableBlock(title="T", source="s", content="a"), "TextPart"),
    CitationBlock: (
        CitationBlock(title="T", source="s", cited_content="a", additional_location_info={}),
        "TextPart",
    ),
    CachePoint: (CachePoint(cache_control=CacheControl(type="ephemeral")), ""),
    ThinkingBlock: (ThinkingBlock(content="a"), ""),
    ToolCallBlock: (ToolCallBlock(tool_name="f", tool_kwargs={}), "refused"),
}


@pytest.mark.rule("every-block-kind")
def test_every_kind_of_block_of_core_has_its_rule() -> None:
    kinds = get_args(get_args(ContentBlock)[0])
    assert len(kinds) >= 10
    for kind in kinds:
        block, expected = SAMPLES[kind]
        if expected == "refused":
            with pytest.raises(InvalidSettingError):
                user(TextBlock(text="x"), block)
            continue
        content = user(ImageBlock(image=PNG), block).content
        assert isinstance(content, list)
        assert [type(part).__name__ for part in content[1:]] == ([expected] if expected else [])


@pytest.mark.rule("every-block-kind", "never-dropped")
def test_a_kind_of_block_that_is_unknown_is_refused() -> None:
    class HologramBlock(BaseModel):
        content: str = "a"

    message = ChatMessage(role="user", content="x")
    message.blocks.append(HologramBlock())  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError, match="cannot send a HologramBlock"):
        to_core([message])


def assistant_with_calls(*names: str) -> ChatMessage:
    blocks = [
        ToolCallBlock(tool_call_id=f"c{n}", tool_name=name, tool_kwargs={"n": n})
        for n, name in enumerate(names)
    ]
    return ChatMessage(role="assistant", blocks=blocks)


def tool(call_id: str | None, *blocks: Any) -> ChatMessage:
    extra = {"tool_call_id": call_id} if call_id else {}
    return ChatMessage(role="tool", blocks=list(blocks), additional_kwargs=extra)


@pytest.mark.rule("tool-media")
def test_a_tool_image_becomes_text_and_a_following_user_message() -> None:
    conversation = [
        assistant_with_calls("f", "g"),
        tool("c0", ImageBlock(image=PNG)),
        tool("c1", TextBlock(text="two")),
        ChatMessage(role="user", content="and?"),
    ]
    roles = [message.role for message in to_core(conversation)]
    assert roles == ["assistant", "tool", "tool", "user", "user"]
    _, first, second, media, last = to_core(conversation)
    assert isinstance(first.content, str)
    assert first.content
    assert second.content == "two"
    assert media.content == [TextPart("Returned by tool call c0:"), ImagePart(PNG, "image/png")]
    assert last.content == "and?"


@pytest.mark.rule("foreign-histories")
def test_tool_results_without_id_answer_the_open_calls_in_order() -> None:
    conversation = [
        assistant_with_calls("f", "g"),
        tool(None, TextBlock(text="1")),
        tool(None, TextBlock(text="2")),
    ]
    assert [m.tool_call_id for m in to_core(conversation)[1:]] == ["c0", "c1"]


@pytest.mark.rule("blocks-before-kwargs")
def test_tool_call_blocks_win_over_additional_kwargs() -> None:
    message = assistant_with_calls("f")
    message.additional_kwargs["tool_calls"] = [
        {"id": "old", "type": "function", "function": {"name": "old", "arguments": "{}"}}
    ]
    (call,) = to_core([message])[0].tool_calls
    assert (call.id, call.name, call.arguments) == ("c0", "f", '{"n": 0}')


class SDKCall:
    """Like the objects that other integrations leave in histories."""

    def model_dump(self) -> dict[str, Any]:
        return {"id": "x", "function": {"name": "f", "arguments": {"a": 1}}}


@pytest.mark.rule("foreign-histories")
@pytest.mark.parametrize(
    "call",
    [
        {"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "x", "name": "f", "arguments": {"a": 1}},
        SDKCall(),
    ],
)
def test_calls_in_additional_kwargs_are_understood(call: Any) -> None:
    message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
    (found,) = to_core([message])[0].tool_calls
    assert (found.id, found.name, found.parse()) == ("x", "f", {"a": 1})


@pytest.mark.rule("foreign-histories")
def test_a_call_that_is_none_is_refused() -> None:
    message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [{"id": "x"}]})
    with pytest.raises(InvalidSettingError, match="is not a tool call"):
        to_core([message])


@pytest.mark.rule("never-dropped")
@pytest.mark.parametrize("role", ["system", "user", "tool"])
def test_a_tool_call_outside_an_assistant_message_is_refused(role: str) -> None:
    blocks = [TextBlock(text="x"), ToolCallBlock(tool_name="f", tool_kwargs={})]
    with pytest.raises(InvalidSettingError, match=r"messages\[0\].* calls no tools"):
        to_core([ChatMessage(role=role, blocks=blocks)])


@pytest.mark.rule("foreign-histories")
def test_the_function_call_of_old_histories_is_a_tool_call() -> None:
    call = {"name": "f", "arguments": '{"a": 1}'}
    conversation = [
        ChatMessage(role="assistant", additional_kwargs={"function_call": call}),
        ChatMessage(role="function", content="1", additional_kwargs={"name": "f"}),
    ]
    asked, answered = to_core(conversation)
    assert [(made.name, made.parse()) for made in asked.tool_calls] == [("f", {"a": 1})]
    assert answered.tool_call_id == asked.tool_calls[0].id


@pytest.mark.rule("history-untouched")
def test_history_is_not_changed() -> None:
    conversation = [
        ChatMessage(role="system", content="s"),
        assistant_with_calls("f"),
        tool("c0", ImageBlock(image=PNG), TextBlock(text="t")),
    ]
    before = [message.model_dump_json() for message in conversation]
    to_core(conversation)
    assert [message.model_dump_json() for message in conversation] == before
