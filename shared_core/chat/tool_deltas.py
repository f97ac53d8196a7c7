"""Streamed tool calls: whatever the provider sends in, one normal form out.

Providers disagree about which fragment belongs to which call: ``index`` may be -1, missing
or used twice; ids may be missing, repeated on every fragment, or equal for all calls; names
may be repeated; arguments may be an object. See the merge rules at :meth:`ToolCallMerger.add`.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pydantic_core

from shared_core.chat.types import ToolCall, ToolCallDelta
from shared_core.wire import json_text


def new_call_id() -> str:
    """Return a made-up tool call id, unique in practice."""
    return "call_" + os.urandom(12).hex()


def arguments_text(value: Any) -> str:
    """Return tool call arguments as JSON text, whether they came as text, object or null.

    Args:
        value: What stands at ``function.arguments``.
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else pydantic_core.to_json(value).decode()


MALFORMED = "malformed_arguments"
"""Key under which arguments that are no JSON object go back to the model that wrote them."""


def history_arguments(text: str) -> str:
    """Return the arguments of an earlier call as they are sent back: always a JSON object.

    Servers parse them before the model sees the conversation, and refuse all of it where they
    cannot (llama.cpp with 500, vLLM with 400).

    Args:
        text: As the model wrote them; a JSON object stays as it is.
    """
    try:
        value = json_text.decode(text.encode("utf-8", "replace"))
        if isinstance(value, dict):
            return text
        if isinstance(value, str):  # encoded twice
            return history_arguments(value)
    except ValueError:
        value = _with_bare_breaks(text)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    said = text.strip() not in ("", "null")
    return json.dumps({MALFORMED: text}, ensure_ascii=False) if said else "{}"


