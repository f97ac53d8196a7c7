"""Numbers that no server should send: absurd, infinite, negative, thousands of digits long.

Each is refused with a typed error, or left out, where it is read: never an absurd value that
breaks what comes later, and never an error of Python's own.
"""

from __future__ import annotations

import asyncio
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import (
    APIResponseValidationError,
    AsyncRouterClient,
    HubRateLimit,
    Prices,
    RouterClient,
)
from shared_core.embeddings import vectors
from shared_core.errors import from_response
from shared_core.providers.openai_like import _vectors
from shared_core.tasks import read, results
from tests.helpers.fault_server import FaultServer, reply

DIGITS = "9" * 4200  # the parser takes up to 4,300
ABSURD = ["1e300", "-1e300", "1e400", DIGITS, "NaN"]
JSON = {"content-type": "application/json"}


def ask(kind: str, server: FaultServer, call: Callable[[Any], Any]) -> Any:
    """Return what *call* gives with either client, a stream read to its end."""
    how = {"base_url": server.url + "/v1", "hub_url": server.url, "api_key": "k"}
    if kind == "sync":
        with RouterClient("a/b", **how) as client:
            found = call(client)
            if not hasattr(found, "__enter__"):
                return found
            with found as stream:
                return stream.result()

    async def work() -> Any:
        async with AsyncRouterClient("a/b", **how) as client:
            found = call(client)
            if not hasattr(found, "__aenter__"):
                return await found
            async with found as stream:
                return await stream.result()

    return asyncio.run(work())


@pytest.fixture(params=["sync", "async"])
def answers(request: pytest.FixtureRequest) -> Any:
    """Return ``answers(body, call)``: what a client makes of *body*, whatever it asks."""
    with FaultServer() as server:

        def answers(body: str, call: Callable[[Any, str], Any], form: Any = JSON) -> Any:
            server.on("*", reply(200, body.encode(), form))
            return ask(request.param, server, lambda client: call(client, server.url + "/x"))

        yield answers


TASKS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "index": (
        '[{"index": %s, "score": 0.5}]',
        lambda client, url: client.tasks.text_ranking("q", ["a"], model=url),
    ),
    "start": (
        '{"answer": "a", "score": 0.5, "start": %s}',
        lambda client, url: client.tasks.question_answering("q", "c", model=url),
    ),
    "coordinates": (
        '{"answer": "a", "cells": ["a"], "coordinates": [[0, %s]]}',
        lambda client, url: client.tasks.table_question_answering("q", {"a": ["b"]}, model=url),
    ),
    "generated_tokens": (
        '[{"generated_text": "a", "details": {"generated_tokens": %s}}]',
        lambda client, url: client.tasks.text_generation("q", model=url),
    ),
}


@pytest.mark.parametrize("number", ABSURD)
@pytest.mark.parametrize("task", TASKS)
def test_a_whole_number_of_a_task_is_of_a_usable_size(answers: Any, task: str, number: str) -> None:
    body, call = TASKS[task]
    with pytest.raises(APIResponseValidationError, match="whole number") as caught:
        answers(body.replace("%s", number), call)
    assert task in caught.value.message
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", DIGITS])
def test_scores_and_vectors_are_finite(answers: Any, number: str) -> None:
    def scores(client: Any, url: str) -> Any:
        return client.tasks.sentence_similarity("q", ["a", "b"], model=url)

    def features(client: Any, url: str) -> Any:
        return client.tasks.feature_extraction("q", model=url)

    with pytest.raises(APIResponseValidationError, match=r"\[1\] is .*, not a number"):
        answers(f"[0.5, {number}]", scores)
    with pytest.raises(APIResponseValidationError, match=r"NaN or infinite|regular array"):
        answers(f"[[0.5, {number}]]", features)


