"""Numbers that a server may write and nothing can hold: NaN, infinity, 300 digits, text."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatResponse, LogProb
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from tests.helpers.fault_server import sse
from tests.llama_index.conftest import Recorder
from tests.llama_index.stub_server import StubRouter, chunk, say
from tests.llama_index.test_llm import EIGHT, HELLO, make, result_of

pytestmark = pytest.mark.anyio

NAMES = [name for name, _ in EIGHT]
ODD = [None, float("nan"), float("inf"), -1, 10**300, 1e300, "7", [1]]
eight = pytest.mark.parametrize(("name", "run"), EIGHT, ids=NAMES)


@pytest.mark.rule("usage", "token-counts")
@eight
@pytest.mark.parametrize("odd", ODD, ids=lambda value: str(value)[:8])
async def test_odd_counts_do_not_end_the_call(
    name: str, run: Any, odd: Any, stub: StubRouter, recorder: Recorder
) -> None:
    """The framework's token counter adds up what stands in raw, whatever it is."""
    usage = {"prompt_tokens": odd, "completion_tokens": 7, "total_tokens": odd, "cost": 0.5}
    stub.chat(say("Hello there.", usage=usage))
    counter = TokenCountingHandler(tokenizer=str.split)
    found = await result_of(name, run, make(stub, callback_manager=CallbackManager([counter])))
    assert found.raw["usage"] == {**usage, "prompt_tokens": 0, "total_tokens": 7}
    assert counter.completion_llm_token_count == 7
    assert 0 < counter.prompt_llm_token_count < 20  # an estimate


@pytest.mark.rule("usage", "token-counts")
@eight
@pytest.mark.parametrize("odd", ["none", [3], 5])
async def test_a_usage_of_another_shape_counts_as_missing(
    name: str, run: Any, odd: Any, stub: StubRouter
) -> None:
    stub.chat(say("Hello there.", usage=odd))
    counter = TokenCountingHandler(tokenizer=str.split)
    found = await result_of(name, run, make(stub, callback_manager=CallbackManager([counter])))
    assert found.raw["usage"] is None
    assert counter.total_llm_token_count > 0


@pytest.mark.rule("usage", "token-counts")
def test_counts_in_other_places_are_shown_where_the_framework_looks(stub: StubRouter) -> None:
    counts = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    last = {**chunk({}, "stop"), "x_groq": {"usage": counts}}
    stub.chat(lambda _: sse(chunk({"content": "Hi"}), last))
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = make(stub, callback_manager=CallbackManager([counter]))
    list(llm.stream_chat(HELLO))
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (11, 7)


LOGPROBS: list[tuple[Any, Any]] = [
    ({"content": [{"token": "a", "logprob": "low", "top_logprobs": 3}]}, [[("a", 0.0)]]),
    ({"content": [{"token": "a", "logprob": -1, "top_logprobs": ["b", None]}]}, [[("a", -1.0)]]),
    ({"content": [{"token": "a", "logprob": float("nan")}]}, [[("a", 0.0)]]),
    ({"content": [{"token": "a", "logprob": float("-inf")}]}, [[("a", -9999.0)]]),
    ({"content": [{"token": "a", "logprob": -(10**300)}]}, [[("a", -9999.0)]]),
    ({"content": [{"token": "a", "logprob": -1, "bytes": 97}]}, [[("a", -1.0)]]),
    ({"content": [{"token": "a", "logprob": -1, "bytes": ["x", 300]}]}, [[("a", -1.0)]]),
    ({"tokens": ["a", "b"], "token_logprobs": [None, {}]}, [[("a", 0.0)], [("b", 0.0)]]),
    ({"content": ["a"]}, None),
]


@pytest.mark.rule("answer-shape")
@pytest.mark.parametrize(("given", "expected"), LOGPROBS)
async def test_odd_log_probabilities_do_not_end_the_call(
    given: Any, expected: Any, stub: StubRouter
) -> None:
    def pairs(found: list[list[LogProb]] | None) -> Any:
        return found and [[(one.token, one.logprob) for one in row] for row in found]

    stub.chat(say("a", logprobs=given))
    llm = make(stub)
    for answer in (llm.chat(HELLO), await llm.achat(HELLO)):
        assert pairs(answer.logprobs) == expected
        assert ChatResponse.model_validate_json(answer.model_dump_json()).logprobs == (
            answer.logprobs
        )
    piece = chunk({"content": "a"})
    piece["choices"][0]["logprobs"] = given
    stub.chat(lambda _: sse(piece, chunk({}, "stop")))
    assert pairs(next(iter(llm.stream_chat(HELLO))).logprobs) == expected
