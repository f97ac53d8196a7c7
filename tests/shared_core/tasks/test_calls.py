"""Calls over real sockets, blocking and for asyncio."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import pytest

from shared_core import (
    AsyncRouterClient,
    Callback,
    ErrorEvent,
    Label,
    Media,
    Payload,
    RequestEvent,
    ResponseEvent,
    RouterClient,
    TaskSpec,
)
from shared_core.errors import (
    APIResponseValidationError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConnectionLostError,
    IncompleteResponseError,
    InternalServerError,
    InvalidSettingError,
    ModelLoadingError,
    UnsupportedParameterError,
    UnsupportedTaskError,
)
from shared_core.tasks.spec import Call
from shared_core.tasks.table import TASKS, Table
from tests.helpers.fault_server import FaultServer, drop, hang, html_reply, json_reply, reply

pytestmark = pytest.mark.anyio

LABELS = [{"label": "a", "score": 0.9}]
PNG = b"\x89PNG\r\n\x1a\n...."
FLAC = b"fLaC...."


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.on("*", json_reply(LABELS))
        yield server


@pytest.fixture
def client(server: FaultServer) -> Iterator[RouterClient]:
    with RouterClient(api_key="hf_test_token", base_url=server.url) as client:
        yield client


# --- what is sent -----------------------------------------------------------------------


def test_a_file_alone_is_the_body(server: FaultServer, client: RouterClient) -> None:
    client.tasks.audio_classification(FLAC, model="a/b")
    (request,) = server.requests
    assert request.body == FLAC
    assert request.headers["content-type"] == "audio/flac"
    assert request.headers["accept"] == "application/json"
    assert request.headers["authorization"] == "Bearer hf_test_token"


def test_a_file_of_unknown_type_has_none(server: FaultServer, client: RouterClient) -> None:
    client.tasks.image_classification(b"????????????", model="a/b")
    assert "content-type" not in server.requests[0].headers


def test_a_type_with_parameters_has_no_blank(server: FaultServer, client: RouterClient) -> None:
    server.on("*", json_reply({"text": "hello"}))
    sound = "data:audio/webm; codecs=opus;base64," + base64.b64encode(FLAC).decode()
    client.tasks.automatic_speech_recognition(sound, model="a/b")
    assert server.requests[0].headers["content-type"] == "audio/webm;codecs=opus"


@pytest.mark.parametrize(
    "more", [{"top_k": 2}, {"extra_parameters": {"top_k": 2}}, {"extra_body": {"other": 1}}]
)
def test_a_file_with_anything_else_is_base64(
    server: FaultServer, client: RouterClient, more: dict[str, Any]
) -> None:
    client.tasks.image_classification(PNG, model="a/b", **more)
    sent = server.requests[0].json()
    assert base64.b64decode(sent.pop("inputs")) == PNG
    assert sent in ({"parameters": {"top_k": 2}}, {"other": 1})
    assert server.requests[0].headers["content-type"] == "application/json"


def test_extras_win(server: FaultServer, client: RouterClient) -> None:
    client.tasks.text_classification(
        "x",
        top_k=1,
        model="a/b",
        extra_parameters={"top_k": None, "beams": 2},
        extra_body={"options": {"use_cache": False}, "parameters": {"mine": 1}},
        extra_headers={"X-Mine": "yes", "accept": "application/x-mine"},
        bill_to="acme",
    )
    (request,) = server.requests
    assert request.json() == {
        "inputs": "x",
        "parameters": {"mine": 1},
        "options": {"use_cache": False},
    }
    assert request.headers["x-mine"] == "yes"
    assert request.headers["accept"] == "application/x-mine"
    assert request.headers["x-hf-bill-to"] == "acme"
    client.tasks.text_classification(
        "x", top_k=1, model="a/b", extra_parameters={"top_k": None, "beams": 2}
    )
    assert server.requests[1].json() == {"inputs": "x", "parameters": {"beams": 2}}


def test_an_endpoint_that_starts_may_hold_the_request(
    server: FaultServer, client: RouterClient
) -> None:
    client.tasks.text_classification("x", model="a/b", scale_up_timeout=600)
    assert server.requests[0].headers["x-scale-up-timeout"] == "600"


def test_several_texts_get_several_answers(server: FaultServer, client: RouterClient) -> None:
    server.on("*", json_reply([{"summary_text": "a"}]))
    found = client.tasks.call("summarization", ["a long text"], model="a/b", result=list)
    assert found == [{"summary_text": "a"}]


def test_tables_in_the_newer_form(server: FaultServer, client: RouterClient) -> None:
    server.on("*", json_reply([5]))
    table = {"a": ["1"]}
    client.tasks.tabular_classification(
        table, model="a/b", extra_body={"inputs": None, "parameters": {}, "table": table}
    )
    assert server.requests[0].json() == {"parameters": {}, "table": table}


def test_images_are_asked_for_as_png(server: FaultServer, client: RouterClient) -> None:
    server.on("*", reply(200, PNG, {"content-type": "image/jpeg"}))
    image = client.tasks.text_to_image("a cat", height=8, width=8, model="a/b")
    assert server.requests[0].headers["accept"] == "image/png"
    assert image == Media(PNG, "image/jpeg")  # what the server says, not what was asked


def test_the_model_of_the_client_is_used(server: FaultServer) -> None:
    options: dict[str, Any] = {"api_key": "hf_t", "base_url": server.url}
    with RouterClient("a/chat", embedding_model="a/embed", **options) as client:
        client.tasks.text_classification("x")
        server.on("*", json_reply([0.5]))
        client.tasks.sentence_similarity("x", ["y"])
        client.tasks.sentence_similarity("x", ["y"], model="a/own")
    assert [each.path.split("/")[4] for each in server.requests] == ["chat", "embed", "own"]


def test_the_address_of_a_server_is_a_model_and_gets_no_token(client: RouterClient) -> None:
    with FaultServer() as other:
        other.on("/predict", json_reply(LABELS))
        client.tasks.text_classification("x", model=f"{other.url}/predict")
        assert "authorization" not in other.requests[0].headers


# --- what comes back --------------------------------------------------------------------


async def test_both_clients_give_the_same(server: FaultServer, client: RouterClient) -> None:
    async with AsyncRouterClient(api_key="hf_test_token", base_url=server.url) as other:
        found = await other.tasks.text_classification("x", top_k=1, model="a/b")
    assert found == client.tasks.text_classification("x", top_k=1, model="a/b")
    assert found == [Label("a", 0.9)]
    first, second = server.requests
    assert (first.target, first.body) == (second.target, second.body)


def test_files_inside_json_are_fetched_without_the_token(
    server: FaultServer, client: RouterClient
) -> None:
    server.on("/hf-inference/models/a/b", json_reply({"output": [f"{server.url}/made"]}))
    server.on("/made", reply(200, PNG, {"content-type": "image/png"}))
    image = client.tasks.text_to_image("a cat", model="a/b")
    assert image.content == PNG
    assert "authorization" not in server.requests[1].headers


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (json_reply({"error": "Model a/b is currently loading", "estimated_time": 20}, 503),
         ModelLoadingError),
        (json_reply({"error": "The following `model_kwargs` are not used by the model"}, 400),
         UnsupportedParameterError),
        (json_reply({"error": ["Error in `inputs`: field required"]}, 400), BadRequestError),
        (json_reply({"error": "Invalid credentials in Authorization header"}, 401),
         AuthenticationError),
        (json_reply({"error": "unknown error", "warnings": ["a"]}, 500), InternalServerError),
        (json_reply({"error": "it broke"}), InternalServerError),
        (json_reply({"labels": "?"}), APIResponseValidationError),
        (json_reply([{"label": "a"}]), APIResponseValidationError),
        (html_reply("<html>log in</html>"), APIResponseValidationError),
        (reply(200, b"", {"content-type": "application/json"}), APIResponseValidationError),
        (reply(200, b'[{"label": "a"', {"content-type": "application/json"}),
         APIResponseValidationError),
        (reply(200, PNG, {"content-type": "image/png"}), APIResponseValidationError),
        (drop(), ConnectionLostError),
    ],
)  # fmt: skip
async def test_what_goes_wrong(server: FaultServer, answer: Any, kind: type[Exception]) -> None:
    server.on("*", answer)
    options: dict[str, Any] = {"api_key": "hf_test_token", "base_url": server.url}
    with RouterClient(**options) as client, pytest.raises(kind) as caught:
        client.tasks.text_classification("my secret text", model="a/b")
    async with AsyncRouterClient(**options) as other:
        with pytest.raises(kind):
            await other.tasks.text_classification("my secret text", model="a/b")
    assert len(server.requests) == 2  # one each: nothing is repeated by itself
    error: Any = caught.value
    assert (error.operation, error.model, error.provider) == (
        "text-classification",
        "a/b",
        "hf-inference",
    )
    assert "hf_test_token" not in str(error)


def test_a_result_of_the_wrong_shape_says_where(server: FaultServer, client: RouterClient) -> None:
    server.on("*", json_reply([[{"label": "a", "score": "high"}]]))
    with pytest.raises(APIResponseValidationError, match=r"\[0\]\.score is 'high', not a number"):
        client.tasks.text_classification("x", model="a/b")


def test_a_token_that_a_server_echoes_is_hidden(server: FaultServer, client: RouterClient) -> None:
    server.on("*", json_reply([{"label": ["hf_test_token"], "score": 1}]))
    with pytest.raises(APIResponseValidationError) as caught:
        client.tasks.text_classification("x", model="a/b")
    assert "hf_test_token" not in str(caught.value)


def test_timeout_of_a_call(server: FaultServer, client: RouterClient) -> None:
    server.on("*", hang())
    with pytest.raises(APITimeoutError):
        client.tasks.text_classification("x", model="a/b", timeout=0.2)


def test_retry_only_where_it_was_asked_for(server: FaultServer) -> None:
    server.script("*", json_reply({"error": "overloaded"}, 503), json_reply(LABELS))
    with RouterClient(api_key="hf_t", base_url=server.url, max_retries=1) as client:
        assert client.tasks.text_classification("x", model="a/b") == [Label("a", 0.9)]
    assert len(server.requests) == 2


# --- events -----------------------------------------------------------------------------


class Witness(Callback):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_request(self, event: RequestEvent) -> None:
        self.seen.append(event)

    def on_response(self, event: ResponseEvent) -> None:
        self.seen.append(event)

    def on_error(self, event: ErrorEvent) -> None:
        self.seen.append(event)


def test_callbacks_are_told(server: FaultServer, client: RouterClient) -> None:
    witness = Witness()
    client.tasks.text_classification("x", model="a/b", callbacks=[witness])
    asked, answered = witness.seen
    assert (asked.operation, asked.model, asked.provider) == (
        "text-classification",
        "a/b",
        "hf-inference",
    )
    assert answered.call_id == asked.call_id
    assert answered.status == 200


# --- tasks without a row, and rows of one's own -----------------------------------------


class Found(TypedDict):
    label: str
    score: float


@dataclass
class Mask:
    score: float


def test_generic_calls(server: FaultServer, client: RouterClient) -> None:
    assert client.tasks.call("new-task", {"x": [1]}, {"y": 2}, model="a/b") == LABELS
    assert server.requests[0].json() == {"inputs": {"x": [1]}, "parameters": {"y": 2}}
    assert client.tasks.call("new-task", "x", model="a/b", result=list[Label])[0].score == 0.9
    assert client.tasks.call("new-task", "x", model="a/b", result=list[Found]) == LABELS
    with pytest.raises(APIResponseValidationError, match="score"):
        server.on("*", json_reply({"score": "high"}))
        client.tasks.call("new-task", "x", model="a/b", result=Mask)


def test_unusable_results_show_what_came(server: FaultServer, client: RouterClient) -> None:
    server.on("*", json_reply({"score": "hf_test_token", "rest": "x" * 5_000}))
    with pytest.raises(APIResponseValidationError, match=r'read from \{"score"') as caught:
        client.tasks.call("new-task", "x", model="a/b", result=Mask)
    error = caught.value
    assert error.body.startswith('{"score": "')
    assert len(error.message) < 400
    assert len(error.body) <= 2_000
    assert "hf_test_token" not in f"{error!r} {error} {error.body}"
    server.on("*", reply(200, PNG, {"content-type": "image/png"}))
    with pytest.raises(APIResponseValidationError, match="<Media>"):
        client.tasks.call("new-task", "x", model="a/b", result=Mask)
    with pytest.raises(APIResponseValidationError, match=r'read from \{"label"'):
        server.on("*", json_reply(LABELS))
        client.tasks.depth_estimation(PNG, model="a/b")


def test_half_an_answer_is_repeated(server: FaultServer) -> None:
    half = reply(200, b'[{"label": "a", "sc', {"content-type": "application/json"})
    server.script("*", half, json_reply(LABELS))
    with RouterClient(api_key="hf_t", base_url=server.url, max_retries=1) as client:
        assert client.tasks.text_classification("x", model="a/b")[0].score == 0.9
    server.on("*", half)
    with RouterClient(api_key="hf_t", base_url=server.url) as client:
        with pytest.raises(IncompleteResponseError, match='"label": "a", "sc'):
            client.tasks.text_classification("x", model="a/b")


def test_generic_calls_with_files(server: FaultServer, client: RouterClient) -> None:
    server.on("*", reply(200, PNG, {"content-type": "image/png"}))
    assert client.tasks.call("mask-generation", file=PNG, model="a/b", result=Media).content == PNG
    client.tasks.call("mask-generation", None, {"points": 4}, file=PNG, model="a/b")
    first, second = server.requests
    assert first.body == PNG
    assert second.json() == {
        "inputs": base64.b64encode(PNG).decode(),
        "parameters": {"points": 4},
    }


def test_generic_calls_that_are_refused(client: RouterClient) -> None:
    with pytest.raises(InvalidSettingError, match="inputs is missing"):
        client.tasks.call("new-task", model="a/b")
    with pytest.raises(InvalidSettingError, match="inputs"):
        client.tasks.call("new-task", {"x": b"bytes"}, model="a/b")


async def test_generic_calls_for_asyncio(server: FaultServer) -> None:
    async with AsyncRouterClient(api_key="hf_t", base_url=server.url) as client:
        assert await client.tasks.call("new-task", "x", model="a/b", result=list[Found]) == LABELS


def shout(text: str, *, loud: bool = True, **call: Unpack[Call]) -> Payload:
    """Say it loudly."""
    return Payload(inputs=text.upper() if loud else text)


def first_label(value: Any, /) -> str:
    return str(value[0]["label"])


async def test_a_row_of_ones_own(server: FaultServer, client: RouterClient) -> None:
    spec = TaskSpec("shouting", shout, first_label)
    result: str = client.tasks.run(spec, "hi", model=server.url + "/shout")
    assert result == "a"
    assert server.requests[0].json() == {"inputs": "HI"}
    assert spec.summary == "Say it loudly."
    async with AsyncRouterClient(api_key="hf_t", base_url=server.url) as other:
        assert await other.tasks.run(spec, "hi", loud=False, model=server.url) == "a"
    assert server.requests[1].json() == {"inputs": "hi"}


# --- the table --------------------------------------------------------------------------


def test_methods_describe_themselves(client: RouterClient) -> None:
    method = client.tasks.object_detection
    signature = inspect.signature(method)
    assert list(signature.parameters)[:2] == ["image", "threshold"]
    assert set(Call.__annotations__) <= signature.parameters.keys()
    assert "box around it" in (method.__doc__ or "")
    assert method.__name__ == "object_detection"
    with_async = AsyncRouterClient(api_key="hf_t").tasks.object_detection
    assert inspect.iscoroutinefunction(with_async)
    assert inspect.signature(with_async) == signature


def test_every_task_of_the_hub_that_has_a_form_is_a_row() -> None:
    wanted = """text-generation text-classification token-classification question-answering
        table-question-answering fill-mask zero-shot-classification summarization translation
        text2text-generation sentence-similarity text-ranking image-classification object-detection
        image-segmentation image-to-text zero-shot-image-classification zero-shot-object-detection
        visual-question-answering document-question-answering depth-estimation image-to-image
        text-to-image text-to-video image-to-video video-classification text-to-3d image-to-3d
        automatic-speech-recognition text-to-speech audio-classification audio-to-audio
        text-to-audio tabular-classification tabular-regression feature-extraction"""
    assert set(wanted.split()) <= TASKS.keys()
    for task in TASKS:
        assert hasattr(Table, task.replace("-", "_"))


@pytest.mark.parametrize("more", [{}, {"provider": "hf-inference"}])
def test_a_providers_id_needs_another_provider(
    server: FaultServer, client: RouterClient, more: dict[str, Any]
) -> None:
    with pytest.raises(InvalidSettingError, match="provider_id"):
        client.tasks.text_classification("x", model="a/b", provider_id="c", **more)
    assert server.requests == []


def test_3d_models_come_out_of_the_general_call(server: FaultServer, client: RouterClient) -> None:
    server.on("*", reply(200, b"glTF....", {"content-type": "model/gltf-binary"}))
    made = client.tasks.call("text-to-3d", "a chair", {"seed": 1}, model="a/b", result=Media)
    assert (made.content, made.extension) == (b"glTF....", ".glb")
    assert client.tasks.call("image-to-3d", file=PNG, model="a/b") == made
    spoken, shown = server.requests
    assert spoken.json() == {"inputs": "a chair", "parameters": {"seed": 1}}
    assert (shown.body, shown.headers["content-type"]) == (PNG, "image/png")
    # No provider has a form for them that is written down: refused before anything is sent.
    with RouterClient(api_key="hf_t") as router:
        with pytest.raises(UnsupportedTaskError, match="hf-inference does not serve text-to-3d"):
            router.tasks.text_to_3d("a chair", model="a/b")
        with pytest.raises(UnsupportedTaskError, match="fal-ai does not serve text-to-3d"):
            router.tasks.call("text-to-3d", "a chair", model="a/b", provider="fal-ai")


async def test_events_show_the_headers_of_answers(server: FaultServer) -> None:
    heard: list[ResponseEvent] = []

    class Listener(Callback):
        def on_response(self, event: ResponseEvent) -> None:
            heard.append(event)

    sent = {"x-compute-time": "0.25", "x-echo": "Bearer hf_test_token"}
    server.on("*", json_reply(LABELS, headers=sent))
    given: Any = {"api_key": "hf_test_token", "base_url": server.url, "callbacks": [Listener()]}
    with RouterClient(**given) as client:
        client.tasks.text_classification("x", model="a/b")
    async with AsyncRouterClient(**given) as other:
        await other.tasks.text_classification("x", model="a/b")
    for event in heard:
        assert event.headers["X-Compute-Time"] == "0.25"
        assert "hf_test_token" not in str(dict(event.headers))
        assert "compute" not in repr(event)
    assert len(heard) == 2
