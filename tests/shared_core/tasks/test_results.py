"""Results are typed, or refused with the place of the mistake; never anything else."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import Media
from shared_core.providers.hf_inference import normalise
from shared_core.tasks import generated, media_results, results
from shared_core.tasks.table import TASKS

FIELDS = [
    *("label", "score", "box", "mask", "xmin", "answer", "start", "end", "token", "text"),
    *("chunks", "timestamp", "generated_text", "details", "tokens", "depth", "blob", "index"),
    *("cells", "coordinates", "word", "entity"),
]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS) | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
BLOB = base64.b64encode(b"fLaC....").decode()


@given(st.sampled_from(sorted(TASKS)), JSON | st.builds(Media, st.binary(max_size=4)))
def test_any_answer_is_read_or_refused(task: str, value: Any) -> None:
    try:
        TASKS[task].result(value)
    except ValueError as refusal:
        assert str(refusal)


@given(st.sampled_from([*sorted(TASKS), "no-such-task"]), JSON)
def test_any_answer_is_normalised_or_refused(task: str, value: Any) -> None:
    try:
        normalise(task, value)
    except ValueError as refusal:
        assert str(refusal)


@pytest.mark.parametrize(
    ("read", "value", "said"),
    [
        (results.labels, {"label": "a"}, "the answer is {'label': 'a'}, not a list"),
        (results.labels, [{"label": "a"}], "[0].score is missing; a number belongs there"),
        (results.labels, [{"label": "a", "score": "1"}], "[0].score is '1', not a number"),
        (results.labels, [{"label": "a", "score": True}], "[0].score is True, not a number"),
        (results.labels, [{"label": "a", "score": 10**400}], "[0].score is 1"),
        (results.entities, [{"entity": "PER", "score": 1}], "[0].word is missing"),
        (results.ranking, [{"index": 0.5, "score": 1}], "[0].index is 0.5, not a whole number"),
        (results.features, [[1.0], [1.0, 2.0]], "not a regular array"),
        (results.features, [], "holds no numbers"),
        (results.features, "abc", "a list of numbers"),
        (
            media_results.detections,
            [{"label": "a", "score": 1, "box": {"xmin": 1}}],
            "[0].box.ymin is missing",
        ),
        (media_results.segments, [{"label": "a", "mask": "%%"}], "[0].mask is '%%', not base64"),
        (media_results.transcription, {"text": "a", "chunks": [{"text": "a"}]}, "timestamp"),
        (media_results.depth, {}, "neither depth nor predicted_depth"),
        (media_results.media, {"a": 1}, "not a file"),
        (generated.generation, {"generated_text": 1}, "generated_text is 1, not text"),
    ],
)
def test_mistakes_are_placed(read: Any, value: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(value)
    assert said in str(caught.value)


def test_a_long_value_is_not_shown_whole() -> None:
    with pytest.raises(ValueError) as caught:
        results.labels([{"label": ["x" * 10_000], "score": 1}])
    assert len(str(caught.value)) < 150


def test_raw_keeps_what_is_not_modelled() -> None:
    (label,) = results.labels([{"label": "a", "score": 1, "extra": [1]}])
    assert label.raw["extra"] == [1]
    assert label == results.Label("a", 1.0)
    assert "extra" not in repr(label)


def test_entities_of_both_kinds() -> None:
    found = results.entities(
        [
            {"entity_group": "PER", "score": 0.9, "word": "Ann", "start": 0, "end": 3},
            {"entity": "B-PER", "score": 0.9, "word": "Ann", "start": None, "index": 1},
        ]
    )
    assert [entity.label for entity in found] == ["PER", "B-PER"]
    assert (found[1].start, found[1].end) == (None, None)


def test_fillings_of_several_masks() -> None:
    one = {"score": 0.5, "token": 1, "token_str": "a", "sequence": "a b"}
    assert [filling.mask for filling in results.fillings([[one, one], [one]])] == [0, 0, 1]
    assert [filling.mask for filling in results.fillings([one])] == [0]


def test_ranking_is_sorted_and_knows_both_names_of_the_score() -> None:
    found = results.ranking([{"index": 0, "score": 0.1}, {"index": 1, "relevance_score": 0.9}])
    assert [(item.index, item.score) for item in found] == [(1, 0.9), (0, 0.1)]


def test_transcription_with_an_open_end() -> None:
    found = media_results.transcription(
        {"text": "a b", "chunks": [{"text": "a b", "timestamp": [0, None]}]}
    )
    assert found.chunks == [media_results.SpokenChunk("a b", 0.0, None)]
    assert media_results.transcription({"text": "x", "chunks": None}).chunks == []


def test_sounds() -> None:
    value = [{"label": "label_0", "blob": BLOB, "content-type": "audio/flac"}]
    (sound,) = media_results.sounds(value)
    assert sound.audio == Media(b"fLaC....", "audio/flac")
    assert "blob" not in sound.raw
    fetched = media_results.sounds([{"label": "a", "blob": Media(b"x", "audio/wav")}])
    assert fetched[0].audio == Media(b"x", "audio/wav")
    assert media_results.sounds(Media(b"x", "audio/wav"))[0].audio.media_type == "audio/wav"


def test_depth_of_every_form() -> None:
    assert media_results.depth(Media(b"x", "image/png")).image == Media(b"x", "image/png")
    found = media_results.depth({"depth": BLOB, "predicted_depth": [[1.0]]})
    assert found.image is not None
    assert found.values == [[1.0]]
    assert media_results.depth({"predicted_depth": [[1.0]]}).image is None


def test_details_of_a_generation() -> None:
    token = {"id": 1, "text": " a", "logprob": None, "special": False}
    found = generated.generation(
        {
            "generated_text": " a",
            "details": {
                "finish_reason": "length",
                "generated_tokens": 1,
                "seed": 2**63,
                "prefill": [token],
                "tokens": [token],
                "top_tokens": [[token]],
                "best_of_sequences": [
                    {"generated_text": " b", "finish_reason": "eos_token", "tokens": [token]}
                ],
            },
        }
    )
    assert found.details is not None
    assert found.details.seed == 2**63
    assert found.details.tokens == [generated.Token(1, " a")]
    assert found.details.top_tokens == [[generated.Token(1, " a")]]
    (other,) = found.details.best_of
    assert other.text == " b"
    assert other.details is not None
    assert other.details.finish_reason == "eos_token"


def test_features_keep_their_shape() -> None:
    assert results.features([[[1, 2], [3, 4]]]).shape == (1, 2, 2)
    assert results.features([1.0]).dtype == np.float32


@pytest.mark.parametrize("module", [results, media_results, generated])
def test_result_classes_are_frozen_and_slotted(module: Any) -> None:
    classes = [
        cls
        for cls in vars(module).values()
        if dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__
    ]
    assert classes
    for cls in classes:
        assert "__slots__" in vars(cls)
        assert cls.__dataclass_params__.frozen  # type: ignore[union-attr]


# --- from what servers say to what is read ----------------------------------------------


@pytest.mark.parametrize(
    ("task", "value", "expected"),
    [
        ("text-classification", [[{"a": 1}]], [{"a": 1}]),
        ("text-classification", [{"a": 1}], [{"a": 1}]),
        (
            "zero-shot-classification",
            {"labels": ["a"], "scores": [1]},
            [{"label": "a", "score": 1}],
        ),
        ("zero-shot-classification", [{"label": "a", "score": 1}], [{"label": "a", "score": 1}]),
        ("question-answering", {"answer": "a"}, [{"answer": "a"}]),
        ("question-answering", [{"answer": "a"}], [{"answer": "a"}]),
        ("summarization", [{"summary_text": "a"}], {"summary_text": "a"}),
        ("text-generation", {"generated_text": "a"}, {"generated_text": "a"}),
        ("image-to-text", [{"generated_text": "a"}], {"generated_text": "a"}),
        ("table-question-answering", [{"answer": "a"}], {"answer": "a"}),
        ("some-new-task", [{"a": 1}], [{"a": 1}]),
        ("token-classification", [[{"a": 1}]], [{"a": 1}]),
        ("image-classification", [[{"a": 1}]], [{"a": 1}]),
        ("object-detection", [[]], []),
        ("fill-mask", [[{"a": 1}]], [[{"a": 1}]]),
        (
            "zero-shot-classification",
            [{"sequence": "s", "labels": ["a"], "scores": [1]}],
            [{"label": "a", "score": 1}],
        ),
        (
            "zero-shot-classification",
            [[{"label": "a", "score": 1}]],
            [{"label": "a", "score": 1}],
        ),
    ],
)
def test_legacy_shapes(task: str, value: Any, expected: Any) -> None:
    assert normalise(task, value) == expected


@pytest.mark.parametrize("task", ["summarization", "text-classification", "question-answering"])
def test_a_list_is_answered_with_a_list(task: str) -> None:
    assert normalise(task, [{"summary_text": "a"}], several=True) == [{"summary_text": "a"}]


def test_vectors_in_base64() -> None:
    packed = base64.b64encode(np.asarray([0.5, -2.0], "<f4").tobytes()).decode()
    assert results.features([packed, packed]).tolist() == [[0.5, -2.0], [0.5, -2.0]]
    for broken in ([packed[:-4]], ["?"], [packed, [1.0]]):
        with pytest.raises(ValueError, match=r"base64|regular"):
            results.features(broken)


def test_files_inside_json() -> None:
    encoded = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    png = Media(b"\x89PNG\r\n\x1a\n", "image/png")
    assert normalise("text-to-image", {"data": [{"b64_json": encoded}]}) == png
    assert normalise("text-to-image", {"output": ["https://a.example/x"]}).url.endswith("/x")
    assert normalise("text-to-image", {"images": [{"url": "data:,x"}]}).url == "data:,x"
    assert normalise("text-to-image", png) == png
    for nothing in ({}, [], {"output": ["ftp://x"]}, {"data": []}, 7, {"data": [{}]}):
        with pytest.raises(ValueError, match="no file"):
            normalise("text-to-image", nothing)


def test_a_file_where_json_belongs() -> None:
    with pytest.raises(ValueError, match="image/png"):
        normalise("summarization", Media(b"x", "image/png"))
    with pytest.raises(ValueError, match="same length"):
        normalise("zero-shot-classification", {"labels": ["a"], "scores": []})
