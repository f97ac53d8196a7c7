"""Numbers that a server may write and nothing can hold: NaN, infinity, 300 digits, text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langchain_hfrouter import HFRouterLLM
from tests.helpers.fault_server import FaultServer, json_reply
from tests.langchain.script import USAGE, added, event, model_of, serving, stream, whole

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]

ODD = [float("nan"), float("inf"), float("-inf"), -1, -0.5, 10**300, 1e300, "7", True, [1], {}]
ids = pytest.mark.parametrize("odd", ODD, ids=lambda value: str(value)[:8])


@pytest.mark.rule("usage-details", "metadata-is-json", "odd-numbers-merge")
@ids
async def test_no_count_nor_cost_is_made_of_what_is_no_number(odd: Any) -> None:
    usage = {
        **USAGE,
        "cost": odd,
        "estimated_cost": odd,
        "cache_creation_input_tokens": odd,
        "prompt_tokens_details": {"cache_write_tokens": odd, "cached_tokens": odd},
        "completion_tokens_details": {"reasoning_tokens": odd},
    }
    events = [event({"content": "Hi"}, created=odd), event({}, "stop", usage=usage, created=odd)]
    with serving(whole(top_usage=usage, top_created=odd), stream(*events)) as server:
        model = model_of(server)
        answers = [
            model.invoke("x"),
            await model.ainvoke("x"),
            added(list(model.stream("x"))),
            added([chunk async for chunk in model.astream("x")]),
            await (await model.astream_events("x", version="v3")).output,
        ]
    for answer in answers:
        counts = answer.usage_metadata
        assert counts is not None
        assert (counts["input_tokens"], counts["output_tokens"]) == (5, 4)
        assert not counts.get("input_token_details")
        assert not counts.get("output_token_details")
        assert not answer.response_metadata.keys() & {"cost", "created"}


@pytest.mark.rule("usage-details", "metadata-is-json")
def test_usable_counts_beside_odd_ones_are_kept() -> None:
    usage = {**USAGE, "cost": "free", "estimated_cost": 0.25, "cache_creation_tokens": -1}
    usage["prompt_tokens_details"] = {"cache_creation_input_tokens": 3.0}
    with serving(whole(top_usage=usage)) as server:
        answer = model_of(server).invoke("x")
    assert answer.response_metadata["cost"] == 0.25
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_token_details"] == {"cache_creation": 3}


@pytest.mark.rule("logprobs", "metadata-is-json")
def test_metadata_can_be_written_as_json_and_saved_by_langgraph() -> None:
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    tokens = [{"token": "a", "logprob": float("-inf"), "top_logprobs": [{"logprob": 10**30}]}]
    piece = event({"content": "a", "annotations": [{"start_index": float("nan")}]})
    piece["choices"][0]["logprobs"] = {"content": tokens}
    with serving(stream(piece, event({}, "stop"))) as server:
        total = added(list(model_of(server, logprobs=True).stream("x")))
    found = total.response_metadata["logprobs"]["content"]
    assert found == [{"token": "a", "logprob": None, "top_logprobs": [{"logprob": None}]}]
    assert total.additional_kwargs["annotations"] == [{"start_index": None}]
    json.dumps(total.model_dump(), allow_nan=False)
    keeper = JsonPlusSerializer()
    assert keeper.loads_typed(keeper.dumps_typed(total)) == total


@pytest.mark.rule("completion-calls")
async def test_token_counts_of_completions_below_0_are_none() -> None:
    details = {"finish_reason": "length", "generated_tokens": -5}
    with FaultServer() as server:
        server.on("/tgi", json_reply([{"generated_text": "more", "details": details}]))
        llm = HFRouterLLM(model=f"{server.url}/tgi", base_url=server.url, api_key="t")
        results = [llm.generate(["a"]), await llm.agenerate(["a"])]
    for result in results:
        assert result.llm_output is not None
        assert "token_usage" not in result.llm_output
