"""Connections: how they fail, when a call is repeated, and what is left of them afterwards."""

from __future__ import annotations

import asyncio
import email.utils
import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core import exceptions as lc

import shared_core
from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from tests.helpers.fault_server import (
    Certificates,
    FaultServer,
    Fin,
    Hang,
    Received,
    Reply,
    hang,
    json_reply,
)
from tests.langchain.script import CHAT, HEADERS, added, event, model_of, serving, stream, whole
from tests.langchain.stub_server import EMBED, vector

pytestmark = pytest.mark.anyio

BUSY = {"error": {"message": "slow down", "code": 429}}


@pytest.mark.rule("connection-errors")
async def test_names_that_do_not_resolve() -> None:
    model = ChatHFRouter(model="a/b", base_url="http://nobody.invalid/v1", api_key="t")
    with pytest.raises(lc.ModelConnectionError) as caught:
        model.invoke("x")
    assert isinstance(caught.value, shared_core.NameResolutionError)
    with pytest.raises(lc.ModelConnectionError):
        await model.ainvoke("x")


@pytest.mark.rule("connection-errors")
async def test_certificates_that_nobody_knows(tmp_path: Path) -> None:
    certificates = Certificates()
    with FaultServer(tls=certificates.server()) as server:
        server.on(CHAT, whole())
        address = f"{server.origin}/v1"
        model = ChatHFRouter(model="a/b", base_url=address, api_key="t")
        with pytest.raises(lc.ModelConnectionError) as caught:
            model.invoke("x")
        assert isinstance(caught.value, shared_core.TLSError)
        with pytest.raises(lc.ModelConnectionError):
            await model.ainvoke("x")
        tls = shared_core.TLSSettings(ca_file=certificates.ca_file(tmp_path))
        assert model.model_copy(update={"tls": tls}).invoke("x").text == "Hi."


@pytest.mark.rule("timeouts")
@pytest.mark.parametrize("timeout", [0.2, httpx.Timeout(0.2), httpx.Timeout(60, read=0.2)])
@pytest.mark.parametrize("where", ["model", "call"])
async def test_timeouts_of_all_four_calls(timeout: Any, where: str) -> None:
    with serving(hang()) as server:
        model = model_of(server, **({"timeout": timeout} if where == "model" else {}))
        call: dict[str, Any] = {"timeout": timeout} if where == "call" else {}
        with pytest.raises(lc.ModelTimeoutError):
            model.invoke("x", **call)
        with pytest.raises(lc.ModelTimeoutError):
            list(model.stream("x", **call))
        with pytest.raises(lc.ModelTimeoutError):
            await model.ainvoke("x", **call)
        with pytest.raises(lc.ModelTimeoutError):
            _ = [chunk async for chunk in model.astream("x", **call)]
        assert len(server.requests) == 4


@pytest.mark.rule("retry-after")
@pytest.mark.parametrize("kind", ["seconds", "date"])
async def test_retry_after_is_heeded(kind: str) -> None:
    def busy(request: Received) -> Reply:
        # A date has whole seconds: two of them are at least one.
        date = email.utils.formatdate(time.time() + 2, usegmt=True)
        return json_reply(BUSY, 429, {"retry-after": "1" if kind == "seconds" else date})

    with serving(busy, whole(), busy, whole()) as server:
        model = model_of(server, max_retries=1)
        started = time.monotonic()
        assert model.invoke("x").text == "Hi."
        assert (await model.ainvoke("x")).text == "Hi."
        assert 1.9 < time.monotonic() - started < 15
        assert len(server.requests) == 4


@pytest.mark.rule("no-retry-by-default")
async def test_retries_are_counted_on_all_four_calls() -> None:
    busy = json_reply(BUSY, 429, {"retry-after": "0"})
    for retries in (None, 0, 2):
        given = {} if retries is None else {"max_retries": retries}
        with serving(busy) as server:
            model = model_of(server, **given)
            with pytest.raises(lc.ModelRateLimitError):
                model.invoke("x")
            with pytest.raises(lc.ModelRateLimitError):
                list(model.stream("x"))
            with pytest.raises(lc.ModelRateLimitError):
                await model.ainvoke("x")
            with pytest.raises(lc.ModelRateLimitError):
                _ = [chunk async for chunk in model.astream("x")]
            assert len(server.requests) == 4 * ((retries or 0) + 1)


