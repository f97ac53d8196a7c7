"""Rules for streams, and for event loops; see README.md."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from llama_index.core.callbacks.token_counting import get_tokens_from_response

from tests.helpers.fault_server import Fin, sse
from tests.llama_index.conformance.base import (
    HELLO,
    USAGE,
    Conformance,
    collect,
    run,
)
from tests.llama_index.stub_server import StubRouter, chunk, say


class StreamRules(Conformance):
    """Subclass and implement ``make``."""

    @pytest.mark.rule("empty-choices", "line-separators")
    def test_empty_choices_and_separators(self, model: Any, stub: StubRouter) -> None:
        """Chunks without choices, and U+2028, do not break a stream."""
        odd = {**chunk({}), "choices": []}
        stub.chat(sse(odd, chunk({"content": "a\u2028b\u0085c"}), odd, chunk({}, "stop")))
        assert list(model.stream_chat(HELLO))[-1].message.content == "a\u2028b\u0085c"

    @pytest.mark.rule("cut-streams-raise")
    def test_cut_streams_raise(self, model: Any, stub: StubRouter) -> None:
        """A stream that ends without a finish reason is an error, and no RuntimeError."""
        stub.chat(say("Hel", finish=None, end=Fin()))
        with pytest.raises(Exception) as caught:
            list(model.stream_chat(HELLO))
        assert not isinstance(caught.value, RuntimeError)

    @pytest.mark.rule("last-chunks-are-kept", "client-stays-open")
    def test_async_streams_to_the_end(self, model: Any, stub: StubRouter) -> None:
        """Async streams keep text and usage that come with and after the finish reason."""
        last = [chunk({"content": "lo."}, "stop"), {**chunk({}), "choices": [], "usage": USAGE}]
        stub.chat(sse(chunk({"content": "Hel"}), *last))

        async def twice() -> list[list[Any]]:
            return [await collect(model.astream_chat(HELLO)) for _ in range(2)]

        for found in run(twice):
            assert found[-1].message.content == "Hello."
            assert get_tokens_from_response(found[-1]) == (11, 7)

    @pytest.mark.rule("early-break")
    def test_leaving_a_stream_closes_it(self, model: Any, stub: StubRouter) -> None:
        """Closing the generator closes the connection."""
        stub.chat(say(["w "] * 50, delay=0.02))
        opened = model.stream_chat(HELLO)
        next(opened)
        opened.close()
        del opened
        gc.collect()
        assert stub.wait_open(0)

    @pytest.mark.rule("new-loops")
    def test_new_loops(self, model: Any, stub: StubRouter) -> None:
        """One object serves one event loop after another."""
        stub.chat(say("Hello."))
        for _ in range(3):
            assert run(lambda: model.achat(HELLO)).message.content == "Hello."

    @pytest.mark.rule("sync-in-a-loop")
    def test_sync_inside_a_loop(self, model: Any, stub: StubRouter) -> None:
        """Sync calls work inside a running loop."""
        stub.chat(say("Hello."))

        async def main() -> str:
            return str(model.complete("x"))

        assert run(main) == "Hello."
