"""Errors: both families at once, with what tracing and middleware read."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from langchain_core import exceptions as lc
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage

import shared_core
from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from langchain_hfrouter._errors import promote
from tests.helpers.fault_server import drop, hang, html_reply, json_reply, reset, text_reply
from tests.langchain.script import HEADERS, model_of, serving, whole

pytestmark = pytest.mark.anyio


def openai(message: str, code: Any = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


STATUSES: list[tuple[int, Any, type, type, bool]] = [
    (400, openai("bad"), shared_core.BadRequestError, lc.ModelInvalidRequestError, False),
    (
        400,
        openai("too long", "context_length_exceeded"),
        shared_core.ContextLengthError,
        lc.ContextOverflowError,
        False,
    ),
    (
        400,
        {"error": {"code": 400, "message": "x", "type": "exceed_context_size_error"}},
        shared_core.ContextLengthError,
        lc.ContextOverflowError,
        False,
    ),
    (401, {"error": "bad"}, shared_core.AuthenticationError, lc.ModelAuthenticationError, False),
    (402, {"error": "bad"}, shared_core.PaymentRequiredError, lc.ModelError, False),
    (
        403,
        {"error": "bad"},
        shared_core.PermissionDeniedError,
        lc.ModelPermissionDeniedError,
        False,
    ),
    (404, openai("bad"), shared_core.NotFoundError, lc.ModelNotFoundError, False),
    (409, openai("bad"), shared_core.ConflictError, lc.ModelInvalidRequestError, False),
    (413, "bad", shared_core.RequestTooLargeError, lc.ModelInvalidRequestError, False),
    (
        422,
        {"detail": [{"msg": "bad"}]},
        shared_core.UnprocessableEntityError,
        lc.ModelInvalidRequestError,
        False,
    ),
    (429, openai("bad", 429), shared_core.RateLimitError, lc.ModelRateLimitError, True),
    (500, openai("bad", "500"), shared_core.InternalServerError, lc.ModelAPIError, True),
    (502, "<html>bad</html>", shared_core.InternalServerError, lc.ModelAPIError, True),
    (503, {"error": "bad"}, shared_core.ServiceUnavailableError, lc.ModelAPIError, True),
]


def answer(status: int, body: Any) -> Any:
    if not isinstance(body, str):
        return json_reply(body, status, HEADERS)
    maker = html_reply if body.startswith("<") else text_reply
    return maker(body, status, HEADERS)


@pytest.mark.rule(
    "error-classes", "account-and-size", "context-overflow", "response-and-request-id", "retryable"
)
@pytest.mark.parametrize(("status", "body", "ours", "theirs", "retryable"), STATUSES)
async def test_statuses(status: int, body: Any, ours: type, theirs: type, retryable: bool) -> None:
    """Trap 14: classes follow status and machine code, never prose."""
    with serving(answer(status, body)) as server:
        model = model_of(server)
        with pytest.raises(theirs) as caught:
            model.invoke("x")
        errors: list[Any] = [caught.value]
        with pytest.raises(theirs) as caught:
            await model.ainvoke("x")
        errors.append(caught.value)
        with pytest.raises(theirs) as caught:
            list(model.stream("x"))
        errors.append(caught.value)
        with pytest.raises(theirs) as caught:
            _ = [chunk async for chunk in model.astream("x")]
        errors.append(caught.value)
        assert len(server.requests) == 4
    for error in errors:
        assert isinstance(error, ours)
        assert isinstance(error, lc.ModelError)
        assert error.is_retryable is retryable
        assert error.status_code == error.response.status_code == status
        assert error.request_id == "req-7"
        assert error.response.headers["x-request-id"] == "req-7"
        if isinstance(body, str):
            assert "bad" in error.response.text
        else:
            assert error.response.json() == body


@pytest.mark.rule("connection-errors")
@pytest.mark.parametrize(
    ("fault", "theirs"), [(drop(), lc.ModelConnectionError), (reset(), lc.ModelConnectionError)]
)
def test_broken_connections(fault: Any, theirs: type) -> None:
    with serving(fault) as server, pytest.raises(theirs) as caught:
        model_of(server).invoke("x")
    error: Any = caught.value
    assert isinstance(error, shared_core.APIConnectionError)
    assert error.is_retryable
    assert not hasattr(error, "response")


@pytest.mark.rule("connection-errors")
def test_nobody_listens() -> None:
    with serving() as server:
        model = model_of(server)
    with pytest.raises(lc.ModelConnectionError):
        model.invoke("x")


@pytest.mark.rule("timeouts")
def test_timeouts() -> None:
    with serving(hang()) as server, pytest.raises(lc.ModelTimeoutError) as caught:
        model_of(server, timeout=0.2).invoke("x")
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, shared_core.APITimeoutError)


@pytest.mark.rule("unusable-answers", "response-and-request-id")
@pytest.mark.parametrize("body", [{"error": openai("bad", 500)["error"]}, {"choices": []}, [], "x"])
def test_a_200_that_is_no_answer(body: Any) -> None:
    with serving(json_reply(body, headers=HEADERS)) as server:
        for call in (lambda m: m.invoke("x"), lambda m: list(m.stream("x"))):
            with pytest.raises(lc.ModelAPIError) as caught:
                call(model_of(server))
            error: Any = caught.value
            assert error.request_id == error.response.headers["x-request-id"] == "req-7"
            assert error.response.json() == body


@pytest.mark.rule("right-class-is-named")
def test_a_model_that_cannot_chat_names_the_right_class() -> None:
    """Pain 9."""
    body = {
        "error": {
            "message": "The requested model is not a chat model",
            "code": "model_not_supported",
        }
    }
    with serving(json_reply(body, 400)) as server:
        with pytest.raises(lc.ModelInvalidRequestError) as caught:
            model_of(server).invoke("x")
        assert isinstance(caught.value, shared_core.ModelNotSupportedError)
        assert "chat" in str(caught.value)


@pytest.mark.rule("missing-token")
def test_a_missing_token_is_an_authentication_error() -> None:
    with pytest.raises(lc.ModelAuthenticationError) as caught:
        ChatHFRouter(model="org/m").invoke("x")
    assert isinstance(caught.value, shared_core.MissingTokenError)
    assert "HF_TOKEN" in str(caught.value)


@pytest.mark.rule("bad-input-is-not-sent")
def test_a_bad_parameter_is_an_invalid_request() -> None:
    with serving(whole()) as server:
        with pytest.raises(lc.ModelInvalidRequestError) as caught:
            model_of(server).invoke("x", temperature="hot")
        assert isinstance(caught.value, shared_core.InvalidSettingError)
        with pytest.raises(lc.ModelInvalidRequestError) as caught:
            model_of(server).invoke([HumanMessage([{"type": "image"}])])
        assert isinstance(caught.value, ValueError)
        assert server.requests == []


@pytest.mark.parametrize("key", ["t", "test", "none", "EMPTY", "context"])
def test_a_placeholder_for_a_key_does_not_garble_what_the_server_says(key: str) -> None:
    body = openai("the text exceeds the context, nonetheless", "context_length_exceeded")
    with serving(answer(400, body)) as server, pytest.raises(lc.ContextOverflowError) as caught:
        model_of(server, api_key=key).invoke("x")
    assert "exceeds the" in str(caught.value)
    assert "nonetheless" in str(caught.value)


@pytest.mark.rule("pickled-errors")
def test_errors_pickle_and_copy_as_both() -> None:
    body = openai("slow")
    with serving(answer(429, body)) as server, pytest.raises(lc.ModelRateLimitError) as caught:
        model_of(server).invoke("x")
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.deepcopy(caught.value)):
        assert isinstance(twin, lc.ModelRateLimitError)
        assert isinstance(twin, shared_core.RateLimitError)
        assert str(twin) == str(caught.value)
        assert twin.response.json() == body  # type: ignore[attr-defined]


@pytest.mark.rule("error-classes")
def test_every_error_of_ours_has_a_counterpart() -> None:
    leaves = [getattr(shared_core, name) for name in shared_core.__all__ if name.endswith("Error")]
    for leaf in leaves:
        error = leaf.__new__(leaf)
        error.__dict__["error"] = shared_core.RateLimitError("x")
        assert isinstance(promote(error), lc.ModelError)
        assert isinstance(error, leaf)
        assert promote(error) is error


class Trace(BaseCallbackHandler):
    def __init__(self) -> None:
        self.responses: list[Any] = []

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.responses.append(kwargs["response"])


@pytest.mark.rule("response-and-request-id")
def test_the_servers_answer_reaches_the_trace() -> None:
    trace = Trace()
    with serving(answer(429, openai("slow"))) as server, pytest.raises(lc.ModelRateLimitError):
        model_of(server).invoke("x", config={"callbacks": [trace]})
    metadata = trace.responses[0].generations[0][0].message.response_metadata
    assert metadata["status_code"] == 429
    assert metadata["request_id"] == "req-7"
    assert metadata["body"] == openai("slow")


@pytest.mark.rule("no-retry-by-default")
def test_no_retry_by_default_and_as_many_as_asked() -> None:
    """Pain 14."""
    replies = [json_reply(openai("slow"), 429, {"retry-after": "0"})] * 2
    with serving(*replies, whole()) as server:
        with pytest.raises(lc.ModelRateLimitError):
            model_of(server, max_retries=0).invoke("x")
        assert len(server.requests) == 1
    with serving(*replies, whole()) as server:
        assert model_of(server, max_retries=2).invoke("x").text == "Hi."
        assert len(server.requests) == 3


@pytest.mark.rule("embedding-settings")
async def test_embeddings_raise_both() -> None:
    with serving() as server:
        server.on("/v1/embeddings", answer(401, {"error": "bad"}))
        embeddings = HFRouterEmbeddings(model="m", base_url=f"{server.url}/v1", api_key="t")
        for attempt in (embeddings.embed_query, embeddings.embed_documents):
            with pytest.raises(lc.ModelAuthenticationError) as caught:
                attempt(["x"] if attempt == embeddings.embed_documents else "x")  # type: ignore[arg-type]
            assert isinstance(caught.value, shared_core.AuthenticationError)
        with pytest.raises(lc.ModelAuthenticationError):
            await embeddings.aembed_documents(["x"])


@pytest.mark.rule("bindings", "retryable")
def test_langchains_retry_and_fallback_understand_them() -> None:
    with serving(json_reply(openai("slow"), 429), whole()) as server:
        retrying = model_of(server).with_retry(
            retry_if_exception_type=(lc.ModelRateLimitError,), wait_exponential_jitter=False
        )
        assert retrying.invoke("x").text == "Hi."
    with serving(json_reply(openai("slow"), 429), whole()) as server:
        model = model_of(server)
        assert model.with_fallbacks([model]).invoke("x").text == "Hi."