def _with_bare_breaks(text: str) -> Any:
    """Return the value of JSON whose strings hold line breaks as they are, or None."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def final_arguments(text: str, *, cut: bool) -> str:
    """Return the arguments of a call as they stand in the answer.

    Args:
        text: What the server sent.
        cut: Whether the call is where the answer was cut off. Arguments that are missing there
            may never have come and stay empty, which :meth:`ToolCall.parse` refuses; elsewhere
            the function takes none.
    """
    return text if cut or text.strip() else "{}"


def is_json_object(text: str) -> bool:
    """Return whether *text* is one whole JSON object."""
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        return False
    try:
        return isinstance(pydantic_core.from_json(stripped), dict)
    except ValueError:
        return False


_LONGEST_INDEX = 16
"""Digits from which an index in a text is no index."""


class _Call:
    __slots__ = ("arguments", "id", "index", "name", "wire_id", "wire_index")

    def __init__(self, index: int, wire_index: int | None, wire_id: str | None, id: str) -> None:
        self.index = index
        self.wire_index = wire_index
        self.wire_id = wire_id
        self.id = id
        self.name = ""
        self.arguments: list[str] = []

    def text(self) -> str:
        if len(self.arguments) > 1:
            self.arguments[:] = ["".join(self.arguments)]
        return self.arguments[0] if self.arguments else ""

    def complete(self) -> bool:
        return is_json_object(self.text())


class ToolCallMerger:
    """Collects the tool calls of one choice. Constant work for each usual fragment."""

    __slots__ = ("_by_id", "_by_index", "_calls", "_ids", "_last")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._ids: set[str] = set()  # given out
        self._last: _Call | None = None

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, fragment: dict[str, Any]) -> ToolCallDelta:
        """Take one element of ``delta.tool_calls`` and return it in normal form.

        The call it belongs to: the one known by its ``index`` (an integer >= 0), unless it
        has no name and the known id of another; else the one known by its ``id``; else a new
        one if the id is new; else the last one. A
        fragment that carries a name starts a new call on a used index when its id differs
        from that call's, or, where ids do not tell, when the call is visibly over: another
        name after arguments, or another object after a complete one.

        Args:
            fragment: The JSON object as sent.
        """
        function = fragment.get("function")
        if not isinstance(function, dict):
            function = fragment
        name = function.get("name")
        if not isinstance(name, str):
            name = ""
        arguments = arguments_text(function.get("arguments"))
        wire_id = _wire_id(fragment.get("id"))
        wire_index = _wire_index(fragment.get("index"))
        call = self._find(wire_index, wire_id, name, arguments)
        first = call is None
        if call is None:
            call = self._start(wire_index, wire_id)
        elif wire_id is not None and call.wire_id is None:
            call.wire_id = wire_id
            self._by_id.setdefault(wire_id, call)
        self._last = call
        if arguments:
            call.arguments.append(arguments)
        given_name = None
        if name and not call.name:
            call.name = given_name = name
        return ToolCallDelta(call.index, call.id if first else None, given_name, arguments)

    def finished(self, *, cut: bool = False) -> list[ToolCall]:
        """Return all calls, in order; the server said that the answer is over.

        Args:
            cut: Whether the server cut it off.
        """
        return [
            ToolCall(
                call.id,
                call.name,
                final_arguments(call.text(), cut=cut and call is self._calls[-1]),
            )
            for call in self._calls
        ]

    def complete(self) -> list[ToolCall]:
        """Return only the calls whose arguments are whole.

        A JSON object ends with its closing brace, so nothing that is missing could belong
        to such a call. Empty arguments prove nothing and are left out.
        """
        return [
            ToolCall(call.id, call.name, call.text())
            for call in self._calls
            if call.name and call.complete()
        ]

    def torn(self) -> list[ToolCallDelta]:
        """Return the other calls, as the fragments that they are."""
        return [
            ToolCallDelta(call.index, call.id, call.name or None, call.text())
            for call in self._calls
            if not (call.name and call.complete())
        ]

    def _find(
        self, wire_index: int | None, wire_id: str | None, name: str, arguments: str
    ) -> _Call | None:
        if wire_index is not None:
            call = self._by_index.get(wire_index)
            if call is None:
                return self._unindexed(wire_index, wire_id, name)
        elif wire_id is not None:
            call = self._by_id.get(wire_id)
            if call is None:
                last = self._last
                # A new id on every fragment of one call: only a name starts another.
                torn = last is not None and bool(last.name) and not name and bool(arguments)
                return last if torn and last is not None and not last.complete() else None
        else:
            call = self._last
        if call is not None and not name and wire_id not in (None, call.wire_id):
            return self._by_id.get(wire_id or "", call)  # two calls interleave on one index
        if call is None or not name or not call.name:
            return call
        if wire_id is not None and call.wire_id is not None and wire_id != call.wire_id:
            return self._by_id.get(wire_id)
        return None if _is_over(call, name, arguments) else call

    def _unindexed(self, wire_index: int, wire_id: str | None, name: str) -> _Call | None:
        """Return the call that began without an index and now gets one."""
        call = self._by_id.get(wire_id) if wire_id is not None else None
        last = self._last
        if call is None and wire_id is None and not name and last is not None:
            call = last
        if call is None or call.wire_index is not None:
            return None
        call.wire_index = wire_index
        self._by_index[wire_index] = call
        return call

    def _start(self, wire_index: int | None, wire_id: str | None) -> _Call:
        unused = wire_id is not None and wire_id not in self._ids
        call_id = wire_id if unused and wire_id is not None else new_call_id()
        call = _Call(len(self._calls), wire_index, wire_id, call_id)
        self._calls.append(call)
        self._ids.add(call_id)
        if wire_index is not None:
            self._by_index[wire_index] = call
        if wire_id is not None:
            self._by_id[wire_id] = call
        return call


def _is_over(call: _Call, name: str, arguments: str) -> bool:
    if not call.arguments:
        return name != call.name
    if name != call.name:
        return True
    return arguments.lstrip().startswith("{") and call.complete()


def _wire_id(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _wire_index(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.isdecimal() and len(value) < _LONGEST_INDEX:
        return int(value)
    return None
