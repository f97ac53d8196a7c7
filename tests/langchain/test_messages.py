"""Conversions of messages and content blocks, by table."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models._utils import _normalize_messages
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_hfrouter._blocks import part_of
from langchain_hfrouter._messages import to_core
from shared_core import (
    AudioPart,
    FilePart,
    ImagePart,
    RawPart,
    TextPart,
    VideoPart,
)
from shared_core import ChatMessage as CoreMessage
from tests.langchain.conftest import PDF, PDF_BASE64, PNG_BASE64, WAV_BASE64, png, wav
from tests.langchain.stub_server import check

URL = "https://example.org/cat.png"
PNG_URL = f"data:image/png;base64,{PNG_BASE64}"
PDF_URL = f"data:application/pdf;base64,{PDF_BASE64}"

BLOCKS: dict[str, tuple[Any, Any]] = {
    "text": ({"type": "text", "text": "a"}, TextPart("a")),
    "text with cache control": (
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        TextPart("a"),
    ),
    "text without type": ({"text": "a"}, TextPart("a")),
    "openai image": ({"type": "image_url", "image_url": {"url": URL}}, ImagePart(URL)),
    "openai image with detail": (
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        ImagePart(URL, detail="low"),
    ),
    "image url as text": ({"type": "image_url", "image_url": URL}, ImagePart(URL)),
    "v1 image by url": ({"type": "image", "url": URL}, ImagePart(URL)),
    "v1 image": (
        {"type": "image", "base64": PNG_BASE64, "mime_type": "image/png"},
        ImagePart(PNG_URL, media_type="image/png"),
    ),
    "v1 image without type": ({"type": "image", "base64": PNG_BASE64}, ImagePart(png())),
    "v0 image": (
        {
            "type": "image",
            "source_type": "base64",
            "data": PNG_BASE64,
            "mime_type": "image/png",
        },
        ImagePart(PNG_URL, media_type="image/png"),
    ),
    "anthropic image": (
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG_BASE64},
        },
        ImagePart(PNG_URL, media_type="image/png"),
    ),
    "anthropic image by url": (
        {"type": "image", "source": {"type": "url", "url": URL}},
        ImagePart(URL),
    ),
    "processor image": ({"type": "image", "image": URL}, ImagePart(URL)),
    "v1 audio": (
        {"type": "audio", "base64": WAV_BASE64, "mime_type": "audio/wav"},
        AudioPart(wav(), media_type="audio/wav"),
    ),
    "openai audio": (
        {"type": "input_audio", "input_audio": {"data": WAV_BASE64, "format": "wav"}},
        AudioPart(wav(), format="wav"),
    ),
    "v1 video": ({"type": "video", "url": URL}, VideoPart(URL)),
    "openai video": ({"type": "video_url", "video_url": {"url": URL}}, VideoPart(URL)),
    "v1 file": (
        {"type": "file", "base64": PDF_BASE64, "mime_type": "application/pdf", "filename": "a.pdf"},
        FilePart(PDF_URL, media_type="application/pdf", filename="a.pdf"),
    ),
    "v1 file with extras": (
        {
            "type": "file",
            "base64": PDF_BASE64,
            "mime_type": "application/pdf",
            "extras": {"filename": "a.pdf"},
        },
        FilePart(PDF_URL, media_type="application/pdf", filename="a.pdf"),
    ),
    "v1 file by id": ({"type": "file", "file_id": "f-1"}, FilePart(file_id="f-1")),
    "openai file": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}},
        FilePart(PDF_URL, filename="a.pdf"),
    ),
    "openai file, bare": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_BASE64}},
        FilePart(PDF, filename="a.pdf"),
    ),
    "openai file by id": ({"type": "file", "file": {"file_id": "f"}}, FilePart(file_id="f")),
    "anthropic document": (
        {
            "type": "document",
            "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF_BASE64},
        },
        FilePart(PDF_URL, media_type="application/pdf", filename="a.pdf"),
    ),
    "anthropic text document": (
        {"type": "document", "source": {"type": "text", "data": "words"}},
        TextPart("words"),
    ),
    "plain text": ({"type": "text-plain", "text": "words"}, TextPart("words")),
    "plain text in base64": ({"type": "text-plain", "base64": "d29yZHM="}, TextPart("words")),
    "non-standard": ({"type": "non_standard", "value": {"type": "x"}}, RawPart({"type": "x"})),
    "unknown": ({"type": "hologram", "x": 1}, RawPart({"type": "hologram", "x": 1})),
    "thinking": ({"type": "thinking", "thinking": "hm"}, None),
    "reasoning": ({"type": "reasoning", "reasoning": "hm"}, None),
    "tool use": ({"type": "tool_use", "id": "1", "name": "f", "input": {}}, None),
}


@pytest.mark.rule("media-blocks", "unknown-blocks")
@pytest.mark.parametrize("name", BLOCKS)
def test_block(name: str) -> None:
    block, part = BLOCKS[name]
    assert part_of(block) == part


@pytest.mark.rule("unknown-blocks")
@pytest.mark.parametrize(
    "block",
    [
        {"type": "text"},
        {"type": "image"},
        {"type": "image_url", "image_url": {}},
        {"type": "audio", "mime_type": "audio/wav"},
        {"type": "audio", "base64": "a", "mime_type": "audio/wav"},
        {"type": "input_audio", "input_audio": {}},
        {"type": "video_url"},
        {"type": "file", "file": {}},
        {"type": "document"},
    ],
)
def test_broken_block_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="block"):
        part_of(block)


@pytest.mark.rule("no-files-from-messages")
@pytest.mark.parametrize("address", ["/etc/passwd", "file:///etc/passwd", "../secret", "C:\\x"])
@pytest.mark.parametrize(
    "form",
    [
        lambda address: {"type": "image_url", "image_url": {"url": address}},
        lambda address: {"type": "image", "url": address},
        lambda address: {"type": "image", "image": address},
        lambda address: {"type": "image", "source": {"type": "url", "url": address}},
        lambda address: {"type": "audio", "url": address},
        lambda address: {"type": "video", "url": address},
        lambda address: {"type": "file", "url": address},
    ],
)
def test_a_message_cannot_make_us_read_a_file(address: str, form: Any) -> None:
    with pytest.raises(ValueError, match="http"):
        part_of(form(address))


CALL = {"name": "f", "args": {"q": "é"}, "id": "1", "type": "tool_call"}


def one(message: BaseMessage) -> CoreMessage:
    (converted,) = to_core([message])
    return converted


@pytest.mark.rule("roles-and-names")
def test_roles_and_names() -> None:
    assert one(SystemMessage("s")) == CoreMessage("system", "s")
    developer = SystemMessage("s", additional_kwargs={"__openai_role__": "developer"})
    assert one(developer).role == "developer"
    assert one(HumanMessage("h", name="ada")) == CoreMessage("user", "h", name="ada")
    assert one(AIMessage("a", name="bot")) == CoreMessage("assistant", "a", name="bot")
    assert one(ChatMessage("c", role="developer")) == CoreMessage("developer", "c")


@pytest.mark.rule("bad-input-is-not-sent")
@pytest.mark.parametrize("message", [RemoveMessage(id="1"), FunctionMessage(content="x", name="f")])
def test_messages_that_cannot_be_sent(message: BaseMessage) -> None:
    with pytest.raises(ValueError, match="message"):
        to_core([message])


@pytest.mark.rule("empty-texts")
def test_empty_text_parts_are_left_out() -> None:
    content: Any = ["", {"type": "text", "text": ""}, {"type": "text", "text": "a"}]
    assert one(HumanMessage(content)).content == "a"


@pytest.mark.rule("anthropic-history")
def test_assistant_with_anthropic_blocks() -> None:
    content: Any = [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "1", "name": "f", "input": {"q": "é"}},
    ]
    message = one(AIMessage(content, tool_calls=[CALL]))
    assert message.content == "Let me see."
    assert [(c.id, c.name, c.arguments) for c in message.tool_calls] == [("1", "f", '{"q": "é"}')]
    assert message.reasoning is None


@pytest.mark.rule("anthropic-history")
@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "1", "name": "f", "input": {"q": "é"}},
        {"type": "tool_call", "id": "1", "name": "f", "args": {"q": "é"}},
    ],
)
def test_calls_that_exist_only_as_blocks_are_sent(block: dict[str, Any]) -> None:
    message = one(AIMessage([block]))
    assert [(c.id, c.name, c.arguments) for c in message.tool_calls] == [("1", "f", '{"q": "é"}')]


@pytest.mark.rule("v1-history")
def test_v1_history() -> None:
    content: Any = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "Hi", "index": "lc_txt_0"},
        CALL,
    ]
    message = one(AIMessage(content, response_metadata={"output_version": "v1"}, tool_calls=[CALL]))
    assert (message.content, message.reasoning) == ("Hi", "hm")
    assert len(message.tool_calls) == 1


@pytest.mark.rule("broken-calls-are-invalid")
def test_invalid_calls_stay_in_the_history() -> None:
    bad = {"name": "f", "args": "{", "id": "1", "error": None, "type": "invalid_tool_call"}
    message = one(AIMessage("", invalid_tool_calls=[bad]))
    assert [(c.id, c.arguments) for c in message.tool_calls] == [("1", "{")]


@pytest.mark.rule("foreign-reasoning")
def test_reasoning_of_another_provider_is_not_offered() -> None:
    kept = {"reasoning_content": "hm"}
    assert one(AIMessage("a", additional_kwargs=kept)).reasoning == "hm"
    other = {"model_provider": "openai"}
    message = AIMessage("a", additional_kwargs=kept, response_metadata=other)
    assert one(message).reasoning is None


def test_refusals_are_kept() -> None:
    assert one(AIMessage("", additional_kwargs={"refusal": "no"})).refusal == "no"
    assert one(AIMessage([{"type": "refusal", "refusal": "no"}])).refusal == "no"


@pytest.mark.rule("tool-results")
def test_tool_result_of_text_parts_is_text() -> None:
    """Trap 17: the protocol has text there, and no status."""
    content: Any = ["a", {"type": "text", "text": "b"}, {"type": "json", "x": 1}]
    message = one(ToolMessage(content, tool_call_id="1", name="f"))
    assert message.content == 'a\nb\n{"type": "json", "x": 1}'
    assert (message.role, message.tool_call_id, message.name) == ("tool", "1", None)


@pytest.mark.rule("tool-results")
def test_media_of_tool_results_follow_the_last_neighbour() -> None:
    image: Any = [{"type": "image", "base64": PNG_BASE64, "mime_type": "image/png"}]
    converted = to_core(
        [
            AIMessage("", tool_calls=[CALL, {**CALL, "id": "2"}]),
            ToolMessage(image, tool_call_id="1", name="f"),
            ToolMessage("plain", tool_call_id="2"),
            HumanMessage("and?"),
        ]
    )
    assert [message.role for message in converted] == ["assistant", "tool", "tool", "user", "user"]
    assert converted[1].content == "The result follows in the next user message."
    label, picture = converted[3].content or ()
    assert label == TextPart("Result of tool f:")
    assert isinstance(picture, ImagePart)


@pytest.mark.rule("anthropic-history")
def test_anthropic_tool_results_become_tool_messages() -> None:
    content: Any = [
        {"type": "tool_result", "tool_use_id": "1", "content": "42"},
        {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "text", "text": "43"}]},
        {"type": "text", "text": "and?"},
    ]
    converted = to_core([HumanMessage(content)])
    assert [(m.role, m.content) for m in converted] == [
        ("tool", "42"),
        ("tool", "43"),
        ("user", "and?"),
    ]


@pytest.mark.rule("messages-are-not-changed")
def test_messages_are_not_changed() -> None:
    content: Any = [{"type": "text", "text": "a"}, {"type": "image", "url": URL}]
    message = HumanMessage(content)
    before = message.model_copy(deep=True)
    to_core([message])
    assert message == before


@pytest.mark.rule("media-blocks")
@pytest.mark.parametrize("name", BLOCKS)
def test_core_accepts_every_block_as_a_strict_server_would(name: str) -> None:
    """What we convert is what the core can encode and a strict server reads."""
    from shared_core.chat.messages import encode

    block, part = BLOCKS[name]
    if part is None or isinstance(part, RawPart):
        return
    (message,) = _normalize_messages([HumanMessage(["x", block])])
    body = {"model": "m", "messages": encode(to_core([message]))}
    check(body)


@pytest.mark.rule("media-blocks")
def test_rare_forms_of_media() -> None:
    encoded = WAV_BASE64.encode()
    assert part_of({"type": "audio", "base64": encoded, "mime_type": "audio/wav"}) == AudioPart(
        wav(), media_type="audio/wav"
    )
    assert part_of({"type": "image", "base64": PNG_URL}) == ImagePart(PNG_URL)
    data_url = f"data:audio/wav;base64,{WAV_BASE64}"
    block = {"type": "input_audio", "input_audio": {"data": data_url, "format": "wav"}}
    assert part_of(block) == AudioPart(wav(), format="wav")
    named = {"type": "file", "base64": PDF_BASE64, "mime_type": "application/pdf"}
    part = part_of({**named, "metadata": {"filename": "m.pdf"}})
    assert isinstance(part, FilePart)
    assert part.filename == "m.pdf"
    by_url = {"type": "text-plain", "url": "https://example.org/a.txt"}
    assert part_of(by_url) == FilePart("https://example.org/a.txt", media_type="text/plain")
    uploaded = {"type": "document", "source": {"type": "file", "file_id": "f"}}
    assert part_of(uploaded) == FilePart(file_id="f")
    assert part_of({"type": "non_standard", "value": 5}) == RawPart(
        {"type": "non_standard", "value": 5}
    )
