"""Messages as input of the Responses API, by table; and what is refused before it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_hfrouter._responses_input import to_input
from shared_core import InvalidSettingError
from shared_core.responses.request import encode_input
from tests.langchain.conftest import PDF_BASE64, PNG_BASE64, WAV_BASE64
from tests.langchain.responses_server import ASKED, CALLED, LISTED, model_of, serving, whole

URL = "https://example.org/cat.png"
CALL = {"type": "tool_call", "id": "c1", "name": "add", "args": {"a": 1}}
WIRE_CALL = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'}
HI = {"role": "user", "content": "Hi"}


def said(*parts: Any) -> dict[str, Any]:
    """What an assistant said, as input."""
    texts = [
        {"type": "output_text", "text": part, "annotations": []} if isinstance(part, str) else part
        for part in parts
    ]
    return {"type": "message", "role": "assistant", "content": texts}


def wire(*messages: BaseMessage, echo: bool = False) -> tuple[str | None, list[Any]]:
    """Instructions and input as they are sent."""
    instructions, items = to_input(messages, echo=echo)
    return instructions, list(encode_input(items))  # type: ignore[arg-type]


MESSAGES: dict[str, tuple[BaseMessage, list[Any]]] = {
    "text": (HumanMessage("Hi"), [HI]),
    "name": (HumanMessage("Hi", name="Ada"), [HI]),
    "text block": (HumanMessage([{"type": "text", "text": "Hi"}]), [HI]),
    "image": (
        HumanMessage([{"type": "text", "text": "What?"}, {"type": "image", "url": URL}]),
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What?"},
                    {"type": "input_image", "image_url": URL},
                ],
            }
        ],
    ),
    "image with detail": (
        HumanMessage([{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}]),
        [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": URL, "detail": "low"}],
            }
        ],
    ),
    "image as data": (
        HumanMessage([{"type": "image", "base64": PNG_BASE64, "mime_type": "image/png"}]),
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG_BASE64}"}
                ],
            }
        ],
    ),
    "a part in the API's own form": (
        HumanMessage([{"type": "input_image", "image_url": URL}]),
        [{"role": "user", "content": [{"type": "input_image", "image_url": URL}]}],
    ),
    "file": (
        HumanMessage(
            [
                {
                    "type": "file",
                    "base64": PDF_BASE64,
                    "mime_type": "application/pdf",
                    "filename": "a.pdf",
                }
            ]
        ),
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "input_file",
                        "filename": "a.pdf",
                        "file_data": f"data:application/pdf;base64,{PDF_BASE64}",
                    }
                ],
            }
        ],
    ),
    "answer": (AIMessage("Yes."), [said("Yes.")]),
    "answer in blocks": (
        AIMessage([{"type": "text", "text": "Yes", "index": "lc_txt_0_0"}, "."]),
        [said("Yes.")],
    ),
    "empty answer": (AIMessage(""), []),
    "refusal beside the text": (
        AIMessage("", additional_kwargs={"refusal": "No."}),
        [said({"type": "refusal", "refusal": "No."})],
    ),
    "refusal block": (
        AIMessage([{"type": "refusal", "refusal": "No."}], additional_kwargs={"refusal": "No."}),
        [said({"type": "refusal", "refusal": "No."})],
    ),
    "call": (AIMessage("Let me see.", tool_calls=[CALL]), [said("Let me see."), WIRE_CALL]),  # type: ignore[list-item]
    "call in a block": (
        AIMessage([{"type": "text", "text": "So:"}, CALL], tool_calls=[CALL]),  # type: ignore[list-item]
        [said("So:"), WIRE_CALL],
    ),
    "somebody's tool use": (
        AIMessage([{"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}]),
        [WIRE_CALL],
    ),
    "broken call": (
        AIMessage(
            "", invalid_tool_calls=[{"id": "c1", "name": "add", "args": '{"a', "error": None}]
        ),
        [{**WIRE_CALL, "arguments": '{"malformed_arguments": "{\\"a"}'}],
    ),
    "somebody's thinking": (
        AIMessage([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Yes."}]),
        [said("Yes.")],
    ),
    "tool result": (
        ToolMessage("3", tool_call_id="c1"),
        [{"type": "function_call_output", "call_id": "c1", "output": "3"}],
    ),
    "approval": (
        HumanMessage(
            [
                {
                    "type": "mcp_approval_response",
                    "approval_request_id": "mcpr_1",
                    "approve": True,
                },
                {"type": "text", "text": "Hi"},
            ]
        ),
        [
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
            HI,
        ],
    ),
    "refused approval in a block": (
        HumanMessage(
            [
                {
                    "type": "non_standard",
                    "value": {
                        "type": "mcp_approval_response",
                        "approval_request_id": "mcpr_1",
                        "approve": False,
                        "reason": "Too risky.",
                    },
                }
            ]
        ),
        [
            {
                "type": "mcp_approval_response",
                "approval_request_id": "mcpr_1",
                "approve": False,
                "reason": "Too risky.",
            }
        ],
    ),
    "another provider's items": (
        AIMessage(
            [
                {"type": "reasoning", "reasoning": "Hm."},
                {"type": "server_tool_call", "id": "s", "name": "search", "args": {}},
                {"type": "server_tool_result", "tool_call_id": "s", "status": "success"},
                {"type": "text", "text": "Yes."},
                {"type": "non_standard", "value": ASKED},
            ],
            response_metadata={"model_provider": "other"},
        ),
        [said("Yes.")],
    ),
}


@pytest.mark.rule("responses-input")
@pytest.mark.parametrize("case", MESSAGES)
def test_a_message_becomes_items(case: str) -> None:
    message, expected = MESSAGES[case]
    before = message.model_dump_json()
    instructions, items = wire(HumanMessage("?"), message)
    assert (instructions, items[1:]) == (None, expected)
    assert message.model_dump_json() == before


@pytest.mark.rule("responses-input")
def test_pictures_of_tool_results_follow_the_last_of_them() -> None:
    picture = {"type": "image", "url": URL}
    _, items = wire(
        AIMessage("", tool_calls=[CALL, {**CALL, "id": "c2"}]),  # type: ignore[list-item]
        ToolMessage([picture], tool_call_id="c1"),
        ToolMessage("4", tool_call_id="c2"),
        AIMessage("Done."),
    )
    kinds = [item.get("type", item.get("role")) for item in items]
    assert kinds == ["function_call"] * 2 + ["function_call_output"] * 2 + ["user", "message"]
    assert items[4]["content"][1] == {"type": "input_image", "image_url": URL}


SYSTEM: dict[str, tuple[list[BaseMessage], str | None, list[Any]]] = {
    "one": ([SystemMessage("Be kind."), HumanMessage("Hi")], "Be kind.", [HI]),
    "several": (
        [SystemMessage("A"), ChatMessage(role="developer", content="B"), HumanMessage("Hi")],
        "A\n\nB",
        [HI],
    ),
    "blocks": (
        [SystemMessage([{"type": "text", "text": "A"}, "B"]), HumanMessage("Hi")],
        "A\nB",
        [HI],
    ),
    "later": (
        [HumanMessage("Hi"), SystemMessage("A"), ChatMessage(role="developer", content="B")],
        None,
        [HI, {"role": "system", "content": "A"}, {"role": "system", "content": "B"}],
    ),
    "alone": ([SystemMessage("A")], None, [{"role": "system", "content": "A"}]),
}


@pytest.mark.rule("responses-system-text")
@pytest.mark.parametrize("case", SYSTEM)
def test_system_text_is_instructions(case: str) -> None:
    messages, instructions, items = SYSTEM[case]
    assert wire(*messages) == (instructions, items)


@pytest.mark.rule("responses-system-text")
def test_instructions_of_the_call_come_first() -> None:
    with serving(whole()) as server:
        model_of(server).invoke([SystemMessage("B"), HumanMessage("Hi")], instructions="A")
        assert server.requests[0].json()["instructions"] == "A\n\nB"


THOUGHTS: dict[str, tuple[AIMessage, dict[str, Any]]] = {
    "beside the text": (
        AIMessage("Yes.", additional_kwargs={"reasoning_content": "Hm."}),
        {"summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
    ),
    "block": (
        AIMessage([{"type": "reasoning", "reasoning": "Hm.", "id": "rs_1"}, "Yes."]),
        {"id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
    ),
    "summary and secret": (
        AIMessage(
            [
                {
                    "type": "reasoning",
                    "reasoning": "Hm.",
                    "id": "rs_1",
                    "extras": {
                        "summary": [{"type": "summary_text", "text": "Hm."}],
                        "encrypted_content": "x1",
                    },
                },
                "Yes.",
            ]
        ),
        {
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "x1",
        },
    ),
}


@pytest.mark.rule("responses-round-trip")
@pytest.mark.parametrize("case", THOUGHTS)
def test_reasoning_is_sent_back_only_when_asked_for(case: str) -> None:
    message, item = THOUGHTS[case]
    assert wire(message, echo=True)[1] == [{"type": "reasoning", **item}, said("Yes.")]
    assert wire(message)[1] == [said("Yes.")]


@pytest.mark.rule("responses-round-trip")
@pytest.mark.parametrize(("echo", "kinds"), [("auto", 1), ("never", 1), ("always", 2), (True, 2)])
def test_reasoning_echo_is_the_models_setting(echo: Any, kinds: int) -> None:
    history = [THOUGHTS["block"][0], HumanMessage("Hi")]
    with serving(whole()) as server:
        model_of(server, reasoning_echo=echo).invoke(history)
        assert len(server.requests[0].json()["input"]) == kinds + 1


REFUSED: dict[str, tuple[BaseMessage, str]] = {
    "sound": (
        HumanMessage([{"type": "audio", "base64": WAV_BASE64, "mime_type": "audio/wav"}]),
        "sound",
    ),
    "video": (HumanMessage([{"type": "video", "url": "https://example.org/a.mp4"}]), "video"),
    "a picture of the system's": (SystemMessage([{"type": "image", "url": URL}]), "system"),
    "a picture of the assistant's": (AIMessage([{"type": "image", "url": URL}]), "assistant"),
    "an approval of nothing": (
        HumanMessage([{"type": "mcp_approval_response", "approve": True}]),
        "approval_request_id",
    ),
    "an approval that is neither": (
        HumanMessage(
            [{"type": "mcp_approval_response", "approval_request_id": "a", "approve": "yes"}]
        ),
        "approve",
    ),
    "an item without a type": (
        AIMessage([{"type": "non_standard", "value": {"beam": 1}}]),
        "'type'",
    ),
}


@pytest.mark.rule("responses-input")
@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_place_is_refused_before_it_is_sent(case: str) -> None:
    message, what = REFUSED[case]
    with serving(whole()) as server:
        with pytest.raises(InvalidSettingError, match=what):
            model_of(server).invoke([HumanMessage("Hi"), message, HumanMessage("Hi")])
        assert server.requests == []


@pytest.mark.rule("responses-round-trip")
def test_items_of_the_service_are_left_out_of_chat() -> None:
    """A conversation may go on with chat completions."""
    from langchain_hfrouter._messages import to_core

    with serving(whole(LISTED, CALLED, ASKED)) as server:
        answer = model_of(server).invoke("Hi")
    (message,) = to_core([answer])
    assert (message.content, message.tool_calls) == ("", [])
