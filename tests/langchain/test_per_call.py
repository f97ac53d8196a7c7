"""What a call says about itself wins: in the body, in the answer, in traces and in cache keys."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler

from langchain_hfrouter import ChatHFRouter
from langchain_hfrouter._params import is_call_parameter
from shared_core import InvalidSettingError
from shared_core.chat.params import ChatParams
from tests.helpers.fault_server import FaultServer
from tests.langchain.script import event, model_of, serving, stream, whole

pytestmark = pytest.mark.anyio


def bodies(server: FaultServer) -> list[Any]:
    return [request.json() for request in server.requests]


@pytest.mark.rule("model-of-the-call")
async def test_a_model_given_to_a_call_is_asked_and_reported() -> None:
    unnamed = whole(top_model=None)
    events = [event({"content": "x"}, "stop")]
    for each in events:
        del each["model"]
    with serving(unnamed, unnamed, stream(*events), stream(*events)) as server:
        model = model_of(server)
        answers = [
            model.invoke("x", model="other/m"),
            await model.ainvoke("x", model_name="other/m"),
            next(c for c in model.stream("x", model="other/m") if c.chunk_position == "last"),
            [c async for c in model.astream("x", model="other/m")][-1],
        ]
        assert [body["model"] for body in bodies(server)] == ["other/m"] * 4
    assert [each.response_metadata["model_name"] for each in answers] == ["other/m"] * 4
    assert model.model == "org/m"


@pytest.mark.rule("model-of-the-call", "cache-key")
@pytest.mark.parametrize("name", ["model", "model_name"])
def test_a_model_given_to_a_call_is_traced_and_cached(name: str) -> None:
    seen: list[dict[str, Any]] = []

    class Trace(BaseCallbackHandler):
        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            seen.append(kwargs)

    with serving(whole("one"), whole("two")) as server:
        model = model_of(server, cache=InMemoryCache())
        config: Any = {"callbacks": [Trace()]}
        texts = [
            model.invoke("x", config=config).text,
            model.invoke("x", config=config, **{name: "other/m"}).text,
            model.invoke("x", config=config).text,
        ]
    assert texts == ["one", "two", "one"]
    assert [each["metadata"]["ls_model_name"] for each in seen] == ["org/m", "other/m", "org/m"]
    assert seen[1]["invocation_params"][name] == "other/m"


@pytest.mark.rule("scale-up")
async def test_waiting_for_an_endpoint_is_asked_by_header() -> None:
    events = [event({"content": "x"}, "stop")]
    with serving(whole(), whole(), stream(*events), stream(*events), whole()) as server:
        model = model_of(server)
        model.invoke("x", scale_up_timeout=600)
        await model.ainvoke("x", scale_up_timeout=600)
        list(model.bind(scale_up_timeout=600).stream("x"))
        _ = [chunk async for chunk in model.astream("x", scale_up_timeout=600)]
        model_of(server, default_headers={"X-Scale-Up-Timeout": "600"}).invoke("x")
        assert [r.headers["x-scale-up-timeout"] for r in server.requests] == ["600"] * 5
        assert all("scale_up_timeout" not in body for body in bodies(server))
        with pytest.raises(InvalidSettingError, match="scale_up_timeout"):
            model.invoke("x", scale_up_timeout=0)


@pytest.mark.rule("scale-up")
def test_no_parameter_of_the_core_goes_into_the_body() -> None:
    """``callbacks`` is LangChain's own word, and never reaches the parameters."""
    names = set(ChatParams.__annotations__) - {"callbacks"}
    assert [name for name in sorted(names) if not is_call_parameter(name)] == []
    schema = {"type": "json_schema", "json_schema": {"name": "A", "schema": {"type": "object"}}}
    with serving(whole(), stream(event({"content": "x"}, "stop"))) as server:
        model = model_of(server)
        model.invoke("x", dialect="llama.cpp", response_format=schema)
        list(model.stream("x", include_usage=False))
        asked, streamed = bodies(server)
    assert "dialect" not in asked
    assert asked["response_format"] != schema
    assert not {"include_usage", "stream_options"} & streamed.keys()


@pytest.mark.rule("traces")
def test_traces_name_limits_and_stops_of_the_call() -> None:
    model = ChatHFRouter(model="a/b", max_tokens=5, stop=["x"])
    for given in (
        {"max_tokens": 7, "stop_sequences": ["y"]},
        {"max_completion_tokens": 7, "stop": ["y"]},
        {"max_new_tokens": 7, "stop": ["y"]},
    ):
        params = model._get_ls_params(**given)  # type: ignore[arg-type]
        assert (params["ls_max_tokens"], params["ls_stop"]) == (7, ["y"])


@pytest.mark.rule("settings-are-not-sent")
@pytest.mark.parametrize(
    "name",
    ["api_key", "hf_token", "base_url", "endpoint_url", "max_retries", "default_headers",
     "http_client", "http_async_client", "proxy"],
)  # fmt: skip
async def test_what_only_the_model_has_is_refused_rather_than_sent(name: str) -> None:
    """It would go into the body: a token too."""
    with serving(whole()) as server:
        model = model_of(server)
        with pytest.raises(InvalidSettingError, match=name):
            model.invoke("x", **{name: "hf_secret"})
        with pytest.raises(InvalidSettingError, match=name):
            _ = [chunk async for chunk in model.bind(**{name: "hf_secret"}).astream("x")]
        assert server.requests == []


@pytest.mark.rule("usage-in-streams", "bindings")
def test_bound_stream_options_are_for_streams() -> None:
    with serving(whole(), stream(event({"content": "x"}, "stop"))) as server:
        bound = model_of(server).bind(stream_options={"include_usage": False})
        bound.invoke("x")
        list(bound.stream("x"))
        sent = [body.get("stream_options") for body in bodies(server)]
    assert sent == [None, {"include_usage": False}]


@pytest.mark.rule("metadata-is-json", "metadata-once")
def test_a_cost_that_the_provider_names_is_reported_once() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
    steps = [
        event({"content": "x"}, usage={**usage, "cost": 0.1}),
        event({"content": "y"}, "stop", usage={**usage, "cost": 0.25}),
    ]
    with serving(whole(top_usage={**usage, "estimated_cost": 0.25}), stream(*steps)) as server:
        model = model_of(server)
        assert model.invoke("x").response_metadata["cost"] == 0.25
        chunks = list(model.stream("x"))
    assert [c.response_metadata.get("cost") for c in chunks] == [None] * (len(chunks) - 1) + [0.25]
    with serving(whole()) as server:
        assert "cost" not in model_of(server).invoke("x").response_metadata
