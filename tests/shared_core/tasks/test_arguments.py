"""Arguments of tasks: what is sent for them, and what is refused before anything is sent."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.client import RouterClient
from shared_core.errors import InvalidSettingError, RouterError, UnsupportedTaskError
from shared_core.media.input import load
from shared_core.providers.hf_inference import address, body
from shared_core.tasks import audio, creation, text, vision
from shared_core.tasks.calls import generic
from shared_core.tasks.spec import CallOptions, Payload

PNG = b"\x89PNG\r\n\x1a\n...."
PNG64 = base64.b64encode(PNG).decode()


# --- payloads ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "payload", "sent"),
    [
        ("text-classification", text.text_classification("hi"), {"inputs": "hi"}),
        (
            "text-classification",
            text.text_classification("hi", function_to_apply="softmax", top_k=2),
            {"inputs": "hi", "parameters": {"function_to_apply": "softmax", "top_k": 2}},
        ),
        (
            "token-classification",
            text.token_classification(
                "hi", aggregation_strategy="none", ignore_labels=["O"], stride=0
            ),
            {
                "inputs": "hi",
                "parameters": {"aggregation_strategy": "none", "ignore_labels": ["O"], "stride": 0},
            },
        ),
        (
            "question-answering",
            text.question_answering("q", "c", handle_impossible_answer=False),
            {
                "inputs": {"question": "q", "context": "c"},
                "parameters": {"handle_impossible_answer": False},
            },
        ),
        (
            "table-question-answering",
            text.table_question_answering("q", {"a": [1, "x", 2.5], 7: ["1", "2", True]}),
            {"inputs": {"query": "q", "table": {"a": ["1", "x", "2.5"], "7": ["1", "2", "True"]}}},
        ),
        (
            "zero-shot-classification",
            text.zero_shot_classification("t", ("a", "b"), hypothesis_template="It is {}."),
            {
                "inputs": "t",
                "parameters": {"candidate_labels": ["a", "b"], "hypothesis_template": "It is {}."},
            },
        ),
        (
            "summarization",
            text.summarization("t", generate_parameters={"max_length": 5, "min_length": None}),
            {"inputs": "t", "parameters": {"generate_parameters": {"max_length": 5}}},
        ),
        (
            "feature-extraction",
            text.feature_extraction(["a", "b"], normalize=True, prompt_name="query"),
            {"inputs": ["a", "b"], "normalize": True, "prompt_name": "query"},
        ),
        (
            "sentence-similarity",
            text.sentence_similarity("a", ["b"]),
            {"inputs": {"source_sentence": "a", "sentences": ["b"]}},
        ),
        (
            "text-ranking",
            text.text_ranking("q", ["a"], raw_scores=True),
            {"query": "q", "texts": ["a"], "raw_scores": True},
        ),
        (
            "text-generation",
            creation.text_generation("p", max_new_tokens=3, stop=[], details=True),
            {
                "inputs": "p",
                "parameters": {"max_new_tokens": 3, "stop": [], "details": True},
                "stream": False,
            },
        ),
        (
            "zero-shot-image-classification",
            vision.zero_shot_image_classification(PNG, ["a", "b"]),
            {"inputs": PNG64, "parameters": {"candidate_labels": ["a", "b"]}},
        ),
        (
            "visual-question-answering",
            vision.visual_question_answering(PNG, "who?", top_k=1),
            {"inputs": PNG64, "image": PNG64, "question": "who?", "parameters": {"top_k": 1}},
        ),
        (
            "document-question-answering",
            vision.document_question_answering(PNG, "who?", word_boxes=[["a", [1, 2, 3, 4]]]),
            {
                "inputs": {"image": PNG64, "question": "who?"},
                "parameters": {"word_boxes": [["a", [1, 2, 3, 4]]]},
            },
        ),
        (
            "image-to-image",
            creation.image_to_image("https://a.example/x.png", "p", target_size=(3, 4)),
            {
                "inputs": "https://a.example/x.png",
                "parameters": {"prompt": "p", "target_size": {"width": 3, "height": 4}},
            },
        ),
        (
            "automatic-speech-recognition",
            audio.automatic_speech_recognition(
                b"fLaC", return_timestamps="word", generation_parameters={"num_beams": 2}
            ),
            {
                "inputs": base64.b64encode(b"fLaC").decode(),
                "parameters": {
                    "return_timestamps": "word",
                    "generation_parameters": {"num_beams": 2},
                },
            },
        ),
        (
            "text-to-speech",
            audio.text_to_speech("t", generation_parameters={"early_stopping": "never", "x": []}),
            {
                "inputs": "t",
                "parameters": {"generation_parameters": {"early_stopping": "never", "x": []}},
            },
        ),
        (
            "feature-extraction",
            text.feature_extraction(["t"], encoding_format="base64"),
            {"inputs": ["t"], "encoding_format": "base64"},
        ),
        (
            "tabular-classification",
            audio.tabular_classification({"a": [7.4, "7.8"]}),
            {"inputs": {"data": {"a": ["7.4", "7.8"]}}},
        ),
        (
            "text-to-video",
            creation.text_to_video("p", negative_prompt=["a", "b"], num_frames=8),
            {"inputs": "p", "parameters": {"negative_prompt": ["a", "b"], "num_frames": 8}},
        ),
        (
            "some-task",
            generic({"x": None}, {"y": 1, "z": None}),
            {"inputs": {"x": None}, "parameters": {"y": 1}},
        ),
        ("some-task", generic({"q": "?"}, file=PNG), {"inputs": {"image": PNG64, "q": "?"}}),
    ],
)
def test_bodies(task: str, payload: Payload, sent: dict[str, Any]) -> None:
    assert body(task, payload) == sent


def test_columns_may_be_arrays() -> None:
    payload = audio.tabular_regression({"a": np.array([7.5, 8.25]), "b": np.array([1, 2])})
    assert payload.inputs == {"data": {"a": ["7.5", "8.25"], "b": ["1", "2"]}}


def test_a_data_frame_is_a_table() -> None:
    class Frame:
        def to_dict(self, orient: str) -> dict[str, list[int]]:
            assert orient == "list"
            return {"a": [1, 2]}

    payload = audio.tabular_regression(Frame())
    assert payload.inputs == {"data": {"a": ["1", "2"]}}


REFUSED: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("text_classification", [""], {}, "text"),
    ("text_classification", [7], {}, "text"),
    ("text_classification", ["a\ud800"], {}, "text"),
    ("text_classification", ["x"], {"top_k": 0}, "top_k"),
    ("text_classification", ["x"], {"top_k": True}, "top_k"),
    ("text_classification", ["x"], {"function_to_apply": "tanh"}, "function_to_apply"),
    ("token_classification", ["x"], {"ignore_labels": "O"}, "ignore_labels"),
    ("question_answering", ["q", ""], {}, "context"),
    ("question_answering", ["q", "c"], {"align_to_words": 1}, "align_to_words"),
    ("table_question_answering", ["q", {}], {}, "table"),
    ("table_question_answering", ["q", {"a": ["1"], "b": ["1", "2"]}], {}, "table"),
    ("table_question_answering", ["q", {"a": "1"}], {}, "table['a']"),
    ("table_question_answering", ["q", {"a": [None]}], {}, "a cell of table['a']"),
    ("zero_shot_classification", ["t", []], {}, "candidate_labels"),
    ("zero_shot_classification", ["t", "a,b"], {}, "candidate_labels"),
    ("zero_shot_classification", ["t", ["a", ""]], {}, "candidate_labels[1]"),
    (
        "zero_shot_classification",
        ["t", ["a"]],
        {"hypothesis_template": "no"},
        "hypothesis_template",
    ),
    ("translation", ["t"], {"src_lang": "en_XX"}, "tgt_lang"),
    ("translation", ["t"], {"tgt_lang": "en_XX"}, "src_lang"),
    ("summarization", ["t"], {"truncation": "left"}, "truncation"),
    ("summarization", ["t"], {"generate_parameters": [1]}, "generate_parameters"),
    ("text_generation", ["p"], {"grammar": {"type": "xml", "value": "x"}}, "grammar.type"),
    ("text_generation", ["p"], {"grammar": {"type": "regex"}}, "grammar"),
    (
        "text_to_speech",
        ["t"],
        {"generation_parameters": {"top_p": 2}},
        "generation_parameters.top_p",
    ),
    (
        "text_to_speech",
        ["t"],
        {"generation_parameters": {"do_sample": 1}},
        "generation_parameters.do_sample",
    ),
    (
        "text_to_speech",
        ["t"],
        {"generation_parameters": {"num_beams": 1.5}},
        "generation_parameters.num_beams",
    ),
    (
        "text_to_speech",
        ["t"],
        {"generation_parameters": {"early_stopping": "x"}},
        "generation_parameters.early_stopping",
    ),
    ("feature_extraction", ["t"], {"encoding_format": "int8"}, "encoding_format"),
    ("text_classification", ["t"], {"scale_up_timeout": 0}, "scale_up_timeout"),
    ("sentence_similarity", ["a", []], {}, "sentences"),
    ("text_generation", ["p"], {"temperature": -1}, "temperature"),
    ("text_generation", ["p"], {"stop": "x"}, "stop"),
    ("text_generation", ["p"], {"seed": -1}, "seed"),
    ("text_generation", ["p"], {"top_p": 1.5}, "top_p"),
    ("zero_shot_image_classification", [PNG, ["one"]], {}, "candidate_labels"),
    ("image_segmentation", [PNG], {"subtask": "all"}, "subtask"),
    ("object_detection", [PNG], {"threshold": 2}, "threshold"),
    ("object_detection", [b""], {}, "image"),
    ("image_to_image", [PNG], {"target_size": (0, 5)}, "target_size"),
    ("image_to_image", [PNG], {"target_size": "5x5"}, "target_size"),
    ("image_text_to_image", [PNG, ""], {}, "prompt"),
    ("text_to_image", ["p"], {"width": 2.5}, "width"),
    ("text_to_image", ["p"], {"guidance_scale": float("nan")}, "guidance_scale"),
    ("text_to_video", ["p"], {"negative_prompt": [1]}, "negative_prompt[0]"),
    ("automatic_speech_recognition", [b"fLaC"], {"return_timestamps": "line"}, "return_timestamps"),
    ("tabular_regression", [{"a": [{}]}], {}, "a cell of table['a']"),
    ("text_to_speech", ["t"], {"voice": 3}, "voice"),
    # Keywords of every method.
    ("fill_mask", ["x"], {"topk": 3}, "topk"),
    ("fill_mask", ["x"], {"timeout": -1}, "timeout"),
    ("fill_mask", ["x"], {"poll_deadline": 0}, "poll_deadline"),
    ("fill_mask", ["x"], {"extra_body": [1]}, "extra_body"),
    ("fill_mask", ["x"], {"extra_parameters": [1]}, "extra_parameters"),
    ("fill_mask", ["x"], {"extra_headers": {"a b": "c"}}, "extra_headers"),
    ("fill_mask", ["x"], {"bill_to": "a\nb"}, "bill_to"),
    ("fill_mask", ["x"], {"fetch_urls": "yes"}, "fetch_urls"),
    ("fill_mask", ["x"], {"model": ""}, "model"),
    ("fill_mask", ["x"], {"model": "a/b/c"}, "model"),
    ("fill_mask", ["x"], {"model": "a/../b"}, "model"),
    ("fill_mask", ["x"], {"model": "a/b:fastest"}, "model"),
    ("fill_mask", ["x"], {"model": "a/b:fal-ai", "provider": "together"}, "provider"),
    ("fill_mask", ["x"], {"model": "ftp://a.example"}, "model"),
    ("fill_mask", ["x"], {"model": "https://a.example", "provider": "together"}, "provider"),
    ("fill_mask", ["x"], {"model": None}, "model"),
]


@pytest.mark.parametrize(("name", "args", "keywords", "setting"), REFUSED)
def test_what_is_refused(
    name: str, args: list[Any], keywords: dict[str, Any], setting: str
) -> None:
    given = keywords if "model" in keywords else {"model": "a/b", **keywords}
    # Nothing listens there: whatever is sent fails with another error.
    with RouterClient(api_key="hf_t", base_url="http://127.0.0.1:9") as client:
        with pytest.raises(InvalidSettingError) as caught:
            getattr(client.tasks, name)(*args, **given)
    assert caught.value.setting == setting


def test_an_unknown_keyword_names_the_nearest() -> None:
    with RouterClient(api_key="hf_t") as client, pytest.raises(InvalidSettingError) as caught:
        client.tasks.fill_mask("x", topk=3)  # type: ignore[call-arg]
    assert "did you mean 'top_k'?" in str(caught.value)


def test_what_is_missing_is_a_type_error() -> None:
    with RouterClient(api_key="hf_t") as client, pytest.raises(TypeError):
        client.tasks.question_answering("q", model="a/b")  # type: ignore[call-arg]


ANYTHING: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.lists(st.integers() | st.text(max_size=2), max_size=3)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
)


@given(st.sampled_from([text, vision, audio, creation]), st.data())
def test_anything_is_accepted_or_refused_with_an_error_of_ours(module: Any, data: Any) -> None:
    import inspect

    functions = [
        function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
    ]
    function = data.draw(st.sampled_from(functions))
    names = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    given = {name: data.draw(ANYTHING) for name in names}
    try:
        payload = function(**given)
    except RouterError as refusal:
        assert str(refusal)
    else:
        assert isinstance(payload, Payload)
        assert None not in payload.parameters.values()


# --- addresses --------------------------------------------------------------------------

ROUTER = "https://router.huggingface.co/v1"
ENDPOINT = "https://x.eu-west-1.aws.endpoints.huggingface.cloud"


@pytest.mark.parametrize(
    ("base_url", "model", "task", "expected"),
    [
        (ROUTER, "a/b", "fill-mask", "https://router.huggingface.co/hf-inference/models/a/b"),
        (ROUTER, "gpt2", "fill-mask", "https://router.huggingface.co/hf-inference/models/gpt2"),
        (
            ROUTER,
            "a/b",
            "sentence-similarity",
            "https://router.huggingface.co/hf-inference/models/a/b/pipeline/sentence-similarity",
        ),
        (
            "https://router.huggingface.co/together/v1",
            "a/b",
            "fill-mask",
            "https://router.huggingface.co/hf-inference/models/a/b",
        ),
        ("http://gw.test", "a/b", "fill-mask", "http://gw.test/hf-inference/models/a/b"),
        ("http://gw.test/v1", "a/b", "fill-mask", "http://gw.test/hf-inference/models/a/b"),
        (
            "http://gw.test/hf/v1/chat/completions",
            "a/b",
            "fill-mask",
            "http://gw.test/hf/hf-inference/models/a/b",
        ),
        (
            "http://gw.test/hf-inference",
            "a/b",
            "fill-mask",
            "http://gw.test/hf-inference/models/a/b",
        ),
        (
            "http://gw.test/hf-inference/models/c/d",
            "a/b",
            "fill-mask",
            "http://gw.test/hf-inference/models/c/d",
        ),
        (ENDPOINT, None, "fill-mask", f"{ENDPOINT}/"),
        (f"{ENDPOINT}/v1", "a/b", "fill-mask", f"{ENDPOINT}/"),
        (f"{ENDPOINT}/predict", None, "fill-mask", f"{ENDPOINT}/predict"),
        (ROUTER, "https://me.test/predict", "fill-mask", "https://me.test/predict"),
        (ROUTER, "https://me.test?a=1", "fill-mask", "https://me.test?a=1"),
        (ROUTER, "https://me.test", "text-ranking", "https://me.test/rerank"),
        (ROUTER, "https://me.test/v1", "text-ranking", "https://me.test/rerank"),
        (ROUTER, "https://me.test/api/rerank", "text-ranking", "https://me.test/api/rerank"),
        ("http://tei.test", None, "text-ranking", "http://tei.test/rerank"),
    ],
)
def test_addresses(base_url: str, model: str | None, task: str, expected: str) -> None:
    assert address(base_url, model, task) == expected


def test_ranking_has_no_route_on_the_router() -> None:
    with pytest.raises(UnsupportedTaskError, match="TEI"):
        address(ROUTER, "a/b", "text-ranking")


@pytest.mark.parametrize(
    ("name", "args", "others"),
    [
        ("text_to_video", ["p"], "fal-ai, novita"),
        ("image_to_video", [PNG], "wavespeed"),
        ("text_ranking", ["q", ["a"]], "server of your own"),
        ("text_to_audio", ["p"], "fal-ai"),
    ],
)
def test_what_hf_inference_does_not_serve(name: str, args: list[Any], others: str) -> None:
    with RouterClient(api_key="hf_t") as client:
        with pytest.raises(UnsupportedTaskError) as caught:
            getattr(client.tasks, name)(*args, model="a/b")
    assert others in str(caught.value)


def test_what_the_user_sends_is_not_shown() -> None:
    payload = creation.image_to_image(b"\x89PNG\r\n\x1a\nprivate", "a private wish")
    address = creation.image_to_image("https://a.example/x?signature=private")
    options = CallOptions(extra_headers={"X-Key": "private"}, extra_body={"a": "private"})
    for value in (payload, address, options, load(b"private", "file")):
        assert "private" not in repr(value)
    assert "prompt" in repr(payload)
