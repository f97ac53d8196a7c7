"""Tool calls in the text of a model, in the form of Hermes and Qwen. Pure.

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Paris"}}
    </tool_call>

What only looks like a call stays text: nothing that the model wrote is lost.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from shared_core.local.text_pieces import partly_begun

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class ToolCalls:
    """Tells calls from text in pieces of text.

    Args:
        emit: Given the text, without the calls and the blanks around them.
        called: Given each call as it is sent on the wire.

    Attributes:
        count: How many calls came.
    """

    def __init__(
        self, emit: Callable[[str], None], called: Callable[[dict[str, Any]], None]
    ) -> None:
        self.count = 0
        self._emit = emit
        self._called = called
        self._held = ""
        self._blank = ""  # before a call; no part of the text if it is one
        self._inside = False

    def push(self, text: str) -> None:
        """Take the next piece of text."""
        self._held += text
        while self._step():
            pass

    def finish(self) -> None:
        """Hand on what was held back; a call without its end is text."""
        held = self._blank + OPEN + self._held if self._inside else self._held
        if held.strip() or not self.count:
            self._say(held)
        self._held = ""

    def _step(self) -> bool:
        """Do one step; returns whether there may be another."""
        before, mark, after = self._held.partition(CLOSE if self._inside else OPEN)
        if self._inside:
            if not mark:
                return False
            self._inside, self._held = False, after
            self._call(before)
            return True
        if mark:
            body = before.rstrip()
            self._say(body)
            self._blank = before[len(body) :]
            self._inside, self._held = True, after
            return True
        # Blanks may stand before a call, and are then no part of the text.
        body = before[: len(before) - partly_begun(before, [OPEN])].rstrip()
        self._say(body)
        self._held = before[len(body) :]
        return False

    def _call(self, text: str) -> None:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(name, str) or not name:
            self._say(self._blank + OPEN + text + CLOSE)
            return
        arguments = value.get("arguments", {})
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        self._called(
            {
                "index": self.count,
                "id": f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
        )
        self.count += 1

    def _say(self, text: str) -> None:
        if text:
            self._emit(text)
