"""Messages and media on their way out."""

from __future__ import annotations

import base64
import enum
import json
from pathlib import Path
from typing import Any

import pydantic_core
import pytest

from shared_core.chat.media import sniff
from shared_core.chat.messages import encode
from shared_core.chat.response import parse_completion
from shared_core.chat.types import (
    AudioPart,
    ChatMessage,
    FilePart,
    ImagePart,
    RawPart,
    TextPart,
    ToolCall,
    VideoPart,
)
from shared_core.errors import InvalidSettingError

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
WAV = b"RIFF\x24\0\0\0WAVEfmt "


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def one(message: Any, **options: Any) -> dict[str, Any]:
    (wire,) = encode([message], **options)
    return wire


def test_text_is_a_user_message() -> None:
    assert encode("hi") == [{"role": "user", "content": "hi"}]
    assert encode(ChatMessage("system", "be brief")) == [{"role": "system", "content": "be brief"}]
    assert encode({"role": "user", "content": "hi"}) == [{"role": "user", "content": "hi"}]
    assert [m["role"] for m in encode(("a", ChatMessage("assistant", "b"), "c"))] == [
        "user",
        "assistant",
        "user",
    ]


def test_a_conversation() -> None:
    calls = [ToolCall("c1", "lookup", '{"q":"cat"}')]
    wire = encode(
        [
            ChatMessage("system", "Answer in one line."),
            ChatMessage("developer", "Really.", name="ann"),
            ChatMessage("user", [TextPart("What is"), TextPart("this?"), ImagePart(PNG)]),
            ChatMessage("assistant", "A cat.", reasoning="furry", refusal="none"),
            ChatMessage("assistant", None, tool_calls=calls),
            ChatMessage("tool", '{"hits": 3}', tool_call_id="c1", name="lookup"),
            ChatMessage("tool", "", tool_call_id="c1"),
        ]
    )
    assert wire == [
        {"role": "system", "content": "Answer in one line."},
        {"role": "developer", "content": "Really.", "name": "ann"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is"},
                {"type": "text", "text": "this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64(PNG)}"}},
            ],
        },
        {"role": "assistant", "content": "A cat."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "lookup", "arguments": '{"q":"cat"}'},
                }
            ],
        },
        {"role": "tool", "content": '{"hits": 3}', "name": "lookup", "tool_call_id": "c1"},
        {"role": "tool", "content": "", "tool_call_id": "c1"},
    ]


def test_an_answer_goes_back_as_it_is() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "refusal": None,
        "annotations": None,
        "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}],
    }
    completion = parse_completion({"choices": [{"message": message}]})
    expected = {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        ],
    }
    assert one(completion.message) == expected
    assert one(message) == expected


def test_encoding_does_not_change_its_input_and_is_deterministic() -> None:
    message: dict[str, Any] = {"role": "assistant", "tool_calls": [], "content": "x", "name": None}
    before = json.dumps(message)
    first, second = encode([message]), encode([message])
    assert pydantic_core.to_json(first) == pydantic_core.to_json(second)
    assert json.dumps(message) == before
    assert first == [{"role": "assistant", "content": "x"}]


@pytest.mark.parametrize(
    ("role", "parts", "expected"),
    [
        ("user", [TextPart("a")], "a"),
        ("user", [TextPart("a"), TextPart("b")], "a\nb"),
        ("user", ["a", {"type": "text", "text": "b"}], "a\nb"),
        ("system", [TextPart("a"), TextPart("b")], "a\nb"),
        ("assistant", [TextPart("a"), TextPart("b")], "ab"),
        ("tool", [TextPart("a"), TextPart("b")], "a\nb"),
        ("assistant", [], ""),
        ("system", "", ""),
    ],
)
def test_text_only_content_is_a_string(role: str, parts: Any, expected: str) -> None:
    extra = {"tool_call_id": "c"} if role == "tool" else {}
    assert one(ChatMessage(role, parts, **extra))["content"] == expected
    assert one({"role": role, "content": parts, **extra})["content"] == expected


