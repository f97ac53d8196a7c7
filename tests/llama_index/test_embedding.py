"""HFRouterEmbedding: one request per list, bounded, verbatim, cached rightly."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import ValidationError

from llama_index_hfrouter import HFRouterEmbedding
from shared_core import (
    APIResponseValidationError,
    InvalidSettingError,
    RateLimitError,
    RequestTooLargeError,
)
from tests.helpers.fault_server import Received, Reply, json_reply
from tests.llama_index.conftest import Recorder
from tests.llama_index.stub_server import EMBED, StubRouter, vector
from tests.llama_index.test_events import CountingLimiter

pytestmark = pytest.mark.anyio

TEXTS = [f"text {number}" for number in range(70)]


def make(stub: StubRouter, **options: Any) -> HFRouterEmbedding:
    return HFRouterEmbedding("org/embed", base_url=stub.base_url, **options)


def sizes(stub: StubRouter) -> list[int]:
    return sorted(len(body["input"]) for body in stub.bodies)


@pytest.mark.rule("embedding-calls")
async def test_the_six_calls_give_lists_of_floats(stub: StubRouter) -> None:
    model = make(stub)
    found = [
        model.get_query_embedding("a"),
        await model.aget_query_embedding("a"),
        model.get_text_embedding("a"),
        await model.aget_text_embedding("a"),
        model.get_text_embedding_batch(["a"])[0],
        (await model.aget_text_embedding_batch(["a"]))[0],
    ]
    assert found == [vector("a")] * 6
    assert all(type(number) is float for number in found[0])
    assert all(type(one) is list for one in found)


@pytest.mark.rule("embedding-batches")
async def test_one_request_per_list_received(stub: StubRouter) -> None:
    model = make(stub)
    assert model.get_text_embedding_batch(TEXTS) == [vector(text) for text in TEXTS]
    assert sizes(stub) == [6, 32, 32]
    stub.bodies.clear()
    assert await model.aget_text_embedding_batch(TEXTS) == [vector(text) for text in TEXTS]
    assert sizes(stub) == [6, 32, 32]
    stub.bodies.clear()
    make(stub, embed_batch_size=100).get_text_embedding_batch(TEXTS)
    assert sizes(stub) == [70]


@pytest.mark.rule("no-texts")
async def test_no_texts_no_request(stub: StubRouter) -> None:
    for workers in (None, 4):
        model = make(stub, num_workers=workers)
        assert model.get_text_embedding_batch([]) == []
        assert await model.aget_text_embedding_batch([]) == []
    assert stub.accepted == 0


class Together:
    """Measures how many requests are under way at once."""

    def __init__(self, stub: StubRouter) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()
        self._inner = stub.checked_embed()
        stub.on(EMBED, self.answer)

    def answer(self, request: Received) -> Reply:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.03)
        reply = self._inner(request)
        with self._lock:
            self.now -= 1
        return reply


@pytest.mark.rule("bounded-async")
async def test_async_concurrency_is_bounded_by_default(stub: StubRouter) -> None:
    together = Together(stub)
    await make(stub, embed_batch_size=1).aget_text_embedding_batch(TEXTS[:30])
    assert 1 < together.most <= 8
    together.most = 0
    model = make(stub, embed_batch_size=1, max_concurrency=2)
    await model.aget_text_embedding_batch(TEXTS[:10])
    assert together.most == 2


@pytest.mark.rule("bounded-threads", "embedding-events")
def test_sync_batches_run_in_num_workers_threads(stub: StubRouter, recorder: Recorder) -> None:
    together = Together(stub)
    debug = LlamaDebugHandler(print_trace_on_end=False)
    limiter = CountingLimiter()
    model = make(
        stub,
        embed_batch_size=5,
        num_workers=3,
        callback_manager=CallbackManager([debug]),
        rate_limiter=limiter,
    )
    before = threading.active_count()
    assert model.get_text_embedding_batch(TEXTS) == [vector(text) for text in TEXTS]
    assert 1 < together.most <= 3
    assert sizes(stub) == [5] * 14
    names = Counter(recorder.names())
    assert names["EmbeddingStartEvent"] == names["EmbeddingEndEvent"] == 14
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 14
    assert limiter.asked == ["sync"] * 14
    leftover = [t.name for t in threading.enumerate() if t.name.startswith("hfrouter-embed")]
    assert leftover == []
    assert before > 0


@pytest.mark.rule("embedding-cache")
def test_threads_use_the_cache(stub: StubRouter) -> None:
    cache = SimpleKVStore()
    model = make(stub, embed_batch_size=5, num_workers=3, embeddings_cache=cache)
    model.get_text_embedding_batch(TEXTS)
    asked = len(stub.bodies)
    assert model.get_text_embedding_batch(TEXTS) == [vector(text) for text in TEXTS]
    assert len(stub.bodies) == asked


@pytest.mark.rule("first-error-ends")
def test_the_first_error_of_threads_ends_the_others(stub: StubRouter) -> None:
    stub.on(EMBED, json_reply({"error": "slow down"}, 429))
    model = make(stub, embed_batch_size=1, num_workers=2)
    with pytest.raises(RateLimitError):
        model.get_text_embedding_batch(TEXTS)
    assert len(stub.requests) < 20


@pytest.mark.rule("progress")
def test_progress_is_shown_on_request_only(
    stub: StubRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    for workers in (None, 2):
        model = make(stub, num_workers=workers)
        model.get_text_embedding_batch(TEXTS)
        assert capsys.readouterr() == ("", "")
        model.get_text_embedding_batch(TEXTS, show_progress=True)
        assert "Generating embeddings" in capsys.readouterr().err


@pytest.mark.rule("verbatim")
async def test_texts_and_instructions_are_sent_verbatim(stub: StubRouter) -> None:
    model = make(stub, query_instruction="query:\n", text_instruction="passage: ")
    text = "  two\nlines \u2028 "
    model.get_query_embedding(text)
    assert stub.last["input"] == "query:\n" + text
    model.get_text_embedding(text)
    assert stub.last["input"] == "passage: " + text
    await model.aget_query_embedding(text)
    assert stub.last["input"] == "query:\n" + text
    await model.aget_text_embedding_batch([text])
    assert stub.last["input"] == ["passage: " + text]


HF = "/hf-inference/models/org/embed/pipeline/feature-extraction"


def features(request: Received) -> Reply:
    inputs = request.json()["inputs"]
    return json_reply([vector(inputs)] if isinstance(inputs, str) else [*map(vector, inputs)])


@pytest.mark.rule("prompt-names", "feature-extraction")
def test_feature_extraction_with_prompt_names_and_options(stub: StubRouter) -> None:
    stub.on(HF, features)
    model = HFRouterEmbedding(
        model="org/embed",
        base_url=stub.url,
        api_key="hf_x",
        bill_to="payer",
        query_prompt_name="query",
        text_prompt_name="passage",
        normalize=True,
        truncate=True,
        truncation_direction="left",
    )
    assert model.model_name == "org/embed"
    assert model.get_query_embedding("a") == vector("a")
    sent = stub.requests[-1].json()
    options = {"normalize": True, "truncate": True, "truncation_direction": "left"}
    assert sent == {"inputs": "a", "prompt_name": "query", **options}
    assert model.get_text_embedding_batch(["a", "b"]) == [vector("a"), vector("b")]
    assert stub.requests[-1].json()["prompt_name"] == "passage"
    both = HFRouterEmbedding("org/embed", base_url=stub.url, prompt_name="both")
    both.get_query_embedding("a")
    assert stub.requests[-1].json()["prompt_name"] == "both"
    both.get_text_embedding("a")
    assert stub.requests[-1].json()["prompt_name"] == "both"
    model.get_text_embedding("a")
    assert stub.requests[-1].headers["x-hf-bill-to"] == "payer"
    assert stub.requests[-1].headers["authorization"] == "Bearer hf_x"


@pytest.mark.rule("embedding-provider", "bill-to")
async def test_the_provider_and_the_payer_are_honoured(stub: StubRouter) -> None:
    path = "/together/v1/embeddings"
    stub.on(path, json_reply({"data": [{"index": 0, "embedding": [1.0, 2.0]}]}))
    model = HFRouterEmbedding(
        "org/embed", base_url=stub.url, provider="together", api_key="hf_x", bill_to="payer"
    )
    assert model.get_text_embedding("a") == await model.aget_query_embedding("a") == [1.0, 2.0]
    for request in stub.requests:
        assert request.path == path
        assert request.headers["x-hf-bill-to"] == "payer"
    with pytest.raises(InvalidSettingError, match="serves no embeddings"):
        HFRouterEmbedding("org/embed", base_url=stub.url, provider="nobody").get_text_embedding("a")
    assert len(stub.requests) == 2


@pytest.mark.rule("pooling")
def test_token_vectors_are_pooled_only_on_request(stub: StubRouter) -> None:
    stub.on(HF, json_reply([[[1.0, 2.0], [3.0, 4.0]]]))
    options: dict[str, Any] = {"base_url": stub.url}
    assert HFRouterEmbedding("org/embed", pooling="mean", **options).get_text_embedding("a") == [
        2.0,
        3.0,
    ]
    assert HFRouterEmbedding("org/embed", pooling="cls", **options).get_text_embedding("a") == [
        1.0,
        2.0,
    ]
    with pytest.raises(Exception, match="pooling"):
        HFRouterEmbedding("org/embed", **options).get_text_embedding("a")


@pytest.mark.rule("dimensions")
def test_dimensions_and_encoding_are_sent(stub: StubRouter) -> None:
    make(stub, dimensions=8, extra_body={"user": "u"}).get_text_embedding("a")
    assert (stub.last["dimensions"], stub.last["user"]) == (8, "u")


@pytest.mark.rule("batch-split")
async def test_a_batch_that_is_too_large_is_split(stub: StubRouter) -> None:
    inner = stub.checked_embed()

    def picky(request: Received) -> Reply:
        if len(request.json()["input"]) > 8:
            return json_reply({"error": "batch size 32 > maximum allowed batch size 8"}, 413)
        return inner(request)

    stub.on(EMBED, picky)
    model, expected = make(stub), [vector(text) for text in TEXTS]
    assert model.get_text_embedding_batch(TEXTS) == expected
    assert await model.aget_text_embedding_batch(TEXTS) == expected
    stub.on(EMBED, json_reply({"error": "too large"}, 413))
    with pytest.raises(RequestTooLargeError):
        model.get_text_embedding("one text")
    with pytest.raises(RequestTooLargeError):
        await model.aget_text_embedding("one text")


@pytest.mark.rule("wrong-vectors")
async def test_answers_with_wrong_vectors_are_refused_and_shuffled_ones_ordered(
    stub: StubRouter,
) -> None:
    def data(*vectors: list[float]) -> Reply:
        items = [{"index": at, "embedding": found} for at, found in enumerate(vectors)]
        return json_reply({"data": items[::-1]})

    model = make(stub)
    stub.on(EMBED, data([1.0, 2.0], [3.0, 4.0]))
    assert model.get_text_embedding_batch(["a", "b"]) == [[1.0, 2.0], [3.0, 4.0]]
    for wrong in (data([1.0]), data(), data([], []), data([1.0], [1.0, 2.0]), json_reply({})):
        stub.on(EMBED, wrong)
        with pytest.raises(APIResponseValidationError):
            model.get_text_embedding_batch(["a", "b"])
        with pytest.raises(APIResponseValidationError):
            await model.aget_text_embedding_batch(["a", "b"])


# --- spans and failures -----------------------------------------------------------------


@pytest.mark.rule("embedding-spans")
@pytest.mark.parametrize(
    ("name", "many"),
    [
        ("get_query_embedding", False),
        ("aget_query_embedding", False),
        ("get_text_embedding", False),
        ("aget_text_embedding", False),
        ("get_text_embedding_batch", True),
        ("aget_text_embedding_batch", True),
    ],
)
@pytest.mark.parametrize("options", [{}, {"query_instruction": "q: ", "num_workers": 2}])
async def test_a_call_is_one_span(
    name: str, many: bool, options: dict[str, Any], stub: StubRouter
) -> None:
    handler, root = SimpleSpanHandler(), get_dispatcher()
    root.add_span_handler(handler)
    model = make(stub, embed_batch_size=5, embeddings_cache=SimpleKVStore(), **options)
    try:
        found = getattr(model, name)(TEXTS[:20] if many else "a")
        await found if name.startswith("a") else found
    finally:
        root.span_handlers.remove(handler)
    names = [span.id_.partition("-")[0] for span in handler.completed_spans]
    assert names.count(f"HFRouterEmbedding.{name}") == 1
    assert not handler.open_spans


@pytest.mark.rule("embedding-failures")
async def test_a_failure_ends_the_callback_with_its_exception(stub: StubRouter) -> None:
    stub.on(EMBED, json_reply({"error": "slow down"}, 429))
    for name, workers in (
        ("get_query_embedding", None),
        ("aget_query_embedding", None),
        ("get_text_embedding_batch", None),
        ("get_text_embedding_batch", 3),
    ):
        debug = LlamaDebugHandler(print_trace_on_end=False)
        manager = CallbackManager([debug])
        model = make(stub, embed_batch_size=5, num_workers=workers, callback_manager=manager)
        with pytest.raises(RateLimitError):
            found = getattr(model, name)("a" if "query" in name else TEXTS[:20])
            await found
        pairs = debug.get_event_pairs(CBEventType.EMBEDDING)
        assert len(pairs) == (4 if workers else 1)
        ends = [(end.payload or {}).get(EventPayload.EXCEPTION) for _, end in pairs]
        assert [type(end) for end in ends if end is not None] == [RateLimitError]


# --- life -------------------------------------------------------------------------------


@pytest.mark.rule("new-loops")
def test_one_object_serves_one_loop_after_another(stub: StubRouter) -> None:
    model = make(stub, embed_batch_size=4)
    for _ in range(3):
        found = asyncio.run(model.aget_text_embedding_batch(TEXTS))
        assert found == [vector(text) for text in TEXTS]


@pytest.mark.rule("embedding-settings")
def test_settings_are_checked() -> None:
    with pytest.raises(InvalidSettingError, match="query_instruction"):
        HFRouterEmbedding("m", query_instructions="q")
    with pytest.raises(InvalidSettingError, match="model_name"):
        HFRouterEmbedding()
    for size in (0, 2049):
        with pytest.raises(ValueError, match="embed_batch_size"):
            HFRouterEmbedding("m", embed_batch_size=size)
    assert HFRouterEmbedding("m", embed_batch_size=2048).embed_batch_size == 2048
    assert HFRouterEmbedding("m", callback_manager=None).callback_manager is not None


@pytest.mark.rule("embedding-payload")
def test_payload_names_the_class_and_model() -> None:
    payload = HFRouterEmbedding("m", api_key="hf_secret").to_payload()
    assert payload["class_name"] == "HFRouterEmbedding"
    assert payload["model_name"] == "m"
    assert "hf_secret" not in str(payload)


@pytest.mark.rule("endpoint-wait")
async def test_a_sleeping_endpoint_is_waited_for(stub: StubRouter) -> None:
    model = make(stub, scale_up_timeout=600)
    model.get_query_embedding("a")
    model.get_text_embedding_batch(["a", "b"])
    await model.aget_query_embedding("a")
    await model.aget_text_embedding_batch(["a", "b"])
    assert [r.headers.get("x-scale-up-timeout") for r in stub.requests] == ["600"] * 4
    assert all("scale_up_timeout" not in body for body in stub.bodies)
    plain = make(stub)
    plain.get_query_embedding("a")
    assert "x-scale-up-timeout" not in stub.requests[-1].headers
    assert model.to_dict() == plain.to_dict()  # it changes no vector
    with pytest.raises(ValidationError, match="scale_up_timeout"):
        make(stub, scale_up_timeout=0)
