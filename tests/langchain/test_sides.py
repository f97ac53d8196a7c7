"""What answers hold besides text: sound and annotations, whole, streamed and sent back."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from tests.langchain.conftest import WAV_BASE64
from tests.langchain.script import added, event, model_of, serving, stream, whole

pytestmark = pytest.mark.anyio
SOUND = {"id": "audio_1", "data": WAV_BASE64, "transcript": "Hello.", "expires_at": 5}
NOTE = {
    "type": "url_citation",
    "url_citation": {"url": "https://example.org", "title": "E", "start_index": 0, "end_index": 2},
}
BLOCK = {
    "type": "audio",
    "base64": WAV_BASE64,
    "mime_type": "audio/wav",
    "id": "audio_1",
    "extras": {"transcript": "Hello."},
}


def pieces() -> list[Any]:
    data = base64.b64decode(WAV_BASE64)
    cut = [base64.b64encode(part).decode() for part in (data[:10], data[10:])]
    return [
        event({"audio": {"id": "audio_1", "transcript": "Hel", "data": cut[0]}}),
        event({"audio": {"transcript": "lo.", "data": cut[1], "expires_at": 5}}),
        event({}, "stop"),
    ]


@pytest.mark.rule("sound-and-citations")
async def test_sound_of_a_whole_answer() -> None:
    with serving(whole(None, audio=SOUND, annotations=[])) as server:
        model = model_of(server)
        for answer in (model.invoke("x"), await model.ainvoke("x")):
            assert answer.additional_kwargs == {"audio": SOUND}
            assert answer.content_blocks == [BLOCK]
        assert model_of(server, output_version="v1").invoke("x").content == [BLOCK]


@pytest.mark.rule("sound-and-citations")
async def test_sound_of_a_stream() -> None:
    with serving(stream(*pieces())) as server:
        model = model_of(server)
        chunks = list(model.stream("x"))
        total = added([chunk for chunk in chunks if isinstance(chunk, AIMessageChunk)])
        assert total.additional_kwargs == {"audio": SOUND}
        assert total.content_blocks == [BLOCK]
        others = [chunk async for chunk in model.astream("x")]
        assert added(others).additional_kwargs == {"audio": SOUND}


@pytest.mark.rule("sound-and-citations")
def test_annotations_are_citations_of_the_text() -> None:
    with serving(whole("Hi.", annotations=[NOTE])) as server:
        answer = model_of(server).invoke("x")
    assert answer.additional_kwargs == {"annotations": [NOTE]}
    citation = {"type": "citation", **NOTE["url_citation"]}  # type: ignore[dict-item]
    assert answer.content_blocks == [{"type": "text", "text": "Hi.", "annotations": [citation]}]


@pytest.mark.rule("sound-and-citations")
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_a_model_reads_what_it_said_aloud(version: Any) -> None:
    with serving(whole(None, audio=SOUND, annotations=[NOTE], weird={"a": 1})) as server:
        model = model_of(server, output_version=version)
        answer = model.invoke("x")
        model.invoke([HumanMessage("x"), answer, HumanMessage("Again.")])
        sent = server.requests[-1].json()["messages"][1]
    assert isinstance(answer, AIMessage)
    assert sent == {"role": "assistant", "content": "Hello."}