def test_parts_with_extras_stay_parts_and_empty_texts_go() -> None:
    cached = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert one(ChatMessage("user", [RawPart(cached)]))["content"] == [cached]
    content = one(ChatMessage("user", [TextPart(""), ImagePart("https://example.org/a.png")]))
    assert [part["type"] for part in content["content"]] == ["image_url"]


# --- reasoning --------------------------------------------------------------------------

PLAIN_TURN = ChatMessage("assistant", "a", reasoning="why")
TOOL_TURN = ChatMessage("assistant", "a", reasoning="why", tool_calls=[ToolCall("c", "f")])


@pytest.mark.parametrize(
    ("echo", "model", "plain", "tools"),
    [
        (False, "qwen/qwen3", False, False),
        (True, "qwen/qwen3", True, True),
        (True, "google/gemma-3", True, True),
        ("auto", "qwen/qwen3", False, True),
        ("auto", None, False, True),
        ("auto", "google/Gemma-3-27b-it:nebius", False, False),
    ],
)
def test_reasoning_echo(echo: Any, model: str | None, plain: bool, tools: bool) -> None:
    wire = encode([PLAIN_TURN, TOOL_TURN], model=model, reasoning_echo=echo)
    assert [message.get("reasoning_content") for message in wire] == [
        "why" if plain else None,
        "why" if tools else None,
    ]
    for key in ("reasoning", "reasoning_content", "reasoning_text"):
        foreign = {"role": "assistant", "content": "a", key: "why"}
        sent = one(foreign, model=model, reasoning_echo=echo)
        assert sent.get("reasoning_content") == ("why" if plain else None)
        assert "reasoning" not in sent and "reasoning_text" not in sent


# --- dicts ------------------------------------------------------------------------------


def test_dicts_pass_without_none() -> None:
    foreign = {
        "role": "user",
        "name": None,
        "content": [
            {"type": "text", "text": "a", "image_url": None},
            {"type": "image_url", "text": None, "image_url": {"url": "u", "detail": None}},
        ],
        "vendor": {"x": None, "y": [1, None]},
    }
    assert one(foreign) == {
        "role": "user",
        "content": [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "u"}},
        ],
        "vendor": {"y": [1, None]},
    }


def test_extras_of_our_messages_are_sent() -> None:
    message = ChatMessage("assistant", "x", extra={"prefix": True, "audio": {"id": "a", "b": None}})
    assert one(message) == {
        "role": "assistant",
        "content": "x",
        "prefix": True,
        "audio": {"id": "a"},
    }


