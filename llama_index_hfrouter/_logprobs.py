"""Log probabilities of a server's in the framework's form. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.base.llms.types import LogProb

_LARGEST = 9999.0
"""Bound of log probabilities: what vLLM writes for minus infinity, which JSON has no number for."""


def read(value: Mapping[str, Any]) -> list[list[LogProb]] | None:
    """Convert logprobs: one list per token, of its alternatives if given, else of itself.

    Understands the current form (``content``) and the old one (``tokens`` and
    ``token_logprobs``) that some providers still send.
    """
    content = value.get("content")
    if isinstance(content, list):
        return [
            [_logprob(item) for item in _alternatives(token)]
            for token in content
            if isinstance(token, Mapping)
        ] or None
    tokens, numbers = value.get("tokens"), value.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(numbers, list):
        return None
    return [
        [LogProb(token=str(token), logprob=_number(number))]
        for token, number in zip(tokens, numbers, strict=False)
    ] or None


def _alternatives(token: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    top = token.get("top_logprobs")
    found = [item for item in top if isinstance(item, Mapping)] if isinstance(top, list) else []
    return found or [token]


def _logprob(item: Mapping[str, Any]) -> LogProb:
    given = item.get("bytes")
    octets = given if isinstance(given, list) else []
    good = all(type(octet) is int and 0 <= octet < 256 for octet in octets)
    return LogProb(
        token=str(item.get("token") or ""),
        logprob=_number(item.get("logprob")),
        bytes=octets if good else [],
    )


def _number(value: Any) -> float:
    """Return a log probability, bounded; the framework's own default for what is none."""
    if type(value) not in (int, float) or value != value:  # NaN
        return 0.0
    return float(max(-_LARGEST, min(value, _LARGEST)))
