"""Batches: order, splitting, what is kept after a failure. The wire is a function."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_core.config.settings import Settings
from shared_core.core import Core
from shared_core.embeddings.resource import AsyncEmbeddings, Embeddings
from shared_core.embeddings.types import EmbeddingUsage
from shared_core.errors import (
    APIStatusError,
    InternalServerError,
    InvalidSettingError,
    RateLimitError,
    RequestTooLargeError,
    UnprocessableEntityError,
)
from shared_core.flow import arun, run
from shared_core.wire.messages import Headers, WireRequest, WireResponse

pytestmark = pytest.mark.anyio

Answer = Callable[[list[str]], tuple[int, Any]]


def number(text: str) -> list[float]:
    """A text is a number here, and its vector says which."""
    return [float(text), 1.0]


def vectors_of(texts: list[str]) -> tuple[int, Any]:
    return 200, [number(text) for text in texts]


class FunctionWire:
    """Answers in this process, and remembers the texts of each request."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[list[str]] = []

    def send(self, request: WireRequest) -> WireResponse:
        texts = json.loads(request.body() or b"")["inputs"]
        texts = [texts] if isinstance(texts, str) else texts
        self.seen.append(texts)
        status, value = self.answer(texts)
        headers = Headers(
            {"x-request-id": f"r{len(self.seen)}", "content-type": "application/json"}
        )
        return WireResponse(
            status=status, headers=headers, content=json.dumps(value).encode(), url=request.url
        )

    def open(self, request: WireRequest) -> WireResponse:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class AsyncFunctionWire(FunctionWire):
    """The same, counting how many requests are under way at once."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.now = self.most = 0

    async def send(self, request: WireRequest) -> WireResponse:  # type: ignore[override]
        import asyncio

        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.001)
            return super().send(request)
        finally:
            self.now -= 1


def core() -> Core:
    return Core(
        Settings.resolve(api_key="hf_test_token", base_url="http://127.0.0.1:9/embed", env={})
    )


def client(wire: FunctionWire) -> Embeddings:
    return Embeddings(core(), lambda flow: run(flow, wire))  # type: ignore[arg-type]


def async_client(wire: AsyncFunctionWire) -> AsyncEmbeddings:
    return AsyncEmbeddings(core(), lambda flow: arun(flow, wire))  # type: ignore[arg-type]


def limited(limit: int, status: int = 413, message: str = "Payload Too Large") -> Answer:
    def answer(texts: list[str]) -> tuple[int, Any]:
        if len(texts) > limit:
            text = message.format(n=len(texts), limit=limit)
            return status, {"error": text, "error_type": "Validation"}
        return vectors_of(texts)

    return answer


TEI = "batch size {n} > maximum allowed batch size {limit}"


def texts_to(n: int) -> list[str]:
    return [str(index) for index in range(n)]


def test_batches_keep_their_order() -> None:
    wire = FunctionWire(vectors_of)
    result = client(wire).create(texts_to(70))
    assert [len(texts) for texts in wire.seen] == [32, 32, 6]
    assert result.vectors[:, 0].tolist() == list(range(70))
    assert result.vectors.dtype == np.float32
    assert result.vectors.flags.c_contiguous
    assert result.request_ids == ("r1", "r2", "r3")
    assert result.headers["x-request-id"] == "r1"
    assert result.usage is None
    assert (len(result), result.dimensions) == (70, 2)


def test_a_default_call_is_one_request() -> None:
    wire = FunctionWire(vectors_of)
    assert client(wire).create("5").vectors.tolist() == [[5, 1]]
    assert client(wire).embed_one("6").tolist() == [6, 1]
    assert len(wire.seen) == 2


def test_no_texts_no_request() -> None:
    wire = FunctionWire(vectors_of)
    result = client(wire).create([])
    assert result.vectors.shape == (0, 0)
    assert result.vectors.dtype == np.float32
    assert wire.seen == []
    assert result.tolist() == []


def test_batch_size_and_progress() -> None:
    wire = FunctionWire(vectors_of)
    told: list[tuple[int, int]] = []
    client(wire).create(texts_to(5), batch_size=2, progress=lambda *now: told.append(now))
    assert wire.seen == [["0", "1"], ["2", "3"], ["4"]]
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_usage_is_summed() -> None:
    def answer(texts: list[str]) -> tuple[int, Any]:
        data = [{"index": i, "embedding": number(text)} for i, text in enumerate(texts)]
        usage = {"prompt_tokens": len(texts), "total_tokens": 2 * len(texts)}
        return 200, {"data": data, "model": "served", "usage": usage}

    result = client(FunctionWire(answer)).create(texts_to(5), batch_size=2)
    assert result.usage == EmbeddingUsage(5, 10)
    assert result.usage.completion_tokens == 0
    assert result.model == "served"


@pytest.mark.parametrize(
    ("status", "message", "sizes"),
    [
        (413, "Payload Too Large", [32, 16, 8, 8, 8, 8, 8]),
        (422, TEI, [32, 10, 10, 10, 2, 8]),
        (413, TEI, [32, 10, 10, 10, 2, 8]),
        (400, "Too many inputs: at most {limit} texts", [32, 16, 8, 8, 8, 8, 8]),
        (422, "input must not exceed {limit} entries", [32, 16, 8, 8, 8, 8, 8]),
    ],
)
def test_a_batch_that_is_too_large_is_cut(status: int, message: str, sizes: list[int]) -> None:
    wire = FunctionWire(limited(10, status, message))
    result = client(wire).create(texts_to(40))
    assert result.vectors[:, 0].tolist() == list(range(40))
    assert [len(texts) for texts in wire.seen] == sizes


@settings(deadline=None)
@given(
    st.integers(0, 80),
    st.integers(1, 70),
    st.integers(1, 20),
    st.sampled_from([(413, "no"), (422, TEI), (413, TEI)]),
)
def test_any_limit_is_found_and_the_order_kept(
    total: int, size: int, limit: int, kind: tuple[int, str]
) -> None:
    wire = FunctionWire(limited(limit, *kind))
    result = client(wire).create(texts_to(total), batch_size=size)
    assert result.tolist() == [number(text) for text in texts_to(total)]
    done = [text for texts in wire.seen if len(texts) <= limit for text in texts]
    assert done == texts_to(total)  # each text was embedded once
    refused = sum(len(texts) > limit for texts in wire.seen)
    assert refused <= 8  # found once, then remembered


async def test_concurrency_is_bounded_and_the_order_kept() -> None:
    for limit in (1, 4):
        wire = AsyncFunctionWire(limited(3, 422, TEI))
        result = await async_client(wire).create(texts_to(41), batch_size=4, concurrency=limit)
        assert result.vectors[:, 0].tolist() == list(range(41))
        assert wire.most == limit
    assert (await async_client(wire).embed_one("3")).tolist() == [3, 1]


def test_one_text_that_is_too_large_is_the_error_and_the_rest_is_kept() -> None:
    def answer(texts: list[str]) -> tuple[int, Any]:
        return (413, {"error": "too large"}) if "5" in texts else vectors_of(texts)

    with pytest.raises(RequestTooLargeError) as caught:
        client(FunctionWire(answer)).create(texts_to(8))
    assert caught.value.texts == (5, 6)
    partial = caught.value.partial
    assert {key: vector.tolist() for key, vector in partial.items()} == {
        key: [key, 1.0] for key in range(5)
    }


def test_an_ordinary_error_says_which_texts_and_keeps_what_arrived() -> None:
    def answer(texts: list[str]) -> tuple[int, Any]:
        return (500, {"error": "boom"}) if "5" in texts else vectors_of(texts)

    wire = FunctionWire(answer)
    with pytest.raises(InternalServerError, match="boom") as caught:
        client(wire).create(texts_to(9), batch_size=2)
    assert caught.value.texts == (4, 6)
    assert sorted(caught.value.partial) == [0, 1, 2, 3]
    assert len(wire.seen) == 3  # not split, not repeated, and the batch after it not sent
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.texts == (4, 6)
    assert copy.partial[3].tolist() == [3, 1]


async def test_what_arrived_before_an_error_is_kept_when_requests_run_at_once() -> None:
    def answer(texts: list[str]) -> tuple[int, Any]:
        return (429, {"error": "slow down"}) if "6" in texts else vectors_of(texts)

    with pytest.raises(RateLimitError) as caught:
        await async_client(AsyncFunctionWire(answer)).create(
            texts_to(12), batch_size=2, concurrency=2
        )
    assert caught.value.texts == (6, 8)
    assert {0, 1, 2, 3} <= set(caught.value.partial)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (422, "`inputs` must have less than 512 tokens. Given: 600"),
        (422, "Input validation error: unknown prompt name"),
        (400, "The requested model 'a/b' does not exist."),
        (429, "batch size 3 > maximum allowed batch size 2"),
    ],
)
def test_errors_that_a_smaller_batch_cannot_heal_are_final(status: int, message: str) -> None:
    wire = FunctionWire(lambda _: (status, {"error": message}))
    with pytest.raises(APIStatusError):
        client(wire).create(texts_to(4))
    assert len(wire.seen) == 1


def test_a_limit_that_is_named_wrongly_cannot_loop() -> None:
    message = {"error": "batch size 9 > maximum allowed batch size 9"}
    wire = FunctionWire(lambda _: (422, message))
    with pytest.raises(UnprocessableEntityError) as caught:
        client(wire).create(texts_to(8))
    assert [len(texts) for texts in wire.seen] == [8, 4, 2, 1]
    assert caught.value.texts == (0, 1)


def test_one_huge_text_does_not_make_all_batches_small() -> None:
    refused: list[int] = []
    huge = "3." + "0" * 50

    def answer(texts: list[str]) -> tuple[int, Any]:
        if huge in texts and len(texts) > 1:
            refused.append(len(texts))
            return 413, {"error": "too large"}
        return vectors_of(texts)

    wire = FunctionWire(answer)
    result = client(wire).create(["0", "1", "2", huge, "4", "5", "6", "7"], batch_size=4)
    assert result.vectors[:, 0].tolist() == list(range(8))
    assert refused == [4, 2]
    assert [len(texts) for texts in wire.seen] == [4, 2, 2, 1, 1, 4]


def test_batches_of_different_width_are_refused() -> None:
    def answer(texts: list[str]) -> tuple[int, Any]:
        return 200, [[1.0] * (2 + ("2" in texts)) for _ in texts]

    with pytest.raises(Exception, match="length 3 after vectors of length 2") as caught:
        client(FunctionWire(answer)).create(texts_to(4), batch_size=2)
    assert caught.value.texts == (2, 4)
    assert sorted(caught.value.partial) == [0, 1]


def test_what_progress_raises_ends_the_call() -> None:
    wire = FunctionWire(vectors_of)

    def stop(done: int, total: int) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        client(wire).create(texts_to(4), batch_size=2, progress=stop)
    assert len(wire.seen) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"modle": "x"}, "did you mean 'model'"),
        ({"timeout": 0}, "timeout"),
        ({"extra_headers": {"a": "b\r\nc: d"}}, "extra_headers"),
        ({"bill_to": "a\r\nb"}, "bill_to"),
        ({"scale_up_timeout": 0}, "scale_up_timeout"),
        ({"batch_size": "2"}, "batch_size"),
        ({"normalize": "yes"}, "normalize"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    given: dict[str, Any], words: str
) -> None:
    wire = FunctionWire(vectors_of)
    with pytest.raises(InvalidSettingError, match=words):
        client(wire).create(["1"], **given)
    with pytest.raises(InvalidSettingError, match=words):
        client(wire).create([], **given)
    assert wire.seen == []


def test_embed_one_takes_one_text() -> None:
    with pytest.raises(InvalidSettingError, match="text must be a string, not list"):
        client(FunctionWire(vectors_of)).embed_one(["1"])  # type: ignore[arg-type]


def test_result_helpers() -> None:
    result = client(FunctionWire(vectors_of)).create(["0", "3"])
    assert result.tolist() == [[0.0, 1.0], [3.0, 1.0]]
    assert [row.tolist() for row in result] == result.tolist()
    assert result[1].tolist() == [3.0, 1.0]
    assert np.allclose(np.linalg.norm(result.normalized(), axis=1), 1.0)
    assert repr(result).startswith("EmbeddingResult(2 x 2,")
    assert pickle.loads(pickle.dumps(result)).tolist() == result.tolist()
