"""Streamed text generation: TGI's events, and everything that can go wrong with them."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core import (
    AsyncRouterClient,
    Callback,
    CallEndEvent,
    GenerationChunk,
    RouterClient,
    TextStream,
    Token,
)
from shared_core.config.settings import Settings
from shared_core.core import Core
from shared_core.errors import (
    APIResponseValidationError,
    APIStatusError,
    RouterError,
    StreamEventError,
    StreamInterruptedError,
    StreamTimeoutError,
    UnprocessableEntityError,
    UnsupportedTaskError,
)
from shared_core.tasks.stream_state import StreamState
from shared_core.wire.messages import Headers, WireRequest, WireResponse
from tests.helpers.fault_server import (
    FaultServer,
    Fin,
    Hang,
    Rst,
    json_reply,
    sse,
    sse_bytes,
)

pytestmark = pytest.mark.anyio

DETAILS = {"finish_reason": "length", "generated_tokens": 2, "seed": None, "input_length": 1}


def event(index: int, text: str, whole: str | None = None, *, special: bool = False) -> Any:
    return {
        "index": index,
        "token": {"id": 10 + index, "text": text, "logprob": -0.5, "special": special},
        "generated_text": whole,
        "details": DETAILS if whole is not None else None,
    }


WHOLE = (event(1, " a"), event(2, "</s>", special=True), event(3, " b", " a b"))


def state_of() -> StreamState:
    core = Core(Settings.resolve(api_key="hf_t", env={}))
    answer = WireResponse(status=200, headers=Headers(), content=b"", url="http://a.test")
    return StreamState(core, WireRequest(url="http://a.test"), answer)


def drained(state: StreamState, packets: list[bytes]) -> tuple[str, type[Exception] | None]:
    for packet in (*packets, None):
        if not state.over:
            state.packet(packet)
    while state.take():
        pass
    return state.text, type(state.error) if state.error else None


EVENTS = st.lists(
    st.sampled_from(
        [
            b'data:{"token":{"id":1,"text":"\xe2\x80\xa8a"}}\n\n',
            b'data: {"token":{"id":1,"text":"b"},"generated_text":"all"}\r\n\r\n',
            b": comment\n\n",
            b'data: {"error":"broke"}\n\n',
            b"data: [DONE]\n\n",
            b"event: x\ndata: {}\n\n",
        ]
    )
    | st.binary(max_size=12),
    max_size=5,
)


@given(EVENTS, st.lists(st.integers(0, 200), max_size=6))
def test_cuts_do_not_matter_and_only_our_errors_come_out(
    events: list[bytes], cuts: list[int]
) -> None:
    whole = b"".join(events)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    once, cut = drained(state_of(), [whole]), drained(state_of(), pieces)
    assert once == cut
    assert once[1] is None or issubclass(once[1], RouterError)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.on("*", sse(*WHOLE, done=False))
        yield server


@pytest.fixture
def client(server: FaultServer) -> Iterator[RouterClient]:
    with RouterClient(api_key="hf_t", base_url=server.url) as client:
        yield client


def test_tokens_arrive_one_by_one(server: FaultServer, client: RouterClient) -> None:
    with client.tasks.text_generation_stream("p", details=True, model="a/b") as stream:
        chunks = list(stream)
    assert [chunk.text for chunk in chunks] == [" a", "", " b"]
    assert chunks[1].token == Token(12, "</s>", -0.5, True)
    assert stream.text == " a b"
    result = stream.result()
    assert result.text == " a b"
    assert result.details is not None
    assert result.details.finish_reason == "length"
    assert server.requests[0].json() == {
        "inputs": "p",
        "parameters": {"details": True},
        "stream": True,
    }
    assert server.requests[0].headers["accept"].startswith("text/event-stream")


async def test_tokens_arrive_for_asyncio(server: FaultServer) -> None:
    async with AsyncRouterClient(api_key="hf_t", base_url=server.url) as client:
        stream = await client.tasks.text_generation_stream("p", model="a/b")
        assert [text async for text in stream.text_deltas()] == [" a", " b"]
        async with client.tasks.text_generation_stream("p", model="a/b") as other:
            assert (await other.result()).text == " a b"


@pytest.mark.parametrize(
    "pieces",
    [
        [b'data:{"token":{"id":1,"text":"x"},"generated_text":"x"}'],  # no blank line at the end
        [b": comment\n\n", b'data: {"token":{"id":1,"text":"x"}}\n\ndata: [DONE]\n\n'],
        [
            bytes([byte])
            for byte in b'data:{"token":{"id":1,"text":"x"},"generated_text":"x"}\r\n\r\n'
        ],
    ],
)
def test_ends_of_several_servers(
    server: FaultServer, client: RouterClient, pieces: list[bytes]
) -> None:
    server.on("*", sse_bytes(*pieces))
    assert client.tasks.text_generation_stream("p", model="a/b").result().text == "x"


def test_the_connection_is_used_again(server: FaultServer, client: RouterClient) -> None:
    for _ in range(3):
        client.tasks.text_generation_stream("p", model="a/b").result()
    assert server.accepted == 1


def test_leaving_early_releases_the_connection(server: FaultServer, client: RouterClient) -> None:
    server.on("*", sse(event(1, "x"), done=False, end=Hang()))
    with client.tasks.text_generation_stream("p", model="a/b") as stream:
        assert next(stream).text == "x"
    assert list(stream) == []
    with pytest.raises(StreamInterruptedError, match="closed"):
        stream.result()
    stream.close()
    dropped = client.tasks.text_generation_stream("p", model="a/b")
    next(dropped)
    del dropped
    gc.collect()
    assert server.wait_open(0, 5)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (sse(event(1, "x"), done=False), StreamInterruptedError),
        (sse(event(1, "x"), done=False, end=Fin()), StreamInterruptedError),
        (sse(event(1, "x"), done=False, end=Rst()), StreamInterruptedError),
        (sse(event(1, "x"), {"error": "broke", "error_type": "generation"}), StreamEventError),
        (sse(event(1, "x"), "not json"), APIResponseValidationError),
        (sse(event(1, "x"), {"token": {"id": "?"}}), APIResponseValidationError),
        (sse(event(1, "x"), [1]), APIResponseValidationError),
    ],
)
async def test_what_goes_wrong(server: FaultServer, answer: Any, kind: type[Exception]) -> None:
    server.on("*", answer)
    options: dict[str, Any] = {"api_key": "hf_t", "base_url": server.url}
    with RouterClient(**options) as client:
        stream = client.tasks.text_generation_stream("p", model="a/b")
        seen: list[GenerationChunk] = []
        with pytest.raises(kind):
            seen.extend(stream)
        assert stream.text == "x"
        with pytest.raises(kind):
            stream.result()
    async with AsyncRouterClient(**options) as other:
        astream = await other.tasks.text_generation_stream("p", model="a/b")
        with pytest.raises(kind):
            [chunk async for chunk in astream]
        assert astream.text == "x"


def test_silence_ends_at_the_timeout(server: FaultServer, client: RouterClient) -> None:
    server.on("*", sse(event(1, "x"), done=False, end=Hang()))
    stream = client.tasks.text_generation_stream("p", model="a/b", timeout=0.3)
    with pytest.raises(StreamTimeoutError):
        list(stream)


def test_an_event_that_is_too_large(server: FaultServer) -> None:
    from shared_core import Limits

    server.on("*", sse(event(1, "x" * 5000, "x")))
    limits = Limits(max_event_bytes=1000)
    with RouterClient(api_key="hf_t", base_url=server.url, limits=limits) as client:
        with pytest.raises(APIResponseValidationError, match="exceeds 1000 bytes"):
            list(client.tasks.text_generation_stream("p", model="a/b"))


def test_an_error_instead_of_a_stream(server: FaultServer, client: RouterClient) -> None:
    server.on("*", json_reply({"error": "too long", "error_type": "validation"}, 422))
    with pytest.raises(UnprocessableEntityError):
        client.tasks.text_generation_stream("p", model="a/b")
    server.on("*", json_reply({"error": "it broke"}))
    with pytest.raises(APIStatusError):
        client.tasks.text_generation_stream("p", model="a/b")


def test_a_whole_answer_instead_of_a_stream(server: FaultServer, client: RouterClient) -> None:
    server.on("*", json_reply([{"generated_text": "all at once"}]))
    stream = client.tasks.text_generation_stream("p", model="a/b")
    assert [chunk.text for chunk in stream] == ["all at once"]
    assert stream.result().text == "all at once"
    server.on("*", json_reply([{"text": "?"}]))
    with pytest.raises(APIResponseValidationError, match="generated_text is missing"):
        client.tasks.text_generation_stream("p", model="a/b")


def test_providers_without_completions_stream_by_chat(client: RouterClient) -> None:
    with pytest.raises(UnsupportedTaskError, match="groq"):
        client.tasks.text_generation_stream("p", model="a/b", provider="groq", provider_id="m")


class Ends(Callback):
    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def on_call_end(self, event: CallEndEvent) -> None:
        self.outcomes.append(event.outcome)


def test_callbacks_are_told_how_it_ended(server: FaultServer, client: RouterClient) -> None:
    ends = Ends()

    def stream() -> TextStream:
        return client.tasks.text_generation_stream("p", model="a/b", callbacks=[ends])

    stream().result()
    server.on("*", sse(event(1, "x"), done=False, end=Hang()))
    with stream() as left:
        next(left)
    server.on("*", sse(event(1, "x"), done=False, end=Fin()))
    with pytest.raises(StreamInterruptedError):
        stream().result()
    server.on("*", json_reply([{"generated_text": "all at once"}]))
    assert stream().partial.text == ""
    assert ends.outcomes == ["ok", "abandoned", "error", "ok"]


def test_what_arrived_so_far(client: RouterClient) -> None:
    stream = client.tasks.text_generation_stream("p", model="a/b")
    next(stream)
    assert stream.partial.text == " a"
    stream.result()
    assert stream.partial.details is not None
