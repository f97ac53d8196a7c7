"""Parameters that a model does not know: left out on request, once, and remembered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shared_core import AsyncRouterClient, Failover, Resilience, RouterClient
from shared_core.errors import InvalidSettingError, UnsupportedParameterError
from tests.helpers.fault_server import FaultServer, json_reply

pytestmark = pytest.mark.anyio

KNOWN = json_reply([{"summary_text": "short"}])


def refusal(*names: str) -> Any:
    said = f"The following `model_kwargs` are not used by the model: {list(names)} (note: typos"
    return json_reply({"error": said, "warnings": []}, 400)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


async def test_nested_parameters_for_asyncio(server: FaultServer) -> None:
    server.script("*", refusal("top_k", "nonsense"), KNOWN)
    async with AsyncRouterClient(api_key="hf_t", base_url=server.url, model="a/b") as client:
        found = await client.tasks.summarization(
            "a text",
            truncation="only_first",
            generate_parameters={"top_k": 3},
            drop_unsupported=True,
        )
    assert found.text == "short"
    assert [request.json().get("parameters") for request in server.requests] == [
        {"truncation": "only_first", "generate_parameters": {"top_k": 3}},
        {"truncation": "only_first"},
    ]


@pytest.mark.parametrize("names", [(), ("something_else",)])
def test_a_refusal_that_names_nothing_of_ours_is_raised(
    server: FaultServer, names: tuple[str, ...]
) -> None:
    server.on("*", refusal(*names))
    with RouterClient(api_key="hf_t", base_url=server.url, model="a/b") as client:
        with pytest.raises(UnsupportedParameterError):
            client.tasks.summarization("t", truncation="only_first", drop_unsupported=True)
    assert len(server.requests) == 1


def test_it_is_asked_once_more_and_no_longer(server: FaultServer) -> None:
    server.script("*", refusal("truncation"), refusal("clean_up_tokenization_spaces"), KNOWN)
    with RouterClient(api_key="hf_t", base_url=server.url, model="a/b") as client:
        with pytest.raises(UnsupportedParameterError):
            client.tasks.summarization(
                "t",
                truncation="only_first",
                clean_up_tokenization_spaces=True,
                drop_unsupported=True,
            )
        with pytest.raises(InvalidSettingError, match="drop_unsupported"):
            client.tasks.summarization("t", drop_unsupported=1)  # type: ignore[arg-type]
    assert len(server.requests) == 2


@pytest.mark.parametrize("kind", [RouterClient, AsyncRouterClient])
def test_streams_do_not_take_it(server: FaultServer, kind: Any) -> None:
    tasks = kind(api_key="hf_t", base_url=server.url, model="a/b").tasks
    with pytest.raises(InvalidSettingError, match="drop_unsupported"):
        tasks.text_generation_stream("p", drop_unsupported=True)
    assert server.requests == []


def test_it_holds_where_failover_chooses(server: FaultServer) -> None:
    server.script("/hf-inference/models/a/b", refusal("truncation"), KNOWN)
    layers = Resilience(failover=Failover.providers("hf-inference", "together"))
    with RouterClient(
        api_key="hf_t", base_url=f"{server.url}/v1", model="a/b", resilience=layers
    ) as client:
        found = client.tasks.summarization("t", truncation="only_first", drop_unsupported=True)
    assert (found.text, found.endpoint) == ("short", "hf-inference")
    assert [request.json().get("parameters") for request in server.requests] == [
        {"truncation": "only_first"},
        None,
    ]
