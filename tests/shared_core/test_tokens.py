"""Counting tokens: two estimates, and exactly with a real tokenizer file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shared_core.chat.types import ChatMessage, ImagePart, TextPart, ToolCall
from shared_core.errors import InvalidSettingError
from shared_core.tokens import (
    CharacterCounter,
    TokenCounter,
    TokenizerCounter,
    WordCounter,
    message_texts,
    token_counter,
)


def test_characters() -> None:
    count = CharacterCounter().count
    assert [count(""), count("a"), count("abcd"), count("abcde")] == [0, 1, 1, 2]
    assert CharacterCounter(2).count("abcd") == 2


def test_words() -> None:
    count = WordCounter().count
    assert [count(""), count("one"), count("one two three"), count("a " * 75)] == [0, 2, 4, 100]


@pytest.mark.parametrize("bad", [0, -1, float("inf"), float("nan"), True, "4"])
def test_bad_ratios(bad: float) -> None:
    with pytest.raises(InvalidSettingError, match="per_token"):
        CharacterCounter(bad)
    with pytest.raises(InvalidSettingError, match="per_word"):
        WordCounter(bad)


def test_messages_of_every_form() -> None:
    messages = [
        "abcd",
        {"role": "user", "content": "abcd"},
        {"role": "user", "content": [{"type": "text", "text": "abcd"}, {"type": "image_url"}]},
        ChatMessage("user", [TextPart("abcd"), ImagePart(b"\x89PNG")]),
    ]
    each = CharacterCounter().count_messages(messages[:1])
    assert each == 1 + 4 + 3
    assert CharacterCounter().count_messages(messages) == 4 * (1 + 4) + 3
    assert CharacterCounter().count_messages([]) == 0


def test_tool_calls_count_and_reasoning_does_not() -> None:
    call = ToolCall(id="1", name="look", arguments='{"q":1}')
    message = ChatMessage("assistant", None, tool_calls=[call], reasoning="long thought")
    assert message_texts(message) == ["look", '{"q":1}']
    wire = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}
    wire["tool_calls"][0]["function"] = {"name": "look", "arguments": '{"q":1}'}  # type: ignore[index]
    assert message_texts(wire) == ["look", '{"q":1}']


def test_by_name() -> None:
    assert isinstance(token_counter(), CharacterCounter)
    assert isinstance(token_counter("words"), WordCounter)
    assert isinstance(token_counter(), TokenCounter)
    with pytest.raises(InvalidSettingError, match="strategy"):
        token_counter("guess")
    with pytest.raises(InvalidSettingError, match="tokenizer="):
        token_counter("tokenizer")


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A word-piece tokenizer, trained here."""
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.models.WordLevel({"[UNK]": 0, "red": 1, "fox": 2, "!": 3}, unk_token="[UNK]")
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


def test_tokenizer_file(tokenizer_file: Path) -> None:
    for path in (tokenizer_file, tokenizer_file.parent, str(tokenizer_file)):
        exact = token_counter("tokenizer", tokenizer=path)
        assert exact.count("red fox!") == 3
        assert exact.count("") == 0
    assert exact.count_messages(["red fox"]) == 2 + 4 + 3


def test_bad_tokenizer_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match="no tokenizer file"):
        TokenizerCounter(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidSettingError, match="not a tokenizer file"):
        TokenizerCounter(tmp_path)


def test_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r'pip install "hfrouter\[tokenizers\]"'):
        TokenizerCounter("x")
