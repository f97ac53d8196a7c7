"""Structured output in the form of each kind of server, and holding a request while it starts."""

from __future__ import annotations

from typing import Any

import pytest

from shared_core import (
    InvalidSettingError,
    RouterClient,
    UnprocessableEntityError,
    parse_json_text,
)
from tests.helpers.fault_server import FaultServer, json_reply, text_reply

SCHEMA = {
    "title": "City",
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris"]}},
    "required": ["city"],
    "additionalProperties": False,
}
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}]}
OPENAI = {"type": "json_schema", "json_schema": {"name": "City", "schema": SCHEMA}}


@pytest.mark.parametrize(
    ("dialect", "wanted", "sent"),
    [
        (None, SCHEMA, OPENAI),
        ("openai", SCHEMA, OPENAI),
        ("tgi", SCHEMA, {"type": "json_object", "value": SCHEMA}),
        ("tgi", "json_object", {"type": "json_object", "value": {"type": "object"}}),
        ("tgi", {"type": "regex", "value": "a+"}, {"type": "regex", "value": "a+"}),
        ("tgi", "text", None),
        ("tgi", None, None),
        ("llama.cpp", SCHEMA, {"type": "json_object", "schema": SCHEMA}),
        ("llama.cpp", "json_object", {"type": "json_object"}),
        (
            "llama.cpp",
            {"type": "json_schema", "schema": SCHEMA},
            {"type": "json_object", "schema": SCHEMA},
        ),
    ],
)
def test_form(dialect: str | None, wanted: Any, sent: Any) -> None:
    with FaultServer() as server:
        server.on("/v1/chat/completions", json_reply(ANSWER))
        with RouterClient("m", api_key="x", base_url=server.url) as client:
            client.chat.create("Hi", response_format=wanted, dialect=dialect)
        assert server.requests[0].json().get("response_format") == sent


def test_unknown_dialect() -> None:
    with RouterClient("m", base_url="http://127.0.0.1:9/v1") as client:
        with pytest.raises(InvalidSettingError, match="dialect"):
            client.chat.create("Hi", dialect="latin")


@pytest.mark.parametrize("value", [0, "5", -1, 1e9])
def test_scale_up_timeout_is_checked(value: Any) -> None:
    with RouterClient("m", base_url="http://127.0.0.1:9/v1") as client:
        with pytest.raises(InvalidSettingError, match="scale_up_timeout"):
            client.chat.create("Hi", scale_up_timeout=value)


def test_real_server_enforces_the_schema(llama_chat_url: str) -> None:
    with RouterClient("taught", api_key="x", base_url=f"{llama_chat_url}/v1") as client:
        info = client.servers.detect()
        answer = client.chat.create(
            "What is the capital of France?",
            response_format=SCHEMA,
            dialect=info.dialect,
            max_tokens=60,
            temperature=0,
        )
    assert parse_json_text(answer.text) == {"city": "Paris"}


def test_refusal_of_a_tgi_server_names_the_dialect() -> None:
    with FaultServer() as server:
        body = "Failed to deserialize the JSON body: response_format: missing field `value`"
        server.on("/v1/chat/completions", text_reply(body, 422))
        with RouterClient("m", api_key="x", base_url=server.url) as client:
            with pytest.raises(UnprocessableEntityError, match="dialect='tgi'"):
                client.chat.create("Hi", response_format=SCHEMA)
