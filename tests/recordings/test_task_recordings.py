"""Every recorded hf-inference task: asked for by our client, answered as it was, read.

The recorded reply is served on loopback at the address that our client uses today. The request
must equal the recorded one after the differences of ``docs/tasks.md``, which are the functions
of :data:`DIFFERENCES` here; a difference that is needed nowhere fails the test.
"""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from shared_core.client import AsyncRouterClient, RouterClient
from shared_core.errors import (
    APIResponseValidationError,
    APIStatusError,
    BadRequestError,
    ContextLengthError,
    UnprocessableEntityError,
    UnsupportedParameterError,
)
from shared_core.media.output import Media
from tests.helpers.fault_server import FaultServer, reply
from tests.recordings.exchanges import ABSENT, FOLDER, Exchange
from tests.recordings.kinds import of_kind

pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT),
    pytest.mark.anyio,
]

#: First part of the test name of the recording -> the task.
KINDS = (
    ("audio_classification", "audio-classification"),
    ("audio_to_audio", "audio-to-audio"),
    ("automatic_speech_recognition", "automatic-speech-recognition"),
    ("document_question_answering", "document-question-answering"),
    ("feature_extraction", "feature-extraction"),
    ("fill_mask", "fill-mask"),
    ("simple_inference", "fill-mask"),
    ("image_classification", "image-classification"),
    ("image_segmentation", "image-segmentation"),
    ("image_to_text", "image-to-text"),
    ("object_detection", "object-detection"),
    ("sentence_similarity", "sentence-similarity"),
    ("async_sentence_similarity", "sentence-similarity"),
    ("summarization", "summarization"),
    ("table_question_answering", "table-question-answering"),
    ("text_classification", "text-classification"),
    ("text_to_image", "text-to-image"),
    ("text_to_speech", "text-to-speech"),
    ("token_classification", "token-classification"),
    ("translation", "translation"),
    ("visual_question_answering", "visual-question-answering"),
    ("zero_shot_classification", "zero-shot-classification"),
    ("zero_shot_image_classification", "zero-shot-image-classification"),
    ("zero_image_classification", "zero-shot-image-classification"),
    ("question_answering", "question-answering"),
    ("tabular_classification", "tabular-classification"),
    ("tabular_regression", "tabular-regression"),
    ("generate", "text-generation"),
    ("async_generate", "text-generation"),
    ("http_session", "text-generation"),
    ("unprocessable_entity", "text-generation"),
    ("missing_input", "question-answering"),
    ("inference_missing_input", "question-answering"),
    ("inference_overriding_task", "feature-extraction"),
    ("conversational", "conversational"),
)
FILES = {"image": b"\x89PNG\r\n\x1a\n....", "audio": b"fLaC........"}

Upgrade = Callable[[str, dict[str, Any]], dict[str, Any]]


def task_of(exchange: Exchange) -> str | None:
    name = re.sub(r"^.*?test_", "", exchange.name.rpartition("/")[2]).removeprefix("simple_")
    name = "simple_inference" if name.startswith("inference#") else name
    return next((task for prefix, task in KINDS if name.startswith(prefix)), None)


GOOD = of_kind("task answer")
BAD = of_kind("task error")
FOUND = GOOD + BAD


# --- what was sent then and is sent otherwise now: rows of docs/recordings.md ------


def no_nulls(task: str, sent: dict[str, Any]) -> dict[str, Any]:
    given = sent.get("parameters")
    if isinstance(given, dict):
        sent["parameters"] = {key: item for key, item in given.items() if item is not None}
    return {key: item for key, item in sent.items() if item is not None}


def no_empty_parameters(task: str, sent: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in sent.items() if key != "parameters" or item}


def no_options(task: str, sent: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in sent.items() if key != "options"}


def fields_under_inputs(task: str, sent: dict[str, Any]) -> dict[str, Any]:
    names = {
        "question-answering": ("question", "context"),
        "table-question-answering": ("query", "table"),
        "sentence-similarity": ("source_sentence", "sentences"),
        "document-question-answering": ("question", "image"),
    }.get(task, ())
    if names and not sent.get("inputs"):
        moved = {name: sent.pop(name) for name in names if name in sent}
        sent["inputs"] = moved
    return sent


def one_text(task: str, sent: dict[str, Any]) -> dict[str, Any]:
    if task == "text-classification" and isinstance(sent.get("inputs"), list):
        sent["inputs"] = sent["inputs"][0]
    return sent


def image_under_inputs(task: str, sent: dict[str, Any]) -> dict[str, Any]:
    if task == "visual-question-answering" and "inputs" not in sent:
        sent["inputs"] = sent["image"]
    if task == "zero-shot-image-classification" and "image" in sent:
        sent["inputs"] = sent.pop("image")
    return sent