def test_a_number_that_is_too_large_for_a_vector_is_no_warning(answers: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(APIResponseValidationError, match="NaN or infinite"):
            answers("[[1e300]]", lambda it, url: it.tasks.feature_extraction("q", model=url))


@pytest.mark.parametrize("index", ["1.0", "true", "-1", "1e300", DIGITS])
def test_an_index_of_an_embedding_is_one_of_the_texts(answers: Any, index: str) -> None:
    rows = f'{{"index": 0, "embedding": [1, 2]}}, {{"index": {index}, "embedding": [1, 2]}}'
    with pytest.raises(APIResponseValidationError, match="no index from 0 to 1"):
        answers(
            f'{{"data": [{rows}]}}',
            lambda client, _: client.embeddings.create(["a", "b"], model="m/m"),
        )


CHOICE = '{"choices": [{"index": %s, "message": {"content": "a"}, "finish_reason": "stop"}]}'
PIECE = '{"choices": [{"index": %s, "delta": {"content": "a"}}]}'
END = '{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}'
SSE = {"content-type": "text/event-stream"}


@pytest.mark.parametrize("index", [*ABSURD, "-1"])
def test_a_choice_without_a_usable_index_is_the_first(answers: Any, index: str) -> None:
    def create(client: Any, _: str) -> Any:
        return client.chat.create("q")

    def stream(client: Any, _: str) -> Any:
        return client.chat.stream("q")

    (choice,) = answers(CHOICE.replace("%s", index), create).choices
    assert (choice.index, choice.message.content) == (0, "a")
    events = f"data: {PIECE.replace('%s', index)}\n\ndata: {END}\n\ndata: [DONE]\n\n"
    (choice,) = answers(events, stream, SSE).choices
    assert (choice.index, choice.message.content) == (0, "a")


@pytest.mark.parametrize("index", ["9" * 5000, "7", "-", "9" * 15])
def test_an_index_of_a_tool_call_may_be_any_text(answers: Any, index: str) -> None:
    call = f'{{"index": "{index}", "id": "c", "function": {{"name": "f", "arguments": "{{}}"}}}}'
    piece = f'{{"choices": [{{"index": 0, "delta": {{"tool_calls": [{call}]}}}}]}}'
    events = f"data: {piece}\n\ndata: {END}\n\ndata: [DONE]\n\n"
    found = answers(events, lambda client, _: client.chat.stream("q"), SSE)
    assert [one.name for one in found.tool_calls] == ["f"]


@pytest.mark.parametrize("number", [*ABSURD, "-1"])
def test_prices_and_counts_of_a_model_list_are_left_out(answers: Any, number: str) -> None:
    offer = f'{{"provider": "p", "context_length": {number}, "pricing": {{"input": {number}'
    body = f'{{"data": [{{"id": "a/b", "providers": [{offer}, "output": 1}}}}]}}]}}'
    found = answers(body, lambda client, _: client.models.list())
    assert found[0].context_length is None
    assert Prices.of_models(found).get("a/b", "p") is None


# --- readers alone ------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -3, 3.0, 2**53, -(2**53), 2**64 - 1])
def test_usable_whole_numbers_stay(value: float) -> None:
    assert read.whole(value) == value
    assert type(read.whole(value)) is int


@pytest.mark.parametrize("value", [2**64, -(2**64), 2.0**53 + 2, 1e300, math.inf, math.nan, True])
def test_others_are_refused(value: Any) -> None:
    with pytest.raises(read.Mismatch, match=r"^seed is .*, not a whole number$"):
        read.whole(value, "seed")


@given(st.integers() | st.floats() | st.text(max_size=3) | st.none() | st.booleans())
def test_what_is_read_is_finite_and_of_its_type(value: Any) -> None:
    for reader in (read.whole, read.position, read.number, read.log_probability):
        try:
            found = reader(value)
        except read.Mismatch as error:
            assert len(str(error)) < 150
        else:
            assert abs(found) < 2**64 or isinstance(found, float)
            assert math.isfinite(found) or (reader is read.log_probability and found < 0)


def test_the_logarithm_of_nothing_is_a_log_probability() -> None:
    assert read.log_probability(-math.inf) == -math.inf
    with pytest.raises(read.Mismatch):
        read.log_probability(math.inf)


def test_a_ranking_names_no_text_before_the_first() -> None:
    with pytest.raises(read.Mismatch, match="from 0 on"):
        results.ranking([{"index": -1, "score": 0.5}])


@pytest.mark.parametrize("digits", ["9" * 5000, "9" * 10])
def test_a_rate_limit_of_thousands_of_digits_is_none(digits: str) -> None:
    assert HubRateLimit.of({"RateLimit": f'"api";r=0;t={digits}'}) is None
    found = HubRateLimit.of(
        {"RateLimit": '"api";r=1;t=2', "RateLimit-Policy": f'"api";q={digits};w=300'}
    )
    assert found is not None
    assert (found.reset_seconds, found.quota) == (2, None)


@pytest.mark.parametrize("value", ["9" * 5000, "1e300", "Fri, 31 Dec 9999 23:59:59 GMT", "-1"])
def test_a_wait_that_nobody_can_mean_is_none(value: str) -> None:
    error = from_response(status=503, headers={"Retry-After": value}, content=b"")
    assert error.retry_after is None


def test_vectors_of_a_provider_with_odd_indexes_keep_their_order() -> None:
    rows = [{"index": "b", "embedding": [1]}, {"index": 1e300, "embedding": [2]}]
    assert _vectors({"data": rows}) == [[1], [2]]


def test_the_fast_reader_leaves_odd_indexes_to_the_careful_one() -> None:
    body = b'{"data": [{"index": 0, "embedding": [1]}, {"index": 1.0, "embedding": [1]}]}'
    assert vectors.read_fast(body, 2) is None
