"""What a real llama.cpp server says about its models and our mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from shared_core import RouterClient, errors


def test_model_list_and_status(llama_chat_url: str, llama_embed_url: str) -> None:
    with RouterClient(base_url=f"{llama_chat_url}/v1") as client:
        (model,) = client.models.list()
        assert (model.id, model.context_length) == ("taught", 4096)
        assert client.models.get("taught").id == "taught"
        assert client.models.status("taught").state == "loaded"
        assert client.models.status("other/model").state == "unavailable"
    with RouterClient(base_url=f"{llama_embed_url}/v1") as client:
        assert client.models.get("minilm").context_length == 512


def image(data: str) -> dict[str, Any]:
    url = f"data:image/png;base64,{data}"
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


@pytest.mark.parametrize(
    ("messages", "body", "kind", "words"),
    [
        ("hello " * 20_000, {}, errors.ContextLengthError, "context size"),
        ([image("AAAA")], {}, errors.UnsupportedFeatureError, "image input"),
        ("hi", {"tools": "x"}, errors.BadRequestError, "Failed to parse tools"),
    ],
    ids=["too long", "image", "tools"],
)
def test_mistakes_are_final_and_of_their_kind(
    llama_chat_url: str, messages: Any, body: dict[str, Any], kind: type, words: str
) -> None:
    with RouterClient("taught", base_url=f"{llama_chat_url}/v1") as client:
        with pytest.raises(errors.RouterError) as caught:
            client.chat.create(messages, max_tokens=5, extra_body=body)
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert not caught.value.retryable


def test_wrong_kind_of_model(llama_chat_url: str, llama_embed_url: str) -> None:
    with RouterClient("minilm", base_url=f"{llama_embed_url}/v1") as client:
        with pytest.raises(errors.NotChatModelError):
            client.chat.create("hi", max_tokens=5)
        with pytest.raises(errors.ContextLengthError, match="too large"):
            client.embeddings.create("word " * 3000, model="minilm")
    with RouterClient(base_url=f"{llama_chat_url}/v1") as client:
        with pytest.raises(errors.NotImplementedByServerError, match="does not support embeddings"):
            client.embeddings.create("hi", model="taught")
