"""Counting tokens offline: with a tokenizer where there is one, else by estimate."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from shared_core import CharacterCounter, ChatMessage, TextPart, TokenizerCounter

TOKENS_PER_MESSAGE = 4
"""Role and separators of one message in common chat templates."""

TOKENS_PER_MEDIUM = 258
"""Estimate for an image, audio or file part, whose real cost only the model knows."""


def count(tokenizer: Any, text: str) -> int:
    """Count the tokens of *text*.

    Args:
        tokenizer: None (estimate), the path of a ``tokenizer.json`` or its folder, an object
            with ``count(text)`` or ``encode(text)``, or a function.
        text: The text.
    """
    if tokenizer is None:
        return CharacterCounter().count(text)
    if isinstance(tokenizer, str | os.PathLike):
        tokenizer = _loaded(os.fspath(tokenizer))
    if callable(getattr(tokenizer, "count", None)):
        return int(tokenizer.count(text))
    if callable(getattr(tokenizer, "encode", None)):
        return len(ids(tokenizer, text))
    return int(tokenizer(text))


def ids(tokenizer: Any, text: str) -> list[int]:
    """Return the token ids of *text*.

    Args:
        tokenizer: A tokenizer with ``encode(text)``, e.g. of the package ``tokenizers``.
        text: The text.

    Raises:
        ValueError: There is no tokenizer that gives ids.
    """
    encode: Any = getattr(tokenizer, "encode", None)
    if not callable(encode):
        raise ValueError(
            "token ids need custom_get_token_ids=..., or tokenizer= an object with encode(text)"
        )
    encoded: Any = encode(text)
    return list(getattr(encoded, "ids", encoded))


@lru_cache(maxsize=8)
def _loaded(path: str) -> TokenizerCounter:
    return TokenizerCounter(path)


def count_messages(
    count_text: Callable[[str], int],
    messages: Sequence[ChatMessage],
    tools: Sequence[Mapping[str, Any]],
) -> int:
    """Count the tokens of a conversation; roles, separators and media are estimates.

    Args:
        count_text: Counts a text.
        messages: The conversation.
        tools: Tool descriptions that go with it.
    """
    total = sum(count_text(json.dumps(tool, ensure_ascii=False)) for tool in tools)
    for message in messages:
        total += TOKENS_PER_MESSAGE + count_text(message.text)
        if message.name:
            total += count_text(message.name)
        for call in message.tool_calls:
            total += count_text(call.name) + count_text(call.arguments)
        if not isinstance(message.content, str):
            media = [p for p in message.content or () if not isinstance(p, TextPart)]
            total += TOKENS_PER_MEDIUM * len(media)
    return total
