"""Rules for a reranker; see README.md. The server speaks TEI's ``/rerank``."""

from __future__ import annotations

import asyncio
import copy
import pickle
import time
from typing import Any

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.llms import MockLLM
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from tests.helpers.fault_server import Received, Reply, json_reply
from tests.llama_index.conformance.base import KEY, Conformance, Events, run
from tests.llama_index.stub_server import RERANK, StubRouter

QUERY = "red green blue"
TEXTS = ["black white", "red black", "red green blue", "red green white"]
BEST = [2, 3, 1, 0]
SCORES = [1.0, 2 / 3, 1 / 2, 0.0]


def nodes(texts: list[str] = TEXTS, **metadata: Any) -> list[NodeWithScore]:
    """Return a node per text, with falling scores."""
    return [
        NodeWithScore(node=TextNode(text=text, id_=str(at), metadata=dict(metadata)), score=1 - at)
        for at, text in enumerate(texts)
    ]


def ids(found: list[NodeWithScore]) -> list[int]:
    return [int(one.node.node_id) for one in found]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class RerankConformance(Conformance):
    """Subclass and implement ``make``; its ``base_url`` has no path.

    Options: ``top_n``, ``api_key`` and ``callback_manager``.
    """

    @pytest.fixture
    def model(self, stub: StubRouter) -> Any:
        return self.make(stub.url, top_n=4)

    @pytest.mark.rule("rerank-order")
    def test_orders_by_the_query(self, model: Any, stub: StubRouter) -> None:
        """The best come first, with the scores of the server, in one request."""
        found = model.postprocess_nodes(nodes(), query_str=QUERY)
        assert ids(found) == BEST
        assert [one.score for one in found] == pytest.approx(SCORES)
        assert len(stub.bodies) == 1
        again = run(lambda: model.apostprocess_nodes(nodes(), QueryBundle(QUERY)))
        assert again == found

    @pytest.mark.rule("rerank-top-n")
    def test_top_n(self, stub: StubRouter) -> None:
        """As many come out as were asked for, or as there are."""
        for top_n, expected in ((1, BEST[:1]), (9, BEST)):
            model = self.make(stub.url, top_n=top_n)
            assert ids(model.postprocess_nodes(nodes(), query_str=QUERY)) == expected

    @pytest.mark.rule("rerank-inputs-untouched")
    def test_what_came_in_is_left_alone(self, model: Any) -> None:
        """Neither the list, nor its items, nor the nodes are changed."""
        given = nodes(a="b")
        kept, before = list(given), copy.deepcopy(given)
        model.postprocess_nodes(given, query_str=QUERY)
        run(lambda: model.apostprocess_nodes(given, query_str=QUERY))
        assert given == before
        assert all(one is other for one, other in zip(given, kept, strict=True))

    @pytest.mark.rule("rerank-needs-a-query")
    def test_no_query_raises(self, model: Any, stub: StubRouter) -> None:
        """Without a query there is an error and no request."""
        with pytest.raises(ValueError, match=r"(?i)query"):
            model.postprocess_nodes(nodes())
        with pytest.raises(ValueError, match=r"(?i)query"):
            run(lambda: model.apostprocess_nodes(nodes()))
        assert not stub.bodies

    @pytest.mark.rule("rerank-needs-a-query")
    def test_no_nodes_no_request(self, model: Any, stub: StubRouter) -> None:
        """Nothing to rank is no reason to ask."""
        assert model.postprocess_nodes([], query_str=QUERY) == []
        assert run(lambda: model.apostprocess_nodes([], query_str=QUERY)) == []
        assert not stub.bodies

    @pytest.mark.rule("rerank-batches")
    def test_more_texts_than_a_request_takes(self, model: Any, stub: StubRouter) -> None:
        """TEI takes 32 texts at once; more are sent in batches, ordered as a whole."""
        texts = ["black white"] * 40 + ["red green blue", "red black"]
        found = model.postprocess_nodes(nodes(texts), query_str=QUERY)
        assert ids(found)[:2] == [40, 41]
        assert ids(run(lambda: model.apostprocess_nodes(nodes(texts), query_str=QUERY)))[0] == 40
        assert len(stub.bodies) == 4

    @pytest.mark.rule("rerank-async")
    def test_async_does_not_block(self, model: Any, stub: StubRouter) -> None:
        """The event loop goes on while the server thinks, and no thread is needed for it."""
        inner = stub.checked_rerank()

        def slow(request: Received) -> Reply:
            time.sleep(0.2)
            return inner(request)

        stub.on(RERANK, slow)

        async def main() -> tuple[int, bool]:
            loop, threads = asyncio.get_running_loop(), []
            plain = loop.run_in_executor

            def noted(*args: Any) -> Any:
                threads.append(args)
                return plain(*args)

            loop.run_in_executor = noted  # type: ignore[method-assign]
            task = asyncio.ensure_future(model.apostprocess_nodes(nodes(), query_str=QUERY))
            beats = 0
            while not task.done():
                await asyncio.sleep(0.01)
                beats += 1
            await task
            return beats, bool(threads)

        beats, threads = run(main)
        assert beats >= 5
        assert not threads

    @pytest.mark.rule("rerank-events")
    def test_events_once(self, model: Any, events: Events) -> None:
        """One start and one end event per call."""
        model.postprocess_nodes(nodes(), query_str=QUERY)
        run(lambda: model.apostprocess_nodes(nodes(), query_str=QUERY))
        assert events.count("ReRankStartEvent") == events.count("ReRankEndEvent") == 2

    @pytest.mark.rule("rerank-events")
    def test_callbacks(self, stub: StubRouter) -> None:
        """Callback handlers see one rerank event."""
        handler = LlamaDebugHandler(print_trace_on_end=False)
        model = self.make(stub.url, top_n=1, callback_manager=CallbackManager([handler]))
        model.postprocess_nodes(nodes(), query_str=QUERY)
        assert len(handler.get_event_pairs(CBEventType.RERANKING)) == 1

    @pytest.mark.rule("rerank-failures")
    @pytest.mark.parametrize("status", [401, 424, 429, 500])
    def test_failures_raise_with_the_status(
        self, status: int, model: Any, stub: StubRouter
    ) -> None:
        """A refused call raises an error that knows the status; it is sent once."""
        stub.on(RERANK, json_reply({"error": "No.", "error_type": "Backend"}, status))
        with pytest.raises(Exception) as caught:
            model.postprocess_nodes(nodes(), query_str=QUERY)
        code = getattr(caught.value, "status_code", None)
        response = getattr(caught.value, "response", None)
        assert status in (code, getattr(response, "status_code", None))
        assert len(stub.requests) == 1

    @pytest.mark.rule("rerank-failures")
    def test_a_wrong_answer_raises(self, model: Any, stub: StubRouter) -> None:
        """An index that was never sent, or one missing text, is an error of its own."""
        for answer in ([{"index": 7, "score": 1.0}] * 4, {"error": "no"}):
            stub.on(RERANK, json_reply(answer))
            with pytest.raises(Exception) as caught:
                model.postprocess_nodes(nodes(), query_str=QUERY)
            assert not isinstance(caught.value, IndexError | KeyError | TypeError | AssertionError)

    @pytest.mark.rule("rerank-bearer")
    def test_the_token_is_a_bearer(self, stub: StubRouter) -> None:
        """The key goes into ``Authorization: Bearer``."""
        model = self.make(stub.url, api_key=KEY)
        model.postprocess_nodes(nodes(), query_str=QUERY)
        assert stub.requests[-1].headers["authorization"] == f"Bearer {KEY}"

    @pytest.mark.rule("rerank-dumps")
    def test_no_secret_in_dumps(self, stub: StubRouter) -> None:
        """The key is in no dump."""
        model = self.make(stub.url, api_key=KEY)
        for dump in (model.to_dict(), model.to_json(), repr(model), str(model)):
            assert KEY not in str(dump)

    @pytest.mark.rule("new-loops", "sync-in-a-loop")
    def test_new_loops_and_running_loops(self, model: Any) -> None:
        """Any number of loops, and sync calls inside one."""

        async def main() -> bool:
            found = await model.apostprocess_nodes(nodes(), query_str=QUERY)
            return bool(model.postprocess_nodes(nodes(), query_str=QUERY) == found)

        assert all(run(main) for _ in range(3))

    @pytest.mark.rule("rerank-dumps")
    def test_copies_after_use(self, model: Any) -> None:
        """Deep copies and pickles work after use."""
        expected = model.postprocess_nodes(nodes(), query_str=QUERY)
        run(lambda: model.apostprocess_nodes(nodes(), query_str=QUERY))
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert twin.postprocess_nodes(nodes(), query_str=QUERY) == expected

    @pytest.mark.rule("rerank-in-engines")
    def test_in_a_query_engine(self, stub: StubRouter) -> None:
        """A query engine hands the ranked nodes on, sync and async."""
        plain = [one.node for one in nodes()]
        index = VectorStoreIndex(nodes=plain, embed_model=MockEmbedding(2))
        engine = index.as_query_engine(
            llm=Echo(), similarity_top_k=4, node_postprocessors=[self.make(stub.url, top_n=2)]
        )
        assert ids(engine.query(QUERY).source_nodes) == BEST[:2]
        assert ids(run(lambda: engine.aquery(QUERY)).source_nodes) == BEST[:2]


class Echo(MockLLM):
    """Says nothing; the framework asks it all the same."""

    def complete(self, *args: Any, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="x")
