"""``HFRouterRerank``: order, copies, batches, callbacks, errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.exceptions import ModelInvalidRequestError, ModelRateLimitError
from pydantic import ValidationError

import shared_core
from langchain_hfrouter import HFRouterRerank
from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply

pytestmark = pytest.mark.anyio
SECRET = "hf_TopSecretToken0123456789"


def rank(request: Received) -> Reply:
    """The longer the text, the better."""
    rows = [{"index": n, "score": len(t) / 10} for n, t in enumerate(request.json()["texts"])]
    return json_reply(sorted(rows, key=lambda row: -row["score"]))


@pytest.fixture
def server():  # type: ignore[no-untyped-def]
    with FaultServer() as server:
        server.on("/rerank", rank)
        yield server


def of(server: FaultServer, **options: Any) -> HFRouterRerank:
    return HFRouterRerank(base_url=server.url, api_key="t", **options)


def documents(*texts: str) -> list[Document]:
    return [Document(text, id=str(n), metadata={"source": [n]}) for n, text in enumerate(texts)]


@pytest.mark.rule("relevance-scores", "rerank-method")
async def test_copies_in_order_with_scores(server: FaultServer) -> None:
    given = documents("a", "ccc", "bb")
    before = copy.deepcopy(given)
    found = of(server).compress_documents(given, "q")
    assert [(d.page_content, d.metadata) for d in found] == [
        ("ccc", {"source": [1], "relevance_score": 0.3}),
        ("bb", {"source": [2], "relevance_score": 0.2}),
        ("a", {"source": [0], "relevance_score": 0.1}),
    ]
    assert given == before
    assert [d.id for d in found] == ["1", "2", "0"]
    assert await of(server).acompress_documents(given, "q") == found


@pytest.mark.rule("relevance-scores", "rerank-batches")
async def test_top_n_of_all_batches(server: FaultServer) -> None:
    texts = ["x" * n for n in range(1, 71)]
    rerank = of(server, top_n=2)
    best = [{"index": 69, "relevance_score": 7.0}, {"index": 68, "relevance_score": 6.9}]
    assert rerank.rerank(texts, "q") == best
    assert [len(r.json()["texts"]) for r in server.requests] == [32, 32, 6]
    assert await rerank.arerank(texts, "q", top_n=1) == best[:1]
    assert (
        await of(server, batch_size=5, concurrency=3).arerank(documents(*texts), "q", top_n=2)
        == best
    )


@pytest.mark.rule("rerank-batches")
async def test_nothing_to_rank_needs_no_request(server: FaultServer) -> None:
    assert of(server).compress_documents([], "q") == []
    assert await of(server).acompress_documents(documents("", "  "), "q") == []
    assert server.requests == []


def test_documents_without_text_are_left_out(server: FaultServer) -> None:
    assert [
        d.page_content for d in of(server).compress_documents(documents("", "a", " "), "q")
    ] == ["a"]
    assert of(server).rerank(["", "a"], "q") == [{"index": 1, "relevance_score": 0.1}]


@pytest.mark.rule("rerank-servers")
def test_what_is_sent(server: FaultServer) -> None:
    of(server, raw_scores=True, truncate=True, extra_body={"top": 1}).rerank(["a"], "q")
    assert server.requests[0].json() == {
        "query": "q",
        "texts": ["a"],
        "raw_scores": True,
        "truncate": True,
        "top": 1,
    }
    assert server.requests[0].headers["authorization"] == "Bearer t"


class Steps(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.seen.append((kwargs["name"], inputs["query"], len(inputs["documents"])))

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.seen.append(len(outputs["documents"]))

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append(type(error).__name__)


@pytest.mark.rule("rerank-callbacks")
async def test_callbacks_see_a_step(server: FaultServer) -> None:
    steps = Steps()
    of(server, top_n=1).compress_documents(documents("a", "b"), "q", callbacks=[steps])
    await of(server, top_n=1).acompress_documents(documents("a", "b"), "q", callbacks=[steps])
    assert steps.seen == [("HFRouterRerank", "q", 2), 1] * 2
    server.on("/rerank", json_reply({"error": "x"}, 429))
    with pytest.raises(ModelRateLimitError):
        of(server).compress_documents(documents("a"), "q", callbacks=[steps])
    assert steps.seen[-1] == "RateLimitError"


async def test_errors_are_of_both_families(server: FaultServer) -> None:
    server.on("/rerank", json_reply({"error": "slow down", "error_type": "Overloaded"}, 429))
    with pytest.raises(ModelRateLimitError) as raised:
        await of(server).acompress_documents(documents("a"), "q")
    assert isinstance(raised.value, shared_core.RateLimitError)
    server.on("/rerank", json_reply([{"index": 5, "score": 1}]))
    with pytest.raises(shared_core.APIResponseValidationError):
        of(server).rerank(["a"], "q")


@pytest.mark.rule("rerank-servers")
def test_the_router_is_refused_unless_similarity_is_asked_for() -> None:
    with pytest.raises(ModelInvalidRequestError, match="text-ranking"):
        HFRouterRerank(model="a/b", api_key="t").rerank(["a"], "q")


async def test_similarity_of_real_sentences() -> None:
    rerank = HFRouterRerank(local=True, method="sentence-similarity", top_n=1)
    given = documents("Cats sleep a lot.", "Choose 'forgot password' to get a new one.")
    found = rerank.compress_documents(given, "How do I reset my password?")
    assert [d.id for d in found] == ["1"]
    assert found[0].metadata["relevance_score"] > 0.5
    assert await rerank.acompress_documents(given, "How do I reset my password?") == found


def test_a_real_server(llama_rerank_url: str) -> None:
    for path in ("", "/v1/rerank"):
        rerank = HFRouterRerank(base_url=llama_rerank_url + path, api_key="t")
        found = rerank.compress_documents(documents("a", "b c", "d"), "q")
        scores = [d.metadata["relevance_score"] for d in found]
        assert len(found) == 3
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("alias", "field", "value"),
    [("top_k", "top_n", 3), ("model_name", "model", "a/b"), ("max_batch_size", "batch_size", 4)],
)
def test_other_names_of_keywords(alias: str, field: str, value: Any) -> None:
    assert getattr(HFRouterRerank(**{alias: value}), field) == value


def test_unknown_keywords_are_refused() -> None:
    with pytest.raises(shared_core.InvalidSettingError, match="batch_size"):
        HFRouterRerank(batchsize=3)


def test_copies_and_pickles_work_after_use_and_tell_no_secret(server: FaultServer) -> None:
    rerank = HFRouterRerank(base_url=server.url, api_key=SECRET)
    rerank.rerank(["a"], "q")
    data = pickle.dumps(rerank)
    for text in (repr(rerank), repr(rerank.model_dump()), data.decode("latin-1")):
        assert SECRET not in text
    for twin in (pickle.loads(data), copy.deepcopy(rerank), rerank.model_copy()):
        assert twin.rerank(["a"], "q") == [{"index": 0, "relevance_score": 0.1}]


@pytest.mark.rule("rerank-servers")
async def test_a_sleeping_endpoint_is_waited_for(server: FaultServer) -> None:
    rerank = of(server, scale_up_timeout=600)
    given = documents("a", "bb")
    rerank.rerank(given, "q")
    await rerank.arerank(given, "q")
    rerank.compress_documents(given, "q")
    await rerank.acompress_documents(given, "q")
    assert [r.headers.get("x-scale-up-timeout") for r in server.requests] == ["600"] * 4
    assert all("scale_up_timeout" not in r.json() for r in server.requests)
    of(server).rerank(given, "q")
    assert "x-scale-up-timeout" not in server.requests[-1].headers
    with pytest.raises(ValidationError, match="scale_up_timeout"):
        of(server, scale_up_timeout=0)
