"""Results of tasks in words, for the model that called a tool."""

from __future__ import annotations

from typing import Any

from shared_core import Answer, Detection, Entity, Label, Media

_MOST = 20
"""How many items of a list are told; the artifact has them all."""


def in_words(result: Any) -> str:
    """Return what a model is told of a task's result; the artifact is the result itself.

    Args:
        result: A result of ``shared_core``.
    """
    if isinstance(result, Media):
        return f"Made a file of type {result.media_type} with {len(result.content)} bytes."
    if not isinstance(result, list):
        return str(result)
    if not result:
        return "Nothing was found."
    told = [_item(item) for item in result[:_MOST]]
    if len(result) > _MOST:
        told.append(f"... and {len(result) - _MOST} more")
    return "\n".join(told)


def _item(item: Any) -> str:
    if isinstance(item, Label):
        return f"{item.label}: {item.score:.3f}"
    if isinstance(item, Answer):
        sure = "" if item.score is None else f" ({item.score:.3f})"
        return f"{item.answer or 'no answer'}{sure}"
    if isinstance(item, Entity):
        return f"{item.label}: {item.word.strip()} ({item.score:.3f})"
    if isinstance(item, Detection):
        box = item.box
        edges = f"{box.xmin:.0f},{box.ymin:.0f} to {box.xmax:.0f},{box.ymax:.0f}"
        return f"{item.label}: {item.score:.3f} at {edges}"
    return f"{item:.3f}" if isinstance(item, float) else str(item)