def test_our_tool_calls_in_a_dict() -> None:
    wire = one({"role": "assistant", "tool_calls": [ToolCall("c", "f", '{"a": 1}')]})
    assert wire["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}


def test_enums_are_sent_by_value() -> None:
    class Level(enum.Enum):
        HIGH = "high"

    assert one({"role": "user", "content": "x", "level": Level.HIGH})["level"] == "high"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(InvalidSettingError, match="empty file"):
        one(ChatMessage("user", [ImagePart(tmp_path / "empty.png")]))


def test_roles_of_others_pass_in_dict_form() -> None:
    foreign = {"role": "function", "name": "f", "content": "x"}
    assert one(foreign) == foreign


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ({"a": 1}, '{"a":1}'),
        (None, "{}"),
        ("", "{}"),
        (' {"a":1 }', ' {"a":1 }'),
        (" ", "{}"),
        ("null", "{}"),
        ("{broken", '{"malformed_arguments": "{broken"}'),
        ("[1]", '{"malformed_arguments": "[1]"}'),
        ('"{\\"a\\": 1}"', '{"a": 1}'),
        ('{"a": "b\nc"}', '{"a": "b\\nc"}'),
    ],
)
def test_arguments_are_always_the_text_of_an_object(arguments: Any, sent: str) -> None:
    function = {"name": "f", "arguments": arguments}
    wire = one({"role": "assistant", "tool_calls": [{"id": "c", "function": function}]})
    assert wire["content"] == ""
    assert wire["tool_calls"][0] == {
        "id": "c",
        "function": {"name": "f", "arguments": sent},
        "type": "function",
    }


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (3, "messages[1]"),
        (None, "messages[1]"),
        ({}, "messages[1].role"),
        ({"role": 3, "content": "x"}, "messages[1].role"),
        ({"role": "user"}, "messages[1].content"),
        ({"role": "user", "content": ""}, "messages[1].content"),
        ({"role": "user", "content": []}, "messages[1].content"),
        ({"role": "user", "content": 5}, "messages[1].content"),
        ({"role": "user", "content": {"a": 1}}, "messages[1].content"),
        ({"role": "user", "content": [5]}, "messages[1].content[0]"),
        ({"role": "user", "content": [{"text": "x"}]}, "messages[1].content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[1].content[0].text"),
        ({"role": "tool", "content": "x"}, "messages[1].tool_call_id"),
        ({"role": "tool", "content": "x", "tool_call_id": ""}, "messages[1].tool_call_id"),
        ({"role": "assistant", "tool_calls": "f"}, "messages[1].tool_calls"),
        ({"role": "assistant", "tool_calls": [{}]}, "messages[1].tool_calls[0].function"),
        (
            {"role": "assistant", "tool_calls": [{"function": {}}]},
            "messages[1].tool_calls[0].function.name",
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 3}}]},
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"role": "user", "content": "x", "score": float("nan")}, "messages[1].score"),
        ({"role": "user", "content": "x", "blob": b"x"}, "messages[1].blob"),
        ({"role": "user", "content": "x", "k": {1: 2}}, "messages[1].k"),
        (ChatMessage("robot", "x"), "messages[1].role"),
        (ChatMessage("user", None), "messages[1].content"),
        (ChatMessage("user", ""), "messages[1].content"),
        (ChatMessage("user", [TextPart("")]), "messages[1].content"),
        (ChatMessage("system", None), "messages[1].content"),
        (ChatMessage("user", "x\ud800y"), "messages[1].content"),
        (ChatMessage("user", [TextPart(3)]), "messages[1].content[0].text"),  # type: ignore[arg-type]
        (ChatMessage("user", "x", name=3), "messages[1].name"),  # type: ignore[arg-type]
        (ChatMessage("tool", "x"), "messages[1].tool_call_id"),
        (ChatMessage("user", "x", tool_call_id="c"), "messages[1].tool_call_id"),
        (ChatMessage("user", "x", tool_calls=[ToolCall("c", "f")]), "messages[1].tool_calls"),
        (ChatMessage("assistant", tool_calls=["f"]), "messages[1].tool_calls[0]"),  # type: ignore[list-item]
        (ChatMessage("assistant", tool_calls=[ToolCall("", "f")]), "messages[1].tool_calls[0].id"),
        (
            ChatMessage("assistant", tool_calls=[ToolCall("c", "")]),
            "messages[1].tool_calls[0].name",
        ),
        (ChatMessage("user", [ImagePart("nothing.png")]), "messages[1].content[0]"),
        (ChatMessage("user", [ImagePart("ftp://example.org/a")]), "messages[1].content[0]"),
        (ChatMessage("user", [ImagePart("data:image/png,raw")]), "messages[1].content[0]"),
        (ChatMessage("user", [ImagePart(b"")]), "messages[1].content[0]"),
        (ChatMessage("user", [ImagePart(3)]), "messages[1].content[0]"),  # type: ignore[arg-type]
        (ChatMessage("user", [FilePart()]), "messages[1].content[0]"),
        (ChatMessage("user", [FilePart(b"x", file_id="y")]), "messages[1].content[0]"),
    ],
)
def test_malformed_messages_are_refused(message: Any, field: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        encode(["secret prompt", message])
    assert field in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("messages", [[], (), 3, b"hi", None, {"a", "b"}])
def test_no_messages(messages: Any) -> None:
    with pytest.raises(InvalidSettingError, match="messages"):
        encode(messages)


def test_reasoning_echo_is_checked() -> None:
    with pytest.raises(InvalidSettingError, match="reasoning_echo"):
        encode("hi", reasoning_echo="yes")  # type: ignore[arg-type]


# --- media ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (WAV, "audio/wav"),
        (b"ID3\x03", "audio/mpeg"),
        (b"fLaC", "audio/flac"),
        (b"OggS", "audio/ogg"),
        (b"%PDF-1.7", "application/pdf"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\0\0\0\x18ftypM4A ", "audio/mp4"),
        (b"\0\0\0\x18ftypavif", "image/avif"),
        (b"\x1aE\xdf\xa3", "video/webm"),
        (b"hello", None),
        (b"", None),
    ],
)
def test_sniffing(data: bytes, media_type: str | None) -> None:
    assert sniff(data) == media_type


