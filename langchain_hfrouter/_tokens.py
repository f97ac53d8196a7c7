"""Counting tokens offline: with a tokenizer where there is one, else by estimate."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from shared_core import ChatMessage, TextPart

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English text and common tokenizers; LangChain estimates the same way."""

TOKENS_PER_MESSAGE = 4
"""Role and separators of one message in common chat templates."""

TOKENS_PER_MEDIUM = 258
"""Estimate for an image, audio or file part, whose real cost only the model knows."""


def count(tokenizer: Any, text: str) -> int:
    """Count the tokens of *text*.

    Args:
        tokenizer: None, a function, an object with ``count(text)``, or the path of a
            ``tokenizer.json``.
        text: The text.
    """
    if tokenizer is None:
        return -(-len(text) // CHARACTERS_PER_TOKEN)
    counter = getattr(tokenizer, "count", None)
    if callable(counter):
        return int(counter(text))
    if callable(tokenizer):
        return int(tokenizer(text))
    return len(ids(tokenizer, text))


def ids(tokenizer: Any, text: str) -> list[int]:
    """Return the token ids of *text*.

    Args:
        tokenizer: A ``tokenizers.Tokenizer``, or the path of a ``tokenizer.json``.
        text: The text.

    Raises:
        ValueError: There is no tokenizer that gives ids.
        ImportError: A path is given and the package ``tokenizers`` is not installed.
    """
    if isinstance(tokenizer, str | os.PathLike):
        tokenizer = _loaded(os.fspath(tokenizer))
    encode: Callable[..., Any] | None = getattr(tokenizer, "encode", None)
    if encode is None:
        raise ValueError(
            "token ids need a tokenizer: pass tokenizer='path/to/tokenizer.json' or "
            "custom_get_token_ids=..."
        )
    encoded = encode(text, add_special_tokens=False)
    return list(getattr(encoded, "ids", encoded))


@lru_cache(maxsize=8)
def _loaded(path: str) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError(
            "tokenizer= needs the package tokenizers: pip install 'hfrouter[tokenizers]'"
        ) from error
    if os.path.isdir(path):
        path = os.path.join(path, "tokenizer.json")
    return Tokenizer.from_file(path)


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
