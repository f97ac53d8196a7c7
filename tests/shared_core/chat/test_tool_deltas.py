"""Streamed tool calls of every recorded dialect, and any interleaving."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.chat.tool_deltas import ToolCallMerger, is_json_object
from shared_core.chat.types import ToolCallDelta


def fragment(
    index: Any = None, id: Any = None, name: Any = None, arguments: Any = None, **more: Any
) -> dict[str, Any]:
    wire: dict[str, Any] = {"type": "function", "function": {}, **more}
    if index is not None:
        wire["index"] = index
    if id is not None:
        wire["id"] = id
    if name is not None:
        wire["function"]["name"] = name
    if arguments is not None:
        wire["function"]["arguments"] = arguments
    return wire


def merged(fragments: list[dict[str, Any]]) -> list[tuple[str, str]]:
    merger = ToolCallMerger()
    deltas = [merger.add(item) for item in fragments]
    calls = merger.finished()
    assert_normal(deltas)
    by_index: dict[int, list[ToolCallDelta]] = {}
    for delta in deltas:
        by_index.setdefault(delta.index, []).append(delta)
    for index, call in enumerate(calls):
        pieces = by_index[index]
        assert pieces[0].id == call.id
        assert "".join(piece.arguments for piece in pieces) in (call.arguments, "")
        assert "".join(piece.name or "" for piece in pieces) == call.name
    return [(call.name, call.arguments) for call in calls]


def assert_normal(deltas: list[ToolCallDelta]) -> None:
    seen: set[int] = set()
    ids: set[str] = set()
    named: set[int] = set()
    for delta in deltas:
        if delta.index in seen:
            assert delta.id is None
        else:
            assert delta.index == len(seen)
            assert delta.id and delta.id not in ids
            seen.add(delta.index)
            ids.add(delta.id)
        if delta.name is not None:
            assert delta.index not in named
            named.add(delta.index)


A, B = '{"q": "a"}', '{"q": "b"}'

DIALECTS: dict[str, list[dict[str, Any]]] = {
    "two calls interleaved on one index, told apart by their ids": [
        fragment(0, "c1", "f", '{"q":'),
        fragment(0, "c2", "g", '{"q":'),
        fragment(0, "c1", arguments=' "a"}'),
        fragment(0, "c2", arguments=' "b"}'),
    ],
    "openai": [
        fragment(0, "c1", "f", ""),
        fragment(0, arguments='{"q":'),
        fragment(0, arguments=' "a"}'),
        fragment(1, "c2", "g", ""),
        fragment(1, arguments=B),
    ],
    "nebius: no arguments first": [
        fragment(0, "c1", "f"),
        fragment(0, arguments=A),
        fragment(1, "c2", "g"),
        fragment(1, arguments=B),
    ],
    "novita: whole calls": [fragment(0, "c1", "f", A), fragment(1, "c2", "g", B)],
    "together: index -1": [fragment(-1, "c1", "f", A), fragment(-1, "c2", "g", B)],
    "no index": [
        fragment(None, "c1", "f", '{"q":'),
        fragment(None, None, None, ' "a"}'),
        fragment(None, "c2", "g", B),
    ],
    "index used twice, id-less tails": [
        fragment(0, "c1", "f", '{"q":'),
        fragment(0, arguments=' "a"}'),
        fragment(0, "c2", "g", '{"q":'),
        fragment(0, arguments=' "b"}'),
    ],
    "TGI: one id for everything, name null afterwards": [
        fragment(0, "0", "f", '{"q":'),
        {"index": 0, "id": "0", "function": {"name": None, "arguments": ' "a"}'}},
        fragment(0, "0", "g", B),
    ],
    "integer ids": [fragment(0, 0, "f", A), fragment(1, 1, "g", B)],
    "names repeated": [
        fragment(0, "c1", "f", '{"q":'),
        fragment(0, "c1", "f", ' "a"}'),
        fragment(1, "c2", "g", '{"q":'),
        fragment(1, "c2", "g", ' "b"}'),
    ],
    "names repeated, nested object": [
        fragment(0, "c1", "f", '{"q"'),
        fragment(0, "c1", "f", ': "a"}'),
        fragment(1, "c2", "g", '{"q": '),
        fragment(1, "c2", "g", '"b"}'),
    ],
    "arguments as objects": [
        fragment(0, "c1", "f", {"q": "a"}),
        fragment(1, "c2", "g", {"q": "b"}),
    ],
    "nothing but names": [
        fragment(None, None, "f", A),
        fragment(None, None, "g", '{"q":'),
        fragment(None, None, None, ' "b"}'),
    ],
    "a new id on every fragment": [
        fragment(None, "x1", "f", '{"q":'),
        fragment(None, "x2", None, ' "a"}'),
        fragment(None, "x3", "g", '{"q":'),
        fragment(None, "x4", None, ' "b"}'),
    ],
    "a new id on every fragment, with index": [
        fragment(0, "x1", "f", '{"q":'),
        fragment(0, "x2", None, ' "a"}'),
        fragment(1, "x3", "g", B),
    ],
    "interleaved": [
        fragment(0, "c1", "f", ""),
        fragment(1, "c2", "g", ""),
        fragment(0, arguments='{"q":'),
        fragment(1, arguments='{"q":'),
        fragment(0, arguments=' "a"}'),
        fragment(1, arguments=' "b"}'),
    ],
    "indexes with gaps": [fragment(3, "c1", "f", A), fragment(7, "c2", "g", B)],
    "index as text": [fragment("0", "c1", "f", A), fragment("1", "c2", "g", B)],
    "id later": [
        fragment(0, None, "f", '{"q":'),
        fragment(0, "c1", None, ' "a"}'),
        fragment(1, "c2", "g", B),
    ],
    "index only on the tails": [
        fragment(-1, "c1", "f", '{"q":'),
        fragment(0, None, None, ' "a"}'),
        fragment(1, "c2", "g", B),
    ],
    "name after arguments began": [
        fragment(0, "c1", None, '{"q":'),
        fragment(0, None, "f", ' "a"}'),
        fragment(1, "c2", "g", B),
    ],
    "nulls everywhere": [
        {"index": 0, "id": "c1", "function": {"name": "f", "arguments": None}},
        {"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": A}},
        {"index": 1, "id": "", "function": {"name": "g", "arguments": B}},
    ],
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialect(dialect: str) -> None:
    names = [(name, json.loads(arguments)) for name, arguments in merged(DIALECTS[dialect])]
    assert names == [("f", {"q": "a"}), ("g", {"q": "b"})]


def test_same_tool_twice_without_ids() -> None:
    whole = [fragment(0, None, "f", A), fragment(0, None, "f", B)]
    assert merged(whole) == [("f", A), ("f", B)]
    same_id = [fragment(0, "0", "f", A), fragment(0, "0", "f", B)]
    assert merged(same_id) == [("f", A), ("f", B)]


def test_calls_without_arguments() -> None:
    assert merged([fragment(0, "c1", "f", ""), fragment(1, "c2", "g")]) == [
        ("f", "{}"),
        ("g", "{}"),
    ]


def test_kept_ids_and_made_up_ids() -> None:
    merger = ToolCallMerger()
    deltas = [
        merger.add(fragment(0, "c1", "f", A)),
        merger.add(fragment(1, None, "g", B)),
        merger.add(fragment(2, "c1", "h", B)),
    ]
    ids = [delta.id for delta in deltas]
    assert ids[0] == "c1"
    assert len(set(ids)) == 3 and all(ids)


def test_torn_calls_are_not_complete() -> None:
    merger = ToolCallMerger()
    merger.add(fragment(0, "c1", "f", A))
    merger.add(fragment(1, "c2", "g", '{"q": "b'))
    merger.add(fragment(2, "c3", "h", ""))
    assert [call.id for call in merger.complete()] == ["c1"]
    assert [(d.index, d.id, d.name, d.arguments) for d in merger.torn()] == [
        (1, "c2", "g", '{"q": "b'),
        (2, "c3", "h", ""),
    ]


@pytest.mark.parametrize("text", ["", "null", "[]", '"{}"', "{", '{"a": {}', "{} x", "{}{}"])
def test_no_json_object(text: str) -> None:
    assert not is_json_object(text)


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """Some calls, each in pieces, the pieces of different calls mixed at will."""
    count = draw(st.integers(1, 5))
    values = st.dictionaries(st.text(max_size=4), st.text(max_size=6), max_size=3)
    calls = [(draw(st.sampled_from("fgh")), json.dumps(draw(values))) for _ in range(count)]
    queues = []
    for index, (name, arguments) in enumerate(calls):
        cuts = sorted(draw(st.lists(st.integers(0, len(arguments)), max_size=4)))
        edges = [0, *cuts, len(arguments)]
        pieces = [arguments[a:b] for a, b in itertools.pairwise(edges)]
        first = draw(st.booleans())  # arguments in the first fragment or not
        queue = [fragment(index, f"id{index}", name, pieces.pop(0) if first else "")]
        queue += [fragment(index, None, None, piece) for piece in pieces]
        queues.append(queue)
    mixed: list[dict[str, Any]] = []
    while any(queues):
        waiting = [queue for queue in queues if queue]
        mixed.append(waiting[draw(st.integers(0, len(waiting) - 1))].pop(0))
    arrived = list(dict.fromkeys(item["index"] for item in mixed))
    return [calls[index] for index in arrived], mixed


@given(interleavings())
def test_any_interleaving_merges(
    drawn: tuple[list[tuple[str, str]], list[dict[str, Any]]],
) -> None:
    calls, fragments = drawn
    assert merged(fragments) == calls
