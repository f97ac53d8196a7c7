"""Failover of responses and embeddings, and what of a call holds at another address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shared_core import (
    BreakerPolicy,
    Failover,
    FailoverEndpoint,
    MissingTokenError,
    NoEndpointAvailableError,
    Resilience,
    RouterClient,
    UnsupportedTaskError,
)
from shared_core.config.settings import Settings
from shared_core.core import Core, Defaults
from shared_core.errors import StreamInterruptedError
from shared_core.responses.resource import Responses
from tests.helpers.fault_server import FaultServer, Fin, json_reply, reset, sse
from tests.shared_core.providers.driving import Drive, answer
from tests.shared_core.resilience.helpers import (
    MODEL,
    PATH,
    Caller,
    completion,
    failing,
)

RESPONSES = "/v1/responses"
TEXT = {"type": "output_text", "text": "pong", "annotations": []}
WHOLE = {
    "id": "resp_1",
    "object": "response",
    "model": "m",
    "status": "completed",
    "output": [{"id": "m1", "type": "message", "role": "assistant", "content": [TEXT]}],
}
DELTA = {"type": "response.output_text.delta", "item_id": "m1", "delta": "pong"}
DONE = {"type": "response.completed", "response": WHOLE}
VECTORS = {"data": [{"index": 0, "embedding": [1.0, 0.0]}], "model": "m"}


@pytest.fixture
def second() -> Iterator[FaultServer]:
    with FaultServer() as running:
        running.on(RESPONSES, json_reply(WHOLE))
        yield running


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, server: FaultServer) -> Caller:
    return Caller(request.param, server)


def pool(caller: Caller, second: FaultServer) -> Failover:
    return Failover(
        [
            FailoverEndpoint(caller.server.url + "/v1", name="a"),
            FailoverEndpoint(second.url + "/v1", name="b", api_key="key-b", model="our-model"),
        ]
    )


# --- responses --------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [failing(503), reset()])
def test_a_response_moves_on(caller: Caller, second: FaultServer, broken: Any) -> None:
    caller.server.on(RESPONSES, broken)
    found = caller.run(lambda client: client.responses.create("ping"), pool(caller, second))
    assert (found.text, found.endpoint) == ("pong", "b")
    (request,) = second.requests
    assert request.headers["authorization"] == "Bearer key-b"
    assert request.json()["model"] == "our-model"


def test_a_response_moves_to_another_provider(caller: Caller) -> None:
    caller.server.script(RESPONSES, failing(503), json_reply(WHOLE))
    found = caller.run(
        lambda client: client.responses.create("ping"), Failover.providers("groq", "together")
    )
    assert found.endpoint == "together"
    models = [request.json()["model"] for request in caller.server.requests]
    assert models == [f"{MODEL}:groq", f"{MODEL}:together"]


@pytest.mark.parametrize("broken", [failing(500), sse(end=Fin(), done=False), sse(done=False)])
def test_a_streamed_response_moves_on_before_its_first_event(
    caller: Caller, second: FaultServer, broken: Any
) -> None:
    caller.server.on(RESPONSES, broken)
    second.on(RESPONSES, sse(DELTA, DONE))
    whole, stream = caller.stream(
        lambda client: client.responses.stream("ping"), pool(caller, second)
    )
    assert (whole.text, stream.endpoint) == ("pong", "b")
    assert caller.server.wait_open(0)


def test_a_streamed_response_stays_after_its_first_event(
    caller: Caller, second: FaultServer
) -> None:
    caller.server.on(RESPONSES, sse(DELTA, delay=0.02, end=Fin(), done=False))
    with pytest.raises(StreamInterruptedError) as caught:
        caller.stream(lambda client: client.responses.stream("ping"), pool(caller, second))
    assert caught.value.partial is not None
    assert second.requests == []


def test_the_breaker_of_an_endpoint_sees_responses() -> None:
    policy = Resilience(
        failover=Failover.providers("groq", "together"), breaker=BreakerPolicy(minimum_calls=2)
    )
    core = Core(
        Settings.resolve(api_key="hf_1234567890", env={}), Defaults(model=MODEL), resilience=policy
    )
    driven = Drive()
    broken, good = answer({"error": "broken"}, status=503), answer(WHOLE)
    for answers in ([broken, good], [broken, good], [good]):
        responses = Responses(core, lambda flow, given=answers: driven.run(flow, given))
        assert responses.create("ping").endpoint == "together"
    assert core.pipeline is not None
    assert core.pipeline.breakers is not None
    assert core.pipeline.breakers["groq"].state == "open"


def test_responses_are_not_asked_with_the_key_of_a_provider() -> None:
    own = FailoverEndpoint(provider="groq", api_key="gsk_1234567890")
    failover = Failover([own, FailoverEndpoint(provider="together")])
    core = Core(
        Settings.resolve(api_key="hf_1234567890", env={}),
        Defaults(model=MODEL),
        resilience=Resilience(failover=failover),
    )
    driven = Drive()
    found = Responses(core, lambda flow: driven.run(flow, [answer(WHOLE)])).create("ping")
    assert found.endpoint == "together"
    with pytest.raises(UnsupportedTaskError, match="takes a token of Hugging Face"):
        core = Core(core.settings, core.defaults, resilience=Resilience(failover=Failover([own])))
        Responses(core, lambda flow: driven.run(flow, [])).create("ping")


# --- what holds at another address ------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("a/b", {"provider": "groq"}),
        ("a/b", {"policy": "fastest"}),
        ("a/b:groq", {}),
        (None, {"provider": "groq"}),
    ],
)
def test_a_server_of_ones_own_gets_no_provider(
    server: FaultServer, model: str | None, options: dict[str, Any]
) -> None:
    server.on(PATH, json_reply(completion())).on(RESPONSES, json_reply(WHOLE))
    for endpoint, wanted in [
        (FailoverEndpoint(server.url + "/v1"), "a/b"),
        (FailoverEndpoint(server.url + "/v1", model="our-model:8b"), "our-model:8b"),
    ]:
        resilience = Resilience(failover=Failover([endpoint]))
        with RouterClient("a/b:together", api_key="hf_1", resilience=resilience) as client:
            client.chat.create("ping", **({"model": model} if model else {}), **options)
            client.responses.create("ping", **({"model": model} if model else {}), **options)
        sent = [request.json()["model"] for request in server.requests[-2:]]
        assert sent == [wanted, wanted]


def test_a_model_of_a_server_keeps_its_colon(server: FaultServer) -> None:
    server.on(PATH, json_reply(completion()))
    with FaultServer() as home:
        failover = Failover([FailoverEndpoint(server.url + "/v1")])
        base = home.url + "/v1"
        with RouterClient(base_url=base, resilience=Resilience(failover=failover)) as client:
            client.chat.create("ping", model="llama3:8b")
    assert server.requests[0].json()["model"] == "llama3:8b"


def test_the_key_of_one_provider_is_not_sent_to_another_in_chat() -> None:
    resilience = Resilience(failover=Failover.providers("groq", "together"))
    with (
        RouterClient(MODEL, api_key="gsk_1234567890", resilience=resilience) as client,
        pytest.raises(MissingTokenError, match="may not be that of together"),
    ):
        client.chat.create("ping", provider="groq")


# --- embeddings -------------------------------------------------------------------------


def embedded(caller: Caller, failover: Failover, model: str = MODEL) -> Any:
    return caller.run(lambda client: client.embeddings.create(["x"], model=model), failover)


def test_embeddings_move_to_another_provider_of_the_same_model(caller: Caller) -> None:
    caller.server.on("*", failing(503))
    caller.server.on("/scaleway/v1/embeddings", json_reply(VECTORS))
    found = embedded(caller, Failover.providers("groq", "hf-inference", "scaleway"))
    assert found.endpoint == "scaleway"
    assert found.vectors.tolist() == [[1.0, 0.0]]
    first, last = caller.server.requests
    assert first.path.startswith(f"/hf-inference/models/{MODEL}/")
    assert last.json()["model"] == MODEL


def test_embeddings_move_by_the_suffix_of_the_same_model(caller: Caller) -> None:
    caller.server.on("/scaleway/v1/embeddings", json_reply(VECTORS))
    failover = Failover.models("other/model", f"{MODEL}:scaleway")
    assert embedded(caller, failover).endpoint == f"{MODEL}:scaleway"
    assert len(caller.server.requests) == 1


def test_embeddings_that_no_endpoint_can_make_are_refused(caller: Caller) -> None:
    failover = Failover([FailoverEndpoint(model="other/model"), FailoverEndpoint(provider="groq")])
    with pytest.raises(NoEndpointAvailableError) as caught:
        embedded(caller, failover)
    assert "other/model is another model" in str(caught.value)
    assert "'groq' serves no embeddings" in str(caught.value)
    assert caller.server.requests == []


VECTOR = [[1.0, 0.0]]


@pytest.mark.parametrize("at_home", [True, False])
def test_the_dialect_of_the_call_holds_where_the_address_says_nothing(
    caller: Caller, second: FaultServer, at_home: bool
) -> None:
    """A server at a bare host, and a second one of its kind."""
    (caller.server if at_home else second).on("/embed", json_reply(VECTOR))
    caller.server.on("*", failing(503))
    endpoints = [FailoverEndpoint(model=MODEL, name="home"), FailoverEndpoint(second.url)]
    found = caller.run(
        lambda client: client.embeddings.create(["x"], model=MODEL, dialect="tei", normalize=True),
        Failover(endpoints),
    )
    assert found.vectors.tolist() == VECTOR
    assert caller.server.requests[0].path == "/embed"
    assert caller.server.requests[0].json()["normalize"] is True
    assert [one.path for one in second.requests] == ([] if at_home else ["/embed"])


def test_an_address_that_says_its_form_wins_over_the_dialect_of_the_call(
    caller: Caller, second: FaultServer
) -> None:
    caller.server.on("*", failing(503))
    second.on("/v1/embeddings", json_reply(VECTORS))
    own = FailoverEndpoint(model=MODEL, name="home")
    failover = Failover([own, FailoverEndpoint(second.url + "/v1")])
    found = caller.run(
        lambda client: client.embeddings.create(["x"], model=MODEL, dialect="tei"), failover
    )
    assert found.vectors.tolist() == VECTOR
    assert [one.path for one in second.requests] == ["/v1/embeddings"]


def test_an_endpoint_without_a_place_for_an_option_is_passed_over(
    caller: Caller, second: FaultServer
) -> None:
    caller.server.on("/embed", json_reply(VECTOR))
    own = FailoverEndpoint(model=MODEL, name="home")
    failover = Failover([FailoverEndpoint(second.url + "/v1"), own])
    found = caller.run(
        lambda client: client.embeddings.create(["x"], model=MODEL, dialect="tei", normalize=True),
        failover,
    )
    assert found.endpoint == "home"
    assert second.requests == []


def test_similarity_moves_to_a_server_of_the_same_model(
    caller: Caller, second: FaultServer
) -> None:
    caller.server.on("*", failing(503))
    second.on("/similarity", json_reply([0.5]))
    hf = {"model": MODEL, "provider": "hf-inference"}
    endpoints = [
        FailoverEndpoint(provider="scaleway"),
        FailoverEndpoint(provider="hf-inference"),
        FailoverEndpoint(second.url + "/embed", name="tei"),
    ]
    scores = caller.run(
        lambda client: client.embeddings.similarity("a", ["b"], **hf), Failover(endpoints)
    )
    assert scores.tolist() == [0.5]
    assert len(caller.server.requests) == 1
    with pytest.raises(UnsupportedTaskError, match="another model"):
        caller.run(
            lambda client: client.embeddings.similarity("a", ["b"], **hf),
            Failover.models("other/model"),
        )


def test_embeddings_with_the_key_of_a_provider_go_to_its_own_host() -> None:
    from shared_core.embeddings.resource import Embeddings

    own = FailoverEndpoint(provider="scaleway", api_key="scw-1234567890")
    core = Core(
        Settings.resolve(api_key="hf_1234567890", env={}),
        resilience=Resilience(failover=Failover([own])),
    )
    driven = Drive()
    embeddings = Embeddings(core, lambda flow: driven.run(flow, [answer(VECTORS)]))
    embeddings.create(["x"], model=MODEL, bill_to="acme")
    (request,) = driven.requests
    assert request.url == "https://api.scaleway.ai/v1/embeddings"
    assert "X-HF-Bill-To" not in request.headers
    assert request.settings is not None
    token = request.settings.token_for(request.url)
    assert token is not None
    assert token.get_secret_value() == "scw-1234567890"
