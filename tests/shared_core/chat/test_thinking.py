"""Splitting reasoning tags off, whole and streamed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.chat.thinking import ThinkSplitter, split_thinking


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("<think>\nwhy\n</think>\n\nbecause", "because", "why"),
        ("  \n<think>why</think>because", "because", "why"),
        ("<think></think>\n\nplain", "plain", None),
        ("plain", "plain", None),
        ("", "", None),
        ("why</think>because", "because", "why"),
        ("</think>because", "because", None),
        ("<think>never closed", "", "never closed"),
        ("<think>cut in the tag</thi", "", "cut in the tag</thi"),
        ("<thi", "<thi", None),
        ("<thinking>no</thinking>", "<thinking>no</thinking>", None),
        ("The tag <think> is text here", "The tag <think> is text here", None),
        ("<think>a</think>use <think>b</think>", "use <think>b</think>", "a"),
        ("<think>a < b </ c</think>d", "d", "a < b </ c"),
    ],
)
def test_whole(text: str, answer: str, reasoning: str | None) -> None:
    assert split_thinking(text) == (answer, reasoning)


pieces = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "/", "think>", " ", "\n", "a", "bc", "</thi"]),
    max_size=12,
)


@given(pieces, st.data())
def test_any_cut_gives_the_same(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    splitter = ThinkSplitter()
    answer = reasoning = ""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    start = 0
    for cut in [*cuts, len(text)]:
        known = splitter.orphan
        new_answer, new_reasoning = splitter.feed(text[start:cut])
        start = cut
        if splitter.orphan and not known:
            answer, reasoning = "", answer
        answer, reasoning = answer + new_answer, reasoning + new_reasoning
    new_answer, new_reasoning = splitter.flush()
    whole = answer + new_answer, (reasoning + new_reasoning).strip() or None
    assert whole == split_thinking(text)


def test_text_is_not_held_back_without_need() -> None:
    splitter = ThinkSplitter()
    assert splitter.feed("Hello") == ("Hello", "")
    assert splitter.feed(" a <") == (" a ", "")
    assert splitter.feed("b>") == ("<b>", "")
