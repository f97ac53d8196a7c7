"""Whatever the Hub, the router or the control plane answers: a value of ours, or an error of ours.

Answers of the documented form with one place changed find more than random ones.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared_core.core import Core
from shared_core.endpoints import flows as endpoints
from shared_core.endpoints import inspection, market
from shared_core.errors import RouterError
from shared_core.flow import Flow
from shared_core.hub import facts, flows
from shared_core.providers import mapping
from shared_core.wire.messages import Headers, WireResponse
from tests.shared_core.endpoints.control import endpoint
from tests.shared_core.hub.test_facts import ENTRY
from tests.shared_core.providers.driving import Drive, core

OFFER = {
    "provider": "groq",
    "status": "live",
    "context_length": 8192,
    "pricing": {"input": 0.6, "output": 1.7},
    "supports_tools": True,
    "throughput": 88.4,
}
ROUTER_MODEL = {
    "id": "acme/big",
    "owned_by": "acme",
    "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
    "providers": [OFFER],
}
WHO = {
    "type": "user",
    "name": "ann",
    "orgs": [{"name": "acme", "canPay": True}],
    "auth": {
        "accessToken": {
            "role": "fineGrained",
            "fineGrained": {
                "global": ["discussion.write"],
                "scoped": [{"entity": {"name": "ann"}, "permissions": ["x"]}],
            },
        }
    },
}
TASKS = {"fill-mask": {"label": "Fill", "models": [{"id": "a/b"}], "libraries": ["transformers"]}}
PARTNER = {"text-to-image": {"a/b": {"providerId": "x", "status": "live", "tags": ["t"]}}}
HARDWARE = {
    "vendors": [
        {
            "name": "aws",
            "regions": [
                {
                    "name": "us-east-1",
                    "computes": [{"id": "x", "pricePerHour": 1, "quota": {"maxAccelerators": 1}}],
                }
            ],
        }
    ]
}
Make = Any


def permits(client: Core) -> Flow[Any]:
    who = yield from flows.whoami(client)
    return who.permits("inference.serverless.write")


def image(client: Core) -> Flow[Any]:
    info = yield from endpoints.read(client, "ann", "chat-a1")
    return info.image_settings, info.base_url, repr(info)


QUESTIONS: dict[str, tuple[Make, Any]] = {
    "model list": (
        lambda client: flows.list_models(client, max_age=None, now=lambda: 0.0),
        {"data": [ROUTER_MODEL]},
    ),
    "router model": (lambda client: flows.get_model(client, "acme/big"), ROUTER_MODEL),
    "hub model": (lambda client: flows.hub_model(client, "acme/chat-27b", ()), ENTRY),
    "card": (lambda client: facts.card(client, "acme/chat-27b", None), ENTRY),
    "whoami": (permits, WHO),
    "search": (lambda client: flows.search_page(client, "https://huggingface.co/x"), [ENTRY]),
    "tasks": (facts.tasks, TASKS),
    "partner": (lambda client: facts.partner(client, "fal-ai", "live"), PARTNER),
    "provider models": (lambda client: mapping.list_models(client, "fal-ai", "live"), PARTNER),
    "mapping": (lambda client: mapping.look_up(client, "acme/chat-27b"), ENTRY),
    "endpoint": (image, endpoint(private={"serviceName": "x"}, url="https://x.example")),
    "endpoints": (lambda client: endpoints.listed(client, "ann"), {"items": [endpoint()]}),
    "hardware": (lambda client: market.hardware(client, None), HARDWARE),
    "catalog": (market.catalog, {"models": ["a/b"]}),
    "replicas": (
        lambda client: inspection.replicas(client, "ann", "chat-a1"),
        {"items": [{"id": "r"}]},
    ),
}
ODD = st.sampled_from(
    [None, True, 7, -1.5, 1e400, 10**30, "", "x", "\ud800", [], [1], {}, {"a": 1}]
)


def changed(value: Any, data: st.DataObject) -> Any:
    if isinstance(value, dict) and value and data.draw(st.integers(0, 9)):
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: changed(value[name], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 9)):
        return [changed(value[0], data), *value[1:]]
    return copy.deepcopy(data.draw(ODD))


@pytest.mark.parametrize("name", QUESTIONS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_answers_with_one_odd_place(name: str, data: st.DataObject) -> None:
    question, good = QUESTIONS[name]
    body = json.dumps(changed(good, data)).encode("utf-8", "surrogatepass")
    headers = Headers({"content-type": "application/json"})
    answer = WireResponse(status=200, headers=headers, content=body, url="https://huggingface.co/x")
    try:
        Drive().run(question(core()), [answer] * 3)
    except RouterError as error:
        assert str(error)


@pytest.mark.parametrize("name", QUESTIONS)
def test_good_answers_are_understood(name: str) -> None:
    question, good = QUESTIONS[name]
    answer = WireResponse(
        status=200,
        headers=Headers({"content-type": "application/json"}),
        content=json.dumps(good).encode(),
        url="https://huggingface.co/x",
    )
    assert Drive().run(question(core()), [answer]) not in (None, [])