@pytest.mark.rule("no-retry-after-first-token")
async def test_a_stream_that_has_begun_is_not_repeated() -> None:
    cut = stream(event({"content": "Hel"}), done=False, end=Fin())
    failed = stream(event({"content": "Hel"}), {"error": {"message": "busy", "code": 503}})
    for reply in (cut, failed):
        with serving(reply) as server:
            model = model_of(server, max_retries=3)
            with pytest.raises(lc.ModelError):
                list(model.stream("x"))
            with pytest.raises(lc.ModelError):
                _ = [chunk async for chunk in model.astream("x")]
            assert len(server.requests) == 2


@pytest.mark.rule("sse-dialects")
def test_comments_and_a_missing_end_mark() -> None:
    pieces = [b": wait\n\n", event({"content": "Hi"}), b": wait\n\n", event({}, "stop")]
    with serving(stream(*pieces, done=False)) as server:
        assert added(list(model_of(server).stream("x"))).text == "Hi"


@pytest.mark.rule("early-break-closes")
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("how", ["forgotten", "cancelled", "events"])
async def test_streams_that_are_left_close_their_connection(how: str) -> None:
    with serving(stream(event({"content": "Hel"}), end=Hang())) as server:
        model = model_of(server)

        async def leave() -> None:
            async for _ in model.astream("x"):
                if how == "forgotten":
                    return

        if how == "events":
            opened: Any = model.stream_events("x", version="v3")
            assert next(iter(opened.text)) == "Hel"
            del opened
        elif how == "cancelled":
            task = asyncio.create_task(leave())
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await leave()
        gc.collect()
        await asyncio.sleep(0.05)
        assert server.wait_open(0)


@pytest.mark.rule("event-loops")
def test_one_object_serves_loops_of_several_threads() -> None:
    texts: list[str] = []
    with serving(whole()) as server:
        model = model_of(server)

        async def use() -> None:
            answers = await asyncio.gather(*(model.ainvoke("x") for _ in range(5)))
            texts.extend(answer.text for answer in answers)
            texts.append(model.invoke("x").text)

        threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert texts == ["Hi."] * 24


@pytest.mark.rule("connections")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what gc looks at
def test_no_answer_is_held_after_its_call() -> None:
    def alive() -> int:
        gc.collect()
        kinds = (httpx.Response, shared_core.ChatCompletion)
        return sum(issubclass(type(each), kinds) for each in gc.get_objects())

    with serving(whole()) as server:
        model = model_of(server)
        model.invoke("x")
        before = alive()
        for _ in range(20):
            model.invoke("x")
        assert alive() <= before


# --- embeddings


class Slow:
    """Embeds, and counts how many requests are there at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, request: Received) -> Reply:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.05)
        with self._lock:
            self.now -= 1
        texts = request.json()["input"]
        data = [{"index": at, "embedding": vector(text)} for at, text in enumerate(texts)]
        return json_reply({"data": data[::-1]}, headers=HEADERS)


@pytest.fixture
def slow() -> Iterator[tuple[FaultServer, Slow]]:
    with FaultServer() as server:
        counting = Slow()
        server.on(EMBED, counting)
        yield server, counting


@pytest.mark.rule("bounded-concurrency", "vectors")
async def test_batches_at_once_are_bounded(slow: tuple[FaultServer, Slow]) -> None:
    server, counting = slow
    embeddings = HFRouterEmbeddings(
        model="m", base_url=f"{server.url}/v1", api_key="t", batch_size=2, concurrency=3
    )
    texts = [str(n) for n in range(20)]
    assert await embeddings.aembed_documents(texts) == [vector(text) for text in texts]
    assert counting.most in (2, 3)
    assert len(server.requests) == 10


@pytest.mark.rule("embedding-settings", "billing")
async def test_settings_of_embeddings_are_those_of_chat() -> None:
    with FaultServer() as server:
        server.on(EMBED, json_reply({"error": "busy"}, 503, {"retry-after": "0", **HEADERS}))
        embeddings = HFRouterEmbeddings(
            model="m",
            base_url=f"{server.url}/v1",
            api_key="t",
            max_retries=2,
            bill_to="acme",
            default_headers={"x-team": "blue"},
        )
        with pytest.raises(lc.ModelAPIError) as caught:
            await embeddings.aembed_query("x")
        error: Any = caught.value
        assert (error.request_id, error.response.status_code) == ("req-7", 503)
        assert len(server.requests) == 3
        headers = server.requests[0].headers
        assert (headers["x-hf-bill-to"], headers["x-team"]) == ("acme", "blue")
        server.on(EMBED, hang())
        late = embeddings.model_copy(update={"timeout": 0.2, "max_retries": 0})
        with pytest.raises(lc.ModelTimeoutError):
            late.embed_documents(["x"])
