"""Counting tokens without a server: estimates, or exactly with the model's tokenizer file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from shared_core.errors import InvalidSettingError

CHARACTERS_PER_TOKEN: Final = 4.0
"""Usual ratio for English text in byte-pair encodings; other scripts need more tokens."""

TOKENS_PER_WORD: Final = 4 / 3
"""Usual ratio for English text: 100 tokens are about 75 words."""

MESSAGE_OVERHEAD: Final = 4
"""Tokens that a chat template spends on one message (role and separators), roughly."""

REPLY_OVERHEAD: Final = 3
"""Tokens that a chat template spends on opening the answer, roughly."""


@runtime_checkable
class TokenCounter(Protocol):
    """Counts the tokens of texts and conversations."""

    def count(self, text: str) -> int:
        """Return the number of tokens of *text*."""
        ...

    def count_messages(self, messages: Iterable[Any]) -> int:
        """Return the number of tokens of a conversation."""
        ...


class _Counter:
    """The part that all strategies share."""

    def count(self, text: str) -> int:
        """Return the number of tokens of *text*.

        Args:
            text: Any text; the empty one has none.
        """
        raise NotImplementedError

    def count_messages(self, messages: Iterable[Any]) -> int:
        """Return roughly how many prompt tokens a conversation takes.

        Counts the text of every message, names, tool calls and the overhead of a chat
        template. Not counted: images, audio, files, and reasoning, which is not sent back.

        Args:
            messages: ``ChatMessage`` objects, mappings with ``role`` and ``content``, or
                strings.
        """
        total = sum(
            MESSAGE_OVERHEAD + sum(self.count(text) for text in message_texts(message))
            for message in messages
        )
        return total + REPLY_OVERHEAD if total else 0


class CharacterCounter(_Counter):
    """Estimates from the number of characters, about four per token.

    Args:
        per_token: Characters per token.
    """

    def __init__(self, per_token: float = CHARACTERS_PER_TOKEN) -> None:
        self.per_token = _positive(per_token, "per_token")

    def count(self, text: str) -> int:
        """Return the estimate for *text*, rounded up."""
        return math.ceil(len(text) / self.per_token)


class WordCounter(_Counter):
    """Estimates from the number of words, about 1.33 tokens each.

    Args:
        per_word: Tokens per word.
    """

    def __init__(self, per_word: float = TOKENS_PER_WORD) -> None:
        self.per_word = _positive(per_word, "per_word")

    def count(self, text: str) -> int:
        """Return the estimate for *text*, rounded up."""
        return math.ceil(round(len(text.split()) * self.per_word, 6))


class TokenizerCounter(_Counter):
    """Counts exactly, with the ``tokenizer.json`` of the model.

    Args:
        path: The file, or the folder that holds it.
        add_special_tokens: Whether the markers that the tokenizer puts around a text count.

    Raises:
        ImportError: The package ``tokenizers`` is not installed.
        InvalidSettingError: The file is missing or not a tokenizer.
    """

    def __init__(self, path: str | os.PathLike[str], *, add_special_tokens: bool = False) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as exc:
            raise ImportError(
                'counting with a tokenizer file needs the package "tokenizers": '
                'pip install "hfrouter[tokenizers]"'
            ) from exc
        file = Path(path)
        if file.is_dir():
            file = file / "tokenizer.json"
        if not file.is_file():
            raise InvalidSettingError(
                f"there is no tokenizer file {file}",
                setting="path",
                guidance="Download tokenizer.json of the model from the Hub and name it here.",
            )
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(file))
        except Exception as exc:  # tokenizers raises a bare Exception
            raise InvalidSettingError(
                f"{file} is not a tokenizer file: {exc}", setting="path"
            ) from exc
        self._special = add_special_tokens

    def count(self, text: str) -> int:
        """Return the number of tokens of *text*."""
        return len(self._tokenizer.encode(text, add_special_tokens=self._special).ids)


def token_counter(
    strategy: str = "characters", *, tokenizer: str | os.PathLike[str] | None = None
) -> TokenCounter:
    """Return a counter by name.

    Args:
        strategy: ``"characters"``, ``"words"`` or ``"tokenizer"``.
        tokenizer: File or folder for ``"tokenizer"``.

    Raises:
        ImportError: ``"tokenizer"`` without the package ``tokenizers``.
        InvalidSettingError: The strategy does not exist, or its file is missing.
    """
    if strategy == "characters":
        return CharacterCounter()
    if strategy == "words":
        return WordCounter()
    if strategy != "tokenizer":
        raise InvalidSettingError(
            f"strategy must be 'characters', 'words' or 'tokenizer', not {strategy!r}",
            setting="strategy",
        )
    if tokenizer is None:
        raise InvalidSettingError(
            "strategy 'tokenizer' needs tokenizer= with the path of a tokenizer.json",
            setting="tokenizer",
        )
    return TokenizerCounter(tokenizer)


def message_texts(message: Any) -> list[str]:
    """Return all texts of one message that become tokens.

    Args:
        message: A ``ChatMessage``, a mapping in the wire's form, or a string.
    """
    if isinstance(message, str):
        return [message]
    texts = _content_texts(_field(message, "content"))
    for name in ("name", "refusal"):
        value = _field(message, name)
        if isinstance(value, str):
            texts.append(value)
    for call in _field(message, "tool_calls") or ():
        function = _field(call, "function") or call
        for name in ("name", "arguments"):
            value = _field(function, name)
            if isinstance(value, str):
                texts.append(value)
    return texts


def _content_texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list | tuple):
        return []
    texts = (part if isinstance(part, str) else _field(part, "text") for part in content)
    return [text for text in texts if isinstance(text, str)]


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _positive(value: float, setting: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InvalidSettingError(
            f"{setting} must be a positive number: {value!r}", setting=setting
        )
    return value
