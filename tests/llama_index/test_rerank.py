"""``HFRouterRerank``: what is sent, where, and what comes back. See also ``conformance``."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from pydantic import SecretStr, ValidationError

from llama_index_hfrouter import HFRouterRerank
from shared_core import (
    APIResponseValidationError,
    AuthenticationError,
    InvalidSettingError,
    UnsupportedTaskError,
)
from tests.helpers.fault_server import Received, Reply, json_reply
from tests.llama_index.conftest import Recorder
from tests.llama_index.stub_server import RERANK, StubRouter, overlap

QUERY = "red green blue"
TEXTS = ["black white", "red black", "red green blue", "red green white"]
SECRET = "hf_verysecret"


def nodes(*texts: str, **metadata: Any) -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(text=text, id_=str(at), metadata=dict(metadata)), score=0.5)
        for at, text in enumerate(texts or TEXTS)
    ]


def ids(found: list[NodeWithScore]) -> list[str]:
    return [one.node.node_id for one in found]


@pytest.fixture
def rerank(stub: StubRouter) -> HFRouterRerank:
    return HFRouterRerank(base_url=stub.url)


def both(model: HFRouterRerank, given: list[NodeWithScore]) -> Iterator[list[NodeWithScore]]:
    """Give the result of the sync and of the async call."""
    yield model.postprocess_nodes(given, query_str=QUERY)
    yield asyncio.run(model.apostprocess_nodes(given, query_bundle=QueryBundle(QUERY)))


@pytest.mark.rule("rerank-order")
def test_all_nodes_come_back_ordered_and_little_is_sent(
    rerank: HFRouterRerank, stub: StubRouter
) -> None:
    for found in both(rerank, nodes()):
        assert ids(found) == ["2", "3", "1", "0"]
        assert stub.last == {"query": QUERY, "texts": TEXTS}
        assert type(found[0].score) is float
    assert isinstance(rerank, BaseNodePostprocessor)
    assert len(stub.requests) == 2
    assert {request.path for request in stub.requests} == {RERANK}


def test_parameters_are_sent_as_they_are_named(stub: StubRouter) -> None:
    model = HFRouterRerank(
        base_url=stub.url,
        top_n=1,
        raw_scores=True,
        truncate=True,
        truncation_direction="left",
        extra_body={"return_text": False},
        bill_to="payer",
    )
    for found in both(model, nodes()):
        assert ids(found) == ["2"]
        assert stub.last == {
            "query": QUERY,
            "texts": TEXTS,
            "raw_scores": True,
            "truncate": True,
            "truncation_direction": "left",
            "return_text": False,
        }
        assert stub.requests[-1].headers["x-hf-bill-to"] == "payer"


def test_a_server_may_be_given_as_the_model(stub: StubRouter) -> None:
    for address in (stub.url, f"{stub.url}/v1", f"{stub.url}/rerank"):
        assert ids(HFRouterRerank(address).postprocess_nodes(nodes(), query_str=QUERY))[0] == "2"
    assert {request.path for request in stub.requests} == {RERANK}


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (MetadataMode.EMBED, "colour: dark\n\nred"),
        (MetadataMode.NONE, "red"),
    ],
)
def test_the_metadata_mode_says_what_of_a_node_is_ranked(
    mode: MetadataMode, text: str, stub: StubRouter
) -> None:
    model = HFRouterRerank(base_url=stub.url, metadata_mode=mode)
    model.postprocess_nodes(nodes("red", colour="dark"), query_str=QUERY)
    assert stub.last["texts"] == [text]


@pytest.mark.rule("rerank-inputs-untouched")
def test_the_retrieval_score_is_kept_on_a_copy(stub: StubRouter) -> None:
    given = nodes("red", "blue green", colour="dark")
    before = copy.deepcopy(given)
    model = HFRouterRerank(base_url=stub.url, keep_retrieval_score=True)
    for found in both(model, given):
        assert found[0].node.metadata == {"colour": "dark", "retrieval_score": 0.5}
        assert given == before
    plain = HFRouterRerank(base_url=stub.url).postprocess_nodes(given, query_str=QUERY)
    assert {id(one.node) for one in plain} == {id(one.node) for one in given}
    assert not {id(one) for one in plain} & {id(one) for one in given}


@pytest.mark.rule("rerank-batches")
def test_batches_are_bounded_and_ordered_as_a_whole(stub: StubRouter) -> None:
    inner, lock, now, most = stub.checked_rerank(), threading.Lock(), 0, 0

    def counted(request: Received) -> Reply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.02)
        with lock:
            now -= 1
        return inner(request)

    stub.on(RERANK, counted)
    texts = [("red " * number + "black").strip() for number in range(20)]
    model = HFRouterRerank(base_url=stub.url, batch_size=2, max_concurrency=3, top_n=5)
    for found in both(model, nodes(*texts)):
        assert ids(found) == ["19", "18", "17", "16", "15"]
    assert len(stub.bodies) == 20
    assert 1 < most <= 3


@pytest.mark.rule("rerank-needs-a-query")
def test_a_query_and_texts_are_needed_and_nothing_is_sent(
    rerank: HFRouterRerank, stub: StubRouter
) -> None:
    for bundle in (None, QueryBundle("")):
        for kind in (InvalidSettingError, ValueError):
            with pytest.raises(kind, match="a query is missing"):
                rerank.postprocess_nodes(nodes(), query_bundle=bundle)
            with pytest.raises(kind, match="a query is missing"):
                asyncio.run(rerank.apostprocess_nodes([], query_bundle=bundle))
    image = NodeWithScore(node=ImageNode(image_url="http://127.0.0.1/x.png"))
    with pytest.raises(InvalidSettingError, match=r"nodes\[4\] has no text"):
        rerank.postprocess_nodes([*nodes(), image], query_str=QUERY)
    assert not stub.requests


@pytest.mark.rule("rerank-honest")
def test_the_router_itself_has_no_route_for_rerankers() -> None:
    model = HFRouterRerank("BAAI/bge-reranker-v2-m3", api_key="hf_x")
    with pytest.raises(UnsupportedTaskError, match="text-ranking"):
        model.postprocess_nodes(nodes(), query_str=QUERY)
    with pytest.raises(UnsupportedTaskError):
        asyncio.run(model.apostprocess_nodes(nodes(), query_str=QUERY))


@pytest.mark.rule("rerank-honest")
def test_sentence_similarity_is_asked_only_when_it_is_named(stub: StubRouter) -> None:
    path = "/hf-inference/models/org/embed/pipeline/sentence-similarity"

    def similar(request: Received) -> Reply:
        inputs = request.json()["inputs"]
        source = inputs["source_sentence"]
        return json_reply([overlap(source, text) for text in inputs["sentences"]])

    stub.on(path, similar)
    model = HFRouterRerank("org/embed", base_url=stub.base_url, method="sentence-similarity")
    for found in both(model, nodes()):
        assert ids(found) == ["2", "3", "1", "0"]
        assert found[0].score == 1.0
    assert {request.path for request in stub.requests} == {path}
    refused = model.model_copy(update={"truncate": True})
    with pytest.raises(InvalidSettingError, match="truncate"):
        refused.postprocess_nodes(nodes(), query_str=QUERY)


@pytest.mark.rule("rerank-failures")
@pytest.mark.parametrize(
    "answer",
    [
        [{"index": 4, "score": 0.5}],
        [{"index": 0, "score": 0.5}, {"index": 0, "score": 0.4}],
        [{"index": "0", "score": 0.5}],
        {"results": []},
        [0.5],
    ],
)
def test_answers_that_do_not_fit_are_refused(
    answer: Any, rerank: HFRouterRerank, stub: StubRouter
) -> None:
    stub.on(RERANK, json_reply(answer))
    for call in (
        lambda: rerank.postprocess_nodes(nodes(), query_str=QUERY),
        lambda: asyncio.run(rerank.apostprocess_nodes(nodes(), query_str=QUERY)),
    ):
        with pytest.raises(APIResponseValidationError):
            call()


@pytest.mark.rule("rerank-events")
def test_events_and_spans(rerank: HFRouterRerank, recorder: Recorder) -> None:
    for number, found in enumerate(both(rerank, nodes()), start=1):
        mine = [event for event in recorder.events if type(event).__name__.startswith("ReRank")]
        assert len(mine) == 2 * number
        start, end = mine[-2:]
        assert start.query.query_str == QUERY
        assert (start.top_n, start.model_name) == (4, rerank.base_url)
        assert end.nodes == found
        assert start.span_id is not None
        assert start.span_id == end.span_id
    assert SECRET not in "".join(recorder.dumps)


@pytest.mark.rule("rerank-events")
def test_a_failed_call_has_a_start_and_no_end_event(
    rerank: HFRouterRerank, stub: StubRouter, recorder: Recorder
) -> None:
    stub.on(RERANK, Reply((b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",)))
    with pytest.raises(AuthenticationError):
        rerank.postprocess_nodes(nodes(), query_str=QUERY)
    assert recorder.names().count("ReRankStartEvent") == 1
    assert "ReRankEndEvent" not in recorder.names()


@pytest.mark.rule("rerank-dumps")
@pytest.mark.parametrize("key", [SECRET, SecretStr(SECRET), lambda: SECRET])
def test_the_key_is_in_no_dump_repr_or_pickle(key: Any) -> None:
    headers = {"X-Secret": SECRET, "X-Use-Cache": "false"}
    model = HFRouterRerank("a/b", api_key=key, default_headers=headers)
    dumps = (model.to_dict(), model.to_json(), model.model_dump_json(), model, pickle.dumps(model))
    for dump in dumps:
        assert SECRET not in repr(dump)
    assert SECRET not in str(model)
    restored = pickle.loads(pickle.dumps(model))
    assert restored.default_headers == {"X-Use-Cache": "false"}
    assert restored.api_key is None


@pytest.mark.rule("rerank-dumps")
def test_dumps_restore_the_same_reranker(stub: StubRouter) -> None:
    model = HFRouterRerank(
        "a/b", base_url=stub.url, top_n=2, batch_size=3, truncate=True, metadata_mode="none"
    )
    assert json.loads(model.to_json())["class_name"] == "HFRouterRerank"
    expected = list(both(model, nodes()))
    for twin in (
        HFRouterRerank.from_dict(model.to_dict()),
        HFRouterRerank.from_json(model.to_json()),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ):
        assert twin.to_dict() == model.to_dict()
        assert list(both(twin, nodes())) == expected


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InvalidSettingError, match="top_n"):
        HFRouterRerank("a/b", topn=3)
    for wrong in ({"top_n": 0}, {"batch_size": 0}, {"method": "cosine"}):
        with pytest.raises(ValidationError):
            HFRouterRerank("a/b", **wrong)
    assert HFRouterRerank(callback_manager=None).callback_manager is not None


@pytest.mark.rule("rerank-real")
def test_on_a_real_server(llama_rerank_url: str) -> None:
    texts = ["Paris is the capital of France.", "Bread is baked from flour.", "7 is prime."]
    for address in (llama_rerank_url, f"{llama_rerank_url}/v1/rerank"):
        model = HFRouterRerank(base_url=address, batch_size=2)
        first, second = both(model, nodes(*texts))
        assert sorted(ids(first)) == ["0", "1", "2"]
        assert [one.score for one in first] == sorted((n.score or 0 for n in first), reverse=True)
        assert ids(second) == ids(first)
        assert [n.score for n in second] == pytest.approx([n.score for n in first], abs=1e-3)


def test_local_similarity() -> None:
    texts = ["A prime number has two divisors.", "Bread is baked from flour and yeast."]
    model = HFRouterRerank(local=True, method="sentence-similarity", top_n=1)
    for found in (
        model.postprocess_nodes(nodes(*texts), query_str="How do I make a loaf?"),
        asyncio.run(model.apostprocess_nodes(nodes(*texts), query_str="How do I make a loaf?")),
    ):
        assert ids(found) == ["1"]
        assert 0 < (found[0].score or 0) < 1


@pytest.mark.rule("endpoint-wait")
def test_a_sleeping_endpoint_is_waited_for(stub: StubRouter) -> None:
    list(both(HFRouterRerank(base_url=stub.url, scale_up_timeout=600), nodes()))
    list(both(HFRouterRerank(base_url=stub.url), nodes()))
    waits = [request.headers.get("x-scale-up-timeout") for request in stub.requests]
    assert waits == ["600", "600", None, None]
    assert all("scale_up_timeout" not in request.json() for request in stub.requests)
    with pytest.raises(ValidationError, match="scale_up_timeout"):
        HFRouterRerank(base_url=stub.url, scale_up_timeout=0)
