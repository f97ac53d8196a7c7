"""The index in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_core.embeddings import index_file
from shared_core.embeddings.search import SearchHit, SemanticIndex
from shared_core.errors import InvalidSettingError

pytestmark = pytest.mark.anyio


def letters(texts: Sequence[str]) -> Any:
    """A vector counts the letters a, b and c."""
    return [[text.count(letter) for letter in "abc"] for text in texts]


async def letters_later(texts: Sequence[str]) -> Any:
    return letters(texts)


def filled(**options: Any) -> SemanticIndex:
    index = SemanticIndex(letters, **options)
    index.add(["aa", "ab", "bb", "cc"], [{"n": n} for n in range(4)])
    return index


def test_search() -> None:
    index = filled()
    assert (len(index), index.dimensions, index.ids) == (4, 3, ["0", "1", "2", "3"])
    hits = index.search("a", k=2)
    assert hits[0] == SearchHit("0", "aa", 1.0, {"n": 0})
    assert (hits[1].id, hits[1].score) == ("1", pytest.approx(0.7071, abs=1e-4))
    many = index.search_many(["c", "b"], k=1)
    assert [[hit.text for hit in hits] for hits in many] == [["cc"], ["bb"]]
    assert "3" in index
    assert "4" not in index
    assert index.get("1") == SearchHit("1", "ab", 1.0, {"n": 1})
    assert index.get("9") is None
    assert repr(index) == "<SemanticIndex 4 documents, metric='cosine'>"


@pytest.mark.parametrize(("metric", "best"), [("dot", 2.0), ("euclidean", -1.0)])
def test_metrics(metric: Any, best: float) -> None:
    hits = filled(metric=metric).search("a", k=2)
    assert [hit.id for hit in hits] == ["0", "1"]
    assert hits[0].score == best


def test_equal_scores_keep_the_order_of_arrival() -> None:
    index = SemanticIndex(letters)
    index.add(["a", "aa", "aaa", "b"])
    assert [hit.id for hit in index.search("a", k=4)] == ["0", "1", "2", "3"]


async def test_asynchronous() -> None:
    index = SemanticIndex(letters_later)
    assert await index.aadd(["aa", "bb"], ids=["x", "y"]) == ["x", "y"]
    assert [hit.id for hit in await index.asearch("b")] == ["y", "x"]
    assert [[h.id for h in hits] for hits in await index.asearch_many(["a", "b"], 1)] == [
        ["x"],
        ["y"],
    ]
    assert await index.aadd([]) == []
    with pytest.raises(InvalidSettingError, match="asynchronously") as caught:
        index.search("a")
    assert "asearch" in str(caught.value)
    with pytest.raises(InvalidSettingError, match="asynchronously"):
        index.add(["a"])
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    with pytest.raises(InvalidSettingError, match="asynchronously"):
        SemanticIndex(lambda texts: future).add(["a"])
    assert await SemanticIndex(letters_later).asearch("a") == []


async def test_a_blocking_function_serves_the_asynchronous_methods_too() -> None:
    index = filled()
    assert (await index.asearch("c", 1))[0].text == "cc"


def test_what_cannot_match_anything_asks_nobody() -> None:
    asked: list[Sequence[str]] = []

    def embed(texts: Sequence[str]) -> Any:
        asked.append(texts)
        return letters(texts)

    index = SemanticIndex(embed)
    assert index.search("a") == []
    assert index.search_many([]) == []
    assert index.add([]) == []
    assert asked == []
    with pytest.raises(InvalidSettingError, match="k must be"):
        index.search("a", k=0)


def test_known_ids_are_replaced_in_place() -> None:
    index = filled()
    index.add(["bbb", "a"], [{"new": True}, {}], ids=["0", "z"])
    assert index.ids == ["0", "1", "2", "3", "z"]
    assert index.get("0") == SearchHit("0", "bbb", 1.0, {"new": True})
    assert [hit.id for hit in index.search("a", 1)] == ["z"]
    assert [hit.id for hit in index.search("b", 2)] == ["0", "2"]


def test_delete() -> None:
    index = filled()
    assert index.delete(["1", "nobody"]) == 1
    assert index.delete("0") == 1
    assert index.ids == ["2", "3"]
    assert [hit.text for hit in index.search("a", 9)] == ["bb", "cc"]
    assert index.add(["ab"]) == ["4"]  # numbers are not used twice
    assert index.delete(index.ids) == 3
    assert index.search("a") == []
    assert index.delete(["2"]) == 0
    index.add(["c"])
    assert index.search("c")[0].text == "c"


def test_own_ids_do_not_collide_with_given_ones() -> None:
    index = SemanticIndex(letters)
    index.add(["a"], ids=["1"])
    assert index.add(["b", "c"]) == ["0", "2"]


@pytest.mark.parametrize(
    ("texts", "given", "words"),
    [
        (["a", "b"], {"ids": ["1"]}, "ids has 1 entries for 2 texts"),
        (["a"], {"metadatas": [{}, {}]}, "metadatas has 2 entries for 1 texts"),
        (["a", "b"], {"ids": ["1", "1"]}, "same id twice"),
        (["a", 3], {}, r"texts\[1\] must be a string"),
        (["a"], {"ids": [3]}, "must be a string"),
    ],
)
def test_lists_that_do_not_fit(texts: Any, given: dict[str, Any], words: str) -> None:
    index = SemanticIndex(letters)
    with pytest.raises(InvalidSettingError, match=words):
        index.add(texts, **given)
    assert len(index) == 0


@pytest.mark.parametrize("found", [[[1, 2, 3]] * 2, [1, 2, 3], [[1.0, float("nan"), 0]]])
def test_vectors_that_do_not_fit(found: Any) -> None:
    index = SemanticIndex(lambda texts: found)
    with pytest.raises(InvalidSettingError, match="embed must give 1 finite vectors"):
        index.add(["a"])
    assert len(index) == 0


def test_another_length_of_vectors_is_refused() -> None:
    width = 3
    index = SemanticIndex(lambda texts: np.ones((len(texts), width)))
    index.add(["a"])
    width = 2
    with pytest.raises(InvalidSettingError, match="length 3, these have length 2"):
        index.add(["b"])
    with pytest.raises(InvalidSettingError, match="different length"):
        index.search("b")
    assert index.ids == ["0"]


def test_bad_construction() -> None:
    with pytest.raises(InvalidSettingError, match="embed must be"):
        SemanticIndex(3)
    with pytest.raises(InvalidSettingError, match="metric must be"):
        SemanticIndex(letters, metric="hamming")  # type: ignore[arg-type]


def test_metadata_is_copied_in() -> None:
    mine = {"n": 1}
    index = SemanticIndex(letters)
    index.add(["a"], [mine])
    mine["n"] = 2
    assert index.search("a")[0].metadata == {"n": 1}


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_save_and_load(tmp_path: Path, metric: Any) -> None:
    index = filled(metric=metric)
    index.add(["c\n\u2028 \x85 c"], [{"deep": {"list": [1, None, "ü"]}}], ids=["ü"])
    index.delete("1")
    path = tmp_path / "docs.index"
    index.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["docs.index"]
    again = SemanticIndex.load(path, letters)
    assert again.ids == index.ids
    assert again.metric == metric
    assert again.search("c", 9) == index.search("c", 9)
    assert again.add(["a"]) == ["4"]
    again.add(["bbbb"], ids=["0"])
    assert index.get("0") == SearchHit("0", "aa", 1.0, {"n": 0})


def test_an_empty_index_can_be_kept(tmp_path: Path) -> None:
    SemanticIndex(letters).save(tmp_path / "x.npz")
    again = SemanticIndex.load(tmp_path / "x.npz", letters)
    assert len(again) == 0
    again.add(["a"])
    assert again.search("a")[0].text == "a"


def test_metadata_that_is_not_json(tmp_path: Path) -> None:
    index = SemanticIndex(letters)
    index.add(["a"], [{"what": object()}])
    with pytest.raises(InvalidSettingError, match="metadata of document '0'"):
        index.save(tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    text, arrays, pickled = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    text.write_text("hello")
    with arrays.open("wb") as file:
        np.savez(file, other=np.zeros(3))
    with pickled.open("wb") as file:
        np.savez(file, head=np.array([{"x": 1}], dtype=object), allow_pickle=True)
    for path in (text, arrays, pickled):
        with pytest.raises(InvalidSettingError, match="is not a semantic index"):
            SemanticIndex.load(path, letters)
    with pytest.raises(FileNotFoundError):
        SemanticIndex.load(tmp_path / "missing", letters)


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        filled().save(tmp_path / "no" / "such" / "folder.npz")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        filled().save(tmp_path / "taken")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_a_file_of_a_later_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(index_file, "FORMAT", 2)
        filled().save(tmp_path / "x.npz")
    with pytest.raises(InvalidSettingError, match="of format 1"):
        SemanticIndex.load(tmp_path / "x.npz", letters)


operations = st.lists(
    st.tuples(st.sampled_from(["add", "put", "delete"]), st.sampled_from("pqrs"), st.text("abc")),
    max_size=25,
)


@settings(deadline=None)
@given(operations, st.text("abc", min_size=1), st.integers(1, 6))
def test_the_index_is_a_dictionary_that_is_searched(
    steps: list[tuple[str, str, str]], query: str, k: int
) -> None:
    index = SemanticIndex(letters, metric="dot")
    model: dict[str, str] = {}
    for what, name, text in steps:
        if what == "add":
            model[index.add([text])[0]] = text
        elif what == "put":
            index.add([text], ids=[name])
            model[name] = text
        else:
            assert index.delete([name]) == int(model.pop(name, None) is not None)
    assert {id: index.get(id).text for id in index.ids} == model  # type: ignore[union-attr]
    assert list(model) == index.ids
    wanted = np.array(letters([query])[0])
    expected = sorted(model, key=lambda name: -int(wanted @ np.array(letters([model[name]])[0])))
    assert [hit.id for hit in index.search(query, k)] == expected[:k]


def test_threads_may_add_and_search_at_once() -> None:
    index = SemanticIndex(letters)
    index.add(["abc"], ids=["first"])
    errors: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for turn in range(30):
                name = f"{worker}-{turn}"
                index.add(["a" * (worker + 1)], ids=[name])
                assert any(hit.score > 0.5 for hit in index.search("abc", 3))
                if turn % 3 == 0:
                    index.delete(name)
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(index) == 1 + 4 * 20
