"""Warnings that the Hub adds to its answers (protocol.md 1.5), logged once per topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared_core.log import logger

MOST_TOPICS = 100
"""Topics remembered; a server that makes up more is not listened to."""

_told: set[str] = set()


def notices(header: str) -> Iterator[tuple[str, str]]:
    """Yield topic and message of every warning in an ``X-HF-Warning`` header.

    Args:
        header: ``topic; message``, several of them joined with commas.
    """
    pending: list[str] = []
    for part in header.split(", "):
        if ";" in part or not pending:
            pending.append(part)
        else:  # a comma within a message
            pending[-1] += f", {part}"
    for warning in pending:
        topic, _, message = warning.partition(";")
        if topic.strip() and message.strip():
            yield topic.strip(), message.strip()


def tell(headers: Mapping[str, str]) -> None:
    """Log the warnings of an answer of the Hub whose topic is new.

    Args:
        headers: Response headers.
    """
    for topic, message in notices(headers.get("x-hf-warning", "")):
        if topic not in _told and len(_told) < MOST_TOPICS:
            _told.add(topic)
            logger.warning("the Hub says (%s): %s", topic[:80], " ".join(message[:500].split()))
