"""Finding documents and splitting them into passages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.cli.documents import (
    MAX_FILE_BYTES,
    PASSAGE_WORDS,
    DocumentError,
    find_files,
    read_passages,
    split,
)
from tests.cli.conftest import DOCS


def test_text_and_markdown_are_found_below_the_folder_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.md", "a.TXT", "sub/c.markdown", ".hidden/d.md", "e.pdf", ".f.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    found = [path.relative_to(tmp_path).as_posix() for path in find_files(tmp_path)]
    assert found == ["a.TXT", "b.md", "sub/c.markdown"]


def test_a_missing_an_empty_and_a_wordless_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no folder"):
        read_passages(tmp_path / "nowhere")
    with pytest.raises(DocumentError, match=r"no document .*\.md"):
        read_passages(tmp_path)
    (tmp_path / "a.md").write_text("\n\n# Only a heading\n")
    with pytest.raises(DocumentError, match="empty"):
        read_passages(tmp_path)


def test_a_huge_file_is_refused_and_odd_bytes_are_not(tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_bytes(b"\xef\xbb\xbfcaf\xe9 is open")
    [passage] = read_passages(tmp_path)
    assert passage.text == "# odd\n\ncaf\ufffd is open"
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(DocumentError, match=r"huge\.txt is larger"):
        read_passages(tmp_path)


def test_passages_carry_their_headings() -> None:
    text = (
        "Intro.\n\n# Top\n\nFirst.\n\n## Sub ##\nSecond.\n\n```\n# no heading\n```\n# Next\nThird."
    )
    assert split(text, title="file") == [
        "# file\n\nIntro.",
        "# Top\n\nFirst.",
        "# Top\n## Sub ##\n\nSecond.\n\n```\n# no heading\n```",
        "# Next\n\nThird.",
    ]


def test_paragraphs_fill_passages_and_overlong_ones_are_cut() -> None:
    paragraph = "word " * 50
    passages = split("\n\n".join([paragraph] * 5))
    assert [len(passage.split()) for passage in passages] == [100, 100, 50]
    sentence = "This is a sentence of seven words. "
    passages = split(sentence * 100)
    assert all(len(passage.split()) <= PASSAGE_WORDS for passage in passages)
    assert all(passage.endswith(".") for passage in passages)
    assert max(len(passage.split()) for passage in split("x " * 1000)) <= 180


@given(st.text())
def test_no_word_is_lost(text: str) -> None:
    words = [
        word for line in text.splitlines() if not line.startswith("#") for word in line.split()
    ]
    found = " ".join(
        line for passage in split(text) for line in passage.split("\n") if not line.startswith("#")
    ).split()
    assert sorted(found) == sorted(words)


def test_the_examples_are_short_real_documents() -> None:
    passages = read_passages(DOCS)
    assert 12 <= len({passage.source for passage in passages}) <= 25
    assert all(len(passage.text.split()) < 200 for passage in passages)
