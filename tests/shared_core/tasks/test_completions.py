"""Text completion in OpenAI's form on a server of one's own, whole and streamed."""

from __future__ import annotations

import pytest

import shared_core
from shared_core import AsyncRouterClient, RouterClient
from tests.helpers.fault_server import FaultServer, json_reply, sse

pytestmark = pytest.mark.anyio
PATH = "/v1/completions"


def piece(text: str, reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "text": text, "finish_reason": reason}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


def client(server: FaultServer, path: str = "/v1") -> RouterClient:
    return RouterClient("org/m", base_url=server.url + path, api_key="t")


@pytest.mark.parametrize("path", ["/v1", "/v1/", PATH])
def test_whole(path: str) -> None:
    answer = {**piece(" you.", "stop"), "usage": {"completion_tokens": 2}}
    with FaultServer() as server:
        server.on(PATH, json_reply(answer))
        found = client(server, path).tasks.text_generation(
            "Thank", max_new_tokens=5, temperature=0, stop=["\n"], extra_body={"min_p": 0.1}
        )
        body = server.requests[0].json()
    assert (found.text, found.details and found.details.finish_reason) == (" you.", "stop")
    assert body == {
        "model": "org/m",
        "prompt": "Thank",
        "max_tokens": 5,
        "temperature": 0,
        "stop": ["\n"],
        "min_p": 0.1,
    }


@pytest.mark.parametrize("done", [True, False])
async def test_streamed(done: bool) -> None:
    events = [piece(" thank"), piece(" you"), piece("", "stop"), USAGE]
    with FaultServer() as server:
        server.on(PATH, sse(*events, done=done))
        with client(server).tasks.text_generation_stream("I") as stream:
            assert [chunk.text for chunk in stream] == [" thank", " you", ""]
            result = stream.result()
        assert server.requests[0].json()["stream"] is True
        async with AsyncRouterClient("org/m", base_url=f"{server.url}/v1", api_key="t") as other:
            async with other.tasks.text_generation_stream("I") as pieces:
                again = await pieces.result()
    assert (result.text, result.details and result.details.finish_reason) == (" thank you", "stop")
    assert again.text == " thank you"


def test_a_stream_that_breaks_off_is_an_error() -> None:
    with FaultServer() as server:
        server.on(PATH, sse(piece(" thank"), done=False))
        stream = client(server).tasks.text_generation_stream("I")
        assert next(stream).text == " thank"
        with pytest.raises(shared_core.StreamInterruptedError):
            next(stream)


def test_a_real_server(llama_chat_url: str) -> None:
    own = RouterClient("taught", base_url=f"{llama_chat_url}/v1", api_key="t")
    found = own.tasks.text_generation("The capital of France is", max_new_tokens=4)
    with own.tasks.text_generation_stream(
        "The capital of France is", max_new_tokens=4, temperature=0
    ) as stream:
        pieces = list(stream.text_deltas())
    assert found.details is not None
    assert found.details.finish_reason in ("length", "stop")
    assert pieces


def test_providers_stream_in_that_form_too() -> None:
    with FaultServer() as server:
        server.on("/together/v1/completions", sse(piece(" thank"), piece(" you", "stop")))
        own = RouterClient("org/m", base_url=server.url, api_key="hf_t", provider="together")
        stream = own.tasks.text_generation_stream("I", max_new_tokens=2, provider_id="their/m")
        assert list(stream.text_deltas()) == [" thank", " you"]
        assert server.requests[0].json() == {
            "model": "their/m",
            "prompt": "I",
            "max_tokens": 2,
            "stream": True,
        }
        with pytest.raises(shared_core.UnsupportedTaskError, match="text-generation"):
            own.tasks.text_generation_stream("I", provider="groq", provider_id="m")
