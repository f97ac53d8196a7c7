"""Text as tokens arrive, stop texts, tool calls: the same whatever the pieces are."""

from __future__ import annotations

from typing import Any

import pytest

from shared_core.local.sampling import Sampling
from shared_core.local.text_pieces import TextPieces, partly_begun
from shared_core.local.tool_calls import ToolCalls

BYTES = "Grüße, 世界! 🌍 ok".encode()


def _decode(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def _pieces(data: bytes, stops: list[str]) -> tuple[list[str], TextPieces]:
    found: list[str] = []
    pieces = TextPieces(_decode, found.append, stops)
    for byte in data:
        pieces.push(byte)
    pieces.finish()
    return found, pieces


def test_no_piece_has_half_a_character() -> None:
    found, pieces = _pieces(BYTES, [])
    assert "".join(found) == BYTES.decode()
    assert all("\ufffd" not in piece and piece for piece in found)
    assert pieces.count == len(BYTES)
    assert not pieces.stopped


def test_what_is_cut_in_a_character_comes_at_the_end() -> None:
    found, _ = _pieces("é".encode()[:1], [])
    assert found == ["\ufffd"]


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        (["世界"], "Grüße, "),
        (["!", "ok"], "Grüße, 世界"),
        (["nowhere"], BYTES.decode()),
        (["ok?"], BYTES.decode()),  # begun at the end, and handed on after all
        (["Gr"], ""),
        (["", " ok"], "Grüße, 世界! 🌍"),
    ],
)
def test_stop_texts_end_it_and_are_no_part_of_it(stops: list[str], expected: str) -> None:
    found, pieces = _pieces(BYTES, stops)
    assert "".join(found) == expected
    assert pieces.stopped is (expected != BYTES.decode())


def test_how_much_of_a_mark_has_begun() -> None:
    assert partly_begun("abc<to", ["<tool>"]) == 3
    assert partly_begun("abc", ["<tool>"]) == 0
    assert partly_begun("aab", ["aabc", "b!"]) == 3
    assert partly_begun("x", []) == 0


CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'


@pytest.mark.parametrize("size", [1, 2, 7, 500])
@pytest.mark.parametrize(
    ("text", "words", "names"),
    [
        ("No call here. ", "No call here. ", []),
        ("  \n", "  \n", []),
        (CALL, "", ["add"]),
        (f"Let me see.\n\n{CALL}\n{CALL}\n", "Let me see.", ["add", "add"]),
        (f"{CALL}\nDone.", "\nDone.", ["add"]),
        ("<tool_call>no json</tool_call>", "<tool_call>no json</tool_call>", []),
        ("<tool_call>[1]</tool_call>", "<tool_call>[1]</tool_call>", []),
        ('a <tool_call>{"name": "add', 'a <tool_call>{"name": "add', []),
        ("a\n<tool_call>b</tool_call> c", "a\n<tool_call>b</tool_call> c", []),
        ("a < b <tool", "a < b <tool", []),
    ],
)
def test_calls_are_told_from_text(text: str, words: str, names: list[str], size: int) -> None:
    said: list[str] = []
    called: list[dict[str, Any]] = []
    calls = ToolCalls(said.append, called.append)
    for at in range(0, len(text), size):
        calls.push(text[at : at + size])
    calls.finish()
    assert "".join(said) == words
    assert [call["function"]["name"] for call in called] == names
    assert [call["index"] for call in called] == list(range(len(names)))
    assert all(call["function"]["arguments"] == '{"a": 1}' for call in called)
    assert len({call["id"] for call in called}) == calls.count == len(names)
    assert all(said)


def test_what_a_request_says_of_sampling() -> None:
    given = {"temperature": 0.5, "stop": "x", "max_new_tokens": None, "other": 1}
    assert Sampling.of(given) == Sampling(temperature=0.5, stop=("x",))
    assert Sampling.of({"stop": ["a", "b"]}).stop == ("a", "b")
    assert Sampling().at_random is None
    assert Sampling(temperature=0.0, top_p=0.5).at_random is False
    assert Sampling(top_k=3).at_random is True
    assert Sampling(do_sample=False, temperature=1.0).at_random is False
