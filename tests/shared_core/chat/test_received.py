"""Keys of an answer that have no place of their own: kept, joined, never sent back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from shared_core import ChatMessage
from shared_core.chat.messages import encode
from shared_core.chat.received import Received
from shared_core.chat.response import parse_completion


def message(**more: Any) -> ChatMessage:
    choice = {"message": {"role": "assistant", "content": "x", **more}}
    return parse_completion(json.dumps({"choices": [choice]}).encode()).choices[0].message


def test_unknown_keys_are_kept_and_empty_ones_are_not() -> None:
    sound = {"id": "a", "data": "AAAA"}
    found = message(audio=sound, annotations=[], function_call=None, zero=0, no=False, name="n")
    assert found.received == {"audio": sound, "zero": 0, "no": False}
    assert message(reasoning="r", refusal="no").received == {}


def test_they_are_never_sent_back() -> None:
    assert encode([message(audio={"id": "a"})]) == [{"role": "assistant", "content": "x"}]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([[1], [2, 3]], [1, 2, 3]),
        ([{"id": "a", "transcript": "x"}, {"id": "a", "transcript": "y"}],
         {"id": "a", "transcript": "xy"}),
        (["a", "b"], "b"),
        ([{"data": "AAAA"}, {"data": "BBBB"}], {"data": "AAAABBBB"}),
        ([{"data": base64.b64encode(b"abcd").decode()}, {"data": base64.b64encode(b"e").decode()}],
         {"data": base64.b64encode(b"abcde").decode()}),
        ([{"data": "=broken"}, {"data": "x"}], {"data": "=brokenx"}),
    ],
)  # fmt: skip
def test_pieces_are_joined(pieces: list[Any], expected: Any) -> None:
    found = Received()
    for piece in pieces:
        found.add(piece)
    assert found.whole() == expected