def labels_as_list(task: str, sent: dict[str, Any]) -> dict[str, Any]:
    inputs = sent.get("inputs")
    if task == "zero-shot-image-classification" and isinstance(inputs, dict):
        sent = {"inputs": inputs["image"], "parameters": {"candidate_labels": inputs["text"]}}
    labels = (sent.get("parameters") or {}).get("candidate_labels")
    if isinstance(labels, str):
        sent["parameters"]["candidate_labels"] = labels.split(",")
    return sent


def stream_is_said(task: str, sent: dict[str, Any]) -> dict[str, Any]:
    if task == "text-generation":
        sent.setdefault("stream", False)
    return sent


DIFFERENCES: tuple[Upgrade, ...] = (
    no_nulls,
    no_empty_parameters,
    no_options,
    fields_under_inputs,
    one_text,
    image_under_inputs,
    labels_as_list,
    stream_is_said,
)


def upgraded(task: str, sent: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return *sent* in today's form, and the names of the differences that mattered."""
    used = set()
    for difference in DIFFERENCES:
        before = copy.deepcopy(sent)
        sent = difference(task, sent)
        if sent != before:
            used.add(difference.__name__)
    return sent, used


# --- calling ----------------------------------------------------------------------------


def arguments(task: str, body: dict[str, Any] | None) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments that a caller of today gives for a recorded body."""
    if body is None:
        kind = "audio" if "audio" in task or "speech" in task else "image"
        return [FILES[kind]], {}
    inputs, given = body.get("inputs"), dict(body.get("parameters") or {})
    if task in ("question-answering", "sentence-similarity", "table-question-answering"):
        return list(inputs.values()), given
    if task == "document-question-answering":
        return [base64.b64decode(inputs["image"]), inputs["question"]], given
    if task == "visual-question-answering":
        return [base64.b64decode(inputs), body["question"]], given
    if task == "zero-shot-image-classification":
        return [base64.b64decode(inputs), given.pop("candidate_labels")], given
    if task == "zero-shot-classification":
        return [inputs, given.pop("candidate_labels")], given
    return [inputs], given


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def serve(server: FaultServer, exchange: Exchange) -> None:
    kept = {"content-type": exchange.headers.get("content-type", "")}
    if "x-request-id" in exchange.headers:
        kept["x-request-id"] = exchange.headers["x-request-id"]
    server.on("*", reply(exchange.status, exchange.body, kept))


def method(client: Any, task: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(client.tasks, task.replace("-", "_"))
    return found


def call(client: Any, task: str, exchange: Exchange, body: dict[str, Any] | None) -> Any:
    if task == "conversational":  # no row: removed from the service
        return client.tasks.call(task, (body or {})["inputs"], model="a/b", result=dict)
    if isinstance((body or {}).get("inputs"), dict) and task == "text-generation":
        return client.tasks.call(task, (body or {})["inputs"], model="a/b")  # a wrong input
    if task == "question-answering" and "context" not in (body or {"inputs": {}})["inputs"]:
        return client.tasks.call(task, (body or {})["inputs"], model="a/b")  # an incomplete one
    if body is None and task == "text-generation":  # recorded without its request
        args, keywords = ["test"], {}
    elif body is None and task == "sentence-similarity":
        args, keywords = ["a", ["b", "c", "d"]], {}
    else:
        args, keywords = arguments(task, body)
    if exchange.is_stream:
        return method(client, "text-generation-stream")(*args, **keywords, model="a/b")
    return method(client, task)(*args, **keywords, model="a/b")


def check_result(task: str, result: Any, exchange: Exchange) -> None:
    """Look at what the reply became; the values are those of the recordings."""
    if task in ("text-to-image", "text-to-speech"):
        assert isinstance(result, Media)
        assert result.content == exchange.body
        assert result.media_type == exchange.headers["content-type"]
        return
    if task == "feature-extraction":
        assert isinstance(result, np.ndarray)
        assert result.shape[-1] in (384, 768)
        return
    first = result[0] if isinstance(result, list) else result
    assert first
    if hasattr(first, "score"):
        assert first.score is None or 0 <= first.score <= 1
    for name in ("label", "answer"):
        if hasattr(first, name):
            assert getattr(first, name)
    if task == "image-segmentation":
        assert first.mask.media_type == "image/png"
    if task == "audio-to-audio":
        assert first.audio.content.startswith(b"fLaC")
        assert first.audio.media_type == "audio/flac"
    if task == "object-detection":
        assert first.box.xmin < first.box.xmax
        assert first.box.ymin < first.box.ymax
    if task == "token-classification":
        assert [each.word for each in result][:1] == ["Sarah Jessica Parker"]
    if task == "sentence-similarity":
        assert result == sorted(result, reverse=True)
    if task == "table-question-answering":
        assert (result.aggregator, result.coordinates) == ("AVERAGE", [(0, 1)])
    if task == "automatic-speech-recognition":
        assert "man said to the universe" in result.text.lower()


def named(found: list[Exchange]) -> Any:
    return pytest.mark.parametrize(
        "exchange", found or [None], ids=[each.name for each in found] or ["absent"]
    )


NOT_JSON = "InferenceClientVCRTest.test_zero_image_classification"


def test_every_recording_is_known() -> None:
    assert [each.name for each in FOUND if task_of(each) is None] == []
    assert len(GOOD) > 75
    assert len(BAD) >= 12


@named(GOOD)
def test_recorded_answers(server: FaultServer, exchange: Exchange) -> None:
    task = task_of(exchange)
    assert task is not None
    serve(server, exchange)
    body = None if exchange.sent is None else upgraded(task, copy.deepcopy(exchange.sent))[0]
    with RouterClient(api_key="hf_test_token", base_url=server.url) as client:
        if NOT_JSON in exchange.name:  # a model that answered with one bare word
            with pytest.raises(APIResponseValidationError, match="not JSON"):
                call(client, task, exchange, body)
        else:
            result = call(client, task, exchange, body)
            if exchange.is_stream:
                chunks = list(result)
                assert chunks[-1].details is None or chunks[-1].details.finish_reason
                assert result.result().text == chunks[-1].generated_text
            else:
                check_result(task, result, exchange)
    (request,) = server.requests
    tail = f"/pipeline/{task}" if task in ("feature-extraction", "sentence-similarity") else ""
    assert request.path == f"/hf-inference/models/a/b{tail}"
    if NOT_JSON in exchange.name:  # its image was cut by those who recorded it
        assert body is not None
        assert request.json()["parameters"] == body["parameters"]
    elif body is not None:
        assert request.json() == body
    elif task not in ("text-generation", "sentence-similarity"):
        assert request.body in FILES.values()
        assert request.headers["content-type"] in ("image/png", "audio/flac")


@named(GOOD)
async def test_recorded_answers_for_asyncio(server: FaultServer, exchange: Exchange) -> None:
    task = task_of(exchange)
    assert task is not None
    if NOT_JSON in exchange.name:
        return
    serve(server, exchange)
    body = None if exchange.sent is None else upgraded(task, copy.deepcopy(exchange.sent))[0]
    async with AsyncRouterClient(api_key="hf_test_token", base_url=server.url) as client:
        if exchange.is_stream:
            stream = await call(client, task, exchange, body)
            texts = [text async for text in stream.text_deltas()]
            assert "".join(texts) == stream.text
        else:
            check_result(task, await call(client, task, exchange, body), exchange)
    if body is not None:
        assert server.requests[0].json() == body


ERRORS: dict[str, type[APIStatusError]] = {
    "missing_input": BadRequestError,
    "non_tgi_endpoint": UnsupportedParameterError,
    "validation_error": ContextLengthError,
    "unprocessable_entity": UnprocessableEntityError,
}


@named(BAD)
def test_recorded_errors(server: FaultServer, exchange: Exchange) -> None:
    task = task_of(exchange)
    assert task is not None
    serve(server, exchange)
    body = None if exchange.sent is None else upgraded(task, copy.deepcopy(exchange.sent))[0]
    kind = next(cls for name, cls in ERRORS.items() if name in exchange.name)
    with RouterClient(api_key="hf_test_token", base_url=server.url) as client:
        with pytest.raises(kind) as caught:
            call(client, task, exchange, body)
    assert caught.value.status_code == exchange.status
    assert caught.value.operation == task
    assert caught.value.server_message
    assert len(server.requests) == 1  # never tried again in silence


def test_parameters_that_a_model_does_not_know_are_left_out_on_request(
    server: FaultServer,
) -> None:
    name = "TestTextGenerationClientVCR.test_generate_non_tgi_endpoint_regression_test"
    refused, answered = (each for each in BAD + GOOD if name in each.name)
    kind = {"content-type": "application/json"}
    answers = [reply(each.status, each.body, kind) for each in (refused, answered)]
    server.script("*", answers[0], *[answers[1]] * 3)
    sent = [
        upgraded("text-generation", copy.deepcopy(each.sent))[0] for each in (refused, answered)
    ]
    prompt, given = sent[0]["inputs"], sent[0]["parameters"]
    with RouterClient(api_key="hf_test_token", base_url=server.url, model="a/b") as client:
        for _ in range(2):
            written = client.tasks.text_generation(prompt, **given, drop_unsupported=True)
            assert written.text == "I am at work"
        client.tasks.text_generation(prompt, **given)  # nothing is dropped unasked
    asked = [request.json() for request in server.requests]
    # Refused, sent again; the second call knows at once.
    assert asked == [sent[0], sent[1], sent[1], sent[0]]


def test_every_difference_is_needed() -> None:
    used: set[str] = set()
    for each in FOUND:
        task = task_of(each)
        if each.sent is not None and task is not None:
            used |= upgraded(task, copy.deepcopy(each.sent))[1]
    assert used == {difference.__name__ for difference in DIFFERENCES}
