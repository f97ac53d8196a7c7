"""Cost of a streamed chunk through ``HFRouter``, by length of the stream.

Run ``python benchmarks/llama_index_stream.py``. Three numbers per length, in microseconds of
CPU per chunk: the assembly of responses alone, the same by validated models (what the
framework's own integrations do), and the whole way from a local server through the callback
decorator. Constant work means that a line does not grow with the length of the stream.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock

from llama_index_hfrouter import HFRouter
from llama_index_hfrouter._stream import Assembler
from shared_core import ChatChunk, ToolCallDelta
from tests.llama_index.stub_server import StubRouter, say

LENGTHS = (500, 2_000, 8_000)
PIECE = "word "


def per_chunk(run: Callable[[], Iterable[Any]], repeat: int = 3) -> float:
    best = float("inf")
    for _ in range(repeat):
        started = time.process_time()
        count = sum(1 for _ in run())
        best = min(best, (time.process_time() - started) / count)
    return best * 1e6


def assembled(chunks: list[ChatChunk]) -> Iterable[ChatResponse]:
    assembler = Assembler()
    return (assembler.add(chunk) for chunk in chunks)


def validated(chunks: list[ChatChunk]) -> Iterable[ChatResponse]:
    text = ""
    for chunk in chunks:
        text += chunk.text
        message = ChatMessage(
            role=MessageRole.ASSISTANT, blocks=[TextBlock(text=text)], additional_kwargs={}
        )
        yield ChatResponse(message=message, delta=chunk.text, raw=chunk.raw, additional_kwargs={})


def streamed(llm: HFRouter) -> Iterable[ChatResponse]:
    return llm.stream_chat([ChatMessage(role="user", content="x")])


def main() -> None:
    print(f"{'chunks':>8} {'text':>8} {'tool call':>10} {'validated':>10} {'whole way':>10}")
    for length in LENGTHS:
        chunks = [ChatChunk(text=PIECE, raw={"choices": []}) for _ in range(length)]
        calls = [ChatChunk(tool_calls=[ToolCallDelta(0, "a", "f", '{"text": "')])]
        calls += [ChatChunk(tool_calls=[ToolCallDelta(0, arguments=PIECE)]) for _ in range(length)]
        with StubRouter() as stub:
            stub.chat(say([PIECE] * length))
            llm = HFRouter("a/b", base_url=stub.base_url)
            whole = per_chunk(partial(streamed, llm))
        texts, tools = per_chunk(partial(assembled, chunks)), per_chunk(partial(assembled, calls))
        old = per_chunk(partial(validated, chunks))
        print(f"{length:>8} {texts:>8.1f} {tools:>10.1f} {old:>10.1f} {whole:>10.1f}")


if __name__ == "__main__":
    main()
