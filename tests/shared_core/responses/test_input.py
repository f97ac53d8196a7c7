"""Chat messages as input items: what is sent of them, and what is refused."""

from __future__ import annotations

import pytest

from shared_core import (
    AudioPart,
    ChatMessage,
    FilePart,
    ImagePart,
    InvalidSettingError,
    TextPart,
    ToolCall,
    VideoPart,
)
from shared_core.responses.items import read_item
from shared_core.responses.request import encode_input

PICTURE = "https://example.org/a.png"


def test_chat_messages_become_items() -> None:
    parts = [TextPart("What?"), ImagePart(PICTURE, detail="low"), FilePart(file_id="f1")]
    answer = ChatMessage(
        "assistant",
        [TextPart("Yes"), TextPart(".")],
        reasoning="Hm.",
        refusal="No more.",
        tool_calls=[ToolCall("c", "f")],
    )
    history = [
        ChatMessage("system", "Be kind."),
        ChatMessage("user", parts),
        answer,
        ChatMessage("tool", "3", tool_call_id="c"),
        ChatMessage("assistant", "Three."),
    ]
    assert encode_input(history) == [
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What?"},
                {"type": "input_image", "image_url": PICTURE, "detail": "low"},
                {"type": "input_file", "file_id": "f1"},
            ],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "Yes.", "annotations": []},
                {"type": "refusal", "refusal": "No more."},
            ],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "3"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Three.", "annotations": []}],
        },
    ]


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (ChatMessage("user", [AudioPart(b"RIFF", format="wav")]), "sound"),
        (ChatMessage("user", [VideoPart("https://example.org/a.mp4")]), "video"),
        (ChatMessage("assistant", [ImagePart(PICTURE)]), "assistant"),
        (ChatMessage("tool", [ImagePart(PICTURE)], tool_call_id="c"), "functions"),
    ],
)
def test_what_has_no_place_in_the_input_is_refused(message: ChatMessage, what: str) -> None:
    with pytest.raises(InvalidSettingError, match=rf"input\[1\].* {what}"):
        encode_input(["x", message])


def test_a_broken_call_of_an_answer_goes_back_as_an_object() -> None:
    """Servers parse the arguments of a history, and refuse all of it where they cannot."""
    wire = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1', "id": "i"}
    call = read_item(wire)
    assert call.to_input() == {**wire, "arguments": '{"malformed_arguments": "{\\"a\\": 1"}'}
    whole = {**wire, "arguments": '{"a": 1}'}
    assert read_item(whole).to_input() == whole