def part_of(part: Any) -> dict[str, Any]:
    (wire,) = one(ChatMessage("user", [part]))["content"]
    return dict(wire)


def test_images(tmp_path: Path) -> None:
    path = tmp_path / "cat.bin"
    path.write_bytes(PNG)
    data_url = f"data:image/png;base64,{b64(PNG)}"
    for source in (PNG, bytearray(PNG), path, str(path), data_url):
        assert part_of(ImagePart(source)) == {"type": "image_url", "image_url": {"url": data_url}}
    url = "https://example.org/cat.jpg?size=3"
    assert part_of(ImagePart(url, detail="low")) == {
        "type": "image_url",
        "image_url": {"url": url, "detail": "low"},
    }
    assert part_of(ImagePart(b"??", "image/x-new"))["image_url"]["url"].startswith(
        "data:image/x-new;"
    )
    assert part_of(ImagePart(b"??"))["image_url"]["url"].startswith("data:image/jpeg;")
    named = tmp_path / "picture.webp"
    named.write_bytes(b"??")
    assert part_of(ImagePart(named))["image_url"]["url"].startswith("data:image/webp;")


def test_audio(tmp_path: Path) -> None:
    assert part_of(AudioPart(WAV)) == {
        "type": "input_audio",
        "input_audio": {"data": b64(WAV), "format": "wav"},
    }
    assert part_of(AudioPart(b"ID3"))["input_audio"]["format"] == "mp3"
    assert part_of(AudioPart(b"?", "audio/x-wav"))["input_audio"]["format"] == "wav"
    assert part_of(AudioPart(b"?", format="flac"))["input_audio"]["format"] == "flac"
    data_url = f"data:audio/mpeg;base64,{b64(b'x')}"
    assert part_of(AudioPart(data_url))["input_audio"] == {"data": b64(b"x"), "format": "mp3"}
    path = tmp_path / "a.ogg"
    path.write_bytes(b"?")
    assert part_of(AudioPart(path))["input_audio"]["format"] == "ogg"
    assert part_of(AudioPart("https://example.org/a.mp3")) == {
        "type": "audio_url",
        "audio_url": {"url": "https://example.org/a.mp3"},
    }


def test_video_and_files(tmp_path: Path) -> None:
    assert part_of(VideoPart("https://example.org/v.mp4")) == {
        "type": "video_url",
        "video_url": {"url": "https://example.org/v.mp4"},
    }
    assert part_of(VideoPart(b"?"))["video_url"]["url"] == f"data:video/mp4;base64,{b64(b'?')}"
    pdf = tmp_path / "report.pdf"
    pdf.write_bytes(b"%PDF-1.7")
    data_url = f"data:application/pdf;base64,{b64(b'%PDF-1.7')}"
    assert part_of(FilePart(pdf)) == {
        "type": "file",
        "file": {"filename": "report.pdf", "file_data": data_url},
    }
    assert part_of(FilePart(b"%PDF-1.7"))["file"] == {
        "filename": "file.pdf",
        "file_data": data_url,
    }
    assert part_of(FilePart(b"%PDF-1.7", filename="a.pdf"))["file"]["filename"] == "a.pdf"
    assert part_of(FilePart(file_id="f-1")) == {"type": "file", "file": {"file_id": "f-1"}}


def test_media_in_tool_results_stay_parts() -> None:
    wire = one(ChatMessage("tool", [TextPart("seen"), ImagePart(PNG)], tool_call_id="c"))
    assert [part["type"] for part in wire["content"]] == ["text", "image_url"]
