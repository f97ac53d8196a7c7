"""The clients with ``local=``: the same interface, no socket, no token."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest

from shared_core import (
    AsyncRouterClient,
    Callback,
    ChatMessage,
    ErrorEvent,
    ImagePart,
    InvalidSettingError,
    LocalModelError,
    LocalModels,
    ModelNotFoundError,
    RouterClient,
    UnsupportedFeatureError,
)

PROMPT = "The dome opens at dusk. Soup is served on Mondays. When does the dome open?"
ANSWER = "The dome opens at dusk."


def test_chat_has_the_metadata_of_an_answer() -> None:
    with RouterClient(local=True) as client:
        answer = client.chat.create(PROMPT)
    assert answer.text == ANSWER
    assert answer.model == "local/extractive-reader"
    assert answer.system_fingerprint == "local"
    assert answer.provider == "local"
    assert answer.request_id
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 6


def test_a_stream_gives_words_and_the_same_answer() -> None:
    with RouterClient(local=True) as client, client.chat.stream(PROMPT, include_usage=True) as s:
        pieces = [chunk.text for chunk in s if chunk.text]
        answer = s.result()
    assert pieces == ["The", " dome", " opens", " at", " dusk."]
    assert answer.text == ANSWER
    assert answer.finish_reason == "stop"
    assert answer.usage is not None


def test_leaving_a_stream_early_is_fine() -> None:
    with RouterClient(local=True) as client:
        with client.chat.stream(PROMPT) as stream:
            for _ in stream:
                break
        assert client.chat.create(PROMPT).text == ANSWER


@pytest.mark.anyio
async def test_the_async_client_does_the_same() -> None:
    async with AsyncRouterClient(local=True) as client:
        assert (await client.chat.create(PROMPT)).text == ANSWER
        async with client.chat.stream(PROMPT) as stream:
            text = "".join([chunk.text async for chunk in stream])
        assert text == ANSWER
        result = await client.embeddings.create(["a cat", "a dog"], concurrency=2, batch_size=1)
        assert result.vectors.shape == (2, 384)


@pytest.mark.parametrize("base_url", [None, "http://127.0.0.1:9/v1", "http://127.0.0.1:9/embed"])
def test_embeddings_in_every_dialect(base_url: str | None) -> None:
    texts = ["a cat", "a feline", "the stock market"]
    with RouterClient(local=True, base_url=base_url) as client:
        result = client.embeddings.create(texts)
        one = client.embeddings.embed_one("a cat")
    assert result.vectors.dtype == np.float32
    assert np.allclose(result.vectors[0], one, atol=1e-6)
    assert result.vectors[0] @ result.vectors[1] > result.vectors[0] @ result.vectors[2] + 0.2
    assert result.provider == "local"


def test_the_model_list_is_that_of_this_process() -> None:
    with RouterClient(local=True) as client:
        models = {model.id: model for model in client.models.list()}
        assert set(models) == {"local/extractive-reader", "local/all-MiniLM-L6-v2"}
        assert not models["local/extractive-reader"].supports_tools
        assert client.models.get("local/extractive-reader").is_free


def _refused(client: RouterClient, **params: Any) -> str:
    with pytest.raises(UnsupportedFeatureError) as caught:
        client.chat.create(params.pop("messages", PROMPT), **params)
    assert caught.value.operation == "chat"
    return str(caught.value)


def test_what_it_cannot_do_is_said_by_name() -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        return city

    with RouterClient(local=True) as client:
        assert "tools" in _refused(client, tools=[weather])
        assert "JSON" in _refused(client, response_format={"type": "json_object"})
        picture = ChatMessage("user", [ImagePart(b"\x89PNG\r\n\x1a\n" + b"0" * 30)])
        assert "image_url" in _refused(client, messages=[picture])
        with pytest.raises(ModelNotFoundError, match="no model 'openai/gpt-oss-20b'"):
            client.chat.create(PROMPT, model="openai/gpt-oss-20b")
        with pytest.raises(ModelNotFoundError):
            client.embeddings.create(["a"], model="BAAI/bge-m3")
        with pytest.raises(UnsupportedFeatureError, match="Local mode cannot do this"):
            client.models.info("openai/gpt-oss-20b")


def test_callbacks_hear_of_answers_and_refusals() -> None:
    heard: list[Any] = []

    class Listener(Callback):
        def on_request(self, event: Any) -> None:
            heard.append(event)

        def on_response(self, event: Any) -> None:
            heard.append(event)

        def on_error(self, event: ErrorEvent) -> None:
            heard.append(event)

    with RouterClient(local=True, callbacks=[Listener()]) as client:
        client.chat.create(PROMPT)
        with pytest.raises(UnsupportedFeatureError):
            client.chat.create(PROMPT, n=2)
    names = [type(event).__name__ for event in heard]
    assert names == ["RequestEvent", "ResponseEvent", "RequestEvent", "ErrorEvent"]


def test_a_missing_folder_is_an_error_at_the_first_call_that_needs_it() -> None:
    with RouterClient(local="/nowhere") as client, pytest.raises(LocalModelError, match="nowhere"):
        client.embeddings.create(["a"])
    with pytest.raises(InvalidSettingError, match="local"):
        RouterClient(local=3)  # type: ignore[arg-type]


def test_copies_and_pickles_stay_local() -> None:
    client = RouterClient(local=LocalModels(max_sentences=1))
    for twin in (copy.deepcopy(client), pickle.loads(pickle.dumps(client))):
        assert twin.chat.create(PROMPT).text == ANSWER
    assert "in this process" in repr(client)


def _child(queue: Any, client: RouterClient) -> None:
    queue.put(client.embeddings.embed_one("a cat"))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_forked_child_goes_on_with_the_loaded_model() -> None:
    client = RouterClient(local=True)
    vector = client.embeddings.embed_one("a cat")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue, client))
    child.start()
    assert np.allclose(queue.get(timeout=30), vector, atol=1e-6)
    child.join(timeout=30)
    assert child.exitcode == 0
