"""``client.embeddings`` over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from shared_core.callbacks import Callback, ErrorEvent, RequestEvent, ResponseEvent
from shared_core.client import AsyncRouterClient, RouterClient
from shared_core.errors import (
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    AuthenticationError,
    InvalidSettingError,
    PaymentRequiredError,
    UnsupportedTaskError,
)
from tests.helpers.fault_server import (
    FaultServer,
    Received,
    Reply,
    hang,
    html_reply,
    json_reply,
    reply,
)

pytestmark = pytest.mark.anyio

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
HF_PATH = f"/hf-inference/models/{MINILM}/pipeline/feature-extraction"


def vector(text: str) -> list[float]:
    return [float(len(text)), 1.0]


def answer_hf(request: Received) -> Reply:
    texts = request.json()["inputs"]
    if isinstance(texts, str):
        return json_reply(vector(texts))  # the sentence-transformers pipeline answers 1-D
    if len(texts) > 32:
        message = f"batch size {len(texts)} > maximum allowed batch size 32"
        return json_reply({"error": message, "error_type": "Validation"}, 422)
    return json_reply([vector(text) for text in texts], headers={"x-request-id": "req-1"})


def answer_openai(request: Received) -> Reply:
    body = request.json()
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    rows: list[Any] = [vector(text) for text in texts]
    if body.get("encoding_format") == "base64":
        rows = [base64.b64encode(np.array(row, dtype="<f4").tobytes()).decode() for row in rows]
    data = [{"object": "embedding", "index": n, "embedding": row} for n, row in enumerate(rows)]
    value = {
        "object": "list",
        "model": "served-model",
        "data": data[::-1],
        "usage": {"prompt_tokens": len(texts), "total_tokens": len(texts)},
    }
    return json_reply(value, headers={"x-inference-provider": "somebody"})


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.on(HF_PATH, answer_hf)
        server.on("/embed", answer_hf)
        server.on("/together/v1/embeddings", answer_openai)
        server.on("/v1/embeddings", answer_openai)
        yield server


def client(server: FaultServer, path: str = "", **options: Any) -> RouterClient:
    return RouterClient(api_key="hf_test_token", base_url=server.url + path, **options)


def async_client(server: FaultServer, path: str = "", **options: Any) -> AsyncRouterClient:
    return AsyncRouterClient(api_key="hf_test_token", base_url=server.url + path, **options)


def test_hf_inference(server: FaultServer) -> None:
    with client(server) as router:
        result = router.embeddings.create(["a", "bbb"], model=MINILM, normalize=True)
    assert result.vectors.tolist() == [[1, 1], [3, 1]]
    assert result.model == MINILM
    assert result.request_ids == ("req-1",)
    (request,) = server.requests
    assert request.path == HF_PATH
    assert request.json() == {"inputs": ["a", "bbb"], "normalize": True}
    assert request.headers["authorization"] == "Bearer hf_test_token"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"] == "application/json"


def test_the_clients_embedding_model_is_the_default(server: FaultServer) -> None:
    with client(server, model="chat/model", embedding_model=MINILM) as router:
        assert router.embeddings.embed_one("abcd").tolist() == [4, 1]
    assert server.requests[0].json() == {"inputs": "abcd"}


def test_pass_through_provider(server: FaultServer) -> None:
    with client(server, provider="together") as router:
        result = router.embeddings.create(["a", "bb", "ccc"], model="some-id", dimensions=2)
    assert result.vectors[:, 0].tolist() == [1, 2, 3]
    assert (result.model, result.provider) == ("served-model", "somebody")
    assert result.usage is not None
    assert result.usage.prompt_tokens == 3
    assert server.requests[0].json() == {
        "model": "some-id",
        "input": ["a", "bb", "ccc"],
        "dimensions": 2,
    }


def test_tei_splits_at_the_limit_that_the_server_names(server: FaultServer) -> None:
    texts = ["x" * (n % 50) for n in range(100)]
    with client(server, "/embed") as router:
        result = router.embeddings.create(texts, batch_size=64)
    assert result.vectors[:, 0].tolist() == [len(text) for text in texts]
    sizes = [len(request.json()["inputs"]) for request in server.requests]
    assert sizes == [64, 32, 32, 32, 4]
    assert server.accepted == 1  # one connection for all of it


def test_base64(server: FaultServer) -> None:
    with client(server, "/v1") as router:
        plain = router.embeddings.create(["a", "bb"])
        packed = router.embeddings.create(["a", "bb"], encoding_format="base64")
    assert plain.vectors.tolist() == packed.vectors.tolist() == [[1, 1], [2, 1]]
    assert [json.loads(request.body).get("encoding_format") for request in server.requests] == [
        None,
        "base64",
    ]


def test_headers_of_a_call(server: FaultServer) -> None:
    with client(server, "/embed", default_headers={"X-Mine": "1"}, bill_to="org") as router:
        router.embeddings.create("a", extra_headers={"X-Other": "2"})
        router.embeddings.create("a", bill_to="other-org")
    first, second = server.requests
    assert (first.headers["x-mine"], first.headers["x-other"]) == ("1", "2")
    assert first.headers["x-hf-bill-to"] == "org"
    assert second.headers["x-hf-bill-to"] == "other-org"


def test_an_endpoint_that_starts_may_hold_the_request(server: FaultServer) -> None:
    with client(server, "/embed") as router:
        router.embeddings.create("a", scale_up_timeout=600)
    assert server.requests[0].headers["x-scale-up-timeout"] == "600"


async def test_async_equals_sync(server: FaultServer) -> None:
    texts = ["x" * n for n in range(45)]
    with client(server) as router:
        expected = router.embeddings.create(texts, model=MINILM, batch_size=7)
    async with async_client(server) as router_async:
        result = await router_async.embeddings.create(
            texts, model=MINILM, batch_size=7, concurrency=4
        )
        one = await router_async.embeddings.embed_one("abc", model=MINILM)
        empty = await router_async.embeddings.create([], model=MINILM)
    assert np.array_equal(result.vectors, expected.vectors)
    assert one.tolist() == [3, 1]
    assert empty.vectors.shape == (0, 0)


def test_a_second_event_loop_works(server: FaultServer) -> None:
    router = async_client(server, "/embed")

    async def call() -> Any:
        return (await router.embeddings.embed_one("ab")).tolist()

    assert asyncio.run(call()) == asyncio.run(call()) == [2, 1]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (json_reply({"error": "Invalid credentials in Authorization header"}, 401), None),
        (html_reply("<html>login</html>"), APIResponseValidationError),
        (
            json_reply({"error": "You have depleted your monthly credits"}, 402),
            PaymentRequiredError,
        ),
        (json_reply([[1.0, 2.0]]), APIResponseValidationError),
    ],
)
async def test_errors_are_the_same_in_both_colours(
    server: FaultServer, reply: Reply, error: type[Exception] | None
) -> None:
    server.on("/embed", reply)
    with (
        client(server, "/embed") as router,
        pytest.raises(error or AuthenticationError) as caught,
    ):
        router.embeddings.create(["a", "b"])
    async with async_client(server, "/embed") as router_async:
        with pytest.raises(error or AuthenticationError) as caught_async:
            await router_async.embeddings.create(["a", "b"])
    assert caught.value.args == caught_async.value.args
    assert caught.value.texts == (0, 2)
    assert caught.value.partial == {}
    assert "hf_test_token" not in repr(vars(caught.value))


@pytest.mark.parametrize("path", ["/embed", "/similarity"])
@pytest.mark.parametrize("shape", ["{}", '{{"error": "{}"}}', "<html>{}", "[", '[["{}"]]'])
def test_a_token_that_a_200_echoes_is_hidden(server: FaultServer, path: str, shape: str) -> None:
    token = "company-secret-4711-abcdef"
    headers = {"content-type": "application/json", "x-echo": f"Bearer {token}"}
    body = (shape.format(token) if "{" in shape else shape).encode()
    server.on(path, reply(200, body, headers))
    with (
        RouterClient(api_key=token, base_url=server.url + path) as router,
        pytest.raises(APIError) as caught,
    ):
        if path == "/embed":
            router.embeddings.create(["a"])
        else:
            router.embeddings.similarity("a", ["b"])
    assert server.requests[0].headers["authorization"] == f"Bearer {token}"
    assert token not in str(caught.value) + repr(vars(caught.value))


def test_the_timeout_is_that_of_each_request(server: FaultServer) -> None:
    server.script("/embed", answer_hf, hang())
    with (
        client(server, "/embed") as router,
        pytest.raises(APITimeoutError) as caught,
    ):
        router.embeddings.create(["a", "b", "c"], batch_size=2, timeout=0.3)
    assert caught.value.texts == (2, 3)
    assert sorted(caught.value.partial) == [0, 1]


async def test_a_cancelled_call_gives_its_connections_back(server: FaultServer) -> None:
    server.on("/embed", hang())
    async with async_client(server, "/embed") as router:
        task = asyncio.create_task(
            router.embeddings.create(["a", "b", "c"], batch_size=1, concurrency=3)
        )
        assert await asyncio.to_thread(server.wait_requests, 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.wait_open, 0)


def test_callbacks_see_each_request(server: FaultServer) -> None:
    class Log(Callback):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_request(self, event: RequestEvent) -> None:
            self.seen.append(("request", event.operation))

        def on_response(self, event: ResponseEvent) -> None:
            self.seen.append(("response", event.status))

        def on_error(self, event: ErrorEvent) -> None:
            self.seen.append(("error", type(event.error).__name__))

    own, of_client = Log(), Log()
    with client(server, "/embed", callbacks=[of_client]) as router:
        router.embeddings.create(["a", "b", "c"], batch_size=2, callbacks=[own])
    expected = [("request", "embeddings"), ("response", 200)] * 2
    assert own.seen == of_client.seen == expected


def test_retries_act_on_each_batch(server: FaultServer) -> None:
    busy = json_reply({"error": "busy"}, 503, {"retry-after": "0"})
    cut = reply(200, b"[[3.0, 1.", {"content-type": "application/json"})
    server.script("/embed", answer_hf, busy, cut, answer_hf)
    with client(server, "/embed", max_retries=2) as router:
        result = router.embeddings.create(["a", "bb", "ccc"], batch_size=2)
    assert result.vectors[:, 0].tolist() == [1, 2, 3]
    assert len(server.requests) == 4


def test_nothing_is_sent_when_an_argument_is_wrong(server: FaultServer) -> None:
    with client(server, "/v1") as router:
        with pytest.raises(InvalidSettingError, match="normalize"):
            router.embeddings.create(["a"], normalize=True)
        with pytest.raises(InvalidSettingError, match="did you mean 'batch_size'"):
            router.embeddings.create(["a"], batchsize=3)  # type: ignore[call-arg]
    assert server.requests == []


def test_error_with_partial_survives_pickling(server: FaultServer) -> None:
    server.script("/embed", answer_hf, json_reply({"error": "no"}, 401))
    with client(server, "/embed") as router, pytest.raises(AuthenticationError) as caught:
        router.embeddings.create(["a", "b"], batch_size=1)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.partial[0].tolist() == [1, 1]


SIMILARITY_PATH = f"/hf-inference/models/{MINILM}/pipeline/sentence-similarity"


@pytest.mark.parametrize(
    ("path", "options", "target"),
    [
        ("", {"model": MINILM}, SIMILARITY_PATH),
        (HF_PATH, {}, SIMILARITY_PATH),
        ("", {"dialect": "tei"}, "/similarity"),
        ("/embed", {}, "/similarity"),
        ("/x/similarity", {}, "/x/similarity"),
    ],
)
async def test_sentence_similarity(
    server: FaultServer, path: str, options: dict[str, Any], target: str
) -> None:
    server.on(target, json_reply([0.75, -0.5]))
    with client(server, path) as router:
        scores = router.embeddings.similarity("a", ["b", "c"], **options)
        none = router.embeddings.similarity("a", [], **options)
    async with async_client(server, path) as router_async:
        later = await router_async.embeddings.similarity("a", ["b", "c"], **options)
    assert scores.tolist() == later.tolist() == [0.75, -0.5]
    assert none.tolist() == []
    assert [request.path for request in server.requests] == [target, target]
    assert server.requests[0].json() == {
        "inputs": {"source_sentence": "a", "sentences": ["b", "c"]}
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([0.5], "1 scores for 2 sentences"),
        ([0.5, None], "not a number"),
        ({"scores": []}, "not a list of scores"),
        ([[0.5, 0.5]], "1 scores"),
    ],
)
def test_scores_of_another_shape(server: FaultServer, value: Any, words: str) -> None:
    server.on("/similarity", json_reply(value))
    with (
        client(server, "/embed") as router,
        pytest.raises(APIResponseValidationError, match=words) as caught,
    ):
        router.embeddings.similarity("a", ["b", "c"])
    assert caught.value.operation == "sentence_similarity"


def test_similarity_is_refused_where_it_does_not_exist(server: FaultServer) -> None:
    with client(server, "/v1") as router:
        with pytest.raises(UnsupportedTaskError, match="no sentence similarity") as caught:
            router.embeddings.similarity("a", ["b"])
        assert "cosine()" in str(caught.value)
        with pytest.raises(InvalidSettingError, match="unknown argument 'normalize'"):
            router.embeddings.similarity("a", ["b"], normalize=True)  # type: ignore[call-arg]
    with client(server, "/embed") as router:
        with pytest.raises(InvalidSettingError, match="sentences must be a list"):
            router.embeddings.similarity("a", "b")
        with pytest.raises(InvalidSettingError, match="source must be a string"):
            router.embeddings.similarity(None, ["b"])  # type: ignore[arg-type]
    assert server.requests == []


def test_public_names() -> None:
    import shared_core.embeddings as package

    assert sorted(package.__all__) == sorted(package._HOME_OF)
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    assert dir(package) == package.__all__
    with pytest.raises(AttributeError, match="nothing"):
        _ = package.nothing  # type: ignore[attr-defined]


def test_numpy_is_not_loaded_before_the_first_call() -> None:
    code = (
        "import sys, shared_core.client, shared_core.embeddings.resource\n"
        "client = shared_core.client.RouterClient(api_key='x', base_url='http://127.0.0.1:9/embed')\n"
        "client.embeddings\n"
        "assert 'numpy' not in sys.modules\n"
        "assert client.embeddings.create([]).vectors.shape == (0, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
